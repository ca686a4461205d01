"""Carries the jobs of one printer through, one step at a time. What follows from what stands in `translate.job`."""

import asyncio
import enum
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from bambu_connector.bambu.request import AmsMapping, Stop
from bambu_connector.bambu.view import View
from bambu_connector.errors import (
    Cancelled,
    ConnectorError,
    Expired,
    Internal,
    PrinterBusy,
    PrinterOffline,
)
from bambu_connector.printago import messages, orders
from bambu_connector.printago.commands import Command
from bambu_connector.printago.messages import Answer
from bambu_connector.service import steps
from bambu_connector.service.job_steps import JobSteps
from bambu_connector.service.job_task import Task
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.prints import Prints
from bambu_connector.service.records import JobRecord, PrintRecord
from bambu_connector.service.starts import OutStart
from bambu_connector.service.steps import Tools
from bambu_connector.translate import events as told
from bambu_connector.translate import guards
from bambu_connector.translate import job as life
from bambu_connector.translate.job import Do, EndStops, Fail, Job, Kind, Phase, Succeed
from bambu_connector.translate.start import feed, resolved, start_request
from bambu_connector.translate.status import NO_PROCESS, Process

MAX_WAITING: Final = 100
SWEEP_S: Final = 5.0  # a stop does not wait longer for a file to be removed; it is tried again later

_ONLINE: Final = {"Connected": True, "Disconnected": False}
_KINDS: Final = {orders.StartPrintBbl: Kind.PRINT, orders.DownloadGcode: Kind.STORE, orders.StartPrint: Kind.START}


