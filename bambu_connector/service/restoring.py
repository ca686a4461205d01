"""After a restart: what an earlier process left in the journal, taken up by the printers that are here."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from bambu_connector.printago.messages import Message
from bambu_connector.service import records
from bambu_connector.service.dispatcher import Dispatcher
from bambu_connector.service.journal import Journal
from bambu_connector.service.receipts import Reopened
from bambu_connector.service.records import FileRecord, JobRecord, PrintRecord, Unreadable
from bambu_connector.service.store import Opening
from bambu_connector.service.unit import Unit

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restorer:
    """Reads the journal for printers."""

    journal: Journal
    dispatcher: Dispatcher
    post: Callable[[Message], None]

    def restore(self, units: Mapping[str, Unit], *, alone: bool = False, stops: bool = False) -> None:
        """Take up what an earlier process left, of the printers in `units`, by serial.

        `alone`, without the service, only what guards starts is taken up: prints, starts that are out, files. Of other
        jobs only what is to be stopped: with `stops` they are here, and do not go on.
        """
        if self.journal.opening is Opening.DAMAGED:
            for unit in units.values():
                unit.jobs.be_wary()
        self.restore_printers(units)
        reopened = self.dispatcher.reopen(self.post)
        for key, job in self.all(records.JOB, JobRecord.decode):
            if not alone or (job.serial in units and (stops or job.out is not None)):
                self._restore_job(key, job, units.get(job.serial), reopened.pop(job.receipt or "", None))
        if not alone:
            self.dispatcher.close_unanswered(reopened.values())
            for unit in units.values():
                unit.jobs.go_on()

    def restore_printers(self, units: Mapping[str, Unit]) -> None:
        """Take up files, prints, and what was told of connections."""
        files = self.all(records.FILE, FileRecord.decode, lambda key: key.partition("/")[0] in units)
        for file in sorted((each for _, each in files), key=_age):
            if file.serial in units:
                units[file.serial].shelf.restore(file)
        for serial, print_ in self.all(records.PRINT, PrintRecord.decode):
            if serial in units:
                units[serial].jobs.restore_print(print_)
                units[serial].printer.restored()
        for serial, body in self.journal.all(records.ONLINE):
            if serial in units and isinstance(body.get("told"), bool):
                units[serial].printer.restore(body["told"])

    def forget_connection(self, serial: str) -> None:
        """What was told of a printer's connection counts no more: should it come back, it is introduced anew."""
        self.journal.drop(records.ONLINE, serial)

    def _restore_job(self, key: str, job: JobRecord, unit: Unit | None, left: Reopened | None) -> None:
        if unit is None:  # it left the configuration: should it come back, nothing of ours is to haunt it
            self.journal.drop(records.JOB, key)
            if job.out is not None:
                self.journal.put(records.PRINT, job.serial, replace(job.out, is_certain=False).body())
            elif job.wrote and job.file:
                file = FileRecord(serial=job.serial, name=job.file, doomed=True)
                self.journal.put(records.FILE, file.key, file.body())
            if left is not None:
                self.dispatcher.close_job(left, was_started=job.out is not None, has_printer=False)
            return
        unit.jobs.restore(job, left.command if left else None, left.reply if left else lambda _answer: None)
        if left is not None and left.command is None:
            self.dispatcher.close_job(left, was_started=job.out is not None, has_printer=True)

    def all(
        self, kind: str, decode: Callable[[records.Body], T], wanted: Callable[[str], bool] = lambda _key: True
    ) -> list[tuple[str, T]]:
        """Return every record of a kind whose key is wanted; one that cannot be read is told, and forgotten."""
        found = []
        for key, body in [each for each in self.journal.all(kind) if wanted(each[0])]:
            try:
                found.append((key, records.read(decode, body)))
            except Unreadable as error:
                log.error("a record of the journal cannot be read and is forgotten: %s %s: %s", kind, key, error)  # noqa: TRY400 - no bug
                self.journal.drop(kind, key)
        return found


def _age(file: FileRecord) -> float:
    return file.kept_at
