"""One printer and all that belongs to it, from its first task to its last."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from bambu_connector.bambu.models import Model, model_named, model_of_serial, with_quirks
from bambu_connector.config import Config, PrinterConfig, PrinterTls
from bambu_connector.errors import AccessDenied, ConfigError, LinkError, PrinterOffline, Unreachable
from bambu_connector.printago.messages import Message, MessageType
from bambu_connector.service.cache import FileCache
from bambu_connector.service.clock import Clock
from bambu_connector.service.connection import Keeper
from bambu_connector.service.desk import Desk
from bambu_connector.service.jobs import Jobs
from bambu_connector.service.journal import Journal
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.memory import Learned, Memory
from bambu_connector.service.ports import Wires
from bambu_connector.service.printer import Identity, Printer
from bambu_connector.service.shelf import Shelf
from bambu_connector.service.steps import Tools
from bambu_connector.service.tasks import Tasks
from bambu_connector.service.voice import Voice
from bambu_connector.service.whereabouts import Whereabouts
from bambu_connector.translate.coalesce import Pacer

TICK_S: Final = 1.0
CANCEL_S: Final = 1.0  # sessions are closed in no time; what hangs longer must not keep the end from being told
_MB: Final = 1024 * 1024


@dataclass(slots=True)
class Unit:
    """One printer and what belongs to it.

    `config` is what holds now; `is_on_trial`: nobody is told anything of it; `speaks`: it was introduced to Printago.
    """

    config: PrinterConfig
    printer: Printer
    keeper: Keeper
    jobs: Jobs
    desk: Desk
    shelf: Shelf
    whereabouts: Whereabouts
    tasks: Tasks
    memory: Memory
    downloads: Path
    """Where files are on this machine while they are on their way."""
    is_on_trial: bool = False
    speaks: bool = False

    @property
    def name(self) -> str:
        """What people call it."""
        return self.printer.identity.name

    def start(self) -> None:
        """Connect it, as soon as that can be, and keep it connected."""
        self.tasks.keep(self.keeper.run, f"the connection to {self.name}")
        self.tasks.keep(self.desk.run, f"the commands of {self.name}")
        self.tasks.keep(self.shelf.run, f"the files of {self.name}")
        self.tasks.keep(self._tick, f"the clock of {self.name}")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.printer.tick()

    def learned(self) -> Learned:
        """Return what it turned out to be."""
        return Learned(self.printer.developer_mode, self.printer.firmware)

    def introduce(self) -> None:
        """Tell Printago of it, and its statuses from now on."""
        missing = missing_of(self.config)
        data = {
            "outcome": "failed" if missing else "paired",
            "dev_id": self.printer.identity.serial,
            "dev_name": self.name,
            "dev_model": self.printer.traits.code,
            "firmware": self.printer.firmware,
            "reason": str(missing) if missing else None,
        }
        self.speaks = True
        self.printer.voice.say(MessageType.PAIRING, data)
        self.printer.statuses.begin()

    def change(self, config: PrinterConfig) -> None:
        """Follow what is configured now; the session is made anew only if what it was made with has changed."""
        before, self.config = self.config, config
        self.printer.become(replace(identity_of(config), host=self.printer.identity.host))
        if config.host not in {before.host, self.whereabouts.current}:
            self.whereabouts.configure(config.host)
            self.keeper.renew()
        elif _session_differs(before, config):
            self.keeper.renew()
        if self.speaks and missing_of(before) is not None and missing_of(config) is None:
            self.introduce()

    def may_be_followed(self) -> bool:
        """Say whether its announcements, which anybody can send, may lead us to it.

        Only where more than its own word proves who answers: a pin or an authority. At the first contact nothing does,
        so then they count only where its owner has not said where it is; unchecked, never.
        """
        tls = self.config.tls
        if not tls.verify or tls.fingerprint or tls.ca_file:
            return tls.verify
        try:
            return self.config.host is None or not self.memory.wants(self.config.serial)
        except ConfigError:  # nobody is trusted then
            return False

    async def stop(self, reason: LinkError) -> None:
        """End its tasks and its session; the last status says offline, with the reason."""
        await self.tasks.cancel(CANCEL_S)
        self.printer.session_closed(reason)
        self.printer.statuses.end()


def _session_differs(before: PrinterConfig, now: PrinterConfig) -> bool:
    """Say whether a session would be made with something else; a given pin that is remembered now is the same."""
    is_remembered = now.tls == PrinterTls() and before.tls.verify and before.tls.ca_file is None
    return (
        before.access_code != now.access_code
        or before.ports != now.ports
        or (before.tls != now.tls and not is_remembered)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all units of a farm share."""

    config: Config
    wires: Wires
    journal: Journal
    cache: FileCache
    clock: Clock
    post: Callable[[Message], None]

    @property
    def downloads(self) -> Path:
        """Where files are while they are fetched."""
        return self.config.connector.state_dir / "downloads"


def make_unit(config: PrinterConfig, around: Surroundings) -> Unit:
    """Return a printer with all that belongs to it; nothing runs before its `start`."""
    wires, settings, clock = around.wires, around.config, around.clock
    voice = Voice(config.id, lambda message: None if unit.is_on_trial else around.post(message), clock)
    pacer = Pacer(min_interval=settings.status.min_interval, heartbeat=settings.status.heartbeat)
    printer = Printer(identity_of(config), voice, clock, pacer, include_report=settings.status.include_report)
    ledger = Ledger(around.journal, config.serial, clock)
    tasks = Tasks()
    whereabouts = Whereabouts(config.host, wires.memory.place(config.serial))
    shelf = Shelf(
        lambda: wires.storage(at(unit.config, whereabouts.current), printer.traits),
        ledger,
        keep=settings.storage.keep_files,
        in_use=lambda name: jobs.uses(name),  # noqa: PLW0108 - the jobs are made after the shelf
        is_reachable=lambda: printer.is_connected,
    )
    tools = Tools(
        printer=printer,
        shelf=shelf,
        downloader=wires.downloader,
        cache=around.cache,
        files=wires.files,
        folder=around.downloads,
        max_bytes=int(settings.downloads.max_size_mb * _MB),
    )
    jobs = Jobs(tools, ledger, tasks.run)
    printer.work = jobs
    keeper = Keeper(
        printer,
        lambda place: wires.link(at(unit.config, place)),
        wires.memory,
        wires.files,
        whereabouts,
        lambda: missing_of(unit.config),
    )
    desk = Desk(printer, jobs, shelf, tasks.run)
    unit = Unit(config, printer, keeper, jobs, desk, shelf, whereabouts, tasks, wires.memory, around.downloads)
    printer.is_heard = lambda: not unit.is_on_trial
    return unit


def at(config: PrinterConfig, place: str | None) -> PrinterConfig:
    """Return what is configured for a printer, with where it is."""
    return config if place == config.host else replace(config, host=place)


def missing_of(config: PrinterConfig) -> LinkError | None:
    """Return what its owner has to do before a printer can be connected; None when that can be tried."""
    if config.access_code is None:
        return AccessDenied(
            f"{config.name or config.serial} has no access code yet, so it cannot be used: pair it with"
            f" `bambu-connector pair {config.serial}`"
        )
    return None


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


def removed() -> LinkError:
    """Return why a printer that left the configuration is offline."""
    return Unreachable("The printer was removed from the connector.")
