"""The memory of the service: what must be known again after a crash or a power cut.

Everything is kept here, in memory, and written to the store behind; whoever may not go on before it is on disk asks
for that with `secure` or `when_safe`. What is put in one step of the loop is written in one transaction: an answer and
the end of its job, say, are on disk together or not at all.
"""

import asyncio
import enum
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from bambu_connector.errors import ConfigError, Internal
from bambu_connector.sealing import Sealer
from bambu_connector.service.clock import Clock
from bambu_connector.service.store import (
    REMEMBER_AT_LEAST,
    Batch,
    Importance,
    Opening,
    Received,
    RecordKey,
    SqliteStore,
    Store,
    StoreFailed,
)

RETRY_S: Final = 5.0
LAZY_S: Final = 10.0  # what is lost of it is sent again with the same id, and spares an SD card half of its writes
PATIENCE_S: Final = 10.0  # an SD card that tidies up may take seconds
JOB_NUMBERS: Final = 2**31 - 1  # P1S 01.10 clamps what does not fit a signed 32-bit integer
_FILE: Final = "journal.db"
_KEY: Final = "secret.key"
_COUNTER: Final[RecordKey] = ("counter", "job")
_MICROSECONDS: Final = 1_000_000
Body = dict[str, Any]
log = logging.getLogger(__name__)


class Seen(enum.Enum):
    """Whether a command came before."""

    NEW = enum.auto()
    AGAIN = enum.auto()
    CHANGED = enum.auto()
    """The same id, and another payload."""


