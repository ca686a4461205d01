"""A TCP connection that can be cut, unplugged, slowed down, stalled, reset, and plugged in again.

What is set holds at once and for every connection, also for those that are there already.
"""

import asyncio
import contextlib
import enum
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Any, Final, Self

_CHUNK: Final = 16_384
_MOST_CHUNKS: Final = 64  # under way in one direction; then the sender feels it
_LOOK_S: Final = 0.02
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST
_FILLERS: Final = 4


class End(enum.Enum):
    """How a connection ends."""

    FIN = "fin"
    RESET = "reset"


class Way:
    """One direction. `limit` bytes of each connection pass, and then the cable ends it with `ending`."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.is_stalled = False
        self.limit: int | None = None
        self.ending = End.FIN
        self.passed = 0
        """Bytes so far, over all connections."""

    def clear(self) -> None:
        """Let everything pass at once."""
        self.delay_s, self.bytes_per_s, self.is_stalled, self.limit, self.ending = 0.0, None, False, None, End.FIN


class Cable:
    """Leads from `port` on this machine to `target`, until the end of the `with` block."""

    def __init__(self, target: tuple[str, int], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.arrivals: list[float] = []
        """When each client came (monotonic)."""
        self.there = Way()
        """From the client to the target."""
        self.back = Way()
        self._target = target
        self._plugged = True
        self._ending = End.FIN
        self._pairs: dict[asyncio.Task[None], tuple[socket.socket, ...]] = {}
        self._fillers: list[socket.socket] = []
        self._listener = socket.create_server((host, port), backlog=100)
        self._listener.setblocking(False)
        self.host = host
        self.port = int(self._listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"cable-{self.port}", daemon=True)
        self._thread.start()
        self._accepting: asyncio.Task[None] | None = None
        self._run(self._start_accepting())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop.is_closed():
            return
        self._run(self._stop_accepting())
        self._run(self._break(End.FIN))
        self._listener.close()
        self._drop_fillers()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many clients have come."""
        return len(self.arrivals)

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._pairs)

    def arrivals_since(self, moment: float) -> int:
        """Return how many clients have come since then (monotonic)."""
        return sum(each >= moment for each in list(self.arrivals))

    # -- what a test does --------------------------------------------------------------------------

    def unplug(self, ending: End = End.FIN) -> None:
        """Break every connection; whoever comes is sent away in the same manner until `plug`."""
        self._plugged, self._ending = False, ending
        self.cut(ending)

    def plug(self) -> None:
        """Lead to the target again, with nothing in the way."""
        self.there.clear()
        self.back.clear()
        self._drop_fillers()
        if self._listener.fileno() < 0:
            self._listener = socket.create_server((self.host, self.port), backlog=100)
            self._listener.setblocking(False)
        self._listener.listen(100)
        self._plugged = True
        self._run(self._start_accepting())

    def cut(self, ending: End = End.FIN) -> None:
        """Break every connection; whoever comes again is led to the target."""
        self._run(self._break(ending))

    def lead_to(self, target: tuple[str, int]) -> None:
        """Break every connection, and lead elsewhere from now on."""
        self._target = target
        self.unplug()
        self.plug()

    def stall(self) -> None:
        """Let nothing pass in either direction, while TCP stays up; new connections are taken, and say nothing."""
        self.there.is_stalled = self.back.is_stalled = True

    def refuse(self) -> None:
        """Break every connection with a reset, and listen no more, until `plug`: the port is closed."""
        self._run(self._stop_accepting())
        self._listener.close()
        self.cut(End.RESET)

    def swallow(self) -> None:
        """Stall, and answer no SYN any more, until `plug`: the address is dead to whoever comes."""
        self.stall()
        self._run(self._stop_accepting())
        self._listener.listen(0)
        for _ in range(_FILLERS):  # the queue of a listener with a backlog of 0 holds one or two
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((self.host, self.port))
            self._fillers.append(filler)

    # -- inside, on the loop -----------------------------------------------------------------------

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _drop_fillers(self) -> None:
        while self._fillers:
            self._fillers.pop().close()

    async def _start_accepting(self) -> None:
        if self._accepting is None:
            self._accepting = self._loop.create_task(self._accept(self._listener))

    async def _stop_accepting(self) -> None:
        if self._accepting is not None:
            await _cancelled(self._accepting)
            self._accepting = None

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            self.arrivals.append(time.monotonic())
            if not self._plugged:
                _close(client, self._ending)
                continue
            task = self._loop.create_task(self._lead(client))
            self._pairs[task] = (client,)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._pairs.pop(task, None)

    async def _break(self, ending: End) -> None:
        for task, ends in list(self._pairs.items()):
            await _cancelled(task)
            for each in ends:
                _close(each, ending)

    async def _lead(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setblocking(False)
        client.setblocking(False)
        task = asyncio.current_task()
        assert task is not None
        self._pairs[task] = (client, server)
        ending = End.FIN
        try:
            await asyncio.wait_for(self._loop.sock_connect(server, self._target), 5)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ending = await self._pump_both(client, server)
        except OSError:
            pass
        except asyncio.CancelledError:
            return  # whoever cancels closes
        for each in (client, server):
            _close(each, ending)

    async def _pump_both(self, client: socket.socket, server: socket.socket) -> End:
        pumps = [
            self._loop.create_task(self._pump(client, server, self.there)),
            self._loop.create_task(self._pump(server, client, self.back)),
        ]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for each in pumps:
                await _cancelled(each)

    async def _pump(self, source: socket.socket, sink: socket.socket, way: Way) -> End:
        """Return how the connection is to end: one side ended it, or the limit is reached."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_CHUNKS)
        reading = self._loop.create_task(_read(source, under_way))
        passed = 0
        try:
            while True:
                came, data = await under_way.get()
                await self._hold(way, came, len(data))
                if not data:
                    return End.FIN
                limit, ending = way.limit, way.ending  # a test may change them at any moment
                if limit is not None and passed + len(data) >= limit:
                    await self._loop.sock_sendall(sink, data[: max(0, limit - passed)])
                    way.passed += max(0, limit - passed)
                    return ending
                await self._loop.sock_sendall(sink, data)
                passed += len(data)
                way.passed += len(data)
        except OSError:
            return End.FIN
        finally:
            await _cancelled(reading)

    async def _hold(self, way: Way, came: float, size: int) -> None:
        pace = way.bytes_per_s
        if pace is not None:
            await asyncio.sleep(size / pace)
        while way.is_stalled or (left := came + way.delay_s - time.monotonic()) > 0:  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(_LOOK_S if way.is_stalled else min(left, _LOOK_S * 5))


async def _read(source: socket.socket, under_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
    loop = asyncio.get_running_loop()
    data = b"x"
    while data:
        try:
            data = await loop.sock_recv(source, _CHUNK)
        except OSError:
            data = b""
        await under_way.put((time.monotonic(), data))


async def _cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await task


def _close(end: socket.socket, how: End) -> None:
    with contextlib.suppress(OSError):
        if how is End.RESET:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            end.shutdown(socket.SHUT_RDWR)
    end.close()
