"""Which printers are meant, as people write it: an argument, a choice from a table, ports, a CSV. Pure.

No sentence here ever quotes an access code.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Final

from bambu_connector.bambu.identity import SERIAL, Connection
from bambu_connector.cli.output import legible
from bambu_connector.errors import UsageError
from bambu_connector.secret import Secret

PORT_NAMES: Final = ("mqtt", "ftps", "camera", "rtsps")
_HOST: Final = re.compile(r"[0-9A-Za-z_.:%-]{1,253}")
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_MEANT_AS_IPV4: Final = re.compile(r"[0-9]+(?:\.[0-9]*)+")
_SERIAL_CHARACTERS: Final = 15  # on every model that is known
_PREFIX_CHARACTERS: Final = 3
_CODE_CHARACTERS: Final = 8
_CODE: Final = re.compile(r"(?=.*[0-9])[0-9A-Za-z]{8}")  # what printers show
_CODE_IN_GROUPS: Final = re.compile(r"[0-9]{4} [0-9]{4}")
_NO_CODE: Final = "a serial or an address stands where the access code should"
_LONGEST_CODE: Final = 32  # what the camera's login has room for
_LONGEST_ID: Final = 128
_LONGEST_NAME: Final = 128
_SHOWN: Final = 40
_DELIMITERS: Final = ",;\t"
_COLUMNS: Final = ("target", "code", "name", "id")
_HEADINGS: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(("address or serial", "serial or address", "printer", "target"), "target")
    | dict.fromkeys(("serial", "serial number", "sn", "dev id"), "serial")
    | dict.fromkeys(("address", "host", "host name", "hostname", "ip", "ip address"), "host")
    | dict.fromkeys(("access code", "accesscode", "code", "password"), "code")
    | dict.fromkeys(("name", "printer name"), "name")
    | dict.fromkeys(("id", "printer id", "printago id"), "id")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A printer that somebody wants to pair. None: not said. `line` is where in a file it stands.

    `connection` and `firmware` are what it announced.
    """

    serial: str | None = None
    host: str | None = None
    access_code: Secret | None = None
    name: str | None = None
    id: str | None = None
    line: int | None = None
    connection: Connection | None = None
    firmware: str | None = None

    @property
    def called(self) -> str:
        """What to call it before it has told its name."""
        return self.name or self.host or self.serial or "?"


def serial_of(text: str) -> str | None:
    """Return the serial that `text` is, None when it is something else: an address has dots, colons or a name."""
    if SERIAL.fullmatch(text) and any(each.isdigit() for each in text):
        return text
    upper = text.upper()
    return upper if text.isascii() and text[:1].isdigit() and SERIAL.fullmatch(upper) else None


def target_of(text: str) -> tuple[str | None, str | None]:
    """Return serial and host of which one was written; raises ValueError when it can be neither."""
    text = text.strip()
    serial = serial_of(text)
    if serial is not None:
        return serial, None
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _HOST.fullmatch(host) or host.count(":") == 1:
        raise ValueError(
            f"`{_shown(text)}` is neither a serial nor an address; write the address alone, without a port"
        )
    if _MEANT_AS_IPV4.fullmatch(host) and not _is_ipv4(host):
        raise ValueError(f"`{_shown(text)}` is no valid IPv4 address")
    return None, host


def is_address(text: str) -> bool:
    """Say whether this is an IP address, or was meant as one."""
    return bool(_MEANT_AS_IPV4.fullmatch(text)) or ":" in text


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def doubts_about(serial: str) -> tuple[str, ...]:
    """Return what looks like a slip in a serial that somebody typed; it may be right all the same."""
    doubts = []
    if len(serial) != _SERIAL_CHARACTERS:
        doubts.append(
            f"a serial has {_SERIAL_CHARACTERS} characters on every model that is known here, and {serial} has"
            f" {len(serial)}"
        )
    if re.search("[OI]", serial[_PREFIX_CHARACTERS:]):
        doubts.append(f"there are no letters O and I in a serial, only the digits 0 and 1: look at {serial} once more")
    return tuple(doubts)


def ports_of(texts: Sequence[str]) -> dict[str, int]:
    """Return the ports of `--port NAME=N`; raises UsageError."""
    found: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in PORT_NAMES:
            raise UsageError(f"--port {_shown(text)}: the name is one of {', '.join(PORT_NAMES)}, as in mqtt=8883.")
        if not (number.isascii() and number.isdecimal() and len(number) < 6 and 1 <= int(number) <= 65535):
            raise UsageError(f"--port {_shown(text)}: a port is a number from 1 to 65535.")
        found[name] = int(number)
    return found


