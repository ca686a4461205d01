"""The journal's file: real SQLite files, whole, broken off, damaged, full, locked, of other versions."""

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.errors import ConfigError
from bambu_connector.service import store as module
from bambu_connector.service.store import (
    STEPS,
    Batch,
    Importance,
    Opening,
    Received,
    RecordKey,
    SqliteStore,
    Step,
    StoreFailed,
)

WHOLE: dict[RecordKey, bytes] = {("job", f"{number:03}"): b'{"name":"%d"}' % number * 20 for number in range(100)}
A: RecordKey = ("job", "a")
B: RecordKey = ("job", "b")


def received(name: str, importance: Importance = Importance.COMMAND, wall: float = 0.0) -> Received:
    return Received(name.encode(), b"digest of " + name.encode(), importance, wall)


@contextmanager
def opened(path: Path, steps: tuple[Step, ...] = STEPS) -> Iterator[SqliteStore]:
    """Yield an open store; it is let go as by a kill."""
    store = SqliteStore(path, steps)
    store.open()
    try:
        yield store
    finally:
        store._let_go()


def found_in(path: Path, steps: tuple[Step, ...] = STEPS) -> tuple[Opening, dict[RecordKey, bytes]]:
    """Open, and let go as by a kill."""
    store = SqliteStore(path, steps)
    opening, records = store.open()
    store._let_go()
    return opening, dict(records)


def close_in_order(path: Path) -> None:
    store = SqliteStore(path)
    store.open()
    store.close(in_order=True)


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for each in statements:
            connection.execute(each)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


# -- what is kept ----------------------------------------------------------------------------------


def test_what_is_committed_is_there_after_it_was_closed_and_after_it_was_broken_off(path: Path) -> None:
    assert found_in(path) == (Opening.NEW, {})
    with opened(path) as store:
        store.commit(Batch({A: b"1", B: b"2"}, [received("x")]))
        store.commit(Batch({A: b"3", B: None}))
        assert store.digest(b"x") == b"digest of x"
        assert store.digest(b"y") is None
    assert found_in(path) == (Opening.BROKEN_OFF, {A: b"3"})
    close_in_order(path)
    assert found_in(path) == (Opening.CLOSED, {A: b"3"})
    assert found_in(path) == (Opening.BROKEN_OFF, {A: b"3"})
    with opened(path) as store:
        assert store.digest(b"x") == b"digest of x"


def test_a_commit_is_synced_before_it_returns_and_the_file_is_only_ours(path: Path) -> None:
    old = os.umask(0)
    try:
        with opened(path) as store:
            assert store._writer is not None
            assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
            store.commit(Batch({A: b"1"}))
            for each in path.parent.iterdir():
                assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
    finally:
        os.umask(old)


def test_a_commit_survives_whatever_happens_right_after_it(path: Path, tmp_path: Path) -> None:
    with opened(path) as store:
        for number in range(5):
            store.commit(Batch({("job", str(number)): b"%d" % number}, [received(str(number))]))
            copy = tmp_path / f"copy-{number}" / path.name
            copy.parent.mkdir()
            shutil.copy(path, copy)
            shutil.copy(f"{path}-wal", f"{copy}-wal")
            opening, records = found_in(copy)
            assert opening is Opening.BROKEN_OFF
            assert records == {("job", str(each)): b"%d" % each for each in range(number + 1)}
            with opened(copy) as again:
                assert again.digest(b"%d" % number) is not None


def test_of_a_batch_that_fails_nothing_becomes_true(path: Path) -> None:
    with opened(path) as store:
        store.commit(Batch({A: b"1"}))
        broken = Received(b"y", None, Importance.COMMAND, 0.0)  # type: ignore[arg-type]
        with pytest.raises(StoreFailed):
            store.commit(Batch({A: b"2", B: b"2"}, [received("x"), broken]))
        assert store.digest(b"x") is None
        store.commit(Batch({("job", "c"): b"3"}))
    assert found_in(path)[1] == {A: b"1", ("job", "c"): b"3"}


