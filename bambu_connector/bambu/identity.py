"""What a device says of itself before anybody has proved it: read strictly, for it ends in logs and topics.

Nothing here raises: what does not look as a printer's does is None.
"""

import re
from typing import Final, Literal

Connection = Literal["lan", "cloud"]
"""Whether a printer takes its orders from the LAN only, or from its maker's cloud."""

SERIAL: Final = re.compile(r"[0-9A-Z]{10,20}")
"""What a serial looks like: 15 characters on all known models, and nobody says that it must be."""
_SERIAL_IN_ANY_CASE: Final = re.compile(SERIAL.pattern, re.IGNORECASE | re.ASCII)
_MODEL_CODE: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z ._-]{0,39}")  # the longest known one is 3DPrinter-X1-Carbon
_FIRMWARE: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}")
_MAX_NAME: Final = 64  # characters; the printers' own screens allow 32


def serial_in(text: str | None) -> str | None:
    """Return the serial that `text` is, in upper case."""
    found = _matched(_SERIAL_IN_ANY_CASE, text.strip()) if text else None
    return found.upper() if found else None  # afterwards: other alphabets have letters whose capitals are Latin


def model_code_in(text: str | None) -> str | None:
    """Return the model code that `text` is, as it stands: `C12`, `N1-V2`, `3DPrinter-X1-Carbon`."""
    return _matched(_MODEL_CODE, text.strip()) if text else None


def firmware_in(text: str | None) -> str | None:
    """Return the version that `text` is."""
    return _matched(_FIRMWARE, text.strip()) if text else None


def name_in(text: str | None) -> str | None:
    """Return what is printable in a name that a person gave, cut to 64 characters; None when nothing is left."""
    if not text:
        return None
    printable = "".join(each for each in text if each.isprintable())
    return printable[:_MAX_NAME].strip() or None


def connection_in(text: str | None) -> Connection | None:
    """Return how a printer is connected; `farm` is its maker's word for a LAN of many."""
    word = text.strip().lower() if text else ""
    if word in ("lan", "farm"):
        return "lan"
    return "cloud" if word == "cloud" else None


def bound_in(bind: str | None, connect: str | None) -> bool | None:
    """Say whether a printer is bound to an account; one of a `farm` never is."""
    if connect and connect.strip().lower() == "farm":
        return False
    return {"free": False, "occupied": True}.get(bind.strip().lower()) if bind else None


def _matched(pattern: re.Pattern[str], text: str) -> str | None:
    return text if pattern.fullmatch(text) else None
