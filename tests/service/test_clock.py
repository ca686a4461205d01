"""This machine's clocks."""

import time

from bambu_connector.service.clock import Clock, SystemClock


def test_the_system_clock_tells_both_times() -> None:
    clock: Clock = SystemClock()
    before = time.monotonic(), time.time()
    now = clock.monotonic(), clock.wall()
    after = time.monotonic(), time.time()
    assert before[0] <= now[0] <= after[0]
    assert before[1] <= now[1] <= after[1]