def test_a_command_that_comes_again_keeps_its_first_digest(path: Path) -> None:
    with opened(path) as store:
        store.commit(Batch(commands=[received("x")]))
        store.commit(Batch(commands=[Received(b"x", b"another", Importance.COMMAND, 9.0)]))
        assert store.digest(b"x") == b"digest of x"


def test_a_store_that_is_closed_says_so(path: Path) -> None:
    store = SqliteStore(path)
    store.close(in_order=True)
    with pytest.raises(StoreFailed, match="closed"):
        store.commit(Batch({A: b"1"}))
    with pytest.raises(StoreFailed, match="closed"):
        store.digest(b"x")


# -- what is forgotten -----------------------------------------------------------------------------


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBER_AT_LEAST", 5)
    monkeypatch.setattr(module, "REMEMBER_AT_MOST", 20)
    monkeypatch.setattr(module, "PRUNE_EVERY", 1)


def known(store: SqliteStore, names: list[str]) -> list[str]:
    return [name for name in names if store.digest(name.encode()) is not None]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("importance", "kept"),
    [(Importance.QUESTION, 0.0), (Importance.COMMAND, 24 * 3600.0), (Importance.START, 30 * 24 * 3600.0)],
)
def test_commands_are_forgotten_after_their_time_but_never_the_newest(
    path: Path, importance: Importance, kept: float
) -> None:
    names = [f"n{number}" for number in range(8)]
    with opened(path) as store:
        store.commit(Batch(commands=[received(each, importance, 1000.0) for each in names]))
        store.commit(Batch(commands=[received("young", importance, 1000.0 + kept)]))
        assert known(store, names) == names
        store.commit(Batch(commands=[received("late", importance, 1000.1 + kept)]))
        assert known(store, [*names, "young", "late"]) == [*names[-3:], "young", "late"]


@pytest.mark.usefixtures("_small")
def test_a_flood_is_bounded_and_does_not_drive_the_starts_out(path: Path) -> None:
    with opened(path) as store:
        store.commit(Batch(commands=[received("start", Importance.START)]))
        for number in range(10):
            store.commit(Batch(commands=[received(f"{number}-{each}") for each in range(10)]))
        names = [f"{number}-{each}" for number in range(10) for each in range(10)]
        assert known(store, names) == names[-20:]
        assert known(store, ["start"]) == ["start"]


@pytest.mark.usefixtures("_small")
def test_a_clock_that_jumps_into_the_future_does_not_cost_the_newest(path: Path) -> None:
    names = [f"n{number}" for number in range(5)]
    with opened(path) as store:
        store.commit(Batch(commands=[received(each, wall=1000.0) for each in names]))
        store.commit(Batch(commands=[received("future", wall=1e12)]))
        assert known(store, [*names, "future"]) == [*names[1:], "future"]


# -- what is damaged -------------------------------------------------------------------------------


def filled(path: Path, *, in_order: bool = False) -> None:
    """Make a store of some pages, without a WAL beside it when it was closed `in_order`."""
    store = SqliteStore(path)
    store.open()
    store.commit(Batch(dict(WHOLE), [received(str(number)) for number in range(100)]))
    if in_order:
        store.close(in_order=True)
    else:
        store._let_go()


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _every_page(path: Path) -> None:
    for at in range(4096, path.stat().st_size, 4096):
        overwrite(path, at, b"\xa5" * 200)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "header": lambda path: overwrite(path, 0, bytes(range(100))),
    "first page": lambda path: overwrite(path, 100, b"\xa5" * 3996),
    "pages": _every_page,
    "truncated": lambda path: os.truncate(path, 4096 * 2 + 7),
    "a text": lambda path: path.write_text("This is a journal, too.\n" * 300),
    "a line": lambda path: path.write_text("hello\n"),
    "a table gone": lambda path: sql(path, "DROP TABLE records"),
    "meta gone": lambda path: sql(path, "DROP TABLE meta"),
    "a version without its tables": lambda path: sql(path, "DROP TABLE commands", "DROP TABLE meta"),
    "no version": lambda path: sql(path, "PRAGMA user_version = 0"),
    "a negative version": lambda path: sql(path, "PRAGMA user_version = -1"),
    "a wrong version": lambda path: sql(path, "UPDATE meta SET value = 'x' WHERE name = 'readable_from'"),
    "a number as body": lambda path: sql(path, "UPDATE records SET body = 3000000000 WHERE key = '007'"),
    "no text as kind": lambda path: sql(path, "UPDATE records SET kind = CAST(X'FF' AS TEXT) WHERE key = '007'"),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("in_order", [True, False])
