"""The way through a printer's menus, in sentences."""

import pytest

from bambu_connector.bambu.menus import access_code_advice, developer_mode_advice
from bambu_connector.bambu.models import TRAITS, Model

WAYS = {
    Model.X1C: "Settings > LAN Only",
    Model.X1: "Settings > LAN Only",
    Model.X1E: "Settings > LAN Only",
    Model.P1P: "Settings > WLAN > LAN Only Mode",
    Model.P1S: "Settings > WLAN > LAN Only Mode",
    Model.A1: "Settings > LAN Only Mode",
    Model.A1_MINI: "Settings > LAN Only Mode",
    Model.P2S: "Settings > LAN Only",
    Model.H2D: "Settings > LAN Only",
    Model.H2D_PRO: "Settings > LAN Only",
    Model.H2S: "Settings > LAN Only",
    Model.H2C: "Settings > LAN Only",
    Model.A2L: None,
    Model.X2D: None,
    Model.GENERIC: None,
}


def test_every_model_has_a_way_or_is_known_to_have_none_that_we_know() -> None:
    assert {model: traits.menu_lan_only for model, traits in TRAITS.items()} == WAYS


@pytest.mark.parametrize("model", Model)
def test_the_advice_names_both_switches_the_code_and_the_way(model: Model) -> None:
    way = f"under {WAYS[model]} on the printer's screen" if WAYS[model] else "in the network settings"
    switches, code = developer_mode_advice(TRAITS[model]), access_code_advice(TRAITS[model])
    assert "LAN Only Mode and then Developer Mode" in switches
    assert "access code" in switches
    assert way in switches
    assert way in code


def test_the_advice_is_made_of_whole_sentences() -> None:
    for traits in TRAITS.values():
        for advice in (developer_mode_advice(traits), access_code_advice(traits)):
            assert advice[0].isupper()
            assert advice.endswith(".")