class Stopped(enum.Enum):
    """What a stop found."""

    NOTHING = enum.auto()
    """No job that a stop is meant for."""
    HERE = enum.auto()
    """A job that the printer had not been told of."""
    AT_THE_PRINTER = enum.auto()
    """A start that the printer had been sent."""


Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Jobs:
    """The jobs of one printer: the first is under way, further downloads wait behind it."""

    def __init__(
        self,
        tools: Tools,
        ledger: Ledger,
        spawn: Spawn,
    ) -> None:
        self._tools = tools
        self._printer = tools.printer
        self._ledger = ledger
        self._steps = JobSteps(tools, ledger)
        self._spawn = spawn
        self._tasks: list[Task] = []
        self._prints = Prints(ledger, tools.shelf)
        self._quiet_until = -math.inf
        """Until then the printer is left alone, whatever became of our start."""
        self._unannounced = False
        """An earlier process started the print that runs, and had no time to tell."""
        self._announced_in: int | None = None
        """The number of the session in which the beginning of a print was told last."""
        self._wary_until = -math.inf
        self._stopping = False

    # -- what others ask -----------------------------------------------------------------------

    @property
    def is_under_way(self) -> bool:
        """A job has not ended."""
        return bool(self._tasks)

    @property
    def start_is_out(self) -> bool:
        """A start is published and its outcome is not known."""
        return bool(self._tasks) and self._tasks[0].job.phase in life.STARTING

    @property
    def start_is_unexplained(self) -> bool:
        """A start ended unknown, and nothing has explained it since."""
        return self._prints.is_unexplained or self._printer.clock.monotonic() < self._wary_until

    def is_transferring(self) -> bool:
        """A file is being written to the printer."""
        return self._steps.is_transferring()

    def holds_session(self, now: float) -> bool:
        """No `pushall` and no rebuild now."""
        return self.start_is_out or now < self._quiet_until

    def quiet_for(self, now: float) -> float:
        """For how many seconds the printer must be left alone, even if its session is lost."""
        return max(0.0, self._quiet_until - now)

    def uses(self, name: str) -> bool:
        """Say whether a file on the printer belongs to a job or a print that has not ended."""
        return name in self._prints.files | {self._file_of(task) for task in self._tasks}

    def _file_of(self, task: Task) -> str | None:
        if task.file is not None or not isinstance(task.order, orders.StartPrint):
            return task.file
        known = self._tools.shelf.find(task.order.file_name)
        return known.name if known else task.order.file_name

    def process(self) -> Process:
        """What the status says of jobs."""
        print_job_id = self._prints.job_id
        if not self._tasks:
            return Process(print_job_id=print_job_id) if print_job_id else NO_PROCESS
        task = self._tasks[0]
        plate = task.start.sliced.plate if task.start and task.start.sliced else task.options.plate
        is_start = task.job.kind is not Kind.STORE
        return Process(
            stage=task.job.phase.stage,
            percent=life.progress(task.job.phase, task.fraction),
            job_id=task.job_id,
            print_job_id=print_job_id or (task.job_id if task.job.phase in life.STARTING else None),
            file=task.file,
            options=resolved(task.options, self._printer.traits, plate) if is_start else None,
            use_ams=task.use_ams,
        )

    def late_end(self, view: View) -> told.Event | None:
        """Return the end of the print that we follow, when the first report of a session shows it ended."""
        return self._prints.late_end(view)

    def describe(self, event: told.Event) -> dict[str, Any]:
        """Return an event's details, to be told now; a print that a command started carries the command's ids."""
        if event.name == "PrintStarted":
            self._announced_in = self._printer.sessions
        if event.name in _ONLINE:
            self._ledger.note_online(_ONLINE[event.name])
        return self._prints.describe(event)

    # -- taking jobs ---------------------------------------------------------------------------

    def submit(
        self,
        command: Command,
        order: orders.JobOrder,
        *,
        waits: float,
        expires: float,
        answer: Callable[[Answer], None],
        receipt: str | None = None,
    ) -> None:
        """Take a job, or refuse it by raising; `waits` and `expires` are seconds from now. `answer` is called once.

        `receipt` is what the journal knows the command by; None: nobody goes on with it after a restart.
        """
        kind = _KINDS[type(order)]
        situation = self._printer.situation()
        if kind is Kind.STORE:
            guards.guard_storage(situation)
        else:
            guards.guard_start(situation)
        if len(self._tasks) >= MAX_WAITING:
            raise PrinterBusy(f"{MAX_WAITING} jobs wait for this printer already.")
        now = self._printer.clock.monotonic()
        task = Task(
            command, order, self._ledger.new_job(), now + waits, now + expires, answer, Job(kind), receipt=receipt
        )
        self._tasks.append(task)
        task.note(self._ledger)
        self._changed()
        if len(self._tasks) == 1:
            self._begin(task)

    def _begin(self, task: Task) -> None:
        if self._printer.clock.monotonic() > task.waits_until:
            self._event(task, life.StepFailed(Expired("The job waited too long for its turn.")))
        else:
            self._event(task, life.Turn())

    async def stop(self) -> Stopped:
        """Stop the jobs, as the contract's table says; returns once they have ended, raises what the stop ends in."""
        # Where a print may be active, it is what a stop is meant for, and not a download beside it.
        spared = Kind.STORE if self._may_print() else None
        tasks = [each for each in self._tasks if each.job.kind is not spared]
        if not tasks:
            return Stopped.NOTHING
        task = tasks[0]
        stopped = Stopped.AT_THE_PRINTER if task.job.phase in life.STARTING else Stopped.HERE
        if task.job.phase in life.STARTING and not self._printer.is_connected:
            raise PrinterOffline("The printer is not connected, and our start was sent before that.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task.stops.append(done)
        task.stop_deadline = self._printer.clock.monotonic() + self._printer.traits.start_timeout
        step = task.step
        for each in reversed(tasks):  # the first last, so that no other is begun
            self._event(each, life.StopAsked())
        if step is not None:
            await asyncio.wait({step})  # a stop is done when nothing more is written
            await self._sweep(SWEEP_S)
        await done
        return stopped

    def _may_print(self) -> bool:
        printer = self._printer
        if printer.view is None and printer.is_connected:
            return True
        return bool(printer.shown.report) and not printer.shown.is_inactive

    def note_stop(self) -> None:
        """A stop is sent: a start of unknown outcome is stopped as soon as it is seen, and what ends was cancelled."""
        self._prints.note_stop()
        self._printer.note_stop()

    def forget_stop(self) -> None:
        """Our stop had no effect: an end that follows later is not its doing."""
        self._prints.forget_stop()
        self._printer.forget_stop()

    async def give_up(self, grace: float, *, hand_over: bool = False) -> None:
        """The service stops: what has not been started ends now, a start that is out has `grace` seconds left.

        With `hand_over` the journal keeps what has a receipt, for the next process to go on with.
        To be cancelled by whoever has waited long enough.
        """
        self._stopping = self._steps.hands_over = True
        broken_off = []
        for task in reversed(self._tasks.copy()):  # the first last, so that no other is begun
            if task.job.phase in life.STARTING:
                continue
            if task.step is not None:
                task.step.cancel()
                broken_off.append(task.step)
            if not (hand_over and task.receipt):
                self._event(
                    task, life.StepFailed(Cancelled("The connector is being stopped, or the printer taken out of it."))
                )
        try:
            if broken_off:
                await asyncio.wait(broken_off)
            for task in self._tasks:
                if task.out is None:  # it may have been noted that its start is about to be sent
                    task.note(self._ledger)
            await self._printer.waiters.until(lambda: True if not self.start_is_out else None, grace)
        finally:
            for task in self._tasks.copy():
                if not (hand_over and task.receipt):
                    self._event(task, life.Deadline())
        await self._sweep(grace)

    # -- after a restart -----------------------------------------------------------------------

    def be_wary(self) -> None:
        """Nobody remembers what was started: an earlier process may have, and the printer may not show it yet."""
        self._wary_until = self._printer.clock.monotonic() + self._printer.traits.start_timeout

    def restore_print(self, record: PrintRecord) -> None:
        """Take up the print that a command began before the restart."""
        self._prints.restore(record, self._printer.traits.start_timeout)

    def restore(self, record: JobRecord, command: Command | None, answer: Callable[[Answer], None]) -> None:
        """Take up a job; without a `command` nobody can go on with it, and it ends here, unanswered."""
        order = command.order if command else None
        if record.out is not None:
            self._quiet_until = self._printer.clock.monotonic() + self._printer.traits.quiet_after_start
            self._quiet_until -= record.out.published.age(self._ledger.clock) or 0.0
        if command is not None and isinstance(order, orders.JobOrder):
            task = self._task_of(record, command, order, answer)
            # A start that is out comes first: nothing begins before it is known what came of it.
            self._tasks.insert(0 if task.job.phase in life.STARTING else len(self._tasks), task)
            self._changed()
            return
        self._ledger.end_job(record.number)
        if record.out is not None:
            self._prints.keep_watch(self._prints.restored_start(record.out, self._printer.traits.start_timeout))
        elif record.wrote and record.file:
            self._tools.shelf.doom(record.file)

    def _task_of(
        self, record: JobRecord, command: Command, order: orders.JobOrder, answer: Callable[[Answer], None]
    ) -> Task:
        task = Task(
            command,
            order,
            record.number,
            waits_until=math.inf,  # how long it has waited is judged by its last step
            expires=math.inf,  # judged anew as soon as the clock on the wall can be believed
            answer=answer,
            job=Job(record.kind, wrote=record.wrote),
            receipt=record.receipt,
            resumed=record.saved,
            stored=record.stored,
            file=record.file,
        )
        if record.out is not None:  # what came of it the printer must tell; it is never sent again
            out = task.out = self._prints.restored_start(record.out, self._printer.traits.start_timeout)
            task.resumed = None
            if record.phase is Phase.OUT:
                task.job = Job(record.kind, Phase.OUT, record.wrote)
            else:
                task.job, task.stop_deadline = Job(record.kind, Phase.STOPPING, record.wrote), out.deadline
        return task

    def go_on(self) -> None:
        """Begin with the first of the restored jobs."""
        if self._tasks and self._tasks[0].job.phase is Phase.QUEUED:
            self._begin(self._tasks[0])

    async def _sweep(self, within: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._tools.shelf.sweep_now()

    # -- what happens --------------------------------------------------------------------------

    def settle(self) -> None:
        """Look whether a print of ours has ended; its file goes."""
        view = self._printer.view
        if self._unannounced and view is not None and not self.start_is_out:
            self._unannounced = False
            if view.is_active and self._announced_in != self._printer.sessions:
                self._printer.tell(told.Event("PrintStarted", {"job": told.job_of(view)}))
        ended, late = self._prints.settle(self._printer.view, self._printer.clock.monotonic())
        if late is not None:
            self._printer.tell(late)
        if ended:
            self._tools.shelf.tidy()
            self._changed()

    def observe(self) -> None:
        """Look whether our start was taken, or its time is over; one of unknown outcome may explain itself."""
        now = self._printer.clock.monotonic()
        view = self._printer.view
        if self._prints.explain(view, now):
            self._publish_stop()
        task = self._tasks[0] if self._tasks else None
        if task is None or task.out is None or task.job.phase not in life.STARTING:
            return
        seen = task.out.look(view, now)
        if isinstance(seen, life.SeenActive) and task.job.phase is Phase.STOPPING_SEEN:
            seen = None
        if seen is None and task.job.phase is Phase.STOPPING_SEEN and view is not None and view.is_inactive:
            seen = life.SeenEnded()
        if task.job.phase is Phase.STOPPING_SEEN and view is not None and self._printer.sessions != task.stop_session:
            self._event(task, life.StopAsked())  # the stop may have been lost with the session on which it was sent
        deadline = task.out.deadline if task.stop_deadline is None else task.stop_deadline
        if seen is None and now >= deadline:
            task.out.settled = True  # what the printer shows by now came after the start
            seen = task.out.look(view, now) or life.Deadline()
        if seen is not None:
            self._event(task, seen)

    def _event(self, task: Task, event: life.Event) -> None:
        before = task.job
        task.job, effects = life.advance(before, event)
        if task.job.phase is not before.phase:
            task.fraction = 0.0
        for effect in effects:
            self._do(task, effect)
        if task.job.has_ended and task in self._tasks:
            self._end(task)
        if task.job is not before:
            if task.job.phase in life.STARTING:
                task.note(self._ledger)
            self._changed()

    def _changed(self) -> None:
        self._printer.statuses.changed(pressing=True)

    def _end(self, task: Task) -> None:
        first = task is self._tasks[0]
        self._tasks.remove(task)
        self._ledger.end_job(task.number)
        steps.remove_local(self._tools, task.number)
        self._tools.shelf.tidy()
        if first and self._tasks and not self._stopping:
            self._begin(self._tasks[0])
        self._printer.waiters.pulse()

    def _do(self, task: Task, effect: life.Effect) -> None:
        match effect:
            case Succeed():
                task.answer(task.success())
            case Fail(error):
                self._printer.log.warning("%s", error)
                task.answer(messages.failure(task.command.header, error))
            case EndStops(error):
                task.end_stops(error)
            case Do():
                self._carry_out(task, effect)

    def _carry_out(self, task: Task, effect: Do) -> None:
        match effect:
            case Do.FETCH | Do.CHECK | Do.STORE | Do.JUDGE:
                taken = self._steps
                step = {Do.FETCH: taken.fetch, Do.CHECK: taken.check, Do.STORE: taken.store, Do.JUDGE: taken.judge}
                self._run(task, step[effect])
            case Do.ABORT:
                if task.step is not None:
                    task.step.cancel()
            case Do.PUBLISH_START:
                self._publish_start(task)
            case Do.PUBLISH_STOP:
                task.stop_session = self._printer.sessions
                self._publish_stop()
            case Do.REMOVE_FILE | Do.FOLLOW | Do.KEEP_WATCH:
                self._leave(task, effect)

    def _leave(self, task: Task, effect: Do) -> None:
        """The start is over: what becomes of its print and of our file."""
        if effect is Do.REMOVE_FILE:
            if task.file is not None:
                self._tools.shelf.doom(task.file)
            return
        out = task.out
        assert out is not None, "a start that was not published has no outcome"
        if effect is Do.FOLLOW:
            if out.ticket is not None:
                self._printer.saw_effect(out.ticket.request)
            self._prints.follow(out.record, is_unseen=out.ticket is None or out.settled)
            self._unannounced = out.ticket is None and task.job.has_ended
        elif not self._prints.follows(out.record):
            out.settled = True
            self._prints.keep_watch(out)

    # -- steps ---------------------------------------------------------------------------------

    def _run(self, task: Task, step: Callable[[Task], Awaitable[life.Event]]) -> None:
        task.step = self._spawn(self._report_of(task, step), f"job {task.number} {task.job.phase.stage}")

    async def _report_of(self, task: Task, step: Callable[[Task], Awaitable[life.Event]]) -> None:
        event: life.Event
        try:
            event = await step(task)
        except ConnectorError as error:
            event = life.StepFailed(error)
        except Exception:  # a bug must not leave a command without its answer, nor a printer without its queue
            self._printer.log.exception("a bug in job %d, stage %s", task.number, task.job.phase.stage)
            event = life.StepFailed(Internal("The connector has a bug here; its log says more."))
        task.step = None
        if not self._stopping:  # then the job has ended, or the next process goes on with it
            self._event(task, event)

    # -- the start -----------------------------------------------------------------------------

    def _publish_start(self, task: Task) -> None:
        printer, start, view = self._printer, task.start, self._printer.view
        assert start is not None
        assert view is not None, "the guards let a start through without a report"
        traits, now = printer.traits, printer.clock.monotonic()
        ams = feed(start.sliced, task.options, view, traits) if start.sliced else None
        task.use_ams = ams.use_ams if ams else None
        request = start_request(start, task.options, ams or AmsMapping(), traits)
        try:
            ticket = printer.send(request)
        except PrinterOffline as error:
            self._event(task, life.Refused(error))
            return
        self._quiet_until = now + traits.quiet_after_start
        task.out = OutStart(self._steps.print_of(task), ticket, now + traits.start_timeout)

    def _publish_stop(self) -> None:
        try:
            self._printer.send(Stop())
            self.note_stop()
        except PrinterOffline as error:
            self._printer.log.warning("the stop could not be sent: %s", error)
