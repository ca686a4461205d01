"""What is told once: each event, silence where nothing happened, and how a print ended."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.view import View
from bambu_connector.translate.events import Event, EventTracker
from tests.bambu.reports import Fields, as_delta, p1s
from tests.translate.situations import ACTIVE, P1S, STATES, UNKNOWN, in_state

CANCELLED: Final = 0x0300400C
HMS: Final = {"attr": 0x03000100, "code": 0x00010001}
NOTICE: Final = {"attr": 0x0C000300, "code": 0x00040003}
TERMINAL: Final = frozenset({"PrintDone", "PrintFailed", "PrintCancelled"})
PRINT: Final[Fields] = {"gcode_file": "cube.gcode.3mf", "subtask_name": "cube", "subtask_id": "77"}


class Watch:
    """A printer that is watched: what it reports, and the events that follow."""

    def __init__(self, **baseline: Any) -> None:
        self.tracker = EventTracker()
        self.now = 0.0
        self.report = p1s(**PRINT, **baseline)
        self.events: list[Event] = self.tracker.report(View(self.report, P1S), self.now)

    def says(self, *, after: float = 0.1, **fields: Any) -> list[str]:
        """Let the printer report a change; return the events by name."""
        self.now += after
        folded = fold(self.report, as_delta(**fields))
        assert folded is not None
        self.report = folded
        return self._note(self.tracker.report(View(folded, P1S), self.now))

    def repeats(self) -> list[str]:
        """Let the printer report everything again, in full."""
        self.now += 0.1
        self.report = {**self.report, "sequence_id": str(self.now)}
        return self._note(self.tracker.report(View(dict(self.report), P1S), self.now))

    def reconnects(self, **fields: Any) -> list[str]:
        """The session breaks; the next one begins with a full report."""
        self.tracker.disconnected()
        self.report = self.report | fields
        return self._note(self.tracker.report(View(self.report, P1S), self.now))

    def wait(self, seconds: float) -> list[str]:
        """Let time go by, second by second."""
        found: list[Event] = []
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + 1.0, until)
            found += self.tracker.tick(self.now)
        return self._note(found)

    def _note(self, events: list[Event]) -> list[str]:
        self.events += events
        return [event.name for event in events if event.name != "PrinterStateChanged"]

    def last(self, name: str) -> Event:
        return next(event for event in reversed(self.events) if event.name == name)

    @property
    def terminal(self) -> list[str]:
        return [event.name for event in self.events if event.terminal]


def printing(**baseline: Any) -> Watch:
    return Watch(gcode_state="RUNNING", mc_percent=40, layer_num=80, **baseline)


# -- the baseline ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_the_first_report_is_a_baseline_and_not_a_change(state: str) -> None:
    report = in_state(state, hms=[HMS], print_error=0x07008011, stg_cur=6, ams={"tray_now": "2"})
    assert EventTracker().report(View(report, P1S), 0.0) == []


@pytest.mark.parametrize("state", STATES)
def test_after_a_reconnect_the_first_report_is_a_baseline_again(state: str) -> None:
    watch = printing()
    assert watch.reconnects(gcode_state=state, hms=[HMS], print_error=0x05004003, mc_percent=0) == []
    assert watch.wait(60) == []
    assert watch.events == []


def test_after_a_reconnect_changes_are_told_again() -> None:
    watch = printing()
    watch.reconnects()
    assert watch.says(gcode_state="FINISH") == ["PrintDone"]


@given(st.lists(st.sampled_from(STATES), max_size=6))
def test_full_reports_that_say_the_same_tell_nothing(states: list[str]) -> None:
    watch = Watch()
    for state in states:
        watch.says(gcode_state=state)
        before = len(watch.events)
        watch.repeats()
        watch.repeats()
        assert len(watch.events) == before


# -- the course of a print -------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["IDLE", "FINISH", "FAILED"])
@pytest.mark.parametrize("after", ["PREPARE", "SLICING", "RUNNING"])
def test_a_print_that_begins_is_told_once(before: str, after: str) -> None:
    watch = Watch(gcode_state=before)
    assert watch.says(gcode_state=after) == ["PrintStarted"]
    assert watch.says(gcode_state="RUNNING", mc_percent=1) == []


def test_pausing_and_resuming_are_told_each_time() -> None:
    watch = printing()
    for _ in range(2):
        assert watch.says(gcode_state="PAUSE") == ["PrintPaused"]
        assert watch.says(gcode_state="RUNNING") == ["PrintResumed"]


def test_a_print_that_finishes_is_done() -> None:
    watch = printing()
    assert watch.says(gcode_state="FINISH", mc_percent=100) == ["PrintDone"]
    assert watch.last("PrintDone").terminal
    assert watch.wait(60) == []


def test_a_whole_print_is_told_in_order() -> None:
    watch = Watch(gcode_state="FINISH")
    told = [
        watch.says(gcode_state=state, after=3.0)
        for state in ("PREPARE", "RUNNING", "PAUSE", "RUNNING", "FINISH", "IDLE")
    ]
    assert told == [["PrintStarted"], [], ["PrintPaused"], ["PrintResumed"], ["PrintDone"], []]


def test_an_event_tells_which_print_it_speaks_of() -> None:
    watch = Watch()
    watch.says(gcode_state="RUNNING", mc_percent=3, layer_num=2)
    job = {"file": "cube.gcode.3mf", "task_name": "cube", "percent": 3, "layer": 2}
    assert watch.last("PrintStarted").details["job"] == job


def test_the_end_tells_the_last_progress_also_where_firmware_zeroes_it() -> None:
    watch = printing()
    watch.says(gcode_state="FAILED", mc_percent=0, layer_num=0, print_error=CANCELLED)
    assert watch.last("PrintCancelled").details["job"] == {
        "file": "cube.gcode.3mf",
        "task_name": "cube",
        "percent": 40,
        "layer": 80,
    }


@pytest.mark.parametrize("state", sorted(ACTIVE - {"RUNNING"}) + sorted(UNKNOWN - {"", "untold"}))
def test_every_change_of_state_is_told_with_both_states(state: str) -> None:
    watch = printing()
    watch.says(gcode_state=state)
    changed = watch.last("PrinterStateChanged")
    assert (changed.details["from"], changed.details["to"]) == ("RUNNING", state)


def test_a_state_that_is_not_known_neither_begins_nor_ends_a_print() -> None:
    watch = printing()
    assert watch.says(gcode_state="UNKNOWN") == []
    assert watch.says(gcode_state="RUNNING") == []
    assert watch.wait(60) == []
    assert watch.says(gcode_state="") == []
    assert watch.says(gcode_state="FINISH") == ["PrintDone"]
    assert watch.says(gcode_state="INIT") == []
    assert watch.says(gcode_state="PREPARE") == ["PrintStarted"]


def test_a_calibration_is_not_a_print() -> None:
    watch = Watch(print_type="system")
    assert watch.says(gcode_state="RUNNING") == []
    assert watch.says(gcode_state="FINISH") == []
    assert watch.wait(60) == []


def test_a_finish_that_lingers_after_a_start_is_not_told_again() -> None:
    watch = printing()
    watch.says(gcode_state="FINISH")
    assert watch.says(subtask_name="next", subtask_id="78") == []
    assert watch.says(gcode_state="PREPARE", after=50.0) == ["PrintStarted"]


# -- cancelled, failed or done ---------------------------------------------------------------------


def test_a_print_that_fails_for_no_told_reason_has_failed() -> None:
    watch = printing()
    assert watch.says(gcode_state="FAILED") == []
    assert watch.wait(10) == ["PrintFailed"]
    assert watch.last("PrintFailed").terminal


def test_a_print_that_fails_tells_why() -> None:
    watch = printing()
    watch.says(gcode_state="FAILED", print_error=0x05004003)
    watch.wait(10)
    assert watch.last("PrintFailed").details["print_error"] == "0500-4003"


@pytest.mark.parametrize("code", [0x0300400C, 0x0500400E])
def test_the_code_of_a_cancellation_may_come_with_the_end(code: int) -> None:
    assert "PrintCancelled" in printing().says(gcode_state="FAILED", print_error=code)


def test_the_code_of_a_cancellation_may_come_before_the_end_and_be_gone() -> None:
    watch = printing()
    watch.says(print_error=CANCELLED)
    watch.says(print_error=0)
    assert watch.says(gcode_state="FAILED") == ["PrintCancelled"]
    assert watch.wait(60) == []


def test_the_code_of_a_cancellation_may_come_after_the_end() -> None:
    watch = printing()
    assert watch.says(gcode_state="FAILED") == []
    assert "PrintCancelled" in watch.says(print_error=CANCELLED, after=1.0)
    assert watch.wait(60) == []


def test_an_end_after_our_own_stop_is_a_cancellation_whatever_the_printer_says() -> None:
    for state in ("FAILED", "IDLE"):
        watch = printing()
        watch.tracker.note_stop()
        assert watch.says(gcode_state=state, after=5.0) == ["PrintCancelled"]
        assert watch.wait(60) == []


def test_an_end_after_a_stop_that_had_no_effect_is_what_the_printer_says() -> None:
    watch = printing()
    watch.tracker.note_stop()
    watch.tracker.forget_stop()
    watch.says(gcode_state="FAILED", after=5.0)
    assert watch.wait(10) == ["PrintFailed"]


def test_a_stop_before_the_print_that_had_no_effect_does_not_cancel_it() -> None:
    watch = Watch()
    watch.tracker.note_stop()
    watch.tracker.forget_stop()
    watch.says(gcode_state="RUNNING")
    watch.says(gcode_state="FAILED", after=5.0)
    assert watch.wait(10) == ["PrintFailed"]


def test_an_end_that_waits_for_its_cause_is_known_to_be_awaited() -> None:
    watch = printing()
    awaited = [watch.tracker.awaits_end]
    watch.says(gcode_state="FAILED")
    awaited.append(watch.tracker.awaits_end)
    watch.wait(10)
    awaited.append(watch.tracker.awaits_end)
    assert awaited == [False, True, False]


def test_a_stop_before_the_print_was_seen_makes_its_end_a_cancellation() -> None:
    watch = Watch()
    watch.tracker.note_stop()
    assert watch.says(gcode_state="RUNNING") == ["PrintStarted"]
    assert watch.says(gcode_state="FAILED") == ["PrintCancelled"]


def test_a_print_that_finishes_in_spite_of_a_stop_is_done() -> None:
    watch = printing()
    watch.tracker.note_stop()
    assert watch.says(gcode_state="FINISH") == ["PrintDone"]


@pytest.mark.parametrize("end", ["FINISH", "FAILED"])
def test_a_stop_says_nothing_about_the_next_print(end: str) -> None:
    watch = printing()
    watch.tracker.note_stop()
    watch.says(gcode_state=end)
    watch.says(gcode_state="RUNNING", after=10.0)
    watch.says(gcode_state="FAILED", after=10.0)
    assert watch.wait(10) == ["PrintFailed"]


@pytest.mark.parametrize("cleared", [{}, {"print_error": 0}], ids=["sticky", "cleared"])
def test_a_cancellation_says_nothing_about_the_next_print(cleared: Fields) -> None:
    watch = printing()
    watch.says(gcode_state="FAILED", print_error=CANCELLED)
    watch.says(gcode_state="RUNNING", after=10.0, **cleared)
    watch.says(print_error=0, after=1.0)
    watch.says(gcode_state="FAILED", after=10.0)
    assert watch.wait(10) == ["PrintFailed"]


def test_a_cancellation_that_a_baseline_shows_says_nothing_about_the_next_print() -> None:
    watch = Watch(gcode_state="FAILED", print_error=CANCELLED)
    watch.says(gcode_state="RUNNING")
    watch.says(print_error=0)
    watch.says(gcode_state="FAILED")
    assert watch.wait(10) == ["PrintFailed"]


def test_a_print_that_leaves_its_state_for_a_moment_has_not_ended() -> None:
    watch = printing()
    assert watch.says(gcode_state="IDLE") == []
    assert watch.says(gcode_state="RUNNING", after=1.0) == []
    assert watch.wait(60) == []
    assert watch.says(gcode_state="FINISH") == ["PrintDone"]
    assert watch.terminal == ["PrintDone"]


def test_a_print_that_finishes_by_way_of_idle_is_done() -> None:
    watch = printing()
    assert watch.says(gcode_state="IDLE") == []
    assert watch.says(gcode_state="FINISH", after=1.0) == ["PrintDone"]
    assert watch.wait(60) == []


def test_a_print_that_stays_away_has_ended() -> None:
    watch = printing()
    watch.says(gcode_state="IDLE")
    assert watch.wait(10) == ["PrintFailed"]
    assert watch.says(gcode_state="RUNNING") == ["PrintStarted"]


def test_a_print_that_follows_at_once_does_not_swallow_the_end_of_the_last() -> None:
    watch = printing()
    assert watch.says(gcode_state="FAILED") == []
    assert watch.says(gcode_state="PREPARE", subtask_name="next", subtask_id="78") == ["PrintFailed", "PrintStarted"]
    assert watch.wait(60) == []


def test_an_end_that_was_seen_is_told_also_when_the_session_breaks() -> None:
    watch = printing()
    watch.says(gcode_state="FAILED")
    told = watch.reconnects()
    assert told + watch.wait(10) == ["PrintFailed"]


# -- health ----------------------------------------------------------------------------------------


def test_an_error_is_told_when_it_comes_and_when_it_goes() -> None:
    watch = Watch()
    assert watch.says(hms=[HMS]) == ["Error"]
    came = watch.last("Error").details
    assert (came["code"], came["severity"], came["module"]) == ("0300-0100-0001-0001", "fatal", "motion controller")
    assert came["message"]
    assert came["url"]
    assert watch.says(hms=[]) == ["ErrorCleared"]
    assert watch.last("ErrorCleared").details["code"] == "0300-0100-0001-0001"


def test_an_error_that_stays_is_not_told_again() -> None:
    watch = Watch()
    watch.says(hms=[HMS])
    assert watch.says(hms=[HMS, NOTICE]) == ["Error"]
    assert watch.says(hms=[NOTICE, HMS]) == []
    assert watch.says(hms=[NOTICE]) == ["ErrorCleared"]


def test_a_print_error_is_an_error_too() -> None:
    watch = Watch()
    assert watch.says(print_error=0x05004003) == ["Error"]
    assert watch.last("Error").details["code"] == "0500-4003"
    assert watch.says(print_error=0x05008003) == ["Error", "ErrorCleared"]
    assert watch.says(print_error=0) == ["ErrorCleared"]


def test_nonsense_in_the_place_of_errors_tells_nothing() -> None:
    watch = Watch()
    assert watch.says(hms="none") == []
    assert watch.says(hms=[7, {}, {"attr": "x"}], print_error="?") == []


# -- filament --------------------------------------------------------------------------------------


def test_another_slot_is_a_change_of_filament() -> None:
    watch = Watch()
    assert watch.says(ams={"tray_now": "2"}) == ["FilamentChange"]
    assert watch.last("FilamentChange").details["active_slot"] == {"ams_id": 0, "slot_id": 2}
    assert watch.says(ams={"tray_now": "254"}) == ["FilamentChange"]
    assert watch.says(ams={"tray_now": "254", "tray_tar": "254"}) == []


def test_an_unloaded_nozzle_is_not_a_change_but_loading_again_is() -> None:
    watch = Watch(ams=p1s()["ams"] | {"tray_now": "2"})
    assert watch.says(ams={"tray_now": "255"}) == []
    assert watch.says(ams={"tray_now": "2"}) == ["FilamentChange"]


@pytest.mark.parametrize("code", [0x07008011, 0x07038011, 0x07FF8011])
def test_a_spool_that_runs_out_is_told_once_by_its_error(code: int) -> None:
    watch = printing()
    assert sorted(watch.says(print_error=code, gcode_state="PAUSE")) == ["Error", "FilamentRunout", "PrintPaused"]
    assert watch.says(stg_cur=6) == []


def test_a_spool_that_runs_out_is_told_by_the_stage_too() -> None:
    watch = printing()
    assert watch.says(stg_cur=6) == ["FilamentRunout"]
    assert watch.says(stg_cur=0) == []
    assert watch.says(stg_cur=6) == ["FilamentRunout"]


def test_a_stage_that_is_left_over_while_idle_is_no_runout() -> None:
    assert Watch().says(stg_cur=6) == []


# -- online ----------------------------------------------------------------------------------------


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def test_a_printer_that_comes_online_is_told_once() -> None:
    tracker = EventTracker()
    assert names(tracker.online(True, 0.0)) == ["Connected"]
    assert tracker.online(True, 1.0) == []


def test_a_printer_that_was_never_online_is_not_told_as_gone() -> None:
    tracker = EventTracker()
    assert [tracker.online(False, float(now)) for now in range(100)] == [[]] * 100


def test_a_gap_of_less_than_thirty_seconds_is_not_told() -> None:
    tracker = EventTracker()
    tracker.online(True, 0.0)
    assert tracker.online(False, 1.0) == []
    assert tracker.online(False, 30.9) == []
    assert tracker.online(True, 30.95) == []
    assert tracker.online(False, 31.0) == []
    assert tracker.online(False, 60.9) == []


def test_a_gap_of_thirty_seconds_is_told_once_and_the_return_too() -> None:
    tracker = EventTracker()
    tracker.online(True, 0.0)
    told = [names(tracker.online(False, float(now))) for now in range(1, 100)]
    assert [each for each in told if each] == [["Disconnected"]]
    assert told.index(["Disconnected"]) == 30
    assert names(tracker.online(True, 200.0)) == ["Connected"]


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=30))
def test_connected_and_disconnected_always_take_turns(steps: list[tuple[float, bool]]) -> None:
    tracker, now, told = EventTracker(), 0.0, []
    for wait, is_online in steps:
        now += wait
        told += names(tracker.online(is_online, now))
    assert told == ["Connected", "Disconnected"] * (len(told) // 2) + ["Connected"] * (len(told) % 2)


# -- whatever is reported --------------------------------------------------------------------------

DELTAS: Final = st.fixed_dictionaries(
    {},
    optional={
        "gcode_state": st.sampled_from(["IDLE", "PREPARE", "RUNNING", "PAUSE", "FINISH", "FAILED", "UNKNOWN"]),
        "print_error": st.sampled_from([0, CANCELLED, 0x05004003, 0x07008011]),
        "hms": st.lists(st.sampled_from([HMS, NOTICE]), max_size=2),
        "stg_cur": st.sampled_from([255, 0, 6]),
        "ams": st.sampled_from(["255", "0", "254"]).map(lambda slot: {"tray_now": slot}),
        "mc_percent": st.integers(0, 100),
    },
)
STEPS: Final = st.lists(st.tuples(st.sampled_from([0.1, 1.0, 3.0, 20.0]), DELTAS), max_size=15)


@given(STEPS, st.integers(0, 3))
def test_repeating_every_report_in_full_tells_nothing_twice(steps: list[tuple[float, Fields]], times: int) -> None:
    plain, repeated = Watch(), Watch()
    for after, fields in steps:
        plain.wait(after)
        repeated.wait(after)
        plain.says(after=0.0, **fields)
        repeated.says(after=0.0, **fields)
        for _ in range(times):
            repeated.now -= 0.1
            repeated.repeats()
    plain.wait(30)
    repeated.wait(30)
    assert [(event.name, event.details) for event in repeated.events] == [
        (event.name, event.details) for event in plain.events
    ]


@given(STEPS)
def test_a_print_that_was_told_ends_once_at_most(steps: list[tuple[float, Fields]]) -> None:
    watch = Watch()
    for after, fields in steps:
        watch.wait(after)
        watch.says(after=0.0, **fields)
    watch.wait(30)
    open_prints = 0
    for event in watch.events:
        open_prints += (event.name == "PrintStarted") - event.terminal
        assert open_prints >= 0, "an end without a beginning"
        assert event.terminal is (event.name in TERMINAL)
