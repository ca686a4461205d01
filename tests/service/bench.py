"""A real farm on fake wires: commands in, answers out, virtual printers at the other end."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bambu_connector.config import Config, Connector, Downloads, PrinterConfig, Status, Storage
from bambu_connector.config.tree import Printago
from bambu_connector.links.wire import Delivery
from bambu_connector.printago.messages import Message, MessageType
from bambu_connector.secret import Secret
from bambu_connector.service.farm import Farm, Unit
from bambu_connector.translate.guards import FRESH_S
from tests.files import FilamentRow, sliced
from tests.service.fakes import FakeClock, FakePrinter, FakeStore, FakeWires, fake_journal
from tests.simulated import until

Fields = dict[str, Any]

PLA: Final[FilamentRow] = (1, "PLA", "#FFFFFF", "GFA00")
FILE: Final = sliced(2_000, filaments=(PLA,))
URL: Final = "https://files.example/bracket.gcode.3mf?signature=hidden"
START: Final = "printer_control/start_print_bbl"
DOWNLOAD: Final = "printer_control/download_gcode"
STOP: Final = "printer_control/stop_print"
PAUSE: Final = "printer_control/pause_print"
RESUME: Final = "printer_control/resume_print"
GET_STATUS: Final = "printer_control/get_status"
HOME: Final = "movement_control/home"
GRACE_S: Final = 1.0


def config_of(
    state_dir: Path, printers: Iterable[PrinterConfig], *, printago: Printago | None = None, keep_files: int | None = 10
) -> Config:
    """Return a configuration with these printers."""
    return Config(
        connector=Connector("bench", state_dir),
        printago=printago,
        status=Status(),
        printers=tuple(printers),
        downloads=Downloads(),
        storage=Storage(keep_files=keep_files),
    )


def printer_config(serial: str, identifier: str | None = None, **more: Any) -> PrinterConfig:
    """Return a printer's configuration, with an address and an access code."""
    return PrinterConfig(
        **{
            "serial": serial,
            "id": identifier or serial,
            "name": identifier or serial,
            "host": "192.0.2.1",
            "access_code": Secret("12345678"),
            **more,
        }
    )


@dataclass(slots=True)
class Pending:
    """A command that was given, and the answers to it so far."""

    command: str
    answers: list[Message] = field(default_factory=list)

    def post(self, message: Message) -> None:
        """Take an answer."""
        self.answers.append(message)

    @property
    def is_answered(self) -> bool:
        """There is an answer."""
        return bool(self.answers)

    @property
    def message(self) -> Fields:
        """The one answer."""
        (answer,) = self.answers
        read: Fields = json.loads(answer.payload)
        return read

    @property
    def kind(self) -> str:
        """Its type: `success`, `error`…"""
        return str(self.message["type"])

    @property
    def data(self) -> Fields:
        """Its data."""
        found: Fields = self.message["data"]
        return found

    @property
    def code(self) -> str:
        """What was wrong, `success` for nothing."""
        return str(self.data["code"]) if self.kind == "error" else self.kind

    @property
    def ending(self) -> tuple[str, str | None]:
        """The code (or `success`) and the stage."""
        return self.code, self.data.get("stage")

    async def answered(self, within: float = 400.0) -> "Pending":
        """Wait for the answer."""
        await until(lambda: self.answers, within)
        return self


