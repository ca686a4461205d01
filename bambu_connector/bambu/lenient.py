"""Reading single values of a report: what cannot be read is None and spoils nothing else (reference 7.1, 8)."""

import math
from typing import Any, Final

Fields = dict[str, Any]
NO_FIELDS: Fields = {}
LARGEST: Final = 2**53  # JSON's numbers are exact up to here, and no printer measures or counts so much
_MAX_DIGITS: Final = 64  # the longest mask of a real report has 12


def whole(value: object) -> int | None:
    """An integer, also from a float (rounded) or a decimal text; several fields change between them across models."""
    if type(value) is int:
        return value if -LARGEST <= value <= LARGEST else None
    found = number(value)
    return None if found is None else round(found)


def number(value: object) -> float | None:
    """A number up to `LARGEST`, also from a text; booleans are not numbers."""
    kind = type(value)
    if kind is not float and kind is not int and kind is not str:
        return None
    try:
        found = float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and -LARGEST <= found <= LARGEST else None


def text(value: object) -> str | None:
    """A text that is not empty."""
    return value if isinstance(value, str) and value else None


def switched(value: object) -> bool | None:
    """`"enable"` and `"disable"` as booleans."""
    return {"enable": True, "disable": False}.get(value) if isinstance(value, str) else None


def bits(value: object) -> int | None:
    """A hexadecimal text as a number, never negative; may exceed 64 bits."""
    if not isinstance(value, str) or len(value) > _MAX_DIGITS:
        return None
    try:
        found = int(value, 16)
    except ValueError:
        return None
    return found if found >= 0 else None


def fields(value: object) -> Fields:
    """An object, empty when it is something else."""
    return value if isinstance(value, dict) else NO_FIELDS


def items(value: object) -> list[Fields]:
    """The objects of a list; also of a dict keyed by index, as X1C 01.08 sends `device.nozzle.info`."""
    if isinstance(value, dict):
        value = list(value.values())
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def unpacked(value: object) -> tuple[int, int] | None:
    """Current and target of a packed temperature, `target << 16 | current` (reference 7.10)."""
    packed = whole(value)
    return None if packed is None or not 0 <= packed <= 0xFFFFFFFF else (packed & 0xFFFF, packed >> 16)
