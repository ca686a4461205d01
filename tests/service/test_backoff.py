"""How long to wait before trying again."""

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
    assert backoff.delay(retryable=False) == REFUSED_S
    assert backoff.delay(retryable=True) <= 1.25 * FIRST_S


def test_after_a_good_connection_it_begins_anew() -> None:
    backoff = Backoff(longest=8.0)
    for _ in range(6):
        assert backoff.delay(retryable=True) <= 10
    backoff.reset()
    assert backoff.delay(retryable=True) <= 1.25 * FIRST_S
