"""What the journal knows of one printer."""

import asyncio
from pathlib import Path

import pytest

from bambu_connector.bambu.view import JobIdentity
from bambu_connector.errors import Internal
from bambu_connector.service import records
from bambu_connector.service.clock import Moment
from bambu_connector.service.journal import Journal
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.records import FileRecord, JobRecord, PrintRecord
from bambu_connector.service.store import StoreFailed
from bambu_connector.translate.job import Kind, Phase
from bambu_connector.translate.recognise import StartMark
from tests.service.fakes import FakeClock, FakeStore, fake_journal
from tests.simulated import simulated

LEFT, RIGHT = "01P00A000000001", "01P00A000000002"
MOMENT = Moment(1e9, "b", 5.0)


def job(number: int, phase: Phase = Phase.FETCHING) -> JobRecord:
    return JobRecord(serial=LEFT, number=number, kind=Kind.PRINT, phase=phase, saved=MOMENT, receipt="1")


def print_of(job_id: str) -> PrintRecord:
    before = JobIdentity(None, None, None, None, None)
    mark = StartMark(job_number=7, name="part-7", file="part-7.3mf", before=before, before_state=None)
    return PrintRecord(mark=mark, file=None, job_id=job_id, command_id=None, published=MOMENT, is_certain=True)


def keys(journal: Journal, kind: str) -> list[str]:
    return [key for key, _ in journal.all(kind)]


@simulated
async def test_a_job_is_known_as_it_last_was_until_it_is_over(tmp_path: Path) -> None:
    journal = fake_journal(tmp_path, FakeClock())
    ledger = Ledger(journal, LEFT, FakeClock())
    for number in (9, 10, 100):
        ledger.note_job(job(number))
    ledger.note_job(job(10, Phase.STORING))
    assert [JobRecord.decode(body) for _, body in journal.all(records.JOB)] == [
        job(9),
        job(10, Phase.STORING),
        job(100),
    ]
    ledger.end_job(9)
    ledger.end_job(9)
    assert [int(key) for key in keys(journal, records.JOB)] == [10, 100]


@simulated
async def test_each_printer_has_one_print_and_files_of_its_own(tmp_path: Path) -> None:
    journal = fake_journal(tmp_path, FakeClock())
    left, right = (Ledger(journal, serial, FakeClock()) for serial in (LEFT, RIGHT))
    left.note_print(print_of("first"))
    left.note_print(print_of("second"))
    right.note_print(print_of("other"))
    assert [body["job_id"] for _, body in journal.all(records.PRINT)] == ["second", "other"]
    left.note_print(None)
    left.note_print(None)
    assert keys(journal, records.PRINT) == [RIGHT]
    for ledger in (left, right):
        ledger.note_file(FileRecord(serial=ledger.serial, name="a.3mf", doomed=False))
    left.note_file(FileRecord(serial=LEFT, name="a.3mf", doomed=True))
    right.forget_file("a.3mf")
    assert [(body["serial"], body["doomed"]) for _, body in journal.all(records.FILE)] == [(LEFT, True)]


@simulated
async def test_a_number_is_given_once_and_not_while_it_could_not_be_journalled(tmp_path: Path) -> None:
    store = FakeStore()
    journal = fake_journal(tmp_path, FakeClock(), store)
    ledger = Ledger(journal, LEFT, FakeClock())
    assert ledger.new_job() != ledger.new_job()
    store.failure = StoreFailed("database or disk is full")
    with pytest.raises(Internal, match="disk is full"):
        await ledger.secure()
    before = journal.get("counter", "job")
    with pytest.raises(Internal, match="disk is full"):
        ledger.new_job()
    assert journal.get("counter", "job") == before


@simulated
async def test_what_is_secured_is_on_disk(tmp_path: Path) -> None:
    store = FakeStore()
    ledger = Ledger(fake_journal(tmp_path, FakeClock(), store), LEFT, FakeClock())
    ledger.note_job(job(7))
    assert not store.commits
    await ledger.secure()
    assert len(store.commits) == 1


@simulated
async def test_now_is_a_moment_that_grows_old(tmp_path: Path) -> None:
    clock = FakeClock()
    ledger = Ledger(fake_journal(tmp_path, clock), LEFT, clock)
    moment = ledger.now()
    await asyncio.sleep(30)
    assert moment.age(clock) == pytest.approx(30)
