"""Carries the jobs of one printer through, one step at a time. What follows from what stands in `translate.job`."""

import asyncio
import enum
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from bambu_connector.bambu.health import CANCELLED
from bambu_connector.bambu.request import AmsMapping, Stop
from bambu_connector.bambu.view import GcodeState, View
from bambu_connector.errors import (
    Cancelled,
    CommandError,
    ConnectorError,
    Expired,
    Internal,
    LinkError,
    NotAPrinter,
    PrinterBusy,
    PrinterOffline,
    Unreachable,
    UploadFailed,
)
from bambu_connector.printago import messages, orders
from bambu_connector.printago.commands import Command
from bambu_connector.printago.messages import Answer
from bambu_connector.service import steps
from bambu_connector.service.job_task import Task
from bambu_connector.service.shelf import Stored
from bambu_connector.service.starts import Followed, OutStart, Starts, Unexplained
from bambu_connector.service.steps import Tools
from bambu_connector.translate import events as told
from bambu_connector.translate import guards
from bambu_connector.translate import job as life
from bambu_connector.translate.job import Do, EndStops, Fail, Job, Kind, Phase, Succeed
from bambu_connector.translate.recognise import StartMark, is_print_of
from bambu_connector.translate.start import feed, resolved, start_request
from bambu_connector.translate.status import NO_PROCESS, Process

