"""The records of the journal as values, and as JSON. Unknown keys are passed over, so that versions can alternate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bambu_connector.bambu.view import GcodeState, JobIdentity
from bambu_connector.printago.commands import CommandId, Header
from bambu_connector.printago.messages import Message, MessageType
from bambu_connector.service.clock import Moment
from bambu_connector.translate.job import STARTING, Kind, Phase
from bambu_connector.translate.recognise import StartMark

COMMAND: Final = "command"
"""Commands that have no answer yet, by receipt."""
MESSAGE: Final = "message"
"""Messages that Printago has not acknowledged, in their order."""
JOB: Final = "job"
"""Jobs that have not ended, by number."""
PRINT: Final = "print"
"""The print that a command of ours started (or may have started), by serial."""
ONLINE: Final = "online"
"""Which of `Connected` and `Disconnected` was told last, by serial."""
FILE: Final = "file"
"""Our files on printers' storage that are not those of a job under way, by serial and name."""

Body = dict[str, Any]
T = TypeVar("T")


class Unreadable(Exception):
    """A record that is not what it should be."""


def read(decode: Callable[[Body], T], body: Body) -> T:
    """Return what a record says. Raises Unreadable."""
    try:
        return decode(body)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _is(value: Any, *kinds: type) -> Any:
    """Return `value`, which must be of one of these types; true and false are no numbers."""
    if type(value) not in kinds:
        raise TypeError(f"{value!r:.40} is not {' or '.join(kind.__name__ for kind in kinds)}")
    return value


_NOTHING: Final = type(None)


# -- commands --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCommand:
    """A command without an answer. `payload` is what came, sealed; None where nothing goes on with it."""

    printer_id: str | None
    header: Header
    payload: str | None = None

    def body(self) -> Body:
        """Return it as JSON."""
        header = self.header
        return {
            "printer_id": self.printer_id,
            "command": header.command,
            "action": header.action,
            "command_id": header.command_id,
            "tags": header.tags,
            "payload": self.payload,
        }

    @classmethod
    def decode(cls, body: Body) -> "OpenCommand":
        """Return it from JSON."""
        header = Header(
            command=_is(body["command"], str, _NOTHING),
            action=_is(body["action"], str, _NOTHING),
            command_id=_is(body["command_id"], str, int, float, _NOTHING),
            tags=body.get("tags"),
        )
        payload = _is(body.get("payload"), str, _NOTHING)
        return cls(printer_id=_is(body["printer_id"], str, _NOTHING), header=header, payload=payload)


def message_body(message: Message) -> Body:
    """Return a message as JSON."""
    return {
        "type": message.type.value,
        "printer_id": message.printer_id,
        "payload": message.payload.decode("utf-8", "replace"),
    }


def decode_message(body: Body) -> Message:
    """Return a message from JSON: the same bytes as before."""
    return Message(
        type=MessageType(body["type"]),
        printer_id=_is(body["printer_id"], str),
        payload=_is(body["payload"], str).encode(),
    )


# -- prints ----------------------------------------------------------------------------------------


def _mark_body(mark: StartMark) -> Body:
    before = mark.before
    return {
        "job_number": mark.job_number,
        "name": mark.name,
        "file": mark.file,
        "before": [before.subtask_id, before.task_id, before.job_id, before.name, before.file],
        "before_state": mark.before_state,
        "before_error": mark.before_error,
    }


def _decode_mark(body: Body) -> StartMark:
    state = body["before_state"]
    return StartMark(
        job_number=_is(body["job_number"], int, _NOTHING),
        name=_is(body["name"], str),
        file=_is(body["file"], str),
        before=JobIdentity(*(_is(each, str, _NOTHING) for each in _is(body["before"], list))),
        before_state=None if state is None else GcodeState(state),
        before_error=_is(body.get("before_error"), int, _NOTHING),
    )


def _moment_body(moment: Moment) -> list[object]:
    return [moment.wall, moment.boot, moment.since_boot]


