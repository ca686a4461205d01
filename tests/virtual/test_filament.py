"""The AMS part of a report."""

import pytest

from bambu_connector.virtual.filament import CHANGE_S, Filaments
from bambu_connector.virtual.models import find_model, load_start
from bambu_connector.virtual.report import Report


def filaments(model: str = "P1S") -> tuple[Filaments, Report]:
    report = Report(load_start(find_model(model))[0])
    return Filaments(report), report


def test_slots_and_external_spools_are_found() -> None:
    held, report = filaments()
    assert held.fitted
    assert [held.is_loaded(0, slot) for slot in range(5)] == [True, True, True, False, False]
    assert held.slot(1, 0) is None
    assert held.external(254) is held.external(255) is report.get("vt_tray")
    both, _ = filaments("H2D")
    assert [spool["id"] for spool in map(both.external, (254, 255)) if spool] == ["254", "255"]
    assert both.external(3) is None


@pytest.mark.parametrize(("tray", "temperature"), [(0, 220), (2, 255), (3, 220), (254, 225)])
def test_a_printing_temperature_for_each_tray(tray: int, temperature: float) -> None:
    assert filaments()[0].temperature(tray) == temperature


def test_a_change_that_is_aborted_leaves_what_was_loaded() -> None:
    held, report = filaments()
    held.begin_change(1)
    assert report.get("ams", "tray_tar") == "1"
    held.advance(CHANGE_S / 2)
    held.abort()
    held.advance(CHANGE_S)
    assert (held.now, report.get("ams", "tray_tar"), report.get("ams_status")) == (255, "255", 0)


def test_a_loaded_tray_is_named_in_both_numberings() -> None:
    held, report = filaments("H2D")
    held.load(2)
    extruder = report.get("device", "extruder", "info")[0]
    assert (held.now, extruder["snow"], extruder["spre"]) == (2, 2, 65535)


def test_a_spool_that_ran_out_leaves_an_empty_tray_and_no_bits() -> None:
    held, report = filaments()
    held.run_out(1)
    assert held.slot(0, 1) == {"id": "1"}
    assert [report.get("ams", key) for key in ("tray_exist_bits", "tray_is_bbl_bits")] == ["5", "5"]
    held.run_out(254)
    assert report.get("ams", "tray_exist_bits") == "5"
