"""Pseudonyms: what stands in the place of something that names somebody, in the same shape.

They are counted and not computed from what they replace: from a hash of a serial or an address both can be found again.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import Final

from bambu_connector.bambu.vocabulary import Says

_PREFIX: Final = 3
_TRIES: Final = 1000
_NETWORKS: Final = ("192.0.2.0", "198.51.100.0", "203.0.113.0")  # for documentation: RFC 5737
_PER_NETWORK: Final = 254
_ADDRESS: Final = "address"
_HEX: Final = re.compile(r"[0-9a-fA-F]+")


class Pseudonyms:
    """Gives each thing a name of its own, the same wherever it stands. `is_taken`: what must not be given."""

    def __init__(self, is_taken: Callable[[str], bool]) -> None:
        self._is_taken = is_taken
        self._made: dict[tuple[str, str], str] = {}
        self._given: set[str] = set()
        self._counts: Counter[str] = Counter()

    def of(self, kind: Says, text: str) -> str:
        """Return the pseudonym of `text`."""
        made = self._made.get((kind.name, text))
        return made or self._new(kind.name, text, _MAKERS[kind])

    def address(self, text: str) -> str:
        """Return the pseudonym of an IP address."""
        address = ip_address(text)
        key = str(address)
        make = _v4 if address.version == 4 else _v6
        return self._made.get((_ADDRESS, key)) or self._new(_ADDRESS, key, make)

    def mail(self, text: str) -> str:
        """Return the pseudonym of a mail address."""
        key = text.lower()
        return self._made.get(("mail", key)) or self._new("mail", key, lambda _text, n: f"person-{n}@example.org")

    def _new(self, kind: str, text: str, make: Callable[[str, int], str]) -> str:
        made = ""
        for _ in range(_TRIES):
            self._counts[kind] += 1
            made = make(text, self._counts[kind])
            if made != text and made not in self._given and not self._is_taken(made):
                break
        self._given.add(made)
        self._made[kind, text] = made
        return made


def _v4(_text: str, n: int) -> str:
    network, host = divmod(n - 1, _PER_NETWORK)
    return str(IPv4Address(_NETWORKS[network % len(_NETWORKS)]) + host + 1)


def _v6(_text: str, n: int) -> str:
    return str(IPv6Address("2001:db8::") + n)


def _serial(text: str, n: int) -> str:
    return f"{text[:_PREFIX]}{n:0{max(1, len(text) - _PREFIX)}d}"


def _hexadecimal(text: str, n: int) -> str:
    """The same number of digits, in small or capital letters, with the dashes or colons where they were."""
    count = sum(map(str.isalnum, text))
    digits = iter(f"{n:0{count}{'x' if any(map(str.islower, text)) else 'X'}}")
    return "".join(next(digits, "") if each.isalnum() else each for each in text) + "".join(digits)


def _hardware(text: str, n: int) -> str:
    """Of the kind that is administered locally, which no maker gives out."""
    return _hexadecimal(text, n + (0x02 << 40) if sum(map(str.isalnum, text)) >= 12 else n)


def _number(text: str, n: int) -> str:
    """Decimal digits stay decimal and as many where that can be; of others the first letter tells the kind."""
    if text.isdecimal() and text.isascii():
        least = 10 ** (len(text) - 1)
        return str(least + n if len(text) > 1 and n < 9 * least else n)
    if _HEX.fullmatch(text):
        return _hexadecimal(text, n)
    return text[:1] + _token(text, n)[1:] if text[:1].isalpha() else _token(text, n)


def _token(text: str, n: int) -> str:
    return f"x{n:0{max(1, len(text) - 1)}d}"


_MAKERS: Final[Mapping[Says, Callable[[str, int], str]]] = MappingProxyType(
    {
        Says.SERIAL: _serial,
        Says.HARDWARE: _hardware,
        Says.NETWORK: lambda _text, n: f"network-{n}",
        Says.NAME: lambda _text, n: f"name-{n}",
        Says.NUMBER: _number,
        Says.TAG: _hexadecimal,
        Says.TOKEN: _token,
        Says.URL: lambda _text, n: f"example.org/{n}",
    }
)
