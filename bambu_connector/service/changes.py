"""What the log says of a connection's comings and goings: changes, not samples.

A connection that comes and goes all day is told a few times, and then no more until it has held for a while; what was
told last (gone, or back) is true as long as nothing is told.
"""

import logging
import re
from typing import Final

from bambu_connector.logs import PrinterLog

BURST: Final = 5  # returns that are told at once, whatever becomes of them
REFILL_S: Final = 3600.0  # and one more for each hour since
SETTLED_S: Final = 600.0  # a return that is told in any case: it has held
MOST_REASONS: Final = 8  # for one absence; more are variations of the same trouble
_NUMBER: Final = re.compile(r"\d+")
_RESTLESS: Final = f"; it comes and goes, and is told again when it has held for {SETTLED_S / 60:.0f} min"


class Changes:
    """The comings and goings of one connection; `now` is seconds of one monotonic clock."""

    def __init__(self, log: logging.Logger | PrinterLog) -> None:
        self._log = log
        self._told_back = False
        self._reasons: set[str] = set()
        self._since: float | None = None
        self._returns = float(BURST)
        self._counted_at: float | None = None

    def speak_through(self, log: logging.Logger | PrinterLog) -> None:
        """Use another log from now on: the printer has a new name."""
        self._log = log

    def begin_anew(self) -> None:
        """What is wrong from now on is news, although it may have been told before: somebody has changed something."""
        self._reasons.clear()

    def gone(self, reason: str, delay: float) -> None:
        """There is no session; another is tried in `delay` seconds. Numbers in the reason make it no other reason."""
        if self._told_back:
            self._reasons.clear()
        kind = _NUMBER.sub("#", reason)
        news = kind not in self._reasons and len(self._reasons) < MOST_REASONS
        self._told_back, self._since = False, None
        self._reasons.add(kind)
        level = logging.WARNING if news else logging.DEBUG
        self._log.log(level, "%s; trying again in %.0f s%s", reason, delay, _RESTLESS if self._returns < 1 else "")

    def back(self, sentence: str, now: float) -> None:
        """There is a session that works. To be called when that is proven, and again and again while it lasts."""
        if self._told_back:
            return
        if self._since is None:
            self._since = now
            self._refill(now)
            if self._returns < 1:
                self._log.debug("%s", sentence)
                return
            self._returns -= 1
        elif now - self._since < SETTLED_S:
            return
        self._told_back = True
        self._log.info("%s", sentence)

    def _refill(self, now: float) -> None:
        before = now if self._counted_at is None else self._counted_at
        self._returns = min(float(BURST), self._returns + (now - before) / REFILL_S)
        self._counted_at = now
