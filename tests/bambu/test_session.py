"""One session with one printer: when it asks, when it wakes the printer, when it gives up. No time passes here."""

from collections.abc import Sequence

import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.request import GetVersion, PushAll, PushStart, Request
from bambu_connector.bambu.session import (
    ANSWER_S,
    FIRST_REPORT_S,
    FULL_RETRY_S,
    PROBE_S,
    SILENCE_S,
    VERSION_TRIES,
    WAKE_S,
    Rebuild,
    Session,
)
from bambu_connector.bambu.view import View
from tests.bambu.reports import p1s

INTERVAL = 300.0


def view(**changes: object) -> View:
    return View(p1s(**changes), TRAITS[Model.P1S])


def opened(*, quiet: bool = False) -> Session:
    session = Session(pushall_interval=INTERVAL, now=0.0)
    session.open(0.0, quiet=quiet)
    return session


def healthy(now: float = 1.0) -> Session:
    """A session that has its full report and its version."""
    session = opened()
    session.reported(view(), now)
    session.answered(now)
    return session


def kinds(advice: Sequence[Request | Rebuild]) -> list[type]:
    return [type(each) for each in advice]


def rebuild(advice: Sequence[Request | Rebuild]) -> Rebuild:
    (only,) = advice
    assert isinstance(only, Rebuild)
    return only


def test_a_session_begins_with_the_version_and_a_full_report() -> None:
    assert kinds(Session(pushall_interval=INTERVAL, now=0.0).open(0.0, quiet=False)) == [GetVersion, PushAll]


def test_a_session_that_must_be_quiet_asks_for_no_report() -> None:
    assert kinds(Session(pushall_interval=INTERVAL, now=0.0).open(0.0, quiet=True)) == [GetVersion]


def test_a_session_without_a_base_asks_for_one_again_and_again_but_not_often() -> None:
    session = opened(quiet=True)
    asked = [now for now in range(1, 100) if kinds(session.need_base(float(now))) == [PushAll]]
    assert asked == [1, 31, 61, 91]


def test_a_session_with_a_base_needs_none() -> None:
    assert healthy().need_base(1000.0) == ()


def test_a_healthy_session_needs_nothing() -> None:
    session = healthy()
    for now in range(2, 200):
        session.reported(view(), float(now))
        assert kinds(session.tick(float(now))) == []


# -- silence ---------------------------------------------------------------------------------------


def test_a_session_on_which_nothing_was_ever_said_is_mute() -> None:
    session = opened()
    assert kinds(session.tick(FIRST_REPORT_S - 0.1)) == []
    assert rebuild(session.tick(FIRST_REPORT_S)).mute


def test_a_quiet_session_asks_before_it_is_mute() -> None:
    session = opened(quiet=True)
    assert kinds(session.tick(FIRST_REPORT_S)) == [PushAll]
    assert kinds(session.tick(2 * FIRST_REPORT_S - 0.1)) == []
    assert rebuild(session.tick(2 * FIRST_REPORT_S)).mute


def test_a_printer_that_falls_silent_is_woken_and_then_given_up() -> None:
    session = healthy(now=1000.0)
    assert kinds(session.tick(1000.0 + SILENCE_S - 0.1)) == []
    assert kinds(session.tick(1000.0 + SILENCE_S)) == [PushStart, PushAll]
    assert kinds(session.tick(1000.0 + SILENCE_S + WAKE_S - 0.1)) == []
    given_up = rebuild(session.tick(1000.0 + SILENCE_S + WAKE_S))
    assert not given_up.mute
    assert "no report" in given_up.reason


def test_waking_asks_for_no_second_full_report_within_the_interval() -> None:
    session = healthy(now=1.0)
    assert kinds(session.tick(1.0 + SILENCE_S)) == [PushStart]


def test_a_printer_that_woke_up_is_watched_anew() -> None:
    session = healthy(now=1000.0)
    session.tick(1000.0 + SILENCE_S)
    woke = 1000.0 + SILENCE_S + 1
    session.reported(view(), woke)
    session.answered(woke)
    assert kinds(session.tick(woke + WAKE_S)) == []
    assert kinds(session.tick(woke + SILENCE_S)) == [PushStart]


