"""What the journal knows of one printer: its jobs, the print that a command began, and our files on its storage."""

from bambu_connector.service import records
from bambu_connector.service.clock import Clock, Moment
from bambu_connector.service.journal import Journal
from bambu_connector.service.records import FileRecord, JobRecord, PrintRecord


class Ledger:
    """Writes the records of one printer; what is written in one step of the loop is on disk at once."""

    def __init__(self, journal: Journal, serial: str, clock: Clock) -> None:
        self.serial = serial
        self.clock = clock
        self._journal = journal

    def now(self) -> Moment:
        """Return the present, as a moment for records."""
        return Moment.now(self.clock)

    def new_job(self) -> int:
        """Return a number that no job had before. Raises Internal when nothing can be written."""
        self._journal.require_disk()
        return self._journal.next_job_number()

    def note_job(self, record: JobRecord) -> None:
        """A job goes on."""
        self._journal.put(records.JOB, _job_key(record.number), record.body())

    def end_job(self, number: int) -> None:
        """A job is over."""
        self._journal.drop(records.JOB, _job_key(number))

    def note_print(self, record: PrintRecord | None) -> None:
        """A print of ours runs, or may run; None: there is none."""
        if record is None:
            self._journal.drop(records.PRINT, self.serial)
        else:
            self._journal.put(records.PRINT, self.serial, record.body())

    def note_online(self, is_online: bool) -> None:
        """`Connected` or `Disconnected` was told."""
        self._journal.put(records.ONLINE, self.serial, {"told": is_online})

    def note_file(self, record: FileRecord) -> None:
        """A file of ours is on the printer, and stays, or is to go."""
        self._journal.put(records.FILE, record.key, record.body())

    def forget_file(self, name: str) -> None:
        """A file of ours is gone."""
        self._journal.drop(records.FILE, f"{self.serial}/{name}")

    async def secure(self) -> None:
        """Return once everything so far is on disk; raises Internal when the disk refuses it."""
        await self._journal.secure()


def _job_key(number: int) -> str:
    return f"{number:020d}"
