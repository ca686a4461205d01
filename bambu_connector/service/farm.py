"""All printers of one configuration under one roof, with or without Printago."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import orjson

from bambu_connector.bambu.models import Model, Traits, model_named, model_of_serial, with_quirks
from bambu_connector.config import Config, PrinterConfig
from bambu_connector.config import Topics as Templates
from bambu_connector.errors import AccessDenied, LinkError, PrinterOffline, Unreachable
from bambu_connector.printago.messages import Message, MessageType
from bambu_connector.printago.topics import Topics
from bambu_connector.service import records
from bambu_connector.service.cache import FileCache
from bambu_connector.service.clock import Clock
from bambu_connector.service.connection import Keeper
from bambu_connector.service.desk import Desk
from bambu_connector.service.dispatcher import Counter, Dispatcher
from bambu_connector.service.jobs import Jobs
from bambu_connector.service.journal import Journal
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.pins import Pins
from bambu_connector.service.ports import Downloader, PrinterLink, PrinterStorage
from bambu_connector.service.printer import Identity, Printer
from bambu_connector.service.receipts import Reopened
from bambu_connector.service.records import FileRecord, JobRecord, PrintRecord, Unreadable
from bambu_connector.service.shelf import Shelf
from bambu_connector.service.steps import Tools
from bambu_connector.service.store import Opening
from bambu_connector.service.tasks import Tasks
from bambu_connector.service.voice import Voice
from bambu_connector.translate.coalesce import Pacer

TICK_S: Final = 1.0
PROGRESS_S: Final = 0.2
CANCEL_S: Final = 1.0  # sessions are closed in no time; what hangs longer must not keep the end from being told
_MB: Final = 1024 * 1024
T = TypeVar("T")
log = logging.getLogger(__name__)


class Wires(Protocol):
    """What makes the links; the command line puts the real ones in."""

    @property
    def downloader(self) -> Downloader:
        """What fetches files."""

    @property
    def pins(self) -> Pins:
        """What is trusted from the first contact on."""

    @property
    def files(self) -> Executor:
        """What reads whole files off the loop."""

    def link(self, printer: PrinterConfig) -> PrinterLink:
        """Return a fresh way to a printer's broker, trusting what is trusted by now."""

    def storage(self, printer: PrinterConfig, traits: Traits) -> PrinterStorage:
        """Return the way to a printer's files."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One printer and what belongs to it."""

    config: PrinterConfig
    printer: Printer
    keeper: Keeper
    jobs: Jobs
    desk: Desk
    shelf: Shelf


