"""The rows, and the reports beside them."""

import json
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.errors import UsageError
from bambu_connector.virtual.models import MODELS, find_model, load_start

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"
RELATIVES = {"P1S": "P1P", "A1 mini": "A1", "X1C": "X1CMULTIAMS", "H2D": "H2D"}


@pytest.mark.parametrize("name", ["A1 mini", "a1mini", "A1_MINI"])
def test_a_model_is_found_in_any_spelling(name: str) -> None:
    assert find_model(name).name == "A1 mini"


def test_an_unknown_model_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="P1S"):
        find_model("Z9")


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_report_and_versions(model: str) -> None:
    fields, modules = load_start(find_model(model))
    assert fields["command"] == "push_status"
    assert {module["name"] for module in modules} >= {"ota", "mc", "th"}


@pytest.mark.parametrize("model", MODELS)
def test_no_two_loaded_trays_of_a_model_are_alike(model: str) -> None:
    trays = load_start(find_model(model))[0]["ams"]["ams"][0]["tray"]
    assert len({tray["tray_info_idx"] for tray in trays[:3]}) == 3


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures of real printers are not here")
@pytest.mark.parametrize("model", MODELS)
def test_the_reports_look_like_those_of_real_printers(model: str) -> None:
    content = json.loads((CAPTURES / f"{RELATIVES[model]}.json").read_text())
    real: dict[str, Any] = content.get("pushall", content.get("push_all"))
    real = real.get("print", real)
    ours = load_start(find_model(model))[0]
    assert len(set(real) - set(ours)) <= 3
    for key in set(real) & set(ours):
        assert type(real[key]) is type(ours[key]), key