def test_what_was_missed_while_a_printer_was_busy_is_excused() -> None:
    session = healthy(now=1000.0)
    session.excuse(1200.0)
    assert kinds(session.tick(1200.0 + SILENCE_S - 0.1)) == []


def test_a_mute_session_can_be_excused() -> None:
    session = opened()
    session.excuse(100.0)
    assert kinds(session.tick(100.0 + FIRST_REPORT_S - 0.1)) == []


# -- the full report -------------------------------------------------------------------------------


def test_a_full_report_that_does_not_come_is_asked_for_again() -> None:
    session = opened()
    session.answered(1.0)
    asked = []
    for now in range(1, 100):
        session.reported(None, float(now))
        asked += [now] * kinds(session.tick(float(now))).count(PushAll)
    assert asked == [FULL_RETRY_S, 2 * FULL_RETRY_S, 3 * FULL_RETRY_S]


def test_a_refresh_keeps_the_model_s_interval() -> None:
    session = healthy()
    assert kinds(session.refresh(INTERVAL - 1)) == []
    assert kinds(session.refresh(INTERVAL)) == [PushAll]
    assert kinds(session.refresh(INTERVAL + 1)) == []


def test_a_print_without_its_number_of_layers_asks_once() -> None:
    session = healthy()
    running = view(gcode_state="RUNNING", layer_num=1, total_layer_num=None)
    assert kinds(session.reported(running, 400.0)) == [PushAll]
    assert kinds(session.reported(running, 401.0)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"gcode_state": "RUNNING", "layer_num": 0, "total_layer_num": None},
        {"gcode_state": "RUNNING", "layer_num": 3, "total_layer_num": 20},
        {"gcode_state": "FINISH", "layer_num": 3, "total_layer_num": None},
    ],
)
def test_no_other_print_asks(changes: dict[str, object]) -> None:
    assert kinds(healthy().reported(view(**changes), 400.0)) == []


# -- being heard -----------------------------------------------------------------------------------


def test_a_version_that_does_not_come_is_asked_for_again_and_then_nobody_hears_us() -> None:
    session = opened()
    seen: list[type] = []
    for now in range(1, int(ANSWER_S) * VERSION_TRIES):
        session.reported(view(), float(now))
        seen += kinds(session.tick(float(now)))
    assert seen == [GetVersion] * (VERSION_TRIES - 1)
    end = ANSWER_S * VERSION_TRIES
    session.reported(view(), end)
    assert "hear" in rebuild(session.tick(end)).reason


def test_a_healthy_session_proves_now_and_then_that_it_is_heard() -> None:
    session = healthy(now=1.0)
    session.reported(view(), PROBE_S)
    assert kinds(session.tick(PROBE_S)) == []
    session.reported(view(), PROBE_S + 1)
    assert kinds(session.tick(PROBE_S + 1)) == [GetVersion]


def test_a_suspected_session_has_one_question_to_answer() -> None:
    session = healthy(now=1.0)
    assert kinds(session.suspect(10.0)) == [GetVersion]
    assert kinds(session.suspect(11.0)) == []
    session.reported(view(), 10.0 + ANSWER_S)
    assert "hear" in rebuild(session.tick(10.0 + ANSWER_S)).reason


def test_an_answer_clears_the_suspicion() -> None:
    session = healthy(now=1.0)
    session.suspect(10.0)
    session.answered(11.0)
    session.reported(view(), 10.0 + ANSWER_S)
    assert kinds(session.tick(10.0 + ANSWER_S)) == []


@pytest.mark.parametrize("change", [{"online": {"version": 8}}, {"upgrade_state": {"dis_state": 3}}])
def test_new_modules_are_asked_for_their_version(change: dict[str, object]) -> None:
    session = healthy()
    assert kinds(session.reported(view(), 2.0)) == []
    assert kinds(session.reported(view(**change), 3.0)) == [GetVersion]
    assert kinds(session.reported(view(**change), 4.0)) == []


@pytest.mark.parametrize("value", [None, "x", [], 3])
def test_fields_of_a_wrong_type_are_no_news(value: object) -> None:
    session = opened()
    session.reported(view(online=value, upgrade_state=value), 1.0)
    session.answered(1.0)
    assert kinds(session.reported(view(online=value, upgrade_state=value), 2.0)) == []
