"""Our files on one printer's storage."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bambu_connector.errors import AccessDenied, StorageMissing, Unreachable, UploadFailed
from bambu_connector.service import records
from bambu_connector.service.journal import Journal
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.records import FileRecord
from bambu_connector.service.shelf import RETRY_S, Shelf, Stored
from tests.service.bench import DOWNLOAD, FILE, STOP, URL, bench, pass_time
from tests.service.fakes import FakeClock, FakeStorage, fake_journal
from tests.simulated import run, simulated, until

SERIAL = "01P00A000000001"
START_STORED = "printer_control/start_print"


def stored(name: str, requested: str = "part.3mf") -> Stored:
    return Stored(name, requested, 1, "", None)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return run(opened(tmp_path))


async def opened(folder: Path) -> Journal:
    return fake_journal(folder, FakeClock())


def shelf(
    storage: FakeStorage,
    journal: Journal,
    *,
    keep: int | None = 10,
    in_use: frozenset[str] = frozenset(),
    is_reachable: Callable[[], bool] = lambda: True,
) -> Shelf:
    ledger = Ledger(journal, SERIAL, FakeClock())
    return Shelf(lambda: storage, ledger, keep=keep, in_use=in_use.__contains__, is_reachable=is_reachable)


def filled(*names: str) -> FakeStorage:
    storage = FakeStorage()
    storage.files = dict.fromkeys(names, b"x")
    return storage


@simulated
async def test_a_file_is_found_by_either_of_its_names_the_newest_first(journal: Journal) -> None:
    s = shelf(FakeStorage(), journal)
    for each in (stored("part-1.3mf"), stored("part-2.3mf"), stored("other-3.3mf", "other.3mf")):
        s.keep(each)
    assert [found.name for name in ("part.3mf", "part-1.3mf", "other.3mf") if (found := s.find(name))] == [
        "part-2.3mf",
        "part-1.3mf",
        "other-3.3mf",
    ]
    assert s.find("unknown.3mf") is None
    s.forget("part-2.3mf")
    assert (found := s.find("part.3mf")) is not None
    assert found.name == "part-1.3mf"


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (None, ["a", "b", "c"])])
@simulated
async def test_the_oldest_files_beyond_the_limit_go(keep: int | None, left: list[str], journal: Journal) -> None:
    storage = filled("a", "b", "c")
    s = shelf(storage, journal, keep=keep)
    sweeping = asyncio.create_task(s.run())
    for name in ("a", "b", "c"):
        s.keep(stored(name))
    await asyncio.sleep(1)
    assert sorted(storage.files) == left
    assert sorted(each.name for each in s.stored) == left
    sweeping.cancel()


@simulated
async def test_a_file_in_use_stays_though_it_is_the_oldest(journal: Journal) -> None:
    storage = filled("a", "b", "c")
    s = shelf(storage, journal, keep=1, in_use=frozenset({"a"}))
    for name in ("a", "b", "c"):
        s.keep(stored(name))
    await s.sweep_now()
    assert sorted(storage.files) == ["a", "c"]


@pytest.mark.parametrize(
    "error", [Unreachable("off"), UploadFailed("no"), StorageMissing("no card"), AccessDenied("wrong code")]
)
@simulated
async def test_a_file_that_cannot_be_removed_is_tried_again_until_it_is_gone(
    error: Exception, journal: Journal
) -> None:
    storage = filled("a")
    storage.failures["remove"] = error
    s = shelf(storage, journal)
    sweeping = asyncio.create_task(s.run())
    s.doom("a")
    await asyncio.sleep(3 * RETRY_S + 1)
    assert len(storage.calls) == 4
    storage.failures.clear()
    await until(lambda: not storage.files, within=RETRY_S + 1)
    calls = len(storage.calls)
    await asyncio.sleep(300)
    assert len(storage.calls) == calls
    sweeping.cancel()


@simulated
async def test_a_file_doomed_while_another_waits_for_its_retry_is_removed_with_it(journal: Journal) -> None:
    storage = filled("a", "b")
    storage.failures["remove"] = Unreachable("off")
    s = shelf(storage, journal)
    sweeping = asyncio.create_task(s.run())
    s.doom("a")
    await asyncio.sleep(1)
    storage.failures.clear()
    s.doom("b")
    await until(lambda: not storage.files, within=RETRY_S + 1)
    sweeping.cancel()


@simulated
async def test_a_file_that_is_gone_already_counts_as_removed(journal: Journal) -> None:
    storage = filled()
    s = shelf(storage, journal)
    s.doom("a")
    await s.sweep_now()
    await s.sweep_now()
    assert storage.calls == [("remove", "a")]


@simulated
async def test_nothing_is_removed_while_another_task_has_its_turn(journal: Journal) -> None:
    storage = filled("a")
    s = shelf(storage, journal)
    s.doom("a")
    async with s.turn:
        sweep = asyncio.create_task(s.sweep_now())
        await asyncio.sleep(5)
        assert not storage.calls
    await sweep
    assert not storage.files


@simulated
async def test_nothing_is_removed_while_the_printer_is_away(journal: Journal) -> None:
    storage = filled("a")
    there = False
    s = shelf(storage, journal, is_reachable=lambda: there)
    sweeping = asyncio.create_task(s.run())
    s.doom("a")
    await asyncio.sleep(10 * RETRY_S)
    await s.sweep_now()
    assert not storage.calls
    there = True
    await until(lambda: not storage.files, within=RETRY_S + 1)
    sweeping.cancel()


# -- in the journal --------------------------------------------------------------------------------


def files(journal: Journal) -> dict[str, bool]:
    """Return the names of the files in the journal, and whether they are doomed."""
    return {body["name"]: body["doomed"] for _, body in journal.all(records.FILE)}


@simulated
async def test_the_journal_knows_each_file_from_its_arrival_until_it_is_gone(journal: Journal) -> None:
    storage = filled("a", "b")
    s = shelf(storage, journal, keep=1)
    s.keep(stored("a"))
    assert files(journal) == {"a": False}
    s.keep(stored("b"))
    assert files(journal) == {"a": True, "b": False}
    storage.failures["remove"] = Unreachable("off")
    await s.sweep_now()
    assert files(journal) == {"a": True, "b": False}
    storage.failures.clear()
    await s.sweep_now()
    assert files(journal) == {"b": False}
    s.forget("b")
    assert files(journal) == {}


@simulated
async def test_after_a_restart_what_was_kept_is_found_and_what_was_doomed_goes(journal: Journal) -> None:
    storage = filled("kept-1.3mf", "doomed-2.3mf", "holiday.3mf")
    before = shelf(storage, journal)
    before.keep(stored("kept-1.3mf"))
    before.doom("doomed-2.3mf")
    after = shelf(storage, journal)
    for _, body in list(journal.all(records.FILE)):
        after.restore(FileRecord.decode(body))
    await after.sweep_now()
    assert sorted(storage.files) == ["holiday.3mf", "kept-1.3mf"]
    assert (found := after.find("part.3mf")) is not None
    assert (found.name, found.size, found.sliced) == ("kept-1.3mf", 1, None)
    assert files(journal) == {"kept-1.3mf": False}


@simulated
async def test_a_farm_keeps_as_many_files_as_it_is_told(tmp_path: Path) -> None:
    async with bench(tmp_path, keep_files=2) as b:
        names = [(await b.ask(DOWNLOAD, {"url": URL})).data["file_name"] for _ in range(3)]
        await pass_time(1)
        assert sorted(b.files) == sorted(names[1:])


@simulated
async def test_the_file_of_a_print_stays_while_it_prints_however_many_are_stored(tmp_path: Path) -> None:
    async with bench(tmp_path, keep_files=1, speed=1.0) as b:
        printed = (await b.ask(DOWNLOAD, {"url": URL})).data["file_name"]
        assert (await b.ask(START_STORED, {"file_name": printed})).code == "success"
        newer = [(await b.ask(DOWNLOAD, {"url": URL})).data["file_name"] for _ in range(2)]
        await pass_time(10)
        assert sorted(b.files) == sorted([printed, newer[1]])
        assert (await b.ask(STOP)).code == "success"
        await pass_time(100)
        assert sorted(b.files) == [newer[1]]  # what was spared because it was in use goes after it


@simulated
async def test_a_file_that_is_doomed_and_then_started_stays_until_its_print_has_ended(tmp_path: Path) -> None:
    async with bench(tmp_path, keep_files=1, speed=1.0) as b:
        first = (await b.ask(DOWNLOAD, {"url": URL})).data["file_name"]
        b.printer.storage.failures["remove"] = UploadFailed("not now")
        await b.ask(DOWNLOAD, {"url": URL})
        await pass_time(1)
        assert (await b.ask(START_STORED, {"file_name": first})).code == "success"
        b.printer.storage.failures.clear()
        await pass_time(2 * RETRY_S)
        assert first in b.files
        assert (await b.ask(STOP)).code == "success"
        await until(lambda: first not in b.files, within=2 * RETRY_S)


@simulated
async def test_a_file_of_somebody_else_is_never_removed(tmp_path: Path) -> None:
    async with bench(tmp_path, keep_files=0) as b:
        b.files["holiday.gcode.3mf"] = FILE
        await b.until_printing()
        await until(lambda: b.printer.state == "FINISH", within=300)
        await pass_time(100)
        assert list(b.files) == ["holiday.gcode.3mf"]
