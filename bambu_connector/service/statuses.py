"""When a printer's status is told: at once, in a moment, or not again before something has changed."""

import asyncio
from collections.abc import Callable
from typing import Any

from bambu_connector.service.clock import Clock
from bambu_connector.translate.coalesce import Pacer

Tree = dict[str, Any]


class Statuses:
    """Tells one printer's statuses, once it was begun: `look` returns the status data now, `say` sends them."""

    def __init__(self, pacer: Pacer, clock: Clock, look: Callable[[], Tree], say: Callable[[Tree], None]) -> None:
        self._pacer = pacer
        self._clock = clock
        self._status_now = look
        self._say = say
        self._timer: asyncio.TimerHandle | None = None
        self.are_told = False

    def begin(self) -> None:
        """From now on statuses are told; the first one says what is known, if only that the printer is offline."""
        self.are_told = True
        self.say_again()

    def say_again(self) -> None:
        """The next status is due whatever it says."""
        self._pacer.forget()
        self.changed(pressing=True)

    def end(self) -> None:
        """No more statuses."""
        self.are_told = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def changed(self, *, pressing: bool) -> None:
        """Something that a status tells may have changed; `pressing`: it must not wait."""
        if not self.are_told:
            return
        self._pacer.note_change()
        if pressing or self._pacer.next_look() <= self._clock.monotonic():
            self._look()
        else:
            self._schedule()

    def _look(self) -> None:
        data = self._status_now()
        if self._pacer.offer(data, self._clock.monotonic()):
            self._say(data)
        self._schedule()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, self._pacer.next_look() - self._clock.monotonic())
        if self._timer is not None:
            if self._timer.when() <= due:
                return  # a look too early costs less than a new timer for each report
            self._timer.cancel()
        self._timer = loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self._pacer.next_look() <= self._clock.monotonic():
            self._look()
        else:
            self._schedule()
