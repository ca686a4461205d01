"""The service's memory: what is on disk when, what is told when it is not, and what a new process knows."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError, Internal
from bambu_connector.sealing import Sealer
from bambu_connector.service import journal as module
from bambu_connector.service.clock import SystemClock
from bambu_connector.service.journal import JOB_NUMBERS, LAZY_S, PATIENCE_S, RETRY_S, Journal, Seen
from bambu_connector.service.store import Batch, Importance, Opening, SqliteStore, StoreFailed
from tests.service.fakes import FakeClock, FakeStore, GatedExecutor
from tests.simulated import InlineExecutor, simulated, until

FULL = StoreFailed("database or disk is full")
DAMAGED = StoreFailed("database disk image is malformed", damaged=True)
A, B = ("job", "a"), ("job", "b")


class Slow(GatedExecutor):
    """The journal's thread, which can be held up."""

    def hold(self) -> None:
        """Do nothing until it is opened."""
        self.is_closed = lambda: True


def journal_on(store: FakeStore, thread: InlineExecutor | None = None, clock: FakeClock | None = None) -> Journal:
    """Return an open journal; its key is made nowhere, for nothing is sealed."""
    journal = Journal(store, Sealer(Path("nowhere")), clock or FakeClock(), thread or InlineExecutor())
    journal.open()
    return journal


def note(journal: Journal, key: str, payload: bytes = b"x", importance: Importance = Importance.COMMAND) -> Seen:
    return journal.note_command(key, payload, importance)


def records(store: FakeStore) -> dict[tuple[str, str], bytes]:
    return {key: body for key, body in store.records.items() if key[0] != "counter"}


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# -- when it is on disk ----------------------------------------------------------------------------


@simulated
async def test_what_is_put_in_one_step_of_the_loop_is_one_transaction() -> None:
    store = FakeStore()
    journal = journal_on(store)
    journal.put("job", "a", {"n": 1})
    journal.put("job", "a", {"n": 2})
    journal.put("job", "b", {"n": 3})
    journal.drop("job", "b")
    note(journal, "c")
    number = journal.next_job_number()
    assert store.commits == []
    await journal.secure()
    (batch,) = store.commits
    assert batch.records == {A: b'{"n":2}', B: None, ("counter", "job"): b'{"last":%d}' % number}
    assert len(batch.commands) == 1


@simulated
async def test_what_has_not_changed_is_not_written_again() -> None:
    store = FakeStore()
    journal = journal_on(store)
    for _ in range(3):
        journal.put("job", "a", {"n": 1})
        await journal.secure()
    journal.drop("job", "gone")
    await asyncio.sleep(10)
    assert len(store.commits) == 1


@simulated
async def test_callbacks_come_when_what_was_put_before_them_is_on_disk_in_their_order() -> None:
    store, thread = FakeStore(), Slow()
    journal = journal_on(store, thread)
    seen: list[tuple[str, set[tuple[str, str]]]] = []

    def callback(name: str) -> Callable[[], None]:
        return lambda: seen.append((name, set(store.records)))

    journal.when_safe(callback("nothing to wait for"))
    thread.hold()
    journal.put("job", "a", {})
    journal.when_safe(callback("first"))
    await asyncio.sleep(1)
    journal.when_safe(callback("second"))  # nothing is new: the batch under way is waited for
    journal.put("job", "b", {})
    journal.when_safe(callback("third"))
    await asyncio.sleep(1)
    assert seen == [("nothing to wait for", set())]
    thread.open()
    await asyncio.sleep(1)
    assert seen[1:] == [("first", {A}), ("second", {A}), ("third", {A, B})]
    assert len(store.commits) == 2


@simulated
async def test_whoever_secures_waits_for_the_disk() -> None:
    store, thread = FakeStore(), Slow()
    journal = journal_on(store, thread)
    thread.hold()
    journal.put("job", "a", {})
    securing = asyncio.create_task(journal.secure())
    given_up = asyncio.create_task(journal.secure())
    await asyncio.sleep(5)
    given_up.cancel()
    assert not securing.done()
    thread.open()
    await securing
    assert A in store.records


