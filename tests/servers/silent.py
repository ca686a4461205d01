"""A peer with the printer's TLS, or somebody else's, that only keeps what it is told."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.process import wait_until


class SilentPeer:
    """Accepts, shakes hands (with `pem`), sends `greeting`, and then keeps every byte it gets."""

    def __init__(self, pem: Path | None, greeting: bytes = b"", host: str = "127.0.0.1", port: int = 0) -> None:
        self._context = None
        if pem is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pem)
        self._greeting = greeting
        self._listener = socket.create_server((host, port))
        self.host = host
        self.port = int(self._listener.getsockname()[1])
        self.heard = b""
        self._lock = threading.Lock()
        self.accepted = self.ended = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.wait_for("its connections to end", lambda: self.ended == self.accepted)

    def wait_for(self, what: str, probe: Callable[[], bool]) -> None:
        wait_until(what, probe)

    def wait_until_ended(self) -> None:
        """Wait until a client has come and gone; after that `heard` is all that it said."""
        self.wait_for("a client to come and go", lambda: 0 < self.accepted == self.ended)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listener.accept()
                self._open.append(raw)
                self.accepted += 1
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                stream = self._context.wrap_socket(raw, server_side=True) if self._context else raw
                with stream:
                    self.talk(stream)
        finally:
            self.ended += 1

    def talk(self, stream: socket.socket) -> None:
        """Serve one connection; the end of this is the end of it."""
        stream.sendall(self._greeting)
        while data := stream.recv(4096):
            self.hear(data)

    def hear(self, data: bytes) -> None:
        """Keep what was said; connections may be served at the same time."""
        with self._lock:
            self.heard += data


class ScriptedPeer(SilentPeer):
    """Answers what it hears, chunk by chunk, with one `replies` after the other, and hangs up when it has none left."""

    def __init__(self, pem: Path | None, replies: Sequence[bytes], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._replies = replies
        super().__init__(pem, host=host, port=port)

    def talk(self, stream: socket.socket) -> None:
        for reply in self._replies:
            self.hear(stream.recv(65536))
            stream.sendall(reply)
        self.hear(stream.recv(65536))
