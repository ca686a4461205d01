"""What a printer says, without who says it: everything that names a person, a machine or a network gets a pseudonym.

Types and formats stay, for they are what a recording is for. Three things are looked at: under which key a value stands
(`vocabulary`), what it looks like, and whether it holds something that is known to belong to somebody: what the owner
has configured, and what stood under such a key elsewhere in the same recording.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address
from typing import Any, Final

from bambu_connector.bambu.needles import ANYWHERE, SHORTEST, Known, Needles, is_address
from bambu_connector.bambu.pseudonyms import Pseudonyms
from bambu_connector.bambu.report import MAX_TEXT
from bambu_connector.bambu.vocabulary import (
    FOLDERS,
    INHERITED,
    NOTHING,
    Says,
    is_module,
    is_own,
    is_own_file,
    is_own_preset,
    said_by,
)

_LEARNED: Final = (Says.SERIAL, Says.ADDRESS, Says.HARDWARE, Says.NETWORK, Says.NUMBER, Says.TAG, Says.TOKEN)
_SHAPES: Final = (
    r"(?P<url>[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s\"'<>]*)",
    r"(?P<mail>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})",
    r"(?P<tag>(?<![\w-])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![\w-]))",
    r"(?P<hardware>(?<![\w:-])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?![\w:-]))",
    r"(?P<six>(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:.]))",
)
_FOUR: Final = r"(?P<four>(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d))"
_PEM: Final = r"(?P<pem>-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]*)"
_CODED: Final = (  # base64: small letters, capital ones and digits, many in a row
    r"(?P<coded>(?<![\w+/-])(?=[\w+/-]*\d)(?-i:(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z]))[A-Za-z0-9+/_-]{24,}={0,2})"
)
_RUN: Final = r"(?P<run>(?<![A-Za-z0-9])(?:\d{9,}|(?=[A-Za-z]*\d)[A-Za-z0-9]{12,}))"
MAX_TOKEN: Final = 64  # characters of the pseudonym of a certificate or a key
_SERIAL: Final = re.compile(r"\d[0-9A-Z]{2}\d[0-9A-Z]{6,16}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_ENDING: Final = re.compile(r"((?:\.gcode)?\.3mf|\.[A-Za-z][A-Za-z0-9]{1,4})$")
_HOST: Final = re.compile(r"(?:[^/@]*@)?(\[[0-9A-Fa-f:.]+\]|[^/:?#]*)(:\d+)?")
_FILES: Final = frozenset({"file", "ftp", "ftps"})
_STREAMS: Final = frozenset({"rtsp", "rtsps"})


class Redaction:
    """Redacts everything of one recording: the same thing has the same pseudonym wherever it stands.

    `trees` are all that will be redacted: what names somebody in one of them is looked for in the others too.
    """

    def __init__(self, known: Known, trees: Iterable[Any] = ()) -> None:
        self._needles = Needles(known)
        self._titles = Needles()
        self._texts: dict[tuple[Says, str], str] = {}
        self._learns = True
        self._prepare()
        for tree in trees:
            self._value(Says.ANYTHING, tree)
        self._learns = False
        self._prepare()

    def _prepare(self) -> None:
        self._needles.prepare()
        known = self._needles.expression()
        self._patterns = {
            Says.VERSION: _any_of(known),
            Says.WORD: _any_of(known, *_SHAPES, _FOUR),
            Says.ANYTHING: _any_of(f"{known}|{self._titles.expression()}", _PEM, *_SHAPES, _FOUR, _CODED, _RUN),
        }
        self._pseudonyms = Pseudonyms(self._needles.are_in)
        self._texts.clear()

    # -- what is asked for -------------------------------------------------------------------------

    def tree(self, tree: Any) -> Any:
        """Return JSON with its redactions; what was given is not changed."""
        return self._value(Says.ANYTHING, tree)

    def text(self, text: str) -> str:
        """Return a sentence with its redactions."""
        return self._text(Says.ANYTHING, text)

    def survivors(self, text: str) -> tuple[str, ...]:
        """Return what a finished text still has of what must not be seen, by kind: never the thing itself."""
        return tuple(sorted(says.value for says in self._needles.kinds_in(text)))

    # -- JSON --------------------------------------------------------------------------------------

    def _value(self, says: Says, value: Any) -> Any:
        kind = type(value)
        if kind is dict:
            return self._object(says, value)
        if kind is list:
            return [self._value(says, item) for item in value]
        if kind is str:
            return self._text(says, value)
        if kind is int:
            return self._number(says, value)
        if kind is float and self._needles.are_in(repr(value)):
            return 0.0
        return value

    def _object(self, above: Says, fields: dict[str, Any]) -> dict[str, Any]:
        inside, made = is_module(fields), {}
        for key, value in fields.items():
            says = said_by(key, in_module=inside)
            inherits = says is Says.ANYTHING and above in INHERITED
            made[self._key(key)] = self._value(above if inherits else says, value)
        return made

    def _key(self, key: str) -> str:
        """A key is the printer's word, unless it looks like a thing: some objects are listed by their serials."""
        return key if is_own(key) and not self._needles.are_in(key) else self.text(key)

    def _number(self, says: Says, number: int) -> int:
        if says is Says.ADDRESS and 0 < number < 1 << 32:
            return self._address_number(str(IPv4Address(number.to_bytes(4, "little"))))
        if number in self._needles.addresses:
            return self._address_number(self._needles.addresses[number])
        digits = str(abs(number))
        if (says is Says.NUMBER and number > 0) or self._needles.are_in(digits):
            return int(self._named(Says.NUMBER, digits))
        return number

    def _address_number(self, address: str) -> int:
        return int.from_bytes(ip_address(self._address(address)).packed, "little")

    # -- texts -------------------------------------------------------------------------------------

    def _text(self, says: Says, text: str) -> str:
        known = self._texts.get((says, text))
        if known is not None:
            return known
        if len(text) > MAX_TEXT:  # no field of a report has so much, and nobody could look through it
            return f"a text of {len(text)} characters"
        hidden = self._needles.are_in(text)
        made = text if _says_nothing(text) and not hidden else self._masked(says, text)
        if hidden and self._needles.are_in(made):  # it came together again where something was taken out of it
            made = self._pseudonyms.of(Says.NAME, text)
        self._texts[says, text] = made
        return made

    def _masked(self, says: Says, text: str) -> str:
        match says:
            case Says.WORD | Says.VERSION | Says.ANYTHING:
                return self._patterns[says].sub(self._replacement, text)
            case Says.ADDRESS:
                return self._address(text)
            case Says.FILE:
                return self._path(text) if "/" in text or _ENDING.search(text) else self._loose(text)
            case Says.NAME:
                return self._title(text)
            case Says.NUMBER if is_own_preset(text):
                return text
            case Says.SERIAL if len(text) < SHORTEST:
                return self._masked(Says.ANYTHING, text)
            case Says.URL:
                return self._url(text)
            case _:
                return self._named(says, text)

    def _loose(self, text: str) -> str:
        """G-code, or the name of a file without an ending."""
        return self._masked(Says.ANYTHING, text) if re.search(r"\s", text) else self._title(text)

    def _named(self, says: Says, text: str) -> str:
        if self._learns and len(text) >= ANYWHERE and says in _LEARNED:
            self._needles.add(text, says)
        return self._pseudonyms.of(says, text.upper() if says is Says.SERIAL else text)

    def _address(self, text: str) -> str:
        """An IP address becomes one, the name of a host becomes a name."""
        if not is_address(text):
            return self._named(Says.NAME, text)
        if self._learns:
            self._needles.add(text, Says.ADDRESS)
        return self._pseudonyms.address(text)

    def _title(self, text: str) -> str:
        """What a person called something; a file and the print of it keep the same name."""
        ending = _ENDING.search(text)
        stem = text[: ending.start()] if ending else text
        if not stem or is_own_file(stem):
            return text
        if self._learns:
            self._titles.add(stem, Says.NAME)
        return self._pseudonyms.of(Says.NAME, stem) + (ending[0] if ending else "")

    def _path(self, text: str) -> str:
        *folders, name = text.split("/")
        return "/".join((*map(self._folder, folders), self._title(name) if name else ""))

    def _folder(self, name: str) -> str:
        return name if not name or name in FOLDERS else self._pseudonyms.of(Says.NAME, name)

    def _url(self, text: str) -> str:
        scheme, colon, rest = text.partition("://")
        if not colon:
            return self._named(Says.TOKEN, text)
        if scheme.lower() in _FILES:
            return f"{scheme}://{self._path(rest)}"
        if scheme.lower() not in _STREAMS:
            return f"{scheme}://{self._pseudonyms.of(Says.URL, text)}"
        place = _HOST.match(rest)
        host, port = (place[1], place[2] or "") if place else ("", "")
        path = re.split(r"[?#]", rest[place.end() if place else 0 :])[0]
        shown = "/".join(each if each.isdecimal() and len(each) < 3 else self._folder(each) for each in path.split("/"))
        return f"{scheme}://{self._address(host) if host else ''}{port}{shown}"

    def _replacement(self, match: re.Match[str]) -> str:
        text = match[0]
        match match.lastgroup:
            case "url":
                return self._url(text)
            case "mail":
                return self._pseudonyms.mail(text)
            case "four" | "six":
                return self._address(text) if is_address(text) else text
            case "tag" | "hardware" as shape:
                return text if _says_nothing(text) else self._named(Says[shape.upper()], text)
            case "run":
                return self._run(text)
            case "pem" | "coded":
                return self._named(Says.TOKEN, text[:MAX_TOKEN])
            case _:
                return self._of_somebody(text)

    def _of_somebody(self, found: str) -> str:
        says, text = self._needles.whose(found) or self._titles.whose(found) or (Says.NAME, found)
        if says is Says.ADDRESS:
            return self._address(text)
        if text.isdecimal() and says in (Says.NAME, Says.TOKEN):
            return self._pseudonyms.of(Says.NUMBER, text)  # digits stay digits
        return self._pseudonyms.of(says, text.upper() if says is Says.SERIAL else text)

    def _run(self, text: str) -> str:
        """Many letters and digits in a row: a serial, a number, a tag or a key."""
        if _says_nothing(text):
            return text
        if _SERIAL.fullmatch(text):
            return self._named(Says.SERIAL, text)
        if text.isdecimal():
            return self._named(Says.NUMBER, text)
        return self._named(Says.TAG if _HEX.fullmatch(text) else Says.TOKEN, text)


def _any_of(known: str, *shapes: str) -> re.Pattern[str]:
    return re.compile("|".join((f"(?P<known>{known})", *shapes)), re.IGNORECASE)


def _says_nothing(text: str) -> bool:
    """Say whether a value is empty, a zero of any length, or a word that stands under anything."""
    return not text.strip("0-:. ") or text.lower() in _NOTHING


_NOTHING: Final = frozenset(word.lower() for word in NOTHING)
