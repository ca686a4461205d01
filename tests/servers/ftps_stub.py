"""A small FTPS server with the faults that vsftpd does not have: odd replies, and ends of transfers that never come."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tests.servers.silent import SilentPeer

Chunks = Callable[[], Iterable[bytes]]
"""What is sent piece by piece, and as it is, until the client has enough of it."""

WELCOME = "welcome"
"""What stands in `replies` for the one that no command asks for."""

_REPLIES = {
    WELCOME: "220 welcome",
    "USER": "331 go on",
    "PASS": "230 come in",
    "PBSZ": "200 ok",
    "PROT": "200 ok",
    "TYPE": "200 ok",
    "PWD": '257 "/" is here',
    "CWD": "250 ok",
    "QUIT": "221 bye",
}


def drip(piece: bytes, interval_s: float) -> Chunks:
    """Return `piece` without end, so many seconds apart."""

    def pieces() -> Iterator[bytes]:
        while True:
            yield piece
            time.sleep(interval_s)

    return pieces


class FtpsStub(SilentPeer):
    """Keeps files in `files`. `replies` overrule the answer to a command; None means that it is never answered.

    `answers_goodbye` false is a peer that sends neither close_notify nor FIN after an upload. `after_upload` is what it
    says in the end instead of 226, `take` how many bytes of an upload it takes before it says so. `listing` and
    `content` overrule what is sent for LIST and RETR; with `hasty` the 226 comes before the data. `data_pem` is what
    the data connections show.
    """

    def __init__(
        self,
        pem: Path,
        *,
        replies: Mapping[str, str | Chunks | None] | None = None,
        answers_goodbye: bool = True,
        after_upload: str | None = "226 stored",
        take: int | None = None,
        listing: Chunks | None = None,
        content: Chunks | None = None,
        hasty: bool = False,
        data_pem: Path | None = None,
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.commands: list[str] = []
        self.sent = 0
        self._replies = replies or {}
        self._answers_goodbye = answers_goodbye
        self._after_upload = after_upload
        self._take = take
        self._listing = listing
        self._content = content
        self._hasty = hasty
        self._data_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._data_context.load_cert_chain(data_pem or pem)
        super().__init__(pem)
        if data_pem is None and self._context is not None:
            self._data_context = self._context

    def talk(self, stream: socket.socket) -> None:
        lines = stream.makefile("rb")
        try:
            self._say(stream, self._replies.get(WELCOME, _REPLIES[WELCOME]))
            self._obey(stream, lines)
        finally:
            lines.close()

    def _obey(self, stream: socket.socket, lines: BinaryIO) -> None:
        passive: socket.socket | None = None
        while line := lines.readline():
            text = line.decode().rstrip("\r\n")
            self.commands.append(text)
            verb, _, rest = text.partition(" ")
            if verb == "PASV":
                passive = socket.create_server((self.host, 0))
                self._open.append(passive)
            if verb in self._replies:
                self._say(stream, self._replies[verb])
                continue
            reply: str | None
            match verb:
                case "PASV":
                    assert passive is not None
                    port = passive.getsockname()[1]
                    # The address is wrong on purpose, as behind a router: it must not be used.
                    reply = f"227 entering passive mode (192,0,2,1,{port >> 8},{port & 255})"
                case "STOR":
                    assert passive is not None
                    reply = self._receive(stream, passive, rest)
                case "SIZE":
                    reply = f"213 {len(self.files[rest])}" if rest in self.files else "550 no such file"
                case "LIST":
                    assert passive is not None
                    reply = self._send_data(stream, passive, self._listing or self._list)
                case "RETR":
                    assert passive is not None
                    reply = self._send_data(stream, passive, self._content or partial(self._file, rest))
                case "DELE":
                    reply = "250 gone" if self.files.pop(rest, None) is not None else "550 no such file"
                case _:
                    reply = _REPLIES.get(verb, "500 what?")
            self._say(stream, reply)

    def _say(self, stream: socket.socket, reply: str | Chunks | None) -> None:
        if isinstance(reply, str):
            stream.sendall(f"{reply}\r\n".encode())
        elif reply is not None:
            self._send_all(stream, reply)

    def _send_all(self, stream: socket.socket, chunks: Chunks) -> None:
        for chunk in chunks():
            stream.sendall(chunk)
            self.sent += len(chunk)

    def _data(self, stream: socket.socket, passive: socket.socket) -> ssl.SSLSocket:
        stream.sendall(b"150 go on\r\n")
        raw, _ = passive.accept()
        passive.close()
        return self._data_context.wrap_socket(raw, server_side=True)

    def _receive(self, stream: socket.socket, passive: socket.socket, name: str) -> str | None:
        data = self._data(stream, passive)
        self.files[name] = b""
        if self._hasty:
            stream.sendall(b"226 stored\r\n")
        with contextlib.suppress(OSError):
            while chunk := data.recv(65536):
                self.files[name] += chunk
                if self._take is not None and len(self.files[name]) >= self._take:
                    break
        if self._answers_goodbye:
            data.close()
        else:
            self._open.append(data)
        return None if self._hasty else self._after_upload

    def _send_data(self, stream: socket.socket, passive: socket.socket, chunks: Chunks) -> str | None:
        with self._data(stream, passive) as data:
            if self._hasty:
                stream.sendall(b"226 that is all\r\n")
            self._send_all(data, chunks)
        return None if self._hasty else "226 that is all"

    def _file(self, name: str) -> list[bytes]:
        return [self.files[name]]

    def _list(self) -> Iterator[bytes]:
        for name, content in self.files.items():
            yield f"-rw-rw-rw- 1 root root {len(content)} Jan 02 2024 {name}\r\n".encode()
