"""Working with printers while no service runs: under the lock, with sessions of our own that end with the command."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bambu_connector.cli.main import PAIRED_ARE_MISSING, user_name
from bambu_connector.cli.wiring import wires_of
from bambu_connector.config import Config, PrinterConfig
from bambu_connector.errors import ConfigError, UnknownPrinter
from bambu_connector.service.clock import SystemClock
from bambu_connector.service.farm import Farm, topics_of, until_ready
from bambu_connector.service.journal import Journal
from bambu_connector.service.lock import StateLock
from bambu_connector.service.outbox import Outbox

READY_S: Final = 20.0
GRACE_S: Final = 3.0
Tree = dict[str, Any]


def find_printer(config: Config, name: str) -> PrinterConfig:
    """Return the printer that is called `name`: by id, else serial, else name. Raises UnknownPrinter.

    A name that several printers have is refused: a guess could heat the wrong machine.
    """
    for key in ("id", "serial", "name"):
        found = [each for each in config.printers if getattr(each, key) == name]
        if len(found) > 1:
            serials = ", ".join(each.serial for each in found)
            raise UnknownPrinter(f'{len(found)} printers are called "{name}": use the serial, one of {serials}.')
        if found:
            return found[0]
    if any(PAIRED_ARE_MISSING in each for each in config.warnings):
        raise UnknownPrinter(
            f'Whether there is a printer "{name}" is not known to this user, who cannot read which ones are paired.'
        )
    known = ", ".join(each.name or each.id for each in config.printers) or "none"
    raise UnknownPrinter(f'There is no printer "{name}" in the configuration; it has: {known}.')


@contextmanager
def _owned(config: Config) -> Iterator[None]:
    _leave_to_its_user(config.connector.state_dir)
    with StateLock(config.connector.state_dir):
        yield


def _leave_to_its_user(state_dir: Path) -> None:
    """Refuse to work as root in the directory of a service that is not root's: what root left there would stop it."""
    try:
        owner = state_dir.stat().st_uid
    except OSError:  # whether it can be made is for the lock to say
        return
    if os.geteuid() == 0 and owner != 0:
        name = user_name(owner) or f"#{owner}"
        raise ConfigError(
            f"{state_dir} belongs to {name}: run this as that user, with  sudo -u {name} bambu-connector …  (or while"
            " the service runs)"
        )


@asynccontextmanager
async def farm_alone(
    config: Config, printers: tuple[PrinterConfig, ...], *, stops: bool = False
) -> AsyncIterator[Farm]:
    """Connect these printers for as long as the block lasts; what is worth telling waits for the service.

    `stops`: jobs that the service left are here to be stopped.
    """
    clock = SystemClock()
    with _owned(config), wires_of(config) as wires:
        journal = Journal.open_in(config.connector.state_dir, clock)
        only = replace(config, printers=printers, printago=None)
        outbox = Outbox(topics_of(config).message, journal)
        farm = Farm(only, wires, journal=journal, post=outbox.post, clock=clock)
        farm.restore(alone=True, stops=stops)
        farm.start()
        try:
            yield farm
        finally:
            await farm.stop(GRACE_S, hand_over=True)
            await journal.close(heard_broker=False)


async def send_alone(config: Config, printer: PrinterConfig, message: Tree) -> AsyncIterator[Tree]:
    """Carry out one command; yields progress, then the answer, as the service's socket does."""
    stops = message.get("action") == "stop_print"
    async with farm_alone(config, (printer,), stops=stops) as farm:
        unit = farm.units[printer.id]
        await until_ready(unit, READY_S)
        async for each in farm.carry_out(unit.config.id, message):
            yield each