def id_fault(text: str) -> str | None:
    """Return what is wrong with an id, None when nothing is."""
    if any(each in text for each in "/+#"):
        return "an id cannot contain /, + or #"
    if not text.isprintable():
        return "there is a character in the id that cannot be seen"
    return f"an id has at most {_LONGEST_ID} characters" if len(text) > _LONGEST_ID else None


def name_fault(text: str) -> str | None:
    """Return what is wrong with a name, None when nothing is."""
    if legible(text) != text or "\n" in text:
        return "there is a character in the name that cannot be seen"
    return f"a name has at most {_LONGEST_NAME} characters" if len(text) > _LONGEST_NAME else None


def code_in(text: str) -> str:
    """Return the access code that was written, without the spaces in it: screens show them in groups."""
    return "".join(text.split())


def code_fault(text: str) -> str | None:
    """Return what is wrong with an access code, without quoting it; None when it could be one."""
    if not text:
        return "the access code is missing"
    if not text.isascii() or not text.isprintable() or any(each.isspace() for each in text):
        return "there is a character in the access code that none has"
    if serial_of(text) or _IPV4.fullmatch(text):
        return _NO_CODE
    if text.isdecimal() and len(text) < _CODE_CHARACTERS:
        return f"the access code has only {len(text)} digits of {_CODE_CHARACTERS}"
    return "the access code is too long" if len(text) > _LONGEST_CODE else None


def chosen(text: str, count: int) -> tuple[int, ...]:
    """Return the indices that `1,3-5` or `all` chooses from `count` lines; raises ValueError with what is wrong."""
    text = text.strip().lower()
    if text in {"all", "*"}:
        return tuple(range(count))
    found: dict[int, None] = {}
    for part in re.split(r"[,\s]+", re.sub(r"\s*-\s*", "-", text).strip(",")):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if match is None:
            raise ValueError("write numbers, such as 1,3-5, or `all`")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= count:
            raise ValueError(f"{part} is not in the table, which goes from 1 to {count}")
        found |= dict.fromkeys(range(first - 1, last))
    return tuple(found)


# -- a CSV -----------------------------------------------------------------------------------------


def from_csv(raw: bytes, source: str) -> tuple[Candidate, ...]:
    """Return the printers of a CSV; raises UsageError with every mistake and its line. `source` is the file's name."""
    reading = _Reading(source)
    found = tuple(reading.candidates(_decoded(raw, source)))
    reading.compare(found)
    if not found and not reading.mistakes:
        raise UsageError(f"{source}: there is no printer in it; a line is: address or serial, access code, name, id.")
    if reading.mistakes:
        raise UsageError("\n".join(f"{source}:{line}: {what}" for line, what in sorted(reading.mistakes)))
    return found


def _decoded(raw: bytes, source: str) -> str:
    utf_16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return raw.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{source}: this is not UTF-8: save it as “CSV UTF-8”.") from None


def _delimiter(lines: Sequence[str]) -> str:
    """Return what separates the cells: that which the first line has most of (Excel writes what the country writes)."""
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    if first.lower().startswith("sep=") and first[4:5] not in ("", '"'):
        return first[4]
    bare = re.sub(r'"[^"]*"', "", first)
    return max(_DELIMITERS, key=bare.count)


