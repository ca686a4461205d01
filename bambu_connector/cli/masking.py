"""Taking out of text what says who and where somebody is, so that the same thing always gets the same pseudonym."""

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final
from urllib.parse import quote

from bambu_connector.bambu.models import TRAITS
from bambu_connector.logs import Redactor, short_serial

MIN_CHARACTERS: Final = 3  # shorter ones stand in everything; they are masked only where it is known what they are
_ANYWHERE_CHARACTERS: Final = 8  # shorter ones are looked for as whole words only
_PREFIXES: Final = "|".join(sorted({each.serial_prefix for each in TRAITS.values() if each.serial_prefix}))
_WORD: Final = re.compile(r"[^\W_]+")
_KEPT_PREFIX: Final = 3
_LETTERS: Final = 26
_SYSTEM: Final = ("/usr/", "/etc/bambu-connector", "/var/lib/bambu-connector", "/proc/", "/sys/", "/dev/")
_OURS: Final = "/bambu_connector/"

# What gives somebody away by its looks. None of these begins within a pseudonym.
_PATTERNS: Final = (
    ("url", re.compile(r"""(?<=://)(?:\[redacted\]@)?[^\s"'<>\[\]|‹›]+""")),
    ("account", re.compile(r"(?<![\w‹.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("fingerprint", re.compile(r"(?<=sha256:)[0-9a-fA-F]{64}")),
    ("file", re.compile(r"""(?<![\w‹.-])\w[^\s/\\"'=<>|‹›]*\.(?:3mf|gcode)\b""", re.IGNORECASE)),
    ("serial", re.compile(rf"(?<![\w‹])(?:{_PREFIXES})[0-9A-Z]{{12}}(?!\w)")),
    ("serial", re.compile(r"(?<![\w‹])[0-9A-Z]{3}…[0-9A-Z]{4}(?!\w)")),
    ("mac", re.compile(r"(?<![\w‹:])(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}(?![\w:])")),
    ("address", re.compile(r"(?<![\w‹.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)")),
    ("address", re.compile(r"(?<![\w‹:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])")),
    ("path", re.compile(r"(?<![\w:/.‹›])(?:/[\w.@+-]+){2,}")),
)


class Masker:
    """Knows what is secret (`redactor`) and learns what is personal; then it masks text, all in the same way.

    A pseudonym is `‹kind-1›`, of an address `‹address-A1›` with one letter for each network, of a serial `01P-…-A1`.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pseudonyms: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._networks: dict[str, str] = {}
        self._needles: dict[str, str] = {}
        """What is looked for, in small letters, and what it stands for."""
        self._search: re.Pattern[str] | None = None

    def alias(self, kind: str, value: str) -> str:
        """Return the pseudonym of something personal, and replace it in every text from now on.

        Words that are common here (those of this program) and very short ones are not replaced in texts.
        """
        key = value.lower()
        if key not in self._pseudonyms:
            self._pseudonyms[key] = self._new(kind, value)
            self._look_for(value)
            if kind == "serial":
                self.same(short_serial(value), value)
        return self._pseudonyms[key]

    def _look_for(self, value: str) -> None:
        if len(value) < MIN_CHARACTERS or value.lower() in _vocabulary():
            return
        forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe="")}
        for form in forms | {repr(value)[1:-1]}:
            self._needles.setdefault(form.lower(), value.lower())
        self._search = None

    def _new(self, kind: str, value: str) -> str:
        if kind == "serial":
            number = self._count("serial")
            return f"{value[:_KEPT_PREFIX]}-…-A{number}"
        if kind == "address":
            network = value.rpartition(":" if ":" in value else ".")[0].lower()
            letter = self._networks.setdefault(network, _letters(len(self._networks)))
            return f"‹address-{letter}{self._count(f'address {letter}')}›"
        if kind == "file":
            end = re.search(r"(?:\.gcode)?\.\w{1,5}$", value)
            return f"‹file-{self._count(kind)}{end[0] if end else ''}›"
        return f"‹{kind}-{self._count(kind)}›"

    def _count(self, kind: str) -> int:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]

    def same(self, value: str, other: str) -> None:
        """Have `value`, another spelling of `other`, get its pseudonym."""
        self._pseudonyms.setdefault(value.lower(), self._pseudonyms[other.lower()])
        self._look_for(value)

    # -- masking -------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """Return `text` without secrets and with pseudonyms for what is known and what gives itself away."""
        text = self._known(self._redactor.clean(text))
        for kind, pattern in _PATTERNS:
            text = pattern.sub(lambda found, kind=kind: self._by_looks(kind, found[0]), text)  # type: ignore[misc]
        return self._known(text)  # what was learned just now may stand elsewhere

    def _known(self, text: str) -> str:
        search = self._pattern()
        if search is None:
            return text
        return search.sub(lambda found: self._meant(found[0]), text)

    def _meant(self, found: str) -> str:
        # Letters with odd capitals may be found and not be listed: İ, ſ.
        value = self._needles.get(found.lower())
        return "‹masked›" if value is None else self._pseudonyms[value]

    def _by_looks(self, kind: str, found: str) -> str:
        if kind == "address" and not _is_telling(found):
            return found
        if kind == "path" and (found.startswith(_SYSTEM) or _OURS in found):
            _, ours, rest = found.rpartition(
                _OURS
            )  # where in the program it was says much, and where that lies nothing
            return f"‹path›{ours}{rest}" if ours else found
        return self.alias(kind, found)

    def _pattern(self) -> re.Pattern[str] | None:
        if self._search is None and self._needles:
            long = _trie(each for each in self._needles if len(each) >= _ANYWHERE_CHARACTERS)
            short = _trie(each for each in self._needles if len(each) < _ANYWHERE_CHARACTERS)
            anywhere, words = f"(?<!‹){long}", rf"(?<![\w‹])(?<!…-){short}(?!\w|-…)"
            found = [pattern for pattern, trie in ((anywhere, long), (words, short)) if trie]
            self._search = re.compile("|".join(found), re.IGNORECASE)
        return self._search

    def tree(self, value: Any) -> Any:
        """Return JSON with every text in it masked, keys too; a number that is a secret is text then."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self.tree(each) for key, each in value.items()}
            case list() | tuple():
                return [self.tree(each) for each in value]
            case int() | float() if not isinstance(value, bool):
                shown = json.dumps(value)
                masked = self._known(self._redactor.clean(shown))
                return value if masked == shown else masked
            case _:
                return value

    # -- the last look -------------------------------------------------------------------------

    def leak(self, text: str) -> str | None:
        """Return what kind of thing stands in `text` that must not; None when nothing does."""
        if self._redactor.clean(text) != text:
            return "a secret"
        search = self._pattern()
        found = search.search(text) if search else None
        if found is None:
            return None
        return f"what should read {self._meant(found[0])}"


def _is_telling(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # the version of a firmware, the time of day
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or text == "255.255.255.255")


def _letters(number: int) -> str:
    high, low = divmod(number, _LETTERS)
    return (_letters(high - 1) if high else "") + chr(ord("A") + low)


def _trie(words: Iterable[str]) -> str:
    """Return a pattern for any of `words`, the longest first, that costs what one of them costs."""
    root: dict[str, Any] = {}
    for word in words:
        node = root
        for character in word:
            node = node.setdefault(character, {})
        node[""] = {}
    return _written(root)


def _written(root: dict[str, Any]) -> str:
    branches = [_branch(character, below) for character, below in root.items() if character]
    pattern = f"(?:{'|'.join(branches)})" if branches else ""
    return f"{pattern}?" if "" in root and branches else pattern


def _branch(character: str, below: dict[str, Any]) -> str:
    """Return the pattern of everything behind one character; a run without a fork costs no recursion."""
    run = [re.escape(character)]
    while len(below) == 1 and "" not in below:
        ((character, below),) = below.items()
        run.append(re.escape(character))
    return "".join(run) + _written(below)


@cache
def _vocabulary() -> frozenset[str]:
    """Return the words of this program: one of them as a name says nothing, and without it nobody could read on."""
    words: set[str] = set()
    for text in _sources(resources.files("bambu_connector")):
        words.update(word for word in _WORD.findall(text.lower()) if word.isalpha())
    for model, traits in TRAITS.items():
        words.update(_WORD.findall(f"{model.value} {traits.code}".lower()))
    return frozenset(words)


def _sources(folder: Traversable) -> Iterator[str]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _sources(each)
        elif each.name.endswith(".py"):
            yield each.read_text(encoding="utf-8")
