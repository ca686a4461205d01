"""One job on its way, with what its steps have brought so far."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bambu_connector.errors import CommandError
from bambu_connector.printago import messages, orders
from bambu_connector.printago.commands import Command
from bambu_connector.printago.messages import Answer
from bambu_connector.printago.orders import StartOptions
from bambu_connector.service import steps
from bambu_connector.service.clock import Moment
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.records import JobRecord, PrintRecord
from bambu_connector.service.starts import OutStart
from bambu_connector.service.steps import Fetched
from bambu_connector.translate.job import Job, Kind, Phase
from bambu_connector.translate.start import Start


@dataclass(slots=True)
class Task:
    """A command that takes minutes. `waits_until` and `expires` are monotonic; `answer` is called once.

    `receipt` is what the journal knows the command by; None: nobody goes on with the job after a restart. `resumed` is
    the last step that an earlier process took; None where the job began in this one.
    """

    command: Command
    order: orders.JobOrder
    number: int
    waits_until: float
    expires: float
    answer: Callable[[Answer], None]
    job: Job
    receipt: str | None = None
    resumed: Moment | None = None
    stored: bool = False
    """The whole file is on the printer."""
    file: str | None = None
    """Its name there, as soon as it has one."""
    noted_at: float = 0.0
    fraction: float = 0.0
    fetched: Fetched | None = None
    start: Start | None = None
    out: OutStart | None = None
    step: asyncio.Task[None] | None = None
    stops: list[asyncio.Future[None]] = field(default_factory=list)
    stop_deadline: float | None = None
    stop_session: int = 0
    """The number of the session on which our last stop was sent."""
    use_ams: bool | None = None

    @property
    def options(self) -> StartOptions:
        """The options that the command gave."""
        return steps.options_of(self.order)

    @property
    def job_id(self) -> str | None:
        """What Printago calls the job: its own id, else the command's."""
        given, command_id = self.options.job_id, self.command.header.command_id
        return given or (None if command_id is None else str(command_id))

    def end_stops(self, error: CommandError | None) -> None:
        """Answer every stop that waits for this job, with success when `error` is None."""
        for stop in self.stops:
            if stop.done():
                continue
            if error is None:
                stop.set_result(None)
            else:
                stop.set_exception(error)
        self.stops.clear()

    @property
    def print_name(self) -> str:
        """What the print is called on the printer's screen."""
        assert self.start or self.out, "a job that succeeded had a file"
        return self.start.name if self.start else self.out.mark.name if self.out else ""

    def success(self) -> Answer:
        """Return the answer to a job that did what it should."""
        header = self.command.header
        names = {"file_name": self.file, "requested_name": steps.requested_name(self.order)}
        if self.job.kind is Kind.STORE:
            return messages.success(header, f"The file is on the printer as {self.file}.", acknowledged=True, **names)
        return messages.success(
            header,
            f"The print {self.print_name} has begun.",
            acknowledged=self.out is not None and self.out.is_acknowledged,
            job_id=self.job_id,
            task_name=self.print_name,
            **names,
        )

    def note(self, ledger: Ledger, *, out: PrintRecord | None = None) -> None:
        """Write how far the job is; `out`: its start is about to be published."""
        out = self.out.record if self.out else out
        phase = Phase.OUT if out and self.job.phase is Phase.JUDGING else self.job.phase
        self.noted_at = ledger.clock.monotonic()
        ledger.note_job(
            JobRecord(
                serial=ledger.serial,
                number=self.number,
                kind=self.job.kind,
                phase=phase,
                # As long as it is not known whether the job may go on, it is not younger than it was.
                saved=self.resumed or ledger.now(),
                receipt=self.receipt,
                file=self.file,
                wrote=self.job.wrote,
                stored=self.stored,
                out=out,
            )
        )
