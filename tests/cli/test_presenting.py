"""Tables and bars for people."""

import copy
import io
from typing import Any

import pytest
from rich.console import Console

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.view import View
from bambu_connector.cli import presenting
from bambu_connector.cli.presenting import Column, JobBar, console, fitted, names_of, show_table, status_table
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
        job_under_way=False, start_out=False, start_unexplained=False, developer_mode=view.developer_mode,
    )  # fmt: skip
    usual: dict[str, Any] = {
        "serial": "01P00A000000001", "name": "Left", "host": "192.0.2.1", "is_connecting": False, "is_online": True,
        "has_access_right": True, "verified": True, "last_report": None, "reconnects": 0, "firmware": None,
    }  # fmt: skip
    return copy.deepcopy(status_data(situation, Link(**usual | link), NO_PROCESS, view))


def row(status: Tree) -> list[str]:
    """Return the cells of the table's one row."""
    return [str(next(iter(column.cells))) for column in status_table({"left": status}).columns]


def shown(status: Tree) -> str:
    """Return the table as a wide terminal shows it."""
    screen = io.StringIO()
    Console(file=screen, width=240).print(status_table({"left": status}))
    return screen.getvalue()


# -- what fits ---------------------------------------------------------------------------------------

COLUMNS = (Column("name", whole=True), Column("text"), Column("serial", whole=True), Column("signal", rank=1))
ROWS = [("A printer with a long name", "one two three four five six", "01P00A000000001", "-50 dBm")]


def lines(width: int) -> list[str]:
    """Return what a terminal of this width shows of the table."""
    screen = io.StringIO()
    Console(file=screen, width=width).print(fitted(COLUMNS, ROWS, width))
    return screen.getvalue().splitlines()


def test_a_table_has_every_column_where_there_is_room() -> None:
    assert lines(120)[0].split() == ["name", "text", "serial", "signal"]
    assert len(lines(120)) == 2


def test_the_least_important_column_goes_first_and_what_is_whole_stays_whole() -> None:
    heading, first, *_ = lines(60)
    assert heading.split() == ["name", "text", "serial"]
    assert "A printer with a long name" in first
    assert "01P00A000000001" in first


def test_a_terminal_that_is_too_narrow_for_what_is_whole_wraps_the_lines_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(presenting, "_FILE_WIDTH", 30)
    show_table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert "A printer with a long name" in out
    assert "01P00A000000001" in out
    assert "…" not in out


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_name_and_the_link_are_whole_on_a_narrow_terminal(width: int) -> None:
    screen = io.StringIO()
    status = status_of(REPORT, name="Shelf 1, second from left")
    Console(file=screen, width=width).print(status_table({"left": status}, width))
    heading, *rows = screen.getvalue().splitlines()
    assert heading.split()[0] == "printer"
    assert "Shelf 1, second from left" in rows[0]
    assert "online" in rows[0]
    assert ("nozzle" in heading) is (width > 80)


def test_a_name_that_two_printers_have_comes_with_the_serial() -> None:
    statuses = {
        "a": status_of(REPORT), "b": status_of(REPORT, serial="01P00A000000002"), "c": status_of(REPORT, name="Right"),
    }  # fmt: skip
    assert names_of(statuses) == {"a": "Left (01P00A000000001)", "b": "Left (01P00A000000002)", "c": "Right"}


# -- statuses ----------------------------------------------------------------------------------------


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


def test_a_printer_that_obeys_nobody_is_watched_only() -> None:
    assert row(status_of(REPORT | {"fun": "3EC1AFFF9CFF"}))[2] == "watched only"


def test_names_are_shown_as_they_are_whatever_they_look_like(capsys: pytest.CaptureFixture[str]) -> None:
    name = "[/red] :fire: [bold]P1S[/bold]"
    console().print(status_table({"left": status_of(REPORT, name=name)}))
    assert name in capsys.readouterr().out


def test_what_a_printer_calls_its_print_does_not_move_the_cursor() -> None:
    cells = row(status_of(REPORT | {"subtask_name": "\x1b[2Jbracket\x9b\u202e"}, name="Left\x1b]0;\x07"))
    assert (cells[0], cells[8]) == ("Left\ufffd]0;\ufffd", "\ufffd[2Jbracket\ufffd\ufffd")


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
