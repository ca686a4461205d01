"""How old a command may be: 30 s for what moves or heats, 15 minutes for the rest, for ever for stop and pause."""

import math
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.errors import Expired
from bambu_connector.printago.commands import Command
from bambu_connector.translate.age import CLOCK_SET_FROM, clock_is_set, is_from_the_future, seconds_left
from tests.printago.examples import EXAMPLES, Example, accepted, message

NOW: Final = 1_795_371_600.0
UNSET: Final = 3600.0
"""What a clock says an hour after a machine without one was switched on."""
every_command = pytest.mark.parametrize("each", EXAMPLES, ids=lambda each: each.command)


def command(each: str | Example = "movement_control/home", **header: Any) -> Command:
    if isinstance(each, Example):
        return accepted(message(each.command, each.parameters, **header))
    return accepted(message(each, **header))


def is_expired(found: Command, wall: float = NOW) -> bool:
    try:
        seconds_left(found, wall)
    except Expired:
        return True
    return False


@every_command
def test_a_command_expires_after_its_time_and_not_before(each: Example) -> None:
    if each.max_age is None:
        assert not is_expired(command(each, timestamp=NOW - 1e6))
        return
    assert not is_expired(command(each, timestamp=NOW - each.max_age))
    assert is_expired(command(each, timestamp=NOW - each.max_age - 0.1))


@every_command
def test_a_command_past_its_expires_at_is_expired_however_young_it_is(each: Example) -> None:
    past = command(each, timestamp=NOW, expires_at=NOW - 0.1)
    assert is_expired(past) is (each.max_age is not None)
    assert not is_expired(command(each, timestamp=NOW, expires_at=NOW + 0.1))


@every_command
def test_a_command_without_times_is_not_judged(each: Example) -> None:
    left, until = seconds_left(command(each), NOW)
    assert left == (math.inf if each.max_age is None else each.max_age)
    assert until == math.inf


@pytest.mark.parametrize("action", ["stop_print", "pause_print"])
def test_stop_and_pause_never_expire(action: str) -> None:
    old = command(f"printer_control/{action}", timestamp=0, expires_at=1)
    assert seconds_left(old, NOW) == (math.inf, math.inf)


def test_either_of_the_two_times_is_enough() -> None:
    assert is_expired(command(timestamp=NOW - 31, expires_at=NOW + 600))
    assert is_expired(command(timestamp=NOW - 1, expires_at=NOW - 1))


def test_what_is_left_is_counted_from_the_timestamp() -> None:
    assert seconds_left(command(timestamp=NOW - 12), NOW) == (18, math.inf)


def test_what_is_left_ends_with_the_expires_at() -> None:
    assert seconds_left(command(timestamp=NOW - 12, expires_at=NOW + 5), NOW) == (5, 5)
    assert seconds_left(command(timestamp=NOW - 12, expires_at=NOW + 50), NOW) == (18, 50)


@pytest.mark.parametrize("ahead", [0.1, 60, 86400, 1e9])
def test_a_timestamp_in_the_future_counts_as_now(ahead: float) -> None:
    assert seconds_left(command(timestamp=NOW + ahead), NOW) == (30, math.inf)


def test_a_senders_clock_that_is_ahead_is_noticed() -> None:
    assert is_from_the_future(command(timestamp=NOW + 60), NOW)
    assert not is_from_the_future(command(timestamp=NOW), NOW)
    assert not is_from_the_future(command(timestamp=NOW - 60), NOW)
    assert not is_from_the_future(command(), NOW)


def test_a_little_ahead_is_the_road_and_not_the_clock() -> None:
    assert not is_from_the_future(command(timestamp=NOW + 1), NOW)


@every_command
def test_with_a_clock_that_is_not_set_nothing_is_expired(each: Example) -> None:
    for header in ({"timestamp": 0}, {"expires_at": 1}, {"timestamp": NOW, "expires_at": NOW}):
        found = command(each, **header)
        assert not is_expired(found, UNSET)
        assert not is_from_the_future(found, UNSET)


def test_with_a_clock_that_is_not_set_a_command_may_wait_its_whole_time() -> None:
    assert seconds_left(command(timestamp=NOW, expires_at=5), UNSET) == (30, math.inf)


def test_a_clock_before_this_software_is_not_set() -> None:
    assert not clock_is_set(0.0)
    assert not clock_is_set(CLOCK_SET_FROM - 1)
    assert clock_is_set(CLOCK_SET_FROM)
    assert clock_is_set(NOW)


@given(
    st.sampled_from(EXAMPLES),
    st.none() | st.floats(-6e10, 2.5e11),
    st.none() | st.floats(-6e10, 2.5e11),
    st.floats(0, 4e9),
)
def test_what_is_left_is_never_negative_nor_more_than_the_whole(
    each: Example, timestamp: float | None, expires_at: float | None, wall: float
) -> None:
    found = command(each, timestamp=timestamp, expires_at=expires_at)
    if is_expired(found, wall):
        assert each.max_age is not None
        assert timestamp is not None or expires_at is not None
        return
    left, until = seconds_left(found, wall)
    assert 0 <= left <= (math.inf if each.max_age is None else each.max_age)
    assert left <= until
