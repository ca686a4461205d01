"""Whose print is it? Ours by its id, or by its name where the printer gives it none; whatever else appears is not."""

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.view import GcodeState, View
from bambu_connector.translate.recognise import SETTLE_S, Sighting, StartMark, is_another, is_print_of, sight
from tests.bambu.reports import Fields
from tests.translate.situations import ACTIVE, P1S, UNKNOWN, UNTOLD, any_report, in_state

NUMBER: Final = 1234567
NAME: Final = "bracket-qglj"
FILE: Final = f"{NAME}.gcode.3mf"
OLD: Final[Fields] = {"subtask_name": "old-1", "gcode_file": "old-1.gcode.3mf", "subtask_id": "77", "task_id": "77"}
OLD_WITHOUT_ID: Final[Fields] = OLD | {"subtask_id": "0", "task_id": "0"}
OURS: Final[Fields] = {
    "subtask_name": NAME, "gcode_file": FILE, "subtask_id": str(NUMBER), "task_id": str(NUMBER),
}  # fmt: skip
OURS_WITHOUT_ID: Final[Fields] = OURS | {"subtask_id": "0", "task_id": "0"}
NEW: Final = 0.0
SETTLED: Final = SETTLE_S


def view(state: str = "RUNNING", **told: Any) -> View:
    return View(in_state(state, **told), P1S)


def mark(before: Fields | None = None, state: str = "FINISH", *, number: int | None = NUMBER) -> StartMark:
    """A start that was published while the printer showed `before` in `state`."""
    shown = view(state, **(OLD if before is None else before))
    return StartMark(job_number=number, name=NAME, file=FILE, before=shown.identity, before_state=shown.state)


def seen(told: Fields, state: str = "RUNNING", *, by: StartMark | None = None, active_for: float = NEW) -> Sighting:
    return sight(by or mark(), view(state, **told), active_for=active_for)


# -- by id -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["subtask_id", "task_id", "job_id"])
@pytest.mark.parametrize("value", [str(NUMBER), NUMBER], ids=["text", "number"])
@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_a_print_with_our_id_is_ours_at_once_whatever_it_is_called(key: str, value: object, state: str) -> None:
    assert seen(OLD | {key: value}, state) is Sighting.OURS_ACTIVE


@pytest.mark.parametrize("identifier", [str(NUMBER + 1), f"{NUMBER}0", f"0{NUMBER}"])
def test_a_print_with_another_new_id_is_somebody_elses_at_once(identifier: str) -> None:
    assert seen(OLD | {"subtask_id": identifier}) is Sighting.FOREIGN


def test_a_print_with_another_new_id_is_not_ours_under_our_name_either() -> None:
    assert seen(OURS | {"subtask_id": "99", "task_id": "99"}, active_for=SETTLED) is Sighting.FOREIGN


# -- by name, where there is no id -----------------------------------------------------------------

NO_IDS: Final[tuple[Fields, ...]] = (
    {"subtask_id": "0", "task_id": "0"},
    {"subtask_id": "", "task_id": ""},
    {"subtask_id": None, "task_id": None},
    {"subtask_id": 0, "task_id": 0, "job_id": "0"},
)


@pytest.mark.parametrize("ids", NO_IDS, ids=str)
@pytest.mark.parametrize("before", [OLD, OLD_WITHOUT_ID], ids=["after a print with an id", "after one without"])
def test_a_print_without_an_id_is_ours_by_its_name(ids: Fields, before: Fields) -> None:
    assert seen(OURS | ids, by=mark(before)) is Sighting.OURS_ACTIVE


@pytest.mark.parametrize("ids", NO_IDS, ids=str)
def test_a_print_without_an_id_is_not_ours_by_another_name(ids: Fields) -> None:
    assert seen(OURS | ids | {"subtask_name": "another"}) is Sighting.FOREIGN


@pytest.mark.parametrize("state", ["RUNNING", "PAUSE", "PREPARE", "SLICING"])
def test_a_print_that_was_active_under_our_name_before_is_never_ours(state: str) -> None:
    already = mark(OURS_WITHOUT_ID, state)
    for active_for in (NEW, SETTLED, 3600.0):
        assert seen(OURS_WITHOUT_ID, by=already, active_for=active_for) is Sighting.NOTHING
    assert seen(OURS_WITHOUT_ID | {"subtask_name": "another"}, by=already) is Sighting.FOREIGN


@pytest.mark.parametrize("state", ["IDLE", "FINISH", "FAILED"])
def test_an_old_end_under_our_name_is_nothing(state: str) -> None:
    assert seen(OURS_WITHOUT_ID, state, by=mark(OURS_WITHOUT_ID, state)) is Sighting.NOTHING


def test_the_counter_that_a_p2s_puts_into_its_task_id_says_nothing() -> None:
    before = mark(OLD_WITHOUT_ID | {"task_id": "41"})
    ours = OURS_WITHOUT_ID | {"task_id": "42", "job_id": "42"}
    assert seen(ours, by=before) is Sighting.OURS_ACTIVE
    assert seen(OLD_WITHOUT_ID | {"task_id": "42"}, by=before) is Sighting.NOTHING