class Journal:
    """Records by kind and key, commands received, and the numbers of jobs. Not to be used before `open`."""

    def __init__(self, store: Store, sealer: Sealer, clock: Clock, thread: Executor | None = None) -> None:
        self.sealer = sealer
        self.opening = Opening.NEW
        self.trouble: str | None = None
        """Why nothing can be written at present; None when it can."""
        self.on_late_opening: Callable[[], None] = lambda: None
        """Called when a file that could not be opened at first was: its records are there now."""
        self._store = store
        self._clock = clock
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._is_open = False
        self._found: Mapping[RecordKey, bytes] | None = None
        """What a late opening found, until something could be written as well."""
        self._records: dict[RecordKey, bytes] = {}
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()
        self._pending = Batch()
        self._waiting: list[Callable[[], None]] = []
        self._writing: list[Callable[[], None]] | None = None
        self._batches = self._saved = 0
        """The number of the batch that was begun last, and of the last that is on disk: it holds what failed before."""
        self._timer: asyncio.TimerHandle | None = None
        self._next_key = 0
        self._last_job = 0
        self._hangs = False
        """The disk has not answered for long: nothing waits for it, and nothing is asked of it."""
        self._anew = False
        """The file is damaged: a new one is begun with the next batch, which holds everything."""

    @classmethod
    def open_in(cls, state_dir: Path, clock: Clock) -> "Journal":
        """Open the journal of a state directory, which the caller owns. Raises ConfigError as `open` does."""
        journal = cls(SqliteStore(state_dir / _FILE), Sealer(state_dir / _KEY), clock)
        journal.open()
        return journal

    def open(self) -> None:
        """Open the store, or try again later where it cannot be; raises ConfigError when another version is needed."""
        try:
            self.opening, found = self._store.open()
        except StoreFailed as error:
            self._fail(error)
            self._let_go(asyncio.get_running_loop())
            found = {}
        else:
            self._is_open = True
        self._load(found)

    def _load(self, found: Mapping[RecordKey, bytes]) -> None:
        if self.opening is Opening.DAMAGED:
            log.error(
                "the journal was damaged: it was put aside and a new one begun. Commands seen before, jobs and prints"
                " under way are forgotten: look at the printers"
            )
        self._records = {**found, **self._records}
        now = int(self._clock.wall() * _MICROSECONDS)
        self._next_key = max([self._next_key, now, *(int(key) for _, key in found if key.isdecimal())])
        self._last_job = self._read_counter()

    def _read_counter(self) -> int:
        counter = self.get(*_COUNTER)
        number = counter.get("last") if counter else None
        # A random beginning, so that no two connectors or state directories give a print one id.
        return number if isinstance(number, int) and 0 < number <= JOB_NUMBERS else 1 + secrets.randbelow(JOB_NUMBERS)

    # -- records -------------------------------------------------------------------------------

    def get(self, kind: str, key: str) -> Body | None:
        """Return a record; None when there is none, or none that can be read."""
        body = self._records.get((kind, key))
        return None if body is None else _read(body)

    def all(self, kind: str) -> Iterator[tuple[str, Body]]:
        """Yield the key and body of every record of a kind that can be read, in the order of their keys."""
        for found_kind, key in sorted(self._records):
            if found_kind != kind:
                continue
            body = _read(self._records[found_kind, key])
            if body is None:
                log.error("a record of the journal cannot be read and is forgotten: %s %s", kind, key)
                self.drop(kind, key)
            else:
                yield key, body

    def new_key(self) -> str:
        """Return a key that no record had before, greater than all others."""
        self._next_key += 1
        return f"{self._next_key:020d}"

    def put(self, kind: str, key: str, body: Body) -> None:
        """Remember a record, in the place of an earlier one."""
        raw = orjson.dumps(body)
        if self._records.get((kind, key)) == raw:
            return
        self._records[kind, key] = raw
        self._note((kind, key), raw)

    def drop(self, kind: str, key: str, *, lazily: bool = False) -> None:
        """Forget a record; `lazily`: with the next one that is written, or soon."""
        if self._records.pop((kind, key), None) is not None:
            self._note((kind, key), None, lazily=lazily)

    def _note(self, key: RecordKey, raw: bytes | None, *, lazily: bool = False) -> None:
        self._pending.records[key] = raw
        self._schedule(LAZY_S if lazily else 0.0)

    # -- commands ------------------------------------------------------------------------------

    def note_command(self, key: str, payload: bytes, importance: Importance) -> Seen:
        """Remember a command; say whether it was there already."""
        name, digest = _digest(key.encode("utf-8", "replace")), _digest(payload)
        known = self._recent.get(name) or self._look_up(name)
        self._recent[name] = known or digest
        self._recent.move_to_end(name)
        while len(self._recent) > REMEMBER_AT_LEAST:
            self._recent.popitem(last=False)
        if known is not None:
            return Seen.AGAIN if known == digest else Seen.CHANGED
        self._pending.commands.append(Received(name, digest, importance, self._clock.wall()))
        del self._pending.commands[:-REMEMBER_AT_LEAST]  # as long as nothing can be written
        self._schedule(0.0)
        return Seen.NEW

    def was_noted(self, key: str) -> bool:
        """Say whether a command came to this process, not long ago."""
        return _digest(key.encode("utf-8", "replace")) in self._recent

    def _look_up(self, name: bytes) -> bytes | None:
        if not self._is_open or self._hangs:
            return None
        if self.opening is Opening.NEW and len(self._recent) < REMEMBER_AT_LEAST:
            return None  # nothing is there that is not among the recent ones
        try:
            return self._store.digest(name)
        except StoreFailed as error:
            self._fail(error)
            return None

    # -- jobs ----------------------------------------------------------------------------------

    def next_job_number(self) -> int:
        """Return a number that no job had before: above 0, below 2^31. On disk together with the job's first record."""
        self._last_job = self._last_job % (JOB_NUMBERS - 1) + 1
        self.put(*_COUNTER, {"last": self._last_job})
        return self._last_job

    # -- on disk -------------------------------------------------------------------------------

    def when_safe(self, callback: Callable[[], None]) -> None:
        """Call back once everything so far is on disk; also when the disk refuses, for then nothing better comes."""
        if self._hangs:
            asyncio.get_running_loop().call_soon(callback)
        elif self._pending:
            self._waiting.append(callback)
            self._schedule(0.0)
        elif self._writing is not None:
            self._writing.append(callback)
        else:
            callback()

    async def secure(self) -> None:
        """Return once everything so far is on disk; raises Internal when the disk refuses it."""
        safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wanted = self._batches + bool(self._pending)
        self.when_safe(lambda: None if safe.done() else safe.set_result(None))
        await safe
        if self._saved < wanted:  # let go because the disk refuses, which may be over a moment later
            raise self._refusal()

    def require_disk(self) -> None:
        """Raise Internal when nothing can be written at present."""
        if self.trouble is not None:
            raise self._refusal()

    def _refusal(self) -> Internal:
        return Internal(
            f"The connector's journal cannot be written ({self.trouble or 'the disk is slow'}): without it a job could"
            " be started twice. Look at the disk of the connector's machine."
        )

    def _schedule(self, delay: float) -> None:
        if self._writing is not None:
            return
        loop = asyncio.get_running_loop()
        if self.trouble is not None:
            self._let_go(loop)
            return
        due = loop.time() + delay
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._write)

    def _let_go(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing can be written: nobody is to wait for it, and it is tried again before long."""
        waiting, self._waiting = self._waiting, []
        self._call(waiting)
        if self._timer is None:
            self._timer = loop.call_later(RETRY_S, self._write)

    def _write(self) -> None:
        self._timer = None
        self._batches += 1
        batch, self._pending = self._pending, Batch()
        self._writing, self._waiting = self._waiting, []
        work = self._save if self._is_open else self._open_late
        loop = asyncio.get_running_loop()
        patience = loop.call_later(PATIENCE_S, self._hang)
        writing = loop.run_in_executor(self._thread, work, batch)
        writing.add_done_callback(lambda _future: patience.cancel())
        writing.add_done_callback(partial(self._written, batch))

    def _hang(self) -> None:
        """A write takes so long that nobody can be left waiting for it; should it ever end, all is well again."""
        self._hangs = True
        self._fail(StoreFailed(f"the disk has not answered for {PATIENCE_S:.0f} s"))
        waiting = [*(self._writing or ()), *self._waiting]
        self._writing, self._waiting = [], []
        self._call(waiting)

    def _save(self, batch: Batch) -> None:
        """Write a batch, in the thread. Raises StoreFailed."""
        if self._anew:
            self._store.begin_anew()
        self._store.commit(batch)
        self._anew = False

    def _open_late(self, batch: Batch) -> None:
        if self._found is None:
            self.opening, self._found = self._store.open()
        self._store.commit(batch)

    def _written(self, batch: Batch, future: "asyncio.Future[None]") -> None:
        waiting, self._writing = self._writing or [], None
        self._hangs = False
        error = future.exception()
        if error is not None:
            was_sound = not self._anew
            self._not_written(batch, error)
            if self._anew and was_sound:  # a new file is begun at once: what waits goes on waiting for that
                self._waiting = [*waiting, *self._waiting]
                self._write()
                return
        else:
            self._saved = self._batches
            self._recover()
            if not self._is_open:
                self._is_open = True
                self._load(self._found or {})
                self.on_late_opening()
        self._call(waiting)
        if self._pending or error is not None:
            self._schedule(0.0)

    @staticmethod
    def _call(waiting: Iterable[Callable[[], None]]) -> None:
        """Call back, each by itself: a bug in one must not cost the others."""
        for callback in waiting:
            asyncio.get_running_loop().call_soon(callback)

    def _not_written(self, batch: Batch, error: BaseException) -> None:
        later = self._pending
        self._pending = Batch(batch.records | later.records, [*batch.commands, *later.commands])
        if isinstance(error, StoreFailed) and error.damaged and self._is_open and not self._anew:
            log.error(
                "the journal is damaged (%s): it is put aside, and everything known is written into a new one", error
            )
            self._anew = True
            now = self._clock.wall()
            known = [Received(name, digest, Importance.START, now) for name, digest in self._recent.items()]
            self._pending = Batch({**self._records, **self._pending.records}, [*known, *self._pending.commands])
            return
        if not isinstance(error, StoreFailed | ConfigError):  # whoever waits for the disk must not wait for ever
            log.debug("a bug in writing the journal", exc_info=error)
            error = StoreFailed(f"a bug: {error!r}")
        self._fail(StoreFailed(str(error)))

    def _fail(self, error: StoreFailed) -> None:
        if self.trouble is None:
            log.error(
                "the journal cannot be written: %s. Starts are refused until it can be; everything else goes on", error
            )
        self.trouble = str(error)

    def _recover(self) -> None:
        if self.trouble is not None:
            log.warning("the journal can be written again")
        self.trouble = None

    async def close(self, *, heard_broker: bool) -> None:
        """Write what is left, and close; what cannot be written is lost, and was told.

        `heard_broker`: what Printago's broker had sent to an earlier process has come again to this one, and is here.
        """
        if self._pending and self.trouble is None:
            safe = asyncio.Event()
            self.when_safe(safe.set)
            await safe.wait()
        if self._timer is not None:
            self._timer.cancel()
        if self._is_open and self.trouble is None:
            in_order = heard_broker or self.opening is Opening.CLOSED
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close, in_order)
        self._thread.shutdown(wait=False)

    def _close(self, in_order: bool) -> None:
        try:
            self._store.close(in_order=in_order)
        except StoreFailed as error:
            log.debug("the journal was not closed in order: %s", error)


def _read(body: bytes) -> Body | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
