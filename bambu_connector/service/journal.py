"""What must be remembered: commands already seen, and the number of the last job.

This is the journal's place. Today commands are remembered for the life of the process, and only the counter of jobs is
on disk; the README says so.
"""

import enum
import hashlib
import os
import secrets
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

from bambu_connector.errors import ConfigError, Internal

REMEMBER_AT_LEAST: Final = 10_000
BLOCK: Final = 100
JOB_NUMBERS: Final = 2**31 - 1  # P1S 01.10 clamps what does not fit a signed 32-bit integer


class Importance(enum.Enum):
    """What a command is, to our memory; the value is for how many seconds it is kept beyond the newest 10,000."""

    QUESTION = 0.0
    """It changes nothing: asked again, at worst it is answered again."""
    COMMAND = 24 * 3600.0
    START = 30 * 24 * 3600.0


class Seen(enum.Enum):
    """Whether a command came before."""

    NEW = enum.auto()
    AGAIN = enum.auto()
    CHANGED = enum.auto()
    """The same id, and another payload."""


class Journal(Protocol):
    """What the service asks of its memory."""

    def note_command(self, key: str, payload: bytes, importance: Importance, *, now: float) -> Seen:
        """Remember a command; say whether it was there already. `now` is monotonic."""

    def next_job_number(self) -> int:
        """Return a number that no job had before: above 0, below 2^31."""


class Memory:
    """Commands that were seen, oldest first, in a table for each importance."""

    def __init__(self) -> None:
        self._tables: dict[Importance, OrderedDict[bytes, tuple[float, bytes]]] = {
            each: OrderedDict() for each in Importance
        }

    def note(self, key: str, payload: bytes, importance: Importance, *, now: float) -> Seen:
        """Remember a command; say whether it was there already."""
        name, digest = _digest(key.encode("utf-8", "replace")), _digest(payload)
        for table in self._tables.values():
            if name in table:
                return Seen.AGAIN if table[name][1] == digest else Seen.CHANGED
        table = self._tables[importance]
        table[name] = (now, digest)
        while len(table) > REMEMBER_AT_LEAST and now - next(iter(table.values()))[0] > importance.value:
            table.popitem(last=False)
        return Seen.NEW


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


class JobNumbers:
    """A persistent counter with a random start, so that no two connectors or state directories give a print one id.

    What is on disk is the last number of a block that was reserved: most jobs need not wait for the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = self._reserved = self._read()

    def _read(self) -> int:
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return secrets.randbelow(JOB_NUMBERS)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{self._path} cannot be read: {error}. Remove it, and a new counter is begun."
            ) from error
        if not text.isdecimal() or int(text) > JOB_NUMBERS:
            raise ConfigError(f"{self._path} is damaged. Remove it, and a new counter is begun.")
        return int(text)

    def next(self) -> int:
        """Return the next number; no later process will give it again. Raises Internal when the disk refuses."""
        if self._last >= self._reserved:
            begin = 0 if self._last + BLOCK >= JOB_NUMBERS else self._last
            try:
                self._write(begin + BLOCK)
            except OSError as error:
                raise Internal(f"{self._path} cannot be written: {error.strerror}.") from error
            self._last, self._reserved = begin, begin + BLOCK
        self._last += 1
        return self._last

    def _write(self, number: int) -> None:
        temporary = self._path.with_suffix(".new")
        with temporary.open("w", encoding="ascii") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


class ProcessJournal:
    """A journal that lives as long as the process, but for the counter of jobs."""

    def __init__(self, state_dir: Path) -> None:
        self._memory = Memory()
        self._numbers = JobNumbers(state_dir / "job-number")

    def note_command(self, key: str, payload: bytes, importance: Importance, *, now: float) -> Seen:
        """Remember a command; say whether it was there already."""
        return self._memory.note(key, payload, importance, now=now)

    def next_job_number(self) -> int:
        """Return a number that no job had before."""
        return self._numbers.next()
