"""What a printer says while it is recorded. All that it is asked are two questions, which it answers in words."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from bambu_connector.bambu.fold import is_full
from bambu_connector.bambu.report import VersionInfo, parse_report
from bambu_connector.bambu.request import GetVersion
from bambu_connector.errors import PrinterOffline, TimedOut
from bambu_connector.service.printer import Printer
from bambu_connector.translate.replay import message_in, report_in

FULL_S: Final = 15.0  # a printer that takes the question answers in a second or two; a busy one a little later
VERSION_S: Final = 20.0  # the longest that any has been seen to take for `get_version`
STEP_S: Final = 0.5
MAX_BYTES: Final = 4 * 1024 * 1024  # an hour of a P1S; a fixture should have a hundredth of it
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """One message; `ms` since the tape began."""

    ms: int
    message: Tree


@dataclass(frozen=True, slots=True)
class Track:
    """What is on a tape, in order: a full report, what followed it, and the versions."""

    first: Tree
    """The message with the full report; as it came, unless `is_folded`."""
    is_folded: bool
    deltas: tuple[Heard, ...]
    """`ms` since the first."""
    version: Tree
    modules: tuple[Tree, ...]
    unreadable: int
    is_cut: bool
    """More was said than a recording holds."""

    def trees(self) -> list[Tree]:
        """Return everything in it."""
        return [self.first, self.version, *(each.message for each in self.deltas)]


class Tape:
    """Listens to one printer for as long as the block lasts."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._began = printer.clock.monotonic()
        self._before = printer.view.report if printer.view is not None else None
        self._heard: list[Heard] = []
        self._version: tuple[Tree, tuple[Tree, ...]] | None = None
        self._first: int | None = None
        self._bytes = 0
        self._unreadable = 0
        self._asked_version = False

    def __enter__(self) -> Self:
        self._printer.taps.add(self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._printer.taps.discard(self._hear)

    def _now(self) -> float:
        return self._printer.clock.monotonic()

    @property
    def is_full(self) -> bool:
        """It holds no more."""
        return self._bytes > MAX_BYTES

    def _hear(self, raw: bytes) -> None:
        self._bytes += len(raw)
        if self.is_full:
            return
        message = message_in(raw)
        if message is None:
            self._unreadable += 1
            return
        parsed = parse_report(raw)
        if isinstance(parsed, VersionInfo):
            self._version = self._version or (message, parsed.modules)
            return
        report = report_in(message)
        if self._first is None and report is not None and is_full(report):
            self._first = len(self._heard)
        self._heard.append(Heard(round((self._now() - self._began) * 1000), message))

    # -- recording -----------------------------------------------------------------------------

    async def record(self, seconds: float) -> AsyncGenerator[int, None]:
        """Ask for a full report and the versions, then listen; yields the percent that are done."""
        if self._first is None and self._printer.refresh():
            await self._wait_for_full()
        began = self._now()
        while (past := self._now() - began) < seconds and not self.is_full:
            self._ask_version()
            yield round(past / seconds * 100)
            await asyncio.sleep(min(STEP_S, seconds - past))
        end = self._now() + VERSION_S
        while self._version is None and self._now() < end:
            self._ask_version()
            await asyncio.sleep(STEP_S)
        yield 100

    async def _wait_for_full(self) -> None:
        """Wait, but not for long: what was known before will do."""
        await self._printer.waiters.until(lambda: None if self._first is None else True, FULL_S)

    def _ask_version(self) -> None:
        """Ask once, when a start that is out allows it."""
        if self._version is not None or self._asked_version or self._printer.work.holds_session(self._now()):
            return
        with suppress(PrinterOffline):  # it may be back in a moment
            self._printer.send(GetVersion())
            self._asked_version = True

    def track(self) -> Track:
        """Return what was heard. Raises TimedOut when something that a recording needs was not said."""
        if self._version is None:
            raise TimedOut("The printer did not tell its versions, so nobody could say what was recorded: try again.")
        first, place, is_folded = self._base()
        began = 0 if is_folded else self._heard[place - 1].ms
        message, modules = self._version
        return Track(
            first=first,
            is_folded=is_folded,
            deltas=tuple(Heard(each.ms - began, each.message) for each in self._heard[place:]),
            version=message,
            modules=modules,
            unreadable=self._unreadable,
            is_cut=self.is_full,
        )

    def _base(self) -> tuple[Tree, int, bool]:
        """Return the full report, the place of what follows it, and whether it is one that was folded before."""
        if self._first is not None and (self._before is None or self._heard[self._first].ms <= FULL_S * 1000):
            return self._heard[self._first].message, self._first + 1, False
        if self._before is None:
            raise TimedOut("The printer did not tell its whole state, so there is nothing to begin with: try again.")
        return {"print": self._before}, 0, True
