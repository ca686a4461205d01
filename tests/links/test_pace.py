from bambu_connector.links import pace
from bambu_connector.links.pace import FLOOR_BYTES_PER_S, Pace


def test_a_byte_now_and_then_is_too_slow() -> None:
    watched = Pace(now=0.0, window_s=300.0)
    assert not any(watched.is_too_slow(1, now=now) for now in range(0, 300, 60))
    assert watched.is_too_slow(1, now=300.0)


def test_what_comes_at_the_least_speed_is_not_too_slow() -> None:
    watched = Pace(now=1000.0, window_s=300.0)
    assert not any(watched.is_too_slow(FLOOR_BYTES_PER_S, now=1000.0 + second) for second in range(1, 2000))


def test_a_pause_within_a_window_is_forgiven() -> None:
    watched = Pace(now=0.0, window_s=300.0)
    assert not watched.is_too_slow(300 * FLOOR_BYTES_PER_S, now=1.0)
    assert not watched.is_too_slow(1, now=300.0)


def test_a_good_start_does_not_excuse_what_follows() -> None:
    watched = Pace(now=0.0, window_s=300.0)
    assert not watched.is_too_slow(1_000_000_000, now=300.0)
    assert watched.is_too_slow(1, now=600.0)


def test_a_transfer_of_any_size_has_an_end() -> None:
    assert pace.longest_s(0) == pace.WINDOW_S
    assert pace.longest_s(1024**3) < 4 * 24 * 3600
