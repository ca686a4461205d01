"""How long to wait before trying again."""

from collections import Counter

from bambu_connector.service.backoff import FIRST_S, LONGEST_S, REFUSED_S, Backoff


def test_delays_double_up_to_the_longest_and_are_spread() -> None:
    backoff = Backoff()
    expected = [1, 2, 4, 8, 16, 30, 30, 30]
    for base in expected:
        assert 0.75 * base <= backoff.delay(retryable=True) <= 1.25 * base
    assert expected[0] == FIRST_S
    assert expected[-1] == LONGEST_S


def test_two_of_them_are_not_in_step() -> None:
    one, other = Backoff(), Backoff()
    assert [one.delay(retryable=True) for _ in range(5)] != [other.delay(retryable=True) for _ in range(5)]


def test_what_needs_a_person_waits_long_and_does_not_change_the_others() -> None:
    backoff = Backoff()
    assert REFUSED_S <= backoff.delay(retryable=False) <= 1.1 * REFUSED_S
    assert backoff.delay(retryable=True) <= 1.25 * FIRST_S


def test_after_a_good_connection_it_begins_anew() -> None:
    backoff = Backoff(longest=8.0)
    for _ in range(6):
        assert backoff.delay(retryable=True) <= 10
    backoff.reset()
    assert backoff.delay(retryable=True) <= 1.25 * FIRST_S


def attempts(*, retryable: bool, printers: int = 1, hours: int = 1) -> Counter[int]:
    """Count the attempts in each second, when all failed at once and every attempt fails at once."""
    found: Counter[int] = Counter()
    for _ in range(printers):
        backoff, now = Backoff(), 0.0
        while (now := now + backoff.delay(retryable=retryable)) < 3600.0 * hours:
            found[int(now)] += 1
    return found


def test_a_printer_that_is_away_is_tried_two_or_three_times_a_minute() -> None:
    assert 96 <= attempts(retryable=True, hours=24).total() / 24 <= 165


def test_what_needs_a_person_is_tried_at_most_six_times_an_hour() -> None:
    assert 5 <= attempts(retryable=False, hours=24).total() / 24 <= 6


def test_a_farm_behind_a_dead_switch_does_not_come_back_in_a_storm() -> None:
    found = attempts(retryable=True, printers=500)
    assert max(found.values()) <= 300  # the first attempt of each, spread over half a second on either side of a second
    assert max(found[second] for second in range(60, 3600)) <= 80  # evenly spread it would be 17


def test_a_farm_that_is_refused_does_not_stay_in_step() -> None:
    found = attempts(retryable=False, printers=500)
    assert max(found.values()) <= 40
