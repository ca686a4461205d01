"""YAML to a tree of text: no types are guessed, every value knows its line, and nothing can grow.

PyYAML tokenises; the tree is built here from its events, because its own composer resolves `012` to a number, lets
the last of two equal keys win, follows aliases without end and recurses as deep as the text asks for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import yaml

MAX_BYTES: Final = 1024 * 1024  # five hundred printers take a fifth of it
MAX_DEPTH: Final = 16  # the deepest key that there is stands at five
MAX_VALUES: Final = 100_000  # aliases count as what they stand for: ten lines of them can mean gigabytes

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_STANDARD_TAGS: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "map", "seq"))
_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # ten times as fast where libyaml is there


@dataclass(frozen=True, slots=True)
class Null:
    """Nothing: an empty place, `~` or `null`."""

    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it was written, whatever it looks like."""

    line: int
    text: str


@dataclass(slots=True)
class List:
    """A sequence."""

    line: int
    items: "list[Node]" = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """A mapping; `faults` are the lines and sentences of what is wrong with its keys."""

    line: int
    entries: "dict[str, tuple[int, Node]]" = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)


Node = Null | Text | List | Mapping
Plain = None | str | list["Plain"] | dict[str, "Plain"]


class _Mark(Protocol):
    line: int


class Unreadable(Exception):
    """The text is no document that could be a configuration; `line` is where that shows, counted from 1."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line


def parse(raw: bytes) -> Node:
    """Return the one document in `raw`; Null when it holds nothing. Raises Unreadable.

    A sentence of Unreadable never quotes the text: what could not be read may be a password.
    """
    if len(raw) > MAX_BYTES:
        raise Unreadable(1, f"the file is larger than {MAX_BYTES // 1024} KiB; this cannot be the right one")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise Unreadable(line, "this is not UTF-8 text; save the file in the encoding UTF-8") from None
    return _Composer().compose(_events(text))


def plain(node: Node) -> Plain:
    """Return `node` as nothing but dicts, lists, text and None, without lines."""
    match node:
        case Null():
            return None
        case Text():
            return node.text
        case List():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as exc:
        line = _line(exc.problem_mark or exc.context_mark)
        if _begins_with_tab(text, line):
            raise Unreadable(line, "this line begins with a tab, which YAML does not take; use spaces") from None
        raise Unreadable(
            line, f"this is not YAML ({exc.problem or exc.context}); check indentation and quotes"
        ) from None
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise Unreadable(line, "there is a control character in the file; remove it") from None


def _begins_with_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    return line <= len(lines) and "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]


def _line(mark: _Mark | None) -> int:
    return 1 if mark is None else mark.line + 1


class _Composer:
    """Builds the tree; the collections that are still open stand on a stack, so depth costs no recursion."""

    def __init__(self) -> None:
        self._root: Node | None = None
        self._open: list[List | Mapping] = []
        self._keys: list[tuple[int, str | None] | None] = []  # for each open mapping the key that waits for its value
        self._anchors: dict[str, Node] = {}
        self._anchor_of: list[str | None] = []
        self._sizes: dict[int, int] = {}  # id of an anchored collection → values in it
        self._values = 0
        self._values_at_start: list[int] = []

    def compose(self, events: Iterator[yaml.Event]) -> Node:
        for event in events:
            line = _line(event.start_mark)
            match event:
                case yaml.DocumentStartEvent() if self._root is not None:
                    raise Unreadable(line, "a second document begins here; one file holds one, remove the `---`")
                case yaml.ScalarEvent():
                    self._add(line, _scalar(event, line), event.anchor)
                case yaml.AliasEvent():
                    self._alias(line, event.anchor)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._begin(line, event)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._end()
                case _:
                    pass
        return self._root or Null(1)

    def _begin(self, line: int, event: yaml.CollectionStartEvent) -> None:
        _refuse_tag(event.tag, line)
        if len(self._open) >= MAX_DEPTH:
            raise Unreadable(line, f"this is nested more than {MAX_DEPTH} levels deep; no configuration is")
        node = Mapping(line) if isinstance(event, yaml.MappingStartEvent) else List(line)
        self._values_at_start.append(self._values)
        self._add(line, node, None)
        self._open.append(node)
        self._keys.append(None)
        self._anchor_of.append(event.anchor)

    def _end(self) -> None:
        node = self._open.pop()
        self._keys.pop()
        size = self._values - self._values_at_start.pop()
        # Only now: an alias inside its own anchor would be a tree without end.
        if anchor := self._anchor_of.pop():
            self._anchors[anchor] = node
            self._sizes[id(node)] = size

    def _alias(self, line: int, anchor: str | None) -> None:
        if anchor is None or anchor not in self._anchors:
            raise Unreadable(
                line, "text that begins with * means an alias in YAML, and there is none of this name; quote it"
            )
        node = self._anchors[anchor]
        self._count(line, self._sizes.get(id(node), 1) - 1)
        self._add(line, node, None)

    def _count(self, line: int, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise Unreadable(line, f"the file means more than {MAX_VALUES} values; use fewer aliases")

    def _add(self, line: int, node: Node, anchor: str | None) -> None:
        self._count(line, 1)
        if anchor:
            self._anchors[anchor] = node
        match self._open[-1] if self._open else None:
            case None:
                self._root = node
            case List(items=items):
                items.append(node)
            case Mapping() as mapping:
                self._add_to_mapping(mapping, line, node)

    def _add_to_mapping(self, mapping: Mapping, line: int, node: Node) -> None:
        waiting = self._keys[-1]
        if waiting is None:
            self._keys[-1] = (line, _key(mapping, line, node))
            return
        self._keys[-1] = None
        key_line, key = waiting
        if key is not None:
            mapping.entries[key] = (key_line, node)


def _key(mapping: Mapping, line: int, node: Node) -> str | None:
    """Return the key that `node` is, or None after noting why it is none."""
    if isinstance(node, Null):
        mapping.faults.append((line, "a key is missing before the colon"))
        return None
    if not isinstance(node, Text):
        mapping.faults.append((line, "a key must be text; quote text that begins with { or ["))
        return None
    if node.text in mapping.entries:
        first = mapping.entries[node.text][0]
        mapping.faults.append((line, f"`{shown(node.text)}` stands here twice (first in line {first}); keep one"))
        return None
    return node.text


def _scalar(event: yaml.ScalarEvent, line: int) -> Node:
    _refuse_tag(event.tag, line)
    if event.implicit[0] and event.value in _NULLS:  # not quoted
        return Null(line)
    return Text(line, event.value)


def _refuse_tag(tag: str | None, line: int) -> None:
    if tag not in _STANDARD_TAGS and tag not in {None, "!"}:
        raise Unreadable(line, "text that begins with ! means a tag in YAML, and none is known here; quote it")


def shown(text: str) -> str:
    """Return `text` fit for one line of a message: printable and not long."""
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return clean if len(clean) <= 40 else clean[:39] + "…"
