"""What goes wrong, and how often: each kind with a mean interval of its own, drawn from a seeded source of chance."""

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from tests.soak.agenda import Agenda
from tests.soak.oracle import Finding, Flaw
from tests.soak.orders import Sender, Shop
from tests.soak.printago import Printago
from tests.soak.processes import FarmProcess, Service

MEAN_S: Final = {
    "kill": 45.0,
    "terminate": 150.0,
    "freeze": 70.0,
    "broker": 150.0,
    "wire": 9.0,
    "printer": 7.0,
    "power": 90.0,
    "screen": 25.0,
    "transfer": 12.0,
    "http": 10.0,
    "flood": 100.0,
}
"""Seconds between two of a kind, on average, over the whole farm."""

TO_THE_PROCESS: Final = frozenset({"kill", "terminate", "freeze"})
"""After these the process is young, or was held up; they pause while growth is measured."""

AWAY_AT_MOST_S: Final = 5.0
STOP_S: Final = 10.5  # ten are promised
BACK_S: Final = 90.0
PRINTER_FAULTS: Final = (
    "signing-demanded", "empty-echo", "silent", "deaf", "no-ack", "puback-withheld", "disconnects=3", "non-utf8",
    "no-ids", "no-storage", "flapping-storage", "refuse-start", "refuse-start=0x05004003", "ignore-start",
    "slow-start=3", "mute-start=3", "lingering-finish=120", "screen-start", "fail-print=30", "runout=30",
)  # fmt: skip
"""All but a wrong access code: after that nobody tries again for ten minutes, as it should be."""

SOON_EXPLAINED: Final = tuple(
    name for name in PRINTER_FAULTS if name not in ("ignore-start", "no-ids", "no-storage", "silent", "deaf")
)
"""Those after which a short run need not wait minutes for the last answer."""


