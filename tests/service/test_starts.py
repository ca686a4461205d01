"""Starts that are out, prints that are followed, starts that nobody knows about: looked at, report by report."""

from typing import Any

import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.report import Reply
from bambu_connector.bambu.request import Stop
from bambu_connector.bambu.view import View
from bambu_connector.errors import ConnectorError, DeveloperModeRequired, PrinterBusy, StartFailed
from bambu_connector.service.clock import Moment
from bambu_connector.service.records import PrintRecord
from bambu_connector.service.requests import Ticket
from bambu_connector.service.starts import UNEXPLAINED_S, Followed, OutStart, Starts, Unexplained
from bambu_connector.translate.job import Refused, SeenActive, SeenEnded, SeenForeign
from bambu_connector.translate.recognise import StartMark

FILE = "part-7.gcode.3mf"
OURS = {"subtask_id": "7", "subtask_name": "part-7"}
BEFORE = {"gcode_state": "FINISH", "subtask_id": "3", "subtask_name": "older-3"}


def view(state: str, **fields: Any) -> View:
    return View({**BEFORE, "gcode_state": state, **fields}, TRAITS[Model.P1S])


def record(before: View, file: str | None = FILE, *, error_before: int | None = None) -> PrintRecord:
    mark = StartMark(
        job_number=7,
        name="part-7",
        file=FILE,
        before=before.identity,
        before_state=before.state,
        before_error=error_before,
    )
    published = Moment(1_000.0, "boot", 100.0)
    return PrintRecord(mark=mark, file=file, job_id="J", command_id="c1", published=published, is_certain=True)


def ticket() -> Ticket:
    return Ticket(Stop(), "1", 100.0, 0)


def out(file: str | None = FILE, *, error_before: int | None = None) -> OutStart:
    return OutStart(record(view("FINISH"), file, error_before=error_before), ticket(), 280.0)


def answered(start: OutStart, **fields: Any) -> OutStart:
    assert start.ticket is not None
    start.ticket.reply = Reply("print", "project_file", "1", fields)
    return start


def is_followed(starts: Starts) -> bool:
    return starts.followed is not None


def is_explained(starts: Starts) -> bool:
    return starts.unexplained is None


# -- out -------------------------------------------------------------------------------------------


def test_as_long_as_the_printer_shows_its_last_print_nothing_is_known() -> None:
    start = out()
    assert start.look(None, 101.0) is None
    assert start.look(view("FINISH"), 101.0) is None
    answered(start, result="success")
    assert start.look(view("FINISH"), 250.0) is None


@pytest.mark.parametrize("state", ["PREPARE", "SLICING", "RUNNING", "PAUSE"])
def test_our_print_is_seen_active(state: str) -> None:
    assert isinstance(out().look(view(state, **OURS), 101.0), SeenActive)


def test_an_active_print_that_still_shows_the_old_names_says_nothing_however_long() -> None:
    start = out()
    for now in (101.0, 111.0, 279.0, 3600.0):
        assert start.look(view("RUNNING"), now) is None
    assert isinstance(start.look(view("RUNNING", **OURS), 3601.0), SeenActive)


NAMED_ONLY = {"subtask_name": "part-7"}  # and still the id of the print before


def test_our_name_with_the_old_id_is_given_ten_seconds() -> None:
    start = out()
    assert start.look(view("PREPARE", **NAMED_ONLY), 101.0) is None
    assert start.look(view("PREPARE", **NAMED_ONLY), 110.9) is None
    assert isinstance(start.look(view("PREPARE", **NAMED_ONLY), 111.0), SeenActive)


def test_the_ten_seconds_begin_anew_when_it_was_not_active_in_between() -> None:
    start = out()
    assert start.look(view("PREPARE"), 101.0) is None
    assert start.look(view("FINISH"), 105.0) is None
    assert start.look(view("PREPARE", **NAMED_ONLY), 108.0) is None
    assert start.look(view("PREPARE", **NAMED_ONLY), 117.0) is None
    assert isinstance(start.look(view("PREPARE", **NAMED_ONLY), 118.0), SeenActive)


def test_another_print_is_foreign_at_once() -> None:
    assert isinstance(out().look(view("PREPARE", subtask_name="Benchy", subtask_id="0"), 101.0), SeenForeign)


