"""Looking everything over at once: this machine, Printago, and the printers side by side."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal

from bambu_connector.config import Config, Printago
from bambu_connector.errors import ConnectorError, UnknownPrinter, Unreachable
from bambu_connector.service.checkup import Checkup
from bambu_connector.service.clock import Clock, SystemClock
from bambu_connector.service.facts import facts_of
from bambu_connector.service.farm import Farm, topics_of
from bambu_connector.service.findings import Finding
from bambu_connector.service.ports import BrokerVisit, Prober, UplinkState
from bambu_connector.service.remedies import printago_remedy
from bambu_connector.service.unit import Unit
from bambu_connector.service.walk import Look, NotJudged, Told, Walk

AT_ONCE: Final = 16
FIRST_TRY_S: Final = 10.0
_POLL_S: Final = 0.1
_EARLIEST: Final = datetime(2025, 1, 1, tzinfo=UTC).timestamp()  # a clock that shows less was never set
_GROUNDS: Final = MappingProxyType(
    {
        "name": "because it is not known where Printago's broker is",
        "tcp": "because nobody answers there",
        "identity": "because it is not sure that this is Printago's broker",
        "login": "because there is no session",
    }
)
Tree = dict[str, Any]
Subject = Literal["printago", "machine", "printers"]


async def answers(
    farm: Farm, request: Tree, uplink: UplinkState | None = None, config: Config | None = None
) -> AsyncGenerator[Tree, None]:
    """Look over everything, or the printer that `request["printer"]` names; yields progress, at last all findings.

    A progress has `subject` (`printago`, `machine` or `printers`), `id` and `name` of the printer, and a `finding`, or
    null when that was the last. With `request["facts"]` it may have `facts` of a printer instead. The first one has a
    `plan`: all subjects in their order.

    `uplink` is the service's connection to Printago; without one Printago is logged in to under another client id.
    `config` is the whole configuration where the farm has only a part of it. Raises UnknownPrinter.
    """
    name = request.get("printer")
    units = list(farm.units.values()) if name is None else [_found(farm, str(name))]
    clock = units[0].printer.clock if units else SystemClock()
    prober = farm.wires.prober
    looking = _Round(with_facts=bool(request.get("facts")))
    if name is None:
        looking.begin("printago", PrintagoCheckup(config or farm.config, prober, clock, uplink).findings())
    looking.begin("machine", machine_findings(clock))
    for unit in units:
        looking.begin("printers", Checkup(unit, prober).findings(), unit)
    async with aclosing(looking.told()) as news:
        async for each in news:
            yield each


def _found(farm: Farm, name: str) -> Unit:
    unit = farm.find(name)
    if unit is None:
        raise UnknownPrinter(f'There is no printer "{name}" here.')
    return unit


class _Round:
    """Several walks side by side, told in one stream."""

    def __init__(self, *, with_facts: bool) -> None:
        self._with_facts = with_facts
        self._places = asyncio.Semaphore(AT_ONCE)
        self._news: asyncio.Queue[Tree] = asyncio.Queue()
        self._walks: list[asyncio.Task[None]] = []
        self._plan: list[Tree] = []
        self._found: dict[str, Any] = {"printago": [], "machine": [], "printers": {}}

    def begin(self, subject: Subject, findings: AsyncIterator[Finding], unit: Unit | None = None) -> None:
        """Begin a walk, or let it wait for a place."""
        head: Tree = {"subject": subject, "id": unit and unit.config.id, "name": unit and unit.name}
        self._plan.append(head)
        self._walks.append(asyncio.create_task(self._walk(head, findings, unit), name=f"doctor: {subject}"))

    async def _walk(self, head: Tree, findings: AsyncIterator[Finding], unit: Unit | None) -> None:
        place = self._found[head["subject"]]
        if unit is not None:
            place = place.setdefault(unit.config.id, [])
        async with self._places:
            async for finding in findings:
                place.append(finding.body())
                self._news.put_nowait({"progress": head | {"finding": finding.body()}})
            if unit is not None and self._with_facts:
                self._news.put_nowait({"progress": head | {"facts": await facts_of(unit)}})
        self._news.put_nowait({"progress": head | {"finding": None}})

    async def told(self) -> AsyncGenerator[Tree, None]:
        """Yield what is found as it is found, then all of it; who stops listening ends the walks."""
        try:
            yield {"progress": {"plan": self._plan}}
            for walk in self._walks:
                walk.add_done_callback(lambda _walk: self._news.put_nowait({}))
            left = len(self._walks)
            while left:
                news = await self._news.get()
                if news:
                    yield news
                else:
                    left -= 1
            for walk in self._walks:
                walk.result()  # a bug in one is told, and not taken for health
            yield {"findings": self._found}
        finally:
            for walk in self._walks:
                walk.cancel()
            await asyncio.gather(*self._walks, return_exceptions=True)


def machine_findings(clock: Clock) -> AsyncIterator[Finding]:
    """Look at what this computer itself has to be right in: its clock, which certificates are judged by."""

    async def look() -> Told:
        now = datetime.fromtimestamp(clock.wall(), UTC)
        shown = f"it is {now:%Y-%m-%d %H:%M} UTC"
        if now.timestamp() < _EARLIEST:
            return f"{shown}, says this computer: its clock was never set", _SET_CLOCK
        if not clock.wall_is_sure():
            return f"{shown}, and no time server is known to keep the clock right", _SET_CLOCK
        return f"{shown}; a time server keeps the clock right", None

    return Walk(clock, lambda _step, _error: _SET_CLOCK, lambda _step, _error: None).along({"clock": look})


_SET_CLOCK: Final = "Have this computer follow a time server: `timedatectl set-ntp true`."


class PrintagoCheckup:
    """One look at the way to Printago. While the service's session is up, that is the evidence."""

    def __init__(self, config: Config, prober: Prober, clock: Clock, uplink: UplinkState | None) -> None:
        self._config = config
        self._prober = prober
        self._clock = clock
        self._uplink = uplink
        self._visit: BrokerVisit | None = None

    async def findings(self) -> AsyncIterator[Finding]:
        """Take every step in order."""
        printago = self._config.printago
        if printago is None:
            told = "because the configuration has no section `printago`"
            yield Finding(step="login", outcome="skipped", seconds=None, told=told)
            return
        steps: dict[str, Look] = {
            "name": lambda: self._name(printago),
            "tcp": lambda: self._tcp(printago),
            "identity": lambda: self._identity(printago),
            "login": lambda: self._login(printago),
            "subscription": self._subscription,
        }
        try:
            async for finding in Walk(self._clock, printago_remedy, _bars).along(steps):
                yield finding
        finally:
            if self._visit is not None:
                await self._visit.close()

    @property
    def _is_up(self) -> bool:
        return self._uplink is not None and self._uplink.is_connected

    async def _name(self, printago: Printago) -> Told:
        if self._is_up:
            return f"{printago.host} is where it was reached", None
        found = await self._prober.resolve(printago.host)
        if found == (printago.host,):
            return f"{printago.host} is an address, there is no name to resolve", None
        return f"{printago.host} is {', '.join(found)}", None

    async def _tcp(self, printago: Printago) -> Told:
        if self._is_up:
            return "the session with it is up", None
        await self._prober.reach(printago.host, printago.port)
        return f"port {printago.port} answers", None

    async def _identity(self, printago: Printago) -> Told:
        if printago.tls is None:
            raise NotJudged("because printago.tls is false: the connection is not encrypted")
        if self._is_up:
            return "the certificate of the session is trusted", None
        version = await self._prober.broker_identity(printago)
        return f"the certificate is trusted ({version})", None

    async def _login(self, printago: Printago) -> Told:
        uplink = self._uplink
        if uplink is None:
            self._visit = await self._prober.visit(printago)
            return f"name and password are accepted, MQTT {self._visit.protocol}", None
        await self._first_try(uplink)
        if uplink.is_connected:
            return f"name and password are accepted, MQTT {uplink.protocol}", None
        raise uplink.error or Unreachable(f"no login came to an end within {FIRST_TRY_S:.0f} s")

    @staticmethod
    async def _first_try(uplink: UplinkState) -> None:
        for _ in range(round(FIRST_TRY_S / _POLL_S)):
            if uplink.is_connected or uplink.error is not None:
                return
            await asyncio.sleep(_POLL_S)

    async def _subscription(self) -> Told:
        if self._visit is None:  # the service says that it is connected only after it has subscribed
            return "the commands are subscribed to", None
        ids = [each.id for each in self._config.printers]
        await self._visit.subscribe(topics_of(self._config).command_routes(ids).topics())
        return "the commands may be subscribed to", None


def _bars(step: str, _error: ConnectorError) -> str | None:
    return _GROUNDS.get(step)
