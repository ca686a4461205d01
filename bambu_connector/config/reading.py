"""Typed reading of the YAML tree: a getter returns a value of its type, and notes what was wrong instead of raising.

So one pass finds every mistake. What a getter returns after a mistake only keeps the pass going; nothing is built
from it, because `Notes.problems` is not empty any more.
"""

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bambu_connector.config import document
from bambu_connector.config.document import List, Node, Null, Text, shown
from bambu_connector.secret import Secret

Choice = TypeVar("Choice", bound=str)

MAX_SECRET_BYTES: Final = 64 * 1024

_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,15}(\.0*)?")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,15}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
)  # surrogates: undecodable bytes of the environment
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


@dataclass(slots=True)
class Notes:
    """What is read against, and what was noticed on the way, each with its line."""

    file: Path
    environ: Mapping[str, str]
    problems: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    secret_lines: list[int] = field(default_factory=list)  # where a secret stands in the file itself
    secret_files: list[tuple[int, str, Path]] = field(default_factory=list)  # those that `*_file` keys name

    def problem(self, line: int, key: str, sentence: str) -> None:
        """Note a mistake; `key` is its path, empty for the whole file."""
        self.problems.append((line, self._message(line, key, sentence)))

    def warning(self, line: int, key: str, sentence: str) -> None:
        """Note what works and had better be changed."""
        self.warnings.append((line, self._message(line, key, sentence)))

    def _message(self, line: int, key: str, sentence: str) -> str:
        return f"{self.file}:{line}: {key}: {sentence}" if key else f"{self.file}:{line}: {sentence}"

    def path(self, text: str) -> Path:
        """Return the path that `text` means: from the home directory after `~/`, else from the file's folder."""
        if text == "~" or text.startswith("~/"):
            return home(self.environ) / text[2:]
        return self.file.absolute().parent / text


def home(environ: Mapping[str, str]) -> Path:
    """Return the user's home directory."""
    if named := environ.get("HOME"):
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:  # a user id without an entry in the password database, as in some containers
        return Path("/")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, a folder that is closed to us
        return False


