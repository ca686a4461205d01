"""Keeps one printer connected: a fresh link for every attempt, and a dull loop around it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final

from bambu_connector.bambu.session import Rebuild
from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    ConfigError,
    IdentityMismatch,
    LinkError,
    NotAPrinter,
    Unreachable,
)
from bambu_connector.service.backoff import LONGEST_S, STABLE_S, Backoff
from bambu_connector.service.memory import Memory
from bambu_connector.service.ports import PrinterConnection, PrinterLink
from bambu_connector.service.printer import Printer
from bambu_connector.service.whereabouts import Whereabouts

SILENT_S: Final = 15.0  # printers announce themselves every few seconds: one heard again after so long was away
HEARD_S: Final = 5.0  # an announcement does not cause attempts in quicker succession: anybody can send one
_HELD_S: Final = 1.0
_QUIET_S: Final = 10.0  # healthy printers say something every few seconds
_ELSEWHERE: Final = (Unreachable, NotAPrinter, IdentityMismatch)  # what may be another place's fault


class Keeper:
    """Connects one printer again and again.

    `link` makes the way to a place anew each time, with what is trusted by then; `missing` says what the owner has to
    add before there can be an attempt.
    """

    def __init__(
        self,
        printer: Printer,
        link: Callable[[str], PrinterLink],
        memory: Memory,
        files: Executor,
        whereabouts: Whereabouts,
        missing: Callable[[], LinkError | None],
    ) -> None:
        self._printer = printer
        self._link = link
        self._memory = memory
        self._files = files
        self._whereabouts = whereabouts
        self._missing = missing
        self.attempts = 0
        """How many attempts have begun: what one shows that began before a change says nothing about the change."""
        self._wake = asyncio.Event()
        self._renewed = asyncio.Event()
        self._tried_at = -HEARD_S
        self._heard_at = -SILENT_S
        self._is_back = False
        self._was_looked_for = False
        self._denied_at: str | None = None
        """Where the access code was refused: nobody's announcement makes us try it there again soon."""
        self._denied_until = 0.0

    def try_now(self) -> None:
        """Do not wait any longer before the next attempt."""
        self._denied_at = None
        self._wake.set()

    def renew(self) -> None:
        """What a session is made with has changed: end this one, when a start that is out allows, and try anew."""
        self._renewed.set()
        self._printer.changes.begin_anew()
        self.try_now()

    def heard(self, place: str) -> None:
        """Somebody announces the printer at a place."""
        news = self._whereabouts.announced(place)
        printer, now = self._printer, self._printer.clock.monotonic()
        self._is_back = self._is_back or (not news and now - self._heard_at >= SILENT_S)
        self._heard_at = now
        if printer.is_connected and self._whereabouts.is_elsewhere(place) and (printer.report_age or 0.0) > _QUIET_S:
            printer.suspect()  # it may have moved, and left us a connection that is up and leads nowhere
        if printer.is_connected or place == self._denied_at:
            return
        may_be_back = self._is_back and isinstance(printer.link_error, Unreachable)
        if (news or may_be_back) and now - self._tried_at >= HEARD_S:
            self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        backoff, due = Backoff(), 0.0
        printer = self._printer
        while True:
            opened = printer.clock.monotonic()
            self._wake.clear()  # from here on whoever knows better means the attempt after this one
            self._renewed.clear()
            missing = self._missing()
            if missing is not None:
                await self._wait_for_owner(missing)
                continue
            place = self._whereabouts.next()
            barred = self._denied_until - printer.clock.monotonic() if place == self._denied_at else 0.0
            if barred > 0:
                await self._pause(barred)
                continue
            if self._is_back:  # it may still be booting
                self._is_back = False
                backoff.reset()
            if place is None:
                await self._look_for()
                continue
            has_others = len(self._whereabouts.places()) > 1  # counted now: a rumour that fails is forgotten
            error = await self._session(place)
            if error is None:
                await self._pause(max(0.0, due - printer.clock.monotonic()))
                continue
            if printer.clock.monotonic() - opened >= STABLE_S:
                backoff.reset()
            if self._renewed.is_set():
                backoff.reset()
                await self._pause(0.0)
                continue
            delay = self._delay(backoff, place, error, has_others=has_others)
            due = printer.clock.monotonic() + delay
            printer.changes.gone(str(error), delay)
            await self._pause(delay)

    async def _wait_for_owner(self, missing: LinkError) -> None:
        self._printer.log.warning("%s", missing)
        self._printer.session_closed(missing)
        await self._wake.wait()

    async def _look_for(self) -> None:
        """Wait until the printer announces itself; that it does not is told when it has had the time."""
        error = Unreachable(
            f"{self._printer.identity.name} has no `host` and has not announced itself yet: is it switched on, in this"
            " network, and in LAN-only mode? Where announcements do not get through, name its `host`"
        )
        self._printer.session_closed(error, retrying=True)
        if self._was_looked_for:
            self._printer.changes.gone(str(error), LONGEST_S)
        self._was_looked_for = True
        await self._pause(LONGEST_S)

    def _delay(self, backoff: Backoff, place: str, error: LinkError, *, has_others: bool) -> float:
        elsewhere = isinstance(error, _ELSEWHERE) and has_others
        delay = backoff.delay(retryable=error.retryable or elsewhere)
        if isinstance(error, AccessDenied) and not self._wake.is_set():
            self._denied_at, self._denied_until = place, self._printer.clock.monotonic() + delay
        return delay

    async def _pause(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            pass
        # P1P: a new session while it reads the file makes it fail.
        await asyncio.sleep(self._printer.work.quiet_for(self._printer.clock.monotonic()))

    async def _session(self, place: str) -> LinkError | None:
        """Connect and stay until the session is over; return why it is, or why there was none.

        None: the place was a rumour, and wrong. Nothing has changed by it.
        """
        printer = self._printer
        if not self._is_rumour(place):
            printer.connecting()
        self.attempts += 1
        self._tried_at = printer.clock.monotonic()
        try:
            connection = await self._link(place).connect(printer.receive)
        except LinkError as error:
            return self._not_there(place, error)
        except ConfigError as error:
            return self._without_trust(error)
        try:
            try:
                await self._pin(connection)
            except ConfigError as error:
                return self._unpinned(error)
            self._found(place, connection.address)
            printer.rebuild = asyncio.get_running_loop().create_future()
            printer.session_opened(connection)
            over = await self._until_over(connection, printer.rebuild)
            # Before the goodbye, which takes a moment: nothing may be published behind it.
            printer.session_closed(over, retrying=over.retryable)
            return over
        finally:
            printer.rebuild = None
            if printer.is_connected:  # a bug ended it, or the service ends
                printer.session_closed(Unreachable("The session was broken off."))
            await connection.close()

    def _is_rumour(self, place: str) -> bool:
        return self._whereabouts.is_only_announced(place) and len(self._whereabouts.places()) > 1

    def _not_there(self, place: str, error: LinkError) -> LinkError | None:
        printer, is_rumour = self._printer, self._is_rumour(place)
        if isinstance(error, _ELSEWHERE):
            self._whereabouts.failed(place)
        if is_rumour and isinstance(error, AnotherDevice | NotAPrinter | Unreachable):
            printer.log.debug("announced at %s, and is not there: %s", place, error)
            return None
        printer.session_closed(error, retrying=error.retryable)
        return error

    def _found(self, place: str, address: str | None) -> None:
        """The printer proved to be itself at a place: note it, and tell if it is not where it was."""
        printer = self._printer
        before = self._whereabouts.proved(place, address)
        printer.found_at(place)
        self._denied_at = None
        if before is not None:
            printer.log.info("moved from %s to %s", before, place)
        if self._whereabouts.is_noted(place):
            return
        self._whereabouts.noted(place)
        try:
            self._memory.moved(printer.identity.serial, place)
        except ConfigError as error:
            printer.log.warning("its address could not be noted, and is looked for after a restart: %s", error)

    def _without_trust(self, error: ConfigError) -> LinkError:
        """The certificates that we trust cannot be read: without them nobody is told an access code."""
        refused = IdentityMismatch(f"Whom to trust is not known: {error}")
        self._printer.session_closed(refused)
        return refused

    def _unpinned(self, error: ConfigError) -> LinkError:
        """The first contact cannot be written down (the disk is full, say): not the printer's fault, and it passes."""
        failed = LinkError(
            "The printer's certificate could not be stored at this first contact, so the printer is not used yet: "
            f"{str(error).rstrip('.')}. Make room on the disk, or make the file writable; the rest goes by itself"
        )
        self._printer.session_closed(failed, retrying=True)
        return failed

    async def _until_over(self, connection: PrinterConnection, rebuild: asyncio.Future[Rebuild]) -> LinkError:
        closed = asyncio.ensure_future(connection.closed())
        renewed = asyncio.ensure_future(self._may_renew())
        either: set[asyncio.Future[Any]] = {closed, rebuild, renewed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            while renewed.done() and self._is_held() and not (closed.done() or rebuild.done()):
                either.remove(renewed)  # a start went out in the same moment
                renewed = asyncio.ensure_future(self._may_renew())
                either.add(renewed)
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if rebuild.done():
                return self._printer.rebuild_error(rebuild.result())
            if not closed.done():
                return Unreachable("The session is made anew: what is configured for it was changed")
            why = closed.result()
            if isinstance(why, LinkError):
                return why
            raise why  # a bug in what takes the reports, not a broken wire
        finally:
            closed.cancel()
            renewed.cancel()

    async def _may_renew(self) -> None:
        """Wait until the session is to be made anew, and may be."""
        await self._renewed.wait()
        while self._is_held():  # noqa: ASYNC110 - time ends it
            await asyncio.sleep(_HELD_S)

    def _is_held(self) -> bool:
        return self._printer.work.holds_session(self._printer.clock.monotonic())

    async def _pin(self, connection: PrinterConnection) -> None:
        serial, shown = self._printer.identity.serial, connection.fingerprint
        if shown is None or not connection.verified or not self._memory.wants(serial):
            return
        # Off the loop: at the first start of a farm there are hundreds, and each is a write that must reach the disk.
        await asyncio.get_running_loop().run_in_executor(self._files, self._memory.remember, serial, shown)
        self._printer.log.info("first contact: the certificate %s is trusted from now on", shown)