# -- in several steps ------------------------------------------------------------------------------


def test_the_state_may_come_before_the_name_and_the_ids() -> None:
    assert seen(OLD, "PREPARE") is Sighting.NOTHING
    assert seen(OLD | {"subtask_name": NAME}, "PREPARE", active_for=1.0) is Sighting.NOTHING
    assert seen(OURS, "PREPARE", active_for=2.0) is Sighting.OURS_ACTIVE


def test_the_names_may_come_before_the_state() -> None:
    assert seen(OLD, "FINISH") is Sighting.NOTHING
    assert seen(OLD | {"subtask_name": NAME}, "FINISH") is Sighting.NOTHING
    assert seen(OURS, "FINISH") is Sighting.NOTHING
    assert seen(OURS, "PREPARE") is Sighting.OURS_ACTIVE


def test_the_ids_may_be_emptied_before_they_come() -> None:
    assert seen(OLD_WITHOUT_ID, "PREPARE") is Sighting.NOTHING
    assert seen(OLD_WITHOUT_ID | {"subtask_name": ""}, "PREPARE", active_for=1.0) is Sighting.NOTHING
    assert seen(OURS_WITHOUT_ID, "PREPARE", active_for=2.0) is Sighting.OURS_ACTIVE


def test_our_name_with_the_last_prints_id_is_ours_once_nothing_more_comes() -> None:
    told = OURS | {"subtask_id": OLD["subtask_id"], "task_id": OLD["task_id"]}
    assert seen(told, active_for=SETTLE_S - 0.1) is Sighting.NOTHING
    assert seen(told, active_for=SETTLE_S) is Sighting.OURS_ACTIVE


@pytest.mark.parametrize("before", [OLD, OLD_WITHOUT_ID], ids=["with an id", "without one"])
def test_a_print_that_keeps_the_last_ones_names_may_be_anybodys(before: Fields) -> None:
    for active_for in (NEW, SETTLED, 3600.0):
        assert seen(before, by=mark(before), active_for=active_for) is Sighting.NOTHING
    assert seen(OURS, by=mark(before), active_for=3600.0) is Sighting.OURS_ACTIVE
    assert seen(before | {"subtask_id": "99"}, by=mark(before), active_for=3600.0) is Sighting.FOREIGN


def test_a_name_of_somebody_else_is_foreign_as_soon_as_it_is_seen() -> None:
    assert seen(OLD | {"subtask_name": "another"}) is Sighting.FOREIGN
    assert seen(OLD_WITHOUT_ID | {"subtask_name": "another"}) is Sighting.FOREIGN


# -- ends ------------------------------------------------------------------------------------------


def test_a_finish_that_lingers_under_the_new_name_is_not_an_end() -> None:
    assert seen(OURS, "FINISH", by=mark(state="FINISH")) is Sighting.NOTHING
    assert seen(OURS_WITHOUT_ID, "FINISH", by=mark(state="FINISH")) is Sighting.NOTHING


@pytest.mark.parametrize(("before", "after"), [("IDLE", "FINISH"), ("FAILED", "FINISH"), ("FINISH", "FAILED")])
def test_another_end_under_our_id_is_ours(before: str, after: str) -> None:
    assert seen(OURS, after, by=mark(state=before)) is Sighting.OURS_ENDED


CANCELLED: Final = OURS | {"print_error": 0x0300400C}


def test_a_cancelled_print_of_ours_has_ended_also_where_the_last_one_failed_too() -> None:
    assert seen(CANCELLED, "FAILED", by=mark(state="FAILED")) is Sighting.OURS_ENDED


def test_a_cancellation_that_was_shown_before_our_start_is_not_the_end_of_ours() -> None:
    lingering = replace(mark(state="FAILED"), before_error=0x0300400C)
    assert seen(CANCELLED, "FAILED", by=lingering) is Sighting.NOTHING
    assert seen(CANCELLED, "FAILED", by=replace(lingering, before_error=0x05004003)) is Sighting.OURS_ENDED
    assert seen(CANCELLED, "FAILED", by=replace(lingering, before_state=GcodeState.IDLE)) is Sighting.OURS_ENDED


def test_an_end_of_somebody_elses_is_nothing() -> None:
    assert seen(OLD | {"subtask_id": "99"}, "FAILED") is Sighting.NOTHING


def test_an_idle_printer_shows_nothing() -> None:
    assert seen(OURS, "IDLE") is Sighting.NOTHING


@pytest.mark.parametrize("state", sorted(UNKNOWN))
def test_a_state_that_nobody_knows_shows_nothing(state: str) -> None:
    assert seen(OURS, state) is Sighting.NOTHING
    assert seen(OLD | {"subtask_name": "another"}, state) is Sighting.NOTHING


# -- plain g-code ----------------------------------------------------------------------------------

PLAIN_MARK: Final = StartMark(
    job_number=None,
    name="cube-qglj",
    file="cube.gcode",
    before=view("IDLE", **OLD_WITHOUT_ID).identity,
    before_state=GcodeState.IDLE,
)


