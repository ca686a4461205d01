"""This machine's clocks, and moments that are compared after a restart."""

import time
from dataclasses import dataclass

import pytest

from bambu_connector.service import clock as module
from bambu_connector.service.clock import Clock, Moment, SystemClock


@dataclass(slots=True)
class SetClock:
    """Clocks that show what a test sets."""

    at: float = 1_000_000.0
    run: str = "first"
    since: float = 500.0
    is_sure: bool = True

    def monotonic(self) -> float:
        return self.since

    def wall(self) -> float:
        return self.at

    def boot(self) -> str:
        return self.run

    def since_boot(self) -> float:
        return self.since

    def wall_is_sure(self) -> bool:
        return self.is_sure


def test_the_system_clock_tells_all_its_times() -> None:
    clock: Clock = SystemClock()
    before = time.monotonic(), time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    now = clock.monotonic(), clock.wall(), clock.since_boot()
    after = time.monotonic(), time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    assert all(first <= here <= last for first, here, last in zip(before, now, after, strict=True))


def test_the_name_of_a_run_of_the_machine_stays() -> None:
    assert SystemClock().boot() == SystemClock().boot()
    assert Moment.now(SystemClock()).boot == SystemClock().boot()


@pytest.mark.parametrize(("state", "is_sure"), [(0, True), (1, True), (4, True), (5, False), (-1, False)])
def test_the_clock_on_the_wall_is_sure_when_the_kernel_says_it_is_synchronised(
    monkeypatch: pytest.MonkeyPatch, state: int, is_sure: bool
) -> None:
    monkeypatch.setattr(module, "_state_of_clock", lambda: state)
    assert SystemClock().wall_is_sure() is is_sure


def test_asking_the_kernel_changes_nothing_and_never_fails() -> None:
    assert module._state_of_clock() in range(-1, 6)


@pytest.mark.parametrize("jump", [0.0, 1e6, -1e6])
@pytest.mark.parametrize("is_sure", [True, False])
def test_within_one_run_of_the_machine_its_clock_cannot_jump(jump: float, is_sure: bool) -> None:
    clock = SetClock()
    moment = Moment.now(clock)
    clock.since += 90.0
    clock.at += 90.0 + jump
    clock.is_sure = is_sure
    assert moment.age(clock) == 90.0


def test_a_moment_of_this_run_is_never_in_the_future() -> None:
    clock = SetClock()
    assert Moment(clock.at, clock.run, clock.since + 5.0).age(clock) == 0.0


@pytest.mark.parametrize(
    ("later", "is_sure", "age"),
    [(90.0, True, 90.0), (0.0, True, 0.0), (90.0, False, None), (-0.5, True, None), (-1e6, True, None)],
)
def test_in_another_run_the_clock_on_the_wall_is_believed_when_it_is_sure_and_the_moment_is_past(
    later: float, is_sure: bool, age: float | None
) -> None:
    clock = SetClock()
    moment = Moment.now(clock)
    clock.run, clock.since, clock.at, clock.is_sure = "second", 7.0, clock.at + later, is_sure
    assert moment.age(clock) == age


def test_where_the_run_has_no_name_only_the_clock_on_the_wall_counts() -> None:
    clock = SetClock(run="")
    moment = Moment.now(clock)
    clock.since, clock.at = 5_000.0, clock.at + 60.0
    assert moment.age(clock) == 60.0
    clock.is_sure = False
    assert moment.age(clock) is None
