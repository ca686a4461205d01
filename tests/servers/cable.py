"""A TCP connection that can be cut, unplugged and plugged in again."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Cable:
    """Leads from `port` on this machine to `target`, until the end of the `with` block."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.connections = 0
        """How many clients have come."""
        self._target = target
        self._plugged = True
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.unplug()

    def unplug(self) -> None:
        """Break every connection; whoever comes is sent away until `plug`."""
        self._plugged = False
        while self._ends:
            _close(self._ends.pop())

    def plug(self) -> None:
        """Lead to the target again."""
        self._plugged = True

    def lead_to(self, target: tuple[str, int]) -> None:
        """Break every connection, and lead elsewhere from now on."""
        self._target = target
        self.unplug()
        self.plug()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            if not self._plugged:
                raise ConnectionRefusedError
            server = socket.create_connection(self._target, 5)
        except OSError:
            _close(client)
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends += [client, server]
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _close(source)
    _close(sink)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
