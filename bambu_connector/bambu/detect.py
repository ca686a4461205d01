"""`login.detect`: what a printer tells anybody who asks on port 3000 or 3002, without a credential (reference 12)."""

import contextlib
import json
import struct
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bambu_connector.bambu.identity import (
    Connection,
    bound_in,
    connection_in,
    firmware_in,
    model_code_in,
    name_in,
    serial_in,
)
from bambu_connector.bambu.lenient import fields, text
from bambu_connector.errors import NotAPrinter

PLAIN_PORT: Final = 3000
TLS_PORT: Final = 3002

_HEADER: Final = struct.Struct("<2sH")  # the magic, and the length of the whole frame
_BEGIN: Final = b"\xa5\xa5"
_END: Final = b"\xa7\xa7"
_AROUND_BYTES: Final = _HEADER.size + len(_END)
_MAX_FRAME_BYTES: Final = 4096  # a real answer has about 200; more is something else
_REPLY_ID: Final = 3021  # printers count up from somewhere near this; nobody looks at it


class NotAFrame(NotAPrinter):
    """What came is no frame of the printers' binding protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What one printer says of itself. None: it did not say."""

    serial: str
    model_code: str
    name: str | None = None
    firmware: str | None = None
    connection: Connection | None = None
    is_bound: bool | None = None


class Frames:
    """Takes frames out of a stream, however the network cut it."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add `data`; return the content of every frame that it completes, oldest first.

        Raises NotAFrame as soon as what came cannot be one; nothing can be read after that.
        """
        self._buffer += data
        bodies: list[bytes] = []
        while (end := self._end_of_first()) is not None and end <= len(self._buffer):
            body_end = end - len(_END)
            if self._buffer[body_end:end] != _END:
                raise NotAFrame("a frame does not end as the printers' frames do")
            bodies.append(bytes(self._buffer[_HEADER.size : body_end]))
            del self._buffer[:end]
        return bodies

    def _end_of_first(self) -> int | None:
        """Return where the first frame ends, None until its header is here."""
        if not _BEGIN.startswith(self._buffer[: len(_BEGIN)]):
            raise NotAFrame("a frame does not begin as the printers' frames do")
        if len(self._buffer) < _HEADER.size:
            return None
        _, length = _HEADER.unpack_from(self._buffer)
        if not _AROUND_BYTES <= length <= _MAX_FRAME_BYTES:
            raise NotAFrame(f"a frame of {length} bytes is none of the printers'")
        return int(length)


def request() -> bytes:
    """Return the frame that asks a printer who it is."""
    return frame(orjson.dumps({"login": {"command": "detect", "sequence_id": "20000"}}))


def reply(detected: Detected) -> bytes:
    """Return the frame with which a printer answers."""
    bind = None if detected.is_bound is None else "occupied" if detected.is_bound else "free"
    login = {
        "bind": bind,
        "command": "detect",
        "connect": detected.connection,
        "dev_cap": 1,
        "id": detected.serial,
        "model": detected.model_code,
        "name": name_in(detected.name),
        "sequence_id": _REPLY_ID,
        "version": detected.firmware,
    }
    return frame(orjson.dumps({"login": {key: value for key, value in login.items() if value is not None}}))


def frame(body: bytes) -> bytes:
    """Return `body` as a frame; raises ValueError when it is too large for one."""
    length = len(body) + _AROUND_BYTES
    if length > _MAX_FRAME_BYTES:
        raise ValueError(f"{len(body)} bytes do not fit into a frame")
    return _HEADER.pack(_BEGIN, length) + body + _END


def is_request(body: bytes) -> bool:
    """Say whether the content of a frame asks who we are. Never raises."""
    return _login(body).get("command") == "detect"


def parse_reply(body: bytes) -> Detected | None:
    """Return what the content of a frame tells of a printer, None when it is something else. Never raises."""
    login = _login(body)
    serial = serial_in(text(login.get("id")))
    model_code = model_code_in(text(login.get("model")))
    if login.get("command") != "detect" or serial is None or model_code is None:
        return None
    connect = text(login.get("connect"))
    return Detected(
        serial=serial,
        model_code=model_code,
        name=name_in(text(login.get("name"))),
        firmware=firmware_in(text(login.get("version"))),
        connection=connection_in(connect),
        is_bound=bound_in(text(login.get("bind")), connect),
    )


def _login(body: bytes) -> dict[str, Any]:
    with contextlib.suppress(orjson.JSONDecodeError):
        return fields(fields(orjson.loads(body)).get("login"))
    with contextlib.suppress(ValueError, RecursionError):  # a name that is cut within a character
        return fields(fields(json.loads(body.decode("utf-8", errors="replace"))).get("login"))
    return {}
