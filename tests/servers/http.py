"""A small HTTP server for files, with the faults that downloads meet."""

import contextlib
import re
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass
class Served:
    """One path. `drops` are the bytes after which the next requests break off, one for each; `statuses` are answered
    first. `length` overrules the Content-Length (-1: none), `stall_after` sends so much and then nothing until `go_on`.

    `headers` overrule what would be sent, `total` what a range's answer says of the whole, and no such answer has more
    than `most_of_a_range`. `endless` repeats the content in chunks for ever, `drip_s` is the pause after each byte, and
    `raw` is all that is sent, headers included.
    """

    content: bytes = b""
    etag: str | None = None
    last_modified: str | None = None
    ranges: bool = True
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirect_to: str | None = None
    length: int | None = None
    stall_after: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    range_shift: int = 0
    total: int | None = None
    most_of_a_range: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    drip_s: float | None = None
    raw: bytes | None = None


@dataclass(frozen=True)
class Request:
    """What came in."""

    path: str
    headers: dict[str, str]


class HttpServer:
    """Serves `files` (path without query → what is there) from the constructor to the end of the `with` block."""

    def __init__(
        self, files: dict[str, Served], *, host: str = "127.0.0.1", port: int = 0, pem: Path | None = None
    ) -> None:
        self.files = files
        self.requests: list[Request] = []
        owner = self

        class Handler(_Handler):
            server_owner = owner

        self._server = _Server((host, port), Handler)
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = host
        self.port = int(self._server.server_address[1])
        self._scheme = "http" if pem is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for served in self.files.values():
            served.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str, host: str | None = None) -> str:
        return f"{self._scheme}://{host or self.host}:{self.port}{path}"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server_owner: HttpServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server_owner.requests.append(Request(self.path, dict(self.headers)))
        served = self.server_owner.files.get(self.path.partition("?")[0])
        if served is None:
            self._answer(404, {"Content-Length": "0"})
        elif served.statuses:
            self._answer(served.statuses.pop(0), {"Content-Length": "0"})
        elif served.redirect_to is not None:
            self._answer(302, {"Location": served.redirect_to, "Content-Length": "0"})
        elif served.raw is not None:
            self._send_body(served, served.raw)
        else:
            self._send(served)

    def _send(self, served: Served) -> None:
        start = self._start(served)
        if start and start >= len(served.content):
            self._answer(416, {"Content-Length": "0"})
            return
        body = served.content[start:]
        if start and served.most_of_a_range is not None:
            body = body[: served.most_of_a_range]
        headers = {"Content-Length": str(len(body) if served.length is None else served.length)}
        if served.length == -1:
            del headers["Content-Length"]
        if served.etag is not None:
            headers["ETag"] = served.etag
        if served.last_modified is not None:
            headers["Last-Modified"] = served.last_modified
        if start:
            first = start + served.range_shift
            total = len(served.content) if served.total is None else served.total
            headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{total}"
        if served.endless:
            del headers["Content-Length"]
            headers["Transfer-Encoding"] = "chunked"
        self._answer(206 if start else 200, headers | served.headers)
        self._send_body(served, body)

    def _send_body(self, served: Served, body: bytes) -> None:
        with contextlib.suppress(OSError):
            while served.endless and not served.go_on.is_set():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            if served.drip_s is not None:
                for index in range(len(body)):
                    self.wfile.write(body[index : index + 1])
                    if served.go_on.wait(served.drip_s):
                        return
            elif served.drops:
                self.wfile.write(body[: served.drops.pop(0)])
            elif served.stall_after is not None:
                self.wfile.write(body[: served.stall_after])
                served.go_on.wait(30)
                self.wfile.write(body[served.stall_after :])
            else:
                self.wfile.write(body)

    def _start(self, served: Served) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match is None or not served.ranges:
            return 0
        still_the_same = self.headers.get("If-Range") in (served.etag, served.last_modified)
        return int(match[1]) if still_the_same else 0

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is its base class's
        """Tests need no log on stderr."""
