"""The messages to Printago: the envelope and the six types. The only place where their field names stand."""

import enum
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from bambu_connector.errors import ConnectorError, Internal, PrinterError
from bambu_connector.printago.commands import CommandId, Header

CLIENT_TYPE: Final = "bambu"
Data = dict[str, Any]


class MessageType(enum.StrEnum):
    """What a message is."""

    PAIRING = "pairing"
    STATUS = "status"
    EVENT = "event"
    SUCCESS = "success"
    ERROR = "error"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, complete: sending it again sends the same bytes."""

    type: MessageType
    printer_id: str
    payload: bytes
    retain: bool = False
    qos: int = 1


def timestamp_text(moment: float) -> str:
    """Return seconds since the epoch as ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(
    kind: MessageType,
    printer_id: str,
    data: Data,
    *,
    moment: float,
    message_id: str,
    command: str | None = None,
    command_id: CommandId | None = None,
) -> Message:
    """Return a message; a status that answers nothing is retained and may be lost, everything else must arrive."""
    body: Data = {
        "type": kind.value,
        "timestamp": timestamp_text(moment),
        "message_id": message_id,
        "printer_id": printer_id,
        "client_type": CLIENT_TYPE,
    }
    if command is not None:
        body["command"] = command
    if command_id is not None:
        body["command_id"] = command_id
    body["data"] = data
    unasked = kind is MessageType.STATUS and command is None
    return Message(type=kind, printer_id=printer_id, payload=_encode(body), retain=unasked, qos=0 if unasked else 1)


def _encode(body: Data) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a printer's report may hold integers of more than 64 bits
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The one answer to a command, before it has a time and an id."""

    type: MessageType
    data: Data


def _action(header: Header) -> str:
    return header.action or "unknown"


def _tagged(header: Header, data: Data) -> Data:
    return data if header.tags is None else data | {"tags": header.tags}


def success(header: Header, detail: str, *, acknowledged: bool, **more: Any) -> Answer:
    """The command was done, by the contract's evidence; `detail` is one sentence."""
    data = {
        "success": True,
        "local_command": _action(header),
        "local_command_detail": detail,
        "acknowledged": acknowledged,
        **more,
    }
    return Answer(type=MessageType.SUCCESS, data=_tagged(header, data))


def failure(header: Header, error: ConnectorError) -> Answer:
    """The command was refused or failed."""
    sentence = str(error)
    data: Data = {
        "success": False,
        "error": sentence,
        "error_detail": sentence,
        "code": error.code,
        "local_command": _action(header),
    }
    if error.stage is not None:
        data["stage"] = error.stage
    return Answer(type=MessageType.ERROR, data=_tagged(header, data))


def print_failure(sentence: str, job_id: str) -> Data:
    """Return the data of an `error` that answers no command: a print of ours was stopped by the printer."""
    return {
        "success": False,
        "error": sentence,
        "error_detail": sentence,
        "code": PrinterError.code,
        "local_command": None,
        "job_id": job_id,
    }


def trouble(error: ConnectorError) -> Data:
    """Return the data of an `error` that answers no command: something that a person must put right."""
    sentence = str(error)
    return {
        "success": False,
        "error": sentence,
        "error_detail": sentence,
        "code": error.code,
        "local_command": None,
    }


def undeliverable(message: Message, sentence: str, message_id: str) -> Message:
    """Return a small error in the place of an answer that the broker does not take."""
    body: Data = orjson.loads(message.payload)
    action = str(body.get("command", "")).rpartition("/")[2]
    data = {
        "success": False,
        "error": sentence,
        "error_detail": sentence,
        "code": Internal.code,
        "local_command": action,
    }
    small = body | {"type": MessageType.ERROR.value, "message_id": message_id, "data": data}
    return Message(type=MessageType.ERROR, printer_id=message.printer_id, payload=_encode(small))


def response(header: Header, data: Data) -> Answer:
    """A question was answered."""
    return Answer(type=MessageType.RESPONSE, data=_tagged(header, data))
