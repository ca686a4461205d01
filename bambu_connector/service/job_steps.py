"""The steps of a job before its start, with what each needs of the printer: fetch, check, store, judge.

Each step is on disk before it is taken.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from bambu_connector.errors import (
    CommandError,
    ConnectorError,
    Expired,
    LinkError,
    NotAPrinter,
    Unreachable,
    UploadFailed,
)
from bambu_connector.service import steps
from bambu_connector.service.job_task import Task
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.records import PrintRecord
from bambu_connector.service.shelf import Stored
from bambu_connector.service.steps import Tools
from bambu_connector.translate import events as told
from bambu_connector.translate import guards
from bambu_connector.translate import job as life
from bambu_connector.translate.age import seconds_to_expiry
from bambu_connector.translate.job import Kind
from bambu_connector.translate.recognise import StartMark
from bambu_connector.translate.start import Start, feed

FRESH_WAIT_S: Final = 15.0  # how long a silent printer is waited for right before a start
RECONNECT_WAIT_S: Final = 60.0  # and a lost session: uploads are when a P1's MQTT is weakest, and cost minutes
RESUME_S: Final = 15 * 60.0  # the contract's: an older job is not what anybody expects any more
CLOCK_WAIT_S: Final = 120.0  # a time server is found soon after the network, or not at all
NOTE_S: Final = 60.0  # how often a long step says that it goes on


class JobSteps:
    """Takes the steps of one printer's jobs."""

    def __init__(self, tools: Tools, ledger: Ledger) -> None:
        self._tools = tools
        self._printer = tools.printer
        self._ledger = ledger
        self._transferring: Task | None = None
        self.hands_over = False
        """The process ends, and the next one goes on with what is broken off."""

    def is_transferring(self) -> bool:
        """A file is being written to the printer."""
        return self._transferring is not None

    async def _begin(self, task: Task) -> None:
        task.note(self._ledger)
        await self._ledger.secure()

    def _progress(self, task: Task) -> Callable[[int, int | None], None]:
        def note(done: int, total: int | None) -> None:
            task.fraction = done / total if total else 0.0
            self._printer.statuses.changed(pressing=False)
            if self._ledger.clock.monotonic() - task.noted_at >= NOTE_S and not task.job.has_ended:
                task.note(self._ledger)

        return note

    async def fetch(self, task: Task) -> life.Event:
        """Get the file here."""
        if task.resumed is not None:
            await self._require_young(task)
        self._require_obedience(task)
        await self._begin(task)
        task.fetched = await steps.fetch(self._tools, task.order, task.number, self._progress(task))
        return life.StepDone()

    def _require_obedience(self, task: Task) -> None:
        """Refuse a start that the printer would refuse: since it was taken that may have become known."""
        if task.job.kind is not Kind.STORE:
            guards.need_developer_mode(self._printer.situation())

    async def _require_young(self, task: Task) -> None:
        """Have a job that an earlier process began go on only if it is young, and its printer is there again.

        After a power cut this machine's clock may have to be set first, and the printer boots as well.
        """
        assert task.resumed is not None
        clock = self._ledger.clock
        until, age = clock.monotonic() + CLOCK_WAIT_S, task.resumed.age(clock)
        while age is None and clock.monotonic() < until:
            await asyncio.sleep(1.0)  # nobody tells when a time server has been heard
            age = task.resumed.age(clock)
        if age is None:
            raise Expired(
                "The connector's machine was off, and its clock is not known to be right: nobody knows how old this job"
                " is. Send it again."
            )
        if age > RESUME_S:
            raise Expired(f"The connector was away for {age / 60:.0f} min, and the job is too old to go on by itself.")
        printer = self._printer
        if await printer.waiters.until(lambda: printer.view, RESUME_S - age) is None:
            raise Expired("The connector was restarted, and the printer did not come back in 15 min.")
        task.expires = clock.monotonic() + seconds_to_expiry(task.command, clock.wall())
        task.resumed = None

    async def check(self, task: Task) -> life.Event:
        """Judge the file."""
        assert task.fetched is not None
        await self._begin(task)
        task.start = await steps.check(self._tools, task.order, task.fetched, task.number)
        task.file = task.start.file
        return life.StepDone()

    async def store(self, task: Task) -> life.Event:
        """Put the file on the printer."""
        fetched, start = task.fetched, task.start
        assert fetched is not None
        assert start is not None
        self._require_obedience(task)
        await self._begin(task)
        if not (task.stored and await self._is_whole(start.file, fetched.size)):
            await self._transfer(task, fetched, start)
        task.stored = True
        if task.job.kind is Kind.STORE:
            name = steps.requested_name(task.order)
            self._tools.shelf.keep(Stored(start.file, name, fetched.size, fetched.md5, start.sliced))
        return life.StepDone()

    async def _is_whole(self, name: str, size: int) -> bool:
        """Say whether an upload that an earlier process finished is still what it was."""
        async with self._tools.shelf.turn:
            return await self._tools.shelf.storage.size(name) == size

    async def _transfer(self, task: Task, fetched: steps.Fetched, start: Start) -> None:
        transfer = {"file": start.file, "size": fetched.size}
        self._printer.tell(told.Event("TransferStarted", transfer))
        try:
            async with self._tools.shelf.turn:
                self._transferring = task
                await steps.store(self._tools, fetched, start, self._progress(task))
        except (Unreachable, NotAPrinter) as error:
            self._printer.tell(told.Event("TransferFailed", transfer | {"error": str(error)}))
            raise UploadFailed(str(error)) from error
        except (CommandError, LinkError) as error:
            self._printer.tell(told.Event("TransferFailed", transfer | {"error": str(error)}))
            raise
        except asyncio.CancelledError:
            if self.hands_over:
                raise
            self._printer.tell(told.Event("TransferFailed", transfer | {"error": "The transfer was broken off."}))
            raise
        finally:
            if self._transferring is task:
                self._transferring = None
        self._printer.tell(told.Event("TransferDone", transfer))

    async def judge(self, task: Task) -> life.Event:
        """Ask the guards once more, on a report that is fresh: somebody may have started at the screen meanwhile.

        Before the guards speak for the last time it is on disk that the start is about to be sent: whatever happens
        from then on, no later process sends it.
        """
        await self._begin(task)
        is_noted = False
        while True:
            await self._freshen()
            error = self._verdict(task)
            if error is not None or is_noted:
                return life.Judged(error)
            task.note(self._ledger, out=self.print_of(task))
            await self._ledger.secure()
            is_noted = True

    async def _freshen(self) -> None:
        printer = self._printer
        if self._fresh() is None:
            if printer.is_connected and not printer.refresh():
                printer.wake()
            await printer.waiters.until(self._fresh, FRESH_WAIT_S if printer.is_connected else RECONNECT_WAIT_S)

    def _fresh(self) -> bool | None:
        age = self._printer.report_age
        known = self._printer.view is not None and age is not None and age <= guards.FRESH_S
        return True if known else None

    def _verdict(self, task: Task) -> ConnectorError | None:
        try:
            if self._printer.clock.monotonic() > task.expires:
                raise Expired("The command's expires_at passed before the print could be started.")
            view = guards.guard_start_now(self._printer.situation())
            if task.start is not None and task.start.sliced is not None:
                feed(task.start.sliced, task.options, view, self._printer.traits)
        except ConnectorError as error:
            return error
        return None

    def print_of(self, task: Task) -> PrintRecord:
        """Return what the print of a job will be recognised by, when it is started now."""
        start, view = task.start, self._printer.view
        assert start is not None
        assert view is not None, "the guards let a start through without a report"
        return PrintRecord(
            mark=StartMark(
                job_number=start.job_number if start.sliced else None,
                name=start.name,
                file=start.file,
                before=view.identity,
                before_state=view.state,
                before_error=view.print_error,
            ),
            file=start.file if task.job.wrote else None,
            job_id=task.job_id,
            command_id=task.command.header.command_id,
            published=self._ledger.now(),
            is_certain=True,
        )
