"""Finding out where the printers are that somebody wants to pair, and who answers there. Nobody is told a secret."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, Self

from bambu_connector.bambu.models import TRAITS, model_of_serial
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.cli.candidates import Candidate
from bambu_connector.cli.pair_plan import Located
from bambu_connector.cli.without_config import Records
from bambu_connector.config import Ports, PrinterConfig
from bambu_connector.errors import AnotherDevice, LinkError, NotAPrinter, Unreachable
from bambu_connector.links.dial import Dialer
from bambu_connector.links.discovery import Discovery, Hear
from bambu_connector.links.identify import Identified, Identifier, ProbePorts
from bambu_connector.service.pairing_words import explained

SEARCH_S: Final = 3.0
HEARD_S: Final = 30.0  # printers announce themselves every 5 to 30 s
log = logging.getLogger(__name__)


@asynccontextmanager
async def listening(hear: Hear) -> AsyncIterator[Discovery]:
    """Hear announcements, and ask for them now and again, for as long as the block lasts."""
    discovery = Discovery(hear)
    await discovery.open()

    async def ask() -> None:
        while True:
            discovery.search()
            await asyncio.sleep(SEARCH_S)

    asking = asyncio.create_task(ask())
    try:
        yield discovery
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        discovery.close()


class Locator:
    """Locates printers, for as long as its `async with` lasts. `ports` are those that were given by hand."""

    def __init__(self, records: Records, ports: Mapping[str, int], *, heard_s: float = HEARD_S) -> None:
        self._records = records
        self._ports = ports
        self._heard_s = heard_s
        self._stack = AsyncExitStack()
        self._dialer = Dialer()
        self._wanted: set[str] = set()
        self._heard: dict[str, Announcement] = {}
        """Of those that are wanted only: anybody can announce printers that do not exist."""
        self._news = asyncio.Event()
        self._opening = asyncio.Lock()
        self._listens = False

    async def __aenter__(self) -> Self:
        self._stack.callback(self._dialer.close)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    async def locate(self, candidate: Candidate) -> Located:
        """Return who and where a printer is; raises LinkError with a sentence for a person."""
        serial, host = candidate.serial, candidate.host
        if host is not None:
            try:
                return await self._at(host, serial)
            except LinkError as error:
                traits = TRAITS[model_of_serial(serial or "")]
                raise explained(error, name=candidate.called, place=host, traits=traits) from error
        assert serial is not None, "a candidate has a serial or a host"
        return await self._by_serial(serial)

    async def _by_serial(self, serial: str) -> Located:
        configured = self._records.printer(serial)
        before = ""
        if configured is not None and configured.host is not None:
            try:
                return await self._at(configured.host, serial)
            except LinkError as error:
                before = f"; where it was before, it is not: {error}"
        if configured is not None and not configured.tls.verify:
            raise Unreachable(
                f"{serial} is not looked for by announcements, because `tls: {{verify: false}}` is set and anybody"
                f" could say that he is it{before}. Name its address: --host ADDRESS"
            )
        found = await self._by_announcement(serial)
        if found is None:
            raise Unreachable(
                f"{serial} did not announce itself within {self._heard_s:.0f} s{before}. Is it switched on, and in this"
                " network? With its address (on its screen) it goes without announcements: --host ADDRESS"
            )
        return found

    async def _by_announcement(self, serial: str) -> Located | None:
        """Return where a printer says that it is and proves to be; None when it does not in time."""
        self._wanted.add(serial)
        async with self._opening:
            if not self._listens:
                await self._stack.enter_async_context(listening(self._hear))
                self._listens = True
        tried: str | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heard_s):
                while True:
                    heard = self._heard.get(serial)
                    if heard is None or heard.host == tried:
                        await self._wait_for_news()
                        continue
                    tried = heard.host
                    try:
                        return await self._at(heard.host, serial)
                    except LinkError as error:
                        log.debug("%s is announced at %s, and is not there: %s", serial, heard.host, error)
        return None

    async def _wait_for_news(self) -> None:
        news = self._news
        await news.wait()

    def _hear(self, announcement: Announcement) -> None:
        if announcement.is_goodbye or announcement.serial not in self._wanted:
            return
        self._heard[announcement.serial] = announcement
        before, self._news = self._news, asyncio.Event()
        before.set()

    async def _at(self, host: str, serial: str | None) -> Located:
        configured = self._records.printer(serial) or self._configured_at(host)
        port = self._ports.get("mqtt") or (configured.ports if configured else Ports()).mqtt
        identifier = Identifier(self._dialer, ProbePorts(mqtt=port))
        try:
            found = await identifier.identify(host)
        except NotAPrinter:
            if serial is not None and configured is not None and not configured.tls.verify:
                return Located(serial=serial, host=host, fingerprint=None)
            raise
        if serial is not None and found.serial != serial:
            raise AnotherDevice(
                f"at {host} answers {found.serial}, and not {serial}: correct the address or the serial"
            )
        return self._located(found)

    def _configured_at(self, host: str) -> PrinterConfig | None:
        return next((each for each in self._records.config.printers if each.host == host), None)

    def _located(self, found: Identified) -> Located:
        told = found.detected or self._heard.get(found.serial)
        return Located(
            serial=found.serial,
            host=found.host,
            fingerprint=found.fingerprint,
            name=told.name if told else None,
            model_code=told.model_code if told else None,
            connection=told.connection if told else None,
            firmware=told.firmware if told else None,
        )
