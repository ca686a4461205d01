"""An event as one line of the log."""

import pytest

from bambu_connector.service.event_line import event_line

JOB = {"file": "bracket.gcode.3mf", "task_name": "Bracket", "percent": 73, "layer": 12, "job_id": "4711"}


@pytest.mark.parametrize(
    ("name", "details", "line"),
    [
        ("Connected", {}, "Connected"),
        (
            "PrinterStateChanged",
            {"from": "RUNNING", "to": "PAUSE", "job": {"file": None, "percent": None}},
            "PrinterStateChanged from=RUNNING to=PAUSE",
        ),
        (
            "PrintFailed",
            {"job": JOB, "print_error": "0500-C010"},
            "PrintFailed print_error=0500-C010 job_id=4711 file=bracket.gcode.3mf percent=73",
        ),
        (
            "Error",
            {"code": "0300-8003", "severity": "serious", "message": "A long sentence.", "url": "https://x/", "job": {}},
            "Error code=0300-8003 severity=serious",
        ),
        ("FilamentChange", {"active_slot": {"ams_id": 0, "slot_id": 3}}, "FilamentChange active_slot="),
        ("PrintDone", {"job": {"percent": 0}, "late": True}, "PrintDone percent=0 late=True"),
    ],
)
def test_an_event_is_told_with_what_is_known(name: str, details: dict[str, object], line: str) -> None:
    assert event_line(name, details).startswith(line)


def test_a_name_from_outside_stays_one_value_on_one_line() -> None:
    line = event_line("PrintStarted", {"job": {"file": "a b=c\n2026 forged\x1b.3mf", "percent": 1}})
    assert "\n" not in line
    assert line.endswith('.3mf" percent=1')
    assert 'file="a b=c' in line


def test_a_long_value_is_cut() -> None:
    assert len(event_line("PrintStarted", {"job": {"file": "x" * 5000}})) < 200
