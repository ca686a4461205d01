"""How slow a transfer may be before it is one that never ends."""

from typing import Final

# A village's line shared by a farm still brings this much; a server that sends a byte a minute does not.
FLOOR_BYTES_PER_S: Final = 4 * 1024
WINDOW_S: Final = 300.0  # long enough for a wireless network to come back


def longest_s(max_bytes: int) -> float:
    """Return how long a transfer may take in all, breaks and fresh starts included, in seconds."""
    return WINDOW_S + max_bytes / FLOOR_BYTES_PER_S


class Pace:
    """Watches that in each window of time enough bytes come; the windows follow one another."""

    def __init__(self, now: float, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._since = now
        self._bytes = 0

    def is_too_slow(self, arrived: int, now: float) -> bool:
        """Count what arrived, in bytes, at `now`, in seconds; say whether the window that ends with it was too poor."""
        self._bytes += arrived
        passed = now - self._since
        if passed < self._window_s:
            return False
        too_slow = self._bytes < FLOOR_BYTES_PER_S * passed
        self._since, self._bytes = now, 0
        return too_slow
