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
from bambu_connector.service.starts import OutStart
from bambu_connector.service.steps import Fetched
from bambu_connector.translate.job import Job, Kind
from bambu_connector.translate.start import Start


@dataclass(slots=True)
class Task:
    """A command that takes minutes. `waits_until` and `expires` are monotonic; `answer` is called once."""

    command: Command
    order: orders.JobOrder
    number: int
    waits_until: float
    expires: float
    answer: Callable[[Answer], None]
    job: Job
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

    def success(self) -> Answer:
        """Return the answer to a job that did what it should."""
        assert self.start is not None, "a job that succeeded had a file"
        header, start = self.command.header, self.start
        names = {"file_name": start.file, "requested_name": steps.requested_name(self.order)}
        if self.job.kind is Kind.STORE:
            return messages.success(header, f"The file is on the printer as {start.file}.", acknowledged=True, **names)
        return messages.success(
            header,
            f"The print {start.name} has begun.",
            acknowledged=self.out is not None and self.out.is_acknowledged,
            job_id=self.job_id,
            task_name=start.name,
            **names,
        )
