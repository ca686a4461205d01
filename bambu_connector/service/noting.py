"""Has other commands know what printers turned out to be: all that is new in one write, off the loop."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Final

from bambu_connector.errors import ConfigError
from bambu_connector.service.memory import Learned, Memory
from bambu_connector.service.unit import Unit

NOTE_S: Final = 10.0  # in the beginning 200 printers tell within seconds, each write costs a Pi a tenth of one
log = logging.getLogger(__name__)


async def note_forever(units: Mapping[str, Unit], memory: Memory, files: Executor) -> None:
    """Note whether printers can be controlled, and their firmware, when that changes; until cancelled."""
    noted: dict[str, Learned] = {}
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(NOTE_S)
        known = {serial: unit.learned() for serial, unit in units.items() if not unit.is_on_trial}
        news = {serial: each for serial, each in known.items() if each not in (Learned(), noted.get(serial))}
        if not news:
            continue
        noted |= news
        try:
            await loop.run_in_executor(files, partial(memory.learned, news))
        except ConfigError as error:
            log.warning("what printers turned out to be could not be noted: %s", error)
