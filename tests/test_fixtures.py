"""Every recorded printer is read, folded and told as it was when it was recorded; and the README lists them."""

import re
from pathlib import Path

import orjson
import pytest

from bambu_connector.bambu.models import TRAITS, Model, model_named, model_of_modules
from bambu_connector.bambu.report import PushStatus, Unrecognised, parse_report
from bambu_connector.bambu.view import View
from bambu_connector.translate.replay import is_virtual, replayed, report_in
from tests.fixtures_table import README, made, section_of, table
from tests.recordings import Recording, folders, load

MAX_BYTES = 96 * 1024
FOLDERS = folders()


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def recording(request: pytest.FixtureRequest) -> Recording:
    folder: Path = request.param
    return load(folder)


def test_there_are_recordings() -> None:
    assert FOLDERS


def test_the_report_gives_the_status_that_was_recorded(recording: Recording) -> None:
    """What the status of an old fixture is may change on purpose: `python -m tests.recordings` writes it anew."""
    assert recording.status_now() == recording.status


def test_every_message_is_understood(recording: Recording) -> None:
    messages = [recording.first, *(message for _, message in recording.deltas)]
    assert not any(isinstance(parse_report(orjson.dumps(each)), Unrecognised) for each in messages)
    assert isinstance(parse_report(orjson.dumps(recording.first)), PushStatus)


def test_the_deltas_fold_into_the_report(recording: Recording) -> None:
    """All of them come after it, and what is known at the end has nothing that the view cannot read."""
    assert len(recording.deltas) == recording.about["deltas"] > 0
    offsets = [offset for offset, _ in recording.deltas]
    assert offsets == sorted(offsets)
    assert offsets[0] >= 0
    messages = [recording.first, *(message for _, message in recording.deltas)]
    first, last = replayed(messages[:1]), replayed(messages)
    assert first == report_in(recording.first)
    assert last is not None
    assert first is not None
    assert first.keys() <= last.keys()
    assert View(last, TRAITS[Model(recording.about["model"])]).state is not None


def test_a_recording_knows_its_model(recording: Recording) -> None:
    model = Model(recording.about["model"])
    modules = recording.version["info"]["module"]
    assert model_of_modules(modules) in (model, None)
    assert model_named(recording.about["model_code"]) is model
    firmware = next(module["sw_ver"] for module in modules if module["name"] == "ota")
    assert firmware == recording.about["firmware"]


def test_no_virtual_printer_passes_for_a_real_one(recording: Recording) -> None:
    virtual = is_virtual(recording.version["info"]["module"])
    assert recording.about["source"] == ("virtual" if virtual else "printer")
    assert recording.folder.name.startswith("virtual-") == virtual
    for name in ("about.yaml", "README.md"):
        begins = (recording.folder / name).read_text(encoding="utf-8").startswith("# NOT A REAL PRINTER")
        assert begins == virtual, name


def test_a_recording_names_nobody(recording: Recording) -> None:
    """Serials are pseudonyms (zeros and a number), addresses those of documentation."""
    for path in recording.folder.iterdir():
        text = path.read_text(encoding="utf-8")
        assert re.findall(r'"sn":\s*"(?!(?:...0+\d{1,3})?")', text) == [], path.name
        addresses = re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text)
        plain = [each for each in addresses if not re.search(r"(^|\.)0\d", each)]
        assert [each for each in plain if not each.startswith(("192.0.2.", "198.51.100.", "203.0.113."))] == []
    assert recording.serial[3:].strip("0").isdecimal()


def test_a_recording_is_small(recording: Recording) -> None:
    assert sum(path.stat().st_size for path in recording.folder.iterdir()) <= MAX_BYTES


# -- the README ------------------------------------------------------------------------------------


def test_the_readme_lists_the_models_as_the_fixtures_say() -> None:
    """If not: `python -m tests.fixtures_table --write`."""
    assert section_of(README.read_text(encoding="utf-8")) == made()


def test_the_table_tells_what_was_recorded_from_what_is_only_known() -> None:
    one = load(FOLDERS[0])
    about = one.about | {"model": "P2S", "firmware": "01.01.00.00"}
    real = Recording(one.folder, about | {"source": "printer"}, {}, [], {}, {})
    virtual = Recording(one.folder, about | {"source": "virtual", "firmware": "01.00.00.00"}, {}, [], {}, {})
    lines = [line for line in table([virtual, real]).splitlines() if "`N7`" in line]
    assert lines == [
        "| P2S | `N7` | RTSPS | recordings of a real printer | 01.01.00.00 |",
        "| P2S | `N7` | RTSPS | the model table, and a virtual printer that imitates one | 01.00.00.00 |",
    ]
    assert [line for line in table([]).splitlines() if "`N7`" in line] == [
        "| P2S | `N7` | RTSPS | the model table alone | none |"
    ]
    assert len(table([]).splitlines()) == len(Model) - 1 + 2
