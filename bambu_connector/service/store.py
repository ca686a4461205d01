"""The journal's file: a small SQLite database. Everything here blocks, and everything but `digest` runs in one thread.

Two tables. `commands`: what was received, by the hash of its key, for as long as the contract says. `records`: what is
under way, as JSON by kind and key (see `records.py`), gone when it is over.

A schema knows the oldest program that can work with it. Each step adds what an older program need not know, so the
program of one version before can go on with the file, and the one after it too.
"""

import enum
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

from bambu_connector.errors import ConfigError

REMEMBER_AT_LEAST: Final = 10_000
REMEMBER_AT_MOST: Final = 200_000  # of each importance: 20 MB; a flood of new ids must not fill the disk
PRUNE_EVERY: Final = 1_000
LOCK_WAIT_S: Final = 5.0
_WAL_BYTES: Final = 4 << 20
_SMALL_CACHE: Final = "PRAGMA cache_size = -256"  # KiB; 2 MiB a connection are usual, and nothing here is read twice
_SET_META: Final = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"
_PRUNE: Final = (
    "DELETE FROM commands WHERE importance = :importance AND seen_at < :before AND number <="
    " (SELECT number FROM commands WHERE importance = :importance ORDER BY number DESC LIMIT 1 OFFSET :newest)"
)
# What may pass; every other error of SQLite's says that the file is not what it should be.
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_PRIMARY: Final = 0xFF  # the part of an error code that is not extended
T = TypeVar("T")


class Importance(enum.Enum):
    """What a command is, to our memory; the value is for how many seconds it is kept beyond the newest 10,000."""

    QUESTION = 0.0
    """It changes nothing: asked again, at worst it is answered again."""
    COMMAND = 24 * 3600.0
    START = 30 * 24 * 3600.0


class Opening(enum.Enum):
    """In which state the file was found."""

    NEW = enum.auto()
    CLOSED = enum.auto()
    """The last process ended in order: it knew everything that it had received."""
    BROKEN_OFF = enum.auto()
    DAMAGED = enum.auto()
    """It could not be used, was put aside, and a new one begun."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the schema. `readable_from` is the number of the oldest schema whose programs can use the result."""

    statements: tuple[str, ...]
    readable_from: int


STEPS: Final = (
    Step(
        (
            "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
            (
                "CREATE TABLE commands (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, digest BLOB NOT NULL,"
                " importance TEXT NOT NULL, seen_at REAL NOT NULL)"
            ),
            "CREATE INDEX commands_by_age ON commands (importance, number)",
            "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key))",
        ),
        readable_from=1,
    ),
)


class StoreFailed(Exception):
    """The file cannot be read or written; its text says why. `damaged`: it never will be, and a new one is needed."""

    def __init__(self, why: str, *, damaged: bool = False) -> None:
        super().__init__(why)
        self.damaged = damaged


@dataclass(frozen=True, slots=True)
class Received:
    """A command that was received at `wall` (seconds since the epoch)."""

    key: bytes
    digest: bytes
    importance: Importance
    wall: float


RecordKey = tuple[str, str]


@dataclass(slots=True)
class Batch:
    """What becomes true at once: records by kind and key (None: gone), and commands received."""

    records: dict[RecordKey, bytes | None] = field(default_factory=dict)
    commands: list[Received] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.records or self.commands)


class Store(Protocol):
    """Where the journal is kept. Every method may raise StoreFailed."""

    def open(self) -> tuple[Opening, Mapping[RecordKey, bytes]]:
        """Open it, and return what was found."""

    def commit(self, batch: Batch) -> None:
        """Make a batch true; on return it survives a power cut."""

    def begin_anew(self) -> None:
        """Put a damaged file aside and begin an empty one."""

    def digest(self, key: bytes) -> bytes | None:
        """Return what is remembered of a command; None when it is not."""

    def close(self, *, in_order: bool) -> None:
        """Close; `in_order`: note that everything that was received is there."""


