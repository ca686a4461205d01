"""What must not be found in a recording: things that belong to somebody, and where they stand in a text."""

import json
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from bambu_connector.bambu.vocabulary import Says, is_own
from bambu_connector.secret import Secret

SHORTEST: Final = 4  # shorter ones stand in too many innocent words
ANYWHERE: Final = 8  # from here on also inside of words; an access code has as many
_LEAST_ADDRESS: Final = 1 << 20  # a smaller number is more likely a count than an address
_NEVER: Final = r"(?!)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the owner has configured: it must not be found anywhere, whatever it stands under."""

    serials: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()


class Needles:
    """What is looked for, in any spelling of its letters."""

    def __init__(self, known: Known = Known()) -> None:
        self._found: dict[str, tuple[Says, str]] = {}
        self._pattern = re.compile(_NEVER)
        self.addresses: dict[int, str] = {}
        """Addresses by what they are as a number, in either order of their bytes."""
        for says, texts in (
            (Says.SERIAL, known.serials),
            (Says.ADDRESS, known.hosts),
            (Says.NAME, known.names),
            (Says.TOKEN, tuple(secret.reveal() for secret in known.secrets)),
        ):
            for text in texts:
                self.add(text, says)
        self.prepare()

    def add(self, text: str, says: Says) -> None:
        """Look for this from the next `prepare` on, unless it is too short or a word that printers use themselves."""
        if len(text) < SHORTEST or (says in (Says.NAME, Says.ADDRESS, Says.TOKEN) and is_own(text)):
            return
        for form in {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}:
            self._found.setdefault(form.lower(), (says, text))
        if says is Says.ADDRESS and is_address(text):
            packed = ip_address(text).packed
            for number in (int.from_bytes(packed, "little"), int.from_bytes(packed, "big")):
                if number >= _LEAST_ADDRESS:
                    self.addresses[number] = text

    def prepare(self) -> None:
        """Have what was added be looked for."""
        self._pattern = re.compile(self.expression(), re.IGNORECASE)

    def expression(self) -> str:
        """Return the regular expression of all of them, the longest first."""
        found = sorted(self._found.items(), key=lambda item: (-len(item[0]), item[0]))
        return "|".join(_expression(text, says) for text, (says, _) in found) or _NEVER

    def are_in(self, text: str) -> bool:
        """Say whether any of them stands in a text."""
        return self._pattern.search(text) is not None

    def whose(self, text: str) -> tuple[Says, str] | None:
        """Return what a text that was found is, and how it was spelled first."""
        return self._found.get(text.lower())

    def kinds_in(self, text: str) -> frozenset[Says]:
        """Return of what kinds those are that stand in a text, which may be a long one."""
        lower = text.lower()
        there = ((form, says) for form, (says, _) in self._found.items() if form in lower)
        return frozenset(says for form, says in there if re.search(_expression(form, says), lower))


def _expression(text: str, says: Says) -> str:
    """A short one is looked for as a whole word, an address as a whole one."""
    escaped = re.escape(text)
    if says is Says.ADDRESS and is_address(text):
        return rf"(?<![\d.]){escaped}(?!\.?\d)"
    if len(text) >= ANYWHERE:
        return escaped
    if says is Says.TOKEN:
        return rf"(?<![^\W_]){escaped}(?![^\W_])"
    return rf"(?<!\w){escaped}(?!\w)"


def is_address(text: str) -> bool:
    """Say whether a text is an IP address, and nothing else."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
