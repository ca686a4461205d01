"""Tables and bars for people."""

import copy
import io
from typing import Any

import pytest
from rich.console import Console

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.view import View
from bambu_connector.cli.presenting import JobBar, status_table
from bambu_connector.translate.situation import Situation
from bambu_connector.translate.status import NO_PROCESS, Link, status_data
from tests.e2e.cloud import Tree

REPORT: Tree = {
    "gcode_state": "RUNNING", "mc_percent": 40, "layer_num": 80, "total_layer_num": 200, "mc_remaining_time": 65,
    "nozzle_temper": 219.6, "nozzle_target_temper": 220, "bed_temper": 60, "bed_target_temper": 0, "stg_cur": 0,
    "subtask_name": "bracket", "hms": [{"attr": 0x03000100, "code": 0x00010001}], "mc_print_stage": "2",
}  # fmt: skip


def status_of(report: Tree, **link: Any) -> Tree:
    """Return the status data of a P1S that reports this."""
    traits = TRAITS[Model.P1S]
    view = View(report, traits)
    situation = Situation(
        traits=traits, connected=True, view=view, link_error=None, report_age=1.0, saw_home=False,
        job_under_way=False, start_out=False, start_unexplained=False,
    )  # fmt: skip
    usual: dict[str, Any] = {
        "serial": "01P00A000000001", "name": "Left", "host": "192.0.2.1", "is_connecting": False, "is_online": True,
        "has_access_right": True, "verified": True, "last_report": None, "reconnects": 0, "firmware": None,
    }  # fmt: skip
    return copy.deepcopy(status_data(situation, Link(**usual | link), NO_PROCESS, view))


def row(status: Tree) -> list[str]:
    """Return the cells of the table's one row."""
    return [next(iter(column.cells)) for column in status_table({"left": status}).columns]  # type: ignore[misc]


def shown(status: Tree) -> str:
    """Return the table as a wide terminal shows it."""
    screen = io.StringIO()
    Console(file=screen, width=240).print(status_table({"left": status}))
    return screen.getvalue()


def test_a_row_says_what_a_printer_does() -> None:
    cells = row(status_of(REPORT))
    assert cells == [
        "Left", "P1S", "online", "printing", "40 % (80/200)", "1:05 h", "220/220 °C", "60 °C", "bracket",
        "0300-0100-0001-0001",
    ]  # fmt: skip
    assert "Left" in shown(status_of(REPORT))


def test_what_is_not_known_is_a_question_mark_and_what_is_not_there_empty() -> None:
    assert row(status_of({}, is_online=False))[2:] == ["silent", "?", "", "", "?", "?", "", ""]


@pytest.mark.parametrize(
    ("link", "word"),
    [
        ({}, "online"),
        ({"has_access_right": False}, "code refused"),
        ({"is_online": False}, "silent"),
    ],
    ids=str,
)
def test_the_link_has_a_word(link: Tree, word: str) -> None:
    assert row(status_of(REPORT, **link))[2] == word


@pytest.mark.parametrize(
    ("info", "word"),
    [
        ({"verified": False}, "not trusted"),
        ({"is_connecting": True}, "connecting"),
        ({}, "offline"),
    ],
    ids=str,
)
def test_the_link_of_a_printer_that_is_not_connected_has_a_word(info: Tree, word: str) -> None:
    status = status_of(REPORT)
    status["machines"][0]["connection_info"] |= {"is_connected": False, "is_online": False, **info}
    assert row(status)[2] == word


def test_a_job_that_is_on_its_way_is_shown_with_its_progress() -> None:
    status = status_of(REPORT | {"gcode_state": "IDLE"})
    status["process"] |= {"job_state": "upload", "job_progress": 61}
    assert row(status)[8] == "upload 61 %"


def test_a_bar_shows_nothing_where_nobody_can_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    with JobBar() as bar:
        bar.show({"stage": "download", "percent": 10})
        bar.show({"stage": "upload", "percent": 60})
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_names_the_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with JobBar() as bar:
        bar.show({"stage": "upload", "percent": 60})
    out, err = capsys.readouterr()
    assert out == ""
    assert "upload" in err
    assert "60 %" in err
