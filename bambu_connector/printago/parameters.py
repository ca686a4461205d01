"""Reading the parameters of a command: forgiving about form (numbers as text), strict about meaning."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from bambu_connector.errors import InvalidParameters
from bambu_connector.printago.orders import Checksum
from bambu_connector.secret import Secret

T = TypeVar("T")
_WORDS: Final = {
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    "yes": True,
    "no": False,
    "on": True,
    "off": False,
}
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # all that anybody takes for the end of a line
_MAX_TEXT: Final = 255
_MAX_URL: Final = 8192
_MAX_ITEMS: Final = 1024
_MAX_WHOLE: Final = 2**31 - 1  # what a printer takes for an integer
_MAX_LISTED: Final = 10  # choices that an error lists; of more, one name for each meaning


class Parameters:
    """The `parameters` of one command. Every reader raises InvalidParameters that names the key."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def _read(self, key: str, read: Callable[[str, Any], T]) -> T | None:
        value = self._given.get(key)
        return None if value is None else read(key, value)

    def _need(self, key: str, value: T | None) -> T:
        if value is None:
            raise InvalidParameters(f"{key} is missing.")
        return value

    def number(self, key: str) -> float | None:
        """A finite number."""
        return self._read(key, number)

    def required_number(self, key: str) -> float:
        """A finite number that must be there."""
        return self._need(key, self.number(key))

    def whole(self, key: str) -> int | None:
        """An integer."""
        return self._read(key, whole)

    def required_whole(self, key: str) -> int:
        """An integer that must be there."""
        return self._need(key, self.whole(key))

    def flag(self, key: str) -> bool | None:
        """A boolean."""
        return self._read(key, _flag)

    def text(self, key: str) -> str | None:
        """A text of at most 255 characters without control characters; empty counts as absent."""
        return self._read(key, _text) or None

    def required_text(self, key: str) -> str:
        """A text that must be there."""
        return self._need(key, self.text(key))

    def choice(self, key: str, choices: Mapping[str, T]) -> T | None:
        """One of the named values, in any case."""

        def read(name: str, value: Any) -> T:
            if isinstance(value, float) and value.is_integer():
                value = int(value)  # JSON does not tell 2.0 from 2
            found = choices.get(str(value).strip().lower())
            if found is None:
                raise InvalidParameters(f"{name} must be one of {', '.join(_listed(choices))}.")
            return found

        return self._read(key, read)

    def required_choice(self, key: str, choices: Mapping[str, T]) -> T:
        """One of the named values, which must be there."""
        return self._need(key, self.choice(key, choices))

    def wholes(self, key: str) -> tuple[int, ...] | None:
        """A list of integers."""

        def read(name: str, value: Any) -> tuple[int, ...]:
            if not isinstance(value, list) or len(value) > _MAX_ITEMS:
                raise InvalidParameters(f"{name} must be a list of whole numbers.")
            return tuple(whole(name, each) for each in value)

        return self._read(key, read)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """An object that must be there."""
        value = self._need(key, self._given.get(key))
        if not isinstance(value, dict):
            raise InvalidParameters(f"{key} must be an object.")
        return value

    def url(self, key: str) -> Secret:
        """An http or https address; its text is a secret, for its query may sign it."""
        value = self._need(key, self._given.get(key))
        if not isinstance(value, str) or len(value) > _MAX_URL or _CONTROL.search(value) or not _is_url(value):
            raise InvalidParameters(f"{key} must be an http or https address.")
        return Secret(value.strip())

    def checksum(self) -> Checksum | None:
        """`sha256`, else `md5`."""
        given = [self._digest("sha256", 64), self._digest("md5", 32)]
        return next((each for each in given if each is not None), None)

    def _digest(self, algorithm: str, digits: int) -> Checksum | None:
        digest = self.text(algorithm)
        if digest is None:
            return None
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", digest.lower()):
            raise InvalidParameters(f"{algorithm} must be {digits} hexadecimal digits.")
        return Checksum(algorithm, digest.lower())

    def positive(self, key: str) -> int | None:
        """An integer of at least 1."""
        found = self.whole(key)
        if found is not None and found < 1:
            raise InvalidParameters(f"{key} must be at least 1.")
        return found


def number(key: str, value: Any) -> float:
    """Read a finite number, also from text."""
    if isinstance(value, str):
        try:
            value = float(value.replace("_", "x"))  # Python reads 1_0 as 10
        except ValueError:
            raise InvalidParameters(f"{key} must be a number.") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidParameters(f"{key} must be a number.")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise InvalidParameters(f"{key} must be a finite number.")
    return found


def whole(key: str, value: Any) -> int:
    """Read an integer, also from text."""
    found = number(key, value)
    if found != int(found):
        raise InvalidParameters(f"{key} must be a whole number.")
    if abs(found) > _MAX_WHOLE:
        raise InvalidParameters(f"{key} must be a whole number of at most {_MAX_WHOLE}.")
    return int(found)


def _listed(choices: Mapping[str, object]) -> list[str]:
    if len(choices) <= _MAX_LISTED:
        return list(choices)
    first: dict[object, str] = {}
    for name, meaning in choices.items():
        first.setdefault(meaning, name)
    return list(first.values())


def _flag(key: str, value: Any) -> bool:
    found = _WORDS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None
    if found is None:
        raise InvalidParameters(f"{key} must be true or false.")
    return found


def _text(key: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > _MAX_TEXT or _CONTROL.search(value):
        raise InvalidParameters(f"{key} must be a text of at most {_MAX_TEXT} characters on one line.")
    return value.strip()


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value.strip())
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
