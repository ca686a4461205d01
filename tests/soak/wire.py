"""A TCP connection in the loop with what happens to real ones: cut, reset, stalled, slow."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

_BLOCK_BYTES: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)


class Wire:
    """Leads from `port` on this machine to wherever `target` says that moment."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._plugged = True
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0
        self.whole_since = time.monotonic()
        """Since when nothing has been wrong with it; what was broken a moment ago began a moment ago."""

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and break everything."""
        self._server.close()
        self.cut()
        for pump in tuple(self._pumps):
            pump.cancel()

    @property
    def is_whole(self) -> bool:
        """Whether data goes through as it should."""
        return self._plugged and self._flows.is_set() and not self._delay

    def cut(self) -> None:
        """Break every connection, and send away who comes, until `mend`."""
        self._plugged = False
        self._drop(reset=False)

    def reset(self) -> None:
        """Break every connection as a router that has forgotten them does."""
        self._drop(reset=True)
        self.whole_since = time.monotonic()

    def stall(self) -> None:
        """Let nothing through, and close nothing."""
        self._flows.clear()

    def slow(self, delay_s: float) -> None:
        """Hold each piece back for a while."""
        self._delay = delay_s

    def mend(self) -> None:
        """Be as it should be."""
        self._plugged, self._delay = True, 0.0
        self._flows.set()
        self.whole_since = time.monotonic()

    def _drop(self, *, reset: bool) -> None:
        for writer in tuple(self._writers):
            raw = writer.get_extra_info("socket")
            if reset and raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self._plugged:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target())
            self._writers.add(far_writer)
            try:
                pumps = {asyncio.create_task(self._pump(reader, far_writer)),
                         asyncio.create_task(self._pump(far_reader, writer))}  # fmt: skip
                self._pumps |= pumps
                _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for each in rest:
                    each.cancel()
                self._pumps -= pumps
            finally:
                self._forget(far_writer)
        except OSError:
            pass  # the other side is not there, as the fault wanted it
        finally:
            self._forget(writer)

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_BLOCK_BYTES):
                await self._flows.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                sink.write(data)
                await sink.drain()
