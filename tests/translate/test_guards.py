"""The guards table of the contract, row by row: every command in every state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.errors import (
    AccessDenied,
    ConnectorError,
    DeveloperModeRequired,
    IdentityMismatch,
    LinkError,
    Mute,
    NotAPrinter,
    TooManyClients,
    Unreachable,
)
from bambu_connector.translate import guards
from bambu_connector.translate.plan import plan
from bambu_connector.translate.situation import Situation
from tests.bambu.reports import p1s
from tests.translate.situations import (
    ACTIVE,
    DEVELOPER_MODE_OFF,
    DEVELOPER_MODE_ON,
    DIRECT,
    INACTIVE,
    MOVES_OR_HEATS,
    STATES,
    UNKNOWN,
    any_situation,
    in_state,
    on,
    ready,
    situation,
)

Act = Callable[[Situation], object]


def planned(name: str) -> Act:
    order, traits = DIRECT[name]
    return lambda now: plan(order, on(now, traits))


START: Final = "start_print"
START_NOW: Final = "start_print, right before the start"
STORE: Final = "download_gcode"
ACTS: Final[dict[str, Act]] = {
    **{name: planned(name) for name in DIRECT},
    START: guards.guard_start,
    START_NOW: guards.guard_start_now,
    STORE: guards.guard_storage,
}
STARTS: Final = (START, START_NOW)
WITHOUT_REPORT: Final = ("stop_print", "pause_print")
WITHOUT_PRINT: Final = ("set_light", STORE)
"""What publishes nothing in the group `print`."""


def code(name: str, now: Situation) -> str | None:
    """Return what the command is refused with, None when it is let through."""
    try:
        ACTS[name](now)
    except ConnectorError as error:
        return error.code if len(str(error)) > 10 else "no sentence for a person"
    return None


# -- the state of the print ------------------------------------------------------------------------

ANY: Final = frozenset(STATES)
STILL: Final = INACTIVE
STILL_OR_PAUSED: Final = INACTIVE | {"PAUSE"}
PRINTING: Final = frozenset({"RUNNING", "PAUSE"})
TABLE: Final[dict[str, tuple[frozenset[str], str]]] = {
    "pause_print": (frozenset({"RUNNING"}), "wrong_state"),
    "resume_print": (frozenset({"PAUSE"}), "wrong_state"),
    "set_speed": (PRINTING, "wrong_state"),
    "skip_objects": (PRINTING, "wrong_state"),
    "stop_print": (ACTIVE | UNKNOWN, "wrong_state"),
    START: (STILL, "printer_busy"),
    START_NOW: (STILL, "printer_busy"),
    "jog": (STILL, "printer_busy"),
    "home": (STILL, "printer_busy"),
    "calibrate": (STILL, "printer_busy"),
    "extrude": (STILL_OR_PAUSED, "printer_busy"),
    "set_hotend": (STILL_OR_PAUSED, "printer_busy"),
    "set_bed": (STILL_OR_PAUSED, "printer_busy"),
    "set_chamber": (STILL_OR_PAUSED, "printer_busy"),
    "load": (STILL_OR_PAUSED, "printer_busy"),
    "unload": (STILL_OR_PAUSED, "printer_busy"),
    "set_fan": (ANY, ""),
    "set_light": (ANY, ""),
    "refresh_slot": (ANY, ""),
    "set_slot": (ANY, ""),
    "clear_error": (ANY, ""),
    STORE: (ANY, ""),
}


def test_the_table_has_a_row_for_every_command() -> None:
    assert TABLE.keys() == ACTS.keys()
    assert TABLE.keys() >= MOVES_OR_HEATS


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", TABLE)
def test_a_command_is_refused_unless_the_state_allows_it(name: str, state: str) -> None:
    allowed, refusal = TABLE[name]
    assert code(name, situation(in_state(state))) == (None if state in allowed else refusal)


# -- the rest of the table -------------------------------------------------------------------------


def allowing(name: str, **report: Any) -> Situation:
    """A situation in which nothing stands against the command but what the arguments say."""
    allowed, _ = TABLE[name]
    state = "IDLE" if "IDLE" in allowed else min(allowed & ACTIVE)
    return situation(in_state(state, **report))


@pytest.mark.parametrize("name", TABLE)
def test_a_command_is_let_through_where_nothing_stands_against_it(name: str) -> None:
    assert code(name, allowing(name)) is None
    assert guards.allows(ACTS[name], allowing(name))


@pytest.mark.parametrize("name", TABLE)
def test_all_but_stop_and_pause_wait_for_a_full_report(name: str) -> None:
    refusal = code(name, situation(view=None, report_age=None))
    assert refusal == {"stop_print": None, "pause_print": "wrong_state"}.get(name, "not_ready")


@pytest.mark.parametrize("name", TABLE)
def test_developer_mode_off_refuses_all_that_publish_print(name: str) -> None:
    refusal = code(name, allowing(name, fun=DEVELOPER_MODE_OFF))
    assert refusal == (None if name in WITHOUT_PRINT else "developer_mode_required")


@pytest.mark.parametrize("fun", [DEVELOPER_MODE_ON, None, "not hex", 7])
@pytest.mark.parametrize("name", TABLE)
def test_developer_mode_that_is_on_or_unknown_refuses_nothing(name: str, fun: object) -> None:
    assert code(name, allowing(name, fun=fun)) is None


@pytest.mark.parametrize("name", TABLE)
def test_developer_mode_that_was_learned_to_be_off_refuses_as_much_and_names_the_way(name: str) -> None:
    now = replace(allowing(name, fun=None), developer_mode=False)
    assert code(name, now) == (None if name in WITHOUT_PRINT else "developer_mode_required")
    if name not in WITHOUT_PRINT:
        with pytest.raises(DeveloperModeRequired, match=r"LAN Only Mode and then Developer Mode.* screen"):
            ACTS[name](now)


def test_what_was_known_of_developer_mode_in_the_last_session_does_not_hold_back_a_stop() -> None:
    assert code("stop_print", situation(view=None, report_age=None, developer_mode=False)) is None


@pytest.mark.parametrize(
    "upgrade", [{"dis_state": 2, "status": "FLASHING"}, {"status": "DOWNLOADING"}, {"dis_state": 2}]
)
@pytest.mark.parametrize("name", TABLE)
def test_a_firmware_upgrade_refuses_all_that_publish_print(name: str, upgrade: dict[str, Any]) -> None:
    assert code(name, allowing(name, upgrade_state=upgrade)) == (None if name in WITHOUT_PRINT else "printer_busy")


@pytest.mark.parametrize("upgrade", [{"dis_state": 1, "status": "IDLE"}, {"dis_state": 3, "status": "IDLE"}, {}, None])
def test_an_upgrade_that_is_only_offered_refuses_nothing(upgrade: object) -> None:
    assert code("home", situation(ready(upgrade_state=upgrade))) is None


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (None, "printer_offline"),
        (Unreachable("Nobody answers."), "printer_offline"),
        (TooManyClients("No slot is free."), "printer_offline"),
        (Mute("It says nothing."), "printer_offline"),
        (NotAPrinter("That is a toaster."), "printer_offline"),
        (AccessDenied("The access code is wrong."), "access_denied"),
        (IdentityMismatch("It is another printer."), "identity_mismatch"),
    ],
)
@pytest.mark.parametrize("name", TABLE)
def test_a_printer_that_is_not_connected_refuses_everything_and_says_why(
    name: str, error: LinkError | None, refusal: str
) -> None:
    for view in (None, situation().view):
        now = situation(connected=False, view=view, link_error=error)
        assert code(name, now) == refusal
        with pytest.raises(ConnectorError, match=str(error) if error else "not connected"):
            ACTS[name](now)


def test_an_error_of_a_former_connection_says_nothing_about_this_one() -> None:
    assert code("home", situation(link_error=AccessDenied("The access code was wrong."))) is None


@pytest.mark.parametrize("name", sorted(MOVES_OR_HEATS | {START}))
@pytest.mark.parametrize("state", sorted(STILL_OR_PAUSED))
def test_nothing_moves_or_heats_while_a_start_of_ours_is_out(name: str, state: str) -> None:
    assert code(name, situation(in_state(state), start_out=True, job_under_way=True)) == "printer_busy"


@pytest.mark.parametrize("name", sorted(MOVES_OR_HEATS))
def test_a_job_that_has_not_started_allows_to_move_and_heat(name: str) -> None:
    assert code(name, situation(job_under_way=True)) is None


def test_a_start_waits_for_no_other_job() -> None:
    assert code(START, situation(job_under_way=True)) == "printer_busy"


def test_our_own_job_may_start() -> None:
    assert code(START_NOW, situation(job_under_way=True)) is None
    guards.guard_start(situation(job_under_way=True), own_job=True)


@pytest.mark.parametrize("name", STARTS)
def test_a_start_whose_outcome_is_unknown_holds_back_the_next(name: str) -> None:
    assert code(name, situation(start_unexplained=True)) == "printer_busy"


@pytest.mark.parametrize("name", sorted(set(TABLE) - set(STARTS)))
def test_a_start_whose_outcome_is_unknown_holds_back_nothing_else(name: str) -> None:
    now = allowing(name)
    assert code(name, situation(None if now.view is None else now.view.report, start_unexplained=True)) is None


@pytest.mark.parametrize("state", sorted(INACTIVE))
def test_a_job_of_ours_can_be_stopped_whatever_the_printer_shows(state: str) -> None:
    assert code("stop_print", situation(in_state(state), job_under_way=True)) is None


@pytest.mark.parametrize("state", sorted(INACTIVE))
def test_a_start_of_unknown_outcome_can_be_stopped_whatever_the_printer_shows(state: str) -> None:
    assert code("stop_print", situation(in_state(state), start_unexplained=True)) is None
    assert code("stop_print", situation(in_state(state))) == "wrong_state"


# -- storage ---------------------------------------------------------------------------------------

NO_CARD: Final = {"sdcard": False, "home_flag": 0b0111}


@pytest.mark.parametrize("name", [*STARTS, STORE])
def test_a_storage_that_is_known_to_be_absent_refuses_what_needs_it(name: str) -> None:
    assert code(name, situation(ready(**NO_CARD))) == "storage_missing"


@pytest.mark.parametrize("name", sorted(set(TABLE) - {*STARTS, STORE}))
def test_a_storage_that_is_absent_refuses_nothing_else(name: str) -> None:
    assert code(name, allowing(name, **NO_CARD)) is None


@pytest.mark.parametrize("told", [{"sdcard": True}, {"sdcard": None}, {"sdcard": "HAS_SDCARD_NORMAL"}])
def test_a_storage_of_which_one_field_speaks_is_not_known_to_be_absent(told: dict[str, Any]) -> None:
    report = ready(**told)
    del report["home_flag"]
    assert code(START, situation(report)) is None


def test_a_storage_of_which_nothing_speaks_is_not_known_to_be_absent() -> None:
    report = ready()
    del report["home_flag"], report["sdcard"]
    assert code(START, situation(report)) is None


# -- fresh enough ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "is_fresh"), [(0.0, True), (10.0, True), (10.01, False), (None, False)])
def test_a_start_is_judged_once_more_on_a_report_of_ten_seconds_at_most(age: float | None, is_fresh: bool) -> None:
    assert (code(START_NOW, situation(report_age=age)) is None) is is_fresh


def test_at_receipt_a_start_does_not_need_a_fresh_report() -> None:
    assert code(START, situation(report_age=300.0)) is None


# -- whatever the situation ------------------------------------------------------------------------


@given(st.sampled_from(sorted(TABLE)), any_situation())
def test_a_guard_lets_through_or_refuses_and_the_status_says_the_same(name: str, now: Situation) -> None:
    assert guards.allows(ACTS[name], now) is (code(name, now) is None)


@given(any_situation(start_out=True))
def test_while_a_start_is_out_nothing_moves_or_heats_in_any_situation(now: Situation) -> None:
    assert all(code(name, now) is not None for name in MOVES_OR_HEATS | set(STARTS))


@given(any_situation(view=None))
def test_without_a_report_nothing_is_let_through_but_a_stop(now: Situation) -> None:
    assert all(code(name, now) is not None for name in TABLE if name != "stop_print")


def test_a_state_is_told_in_words() -> None:
    view = situation(p1s(gcode_state="PAUSE")).view
    assert view is not None
    assert guards.state_text(view) == "pause"
    unknown = situation(in_state("untold")).view
    assert unknown is not None
    assert guards.state_text(unknown) == "not known"