@pytest.mark.parametrize(
    "told",
    [
        {"gcode_file": "cube.gcode", "subtask_name": ""},
        {"gcode_file": "/sdcard/cube.gcode", "subtask_name": ""},
        {"gcode_file": "", "subtask_name": "cube.gcode"},
    ],
    ids=str,
)
def test_plain_g_code_is_ours_by_its_file(told: Fields) -> None:
    assert seen(OLD_WITHOUT_ID | told, by=PLAIN_MARK) is Sighting.OURS_ACTIVE


def test_plain_g_code_may_be_started_twice() -> None:
    told = OLD_WITHOUT_ID | {"gcode_file": "cube.gcode", "subtask_name": ""}
    again = replace(PLAIN_MARK, before=view("FINISH", **told).identity, before_state=GcodeState.FINISH)
    assert seen(told, "FINISH", by=again) is Sighting.NOTHING
    assert seen(told, "RUNNING", by=again) is Sighting.OURS_ACTIVE


def test_plain_g_code_that_ran_before_is_never_ours() -> None:
    told = OLD_WITHOUT_ID | {"gcode_file": "cube.gcode", "subtask_name": ""}
    already = replace(PLAIN_MARK, before=view("RUNNING", **told).identity, before_state=GcodeState.RUNNING)
    for active_for in (NEW, SETTLED, 3600.0):
        assert seen(told, by=already, active_for=active_for) is Sighting.NOTHING


def test_another_file_is_somebody_elses() -> None:
    told = OLD_WITHOUT_ID | {"gcode_file": "sphere.gcode", "subtask_name": "sphere"}
    assert seen(told, by=PLAIN_MARK) is Sighting.FOREIGN


def test_a_sliced_print_is_not_ours_by_its_file_alone() -> None:
    assert seen(OLD_WITHOUT_ID | {"gcode_file": FILE, "subtask_name": "another"}) is Sighting.FOREIGN


# -- afterwards ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["RUNNING", "PAUSE", "FINISH", "FAILED"])
def test_a_print_is_known_again_by_its_id_or_name(state: str) -> None:
    for told in (OURS, OURS_WITHOUT_ID):
        assert is_print_of(mark(), view(state, **told))
    for told in (OLD, OLD_WITHOUT_ID, OLD | {"subtask_id": "99"}):
        assert not is_print_of(mark(), view(state, **told))


@pytest.mark.parametrize("told", [OURS, OURS_WITHOUT_ID, OURS | {"subtask_name": "renamed"}], ids=str)
def test_our_own_print_is_never_another(told: Fields) -> None:
    assert not is_another(mark(), view(**told))


@pytest.mark.parametrize("nothing", ["", None])
@pytest.mark.parametrize("ids", NO_IDS, ids=str)
def test_a_print_without_a_name_and_an_id_is_not_certainly_another(nothing: str | None, ids: Fields) -> None:
    assert not is_another(mark(), view(**(ids | {"subtask_name": nothing})))


@pytest.mark.parametrize(
    "told", [OLD, OLD_WITHOUT_ID, OURS | {"subtask_id": "99", "task_id": "99"}, {"subtask_id": "99"}], ids=str
)
def test_a_print_with_another_name_or_id_is_another(told: Fields) -> None:
    assert is_another(mark(), view(**told))


# -- whatever is reported --------------------------------------------------------------------------

TEXTS: Final = st.sampled_from(["", "0", NAME, FILE, "another", str(NUMBER), "42"])


@given(any_report(), st.floats(0, 1000), st.sampled_from([mark(), mark(OLD_WITHOUT_ID, "IDLE"), PLAIN_MARK]))
def test_any_report_is_a_sighting(report: Fields, active_for: float, by: StartMark) -> None:
    found = sight(by, View(report, P1S), active_for=active_for)
    state = View(report, P1S).state
    assert found is not Sighting.OURS_ACTIVE or state in ACTIVE
    assert found is not Sighting.FOREIGN or state in ACTIVE


@given(TEXTS, TEXTS, TEXTS, TEXTS, st.floats(0, 1000))
def test_without_our_id_or_name_no_print_is_ours(name: str, subtask: str, task: str, job: str, active: float) -> None:
    told = {"subtask_name": name, "subtask_id": subtask, "task_id": task, "job_id": job}
    has_ours = name == NAME or str(NUMBER) in (subtask, task, job)
    found = seen(told, active_for=active)
    assert has_ours or found not in (Sighting.OURS_ACTIVE, Sighting.OURS_ENDED)
    if has_ours and subtask in ("", "0", str(NUMBER)):
        assert found is Sighting.OURS_ACTIVE


def test_a_mark_taken_of_an_untold_state_is_ours_only_by_id() -> None:
    unknown = mark(OLD_WITHOUT_ID, UNTOLD)
    assert unknown.before_state is None
    assert seen(OURS, by=unknown) is Sighting.OURS_ACTIVE
    assert seen(OURS_WITHOUT_ID, by=unknown, active_for=SETTLED) is Sighting.NOTHING
    assert seen(OURS_WITHOUT_ID | {"subtask_name": "another"}, by=unknown) is Sighting.FOREIGN
