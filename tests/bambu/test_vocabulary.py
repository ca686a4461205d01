"""What the redaction leaves and what it takes away, by the words of the printers' language."""

from typing import Any

import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.vocabulary import Says, is_module, is_own, is_own_file, is_own_preset, said_by
from bambu_connector.virtual.models import MODELS, load_start
from tests.captures import captured


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("sn", Says.SERIAL),
        ("ams_serial_number", Says.SERIAL),
        ("ip", Says.ADDRESS),
        ("local_ip", Says.ADDRESS),
        ("ipcam", Says.ANYTHING),
        ("zip", Says.ANYTHING),
        ("wifi_ssid", Says.NETWORK),
        ("eth_mac", Says.HARDWARE),
        ("subtask_name", Says.NAME),
        ("userName", Says.NAME),
        ("user_name", Says.NAME),
        ("design_id", Says.NUMBER),
        ("maker_user_id", Says.NUMBER),
        ("refresh_token", Says.TOKEN),
        ("accessCode", Says.TOKEN),
        ("oss_url", Says.URL),
        ("tray_uuid", Says.TAG),
        ("tray_exist_bits", Says.WORD),
        ("fun", Says.WORD),
        ("t_utc", Says.WORD),
        ("remain_time", Says.WORD),
        ("ams_new_version_number", Says.VERSION),
        ("gcode_file", Says.FILE),
        ("something_new", Says.ANYTHING),
    ],
)
def test_a_key_tells_what_stands_under_it(key: str, says: Says) -> None:
    assert said_by(key) is says


def test_names_of_modules_are_those_of_parts() -> None:
    assert said_by("name") is said_by("project_name") is Says.NAME
    assert said_by("name", in_module=True) is said_by("project_name", in_module=True) is Says.WORD
    assert is_module({"name": "ota", "sw_ver": "01.08.01.00"})
    assert not is_module({"name": "Left"})


def test_names_of_models_tell_no_printer_from_another() -> None:
    for model in Model:
        assert is_own(model.value.lower())
        assert is_own(TRAITS[model].display_name)
    assert not is_own("Left P1S")


@pytest.mark.parametrize("stem", ["plate_1", "auto_cali_for_user_param", "extrusion_cali_pa_line"])
def test_files_that_the_printer_names_are_its_own(stem: str) -> None:
    assert is_own_file(stem)
    assert not is_own_file(f"{stem}_anna")


def test_filaments_that_users_made_are_theirs() -> None:
    assert all(map(is_own_preset, ("GFA00", "GFSL99", "GFSA00_02")))
    assert not is_own_preset("P4d64437")


SHORTEST = 4  # shorter names are not looked for


def keys(tree: Any) -> set[str]:
    match tree:
        case dict():
            return {str(key) for key in tree if len(key) >= SHORTEST}.union(*map(keys, tree.values()))
        case list():
            return set().union(*map(keys, tree))
        case _:
            return set()


def test_every_key_that_printers_use_is_their_own_word() -> None:
    """A printer called "Tray" would otherwise be looked for in every report."""
    for model in MODELS.values():
        assert {key for key in keys([*load_start(model), {"print": {}}]) if not is_own(key)} == set()


def test_every_key_that_real_printers_use_is_their_own_word() -> None:
    assert {key for report in captured().values() for key in keys(report) if not is_own(key)} == set()