def test_a_damaged_file_is_put_aside_and_a_new_one_works(path: Path, name: str, in_order: bool) -> None:
    filled(path, in_order=in_order)
    DAMAGES[name](path)
    size = path.stat().st_size
    store = SqliteStore(path)
    try:
        opening, records = store.open()
    except StoreFailed:
        pytest.fail("a damaged file must not keep the service from having a journal")
    if (name, opening) == ("pages", Opening.CLOSED):
        return  # what was closed in order is not searched through
    assert (opening, records) == (Opening.DAMAGED, {})
    store.commit(Batch({A: b"1"}))
    store.close(in_order=True)
    assert found_in(path) == (Opening.CLOSED, {A: b"1"})
    aside = [each for each in path.parent.glob("*.damaged-*") if not each.name.endswith(("-wal", "-shm"))]
    assert [each.stat().st_size for each in aside] == [size]


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    filled(path, in_order=True)
    os.truncate(path, 0)
    assert found_in(path) == (Opening.NEW, {})


@pytest.mark.parametrize("at", [0, 24, 40, 5000])
def test_of_a_damaged_wal_what_was_committed_before_the_damage_is_left(path: Path, tmp_path: Path, at: int) -> None:
    copy = tmp_path / "copy.db"
    with opened(path) as store:
        for number in range(10):
            store.commit(Batch({("job", str(number)): b"%d" % number}))
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    overwrite(Path(f"{copy}-wal"), at, b"\xa5\x5a" * 8)
    _, records = found_in(copy)
    assert records == {("job", str(number)): b"%d" % number for number in range(len(records))}


@settings(max_examples=60, deadline=None)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8),
    low=st.booleans(),
    in_order=st.booleans(),
)
def test_bytes_changed_anywhere_leave_a_journal_that_works_or_a_clear_failure(
    flips: list[tuple[float, int]], low: bool, in_order: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        filled(path, in_order=in_order)
        content = bytearray(path.read_bytes())
        for where, mask in flips:
            content[int(where * (200 if low else len(content)))] ^= mask
        path.write_bytes(content)
        store = SqliteStore(path)
        try:
            opening, records = store.open()
        except (StoreFailed, ConfigError) as error:
            assert str(error)  # noqa: PT017 - anything else fails the test
            return
        finally:
            opened_well = store._writer is not None
            if not opened_well:
                store._let_go()
        assert opening is not Opening.DAMAGED or not records
        for _ in range(2):  # what is damaged may be found only now
            try:
                store.commit(Batch({A: b"1"}, [received("new")]))
            except StoreFailed as error:
                if not error.damaged:
                    break
                store.begin_anew()
            else:
                break
        store._let_go()


# -- what may pass ---------------------------------------------------------------------------------


def test_a_folder_in_its_place_is_told_and_not_touched(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreFailed, match="directory") as told:
        SqliteStore(path).open()
    assert not told.value.damaged
    assert path.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreFailed) as told:
            SqliteStore(path).open()
        assert not told.value.damaged
    finally:
        path.parent.chmod(0o700)


def test_a_folder_that_is_gone_is_told_and_works_when_it_is_back(path: Path) -> None:
    store = SqliteStore(path.parent / "gone" / path.name)
    with pytest.raises(StoreFailed) as told:
        store.open()
    assert not told.value.damaged
    store.path.parent.mkdir()
    assert store.open() == (Opening.NEW, {})
    store.close(in_order=True)