@dataclass(slots=True)
class _Reading:
    """One CSV being read; `mistakes` are lines and sentences."""

    source: str
    mistakes: list[tuple[int, str]] = field(default_factory=list)

    def candidates(self, text: str) -> Iterator[Candidate]:
        """Yield what every line says, as far as it can be understood."""
        columns: Sequence[str | None] = _COLUMNS
        is_first = True
        for line, cells in self._rows(text):
            if is_first and (headings := _headings(cells)) is not None:
                columns = headings
                if not {"target", "serial", "host"} & set(columns):
                    self.mistakes.append((line, "no column is called `address` or `serial`"))
                if "code" not in columns:
                    self.mistakes.append((line, "no column is called `access code`"))
            else:
                yield self._candidate(line, cells, columns)
            is_first = False

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        lines = re.split(r"\r\n|\r|\n", text)
        delimiter = _delimiter(lines)
        # A line that is not for the reader stays as an empty one, so that the numbers are right.
        read = csv.reader(
            (f"{'' if _is_remark(line) else line}\n" for line in lines),
            delimiter=delimiter,
            skipinitialspace=delimiter != " ",
            strict=True,
        )
        before = 0
        while True:
            try:
                cells = next(read, None)
            except csv.Error:
                self.mistakes.append((before + 1, "the quotation marks in this line do not match"))
                return
            if cells is None:
                return
            line, before = before + 1, read.line_num
            if any(cell.strip() for cell in cells):
                yield line, [cell.strip() for cell in cells]

    def _candidate(self, line: int, cells: Sequence[str], columns: Sequence[str | None]) -> Candidate:
        said = {column: cell for column, cell in zip(columns, cells, strict=False) if column and cell}
        if "code" in said:
            said["code"] = code_in(said["code"])
        if any(cells[len(columns) :]):
            self.mistakes.append((line, "there are more cells than columns; quote a cell with a separator in it"))
        if any("\n" in cell for cell in cells):
            self.mistakes.append((line, "a line ends inside a cell: is a quotation mark missing?"))
        serial, host = self._target(line, said)
        for fault in (
            _code_fault_in_table(said.get("code", "")),
            id_fault(said.get("id", "")),
            name_fault(said.get("name", "")),
            _swapped(said),
        ):
            if fault is not None:
                self.mistakes.append((line, fault))
        code = Secret(said["code"]) if "code" in said else None
        return Candidate(
            serial=serial, host=host, access_code=code, name=said.get("name"), id=said.get("id"), line=line
        )

    def _target(self, line: int, said: Mapping[str, str]) -> tuple[str | None, str | None]:
        serial, host = None, None
        if "serial" in said and (serial := serial_of(said["serial"])) is None:
            self.mistakes.append((line, "this is no serial; one has 15 digits and upper-case letters"))
        for column in ("host", "target"):
            try:
                here, there = target_of(said[column]) if column in said else (None, None)
            except ValueError:  # its sentence quotes the cell, in which an access code could stand by mistake
                self.mistakes.append((line, "this is neither a serial nor an address; write no port and no `…://`"))
                return serial, host
            serial, host = serial or here, host or there
        if not {"serial", "host", "target"} & said.keys():
            self.mistakes.append((line, "the address or serial is missing"))
        return serial, host

    def compare(self, found: Sequence[Candidate]) -> None:
        """Note what two lines have in common, and must not."""
        for what in ("serial", "host", "id"):
            first: dict[str, int] = {}
            for each in found:
                value = getattr(each, what)
                line = each.line or 0
                if value is not None and first.setdefault(value, line) != line:
                    self.mistakes.append((line, f"the same {what} stands in line {first[value]} already"))


def _code_fault_in_table(code: str) -> str | None:
    """Return what is wrong with an access code, with what a table may have done to it."""
    fault = code_fault(code)
    if fault == _NO_CODE:
        return f"{fault}: are two columns swapped?"
    if fault is not None and code.isdecimal() and len(code) < _CODE_CHARACTERS:
        return f"{fault}: a spreadsheet drops zeros in front; format the column as text"
    return fault


def _swapped(said: Mapping[str, str]) -> str | None:
    """Return what is wrong where an access code seems to stand elsewhere: a name is shown, and told to Printago."""
    if _CODE.fullmatch(said.get("code", "")) or not any(_looks_like_code(said.get(key, "")) for key in ("name", "id")):
        return None
    return "the access code seems to stand in another column: the order is address or serial, access code, name, id"


def _looks_like_code(text: str) -> bool:
    return bool(_CODE.fullmatch(text) or _CODE_IN_GROUPS.fullmatch(text))


def _headings(cells: Sequence[str]) -> tuple[str | None, ...] | None:
    """Return which columns a header names; None when the line is no header."""
    words = [" ".join(re.split(r"[\s_-]+", cell.strip().lower())) for cell in cells]
    known = tuple(_HEADINGS.get(word) for word in words)
    return known if known and known[0] is not None else _headings_elsewhere(known)


def _headings_elsewhere(known: tuple[str | None, ...]) -> tuple[str | None, ...] | None:
    # One cell may be called like a column by chance (a printer named "Printer"); two are a header.
    return known if sum(each is not None for each in known) >= 2 else None


def _is_remark(line: str) -> bool:
    return line.lstrip().startswith("#") or bool(re.fullmatch(r"sep=.", line.strip(), re.IGNORECASE))


def _shown(text: str) -> str:
    printable = "".join(each if each.isprintable() else "?" for each in text)
    return printable if len(printable) <= _SHOWN else f"{printable[:_SHOWN]}…"
