"""A disk, a printer, a broker and a log that outlive the service, and do to it what real ones do."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from bambu_connector.errors import Unreachable
from bambu_connector.links.wire import Delivery
from bambu_connector.service.store import Batch, Opening, StoreFailed
from tests.service.fakes import (
    TICK_S,
    FakePrintago,
    FakePrintagoConnection,
    FakePrinter,
    FakePrinterConnection,
    FakeStore,
)
from tests.simulated import InlineExecutor

Fields = dict[str, Any]
PRINT_S: Final = 120.0  # of a print, at speed 1 and once it is warm
IDLE_TICK_S: Final = 3.0
SESSION_KEPT_S: Final = 300.0  # for how long the broker keeps our session, and the commands in it


# -- the disk --------------------------------------------------------------------------------------


class MortalStore(FakeStore):
    """A disk at whose commits the process may die: `before` or `after` are called with each."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], None] = lambda: None

    def commit(self, batch: Batch) -> None:
        if not self.is_dead:
            self.before()
        super().commit(batch)

    def digest(self, key: bytes) -> bytes | None:
        return self.digests.get(key)  # a disk that is full can be read

    def close(self, *, in_order: bool = True) -> None:
        if not self.is_dead:
            super().close(in_order=in_order)

    def open(self) -> tuple[Opening, Any]:
        return (Opening.BROKEN_OFF, {}) if self.is_dead else super().open()

    def copy(self) -> "MortalStore":
        """Return what is on the disk when the process that writes to this one is dead."""
        copy = MortalStore()
        copy.records, copy.digests, copy.failure = dict(self.records), dict(self.digests), self.failure
        copy.opening = Opening.NEW if self.opening is Opening.NEW else Opening.BROKEN_OFF
        return copy


class Disk(InlineExecutor):
    """The thread of the journal; while the disk `hangs`, what it is told to do waits."""

    def __init__(self) -> None:
        self.hangs = False
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if not self.hangs:
            return super().submit(work, *args, **kwargs)
        future: Future[Any] = Future()
        self._waiting.append((future, partial(work, *args, **kwargs)))
        return future

    def answer(self) -> None:
        """Do what waits, and everything that comes."""
        self.hangs = False
        waiting, self._waiting = self._waiting, []
        for future, work in waiting:
            try:
                future.set_result(work())
            except StoreFailed as error:
                future.set_exception(error)


# -- the printer -----------------------------------------------------------------------------------


class WatchedPrinter(FakePrinter):
    """Knows what its last session was told, and shows every request to `watch` before it is taken."""

    def __init__(self, speed: float) -> None:
        super().__init__(speed=speed)
        self.machine._print_seconds = PRINT_S
        self.told: str | None = None
        self.watch: Callable[[str, Fields], None] = lambda _group, _body: None

    async def connect(self, on_report: Callable[[bytes], None]) -> FakePrinterConnection:
        connection = await super().connect(on_report)
        self.told = None
        return connection

    def take(self, payload: bytes, qos: int) -> None:
        ((group, body),) = json.loads(payload).items()
        self.watch(group, body)
        super().take(payload, qos)

    def _tick(self) -> None:
        """Let a second pass, or more where nothing happens: examples are what counts."""
        machine = self.machine
        self._say(machine.tick(self._now()))
        calm = not machine.busy and machine._pending is None
        asyncio.get_running_loop().call_later(IDLE_TICK_S if calm else TICK_S, self._tick)

    def say(self, message: bytes) -> None:
        if self.is_connected:
            with suppress(ValueError):
                read = json.loads(message)
                body = read.get("print") if isinstance(read, dict) else None
                if isinstance(body, dict) and body.get("command") == "push_status" and "gcode_state" in body:
                    self.told = str(body["gcode_state"])
        super().say(message)


# -- the broker ------------------------------------------------------------------------------------


class KeepingConnection(FakePrintagoConnection):
    """A session of `KeepingPrintago`."""

    def end(self, why: Exception) -> None:
        assert isinstance(self._broker, KeepingPrintago)
        if self.is_open:
            self._broker.settle()
            self._broker.gone_at = asyncio.get_running_loop().time()
        super().end(why)

    async def subscribe(self, topics: Sequence[str]) -> None:
        await super().subscribe(topics)
        assert isinstance(self._broker, KeepingPrintago)
        self._broker.flush()


class KeepingPrintago(FakePrintago):
    """A broker that keeps what was not acknowledged, and sends it again with DUP; not for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, Delivery] = {}
        self.sent_at: dict[int, set[int]] = {}
        self.lost: list[Delivery] = []
        self.watch: Callable[[Delivery], None] = lambda _delivery: None
        self.gone_at = asyncio.get_running_loop().time()

    @property
    def is_up(self) -> bool:
        """There is a session that takes commands."""
        return bool(self.connections) and self.connections[-1].is_open and bool(self.connections[-1].topics)

    def settle(self) -> None:
        """Forget what was acknowledged."""
        for connection in self.connections:
            for each in connection.acknowledged:
                self.kept.pop(each.token, None)
            connection.acknowledged.clear()

    async def connect(self, on_delivery: Callable[[Delivery], None]) -> FakePrintagoConnection:
        await super().connect(on_delivery)
        self.settle()
        self.connections[-1] = KeepingConnection(self, on_delivery)
        if asyncio.get_running_loop().time() - self.gone_at > SESSION_KEPT_S:
            self.lost += self.kept.values()
            self.kept.clear()
        return self.connections[-1]

    def hang_up(self) -> None:
        """End the session."""
        if self.connections and self.connections[-1].is_open:
            self.connections[-1].end(Unreachable("The broker went away."))

    def keep(self, delivery: Delivery) -> None:
        """Take a command from Printago."""
        self.kept[delivery.token] = delivery
        self.flush()

    def flush(self) -> None:
        """Deliver what this session has not had."""
        self.settle()
        if not self.is_up:
            return
        number = len(self.connections)
        for token, delivery in list(self.kept.items()):
            before = self.sent_at.setdefault(token, set())
            if number in before or not self.connections[-1].is_open:
                continue
            again = replace(delivery, dup=delivery.dup or bool(before))
            before.add(number)
            self.watch(again)
            self.connections[-1].deliver(again)


class Log(logging.Handler):
    """Keeps what the log says of bugs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.bugs: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or "a bug" in record.getMessage():
            self.bugs.append(logging.Formatter().format(record))
