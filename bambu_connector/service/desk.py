"""One printer's commands: who waits behind whom, who goes first, and the one place where errors become answers."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, assert_never

from bambu_connector.errors import (
    CommandError,
    ConnectorError,
    Expired,
    FileInvalid,
    Internal,
    NotSupported,
    PrinterBusy,
    TimedOut,
)
from bambu_connector.printago import messages, orders
from bambu_connector.printago.commands import Command
from bambu_connector.printago.messages import Answer, MessageType, timestamp_text
from bambu_connector.printago.orders import DirectOrder
from bambu_connector.service.execute import execute
from bambu_connector.service.jobs import Jobs, Stopped
from bambu_connector.service.printer import Printer
from bambu_connector.service.shelf import Shelf
from bambu_connector.translate import guards
from bambu_connector.translate.plan import plan

MAX_WAITING: Final = 100
STATUS_FRESH_S: Final = 60.0  # `get_status` asks the printer first when the last report is older
STATUS_WAIT_S: Final = 10.0
_BROKEN_OFF: Final = (
    "The connector was stopped, or the printer taken out of it, before the printer showed that it obeyed."
)

Reply = Callable[[Answer], None]
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Desk:
    """Takes commands for one printer: stop, pause and questions at once, movements one after the other."""

    def __init__(self, printer: Printer, jobs: Jobs, shelf: Shelf, spawn: Spawn) -> None:
        self._printer = printer
        self._jobs = jobs
        self._shelf = shelf
        self._spawn = spawn
        self._waiting_for_files = 0
        self._at_once = 0
        self._queue: asyncio.Queue[tuple[Command, DirectOrder, float, Reply]] = asyncio.Queue()

    def submit(
        self, command: Command, *, waits: float, expires: float, reply: Reply, receipt: str | None = None
    ) -> None:
        """Take a command; `waits` and `expires` are seconds from now. `reply` is called exactly once, now or later.

        `receipt` is what the journal knows the command by; None: nobody is to go on with it after a restart.
        """
        order = command.order
        match order:
            case orders.StartPrintBbl() | orders.DownloadGcode() | orders.StartPrint():
                try:
                    self._jobs.submit(command, order, waits=waits, expires=expires, answer=reply, receipt=receipt)
                except ConnectorError as error:
                    reply(self._refused(command, error))
            case orders.StopPrint():
                self._soon(command, partial(self._stop, command), reply)
            case orders.PausePrint():
                self._soon(command, partial(self._direct, command, order), reply)
            case orders.GetStatus():
                self._soon(command, partial(self._status, command), reply)
            case orders.ListFiles() | orders.DeleteFile():
                self._soon(command, partial(self._files, command, order, waits), reply)
            case orders.CameraOrder():
                reply(
                    self._refused(command, NotSupported(f"{command.header.action} is not supported by this version."))
                )
            case _:
                self._enqueue(command, order, waits, reply)

    def _enqueue(self, command: Command, order: DirectOrder, waits: float, reply: Reply) -> None:
        if self._queue.qsize() >= MAX_WAITING:
            reply(self._refused(command, PrinterBusy(f"{MAX_WAITING} commands wait for this printer already.")))
            return
        self._queue.put_nowait((command, order, self._printer.clock.monotonic() + waits, reply))

    async def run(self) -> None:
        """Carry out what waits, one after the other; runs until cancelled."""
        while True:
            command, order, until, reply = await self._queue.get()
            if self._printer.clock.monotonic() > until:
                reply(self._refused(command, Expired("The command waited too long for its turn.")))
                continue
            await self._carry_out(command, partial(self._direct, command, order), reply)

    def clear(self) -> None:
        """The service stops: nothing that waits is begun any more."""
        while not self._queue.empty():
            command, _, _, reply = self._queue.get_nowait()
            reply(
                self._refused(command, PrinterBusy("The connector is being stopped, or the printer taken out of it."))
            )

    def _soon(self, command: Command, work: Callable[[], Coroutine[Any, Any, Answer]], reply: Reply) -> None:
        if self._at_once >= MAX_WAITING:
            reply(self._refused(command, PrinterBusy(f"{MAX_WAITING} such commands are under way already.")))
            return
        name = f"{command.header.command} of {self._printer.identity.name}"
        self._at_once += 1
        task = self._spawn(self._carry_out(command, work, reply), name)
        task.add_done_callback(self._one_less)

    def _one_less(self, _task: asyncio.Task[None]) -> None:
        self._at_once -= 1

    async def _carry_out(self, command: Command, work: Callable[[], Coroutine[Any, Any, Answer]], reply: Reply) -> None:
        """Carry out a command; what it raises becomes its answer. A bug too, for the sender must not wait for ever."""
        try:
            answer = await work()
        except ConnectorError as error:
            answer = self._refused(command, error)
        except asyncio.CancelledError:
            reply(self._refused(command, TimedOut(_BROKEN_OFF)))
            raise
        except Exception:
            self._printer.log.exception("a bug in %s", command.header.command)
            answer = self._refused(command, Internal("The connector has a bug here; its log says more."))
        reply(answer)

    def _refused(self, command: Command, error: ConnectorError) -> Answer:
        self._printer.log.warning("%s: %s", command.header.command, error)
        return messages.failure(command.header, error)

    # -- one function for each way of carrying out --------------------------------------------

    async def _direct(self, command: Command, order: DirectOrder) -> Answer:
        planned = plan(order, self._printer.situation())
        done = await execute(self._printer, planned)
        return messages.success(command.header, planned.done, acknowledged=done.acknowledged)

    async def _stop(self, command: Command) -> Answer:
        stopped = await self._jobs.stop()
        if stopped is not Stopped.NOTHING:
            return messages.success(command.header, "The job was stopped.", acknowledged=stopped is Stopped.HERE)
        planned = plan(orders.StopPrint(), self._printer.situation())
        self._jobs.note_stop()
        session = self._printer.sessions
        try:
            done = await execute(self._printer, planned)
        except CommandError:
            if self._printer.sessions == session:  # on a session that was lost it may have worked all the same
                self._jobs.forget_stop()
            raise
        return messages.success(command.header, planned.done, acknowledged=done.acknowledged)

    async def _status(self, command: Command) -> Answer:
        printer = self._printer
        age = printer.report_age
        if printer.is_connected and age is not None and age > STATUS_FRESH_S:
            seen = printer.reports
            if printer.refresh():
                await printer.waiters.until(lambda: True if printer.reports > seen else None, STATUS_WAIT_S)
        data = printer.status()
        data["report"] = printer.shown.report or None
        if command.header.tags is not None:
            data["tags"] = command.header.tags
        return Answer(type=MessageType.STATUS, data=data)

    async def _files(self, command: Command, order: orders.ListFiles | orders.DeleteFile, waits: float) -> Answer:
        guards.guard_storage(self._printer.situation())
        if isinstance(order, orders.DeleteFile):
            self._need_unused(order.file_name)
        if self._waiting_for_files >= MAX_WAITING:
            raise PrinterBusy(f"{MAX_WAITING} commands wait for this printer's storage already.")
        self._waiting_for_files += 1
        try:
            async with asyncio.timeout(waits):
                await self._shelf.turn.acquire()
        except TimeoutError:
            raise Expired("The command waited too long for its turn at the printer's storage.") from None
        finally:
            self._waiting_for_files -= 1
        try:
            return await self._at_the_shelf(command, order)
        finally:
            self._shelf.turn.release()

    async def _at_the_shelf(self, command: Command, order: orders.ListFiles | orders.DeleteFile) -> Answer:
        match order:
            case orders.ListFiles(folder):
                found = await self._shelf.storage.list_folder(folder)
                files = [
                    {
                        "name": each.name,
                        "size": each.size,
                        "modified": None if each.modified is None else timestamp_text(each.modified.timestamp()),
                    }
                    for each in found
                ]
                return messages.response(command.header, {"folder": folder, "files": files})
            case orders.DeleteFile(name):
                return await self._delete(command, name)
            case _:
                assert_never(order)

    async def _delete(self, command: Command, name: str) -> Answer:
        self._need_unused(name)  # a job may have taken it while we waited for the storage
        existed = await self._shelf.storage.remove(name)
        self._shelf.forget(name)
        if not existed:
            raise FileInvalid(f"There is no file {name} on the printer's storage.")
        return messages.success(command.header, f"{name} was deleted.", acknowledged=True)

    def _need_unused(self, name: str) -> None:
        if self._jobs.uses(name) or self._is_printed(name):
            raise PrinterBusy(f"{name} belongs to a job that has not ended.")

    def _is_printed(self, name: str) -> bool:
        """Say whether the active print is, or may be, of this file."""
        view = self._printer.view
        if view is None or not view.is_active:
            return False
        identity = view.identity
        shown = {identity.file, identity.name, identity.file and identity.file.rpartition("/")[2]}
        return name in shown or name.removesuffix(".3mf").removesuffix(".gcode") in shown