class Bench:
    """A farm that runs. `said` is everything that was posted unasked."""

    def __init__(
        self,
        farm: Farm,
        wires: FakeWires,
        printers: Sequence[FakePrinter],
        clock: FakeClock,
        store: FakeStore | None = None,
    ) -> None:
        self.farm = farm
        self.store = store or FakeStore()
        self.wires = wires
        self.printers = printers
        self.clock = clock
        self.said: list[Message] = []
        self._numbers = itertools.count(1)

    @property
    def printer(self) -> FakePrinter:
        """The first (often the only) printer, as it really is."""
        return self.printers[0]

    @property
    def unit(self) -> Unit:
        """The same printer, as the service sees it."""
        return next(iter(self.farm.units.values()))

    @property
    def stage(self) -> str:
        """Where the job is."""
        return self.unit.jobs.process().stage

    @property
    def files(self) -> dict[str, bytes]:
        """What lies on the printer's storage."""
        return self.printer.storage.files

    def send(
        self, command: str, parameters: Fields | None = None, *, envelope: Fields | None = None, to: str | None = None
    ) -> Pending:
        """Give a command; `envelope` adds to the message beside `type`, `action` and `parameters`."""
        pending = Pending(command)
        self.farm.dispatcher.send(to or self.unit.config.id, self._payload(command, parameters, envelope), pending.post)
        return pending

    def deliver(self, command: str, parameters: Fields | None = None, *, envelope: Fields | None = None) -> Pending:
        """Give a command as Printago does: the next process goes on with it."""
        pending = Pending(command)
        payload = self._payload(command, parameters, {"printer_id": self.unit.config.id, **(envelope or {})})
        self.farm.dispatcher.deliver(Delivery("bambu/commands", payload, 1, False, False, 1), pending.post)
        return pending

    def _payload(self, command: str, parameters: Fields | None, envelope: Fields | None) -> bytes:
        kind, action = command.split("/")
        message = {"type": kind, "action": action, "parameters": parameters or {}, **(envelope or {})}
        message.setdefault("command_id", f"c{next(self._numbers)}")
        return json.dumps(message).encode()

    async def ask(self, command: str, parameters: Fields | None = None, **more: Any) -> Pending:
        """Give a command and wait for its answer."""
        return await self.send(command, parameters, **more).answered()

    def start(self, **parameters: Any) -> Pending:
        """Give a `start_print_bbl` of a file that can be fetched."""
        return self.send(START, {"url": URL, **parameters})

    async def until_stage(self, stage: str) -> None:
        """Wait until the job is there."""
        await until(lambda: self.stage == stage, within=400)

    async def until_ready(self) -> None:
        """Wait until every printer has told its state."""
        await until(lambda: all(unit.printer.view is not None for unit in self.farm.units.values()))

    async def until_printing(self) -> Pending:
        """Start a print and wait until it was seen; return its answered start."""
        started = await self.start().answered()
        assert started.kind == "success", started.data
        return started

    async def until_clean(self, within: float = 30.0) -> None:
        """Wait until no file of ours is on the printer's storage."""
        await until(lambda: not self.files, within)

    def hold(self, stage: str) -> None:
        """Let that stage of a job begin and not end."""
        match stage:
            case "download":
                self.wires.downloader.gate.close()
            case "verify":
                self.wires.files.is_closed = lambda: self.stage == "verify"
            case "upload":
                self.printer.storage.gates["put"].close()
            case _:
                raise AssertionError(stage)

    def release(self) -> None:
        """Let every stage go on."""
        self.wires.downloader.gate.open()
        self.wires.files.open()
        for gate in self.printer.storage.gates.values():
            gate.open()

    async def held_in_start(self) -> Pending:
        """Give a start and hold it where it is judged: the printer has fallen silent, and is asked once more."""
        self.hold("upload")
        started = self.start()
        await self.until_stage("upload")
        self.printer.withholds = lambda _message: True
        await asyncio.sleep(FRESH_S + 1)
        self.release()
        await self.until_stage("start")
        return started

    def statuses(self) -> list[Fields]:
        """Return the data of every status that was told."""
        return [json.loads(each.payload)["data"] for each in self.said if each.type is MessageType.STATUS]

    def events(self) -> list[Fields]:
        """Return the data of every event that was told."""
        return [json.loads(each.payload)["data"] for each in self.said if each.type is MessageType.EVENT]


@asynccontextmanager
async def bench(
    state_dir: Path,
    *,
    printers: Sequence[FakePrinter] | None = None,
    faults: Iterable[str] = (),
    virtual: str = "P1S",
    speed: float = 10.0,
    ready: bool = True,
    speaks: bool = False,
    keep_files: int | None = 10,
    file: bytes = FILE,
    store: FakeStore | None = None,
    clock: FakeClock | None = None,
    hand_over: bool = False,
    **configured: Any,
) -> AsyncIterator[Bench]:
    """Run a farm for as long as the block lasts. `configured` goes into the configuration of every printer.

    What is in `store` is taken up, as after a restart; with `hand_over` the jobs are left there at the end.
    """
    fakes = printers if printers is not None else [FakePrinter(virtual, faults=faults, speed=speed)]
    wires, clock, disk = FakeWires(fakes), clock or FakeClock(), store or FakeStore()
    wires.downloader.offers[URL] = file
    config = config_of(state_dir, [printer_config(each.serial, **configured) for each in fakes], keep_files=keep_files)
    said: list[Message] = []
    farm = Farm(config, wires, journal=fake_journal(state_dir, clock, disk), post=said.append, clock=clock)
    result = Bench(farm, wires, fakes, clock, disk)
    result.said = said
    if speaks:
        farm.speak()
    if store is not None:
        farm.restore()
    farm.start()
    try:
        if ready:
            await result.until_ready()
        yield result
    finally:
        for fake in fakes:
            fake.storage.ignores_cancelling = False
        await farm.stop(GRACE_S, hand_over=hand_over)


async def pass_time(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)