def _decode_moment(body: list[Any]) -> Moment:
    wall, boot, since_boot = _is(body, list)
    return Moment(float(_is(wall, int, float)), _is(boot, str), float(_is(since_boot, int, float)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintRecord:
    """A print that a start of ours began; not `is_certain` where its outcome is unknown.

    `file` is what is to be removed from the printer when it ended; `published` is when the start was sent.
    """

    mark: StartMark
    file: str | None
    job_id: str | None
    command_id: CommandId | None
    published: Moment
    is_certain: bool
    stop_asked: bool = False

    def body(self) -> Body:
        """Return it as JSON."""
        return {
            "mark": _mark_body(self.mark),
            "file": self.file,
            "job_id": self.job_id,
            "command_id": self.command_id,
            "published": _moment_body(self.published),
            "is_certain": self.is_certain,
            "stop_asked": self.stop_asked,
        }

    @classmethod
    def decode(cls, body: Body) -> "PrintRecord":
        """Return it from JSON."""
        return cls(
            mark=_decode_mark(body["mark"]),
            file=_is(body["file"], str, _NOTHING),
            job_id=_is(body["job_id"], str, _NOTHING),
            command_id=_is(body["command_id"], str, int, float, _NOTHING),
            published=_decode_moment(body["published"]),
            is_certain=_is(body["is_certain"], bool),
            stop_asked=_is(body.get("stop_asked", False), bool),
        )


# -- jobs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job: how far it is, and when its last step was taken.

    `receipt` is that of its command; None: it was given on the command line, and nobody waits for it any more.
    `file` is its name on the printer as soon as it has one, `wrote` whether it may lie there, `stored` whether it does,
    whole. `out` is the print that the start may have begun, from before the start is published.
    """

    serial: str
    number: int
    kind: Kind
    phase: Phase
    saved: Moment
    receipt: str | None
    file: str | None = None
    wrote: bool = False
    stored: bool = False
    out: PrintRecord | None = None

    def body(self) -> Body:
        """Return it as JSON."""
        return {
            "serial": self.serial,
            "number": self.number,
            "kind": self.kind.value,
            "phase": self.phase.name,
            "saved": _moment_body(self.saved),
            "receipt": self.receipt,
            "file": self.file,
            "wrote": self.wrote,
            "stored": self.stored,
            "out": None if self.out is None else self.out.body(),
        }

    @classmethod
    def decode(cls, body: Body) -> "JobRecord":
        """Return it from JSON."""
        phase, out = Phase[body["phase"]], body.get("out")
        if (phase in STARTING) != (out is not None):
            raise ValueError("a start and what it is recognised by belong together")
        return cls(
            serial=_is(body["serial"], str),
            number=_is(body["number"], int),
            kind=Kind(body["kind"]),
            phase=phase,
            saved=_decode_moment(body["saved"]),
            receipt=_is(body["receipt"], str, _NOTHING),
            file=_is(body.get("file"), str, _NOTHING),
            wrote=_is(body.get("wrote", False), bool),
            stored=_is(body.get("stored", False), bool),
            out=None if out is None else PrintRecord.decode(out),
        )


# -- files -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file of ours on a printer: left on purpose by `download_gcode`, or doomed.

    `size` in bytes; `kept_at` in seconds since the epoch, for the oldest to go first.
    """

    serial: str
    name: str
    doomed: bool
    requested: str = ""
    size: int = 0
    md5: str = ""
    kept_at: float = 0.0

    @property
    def key(self) -> str:
        """Its key in the journal."""
        return f"{self.serial}/{self.name}"

    def body(self) -> Body:
        """Return it as JSON."""
        return {
            "serial": self.serial,
            "name": self.name,
            "doomed": self.doomed,
            "requested": self.requested,
            "size": self.size,
            "md5": self.md5,
            "kept_at": self.kept_at,
        }

    @classmethod
    def decode(cls, body: Body) -> "FileRecord":
        """Return it from JSON."""
        return cls(
            serial=_is(body["serial"], str),
            name=_is(body["name"], str),
            doomed=_is(body["doomed"], bool),
            requested=_is(body.get("requested", ""), str),
            size=_is(body.get("size", 0), int),
            md5=_is(body.get("md5", ""), str),
            kept_at=float(_is(body.get("kept_at", 0.0), float, int)),
        )
