"""What is to be done when, in one thread."""

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Final

_AGAIN_S: Final = 0.2


class Agenda:
    """Calls what is due; times are monotonic seconds."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        """Do something later."""
        heapq.heappush(self._entries, (time.monotonic() + seconds, next(self._numbers), what))

    def when(self, probe: Callable[[], bool], what: Callable[[], object]) -> None:
        """Do something as soon as `probe` says yes."""

        def look() -> None:
            if probe():
                what()
            else:
                self.after(_AGAIN_S, look)

        self.after(_AGAIN_S, look)

    def run(self, seconds: float) -> None:
        """Do what becomes due in this time."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if self._entries and self._entries[0][0] <= now:
                heapq.heappop(self._entries)[2]()
                continue
            due = self._entries[0][0] if self._entries else end
            time.sleep(max(0.0, min(due, end) - now))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
