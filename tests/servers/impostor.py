"""A peer that is not the printer it is taken for, and keeps every byte that anybody lets it have.

For proving that somebody's secret does not arrive: it shakes hands with whatever certificate it was given, behaves on
each port as far as a printer would until the access code is due, and notes what came, before TLS and within.
"""

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from bambu_connector.bambu.detect import Detected, Frames, NotAFrame, is_request, reply
from tests.servers.process import wait_until

Answer = Callable[[bytes], bytes]
"""What is said to what was heard, piece by piece."""

REAL_PORTS: Final = MappingProxyType(
    {"mqtt": 8883, "ftps": 990, "camera": 6000, "rtsps": 322, "detect": 3000, "detect_tls": 3002}
)
_USER: Final = b"bblp"
_FTP: Final = MappingProxyType(
    {
        b"USER": b"331 go on",
        b"PASS": b"230 come in",
        b"PWD": b'257 "/" is here',
        b"CWD": b"250 ok",
        b"SIZE": b"550 not there",
        b"STOR": b"150 go on",
        b"RETR": b"150 go on",
        b"LIST": b"150 go on",
        b"NLST": b"150 go on",
        b"QUIT": b"221 bye",
    }
)


class Door:
    """One port and what happened at it; `pem` None is a port without TLS."""

    def __init__(self, host: str, port: int, pem: Path | None, greeting: bytes, answer: Answer | None) -> None:
        self._context: ssl.SSLContext | None = None
        if pem is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.set_ciphers("ALL")
            self._context.load_cert_chain(pem)
        self._greeting, self._answer = greeting, answer
        self._listener = socket.create_server((host, port))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.connections = self.handshakes = self.ended = 0
        self.raw = b""
        """What came over TCP."""
        self.heard = b""
        """What came within TLS, after the handshake; without TLS the same as `raw`."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close the door, and throw out who is inside."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        wait_until("its connections to end", self.is_empty)

    def wait_until_left(self) -> None:
        """Wait until somebody has come, and everybody gone; after that `raw` and `heard` are complete."""
        wait_until("somebody to come and go", lambda: 0 < self.connections == self.ended)

    def is_empty(self) -> bool:
        """Say whether everybody who came has gone."""
        return self.ended == self.connections

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError), sock:
                if self._context is None:
                    self._talk_in_clear(sock)
                else:
                    self._talk(sock, self._context)
        finally:
            with self._lock:
                self.ended += 1

    def _receive(self, sock: socket.socket) -> bytes:
        data = sock.recv(65536)
        with self._lock:
            self.raw += data
        return data

    def _hear(self, data: bytes) -> bytes:
        """Keep what was said, and return what to say to it."""
        with self._lock:
            self.heard += data
        return self._answer(data) if self._answer and data else b""

    def _talk_in_clear(self, sock: socket.socket) -> None:
        sock.sendall(self._greeting)
        while data := self._receive(sock):
            sock.sendall(self._hear(data))

    def _talk(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Speak TLS by hand, so that what is not TLS is kept as well."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        is_shaken = False
        while data := self._receive(sock):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                if not is_shaken:
                    tls.do_handshake()
                    is_shaken = True
                    with self._lock:
                        self.handshakes += 1
                    tls.write(self._greeting)
                while said := tls.read(65536):
                    tls.write(self._hear(said))
            sock.sendall(outgoing.read())


class Impostor:
    """Doors at one address, by name; all of them close with the `with` block."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.doors: dict[str, Door] = {}

    @classmethod
    def of_a_printer(
        cls,
        pem: Path,
        host: str = "127.0.0.1",
        *,
        real_ports: bool = False,
        control_pem: Path | None = None,
        claims: Detected | None = None,
        without: Collection[str] = (),
    ) -> Self:
        """Return one with every port that a printer may have but those `without`, and `ftps_data` for the data of FTPS.

        All show `pem`, only the FTPS control connection may show another; `login.detect` is answered with `claims`.
        """
        ports = dict(REAL_PORTS) if real_ports else dict.fromkeys(REAL_PORTS, 0)
        found = cls(host)
        data_port = found.open("ftps_data", pem)
        found.open(
            "ftps", control_pem or pem, ports["ftps"], greeting=b"220 ready\r\n", answer=_control(host, data_port)
        )
        for name in {"mqtt", "camera", "rtsps"}.difference(without):
            found.open(name, pem, ports[name])
        for name in {"detect", "detect_tls"}.difference(without):
            found.open(name, pem if name == "detect_tls" else None, ports[name], answer=_detection(claims))
        return found

    def open(
        self, name: str, pem: Path | None, port: int = 0, *, greeting: bytes = b"", answer: Answer | None = None
    ) -> int:
        """Open one more door, with TLS where there is a certificate; return its port."""
        self.doors[name] = Door(self.host, port, pem, greeting, answer)
        return self.doors[name].port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for door in self.doors.values():
            door.close()

    def __getitem__(self, name: str) -> Door:
        return self.doors[name]

    @property
    def ports(self) -> dict[str, int]:
        """The port of each door."""
        return {name: door.port for name, door in self.doors.items()}

    def heard(self) -> dict[str, bytes]:
        """Return what was said within TLS, or in clear, at each door where anything was."""
        return {name: door.heard for name, door in self.doors.items() if door.heard}

    def knows(self, secret: str) -> bool:
        """Whether a secret came in at any door: as it is, or as a password within HTTP or RTSP."""
        plain = secret.encode()
        shapes = (plain, base64.b64encode(_USER + b":" + plain), secret.encode("utf-16-le"))
        everything = [part for door in self.doors.values() for part in (door.raw, door.heard)]
        return any(shape in part for shape in shapes for part in everything)


def _control(host: str, data_port: int) -> Answer:
    """Return the answers of an FTP server whose data is to be had at `data_port`."""
    place = f"227 Entering Passive Mode ({host.replace('.', ',')},{data_port >> 8},{data_port & 0xFF})".encode()

    def answer(data: bytes) -> bytes:
        verbs = [line.split(b" ")[0].upper() for line in data.split(b"\r\n") if line]
        return b"".join((place if verb == b"PASV" else _FTP.get(verb, b"200 ok")) + b"\r\n" for verb in verbs)

    return answer


def _detection(claims: Detected | None) -> Answer:
    """Return the answers of the port for `login.detect`."""

    def answer(data: bytes) -> bytes:
        try:
            asked = any(map(is_request, Frames().feed(data)))
        except NotAFrame:
            return b""
        return reply(claims) if asked and claims else b""

    return answer
