"""Our files on one printer's storage: what lies there on purpose, and what must go."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.project import SlicedFile
from bambu_connector.errors import CommandError, LinkError
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.ports import PrinterStorage
from bambu_connector.service.records import FileRecord

RETRY_S: Final = 60.0
AWAY_S: Final = 5.0  # to look whether the printer is back costs nothing
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that `download_gcode` left: its name there, the name that was asked for, and what is in it.

    After a restart what is in a `.3mf` is not known any more, and `sliced` is None.
    """

    name: str
    requested: str
    size: int
    md5: str
    sliced: SlicedFile | None


class Shelf:
    """Keeps order on one printer's storage, which is used by one task at a time, under `turn`."""

    def __init__(
        self,
        storage: Callable[[], PrinterStorage],
        ledger: Ledger,
        *,
        keep: int | None,
        in_use: Callable[[str], bool],
        is_reachable: Callable[[], bool],
    ) -> None:
        self._open = storage
        self._ledger = ledger
        self._is_reachable = is_reachable
        self.turn = asyncio.Lock()
        self.stored: list[Stored] = []
        self._keep = keep
        self._in_use = in_use
        self._doomed: set[str] = set()
        self._sweeping = asyncio.Event()

    @property
    def storage(self) -> PrinterStorage:
        """The way to the files, made anew: whom to trust may have been learned meanwhile."""
        return self._open()

    def find(self, name: str) -> Stored | None:
        """Return our file known by `name`: the one there, or the one that was asked for, the newest first."""
        return next((each for each in reversed(self.stored) if name in (each.name, each.requested)), None)

    def keep(self, stored: Stored) -> None:
        """A file of `download_gcode` arrived; the oldest beyond the limit go."""
        self.stored.append(stored)
        self._note(stored)
        self.tidy()

    def tidy(self) -> None:
        """Have the oldest files beyond the limit go; one that is in use goes when that is over."""
        if self._keep is None:
            return
        for each in self.stored[: max(0, len(self.stored) - self._keep)]:
            if each.name not in self._doomed and not self._in_use(each.name):
                self.doom(each.name)

    def _note(self, stored: Stored) -> None:
        self._ledger.note_file(
            FileRecord(
                serial=self._ledger.serial,
                name=stored.name,
                doomed=False,
                requested=stored.requested,
                size=stored.size,
                md5=stored.md5,
                kept_at=self._ledger.clock.wall(),
            )
        )

    def restore(self, record: FileRecord) -> None:
        """Take up a file that was known before the restart."""
        if record.doomed:
            self.doom(record.name)
        else:
            self.stored.append(Stored(record.name, record.requested, record.size, record.md5, None))

    def forget(self, name: str) -> None:
        """A file is gone."""
        self.stored = [each for each in self.stored if each.name != name]
        self._ledger.forget_file(name)

    def doom(self, name: str) -> None:
        """Remove a file of ours as soon as it can be done."""
        self._doomed.add(name)
        self._ledger.note_file(FileRecord(serial=self._ledger.serial, name=name, doomed=True))
        self._sweeping.set()

    async def run(self) -> None:
        """Remove what is doomed, again and again until it is gone; runs until cancelled."""
        while True:
            await self._sweeping.wait()
            self._sweeping.clear()
            for name in sorted(self._doomed):
                await self._remove(name)
            if self._doomed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S if self._is_reachable() else AWAY_S):
                        await self._sweeping.wait()
                self._sweeping.set()

    async def _remove(self, name: str) -> None:
        if not self._is_reachable():
            return  # its time-outs would keep the printers waiting that are there
        try:
            async with self.turn:
                if self._in_use(name):
                    return  # a start has taken it since
                await self.storage.remove(name)
        except (CommandError, LinkError) as error:
            log.debug("%s is not removed yet: %s", name, error)
            return
        self._doomed.discard(name)
        self.forget(name)

    async def sweep_now(self) -> None:
        """Try once to remove everything that is doomed."""
        for name in sorted(self._doomed):
            await self._remove(name)