class SqliteStore:
    """A store in one file. `digest` may be called beside a method that runs in another thread."""

    def __init__(self, path: Path, steps: Sequence[Step] = STEPS) -> None:
        self.path = path
        self._steps = steps
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._since_pruning = PRUNE_EVERY  # also where each life is short
        self._was_put_aside = False

    def open(self) -> tuple[Opening, Mapping[RecordKey, bytes]]:
        """Open the file, or begin one; a damaged one is put aside. Raises StoreFailed.

        Raises ConfigError when a much newer program wrote it.
        """
        try:
            return self._open(), _guarded(self._records)
        except StoreFailed as error:
            if not error.damaged:
                self._let_go()
                raise
            self.begin_anew()
            return Opening.DAMAGED, {}

    def _open(self) -> Opening:
        self._let_go()
        try:
            return _guarded(self._connect)
        except (StoreFailed, ConfigError):
            self._let_go()
            raise

    def _connect(self) -> Opening:
        # SQLite would make it readable for others.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        writer = self._writer = sqlite3.connect(
            self.path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False
        )
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        writer.execute(_SMALL_CACHE)
        opening = self._migrate(writer)
        if opening is Opening.BROKEN_OFF:
            (state,) = writer.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
        writer.execute("DELETE FROM meta WHERE name = 'closed'")
        self._reader = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=LOCK_WAIT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._reader.execute(_SMALL_CACHE)
        return opening

    def _migrate(self, writer: sqlite3.Connection) -> Opening:
        """Bring the schema forward; one of the next version stays as it is. Say in which state the file was found."""
        (version,) = writer.execute("PRAGMA user_version").fetchone()
        opening = Opening.NEW
        if version:
            meta = dict(writer.execute("SELECT name, value FROM meta WHERE name IN ('readable_from', 'closed')"))
            readable_from = meta.get("readable_from")
            if version < 0 or not isinstance(readable_from, int):
                raise sqlite3.DatabaseError("its version is not one")
            if readable_from > len(self._steps):
                raise ConfigError(
                    f"{self.path} was written by a newer version that this one cannot follow. Install that version"
                    " again; or, with no job under way, move the file away, and commands seen before are forgotten."
                )
            opening = Opening.CLOSED if meta.get("closed") else Opening.BROKEN_OFF
        with _transaction(writer):
            for step in self._steps[version:]:
                for statement in step.statements:
                    writer.execute(statement)
                writer.execute(
                    "INSERT OR REPLACE INTO meta (name, value) VALUES ('readable_from', ?)", (step.readable_from,)
                )
            if version < len(self._steps):
                writer.execute(f"PRAGMA user_version = {len(self._steps)}")
        return opening

    def _records(self) -> dict[RecordKey, bytes]:
        found = {}
        for kind, key, body in self._open_writer.execute("SELECT kind, key, body FROM records ORDER BY kind, key"):
            if not (isinstance(kind, str) and isinstance(key, str) and isinstance(body, bytes)):
                raise sqlite3.DatabaseError("a record is not what it should be")
            found[kind, key] = body
        return found

    @property
    def _open_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreFailed("it is closed", damaged=True)
        return self._writer

    def commit(self, batch: Batch) -> None:
        """Make a batch true; on return it survives a power cut. Raises StoreFailed."""
        _guarded(lambda: self._commit(batch))

    def _commit(self, batch: Batch) -> None:
        writer = self._open_writer
        with _transaction(writer):
            gone = [key for key, body in batch.records.items() if body is None]
            kept = [(*key, body) for key, body in batch.records.items() if body is not None]
            writer.executemany("DELETE FROM records WHERE kind = ? AND key = ?", gone)
            # Columns by name, and no row replaced: the next version may have added some.
            writer.executemany(
                "INSERT INTO records (kind, key, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                kept,
            )
            writer.executemany(
                "INSERT INTO commands (key, digest, importance, seen_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET seen_at = excluded.seen_at",
                [(each.key, each.digest, each.importance.name, each.wall) for each in batch.commands],
            )
        self._since_pruning += len(batch.commands)
        if batch.commands and self._since_pruning >= PRUNE_EVERY:
            self._since_pruning = 0
            self._prune(writer, max(each.wall for each in batch.commands))

    @staticmethod
    def _prune(writer: sqlite3.Connection, now: float) -> None:
        with _transaction(writer):
            for importance in Importance:
                before = now - importance.value
                for newest, older_than in ((REMEMBER_AT_LEAST, before), (REMEMBER_AT_MOST, float("inf"))):
                    writer.execute(_PRUNE, {"importance": importance.name, "newest": newest, "before": older_than})

    def digest(self, key: bytes) -> bytes | None:
        """Return what is remembered of a command; None when it is not. Raises StoreFailed."""
        reader = self._reader  # taken once: the thread may close it
        if reader is None:
            raise StoreFailed("it is closed")
        row = _guarded(lambda: reader.execute("SELECT digest FROM commands WHERE key = ?", (key,)).fetchone())
        return None if row is None else bytes(row[0])

    def begin_anew(self) -> None:
        """Put the file aside, named by the time, and begin an empty one. Raises StoreFailed.

        Called again after it failed, it goes on where that was: what lies there then is a beginning of the new file.
        """
        self._let_go()
        if self._was_put_aside:
            self._open()
            self._was_put_aside = False
            return
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time():.0f}")

        def move() -> None:
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self.path.with_name(f"{self.path.name}{ending}").replace(f"{aside}{ending}")

        _guarded(move)
        self._was_put_aside = True
        self._open()
        self._was_put_aside = False

    def close(self, *, in_order: bool) -> None:
        """Close; `in_order`: note that everything that was received is there. Raises StoreFailed."""
        if self._writer is None:
            return
        writer = self._writer
        try:
            if in_order:
                _guarded(lambda: writer.execute(_SET_META, ("closed", 1)))
        finally:
            self._let_go()

    def _let_go(self) -> None:
        for each in (self._reader, self._writer):  # the writer last: it takes the WAL away
            if each is not None:
                with suppress(sqlite3.Error), closing(each):
                    pass
        self._reader = self._writer = None


class _transaction:  # noqa: N801 - used like a function
    """BEGIN and COMMIT around a block, ROLLBACK where it fails."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # a full disk may have rolled it back already
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _guarded(work: Callable[[], T]) -> T:
    """Do something with the file; SQLite's and the system's errors become ours."""
    try:
        return work()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)  # Python's own errors have none: text that is not UTF-8, say
        raise StoreFailed(str(error), damaged=code is None or code & _PRIMARY not in _PASSING) from error
    except OSError as error:
        raise StoreFailed(error.strerror or str(error)) from error
