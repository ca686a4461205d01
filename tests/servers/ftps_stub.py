"""A small FTPS server with the faults that vsftpd does not have: odd replies, and ends of transfers that never come."""

import contextlib
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from tests.servers.silent import SilentPeer

_REPLIES = {
    "USER": "331 go on",
    "PASS": "230 come in",
    "PBSZ": "200 ok",
    "PROT": "200 ok",
    "TYPE": "200 ok",
    "PWD": '257 "/" is here',
    "CWD": "250 ok",
    "QUIT": "221 bye",
}


class FtpsStub(SilentPeer):
    """Keeps files in `files`. `replies` overrule the answer to a command; None means that it is never answered.

    `answers_goodbye` false is a peer that sends neither close_notify nor FIN after an upload. `after_upload` is what it
    says in the end instead of 226, `take` how many bytes of an upload it takes before it says so.
    """

    def __init__(
        self,
        pem: Path,
        *,
        replies: Mapping[str, str | None] | None = None,
        answers_goodbye: bool = True,
        after_upload: str | None = "226 stored",
        take: int | None = None,
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.commands: list[str] = []
        self.sent_data = 0
        self._replies = replies or {}
        self._answers_goodbye = answers_goodbye
        self._after_upload = after_upload
        self._take = take
        super().__init__(pem)

    def talk(self, stream: socket.socket) -> None:
        stream.sendall(b"220 welcome\r\n")
        lines = stream.makefile("rb")
        try:
            self._obey(stream, lines)
        finally:
            lines.close()

    def _obey(self, stream: socket.socket, lines: BinaryIO) -> None:
        passive: socket.socket | None = None
        while line := lines.readline():
            text = line.decode().rstrip("\r\n")
            self.commands.append(text)
            verb, _, rest = text.partition(" ")
            reply: str | None = self._replies[verb] if verb in self._replies else _REPLIES.get(verb)
            if verb not in self._replies:
                match verb:
                    case "PASV":
                        passive = socket.create_server((self.host, 0))
                        self._open.append(passive)
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
                        reply = self._send_listing(stream, passive)
                    case "DELE":
                        reply = "250 gone" if self.files.pop(rest, None) is not None else "550 no such file"
                    case _:
                        pass
            if reply is not None:
                stream.sendall(f"{reply}\r\n".encode())

    def _data(self, stream: socket.socket, passive: socket.socket) -> ssl.SSLSocket:
        assert self._context is not None
        stream.sendall(b"150 go on\r\n")
        raw, _ = passive.accept()
        passive.close()
        return self._context.wrap_socket(raw, server_side=True)

    def _receive(self, stream: socket.socket, passive: socket.socket, name: str) -> str | None:
        data = self._data(stream, passive)
        self.files[name] = b""
        with contextlib.suppress(OSError):
            while chunk := data.recv(65536):
                self.files[name] += chunk
                if self._take is not None and len(self.files[name]) >= self._take:
                    break
        if self._answers_goodbye:
            data.close()
        else:
            self._open.append(data)
        return self._after_upload

    def _send_listing(self, stream: socket.socket, passive: socket.socket) -> str:
        with self._data(stream, passive) as data:
            for name, content in self.files.items():
                data.sendall(f"-rw-rw-rw- 1 root root {len(content)} Jan 02 2024 {name}\r\n".encode())
        return "226 that is all"
