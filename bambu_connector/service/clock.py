"""Time, as a thing that is passed in, and moments that can be compared after a restart."""

import ctypes
import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_BYTES: Final = 512  # struct timex has about 208
_NOT_SYNCHRONISED: Final = 5  # TIME_ERROR, of adjtimex(2)


class Clock(Protocol):
    """Two clocks, one that only goes forward and the one on the wall, and what each is worth after a restart."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    def wall(self) -> float:
        """Seconds since the epoch, as far as this machine knows."""

    def boot(self) -> str:
        """Return the name of this machine's present run, from power to power; empty where it cannot be told."""

    def since_boot(self) -> float:
        """Seconds since this run began, sleep included."""

    def wall_is_sure(self) -> bool:
        """Say whether the clock on the wall follows a time server: a Pi has no other way to know the time."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    """This machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def boot(self) -> str:
        return _boot_id()

    def since_boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_is_sure(self) -> bool:
        return _state_of_clock() not in (-1, _NOT_SYNCHRONISED)


@functools.cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _state_of_clock() -> int:
    """Return what adjtimex(2) says, having changed nothing; -1 where it may not be asked."""
    try:
        found: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return -1
    return found


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time that another process can compare with its own, also after the power was away."""

    wall: float
    boot: str
    since_boot: float

    @classmethod
    def now(cls, clock: Clock) -> "Moment":
        """Return the present."""
        return cls(clock.wall(), clock.boot(), clock.since_boot())

    def age(self, clock: Clock) -> float | None:
        """Return how many seconds ago this was; None when nobody can tell.

        Within one run of the machine its clock cannot jump. After a power cut the clock on the wall is believed only
        once it follows a time server: a Pi without a battery goes on with the minute at which it lost its power.
        """
        if self.boot and self.boot == clock.boot():
            return max(0.0, clock.since_boot() - self.since_boot)
        age = clock.wall() - self.wall
        return age if age >= 0 and clock.wall_is_sure() else None