def test_a_full_disk_loses_nothing_and_is_written_again_when_there_is_room(path: Path) -> None:
    with opened(path) as store:
        store.commit(Batch({A: b"1"}))
        assert store._writer is not None
        (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
        store._writer.execute(f"PRAGMA max_page_count = {pages}")
        large = Batch({A: b"2", B: b"x" * 100_000}, [received("x")])
        with pytest.raises(StoreFailed, match="full") as told:
            store.commit(large)
        assert not told.value.damaged
        assert store.digest(b"x") is None
        store._writer.execute("PRAGMA max_page_count = 1000000")
        store.commit(large)
    assert found_in(path)[1] == large.records


def test_a_file_that_another_process_holds_is_told_and_works_when_it_is_let_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.05)
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="locked") as told:
            store.commit(Batch({A: b"1"}))
        assert not told.value.damaged
        second = SqliteStore(path)
        with pytest.raises(StoreFailed, match="locked"):
            second.open()
        other.execute("ROLLBACK")
        store.commit(Batch({A: b"1"}))
        assert second.open() == (Opening.BROKEN_OFF, {A: b"1"})
        second._let_go()


def test_a_new_beginning_that_failed_is_made_up_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    with opened(path) as store:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", _refuse)
            with pytest.raises(StoreFailed, match="Read-only"):
                store.begin_anew()
        with pytest.raises(StoreFailed) as told:
            store.commit(Batch({A: b"1"}))
        assert told.value.damaged
        store.begin_anew()
        store.commit(Batch({A: b"1"}))
    assert found_in(path)[1] == {A: b"1"}


def _refuse(_path: Path, _target: object) -> None:
    raise OSError(30, "Read-only file system")


# -- other versions --------------------------------------------------------------------------------

NEXT = (
    *STEPS,
    Step(
        (
            "ALTER TABLE commands ADD COLUMN sender TEXT",
            "CREATE TABLE pictures (name TEXT PRIMARY KEY)",
            "INSERT INTO pictures VALUES ('one')",
        ),
        readable_from=len(STEPS),
    ),
)
AFTER_NEXT = (*NEXT, Step(("ALTER TABLE records ADD COLUMN owner TEXT",), readable_from=len(NEXT) + 1))


def test_going_one_version_forward_back_and_forward_again_keeps_everything(path: Path) -> None:
    with opened(path) as store:
        store.commit(Batch({A: b"1"}, [received("x")]))
    assert found_in(path, NEXT) == (Opening.BROKEN_OFF, {A: b"1"})
    with opened(path) as older:
        assert older.digest(b"x") is not None
        older.commit(Batch({B: b"2"}, [received("y")]))
        older.close(in_order=True)
    assert found_in(path, NEXT) == (Opening.CLOSED, {A: b"1", B: b"2"})
    with opened(path, NEXT) as newer:
        assert newer.digest(b"y") is not None
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM pictures").fetchall() == [("one",)]
        assert raw.execute("PRAGMA user_version").fetchone() == (len(NEXT),)


def test_a_file_of_two_versions_ahead_is_a_clear_mistake_and_is_not_touched(path: Path) -> None:
    close_in_order(path)
    store = SqliteStore(path, AFTER_NEXT)
    store.open()
    store.close(in_order=True)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"newer version.*Install that version again"):
        SqliteStore(path).open()
    assert path.read_bytes() == before
    assert list(path.parent.glob("*.damaged-*")) == []


def test_a_step_that_fails_changes_nothing(path: Path) -> None:
    with opened(path) as store:
        store.commit(Batch({A: b"1"}))
    broken = (*STEPS, Step(("CREATE TABLE pictures (name TEXT)", "INSERT INTO nowhere VALUES (1)"), readable_from=1))
    with pytest.raises(StoreFailed):
        SqliteStore(path, broken)._open()
    assert found_in(path) == (Opening.BROKEN_OFF, {A: b"1"})