def test_a_print_of_ours_that_is_over_says_how_it_ended() -> None:
    failed = out().look(view("FAILED", **OURS, print_error=0x0300_400C), 101.0)
    assert isinstance(failed, SeenEnded)
    assert isinstance(failed.error, StartFailed)
    assert "0300-400C" in str(failed.error)


def test_a_lingering_finish_under_the_new_name_is_not_the_end() -> None:
    assert out().look(view("FINISH", **OURS), 101.0) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"result": "fail", "err_code": 0x0500_4004}, PrinterBusy),
        ({"result": "failed", "err_code": 84033543, "reason": "mqtt message verify failed"}, DeveloperModeRequired),
        ({"result": "fail", "reason": "no"}, StartFailed),
    ],
)
def test_a_reply_that_says_failed_is_a_refusal_once(fields: dict[str, Any], expected: type[ConnectorError]) -> None:
    start = answered(out(), **fields)
    found = start.look(view("FINISH"), 101.0)
    assert isinstance(found, Refused)
    assert type(found.error) is expected
    assert start.look(view("FINISH"), 101.0) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [(84033543, DeveloperModeRequired), (0x0500_4004, PrinterBusy), (0x0500_4003, StartFailed)],
)
def test_an_error_that_appears_after_the_start_is_a_refusal(error: int, expected: type[ConnectorError]) -> None:
    found = out(error_before=0).look(view("FINISH", print_error=error), 101.0)
    assert isinstance(found, Refused)
    assert type(found.error) is expected


@pytest.mark.parametrize(("error", "state"), [(0x0300_400C, "FINISH"), (0x0500_4003, "DREAMING")])
def test_other_errors_and_errors_in_other_states_say_nothing(error: int, state: str) -> None:
    assert out(error_before=0).look(view(state, print_error=error), 101.0) is None


def test_an_error_that_was_there_before_says_nothing() -> None:
    assert out(error_before=0x0500_4003).look(view("FINISH", print_error=0x0500_4003), 101.0) is None


def test_an_error_that_was_there_before_was_cleared_and_comes_again_is_a_refusal() -> None:
    start = out(error_before=0x0500_4003)
    assert start.look(view("FINISH", print_error=0x0500_4003), 101.0) is None
    assert start.look(view("FINISH", print_error=0), 102.0) is None
    found = start.look(view("FINISH", print_error=0x0500_4003), 103.0)
    assert isinstance(found, Refused)
    assert type(found.error) is StartFailed


@pytest.mark.parametrize(
    ("fields", "is_acknowledged"), [({"result": "success"}, True), ({"result": ""}, False), ({}, False)]
)
def test_a_start_is_acknowledged_by_a_reply_that_says_success(fields: dict[str, Any], is_acknowledged: bool) -> None:
    start = out()
    assert not start.is_acknowledged
    answered(start, **fields)
    assert start.is_acknowledged is is_acknowledged


def test_a_cancellation_that_was_shown_before_is_no_end_of_ours() -> None:
    code = 0x0300_400C
    before = view("FAILED", print_error=code)
    old, fresh = (OutStart(record(before, error_before=error), ticket(), 280.0) for error in (code, None))
    shown = view("FAILED", **OURS, print_error=code)
    assert old.look(shown, 101.0) is None
    assert isinstance(fresh.look(shown, 101.0), SeenEnded)


def test_a_start_of_an_earlier_process_is_recognised_by_its_record_alone() -> None:
    start = OutStart(record(view("FINISH")), None, 280.0)
    assert not start.is_acknowledged
    assert start.look(view("FINISH"), 101.0) is None
    assert isinstance(start.look(view("RUNNING", **OURS), 102.0), SeenActive)


@pytest.mark.parametrize(("settled", "expected"), [(True, SeenEnded), (False, type(None))])
def test_a_finish_under_our_names_is_the_end_of_a_start_that_was_sent_long_ago(
    settled: bool, expected: type[object]
) -> None:
    start = OutStart(record(view("FINISH")), None, 280.0, settled=settled)
    assert type(start.look(view("FINISH", **OURS), 101.0)) is expected


# -- followed --------------------------------------------------------------------------------------


