"""The service: printers, Printago and the control socket, from the first breath to an orderly end."""

import asyncio
import json
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Final

from bambu_connector.config import Config
from bambu_connector.errors import ConfigError, LinkError
from bambu_connector.printago.topics import Routes
from bambu_connector.service.clock import Clock
from bambu_connector.service.control import Control
from bambu_connector.service.farm import Farm, Wires, topics_of
from bambu_connector.service.journal import Journal
from bambu_connector.service.notify import Notifier
from bambu_connector.service.outbox import Outbox
from bambu_connector.service.ports import Delivery, PrintagoConnection, PrintagoLink
from bambu_connector.service.tasks import forever
from bambu_connector.service.uplink import Uplink

JOB_GRACE_S: Final = 4.0
FIRST_CONTACT_S: Final = 2.0
UNDO_S: Final = 0.5  # for what is broken off when the end begins, which has had the seconds before as well
DRAIN_S: Final = 1.5
GOODBYE_S: Final = 1.0  # with the above well below the 10 s in which an orderly stop must be done
LOOK_S: Final = 2.0  # between two looks at whether the configuration was changed: a few calls of stat()
_ANNOUNCED: Final = "announced.json"
_LIVE: Final = ("printers", "path", "warnings", "sources")  # what may change while the service runs
log = logging.getLogger(__name__)


class Supervisor:
    """Runs one configuration; the caller holds the state directory's lock.

    `reload` is asked now and then for the configuration, if it was changed, or with True in any case: None when not,
    ConfigError when it cannot be used. `last_resort` is called when the orderly end begins: it has to see to it that
    threads which hang do not outlive it.
    """

    def __init__(
        self,
        config: Config,
        wires: Wires,
        link: PrintagoLink,
        *,
        journal: Journal,
        clock: Clock,
        notifier: Notifier,
        reload: Callable[[bool], Config | None] = lambda _anew: None,
        last_resort: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._reload = reload
        self._state_dir = config.connector.state_dir
        self._notifier = notifier
        self._journal = journal
        self._outbox = Outbox(topics_of(config).message, journal)
        self.farm = Farm(config, wires, journal=journal, post=self._outbox.post, clock=clock)
        self._last_resort = last_resort
        self._introduced = False
        self._stopping = asyncio.Event()
        self._uplink = Uplink(
            link,
            self._outbox,
            routes=self.farm.routes,
            availability=self.farm.topics.availability_topic(),
            deliver=self._deliver,
            on_connected=self._connected,
            first_contact=self._first_contact,
            clock=clock,
        )
        self.farm.on_routes = self._reroute
        self._control = Control(self.farm, self._uplink)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._restore()
        self._journal.on_late_opening = self._restore
        await self._control.start(self._state_dir)
        self.farm.start()
        uplink = asyncio.create_task(forever(self._uplink.run, "the connection to Printago"))
        self.farm.tasks.keep(self._follow_configuration, "the look at the configuration")
        self._notifier.say(READY=1, STATUS=f"{len(self.farm.units)} printers")
        if self.farm.units:
            log.info("running with %d printer%s", len(self.farm.units), "" if len(self.farm.units) == 1 else "s")
        else:
            log.warning("running without a printer: `bambu-connector pair` takes one in, as the service's user")
        await self._until_stopped()
        log.info("stopping")
        self._last_resort()
        self._notifier.say(STOPPING=1)
        await self._stop(uplink)

    def _deliver(self, delivery: Delivery, acknowledge: Callable[[], None]) -> None:
        """Take a command; the broker keeps it until it is on disk here."""
        self.farm.dispatcher.deliver(delivery, self._outbox.post)
        self._journal.when_safe(acknowledge)

    async def _follow_configuration(self) -> None:
        """Take up what the owner changes, without a restart, and what the command line learned."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                config = self._reload(self.farm.is_behind)
            except ConfigError as error:
                for problem in error.problems:
                    log.error("the configuration was changed and cannot be used, so the one before holds: %s", problem)  # noqa: TRY400 - no bug
                continue
            if config is None:
                continue
            for section in _changed_sections(self._config, config):
                log.warning("`%s` was changed in the configuration: restart the service for it to hold", section)
            for warning in config.warnings:
                if warning not in self._config.warnings:
                    log.warning("%s", warning)
            self._config = config
            await self.farm.follow(config)

    def _reroute(self, routes: Routes) -> None:
        """Printers have come or gone."""
        _ = self.farm.tasks.run(self._uplink.follow(routes), "the topics of the printers")
        connection = self._uplink.connection
        if connection is not None and self._introduced:
            self._clear_removed(connection)

    def _restore(self) -> None:
        """Take up what an earlier process left."""
        self._outbox.restore()
        self.farm.restore()

    def stop(self) -> None:
        """Begin the orderly end."""
        self._stopping.set()

    async def _until_stopped(self) -> None:
        interval = self._notifier.watchdog_s
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._stopping.wait()
            if interval is not None:
                self._notifier.say(WATCHDOG=1)

    async def _stop(self, uplink: asyncio.Task[None]) -> None:
        await self._control.stop(self._state_dir)
        self._uplink.close_for_commands()
        await self.farm.stop(JOB_GRACE_S, hand_over=True)
        await self._control.ended(UNDO_S)
        if self._uplink.is_connected:
            await self._outbox.drained(DRAIN_S)
            await self._uplink.say_goodbye(GOODBYE_S)
        uplink.cancel()
        await asyncio.wait({uplink})
        await self._journal.close(heard_broker=self._introduced)
        log.info("stopped")

    # -- Printago is there ---------------------------------------------------------------------

    async def _first_contact(self) -> None:
        """Wait until every printer has told its state or could not be reached, at most a few seconds in all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_CONTACT_S):
                for unit in list(self.farm.units.values()):  # they may come and go meanwhile
                    await unit.printer.waiters.until(unit.printer.was_tried, FIRST_CONTACT_S)

    def _connected(self, connection: PrintagoConnection) -> None:
        self._clear_removed(connection)
        if self._introduced:
            for unit in self.farm.units.values():
                unit.printer.statuses.say_again()
            return
        self._introduced = True
        self.farm.speak()

    def _clear_removed(self, connection: PrintagoConnection) -> None:
        """Clear the retained statuses of printers that an earlier configuration had, and want no commands for them."""
        with suppress(LinkError):  # the next session does it
            self._clear(connection)

    def _clear(self, connection: PrintagoConnection) -> None:
        path = self._state_dir / _ANNOUNCED
        mine = sorted(self.farm.dispatcher.printer_ids)
        before = _read_announced(path)
        topic_of = self.farm.topics.message
        used = {topic_of(printer_id, "status") for printer_id in mine}
        for printer_id in before:
            topic = topic_of(printer_id, "status")
            if topic not in used:
                _ = connection.publish(topic, b"", qos=0, retain=True)
        routes, earlier = self.farm.routes, self.farm.topics.command_routes(before)
        if stale := sorted(set(earlier.named) - set(routes.topics())):
            connection.unsubscribe(stale)  # the broker's session may have kept them
        if before != mine:
            try:
                path.touch(0o600)
                path.write_text(json.dumps(mine), encoding="utf-8")
            except OSError as error:
                log.warning("%s cannot be written (%s); statuses may stay when a printer is removed", path, error)


def _changed_sections(before: Config, after: Config) -> list[str]:
    """Return what was changed and holds only after a restart."""
    names = [each.name for each in fields(Config) if each.name not in _LIVE]
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _read_announced(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s); retained statuses of removed printers stay", path, error)
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