class Farm:
    """The printers. `post` takes what they have to say; nothing runs before `start`."""

    def __init__(
        self, config: Config, wires: Wires, *, journal: Journal, post: Callable[[Message], None], clock: Clock
    ) -> None:
        self.config = config
        self._wires = wires
        self._clock = clock
        self._journal = journal
        self._post = post
        self.tasks = Tasks()
        self.units: dict[str, Unit] = {}
        downloads = config.connector.state_dir / "downloads"
        self._cache = FileCache(config.connector.state_dir / "cache", int(config.storage.cache_mb * _MB))
        for each in config.printers:
            self.units[each.id] = self._unit(each, post, downloads)
        self.topics = topics_of(config)
        self.routes = self.topics.command_routes(self.units)
        counters = {
            printer_id: Counter(unit.config.serial, unit.desk, unit.printer.voice)
            for printer_id, unit in self.units.items()
        }
        self.dispatcher = Dispatcher(
            counters,
            Voice(config.connector.id, post, clock),
            routes=self.routes,
            exclusive=config.printago.exclusive if config.printago else True,
            journal=journal,
            clock=clock,
        )

    def _unit(self, config: PrinterConfig, post: Callable[[Message], None], folder: Path) -> Unit:
        wires, settings = self._wires, self.config
        voice = Voice(config.id, post, self._clock)
        pacer = Pacer(min_interval=settings.status.min_interval, heartbeat=settings.status.heartbeat)
        printer = Printer(identity_of(config), voice, self._clock, pacer, include_report=settings.status.include_report)
        ledger = Ledger(self._journal, config.serial, self._clock)
        shelf = Shelf(
            lambda: wires.storage(config, printer.traits),
            ledger,
            keep=settings.storage.keep_files,
            in_use=lambda name: jobs.uses(name),  # noqa: PLW0108 - the jobs are made after the shelf
            is_reachable=lambda: printer.is_connected,
        )
        tools = Tools(
            printer=printer,
            shelf=shelf,
            downloader=wires.downloader,
            cache=self._cache,
            files=wires.files,
            folder=folder,
            max_bytes=int(settings.downloads.max_size_mb * _MB),
        )
        jobs = Jobs(tools, ledger, self.tasks.run)
        printer.work = jobs
        desk = Desk(printer, jobs, shelf, self.tasks.run)
        return Unit(config, printer, Keeper(printer, partial(wires.link, config), wires.pins), jobs, desk, shelf)

    def start(self) -> None:
        """Connect every printer that can be, and keep it connected."""
        self._remove_left_over()
        for unit in self.units.values():
            name = unit.printer.identity.name
            missing = _missing(unit.config)
            if missing is None:
                self.tasks.keep(unit.keeper.run, f"the connection to {name}")
            else:
                unit.printer.log.warning("%s", missing)
                unit.printer.session_closed(missing)
            self.tasks.keep(unit.desk.run, f"the commands of {name}")
            self.tasks.keep(unit.shelf.run, f"the files of {name}")
            self.tasks.keep(partial(self._tick, unit.printer), f"the clock of {name}")

    def _remove_left_over(self) -> None:
        """Remove what jobs that are over left on this machine."""
        folder = self.config.connector.state_dir / "downloads"
        wanted = {f"job-{job.number}" for _, job in self._all(records.JOB, JobRecord.decode)}
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for found in folder.iterdir():
                if found.is_file() and found.name.partition(".")[0] not in wanted:
                    found.unlink(missing_ok=True)
        except OSError as error:  # a full or a broken disk: printers are watched, and stopped, all the same
            log.warning("%s cannot be tidied up: %s", folder, error.strerror)

    # -- after a restart -----------------------------------------------------------------------

    def restore(self, *, alone: bool = False, stops: bool = False) -> None:
        """Take up what an earlier process left; before `start`, or as soon as the journal can be read.

        `alone`, without the service, only what guards starts is taken up, of the printers that are here: prints, starts
        that are out, files. Of other jobs only what is to be stopped: with `stops` they are here, and do not go on.
        """
        if self._journal.opening is Opening.DAMAGED:
            for unit in self.units.values():
                unit.jobs.be_wary()
        units = {unit.config.serial: unit for unit in self.units.values()}
        self._restore_printers(units)
        reopened = self.dispatcher.reopen(self._post)
        for key, job in self._all(records.JOB, JobRecord.decode):
            if not alone or (job.serial in units and (stops or job.out is not None)):
                self._restore_job(key, job, units.get(job.serial), reopened.pop(job.receipt or "", None))
        if not alone:
            self.dispatcher.close_unanswered(reopened.values())
            for unit in self.units.values():
                unit.jobs.go_on()

    def _restore_printers(self, units: Mapping[str, Unit]) -> None:
        """Take up files, prints, and what was told of connections."""
        for file in sorted((each for _, each in self._all(records.FILE, FileRecord.decode)), key=_age):
            if file.serial in units:
                units[file.serial].shelf.restore(file)
        for serial, print_ in self._all(records.PRINT, PrintRecord.decode):
            if serial in units:
                units[serial].jobs.restore_print(print_)
                units[serial].printer.restored()
        for serial, body in self._journal.all(records.ONLINE):
            if serial in units and isinstance(body.get("told"), bool):
                units[serial].printer.restore(body["told"])

    def _restore_job(self, key: str, job: JobRecord, unit: Unit | None, left: Reopened | None) -> None:
        if unit is None:  # it left the configuration: should it come back, nothing of ours is to haunt it
            self._journal.drop(records.JOB, key)
            if job.out is not None:
                self._journal.put(records.PRINT, job.serial, replace(job.out, is_certain=False).body())
            elif job.wrote and job.file:
                file = FileRecord(serial=job.serial, name=job.file, doomed=True)
                self._journal.put(records.FILE, file.key, file.body())
            if left is not None:
                self.dispatcher.close_unanswered([left], was_begun=job.out is not None)
            return
        unit.jobs.restore(job, left.command if left else None, left.reply if left else lambda _answer: None)
        if left is not None and left.command is None:
            self.dispatcher.close_unanswered([left], was_begun=job.out is not None)

    def _all(self, kind: str, decode: Callable[[records.Body], T]) -> list[tuple[str, T]]:
        found = []
        for key, body in list(self._journal.all(kind)):
            try:
                found.append((key, records.read(decode, body)))
            except Unreadable as error:
                log.error("a record of the journal cannot be read and is forgotten: %s %s: %s", kind, key, error)  # noqa: TRY400 - no bug
                self._journal.drop(kind, key)
        return found

    # -- running -------------------------------------------------------------------------------

    @staticmethod
    async def _tick(printer: Printer) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            printer.tick()

    async def carry_out(self, printer_id: str, message: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
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

    def speak(self) -> None:
        """Introduce every printer to Printago, and tell statuses from now on."""
        for unit in self.units.values():
            printer = unit.printer
            missing = _missing(unit.config)
            data = {
                "outcome": "failed" if missing else "paired",
                "dev_id": printer.identity.serial,
                "dev_name": printer.identity.name,
                "dev_model": printer.traits.code,
                "firmware": printer.firmware,
                "reason": str(missing) if missing else None,
            }
            printer.voice.say(MessageType.PAIRING, data)
            printer.start_speaking()

    async def stop(self, grace: float, *, hand_over: bool = False) -> None:
        """End every job and every session; statuses say offline at the end. Jobs have `grace` seconds in all.

        With `hand_over` the next process goes on with the jobs that Printago sent.
        """
        if hand_over:
            self._wires.downloader.hand_over()
        for unit in self.units.values():
            unit.desk.clear()
        ending = [asyncio.create_task(unit.jobs.give_up(grace, hand_over=hand_over)) for unit in self.units.values()]
        if ending:
            _, late = await asyncio.wait(ending, timeout=grace)
            for each in late:
                each.cancel()
        await self.tasks.cancel(CANCEL_S)
        for unit in self.units.values():
            unit.printer.session_closed(Unreachable("The connector was stopped."))
            unit.printer.fall_silent()


def _age(file: FileRecord) -> float:
    return file.kept_at


def _missing(config: PrinterConfig) -> LinkError | None:
    if config.host is None:
        return Unreachable(f"{config.name or config.serial} has no `host` in the configuration, so it cannot be found.")
    if config.access_code is None:
        return AccessDenied(
            f"{config.name or config.serial} has no `access_code` in the configuration, so it cannot be used."
        )
    return None


def topics_of(config: Config) -> Topics:
    """Return the topics of a configuration; without Printago the default ones, which nobody uses."""
    templates = config.printago.topics if config.printago else Templates()
    return Topics(
        connector_id=config.connector.id,
        commands=templates.commands,
        messages=templates.messages,
        availability=templates.availability,
    )


def identity_of(config: PrinterConfig) -> Identity:
    """Return who a printer is: its model by the configuration, else by its serial."""
    named = model_named(config.model) if config.model else None
    model: Model = named or model_of_serial(config.serial)
    quirks = config.quirks
    adjust = partial(
        with_quirks,
        start_url=quirks.start_url,
        md5=quirks.md5,
        ftps_protection=quirks.ftps_protection,
        start_timeout=quirks.start_timeout,
        jog_signs=quirks.jog_signs,
    )
    return Identity(
        serial=config.serial,
        printer_id=config.id,
        name=config.name or config.serial,
        host=config.host,
        model=model,
        adjust=adjust,
        model_is_given=named is not None,
    )


async def until_ready(unit: Unit, within: float) -> None:
    """Wait until a printer has told its state; raises why it did not, where that is known."""
    printer = unit.printer

    def ready() -> bool | None:
        if printer.view is not None:
            return True
        error = printer.link_error
        if error is not None and not error.retryable:
            raise error
        return None

    if await printer.waiters.until(ready, within) is None:
        raise printer.link_error or PrinterOffline(
            f"{printer.identity.name} did not tell its state within {within:.0f} s."
        )