def followed(file: str | None = FILE) -> Followed:
    return Followed(record(view("FINISH"), file))


@pytest.mark.parametrize(
    ("seen", "is_over"),
    [
        (view("RUNNING", **OURS), False),
        (view("PAUSE", **OURS), False),
        (view("DREAMING", **OURS), False),
        (view("FINISH", **OURS), True),
        (view("FAILED", **OURS), True),
        (view("IDLE"), False),
        (view("RUNNING", subtask_name="Benchy", subtask_id="0"), True),
        (view("RUNNING", subtask_name="", subtask_id="99"), True),
        (view("RUNNING", subtask_name="part-7", subtask_id="99"), True),
        (view("RUNNING", subtask_name="", subtask_id="0"), False),
        (view("PREPARE", subtask_name="part-7", subtask_id="0"), False),
    ],
)
def test_a_print_is_over_when_the_printer_says_so_or_another_is_certainly_active(seen: View, is_over: bool) -> None:
    assert followed().has_ended(seen, 0.0) is is_over


def test_a_momentary_idle_ends_no_print_and_a_lasting_one_does() -> None:
    ours = followed()
    assert not ours.has_ended(view("IDLE"), 10.0)
    assert not ours.has_ended(view("RUNNING", **OURS), 12.0)
    assert not ours.has_ended(view("IDLE"), 20.0)
    assert not ours.has_ended(view("IDLE"), 24.9)
    assert ours.has_ended(view("IDLE"), 25.0)


@pytest.mark.parametrize(("file", "doomed"), [(FILE, [FILE]), (None, [])])
def test_our_file_has_no_use_any_more_once_its_print_is_over(file: str | None, doomed: list[str]) -> None:
    starts = Starts(followed=followed(file))
    assert starts.follow(None, 0.0) == []
    assert starts.follow(view("RUNNING", **OURS), 0.0) == []
    assert is_followed(starts)
    assert starts.follow(view("FINISH", **OURS), 0.0) == doomed
    assert not is_followed(starts)
    assert starts.follow(view("FINISH", **OURS), 0.0) == []


# -- unexplained -----------------------------------------------------------------------------------


def unexplained(file: str | None = FILE) -> Starts:
    return Starts(unexplained=Unexplained(out(file), since=280.0))


def test_a_print_that_appears_late_is_followed() -> None:
    starts = unexplained()
    assert starts.explain(view("FINISH"), 300.0) == []
    assert not is_explained(starts)
    assert starts.explain(view("PREPARE", **OURS), 301.0) == []
    assert is_explained(starts)
    assert starts.followed is not None
    assert (starts.followed.job_id, starts.followed.command_id, starts.followed.file) == ("J", "c1", FILE)
    assert starts.followed.record.is_certain


@pytest.mark.parametrize("stop_asked", [True, False])
def test_what_the_journal_is_told_of_an_unknown_start_says_that_it_is_unknown(stop_asked: bool) -> None:
    told = Unexplained(out(), since=280.0, stop_asked=stop_asked).record
    assert (told.is_certain, told.stop_asked, told.mark) == (False, stop_asked, out().mark)


@pytest.mark.parametrize(
    "seen",
    [
        view("FAILED", **OURS),
        view("PREPARE", subtask_name="Benchy", subtask_id="0"),
        view("FINISH", print_error=0x0500_4003),
    ],
)
def test_whatever_else_explains_it_leaves_the_file_without_a_use(seen: View) -> None:
    starts = unexplained()
    assert starts.explain(seen, 300.0) == [FILE]
    assert is_explained(starts)
    assert not is_followed(starts)


def test_after_its_time_it_is_forgotten_but_not_while_nobody_sees_the_printer() -> None:
    starts = unexplained()
    assert starts.explain(view("FINISH"), 280.0 + UNEXPLAINED_S - 1) == []
    assert starts.explain(None, 280.0 + UNEXPLAINED_S + 1) == []
    assert not is_explained(starts)
    assert starts.explain(view("FINISH"), 280.0 + UNEXPLAINED_S) == [FILE]
    assert is_explained(starts)


def test_a_file_that_is_not_ours_stays_whatever_becomes_of_the_start() -> None:
    assert unexplained(None).explain(view("FAILED", **OURS), 300.0) == []
