"""What is learned of Developer Mode from what a printer says anyway."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.obedience import SETTLING_S, Obedience, is_signing_refusal
from bambu_connector.bambu.report import Reply
from bambu_connector.bambu.view import View
from tests.bambu.reports import p1s

ON: Final = "3EC18FFF9CFF"
OFF: Final = "3EC1AFFF9CFF"
COMPLAINT: Final = [{"attr": 0x05000500, "code": 0x00010007}]
LATER: Final = SETTLING_S + 100


def view(**changes: Any) -> View:
    return View(p1s(**changes), TRAITS[Model.P1S])


def reply(**fields: Any) -> Reply:
    return Reply("print", "gcode_line", "1", fields)


REFUSED: Final = reply(result="failed", reason="mqtt message verify failed", err_code=84033543)


def in_session(*, opened: float = 0.0) -> Obedience:
    """Return what is known at the beginning of a session whose first report told nothing of it."""
    found = Obedience()
    found.session_opened(opened)
    found.reported(view(), is_first=True)
    return found


def test_nothing_is_known_at_first() -> None:
    assert Obedience().developer_mode(LATER) is None
    assert in_session().developer_mode(LATER) is None


# -- fun -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fun", "mode"), [(ON, True), (OFF, False), ("100d122002fbd", False), (None, None)])
def test_bit_29_of_fun_decides_at_once(fun: str | None, mode: bool | None) -> None:
    found = Obedience()
    found.session_opened(0.0)
    found.reported(view(fun=fun), is_first=True)
    assert found.developer_mode(0.0) is mode


def test_each_new_fun_counts_at_once() -> None:
    found = in_session()
    for fun, mode in ((OFF, False), (ON, True), (OFF, False)):
        found.reported(view(fun=fun), is_first=False)
        assert found.developer_mode(LATER) is mode


@pytest.mark.parametrize(("fun", "mode"), [(ON, True), (OFF, False)])
def test_where_fun_tells_it_nothing_else_counts(fun: str, mode: bool) -> None:
    found = in_session()
    found.reported(view(fun=fun, hms=COMPLAINT), is_first=False)
    found.replied(REFUSED)
    assert found.developer_mode(LATER) is mode
    found.obeyed()
    assert found.developer_mode(LATER) is mode


def test_a_fun_disproves_what_was_learned_before_it() -> None:
    found = in_session()
    found.replied(REFUSED)
    found.reported(view(fun=ON), is_first=False)
    found.reported(view(fun=None), is_first=False)
    assert found.developer_mode(LATER) is None


# -- replies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"result": "failed", "reason": "mqtt message verify failed", "err_code": 84033543},
        {"result": "fail", "reason": "MQTT message verify failed"},
        {"result": "failed", "err_code": 0x05024007},
        {"err_code": 0x05024009},
    ],
    ids=str,
)
def test_a_refusal_for_want_of_a_signature_means_off_and_stays(fields: dict[str, Any]) -> None:
    found = in_session()
    found.replied(reply(**fields))
    for _ in range(3):
        found.reported(view(), is_first=False)
        assert found.developer_mode(LATER) is False


@pytest.mark.parametrize(
    "fields",
    [
        {"result": "failed", "reason": "busy", "err_code": 0x05004004},
        {"result": "success"},
        {"result": "success", "reason": "verify failed is not what this is"},
        {},
    ],
    ids=str,
)
def test_any_other_reply_says_nothing(fields: dict[str, Any]) -> None:
    assert not is_signing_refusal(reply(**fields))
    found = in_session()
    found.replied(reply(**fields))
    assert found.developer_mode(LATER) is None


def test_the_last_word_on_commands_counts() -> None:
    found = in_session()
    found.obeyed()
    assert found.developer_mode(LATER) is True
    found.replied(REFUSED)
    assert found.developer_mode(LATER) is False
    found.obeyed()
    assert found.developer_mode(LATER) is True


# -- complaints ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "mode"), [(0.0, None), (SETTLING_S - 0.1, None), (SETTLING_S, False)])
def test_a_complaint_in_hms_says_nothing_in_the_first_seconds_of_a_session(age: float, mode: bool | None) -> None:
    found = Obedience()
    found.session_opened(1000.0)
    found.reported(view(hms=COMPLAINT), is_first=True)
    assert found.developer_mode(1000.0 + age) is mode


def test_a_complaint_in_hms_counts_as_long_as_it_is_shown() -> None:
    found = in_session()
    found.reported(view(hms=COMPLAINT), is_first=False)
    assert found.developer_mode(LATER) is False
    found.reported(view(hms=[]), is_first=False)
    assert found.developer_mode(LATER) is None


def test_a_command_that_was_obeyed_disproves_a_complaint_until_it_comes_again() -> None:
    found = in_session()
    found.reported(view(hms=COMPLAINT), is_first=False)
    found.obeyed()
    assert found.developer_mode(LATER) is True
    found.reported(view(hms=[]), is_first=False)
    found.reported(view(hms=COMPLAINT), is_first=False)
    assert found.developer_mode(LATER) is False


@pytest.mark.parametrize("error", [0x05024007, 0x05024009])
def test_a_print_error_that_appears_is_a_refusal_too(error: int) -> None:
    found = in_session()
    found.reported(view(print_error=error), is_first=False)
    assert found.developer_mode(LATER) is False


def test_a_print_error_from_before_the_session_says_nothing() -> None:
    found = Obedience()
    found.session_opened(0.0)
    found.reported(view(print_error=0x05024007), is_first=True)
    found.reported(view(print_error=0x05024007, mc_percent=3), is_first=False)
    assert found.developer_mode(LATER) is None


# -- sessions and firmware -------------------------------------------------------------------------


def test_a_new_session_makes_an_off_that_was_learned_unknown_for_it_could_never_be_disproved() -> None:
    found = in_session()
    found.replied(REFUSED)
    found.session_opened(LATER)
    assert found.developer_mode(LATER) is None


def test_a_new_session_keeps_an_on_that_was_learned_for_the_next_command_would_disprove_it() -> None:
    found = in_session()
    found.obeyed()
    found.session_opened(LATER)
    found.reported(view(), is_first=True)
    assert found.developer_mode(LATER) is True


def test_a_complaint_of_the_last_session_is_judged_anew() -> None:
    found = in_session()
    found.reported(view(hms=COMPLAINT), is_first=False)
    found.session_opened(LATER)
    assert found.developer_mode(LATER + SETTLING_S) is None
    found.reported(view(hms=COMPLAINT), is_first=True)
    assert found.developer_mode(LATER + SETTLING_S) is False


@pytest.mark.parametrize("obeyed", [True, False])
def test_another_firmware_makes_unknown_what_was_learned(obeyed: bool) -> None:
    found = in_session()
    if obeyed:
        found.obeyed()
    else:
        found.replied(REFUSED)
    found.firmware_changed()
    assert found.developer_mode(LATER) is None


_REPORTS: Final[dict[str, dict[str, object]]] = {
    "complaint": {"hms": COMPLAINT},
    "calm": {"hms": []},
    "error": {"print_error": 0x05024007},
}
_NEWS: Final = st.sampled_from(["refused", "obeyed", "session", *_REPORTS])


@given(st.lists(_NEWS), st.sampled_from([ON, OFF]))
def test_whatever_was_learned_the_next_fun_is_what_counts(history: list[str], fun: str) -> None:
    found = Obedience()
    for each in history:
        match each:
            case "refused":
                found.replied(REFUSED)
            case "obeyed":
                found.obeyed()
            case "session":
                found.session_opened(0.0)
            case _:
                found.reported(view(**_REPORTS[each]), is_first=False)
    found.reported(view(fun=fun), is_first=False)
    assert found.developer_mode(LATER) is (fun == ON)
