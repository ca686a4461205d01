"""A port of a virtual printer that serves each of its clients with one coroutine."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_PATIENCE_S: Final = 30.0  # a client that says nothing for longer is gone


class Listener:
    """Listens from `open` to `close`; the end of `serve` is the end of a connection."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self, bind: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen and return the port (0 asks for a free one); raises OSError."""
        self._server = await asyncio.start_server(self._greet, bind, port, ssl=tls)
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def clients(self) -> int:
        """How many there are now."""
        return len(self._writers)

    def drop_connections(self) -> None:
        """Break every connection, without a goodbye."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        """Stop listening and break what is open."""
        if self._server is not None:
            self._server.close()
            self.drop_connections()
            await self._server.wait_closed()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._serve(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass  # a client that goes away, or never speaks, is no news
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