MAX_WAITING: Final = 100
FRESH_WAIT_S: Final = 15.0  # how long a silent printer is waited for right before a start
RECONNECT_WAIT_S: Final = 60.0  # and a lost session: uploads are when a P1's MQTT is weakest, and cost minutes
SWEEP_S: Final = 5.0  # a stop does not wait longer for a file to be removed; it is tried again later

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
        next_number: Callable[[], int],
        spawn: Spawn,
    ) -> None:
        self._tools = tools
        self._printer = tools.printer
        self._next_number = next_number
        self._spawn = spawn
        self._tasks: list[Task] = []
        self._starts = Starts()
        self._transferring: Task | None = None
        self._ended: Followed | None = None

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
        return self._starts.unexplained is not None

    def is_transferring(self) -> bool:
        """A file is being written to the printer."""
        return self._transferring is not None

    def holds_session(self, now: float) -> bool:
        """No `pushall` and no rebuild now."""
        return self.start_is_out or now < self._starts.quiet_until

    def quiet_for(self, now: float) -> float:
        """For how many seconds the printer must be left alone, even if its session is lost."""
        return max(0.0, self._starts.quiet_until - now)

    def uses(self, name: str) -> bool:
        """Say whether a file on the printer belongs to a job or a print that has not ended."""
        starts = self._starts
        marks = [each.mark for each in (starts.followed, starts.unexplained and starts.unexplained.followed) if each]
        return name in {mark.file for mark in marks} | {self._file_of(task) for task in self._tasks}

    def _file_of(self, task: Task) -> str | None:
        if task.start is not None or not isinstance(task.order, orders.StartPrint):
            return task.start.file if task.start else None
        known = self._tools.shelf.find(task.order.file_name)
        return known.name if known else task.order.file_name

    def process(self) -> Process:
        """What the status says of jobs."""
        followed = self._starts.followed
        print_job_id = followed.job_id if followed else None
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
            file=task.start.file if task.start else None,
            options=resolved(task.options, self._printer.traits, plate) if is_start else None,
            use_ams=task.use_ams,
        )

    def late_end(self, view: View) -> told.Event | None:
        """Return the end of the print that we follow, when the first report of a session shows it ended."""
        followed = self._starts.followed
        if followed is None or not is_print_of(followed.mark, view):
            return None
        details = {"job": told.job_of(view), "late": True}
        match view.state:
            case GcodeState.FINISH:
                return told.Event("PrintDone", details, terminal=True)
            case GcodeState.FAILED:
                name = "PrintCancelled" if view.print_error in CANCELLED else "PrintFailed"
                return told.Event(name, details | {"print_error": view.print_error_text}, terminal=True)
            case _:
                return None

    def describe(self, event: told.Event) -> dict[str, Any]:
        """Return an event's details; a print that a command started carries the command's ids."""
        # An end may be told a moment after it was seen: what ended last is what it speaks of.
        followed = self._starts.followed or (self._ended if event.terminal else None)
        if event.terminal or event.name == "PrintStarted":
            self._ended = None
        details = event.details
        if followed is None or "job" not in details:
            return details
        ids = {"job_id": followed.job_id, "command_id": followed.command_id}
        return details | {"job": details["job"] | {key: value for key, value in ids.items() if value is not None}}

    # -- taking jobs ---------------------------------------------------------------------------

    def submit(
        self,
        command: Command,
        order: orders.JobOrder,
        *,
        waits: float,
        expires: float,
        answer: Callable[[Answer], None],
    ) -> None:
        """Take a job, or refuse it by raising; `waits` and `expires` are seconds from now. `answer` is called once."""
        kind = _KINDS[type(order)]
        situation = self._printer.situation()
        if kind is Kind.STORE:
            guards.guard_storage(situation)
        else:
            guards.guard_start(situation)
        if len(self._tasks) >= MAX_WAITING:
            raise PrinterBusy(f"{MAX_WAITING} jobs wait for this printer already.")
        now = self._printer.clock.monotonic()
        task = Task(command, order, self._next_number(), now + waits, now + expires, answer, Job(kind))
        self._tasks.append(task)
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

    def stop_unexplained(self) -> bool:
        """Have a start of unknown outcome stopped as soon as it is seen; False when there is none."""
        unexplained = self._starts.unexplained
        if unexplained is not None:
            unexplained.stop_asked = True
        return unexplained is not None

    async def give_up(self, grace: float) -> None:
        """The service stops: what has not been started ends now, a start that is out has `grace` seconds left.

        To be cancelled by whoever has waited long enough.
        """
        steps_ = []
        for task in reversed(self._tasks.copy()):  # the first last, so that no other is begun
            if task.job.phase not in life.STARTING:
                if task.step is not None:
                    task.step.cancel()
                    steps_.append(task.step)
                self._event(task, life.StepFailed(Cancelled("The connector is being stopped.")))
        try:
            if steps_:
                await asyncio.wait(steps_)
            await self._printer.waiters.until(lambda: None if self._tasks else True, grace)
        finally:
            for task in self._tasks.copy():
                self._event(task, life.Deadline())
        await self._sweep(grace)

    async def _sweep(self, within: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._tools.shelf.sweep_now()

    # -- what happens --------------------------------------------------------------------------

    def settle(self) -> None:
        """Look whether a print of ours has ended; its file goes."""
        ending = self._starts.followed
        for name in self._starts.follow(self._printer.view, self._printer.clock.monotonic()):
            self._tools.shelf.doom(name)
        if self._starts.followed is not ending:
            self._ended = ending
            self._changed()

    def observe(self) -> None:
        """Look whether our start was taken, or its time is over; one of unknown outcome may explain itself."""
        now = self._printer.clock.monotonic()
        view = self._printer.view
        unexplained = self._starts.unexplained
        for name in self._starts.explain(view, now):
            self._tools.shelf.doom(name)
        if unexplained and unexplained.stop_asked and self._starts.followed is unexplained.followed:
            unexplained.stop_asked = False
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
        if seen is not None:
            self._event(task, seen)
        elif now >= deadline:
            self._event(task, life.Deadline())

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
            self._changed()

    def _changed(self) -> None:
        self._printer.status_changed(pressing=True)

    def _end(self, task: Task) -> None:
        first = task is self._tasks[0]
        self._tasks.remove(task)
        try:
            steps.local_path(self._tools, task.number).unlink(missing_ok=True)
        except OSError as error:
            self._printer.log.warning("a downloaded file could not be removed here: %s", error)
        if first and self._tasks:
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
                steps_ = {Do.FETCH: self._fetch, Do.CHECK: self._check, Do.STORE: self._store, Do.JUDGE: self._judge}
                self._run(task, steps_[effect](task))
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
        assert task.start is not None or effect is Do.REMOVE_FILE
        file = task.start.file if task.start else None
        if effect is Do.REMOVE_FILE:
            if file is not None:
                self._tools.shelf.doom(file)
            return
        assert task.out is not None, "a start that was not published has no outcome"
        ours = file if task.job.wrote else None
        followed = Followed(task.out.mark, ours, task.job_id, task.command.header.command_id)
        if effect is Do.FOLLOW:
            self._starts.followed = followed
        else:
            self._starts.unexplained = Unexplained(task.out, followed, self._printer.clock.monotonic())

    # -- steps ---------------------------------------------------------------------------------

    def _run(self, task: Task, step: Coroutine[Any, Any, life.Event]) -> None:
        task.step = self._spawn(self._report_of(task, step), f"job {task.number} {task.job.phase.stage}")

    async def _report_of(self, task: Task, step: Coroutine[Any, Any, life.Event]) -> None:
        event: life.Event
        try:
            event = await step
        except ConnectorError as error:
            event = life.StepFailed(error)
        except Exception:  # a bug must not leave a command without its answer, nor a printer without its queue
            self._printer.log.exception("a bug in job %d, stage %s", task.number, task.job.phase.stage)
            event = life.StepFailed(Internal("The connector has a bug here; its log says more."))
        task.step = None
        self._event(task, event)

    def _progress(self, task: Task) -> Callable[[int, int | None], None]:
        def note(done: int, total: int | None) -> None:
            task.fraction = done / total if total else 0.0
            self._printer.status_changed(pressing=False)

        return note

    async def _fetch(self, task: Task) -> life.Event:
        task.fetched = await steps.fetch(self._tools, task.order, task.number, self._progress(task))
        return life.StepDone()

    async def _check(self, task: Task) -> life.Event:
        assert task.fetched is not None
        task.start = await steps.check(self._tools, task.order, task.fetched, task.number)
        return life.StepDone()

    async def _store(self, task: Task) -> life.Event:
        assert task.fetched is not None
        assert task.start is not None
        transfer = {"file": task.start.file, "size": task.fetched.size}
        self._printer.tell(told.Event("TransferStarted", transfer))
        try:
            async with self._tools.shelf.turn:
                self._transferring = task
                await steps.store(self._tools, task.fetched, task.start, self._progress(task))
        except (Unreachable, NotAPrinter) as error:
            self._printer.tell(told.Event("TransferFailed", transfer | {"error": str(error)}))
            raise UploadFailed(str(error)) from error
        except (CommandError, LinkError) as error:
            self._printer.tell(told.Event("TransferFailed", transfer | {"error": str(error)}))
            raise
        except asyncio.CancelledError:
            self._printer.tell(told.Event("TransferFailed", transfer | {"error": "The job was stopped."}))
            raise
        finally:
            if self._transferring is task:
                self._transferring = None
        self._printer.tell(told.Event("TransferDone", transfer))
        if task.job.kind is Kind.STORE:
            name = steps.requested_name(task.order)
            stored = Stored(task.start.file, name, task.fetched.size, task.fetched.md5, task.start.sliced)
            self._tools.shelf.keep(stored)
        return life.StepDone()

    async def _judge(self, task: Task) -> life.Event:
        """Ask the guards once more, on a report that is fresh: somebody may have started at the screen meanwhile."""
        printer = self._printer
        if self._fresh() is None:
            if printer.is_connected and not printer.refresh():
                printer.wake()
            await printer.waiters.until(self._fresh, FRESH_WAIT_S if printer.is_connected else RECONNECT_WAIT_S)
        return life.Judged(self._verdict(task))

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

    # -- the start -----------------------------------------------------------------------------

    def _publish_start(self, task: Task) -> None:
        printer, start, view = self._printer, task.start, self._printer.view
        assert start is not None
        assert view is not None, "the guards let a start through without a report"
        traits, now = printer.traits, printer.clock.monotonic()
        ams = feed(start.sliced, task.options, view, traits) if start.sliced else None
        task.use_ams = ams.use_ams if ams else None
        request = start_request(start, task.options, ams or AmsMapping(), traits)
        mark = StartMark(
            job_number=start.job_number if start.sliced else None,
            name=start.name,
            file=start.file,
            before=view.identity,
            before_state=view.state,
            before_error=view.print_error,
        )
        try:
            ticket = printer.send(request)
        except PrinterOffline as error:
            self._event(task, life.Refused(error))
            return
        self._starts.quiet_until = now + traits.quiet_after_start
        task.out = OutStart(mark, ticket, view.print_error, now + traits.start_timeout, now)

    def _publish_stop(self) -> None:
        try:
            self._printer.send(Stop())
            self._printer.note_stop()
        except PrinterOffline as error:
            self._printer.log.warning("the stop could not be sent: %s", error)
