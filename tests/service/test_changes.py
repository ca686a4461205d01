"""What the log says of comings and goings."""

import logging
from collections.abc import Iterator

import pytest

from bambu_connector.service.changes import BURST, MOST_REASONS, REFILL_S, SETTLED_S, Changes

OFF = "192.0.2.1:8883 does not answer within 10 s"
BACK = "connected to 192.0.2.1"


class Lines(logging.Handler):
    """What was said at the levels that people read."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def told() -> list[logging.LogRecord]:
    return []


@pytest.fixture
def changes(told: list[logging.LogRecord]) -> Iterator[Changes]:
    lines = Lines()
    lines.records = told
    log = logging.getLogger("bambu_connector.one_connection")
    log.setLevel(logging.DEBUG)
    log.addHandler(lines)
    yield Changes(log)
    log.removeHandler(lines)
    log.setLevel(logging.NOTSET)


def test_a_trouble_that_stays_is_told_once(changes: Changes, told: list[logging.LogRecord]) -> None:
    for _ in range(1000):
        changes.gone(OFF, 30)
    assert [(each.levelname, each.getMessage()) for each in told] == [("WARNING", f"{OFF}; trying again in 30 s")]


def test_another_trouble_is_news_and_the_same_with_other_numbers_is_not(
    changes: Changes, told: list[logging.LogRecord]
) -> None:
    for seconds in range(100):
        changes.gone(f"no report for {seconds} s", 30)
        changes.gone("the name cannot be resolved", 30)
    assert len(told) == 2


def test_troubles_that_are_new_each_time_are_told_a_few_times(changes: Changes, told: list[logging.LogRecord]) -> None:
    for number in range(1000):
        changes.gone(f"nonsense {'x' * number}", 30)
    assert len(told) == MOST_REASONS


def test_a_session_is_told_when_it_is_proven_and_once(changes: Changes, told: list[logging.LogRecord]) -> None:
    for now in range(1000):
        changes.back(BACK, float(now))
    assert [(each.levelname, each.getMessage()) for each in told] == [("INFO", BACK)]


def test_after_a_session_the_same_trouble_is_news_again(changes: Changes, told: list[logging.LogRecord]) -> None:
    for day in range(3):
        changes.gone(OFF, 30)
        changes.gone(OFF, 30)
        changes.back(BACK, day * 86_400.0)
    assert [each.levelname for each in told] == ["WARNING", "INFO"] * 3


def test_one_that_comes_and_goes_is_told_a_few_times_and_then_as_gone(
    changes: Changes, told: list[logging.LogRecord]
) -> None:
    for number in range(100):
        changes.back(BACK, number * 20.0)
        changes.gone(OFF, 1)
    assert [each.levelname for each in told] == ["INFO", "WARNING"] * BURST
    assert "comes and goes" in told[-1].getMessage()
    assert "comes and goes" not in told[1].getMessage()


def test_when_it_has_held_it_is_told_as_back(changes: Changes, told: list[logging.LogRecord]) -> None:
    for number in range(100):
        changes.back(BACK, number * 20.0)
        changes.gone(OFF, 1)
    count = len(told)
    for second in range(3000, 3000 + int(SETTLED_S)):
        changes.back(BACK, float(second))
    assert len(told) == count
    changes.back(BACK, 3000 + SETTLED_S)
    assert [each.getMessage() for each in told[count:]] == [BACK]


def test_a_day_of_it_writes_a_bounded_number_of_lines(changes: Changes, told: list[logging.LogRecord]) -> None:
    for number in range(86_400 // 20):
        changes.back(BACK, number * 20.0)
        changes.gone(OFF, 1)
    assert len(told) <= 2 * (BURST + 86_400 / REFILL_S)
