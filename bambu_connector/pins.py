"""What was learned about printers, in `printers.yaml` in the state directory: which certificate each one has.

The file belongs to this program, and whoever edits it by hand must be able to: it is YAML, one mapping a serial. Keys
that this version does not know are kept as they are.
"""

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

import yaml

from bambu_connector.config.document import MAX_BYTES, Null, Plain, Unreadable, parse, plain
from bambu_connector.errors import ConfigError

_FINGERPRINT: Final = re.compile(r"sha256:[0-9a-f]{64}")
_HEADING: Final = "# Written by bambu-connector: what it has learned about printers. connector.yaml goes before it.\n"


class PinStore:
    """The certificates that were seen when printers were paired or first met.

    The file is read once, when it is first needed; one process owns the state directory. Both methods touch the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._printers: dict[str, dict[str, Plain]] | None = None

    def fingerprint(self, serial: str) -> str | None:
        """Return what is pinned for a printer, `sha256:<hex>`; None when nothing is.

        Raises ConfigError when the file is damaged.
        """
        found = self._entries().get(serial, {}).get("fingerprint")
        return found if isinstance(found, str) else None

    def remember(self, serial: str, fingerprint: str) -> None:
        """Pin a printer's certificate; on return it is on disk.

        Raises ConfigError when the file is damaged or cannot be written.
        """
        entries = self._entries()
        if entries.get(serial, {}).get("fingerprint") == fingerprint:
            return
        changed = entries | {serial: entries.get(serial, {}) | {"fingerprint": fingerprint}}
        try:
            _write(self._path, _HEADING + yaml.safe_dump({"printers": changed}))
        except OSError as exc:
            raise ConfigError(f"{self._path}: the file cannot be written: {exc.strerror}") from None
        self._printers = changed

    def _entries(self) -> dict[str, dict[str, Plain]]:
        if self._printers is None:
            self._printers = _read(self._path)
        return self._printers


def _read(path: Path) -> dict[str, dict[str, Plain]]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, perhaps for ever
            raise ConfigError(f"{path}: the file cannot be read: it is a directory, pipe or device")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path}: the file cannot be read: {exc.strerror}") from None
    try:
        node = parse(raw)
    except Unreadable as exc:
        raise _damaged(path, exc.line, str(exc)) from None
    if isinstance(node, Null):
        # An empty file is what a power cut can leave; to take it for "nothing pinned" would trust anybody.
        raise _damaged(path, 1, "the file is empty")
    printers = _mapping(plain(node)).get("printers")
    if not isinstance(printers, dict):
        raise _damaged(path, node.line, "the mapping `printers` is missing")
    for serial, entry in printers.items():
        if not isinstance(entry, dict) or not _pin_is_sound(entry.get("fingerprint")):
            raise _damaged(path, node.line, f"the entry of {serial} cannot be understood")
    return {serial: _mapping(entry) for serial, entry in printers.items()}


def _pin_is_sound(pinned: Plain) -> bool:
    return pinned is None or (isinstance(pinned, str) and _FINGERPRINT.fullmatch(pinned) is not None)


def _mapping(value: Plain) -> dict[str, Plain]:
    return value if isinstance(value, dict) else {}


def _damaged(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError(
        f"{path}:{line}: {what}. Repair the file or bring it back from a backup; "
        "if you move it away, every printer's certificate is trusted anew at the next contact"
    )


def _write(path: Path, text: str) -> None:
    """Replace the file whole: whatever dies in between, the old or the new text is there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
