"""All printers of one configuration under one roof, with or without Printago; they may come, go and change."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import orjson

from bambu_connector.config import Config, PrinterConfig
from bambu_connector.config import Topics as Templates
from bambu_connector.errors import IdentityMismatch, LinkError, PrinterBusy, Unreachable
from bambu_connector.printago.messages import Message
from bambu_connector.printago.topics import Routes, Topics
from bambu_connector.service import records
from bambu_connector.service.cache import FileCache
from bambu_connector.service.clock import Clock
from bambu_connector.service.dispatcher import Counter, Dispatcher
from bambu_connector.service.journal import Journal
from bambu_connector.service.neighbours import Neighbours
from bambu_connector.service.noting import note_forever
from bambu_connector.service.ports import Wires
from bambu_connector.service.records import JobRecord
from bambu_connector.service.restoring import Restorer
from bambu_connector.service.tasks import Tasks
from bambu_connector.service.unit import CANCEL_S, Surroundings, Unit, identity_of, make_unit, removed, until_ready
from bambu_connector.service.voice import Voice

__all__ = ["Farm", "Unit", "Wires", "identity_of", "topics_of", "until_ready"]

PROGRESS_S: Final = 0.2
LEAVING_S: Final = 3.0  # for the jobs of a printer that is taken out
_MB: Final = 1024 * 1024
log = logging.getLogger(__name__)


class Farm:
    """The printers. `post` takes what they have to say; nothing runs before `start`.

    `on_routes` is called when printers have come or gone, with the topics of those that are here.
    """

    def __init__(
        self, config: Config, wires: Wires, *, journal: Journal, post: Callable[[Message], None], clock: Clock
    ) -> None:
        self.config = config
        self.wires = wires
        self.post = post
        self.on_routes: Callable[[Routes], None] = lambda _routes: None
        self.tasks = Tasks()
        self.units: dict[str, Unit] = {}
        self.by_serial: dict[str, Unit] = {}
        self.neighbours = Neighbours(self.by_serial, wires.ears)
        self._trials: set[str] = set()
        self._passed_over: set[str] = set()
        """Serials of printers that may not be what is configured now."""
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._removals = Tasks()
        self._follows = False
        self._runs = self._speaks = False
        self._around = Surroundings(
            config=config,
            wires=wires,
            journal=journal,
            cache=FileCache(config.connector.state_dir / "cache", int(config.storage.cache_mb * _MB)),
            clock=clock,
            post=post,
        )
        self.topics = topics_of(config)
        for each in config.printers:
            self.units[each.id] = self.by_serial[each.serial] = make_unit(each, self._around)
        self.routes = self.topics.command_routes(self.units)
        self.dispatcher = Dispatcher(
            map(_counter, self.units.values()),
            Voice(config.connector.id, post, clock),
            routes=self.routes,
            exclusive=config.printago.exclusive if config.printago else True,
            journal=journal,
            clock=clock,
        )
        self._restorer = Restorer(journal, self.dispatcher, post)

    # -- from the first breath to the last -----------------------------------------------------

    def start(self) -> None:
        """Connect every printer that can be, and keep it connected."""
        self._remove_left_over()
        self._runs = True
        for unit in self.units.values():
            unit.start()
        self.tasks.keep(self.neighbours.run, "the search for printers")
        note = partial(note_forever, self.by_serial, self.wires.memory, self.wires.files)
        self.tasks.keep(note, "the notes on printers")

    def _remove_left_over(self) -> None:
        """Remove what jobs that are over left on this machine."""
        folder = self._around.downloads
        wanted = {f"job-{job.number}" for _, job in self._restorer.all(records.JOB, JobRecord.decode)}
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for found in folder.iterdir():
                if found.is_file() and found.name.partition(".")[0] not in wanted:
                    found.unlink(missing_ok=True)
        except OSError as error:  # a full or a broken disk: printers are watched, and stopped, all the same
            log.warning("%s cannot be tidied up: %s", folder, error.strerror)

    def restore(self, *, alone: bool = False, stops: bool = False) -> None:
        """Take up what an earlier process left, as `Restorer` says; before `start`, or when the journal can be read."""
        self._restorer.restore(self.by_serial, alone=alone, stops=stops)

    def speak(self) -> None:
        """Introduce every printer to Printago, and tell statuses from now on; of those that come later as well."""
        self._speaks = True
        for unit in self.units.values():
            if not unit.is_on_trial:
                unit.introduce()

    async def stop(self, grace: float, *, hand_over: bool = False) -> None:
        """End every job and every session; statuses say offline at the end. Jobs have `grace` seconds in all.

        With `hand_over` the next process goes on with the jobs that Printago sent.
        """
        if hand_over:
            self.wires.downloader.hand_over()
        await self._give_up(list(self.units.values()), grace, hand_over=hand_over)
        await self.tasks.cancel(CANCEL_S)
        stopped = Unreachable("The connector was stopped.")
        await asyncio.gather(*(unit.stop(stopped) for unit in self.units.values()))
        if self._leaving:
            await asyncio.wait(self._leaving.values(), timeout=CANCEL_S)

    @staticmethod
    async def _give_up(units: list[Unit], grace: float, *, hand_over: bool = False) -> None:
        for unit in units:
            unit.desk.clear()
        ending = [asyncio.create_task(unit.jobs.give_up(grace, hand_over=hand_over)) for unit in units]
        if ending:
            _, late = await asyncio.wait(ending, timeout=grace)
            for each in late:
                each.cancel()

    # -- who is here ---------------------------------------------------------------------------

    def find(self, name: str) -> Unit | None:
        """Return the printer that is called `name`: by id, else serial, else a name that no other one has."""
        unit = self.units.get(name) or self.by_serial.get(name)
        named = [each for each in self.units.values() if each.config.name == name]
        return unit or (named[0] if len(named) == 1 else None)

    def add(self, config: PrinterConfig, *, speaks: bool = True) -> Unit:
        """Take a printer in and connect it; without `speaks` nobody knows it, or can command it, until `introduce`.

        Raises PrinterBusy when one with its id or its serial is here.
        """
        if config.id in self.units or config.serial in self.by_serial:
            raise PrinterBusy(f"There is a printer {config.id} already, or the one with the serial {config.serial}.")
        unit = self.units[config.id] = self.by_serial[config.serial] = make_unit(config, self._around)
        unit.is_on_trial = not speaks
        self._restorer.restore_printers({config.serial: unit})
        if self._runs:
            unit.start()
        if speaks:
            self.introduce(unit)
        return unit

    def introduce(self, unit: Unit) -> None:
        """Have Printago know a printer, and its commands be taken."""
        unit.is_on_trial = False
        self.dispatcher.admit(_counter(unit))
        self._reroute()
        if self._speaks and not unit.speaks:
            unit.introduce()

    def change(self, unit: Unit, config: PrinterConfig) -> None:
        """Follow what is configured for a printer now; its serial and id stay."""
        assert (config.serial, config.id) == (unit.config.serial, unit.config.id), "who it is does not change"
        unit.change(config)

    async def remove(self, unit: Unit, reason: LinkError | None = None) -> None:
        """Take a printer out: its jobs end, its session is closed, its retained status is cleared.

        Once begun it is done to the end, also when whoever waits for it goes away.
        """
        serial = unit.config.serial
        if self.units.get(unit.config.id) is not unit:
            return
        if serial not in self._leaving:
            self._leaving[serial] = self._removals.run(
                self._remove(unit, reason or removed()), f"the end of {unit.name}"
            )
        await asyncio.shield(self._leaving[serial])

    async def _remove(self, unit: Unit, reason: LinkError) -> None:
        serial, printer_id = unit.config.serial, unit.config.id
        try:
            self.dispatcher.dismiss(printer_id)
            await self._give_up([unit], LEAVING_S)
            await unit.stop(reason)
            del self.units[printer_id], self.by_serial[serial]
            self._restorer.forget_connection(serial)
            self._reroute()
        finally:
            del self._leaving[serial]

    def _reroute(self) -> None:
        self.routes = self.topics.command_routes(self.dispatcher.printer_ids)
        self.dispatcher.follow(self.routes)
        self.on_routes(self.routes)

    @contextmanager
    def on_trial(self, serial: str) -> Iterator[None]:
        """Let nothing but the block change the printer with this serial; raises PrinterBusy when another does."""
        if serial in self._trials or serial in self._leaving:
            raise PrinterBusy(f"{serial} is being paired or unpaired by somebody else at this moment.")
        self._trials.add(serial)
        is_behind = True
        try:
            yield
            is_behind = self._follows
        finally:
            self._trials.discard(serial)
            if is_behind:
                self._passed_over.add(serial)

    @property
    def is_behind(self) -> bool:
        """A printer was passed over by `follow`, or left in the middle, and can follow now."""
        return any(serial not in self._trials and not self._is_held(serial) for serial in self._passed_over)

    def _is_held(self, serial: str) -> bool:
        """A start of the printer is out, or was until a moment ago: another session could make it fail."""
        unit = self.by_serial.get(serial)
        return unit is not None and unit.printer.work.holds_session(unit.printer.clock.monotonic())

    async def follow(self, config: Config) -> None:
        """Have the printers be those of another configuration, read just now; the sessions of the others stay.

        Printers that somebody is pairing, or that were sent a start, are passed over: see `is_behind`.
        """
        self.config = config
        self._passed_over.clear()
        self._follows = True
        try:
            wanted = {each.serial: each for each in config.printers}
            await asyncio.gather(*map(self.remove, self._gone(wanted)))
            self._passed_over |= self._trials
            for each in wanted.values():
                if each.serial not in self._passed_over:
                    self._take_up(each)
        finally:
            self._follows = False

    def _gone(self, wanted: Mapping[str, PrinterConfig]) -> list[Unit]:
        """Return the printers that are to be let go now."""
        gone = []
        for serial, unit in self.by_serial.items():
            each = wanted.get(serial)
            if each is not None and each.id == unit.config.id:
                continue
            if serial in self._trials:
                continue
            if self._is_held(serial):
                self._passed_over.add(serial)
                continue
            what = "is not in the configuration any more" if each is None else "has another id in the configuration"
            unit.printer.log.info("%s, and is let go", what)
            gone.append(unit)
        return gone

    def _take_up(self, config: PrinterConfig) -> None:
        here, namesake = self.by_serial.get(config.serial), self.units.get(config.id)
        if namesake is not here and namesake is not None:  # its id is free when that one has followed
            self._passed_over.add(namesake.config.serial)
        elif here is not None and here.config.id != config.id:
            self._passed_over.add(config.serial)
        elif here is None:
            self.add(config).printer.log.info("is new in the configuration")
        elif config != here.config:
            here.printer.log.info("is configured anew")
            self.change(here, config)
        elif isinstance(here.printer.link_error, IdentityMismatch):
            here.keeper.try_now()  # whom to trust is not in here, and may be what was changed

    # -- commands of the command line ----------------------------------------------------------

    async def carry_out(self, printer_id: str, message: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Give one command to a printer, as the command line does; yields the job's progress, then the answer."""
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.dispatcher.send(printer_id, orjson.dumps(message), answer.set_result)
        jobs, told = self.units[printer_id].jobs, None
        while not answer.done():
            process = jobs.process()
            progress = {"stage": process.stage, "percent": process.percent}
            if process.stage != "idle" and progress != told:
                told = progress
                yield {"progress": progress}
            await asyncio.wait({answer}, timeout=PROGRESS_S)
        yield {"answer": orjson.loads(answer.result().payload)}


def _counter(unit: Unit) -> Counter:
    return Counter(unit.config.serial, unit.desk, unit.printer.voice)


def topics_of(config: Config) -> Topics:
    """Return the topics of a configuration; without Printago the default ones, which nobody uses."""
    templates = config.printago.topics if config.printago else Templates()
    return Topics(
        connector_id=config.connector.id,
        commands=templates.commands,
        messages=templates.messages,
        availability=templates.availability,
    )
