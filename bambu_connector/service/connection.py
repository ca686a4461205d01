"""Keeps one printer connected: a fresh link for every attempt, and a dull loop around it."""

import asyncio
from collections.abc import Callable
from typing import Any

from bambu_connector.bambu.session import Rebuild
from bambu_connector.errors import ConfigError, IdentityMismatch, LinkError, Unreachable
from bambu_connector.service.backoff import STABLE_S, Backoff
from bambu_connector.service.pins import Pins
from bambu_connector.service.ports import PrinterConnection, PrinterLink
from bambu_connector.service.printer import Printer


class Keeper:
    """Connects one printer again and again. `link` makes the way anew each time, with what is trusted by then."""

    def __init__(self, printer: Printer, link: Callable[[], PrinterLink], pins: Pins) -> None:
        self._printer = printer
        self._link = link
        self._pins = pins
        self._wake = asyncio.Event()

    def try_now(self) -> None:
        """Do not wait any longer before the next attempt."""
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        backoff = Backoff()
        printer = self._printer
        while True:
            opened = printer.clock.monotonic()
            self._wake.clear()  # from here on whoever knows better means the attempt after this one
            error = await self._session()
            if printer.clock.monotonic() - opened >= STABLE_S:
                backoff.reset()
            delay = backoff.delay(retryable=error.retryable)
            printer.changes.gone(str(error), delay)
            await self._pause(delay)

    async def _pause(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            pass
        # P1P: a new session while it reads the file makes it fail.
        await asyncio.sleep(self._printer.work.quiet_for(self._printer.clock.monotonic()))

    async def _session(self) -> LinkError:
        """Connect and stay until the session is over; return why it is, or why there was none."""
        printer = self._printer
        printer.connecting()
        try:
            connection = await self._link().connect(printer.receive)
        except LinkError as error:
            printer.session_closed(error, retrying=error.retryable)
            return error
        except ConfigError as error:
            return self._without_trust(error)
        try:
            try:
                self._pin(connection)
            except ConfigError as error:
                return self._unpinned(error)
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
        either: set[asyncio.Future[Any]] = {closed, rebuild}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if rebuild.done():
                return self._printer.rebuild_error(rebuild.result())
            why = closed.result()
            if isinstance(why, LinkError):
                return why
            raise why  # a bug in what takes the reports, not a broken wire
        finally:
            closed.cancel()

    def _pin(self, connection: PrinterConnection) -> None:
        serial, shown = self._printer.identity.serial, connection.fingerprint
        if shown is None or not connection.verified or not self._pins.wants(serial):
            return
        self._pins.remember(serial, shown)
        self._printer.log.info("first contact: the certificate %s is trusted from now on", shown)
