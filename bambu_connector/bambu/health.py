"""What a printer complains about: `print_error` and `hms` as codes with severity, module and a sentence.

Codes and their reading: reference 7.7.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from bambu_connector.bambu.lenient import whole
from bambu_connector.bambu.report import Fields

HELP_URL: Final = "https://wiki.bambulab.com/en/hms/home"  # deep links differ from model to model

CANCELLED: Final = frozenset({0x0300400C, 0x0500400E})
"""`print_error` of a print that a person stopped; it shows for a moment only."""
SIGNING: Final = frozenset({0x05024007, 0x05024009})
"""`err_code` or `print_error` of a printer that obeys only signed commands (Developer Mode off)."""
SIGNING_HMS: Final = "0500-0500-0001-0007"
_SIGNING_WORDS: Final = (0x05000500, 0x00010007)
BUSY: Final = 0x05004004
"""`print_error` of a start that came while the printer was at work."""
START_FAILURES: Final = frozenset({0x05004003, 0x0500C010, 0x05008003, 0x07008012, 0x07FF8012})
"""`print_error` of a start that failed: the file cannot be parsed or read, or the AMS mapping is wrong."""

MAX_ENTRIES: Final = 100  # no printer has so many complaints; each becomes a sentence in the status
_PHASES_END: Final = 0x4000  # a `print_error` with a smaller low word tells a phase, not an error
_NOT_ERRORS: Final = frozenset({0x05008030, 0x03008012, 0x0500C011})
_WISHES: Final = CANCELLED | {0x03008001, 0x03008013}  # a person or the g-code wanted it so
_RUNOUT: Final = 0x8011  # the low word, of any AMS


class Severity(enum.StrEnum):
    """How bad it is; for `hms` in Bambu Studio's reading of the number."""

    FATAL = "fatal"
    SERIOUS = "serious"
    COMMON = "common"
    INFO = "info"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HealthEntry:
    """One complaint: `code` as the printer shows it, `message` for a person."""

    code: str
    message: str
    severity: Severity
    module: str
    url: str = HELP_URL


@dataclass(frozen=True, slots=True)
class Health:
    """Every complaint once, in the order reported; `print_error` comes first."""

    errors: tuple[HealthEntry, ...] = ()
    warnings: tuple[HealthEntry, ...] = ()
    infos: tuple[HealthEntry, ...] = ()


_SEVERITIES: Final[Mapping[int, Severity]] = {
    1: Severity.FATAL,
    2: Severity.SERIOUS,
    3: Severity.COMMON,
    4: Severity.INFO,
}
_MODULES: Final[Mapping[int, str]] = {
    0x03: "motion controller",
    0x05: "mainboard",
    0x07: "AMS",
    0x08: "tool head",
    0x0C: "camera",
    0x12: "AMS",
    0x18: "AMS",
}
_SENTENCES: Final[Mapping[str, str]] = {
    "0300-400C": "The print was cancelled.",
    "0500-400E": "The print was cancelled.",
    "0300-8001": "The print was paused by a person.",
    "0300-8013": "The print was paused by its g-code.",
    "0300-8003": "The camera's failure detection stopped the print; look at it before going on.",
    "0500-4003": "The printer cannot read the print file: wrong model, or the file is damaged or incomplete.",
    "0500-4004": "The printer is busy and did not start the print.",
    "0500-8003": "The printer cannot read or write its storage; check the card or stick.",
    "0500-C010": "The printer cannot read or write its storage; check the card or stick.",
    "0502-4007": "The printer refused an unsigned command; switch on LAN Only Mode and Developer Mode at the printer.",
    "0502-4009": "The printer refused an unsigned command; switch on LAN Only Mode and Developer Mode at the printer.",
    "0700-8012": "The printer could not use the AMS mapping of the print.",
    "07FF-8012": "The printer could not use the AMS mapping of the print.",
    "07FF-8011": "The external spool ran out of filament.",
    **{f"07{unit:02X}-8011": f"AMS {unit + 1} ran out of filament." for unit in range(4)},
    SIGNING_HMS: "The printer refused an unsigned command; switch on LAN Only Mode and Developer Mode at the printer.",
}
_WORD: Final = 0xFFFFFFFF
_ADVICE: Final[Mapping[Severity, str]] = {
    Severity.FATAL: "reports a fatal problem",
    Severity.SERIOUS: "reports a serious problem",
    Severity.COMMON: "reports a problem",
    Severity.INFO: "has a notice",
    Severity.UNKNOWN: "reports something unknown",
}


def print_error_code(value: int) -> str:
    """Return a `print_error` as the printer shows it: `0500-4003`."""
    return _grouped(value)


def hms_code(attr: int, code: int) -> str:
    """Return an `hms` entry as the printer shows it: `0300-0100-0001-0001`."""
    return f"{_grouped(attr)}-{_grouped(code)}"


def is_filament_runout(print_error: int) -> bool:
    """Say whether a `print_error` tells that a spool, in whatever AMS or outside, has run out."""
    return print_error >> 24 == 0x07 and print_error & 0xFFFF == _RUNOUT


def read_print_error(fields: Fields) -> int | None:
    """Return `print_error`, 0 for none; None when it was never reported or cannot be read."""
    return _word(fields.get("print_error"))


def demands_signatures(fields: Fields) -> bool:
    """Say whether a folded report complains of a command without a signature among its `hms` entries."""
    entries = fields.get("hms")
    return isinstance(entries, list) and any(
        isinstance(each, dict) and (_word(each.get("attr")), _word(each.get("code"))) == _SIGNING_WORDS
        for each in entries
    )


def read_health(fields: Fields) -> Health:
    """Read the complaints of a folded report, at most `MAX_ENTRIES`. What cannot be read is left out."""
    entries = dict.fromkeys((*_read_print_error(fields), *islice(_read_hms(fields), MAX_ENTRIES)))
    return Health(
        errors=tuple(each for each in entries if each.severity in (Severity.FATAL, Severity.SERIOUS)),
        warnings=tuple(each for each in entries if each.severity in (Severity.COMMON, Severity.UNKNOWN)),
        infos=tuple(each for each in entries if each.severity is Severity.INFO),
    )


def _read_print_error(fields: Fields) -> Iterator[HealthEntry]:
    value = read_print_error(fields)
    if value:
        is_note = value & 0xFFFF < _PHASES_END or value in _NOT_ERRORS | _WISHES
        yield _entry(print_error_code(value), value >> 24, Severity.INFO if is_note else Severity.SERIOUS)


def _read_hms(fields: Fields) -> Iterator[HealthEntry]:
    items = fields.get("hms")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            attr, code = _word(item.get("attr")), _word(item.get("code"))
            if attr is not None and code is not None:
                severity = _SEVERITIES.get(code >> 16, Severity.UNKNOWN)
                yield _entry(hms_code(attr, code), attr >> 24, severity)


def _entry(code: str, number: int, severity: Severity) -> HealthEntry:
    module = _MODULES.get(number, f"module {number:02X}")
    sentence = f"The printer ({module}) {_ADVICE[severity]}; the help page explains {code}."
    return HealthEntry(code, _SENTENCES.get(code, sentence), severity, module)


def _grouped(value: int) -> str:
    text = f"{value & _WORD:08X}"
    return f"{text[:4]}-{text[4:]}"


def _word(value: object) -> int | None:
    """Some models send these 32 bits as decimal text, and as signed numbers."""
    found = whole(value)
    return found & _WORD if found is not None and -_WORD <= found <= _WORD else None
