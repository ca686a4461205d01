"""Time, as a thing that is passed in."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that only goes forward, and the one on the wall."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    def wall(self) -> float:
        """Seconds since the epoch, as far as this machine knows."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    """This machine's clocks."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch, as far as this machine knows."""
        return time.time()
