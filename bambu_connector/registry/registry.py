"""The registry: everything that is known of printers, read again whenever somebody else has written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from bambu_connector.config import document
from bambu_connector.config.document import MAX_BYTES, Node, Null, Plain, Unreadable, parse, plain, shown
from bambu_connector.errors import ConfigError
from bambu_connector.registry.entries import Paired, Unsound, clean, mapping, read_entry, written_entry
from bambu_connector.sealing import Sealer
from bambu_connector.state_file import Stamp, alone, put, read, stamp_of

_FILE: Final = "printers.yaml"
_KEY: Final = "secret.key"
_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast where libyaml is there
_WIDTH: Final = 2**30  # one line a value, however long
_HEADING: Final = "# Written by bambu-connector: what it knows of printers. connector.yaml goes before it.\n"


@dataclass(frozen=True, slots=True)
class _Held:
    """The file as it was at one moment. `stamp` None: there was none."""

    stamp: Stamp | None
    text: str
    tree: Mapping[str, Plain]
    printers: Mapping[str, Paired]
    warnings: tuple[str, ...]


class Registry:
    """The printers that are known, by serial.

    Every method may touch the disk, and raises ConfigError when the file is damaged, can be seen by others, or cannot
    be read or written. Several processes may write: none loses what another wrote.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _FILE
        self._key = state_dir / _KEY
        self._held: _Held | None = None  # replaced whole: a thread that writes disturbs none that reads
        self._seen: Stamp | None = None
        self._is_news = False

    def entries(self) -> Mapping[str, Paired]:
        """Return everything that is known, by serial, in the file's order."""
        try:
            return self._current().printers
        finally:
            self._is_news = False  # a damaged file is told once, and again when it changes

    def warnings(self) -> tuple[str, ...]:
        """Return what is to be told a person about the file: access codes that cannot be opened."""
        return self._current().warnings

    def entry(self, serial: str) -> Paired | None:
        """Return what is known of one printer."""
        return self._current().printers.get(serial)

    def changed_outside(self) -> bool:
        """Say whether somebody else wrote the file since `entries` was called last, however it was read meanwhile."""
        return self._is_news or stamp_of(self._path) != self._seen

    def store(self, paired: Paired) -> None:
        """Put a whole entry in the place of the one before; on return it is on disk.

        None removes a key. One exception: an access code that cannot be opened stays while `is_paired` says so.
        """
        stored = clean(paired)
        with alone(self._path):
            held = self._current()
            self._replace(held, {**held.printers, stored.serial: stored})

    def learn(
        self,
        serial: str,
        *,
        fingerprint: str | None = None,
        host: str | None = None,
        developer_mode: bool | None = None,
        firmware: str | None = None,
    ) -> None:
        """Add to an entry, or begin one that is not paired; writes only when that changes something."""
        given = {"fingerprint": fingerprint, "host": host, "developer_mode": developer_mode, "firmware": firmware}
        self.learn_all({serial: given})

    def learn_all(self, told: Mapping[str, Mapping[str, Any]]) -> None:
        """Add to many entries in one write: by serial, what `learn` takes by name."""
        known = self._current().printers
        if all(_with(known.get(serial), serial, news) == known.get(serial) for serial, news in told.items()):
            return
        with alone(self._path):
            held = self._current()
            learned = {serial: _with(held.printers.get(serial), serial, news) for serial, news in told.items()}
            self._replace(held, {**held.printers, **{key: each for key, each in learned.items() if each is not None}})

    def forget(self, serial: str) -> bool:
        """Remove an entry; False when there was none."""
        if self.entry(serial) is None:
            return False
        with alone(self._path):
            held = self._current()
            self._replace(held, {key: each for key, each in held.printers.items() if key != serial})
        return True

    # -- reading -----------------------------------------------------------------------------------

    def _current(self) -> _Held:
        held, stamp = self._held, stamp_of(self._path)
        if held is None or stamp != held.stamp:
            self._is_news |= stamp != self._seen
            held = self._held = self._read()
        return held

    def _read(self) -> _Held:
        self._seen = stamp_of(self._path)
        found = read(self._path, MAX_BYTES + 1)
        if found is None:
            return _Held(None, "", {}, {}, ())
        raw, self._seen = found
        try:
            return replace(self._understood(raw), stamp=self._seen)
        except Unsound as exc:
            raise ConfigError(
                f"{self._path}:{exc.line}: {exc}. Repair the file or bring it back from a backup; if you move it away, "
                "printers have to be paired again, and certificates are trusted anew at the next contact"
            ) from None

    def _understood(self, raw: bytes) -> _Held:
        try:
            node = parse(raw)
        except Unreadable as exc:
            raise Unsound(exc.line, str(exc)) from None
        if isinstance(node, Null):
            # An empty file is what a power cut can leave; to take it for "nothing known" would trust anybody.
            raise Unsound(1, "the file is empty")
        for line, fault in _faults(node):
            raise Unsound(line, fault)
        inside = node.entries.get("printers") if isinstance(node, document.Mapping) else None
        if inside is None or not isinstance(inside[1], document.Mapping):
            raise Unsound(node.line, "the mapping `printers` is missing")
        printers, warnings, sealer = {}, [], Sealer(self._key)
        for serial, (line, entry) in inside[1].entries.items():
            paired = printers[serial] = read_entry(serial, line, entry, sealer)
            if paired.is_paired and paired.access_code is None:
                warnings.append(
                    f"{self._path}:{line}: the access code of {shown(paired.name or serial)} cannot be opened with "
                    f"{self._key}, which is gone or another one: give it again with  bambu-connector pair {serial}"
                )
        return _Held(None, raw.decode("utf-8-sig"), mapping(plain(node)), printers, tuple(warnings))

    # -- writing -----------------------------------------------------------------------------------

    def _replace(self, held: _Held, printers: Mapping[str, Paired]) -> None:
        """Have the file say `printers`, together with the keys in it that are not ours."""
        standing = mapping(held.tree.get("printers"))
        sealer = Sealer(self._key)
        entries = {
            serial: written_entry(paired, held.printers.get(serial), mapping(standing.get(serial)), sealer)
            for serial, paired in printers.items()
        }
        text = _HEADING + yaml.dump({**held.tree, "printers": entries}, Dumper=_DUMPER, sort_keys=False, width=_WIDTH)
        if text == held.text:
            return
        try:  # what could not be read again must not be written
            found = self._understood(text.encode())
        except Unsound as exc:
            raise ConfigError(f"{self._path}: this cannot be stored: {exc}") from None
        stamp = put(self._path, text)
        self._held = replace(found, stamp=stamp)
        self._seen = stamp


def _with(known: Paired | None, serial: str, news: Mapping[str, Any]) -> Paired | None:
    """Return an entry with what was learned; None where there is none and nothing was."""
    told = {key: value for key, value in news.items() if value is not None}
    return clean(replace(known or Paired(serial=serial), **told)) if told else known


def _faults(node: Node) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with the keys of every mapping, as deep as there are any."""
    match node:
        case document.Mapping():
            yield from node.faults
            for _, inner in node.entries.values():
                yield from _faults(inner)
        case document.List():
            for inner in node.items:
                yield from _faults(inner)
        case _:
            pass
