"""Names for files on a printer and for prints: ours, ASCII, short, unique (reference 9.3)."""

import re
import unicodedata
from typing import Final

_SLUG_LENGTH: Final = 40  # with our number and the ending well below the 100 bytes that every firmware takes
_NOT_SAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ENDINGS: Final = (".gcode.3mf", ".3mf", ".gcode")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def is_gcode(name: str) -> bool:
    """Say whether a file is plain g-code by its name."""
    return name.lower().endswith(".gcode")


def stem(name: str) -> str:
    """Return the name without the endings of sliced files."""
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _NOT_SAFE.sub("-", plain)[:_SLUG_LENGTH].strip("-._") or "print"


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def print_name(requested: str, job_number: int) -> str:
    """Return the name under which a print is told apart: what was asked for, readable, and the job's number."""
    return f"{_slug(stem(requested))}-{_base36(job_number)}"


def file_name(requested: str, job_number: int, *, plain_gcode: bool = False) -> str:
    """Return the name of our file on the printer's storage."""
    return print_name(requested, job_number) + (".gcode" if plain_gcode else ".gcode.3mf")