class Faults:
    """Breaks things for a while; `counted` tells how often each was done."""

    def __init__(
        self,
        agenda: Agenda,
        chance: random.Random,
        *,
        service: Service,
        printago: Printago,
        farm: FarmProcess,
        shop: Shop,
        sender: Sender,
        names: tuple[str, ...] = PRINTER_FAULTS,
    ) -> None:
        self._agenda, self._chance = agenda, chance
        self._service, self._printago, self._farm, self._shop = service, printago, farm, shop
        self._sender = sender
        self._names = names
        self.counted: Counter[str] = Counter()
        self.timeline: list[tuple[float, str]] = []
        """When (monotonic) what happened."""
        self.findings: list[Finding] = []
        self.spares_the_process = False
        self._does: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "terminate": self._terminate,
            "freeze": self._freeze,
            "broker": self._broker,
            "wire": self._wire,
            "printer": self._printer,
            "power": self._power,
            "screen": self._screen,
            "transfer": self._transfer,
            "http": self._http,
            "flood": self._flood,
        }
        self._service_is_busy = self._broker_is_away = False
        self._off: set[str] = set()

    @property
    def is_at_the_service(self) -> bool:
        """The service's process is down, frozen, or not yet back, because we wanted it."""
        return self._service_is_busy

    def begin(self, scale: float) -> None:
        """Plan the first of each kind; `scale` stretches every interval."""
        for kind, mean in MEAN_S.items():
            self._plan(kind, mean * scale)

    def _plan(self, kind: str, mean: float) -> None:
        def happen() -> None:
            if not (self.spares_the_process and kind in TO_THE_PROCESS):
                self._does[kind]()
            self._plan(kind, mean)

        self._agenda.after(mean * self._chance.uniform(0.2, 1.8), happen)

    def _after(self, low: float, high: float, what: Callable[[], None]) -> None:
        self._agenda.after(self._chance.uniform(low, high), what)

    def _note(self, kind: str, more: str = "") -> None:
        self.counted[kind] += 1
        self.timeline.append((time.monotonic(), f"{kind} {more}".strip()))

    def _somewhere(self) -> str:
        return str(self._chance.choice(self._farm.printers)["id"])

    # -- the service -----------------------------------------------------------------------------------

    def _kill(self) -> None:
        if self._service_is_busy:
            return
        self._note("kill -9")
        self._service_is_busy = True
        self._service.kill()
        self._after(0, AWAY_AT_MOST_S, self.start_service)

    def _terminate(self) -> None:
        if self._service_is_busy:
            return
        self._note("SIGTERM")
        self._service_is_busy = True
        self._service.ask_to_stop()
        asked = time.monotonic()

        def over() -> bool:
            return not self._service.alive or time.monotonic() - asked > STOP_S

        def go_on() -> None:
            self.judge_the_end()
            self._after(0, AWAY_AT_MOST_S, self.start_service)

        self._agenda.when(over, go_on)

    def judge_the_end(self) -> None:
        """Look how the service ended that was asked to."""
        code = self._service.exit_code(0.0)
        if code != 0:
            how = f"did not end within {STOP_S:g} s" if code is None else f"ended with {code}"
            text = f"asked to stop, the service {how}"
            self.findings.append(Finding(flaw=Flaw.PROCESS, text=text, at=time.monotonic()))

    def start_service(self) -> None:
        """Start it, and send it once more what it was sent last as soon as it is there."""
        self._service_is_busy = True
        self._printago.available = False
        self._service.start()
        began, run = time.monotonic(), self._service.runs
        self.timeline.append((began, f"run {run} of the service"))

        def back() -> bool:
            return self._service.runs == run and (self._printago.available or time.monotonic() - began > BACK_S)

        def go_on() -> None:
            if not self._printago.available:
                text = f"run {run} of the service was not connected within {BACK_S:g} s"
                self.findings.append(Finding(flaw=Flaw.PROCESS, text=text, at=began))
            self._service.is_back()
            self._service_is_busy = False
            if self._printago.is_connected:
                self._sender.repeat_latest()

        self._agenda.when(back, go_on)

    def _freeze(self) -> None:
        if self._service_is_busy:
            return
        self._note("freeze")
        self._service_is_busy = True
        self._service.freeze()

        def thaw() -> None:
            self._service.thaw()
            self._service_is_busy = False

        self._after(1, AWAY_AT_MOST_S, thaw)

    # -- between it and the world ------------------------------------------------------------------------

    def _broker(self) -> None:
        if self._broker_is_away:
            return
        self._note("broker")
        self._broker_is_away = True
        self._printago.broker.end()

        def begin() -> None:
            self._printago.broker.start()
            self._broker_is_away = False

        self._after(0, 6, begin)

    def _wire(self) -> None:
        printer, wire = self._somewhere(), self._chance.choice(("mqtt", "mqtt", "ftps"))
        how = self._chance.choice(("cut", "reset", "stall", "slow"))
        self._note(f"wire {how}", f"{printer} {wire}")
        self._farm.do("wire", printer=printer, wire=wire, how=how, delay=self._chance.uniform(0.05, 0.5))
        if how != "reset":
            self._after(1, 20, lambda: self._do("wire", printer=printer, wire=wire, how="mend"))

    def _do(self, what: str, **how: object) -> None:
        self._farm.do(what, **how)

    def _transfer(self) -> None:
        for printer in self._farm.printers:
            if self._farm.do("break", printer=printer["id"])["broken"]:
                self._note("transfer broken", printer["id"])

    def _http(self) -> None:
        kind, mend = self._shop.fault(self._chance)
        self._note(kind)
        self._after(2, 12, mend)

    # -- printers ----------------------------------------------------------------------------------------

    def _printer(self) -> None:
        printer, name = self._somewhere(), self._chance.choice(self._names)
        self._note(f"printer: {name.partition('=')[0]}", printer)
        self._farm.do("fault", printer=printer, name=name, on=True)
        self._after(3, 30, lambda: self._do("fault", printer=printer, name=name, on=False))

    def _power(self) -> None:
        printer = self._somewhere()
        if printer in self._off:
            return
        self._note("printer off", printer)
        self._off.add(printer)
        self._farm.do("power", printer=printer, on=False)

        def on() -> None:
            self._farm.do("power", printer=printer, on=True)
            self._off.discard(printer)

        self._after(1, 15, on)

    def _screen(self) -> None:
        printer = self._somewhere()
        self._note("start at the screen", printer)
        self._farm.do("screen", printer=printer)

    def _flood(self) -> None:
        if self._printago.is_connected:
            self._note("flood")
            self._sender.flood()

    # -- the end -----------------------------------------------------------------------------------------

    def mend_all(self) -> None:
        """Have everything be whole again; what was planned is to be forgotten by the agenda."""
        if self._broker_is_away:
            self._printago.broker.start()
            self._broker_is_away = False
        self._shop.mend()
        self._farm.do("calm")
        self._off.clear()
