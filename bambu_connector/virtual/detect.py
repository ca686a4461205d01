"""What a virtual printer tells anybody who asks with `login.detect`, on a plain port and on one with TLS."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Final

from bambu_connector.bambu.detect import Detected, Frames, NotAFrame, frame, is_request, reply
from bambu_connector.virtual.faults import Faults

CIPHERS: Final = "AES256-GCM-SHA384:AES128-GCM-SHA256"
"""Port 3002 of real printers speaks nothing newer; clients have to allow these on purpose."""

GARBAGE: Final = (
    b"",
    b"\xa5\xa5\x00\x00\xa7\xa7",
    b"\xa5\xa5\xff\xff" + bytes(64),
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    bytes(range(256)),
    frame(b""),
    frame(b"{"),
    frame(b"\xff\xfe\x00"),
    frame(b"[" * 2000),
    frame(b'{"login": null}'),
    frame(b'{"login": {"command": "detect"}}'),
    frame(b'{"login": {"command": "detect", "id": "../../etc/passwd", "model": {"a": 1}}}'),
    frame(b'{"login": {"command": "detect", "id": "01P00A#/+", "model": "C12"}}'),
    frame(b'{"login": {"command": "detect"}}')[:-3],
)
"""None of these is an answer; the fault sends one after the other."""

_READ_BYTES: Final = 4096


class Answering:
    """Serves one client: answers what asks who it is, and hangs up."""

    def __init__(self, describe: Callable[[], Detected], faults: Faults) -> None:
        self._describe = describe
        self._faults = faults
        self._garbage = itertools.cycle(GARBAGE)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read until somebody asks; anything else is not answered."""
        frames = Frames()
        while data := await reader.read(_READ_BYTES):
            try:
                bodies = frames.feed(data)
            except NotAFrame:
                return
            if any(is_request(body) for body in bodies):
                writer.write(self._answer())
                await writer.drain()
                return

    def _answer(self) -> bytes:
        return next(self._garbage) if "detect-garbage" in self._faults else reply(self._describe())
