"""Messages of the report topic, classified once at the edge. Nothing here raises, whatever a printer sends.

A printer repeats on its report topic what it answers to every client, so a `Reply` is somebody's answer, not ours
until its `sequence_id` and `command` have been matched (reference 4.2).
"""

import enum
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bambu_connector.bambu.lenient import whole

Fields = dict[str, Any]
"""An object of the printer's JSON; values may be of any JSON type whatever the reference says."""

MAX_REPORT_BYTES: Final = 256 * 1024  # the largest real report has 11 KiB; reading one this large takes milliseconds
MAX_TEXT: Final = 4096  # characters of one field's text; names of files have at most 255
MAX_DEPTH: Final = 200  # real reports nest 8 deep; orjson writes at most 254, and folding recurses
_ENCODABLE_INTEGERS: Final = range(-(1 << 63), 1 << 64)  # what orjson can write again


class Outcome(enum.Enum):
    """What a reply says about its request. `UNTOLD`: neither, so look at the state."""

    SUCCESS = "success"
    FAILED = "failed"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class PushStatus:
    """A full or partial report of the state (`print.push_status`)."""

    fields: Fields


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """The answer to `get_version`; `modules` holds only what is an object."""

    modules: tuple[Fields, ...]
    sequence_id: str | None
    fields: Fields


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to somebody's request, or something said unasked that is not a report."""

    group: str
    command: str
    sequence_id: str | None
    fields: Fields

    @property
    def outcome(self) -> Outcome:
        """Success or failure, if the printer told it; an error number outweighs the word `success`."""
        result = self.fields.get("result")
        word = result.strip().lower() if isinstance(result, str) else ""
        if word.startswith("fail") or self.error_code is not None:
            return Outcome.FAILED
        return Outcome.SUCCESS if word.startswith("success") else Outcome.UNTOLD

    @property
    def reason(self) -> str | None:
        """The printer's own words, None when it gave none."""
        reason = self.fields.get("reason")
        return reason if isinstance(reason, str) and reason else None

    @property
    def error_code(self) -> int | None:
        """`err_code` or `errno`, None when neither is there or both are zero."""
        return whole(self.fields.get("err_code")) or whole(self.fields.get("errno")) or None


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """Bytes that are no message we know the shape of, kept for the log."""

    raw: bytes


Report = PushStatus | VersionInfo | Reply | Unrecognised


def parse_report(raw: bytes) -> Report:
    """Classify one message from the report topic. Never raises.

    What comes out can always be written as JSON again, and is nested no deeper than `MAX_DEPTH`. More than
    `MAX_REPORT_BYTES` are not read, and a field's text of more than `MAX_TEXT` is null.
    """
    if len(raw) > MAX_REPORT_BYTES:
        return Unrecognised(raw)
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        message = _read_leniently(raw)
    if type(message) is not dict or (len(raw) > 2 * MAX_DEPTH and _too_deep(message, raw)):
        return Unrecognised(raw)
    body = message.get("print")
    if type(body) is dict and body.get("command") == "push_status":
        if "fun" in message:  # some firmware puts it beside `print` instead of inside
            body.setdefault("fun", message["fun"])
        return PushStatus(body if len(raw) <= MAX_TEXT else _without_long_texts(body))
    return _parse_reply(message) or Unrecognised(raw)


def _without_long_texts(body: Fields) -> Fields:
    return {key: None if type(value) is str and len(value) > MAX_TEXT else value for key, value in body.items()}


def _parse_reply(message: Fields) -> VersionInfo | Reply | None:
    for group, body in message.items():
        if not isinstance(body, dict) or not isinstance(command := body.get("command"), str):
            continue
        modules, sequence_id = body.get("module"), _identifier(body.get("sequence_id"))
        if (group, command) == ("info", "get_version") and isinstance(modules, list):
            return VersionInfo(tuple(each for each in modules if isinstance(each, dict)), sequence_id, body)
        return Reply(group, command, sequence_id, body)
    return None


def _identifier(value: object) -> str | None:
    """A string on the wire; some answers carry the same digits as a number."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _read_leniently(raw: bytes) -> object:
    """Read what orjson refuses and firmware sends: invalid UTF-8 (A1 mini 01.07.02.00), NaN, halves of characters."""
    text = raw.decode("utf-8-sig", "replace")
    try:
        return _encodable(json.loads(text, parse_int=_integer))
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 20 else float(digits)


def _encodable(value: Any) -> Any:
    """Return `value` without what JSON cannot carry: NaN and infinities become null, half characters `?`."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list():
            return [_encodable(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case int():
            return value if value in _ENCODABLE_INTEGERS else float(value)
        case _:
            return value


def _too_deep(message: object, raw: bytes) -> bool:
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return False  # most messages: no need to look
    level = [message]
    for _ in range(MAX_DEPTH + 1):
        level = [item for each in level if isinstance(each, (dict, list)) for item in _items(each)]
        if not level:
            return False
    return True


def _items(container: Fields | list[Any]) -> Iterable[object]:
    return container.values() if isinstance(container, dict) else container
