"""The log: one line a record for people or machines, and no secret in it, whoever wrote the record."""

import json
import logging
import re
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO
from urllib.parse import quote, quote_plus

from bambu_connector.secret import Secret

MARK: Final = "[secret]"
MIN_SECRET_CHARACTERS: Final = 4  # shorter ones stand in too many innocent words
ANYWHERE_CHARACTERS: Final = 8  # an access code's; shorter ones are looked for as whole words only
_SUB: Final = "!$&'()*+,;=:@"
_LEFT_IN_URLS: Final = ("", "/", "!$'()*,;", _SUB, f"{_SUB}/", f"{_SUB}/?")  # what one or the other does not encode

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NAMES: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}  # five letters each, so that the lines stand in columns
_CHATTY: Final = ("aioftp", "aiohttp", "amqtt", "asyncio", "ftputil", "hypercorn", "paho", "transitions", "urllib3")
_OURS: Final = "bambu_connector."

_URL_QUERY: Final = re.compile(r"""(https?://[^\s?"'<>]*)\?[^\s"'<>]*""", re.IGNORECASE)
_URL_USER: Final = re.compile(r"""(https?://)[^\s/?#@"'<>]+@""", re.IGNORECASE)
# Besides control characters all that some reader takes for the end of a line, and what UTF-8 cannot carry.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Redactor:
    """Takes what must not be seen out of text: registered secrets, and what signs or opens a URL."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._needles: tuple[str, ...] = ()
        self._registered: set[str] = set()
        for secret in secrets:
            self.register(secret)

    def register(self, secret: Secret | None) -> None:
        """Replace this text from now on, also as Python, JSON, a URL, hexadecimal or base64 would write it.

        From eight characters on (every access code has them) wherever it stands; from four on where it is a whole
        word. Shorter ones are not registered, and neither are words of less than eight small letters: "printer" would
        be taken out of every line, and whoever reads the gaps knows the password.
        """
        text = secret.reveal() if secret else ""
        if len(text) < MIN_SECRET_CHARACTERS or (len(text) < ANYWHERE_CHARACTERS and _is_plain_word(text)):
            return
        if text in self._registered:  # each attempt to connect comes here again
            return
        self._registered.add(text)
        raw = text.encode("utf-8", "replace")
        forms = {text, repr(text)[1:-1], repr(raw)[2:-1], json.dumps(text)[1:-1], raw.hex(), raw.hex().upper()}
        forms.add(json.dumps(text, ensure_ascii=False)[1:-1])
        forms |= {write(raw, safe=safe) for write in (quote, quote_plus) for safe in _LEFT_IN_URLS}
        forms |= _base64_forms(raw)
        # A new tuple: another thread may be cleaning a line.
        self._needles = tuple(sorted({*self._needles, *forms}))

    def clean(self, text: str) -> str:
        """Return `text` with every secret replaced by `[secret]` and the queries cut off URLs."""
        spans = sorted(span for needle in self._needles for span in _spans(needle, text))
        if spans:
            text = _without(text, spans)
        text = _URL_USER.sub(r"\1[redacted]@", text)
        return _URL_QUERY.sub(r"\1?[redacted]", text)


def _is_plain_word(text: str) -> bool:
    return text.isalpha() and text.islower()


def _base64_forms(raw: bytes) -> set[str]:
    """Return what stands in base64 wherever these bytes stand in what was encoded, as in `user:password`."""
    found = set()
    for before in range(3):
        padded = bytes(before) + raw
        whole = len(padded) * 8 // 6  # the characters that depend on nothing that follows
        for encode in (b64encode, urlsafe_b64encode):
            form = encode(padded).decode()[(before * 8 + 5) // 6 : whole]
            if len(form) >= ANYWHERE_CHARACTERS:
                found.add(form)
    return found


def _spans(needle: str, text: str) -> Iterable[tuple[int, int]]:
    """Return where `needle` stands, overlaps included: in "aaaaaaaaa" the secret "aaaaaaaa" stands twice."""
    start = text.find(needle)
    while start >= 0:
        end = start + len(needle)
        if len(needle) >= ANYWHERE_CHARACTERS or not (_joins(text, start) or _joins(text, end)):
            yield start, end
        start = text.find(needle, start + 1)


def _joins(text: str, place: int) -> bool:
    """Say whether the characters on both sides of `place` belong to one word."""
    return text[max(0, place - 1) : place].isalnum() and text[place : place + 1].isalnum()


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    parts: list[str] = []
    done = 0
    for start, end in spans:
        if start >= done:
            parts += [text[done:start], MARK]
        done = max(done, end)
    return "".join(parts) + text[done:]


# -- lines -----------------------------------------------------------------------------------------


class TextFormatter(logging.Formatter):
    """`2026-11-22T18:20:00.123Z INFO  Left P1S[01P…0001]: message`, for people."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; what follows it, such as a traceback, is indented."""
        who = _CONTROL.sub(" ", _printer(record) or record.name.removeprefix(_OURS)).replace("\n", " ")
        level = _NAMES.get(record.levelname, record.levelname)
        text = "\n".join(part for part in (record.getMessage(), _trouble(self, record)) if part)
        # A line of its own could pass for a record of its own.
        text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", self._redactor.clean(text).replace("\n", "\n    "))
        return self._redactor.clean(f"{_time(record)} {level:<5} {who}: {text}")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message; printer and exception where there is one."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "printer": _printer(record),
            "message": record.getMessage(),
            "exception": _trouble(self, record),
        }
        # Cleaned before they are encoded: a replacement in the encoded line could break its syntax.
        cleaned = {key: self._redactor.clean(value) for key, value in fields.items() if value}
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(cleaned, ensure_ascii=False))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the traceback and stack of a record, empty without."""
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _printer(record: logging.LogRecord) -> str | None:
    found = getattr(record, "printer", None)
    return found if isinstance(found, str) else None


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say that a record could not be written; logging itself would print its arguments, secrets included."""
        kind = sys.exc_info()[0]
        fault = kind.__name__ if kind else "unknown"
        sentence, where = "a log record could not be written: %s at line %d", (fault, record.lineno)
        instead = logging.LogRecord(record.name, logging.ERROR, record.pathname, record.lineno, sentence, where, None)
        try:
            self.stream.write(self.format(instead) + self.terminator)
        except (OSError, ValueError):  # closed or full: there is nobody left to tell
            return


