"""The benches that several tests share: starting one costs seconds."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.bench import Bench, Printer, Workshop
from tests.e2e.cloud import Message, Tree
from tests.files import sliced
from tests.servers.process import wait_until, workspace


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with Workshop(tmp_path_factory.mktemp("workshop")) as workshop:
        yield workshop


@contextmanager
def one_of_each(workshop: Workshop, protocol: str) -> Iterator[Bench]:
    """A service with one printer of each kind."""
    printers = [Printer(workshop, model) for model in ("P1S", "X1C", "A1 mini", "H2D")]
    name = f"mqtt-{protocol.replace('.', '')}"
    with workspace() as folder, Bench(folder, workshop, printers, protocol=protocol, connector_id=name) as bench:
        yield bench.start()


@pytest.fixture(scope="session")
def mqtt5(workshop: Workshop) -> Iterator[Bench]:
    with one_of_each(workshop, "5") as bench:
        yield bench


@pytest.fixture(scope="session")
def mqtt311(workshop: Workshop) -> Iterator[Bench]:
    with one_of_each(workshop, "3.1.1") as bench:
        yield bench


@pytest.fixture
def bench(mqtt5: Bench) -> Iterator[Bench]:
    """The shared service; its printers are put in order afterwards."""
    yield mqtt5
    mqtt5.tidy()


@pytest.fixture(params=["mqtt5", "mqtt311"])
def either(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The same in each of MQTT's dialects."""
    bench: Bench = request.getfixturevalue(request.param)
    yield bench
    bench.tidy()


HASTY = {"start_timeout": 2}
STALE_S = 11.0  # a report of more than 10 s ago allows neither a start nor an extrusion
# Printers by the name of what is wrong with them. Those whose fault comes later are whole in the beginning.
FAULTY: dict[str, dict[str, Any]] = {
    "wrong-code": {"faults": ["wrong-code"], "cable": True},
    "silent": {"faults": ["silent"]},
    "signing-told": {"model": "X1C", "faults": ["signing-demanded"]},
    "signing-untold": {"faults": ["signing-demanded"]},
    "puback-withheld": {"faults": ["puback-withheld"]},
    "no-ids": {"faults": ["no-ids"]},
    "no-storage": {"faults": ["no-storage"]},
    "flapping-storage": {"faults": ["flapping-storage"]},
    "slow-start": {"faults": ["slow-start=3"]},
    "mute-start": {"faults": ["mute-start=3"]},
    "lingering-finish": {},
    "disconnects": {"print_seconds": 1200.0},
    "late": {"cable": True},
    "screen-start": {"faults": ["screen-start"]},
    "screen-start-meanwhile": {"faults": ["slow-start=3"]},
    "refuse-start": {"faults": ["refuse-start"]},
    "refuse-start-unreadable": {"faults": ["refuse-start=0x05004003"]},
    "ignore-start": {"faults": ["ignore-start"], "entry": {"quirks": HASTY}},
    "fail-print": {"faults": ["fail-print=30"]},
    "runout": {"faults": ["runout=30"]},
    "no-ack": {"faults": ["no-ack"]},
    "non-utf8": {"faults": ["non-utf8"]},
    "empty-echo": {"faults": ["empty-echo"]},
    "stop-preparing": {"speed": 1.0},
    "stop-running": {"print_seconds": 100_000.0},
    "stop-slow-start": {"faults": ["slow-start=2"]},
    "stop-ignored-start": {"faults": ["ignore-start"], "entry": {"quirks": HASTY}},
    "stop-offline": {"faults": ["slow-start=4"], "cable": True},
    "stale": {},
    "stale-start": {},
    "stale-stop": {},
    "mute": {},
    "deaf": {},
    "deaf-pause": {},
    "deaf-light": {},
    "echo-pause": {},
    "mute-stop": {},
    "unknown-stop": {},
}


class Faulty:
    """A service with a printer for everything that goes wrong, and what takes long begun at once."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.began = time.monotonic()
        self.commands: dict[str, str] = {}
        for name in ("deaf-pause", "echo-pause", "mute-stop"):
            bench.set(bench[name], gcode_state="RUNNING")
        bench.set(bench["unknown-stop"], gcode_state="MYSTERY")
        for name in ("stale", "stale-start", "stale-stop", "mute", "mute-stop"):
            bench[name].fault("silent")
        for name in ("deaf", "deaf-pause", "deaf-light"):
            bench[name].fault("deaf")
        bench["unknown-stop"].fault("no-ack")
        bench["echo-pause"].fault("empty-echo")
        self._begin("mute", "movement_control/home")
        self._begin("deaf", "movement_control/home")
        self._begin("deaf-pause", "printer_control/pause_print")
        self._begin("deaf-light", "light_control/set_light", {"light": "chamber_light", "state": "off"})
        self._begin("echo-pause", "printer_control/pause_print")
        self._begin("mute-stop", "printer_control/stop_print")
        self._begin("unknown-stop", "printer_control/stop_print")
        url = bench.serve("stale-start.gcode.3mf", sliced())
        stale = ("stale-start", "printer_control/start_print_bbl", {"url": url})
        self._later = threading.Timer(STALE_S, self._begin, stale)
        self._later.daemon = True
        self._later.start()

    def _begin(self, name: str, command: str, parameters: Tree | None = None) -> None:
        self.commands[name] = self.bench.send(self.bench[name], command, parameters)

    def answer(self, name: str) -> Message:
        """Return the answer to what was begun for a printer; the longest takes a minute."""
        wait_until(f"{name} is told", lambda: name in self.commands, STALE_S)
        return self.bench.cloud.answer(self.commands[name], 75)

    def forget_what_nobody_waited_for(self) -> None:
        """Demand no answer to what takes long, when only some tests were run and all was over before."""
        self._later.cancel()
        self._later.join()
        for command_id in self.commands.values():
            if not self.bench.cloud.answers(command_id):
                del self.bench.cloud.sent[command_id]

    def when_stale(self) -> None:
        """Wait until the printers that fell silent have done so too long ago."""
        wait_until("the last reports are old", lambda: time.monotonic() - self.began > STALE_S, STALE_S)


@pytest.fixture(scope="session")
def faulty(workshop: Workshop) -> Iterator[Faulty]:
    printers = [Printer(workshop, id=name, **options) for name, options in FAULTY.items()]
    with workspace() as folder, Bench(folder, workshop, printers, connector_id="faulty") as bench:
        bench.start(wait_for=[each for each in printers if each.id not in ("wrong-code", "silent")])
        faulty = Faulty(bench)
        yield faulty
        faulty.forget_what_nobody_waited_for()
