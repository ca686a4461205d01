"""Who announces himself in the network, for printers that have no address, or are not where they were."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.service.ports import Ears
from bambu_connector.service.unit import Unit

SOON_S: Final = 3.0
SOON_TIMES: Final = 5
LATER_S: Final = 30.0  # as long as a printer is missing; one small datagram an interface
_MOST: Final = 2000  # announcements of strangers are forgotten, the oldest first
log = logging.getLogger(__name__)


class Neighbours:
    """Hears announcements all the time, and asks for those that are missing. `units` are the printers, by serial."""

    def __init__(self, units: Mapping[str, Unit], ears: Callable[[Callable[[Announcement], None]], Ears]) -> None:
        self._units = units
        self._ears = ears(self.hear)
        self._heard: OrderedDict[str, Announcement] = OrderedDict()
        self._missing: frozenset[str] = frozenset()

    def last(self, serial: str) -> Announcement | None:
        """Return what a printer said of itself last."""
        return self._heard.get(serial)

    def hear(self, announcement: Announcement) -> None:
        """Take an announcement, which anybody can have sent."""
        if announcement.is_goodbye:
            return
        self._heard[announcement.serial] = announcement
        self._heard.move_to_end(announcement.serial)
        while len(self._heard) > _MOST:
            self._heard.popitem(last=False)
        unit = self._units.get(announcement.serial)
        if unit is not None:
            if not unit.whereabouts.is_elsewhere(announcement.host):
                unit.printer.announced(announcement.model_code)
            if unit.may_be_followed():
                unit.keeper.heard(announcement.host)

    async def run(self) -> None:
        """Listen, and search while a printer is missing, until cancelled."""
        if all(each.whereabouts.places() for each in self._units.values()):
            await asyncio.sleep(SOON_S)  # nobody has to be looked for yet: the sessions go first
        await self._ears.open()
        for trouble in self._ears.troubles:
            log.warning("%s", trouble)
        searches = 0
        try:
            while True:
                missing = frozenset(serial for serial, each in self._units.items() if _is_missed(each))
                searches = searches if missing <= self._missing else 0
                self._missing = missing
                if missing:
                    self._ears.search(self._places(missing))
                    searches += 1
                await asyncio.sleep(SOON_S if searches < SOON_TIMES else LATER_S)
        finally:
            self._ears.close()

    def _places(self, missing: frozenset[str]) -> tuple[str, ...]:
        """Return where the missing ones were: a printer that does not hear the group may hear this."""
        units = (self._units[serial] for serial in missing)
        return tuple(sorted({place for each in units for place in each.whereabouts.places()}))


def _is_missed(unit: Unit) -> bool:
    return not unit.printer.is_connected and unit.config.access_code is not None