@simulated
async def test_what_is_dropped_lazily_goes_with_the_next_that_is_written_or_soon() -> None:
    store = FakeStore()
    journal = journal_on(store)
    for key in ("a", "b"):
        journal.put("job", key, {})
    await journal.secure()
    journal.drop("job", "a", lazily=True)
    await asyncio.sleep(LAZY_S / 2)
    assert A in store.records
    journal.put("job", "c", {})
    await asyncio.sleep(0.01)
    assert A not in store.records
    journal.drop("job", "b", lazily=True)
    await asyncio.sleep(LAZY_S + 0.01)
    assert B not in store.records
    assert len(store.commits) == 3


# -- records ---------------------------------------------------------------------------------------


@simulated
async def test_records_come_in_the_order_of_their_keys_and_the_next_process_has_them() -> None:
    store = FakeStore()
    before = journal_on(store)
    keys = [before.new_key() for _ in range(12)]
    for key in reversed(keys):
        before.put("message", key, {"key": key})
    before.put("job", "a", {})
    await before.secure()
    after = journal_on(store)
    assert [key for key, _ in after.all("message")] == keys == sorted(keys)
    assert after.get("job", "a") == {}
    assert after.get("job", "b") is None


@simulated
async def test_a_record_that_cannot_be_read_is_forgotten_and_told(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    store.records |= {A: b"{", B: b"[1]", ("job", "c"): b'{"n":1}'}
    journal = journal_on(store)
    assert journal.get("job", "a") is None
    assert list(journal.all("job")) == [("c", {"n": 1})]
    await journal.secure()
    assert set(records(store)) == {("job", "c")}
    assert len(told(caplog)) == 2


@pytest.mark.parametrize("jump", [0.0, 1e7, -1e7])
@simulated
async def test_a_new_key_is_greater_than_every_other_also_after_a_restart_with_a_wrong_clock(jump: float) -> None:
    store, clock = FakeStore(), FakeClock()
    before = journal_on(store, clock=clock)
    keys = [before.new_key() for _ in range(100)]
    before.put("message", keys[-1], {})
    await before.secure()
    clock.wall_ahead = jump
    after = journal_on(store, clock=clock)
    keys += [after.new_key() for _ in range(100)]
    assert keys == sorted(set(keys))
    assert {len(each) for each in keys} == {20}


# -- commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize("importance", Importance)
@simulated
async def test_a_command_is_new_once_and_a_changed_one_is_known_too(importance: Importance) -> None:
    journal = journal_on(FakeStore())
    assert note(journal, "a", importance=importance) is Seen.NEW
    assert note(journal, "a", importance=importance) is Seen.AGAIN
    assert note(journal, "a", b"y", importance=importance) is Seen.CHANGED
    assert note(journal, "a", importance=importance) is Seen.AGAIN
    assert note(journal, "b") is Seen.NEW


@simulated
async def test_the_next_process_knows_the_commands_of_the_last_one() -> None:
    store = FakeStore()
    before = journal_on(store)
    note(before, "a")
    await before.secure()
    note(before, "lost with the power")
    after = journal_on(store)
    assert note(after, "a") is Seen.AGAIN
    assert note(after, "a", b"y") is Seen.CHANGED
    assert note(after, "lost with the power") is Seen.NEW


@simulated
async def test_a_command_that_memory_has_no_room_for_is_known_from_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBER_AT_LEAST", 10)
    journal = journal_on(FakeStore())
    for number in range(100):
        assert note(journal, str(number)) is Seen.NEW
        await journal.secure()
    assert len(journal._recent) == 10
    assert {note(journal, str(number)) for number in range(100)} == {Seen.AGAIN}
    assert note(journal, "0", b"y") is Seen.CHANGED


@simulated
async def test_a_disk_that_cannot_be_asked_for_a_command_makes_it_a_new_one_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeStore()
    store.opening = Opening.BROKEN_OFF
    journal = journal_on(store)
    store.failure = FULL
    assert note(journal, "a") is Seen.NEW
    assert note(journal, "a") is Seen.AGAIN
    with pytest.raises(Internal, match="disk is full"):
        journal.require_disk()
    assert len(told(caplog)) == 1


# -- trouble ---------------------------------------------------------------------------------------


@simulated
async def test_while_the_disk_refuses_everything_goes_on_and_is_written_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeStore()
    journal = journal_on(store)
    journal.put("job", "a", {})
    await journal.secure()
    store.failure = FULL
    called: list[int] = []
    for number in range(50):
        journal.put("message", str(number), {"n": number})
        journal.when_safe(lambda number=number: called.append(number))  # type: ignore[misc]
        note(journal, str(number))
        await asyncio.sleep(1)
    journal.drop("job", "a")
    assert called == list(range(50))
    with pytest.raises(Internal, match="disk is full"):
        await journal.secure()
    with pytest.raises(Internal, match="disk is full"):
        journal.require_disk()
    assert len(told(caplog)) == 1
    assert "Starts are refused" in told(caplog)[0]
    store.failure = None
    await asyncio.sleep(RETRY_S + 0.1)
    journal.require_disk()
    assert records(store) == {("message", str(number)): b'{"n":%d}' % number for number in range(50)}
    assert len(store.digests) == 50
    assert told(caplog)[1:] == ["the journal can be written again"]
    journal.put("job", "b", {})
    await journal.secure()
    assert B in store.records


@simulated
async def test_what_changed_while_an_older_state_could_not_be_written_stays_changed() -> None:
    store, thread = FakeStore(), Slow()
    journal = journal_on(store, thread)
    thread.hold()
    journal.put("job", "a", {"n": 1})
    journal.put("job", "b", {"n": 1})
    await asyncio.sleep(1)
    journal.put("job", "a", {"n": 2})
    journal.drop("job", "b")
    store.failure = FULL
    thread.open()
    await asyncio.sleep(1)
    assert journal.trouble
    store.failure = None
    await until(lambda: not journal.trouble)
    assert records(store) == {A: b'{"n":2}'}


@simulated
async def test_the_disk_is_not_tried_more_often_than_it_makes_sense() -> None:
    store = FakeStore()
    journal = journal_on(store)
    store.failure = FULL
    attempts: list[float] = []
    commit = store.commit

    def counted(batch: Batch) -> None:
        attempts.append(FakeClock().monotonic())
        commit(batch)

    store.commit = counted  # type: ignore[method-assign]
    for number in range(600):
        journal.put("message", str(number), {})
        await asyncio.sleep(0.1)
    assert 10 <= len(attempts) <= 60 / RETRY_S + 2


@simulated
async def test_what_waits_for_the_disk_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBER_AT_LEAST", 10)
    store = FakeStore()
    journal = journal_on(store)
    store.failure = FULL
    for number in range(200):
        note(journal, str(number))
        await asyncio.sleep(0.3)
    assert len(journal._pending.commands) <= 20
    store.failure = None
    await asyncio.sleep(RETRY_S + 0.1)
    assert 10 <= len(store.digests) <= 20
    assert note(journal, "199") is Seen.AGAIN


@simulated
async def test_a_bug_in_writing_keeps_nobody_waiting_and_loses_nothing() -> None:
    store = FakeStore()
    journal = journal_on(store)

    def fail() -> None:
        raise ZeroDivisionError

    store.committed = fail
    journal.put("job", "a", {})
    with pytest.raises(Internal, match="a bug"):
        await journal.secure()
    store.committed = lambda: None
    store.records.clear()
    await until(lambda: journal.trouble is None, within=2 * RETRY_S)
    assert A in store.records


@simulated
async def test_a_file_that_is_damaged_while_it_is_used_is_replaced_by_one_with_everything_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FakeStore()
    journal = journal_on(store)
    journal.put("job", "a", {"n": 1})
    journal.put("job", "gone", {})
    number = journal.next_job_number()
    note(journal, "before")
    await journal.secure()
    store.failure = DAMAGED
    journal.put("job", "b", {"n": 2})
    journal.drop("job", "gone")
    note(journal, "after")
    await journal.secure()
    assert records(store) == {A: b'{"n":1}', B: b'{"n":2}'}
    assert len(store.digests) == 2
    assert len(told(caplog)) == 1
    journal.require_disk()
    after = journal_on(store)
    assert [note(after, each) for each in ("before", "after")] == [Seen.AGAIN] * 2
    assert after.next_job_number() == number + 1


@simulated
async def test_a_file_that_was_damaged_is_told_and_forgets(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    store.opening = Opening.DAMAGED
    assert journal_on(store).opening is Opening.DAMAGED
    assert len(told(caplog)) == 1
    assert "look at the printers" in told(caplog)[0]


# -- a file that cannot be opened at first ---------------------------------------------------------


@pytest.mark.parametrize("opening", Opening)
@simulated
async def test_a_file_that_can_be_opened_only_later_is_then_taken_up(
    opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    store = FakeStore()
    store.opening, store.records = opening, {A: b'{"n":1}', ("counter", "job"): b'{"last":41}'}
    store.failure = StoreFailed("database is locked")
    journal = journal_on(store)
    late: list[dict[str, object] | None] = []
    journal.on_late_opening = lambda: late.append(journal.get("job", "a"))
    assert journal.get("job", "a") is None
    with pytest.raises(Internal, match="locked"):
        journal.require_disk()
    assert note(journal, "meanwhile") is Seen.NEW
    journal.put("job", "b", {"n": 2})
    await asyncio.sleep(3 * RETRY_S)
    assert not late
    store.failure = None
    await until(lambda: late)
    assert late == [{"n": 1}]
    assert journal.opening is opening
    assert records(store) == {A: b'{"n":1}', B: b'{"n":2}'}
    assert journal.next_job_number() == 42
    await asyncio.sleep(60)
    assert len(late) == 1


@simulated
async def test_a_file_that_can_be_opened_only_later_is_opened_though_nothing_is_to_be_written() -> None:
    store = FakeStore()
    store.records[A] = b"{}"
    store.failure = StoreFailed("database is locked")
    journal = journal_on(store)
    await asyncio.sleep(10 * RETRY_S)
    store.failure = None
    await until(lambda: journal.get("job", "a") is not None, within=RETRY_S + 1)
    assert journal.trouble is None


@simulated
async def test_how_a_file_was_found_is_not_forgotten_when_it_cannot_be_written_at_once() -> None:
    store = FakeStore()
    store.opening = Opening.DAMAGED
    store.failure = StoreFailed("database is locked")
    journal = journal_on(store)
    open_ = store.open

    def opened_and_full() -> object:
        store.failure = None
        found = open_()
        store.failure = FULL
        return found

    store.open = opened_and_full  # type: ignore[method-assign, assignment]
    await asyncio.sleep(2 * RETRY_S + 1)
    assert journal.trouble == str(FULL)
    store.failure = None
    await until(lambda: journal.trouble is None)
    assert journal.opening is Opening.DAMAGED


@simulated
async def test_a_file_of_a_newer_version_that_is_found_later_is_told_and_nothing_is_lost() -> None:
    store = FakeStore()
    store.failure = StoreFailed("database is locked")
    journal = journal_on(store)

    def newer() -> object:
        raise ConfigError("It was written by a newer version.")

    open_, store.open = store.open, newer  # type: ignore[method-assign, assignment]
    called: list[bool] = []
    journal.put("job", "a", {})
    journal.when_safe(lambda: called.append(True))
    await asyncio.sleep(3 * RETRY_S)
    assert called
    with pytest.raises(Internal, match="newer version"):
        journal.require_disk()
    store.open, store.failure = open_, None  # type: ignore[method-assign]
    await until(lambda: A in store.records)


# -- numbers ---------------------------------------------------------------------------------------


@simulated
async def test_a_job_number_is_never_given_twice_whenever_the_process_is_killed() -> None:
    store, used = FakeStore(), []
    for count in (1, 2, 5, 3):
        journal = journal_on(store)
        for _ in range(count):
            number = journal.next_job_number()
            await journal.secure()  # only then it is used
            used.append(number)
        journal.next_job_number()  # killed before it was on disk
    assert len(set(used)) == len(used)
    assert all(0 < each < 2**31 for each in used)


@simulated
async def test_two_state_directories_begin_elsewhere() -> None:
    assert len({journal_on(FakeStore()).next_job_number() for _ in range(5)}) == 5


@pytest.mark.parametrize("last", [1, JOB_NUMBERS - 2, JOB_NUMBERS - 1, JOB_NUMBERS])
@simulated
async def test_at_the_end_of_the_numbers_they_begin_again(last: int) -> None:
    store = FakeStore()
    store.records["counter", "job"] = b'{"last":%d}' % last
    journal = journal_on(store)
    given = [journal.next_job_number() for _ in range(5)]
    assert all(0 < each < 2**31 for each in given)
    assert len(set(given)) == 5


@pytest.mark.parametrize(
    "counter", [b"", b"[]", b"{}", b'{"last":0}', b'{"last":-1}', b'{"last":2147483648}', b'{"last":"x"}']
)
@simulated
async def test_a_counter_that_cannot_be_read_begins_anew(counter: bytes) -> None:
    store = FakeStore()
    store.records["counter", "job"] = counter
    assert 0 < journal_on(store).next_job_number() < 2**31


# -- the end ---------------------------------------------------------------------------------------


@simulated
async def test_the_end_in_order_writes_everything_first() -> None:
    store, thread = FakeStore(), Slow()
    journal = journal_on(store, thread)
    journal.put("job", "a", {})
    journal.drop("job", "a")
    journal.put("job", "b", {})
    await journal.close(heard_broker=True)
    assert set(records(store)) == {B}
    assert store.opening is Opening.CLOSED
    assert journal_on(store).opening is Opening.CLOSED


@simulated
async def test_the_end_does_not_wait_for_a_disk_that_refuses_nor_call_it_an_end_in_order() -> None:
    store = FakeStore()
    journal = journal_on(store)
    store.failure = FULL
    journal.put("job", "a", {})
    await asyncio.sleep(1)
    await journal.close(heard_broker=True)
    store.failure = None
    assert journal_on(store).opening is Opening.BROKEN_OFF


# -- with a real file and a real thread ------------------------------------------------------------


def test_on_a_real_file_what_was_secured_is_there_after_a_kill_and_after_an_end_in_order(tmp_path: Path) -> None:
    async def first() -> int:
        journal = Journal.open_in(tmp_path, SystemClock())
        assert journal.opening is Opening.NEW
        note(journal, "a")
        journal.put("job", "a", {"n": 1})
        number = journal.next_job_number()
        await journal.secure()
        journal._thread.shutdown()  # killed: nothing is closed
        assert isinstance(journal._store, SqliteStore)
        journal._store._let_go()
        return number

    async def second(number: int) -> None:
        journal = Journal.open_in(tmp_path, SystemClock())
        assert journal.opening is Opening.BROKEN_OFF
        assert note(journal, "a") is Seen.AGAIN
        assert journal.get("job", "a") == {"n": 1}
        assert journal.next_job_number() == number + 1
        await journal.close(heard_broker=True)

    async def third(number: int) -> None:
        journal = Journal.open_in(tmp_path, SystemClock())
        assert journal.opening is Opening.CLOSED
        assert note(journal, "a", b"y") is Seen.CHANGED
        assert journal.next_job_number() == number + 2
        await journal.close(heard_broker=True)

    given = asyncio.run(first())
    asyncio.run(second(given))
    asyncio.run(third(given))


def test_a_real_file_that_is_damaged_while_it_is_used_is_put_aside_and_nothing_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal.open_in(tmp_path, SystemClock())
        for number in range(200):
            journal.put("job", str(number), {"n": "x" * 100})
        note(journal, "a")
        await journal.secure()
        assert isinstance(journal._store, SqliteStore)
        assert journal._store._writer is not None
        journal._store._writer.execute("DROP TABLE records")
        journal.put("job", "late", {})
        await journal.secure()
        await journal.close(heard_broker=True)

    asyncio.run(scenario())
    assert len(list(tmp_path.glob("journal.db.damaged-*"))) >= 1
    connection = sqlite3.connect(tmp_path / "journal.db")
    assert connection.execute("SELECT count(*) FROM records WHERE kind = 'job'").fetchone() == (201,)
    assert connection.execute("SELECT count(*) FROM commands").fetchone() == (1,)
    connection.close()


@simulated
async def test_a_disk_that_hangs_keeps_nobody_waiting_and_is_forgiven_when_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, thread = FakeStore(), Slow()
    journal = journal_on(store, thread)
    thread.hold()
    journal.put("job", "a", {"n": 1})
    called: list[str] = []
    journal.when_safe(lambda: called.append("first"))
    await asyncio.sleep(PATIENCE_S / 2)
    journal.put("job", "b", {"n": 1})
    journal.when_safe(lambda: called.append("second"))
    assert called == []
    await asyncio.sleep(PATIENCE_S)
    assert called == ["first", "second"]
    with pytest.raises(Internal, match="has not answered"):
        journal.require_disk()
    thread.open()
    await until(lambda: not journal.trouble)
    await journal.secure()
    assert records(store) == {A: b'{"n":1}', ("job", "b"): b'{"n":1}'}
    assert len(told(caplog)) == 2


class Broken(FakeStore):
    """A file that is damaged, on a disk that has no room for a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.new_ones = 0
        self.has_room = False

    def commit(self, batch: Batch) -> None:
        if self.new_ones == 0:
            raise StoreFailed("malformed", damaged=True)
        super().commit(batch)

    def begin_anew(self) -> None:
        self.new_ones += 1
        if not self.has_room:
            raise FULL
        super().begin_anew()


@simulated
async def test_a_damaged_file_on_a_full_disk_is_told_once_and_costs_no_more_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Broken()
    journal = journal_on(store)
    for number in range(50):
        note(journal, f"c{number}")
    journal.put("job", "a", {"n": 1})
    await asyncio.sleep(300)
    waiting = len(journal._pending.commands)
    await asyncio.sleep(300)
    assert len(journal._pending.commands) == waiting <= 100
    assert len(told(caplog)) == 2
    store.has_room = True
    await until(lambda: not journal.trouble)
    assert A in records(store)
    assert len(store.digests) == 50


@simulated
async def test_a_disk_that_answers_just_now_makes_nothing_safe_that_it_was_not_given() -> None:
    store, thread = FakeStore(), Slow()
    journal = journal_on(store, thread)
    thread.hold()
    journal.put("job", "a", {"n": 1})
    await asyncio.sleep(PATIENCE_S + 1)  # it hangs: whoever asks is let go at once
    journal.put("job", "b", {"n": 1})
    securing = asyncio.create_task(journal.secure())
    thread.open()  # what was given to it is written, and what came later is not yet
    was_safe = ("job", "b") in store.records
    with pytest.raises(Internal):
        await securing
    assert not was_safe
    await journal.secure()
    assert records(store) == {A: b'{"n":1}', ("job", "b"): b'{"n":1}'}