# -- setting up ------------------------------------------------------------------------------------


def configure(
    level: str = "info",
    layout: Literal["text", "json"] = "text",
    *,
    redactor: Redactor | None = None,
    stream: TextIO | None = None,
) -> Redactor:
    """Send everything of `level` (debug, info, warning or error) and above to `stream`, by default stderr.

    Returns the redactor that cleans every line; a second call replaces the first.
    """
    redactor = redactor or Redactor()
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(redactor) if layout == "json" else TextFormatter(redactor))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else max(_LEVELS[level], logging.WARNING))
    return redactor


class PrinterLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines name the printer that they are about."""

    def __init__(self, logger: logging.Logger, printer: str) -> None:
        super().__init__(logger)
        self.printer = printer

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the printer to the record."""
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), "printer": self.printer}}


def printer_logger(name: str | None, serial: str, logger: str = "bambu_connector.printer") -> PrinterLog:
    """Return a logger for one printer, which it calls `Left P1S[01P…0001]`; without a name `printer[01P…0001]`."""
    return PrinterLog(logging.getLogger(logger), f"{name or 'printer'}[{short_serial(serial)}]")


def short_serial(serial: str) -> str:
    """Return what is enough of a serial to know the printer by, and too little to connect to it."""
    return serial if len(serial) <= 8 else f"{serial[:3]}…{serial[-4:]}"