class Section:
    """One mapping of the file. Every getter makes its key a known one; `closing` complains about the others.

    Null is the same as absent, except where a getter says otherwise.
    """

    def __init__(self, notes: Notes, node: Node, path: str, line: int | None = None) -> None:
        self.notes = notes
        self.path = path
        self.line = node.line if line is None else line  # where its key stands, which may be a line above
        self._known: list[str] = []
        self._readable = isinstance(node, document.Mapping | Null)
        self._entries: dict[str, tuple[int, Node]] = {}
        match node:
            case document.Mapping():
                self._entries = node.entries
                for fault_line, sentence in node.faults:
                    notes.problem(fault_line, path, sentence)
            case Null():
                pass
            case _:
                notes.problem(node.line, path, "keys with values belong here, such as `key: value`")

    # -- keys --------------------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Say whether `key` has a value that is not null."""
        return self._value(key) is not None

    def says_null(self, key: str) -> bool:
        """Say whether `key` is there, and null."""
        return isinstance(self._node(key), Null)

    def line_of(self, key: str) -> int:
        """Return where `key` stands, or where the section begins."""
        return self._entries[key][0] if key in self._entries else self.line

    def name_of(self, key: str) -> str:
        """Return the whole path of `key`."""
        return f"{self.path}.{key}" if self.path else key

    def problem(self, key: str, sentence: str) -> None:
        """Note a mistake at `key`."""
        self.notes.problem(self.line_of(key), self.name_of(key), sentence)

    def warning(self, key: str, sentence: str) -> None:
        """Note a warning at `key`."""
        self.notes.warning(self.line_of(key), self.name_of(key), sentence)

    def _node(self, key: str) -> Node | None:
        if key not in self._known:
            self._known.append(key)
        return self._entries[key][1] if key in self._entries else None

    def _value(self, key: str) -> Text | List | document.Mapping | None:
        node = self._node(key)
        return None if isinstance(node, Null) else node

    def refuse_unknown(self) -> None:
        """Note every key that no getter has asked for."""
        for key, (line, _) in self._entries.items():
            if key in self._known:
                continue
            near = difflib.get_close_matches(key.lower(), self._known, 1)
            advice = f"did you mean `{near[0]}`?" if near else f"what can stand here: {', '.join(self._known)}"
            self.notes.problem(line, self.name_of(shown(key)), f"there is no such key; {advice}")

    # -- text --------------------------------------------------------------------------------------

    def optional_text(self, key: str) -> str | None:
        """Return the text at `key`, environment variables filled in; None when it is absent."""
        node = self._value(key)
        if node is None:
            return None
        return self._text(key, node)

    def text(self, key: str, default: str = "") -> str:
        """Return the text at `key`, or `default`."""
        found = self.optional_text(key)
        return default if found is None else found

    def required_text(self, key: str) -> str:
        """Return the text at `key`; its absence is a mistake."""
        found = self.optional_text(key)
        if found is None:
            self.missing(key, "this is missing")
        return found or ""

    def missing(self, key: str, sentence: str) -> None:
        """Note that `key` is needed, unless something worse has been noted about it or the whole section."""
        if self._readable and not self.has(key):
            self.problem(key, sentence)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return the list of texts at `key`; one text alone is a list of one. None when it is absent."""
        node = self._value(key)
        match node:
            case None:
                return None
            case List():
                return tuple(
                    text
                    for position, item in enumerate(node.items)
                    if (text := self._text(f"{key}[{position}]", item)) is not None
                )
            case _:
                found = self._text(key, node)
                return () if found is None else (found,)

    def raw(self, key: str) -> str:
        """Return the text at `key` as it stands in the file, fit to be shown: before the environment is filled in."""
        node = self._value(key)
        return shown(node.text) if isinstance(node, Text) else ""

    def _text(self, key: str, node: Node) -> str | None:
        if not isinstance(node, Text):
            what = {Null: "nothing", List: "a list", document.Mapping: "a mapping"}[type(node)]
            self.notes.problem(
                node.line, self.name_of(key), f"text belongs here, and there is {what}; quotes make text of anything"
            )
            return None
        text = self._filled(key, node)
        if text is None:
            return None
        if not text.strip():
            self.notes.problem(node.line, self.name_of(key), "this is empty; write a value, or remove the key")
            return None
        if _CONTROL.search(text):
            self.notes.problem(
                node.line, self.name_of(key), "there is a line break or control character in it; remove it"
            )
            return None
        return text

    def _filled(self, key: str, node: Text) -> str | None:
        """Return the text with `${NAME}` replaced by the environment, None after noting what cannot be."""
        faults: list[str] = []

        def value(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name = match["name"]
            if name is None:
                faults.append("after `${` a NAME and `}` are needed; write `$${` where a plain `${` is meant")
            elif name not in self.notes.environ:
                faults.append(f"the environment variable {name} is not set; set it, or write `$${{` for a plain `${{`")
            else:
                return self.notes.environ[name]
            return ""

        text = _VARIABLE.sub(value, node.text)
        for sentence in faults:
            self.notes.problem(node.line, self.name_of(key), sentence)
        return None if faults else text

    # -- other scalars -----------------------------------------------------------------------------

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return the truth at `key`."""
        text = self.optional_text(key)
        if text is None:
            return default
        if text.lower() not in _BOOLEANS:
            self.problem(key, f"true or false belongs here, not `{self.raw(key)}`")
            return default
        return _BOOLEANS[text.lower()]

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """Return the whole number at `key`, which must be from `low` to `high`."""
        text = self.optional_text(key)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text):
            self.problem(key, f"a whole number belongs here, not `{self.raw(key)}`")
            return default
        return int(self._in_range(key, int(text.partition(".")[0]), low, high))

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return the number at `key`, which must be from `low` to `high`."""
        text = self.optional_text(key)
        if text is None:
            return default
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            self.problem(key, f"a number belongs here, not `{self.raw(key)}`")
            return default
        return self._in_range(key, float(text), low, high)

    def _in_range(self, key: str, value: float, low: float, high: float) -> float:
        if low <= value <= high:
            return value
        self.problem(key, f"`{self.raw(key)}` is out of range; from {low:.15g} to {high:.15g} is possible")
        return low

    def choice(self, key: str, options: Sequence[Choice]) -> Choice | None:
        """Return which of `options` stands at `key`; None when it is absent."""
        text = self.optional_text(key)
        if text is None:
            return None
        for option in options:
            if text == option:
                return option
        self.problem(key, f"`{self.raw(key)}` is none of the possible values: {', '.join(options)}")
        return None

    def existing_file(self, key: str) -> Path | None:
        """Return the path at `key`; a file must be there."""
        text = self.optional_text(key)
        if text is None:
            return None
        path = self.notes.path(text)
        if not _is_file(path):
            # The text is not quoted: it may be a password, put where the name of its file belongs.
            self.problem(key, f"there is no such file; a relative path starts from {self.notes.file.absolute().parent}")
            return None
        return path

    # -- secrets -----------------------------------------------------------------------------------

    def secret(self, key: str) -> Secret | None:
        """Return the secret at `key`, or in the file that `<key>_file` names; None when there is neither."""
        file_key = f"{key}_file"
        written, in_file = self._written_secret(key), self._secret_from_file(file_key)
        if self.has(key) and self.has(file_key):
            self.problem(file_key, f"`{key}` is there as well; keep one of the two")
        return written or in_file

    def _written_secret(self, key: str) -> Secret | None:
        node = self._value(key)
        text = self.optional_text(key)
        if isinstance(node, Text) and not any(match["name"] for match in _VARIABLE.finditer(node.text)):
            self.notes.secret_lines.append(node.line)
        return None if text is None else Secret(text)

    def _secret_from_file(self, key: str) -> Secret | None:
        path = self.existing_file(key)
        if path is None:
            return None
        self.notes.secret_files.append((self.line_of(key), self.name_of(key), path))
        try:
            with path.open("rb") as stream:
                raw = stream.read(MAX_SECRET_BYTES + 1)
            text = raw.decode("utf-8-sig").rstrip("\r\n")
        except OSError as exc:
            self.problem(key, f"the file cannot be read: {exc.strerror}")
            return None
        except UnicodeDecodeError:
            self.problem(key, "the file is not UTF-8 text")
            return None
        if not text.strip() or len(raw) > MAX_SECRET_BYTES or _CONTROL.search(text):
            self.problem(key, "the file must hold the secret alone, in one line")
            return None
        return Secret(text)

    # -- what is inside ----------------------------------------------------------------------------

    @contextmanager
    def section(self, key: str) -> "Iterator[Section]":
        """Read the mapping at `key`; an absent one is empty."""
        node = self._node(key) or Null(self.line)
        with closing(Section(self.notes, node, self.name_of(key), self.line_of(key))) as inner:
            yield inner

    def items(self, key: str) -> "Iterator[tuple[Node, str]]":
        """Return the entries of the list at `key` with their paths; none when it is absent."""
        node = self._value(key)
        if node is not None and not isinstance(node, List):
            self.problem(key, "a list belongs here: one entry a line, each begins with `- `")
        elif node is not None:
            for position, item in enumerate(node.items):
                yield item, f"{self.name_of(key)}[{position}]"

    def is_mapping(self, key: str) -> bool:
        """Say whether keys with values stand at `key`."""
        return isinstance(self._value(key), document.Mapping)

    def is_list(self, key: str) -> bool:
        """Say whether a list stands at `key`."""
        return isinstance(self._value(key), List)


@contextmanager
def closing(section: Section) -> Iterator[Section]:
    """Read `section`, and complain about the keys that nobody asked for."""
    yield section
    section.refuse_unknown()
