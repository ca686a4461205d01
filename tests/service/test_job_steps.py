"""The steps of a job before its start: on disk before they are taken, also after a restart."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from bambu_connector.errors import Unreachable
from bambu_connector.service import records
from bambu_connector.service.job_steps import CLOCK_WAIT_S, NOTE_S, RESUME_S
from bambu_connector.service.journal import PATIENCE_S
from bambu_connector.service.records import JobRecord
from bambu_connector.service.shelf import RETRY_S
from bambu_connector.service.store import StoreFailed
from bambu_connector.translate.guards import FRESH_S
from bambu_connector.translate.job import Phase
from tests.service.bench import DOWNLOAD, FILE, START, URL, Bench, Pending, bench, pass_time
from tests.service.fakes import FakeClock, FakePrinter, FakeStore
from tests.simulated import simulated, until

FULL = StoreFailed("database or disk is full")
SOMEBODY_ELSE = b'{"print":{"command":"push_status","gcode_state":"RUNNING","subtask_name":"Benchy","subtask_id":"0"}}'


def on_disk(store: FakeStore) -> JobRecord | None:
    """Return the one job that a power cut would leave."""
    found = [JobRecord.decode(orjson.loads(body)) for (kind, _), body in store.records.items() if kind == records.JOB]
    return found[0] if found else None


def phase_on_disk(store: FakeStore) -> Phase | None:
    job = on_disk(store)
    return job.phase if job else None


class Spy:
    """Notes how far the job was on disk whenever something outside was touched."""

    def __init__(self, b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.touched: list[tuple[str, Phase | None]] = []
        self._store = b.store
        for owner, name in ((b.wires.downloader, "fetch"), (b.printer.storage, "put"), (b.printer, "take")):
            monkeypatch.setattr(owner, name, self._noting(name, getattr(owner, name)))

    def _noting(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any) -> Any:
            if name != "take" or b'"project_file"' in args[0]:
                self.touched.append((name, phase_on_disk(self._store)))
            return work(*args)

        return noting


# -- on disk first ---------------------------------------------------------------------------------


@simulated
async def test_each_step_is_on_disk_before_anything_outside_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as b:
        spy = Spy(b, monkeypatch)
        assert (await b.deliver(START, {"url": URL}).answered()).code == "success"
        assert spy.touched == [("fetch", Phase.FETCHING), ("put", Phase.STORING), ("take", Phase.OUT)]
        assert len(b.printer.starts) == 1


@simulated
async def test_when_a_start_is_sent_the_disk_says_what_its_print_is_recognised_by_and_what_lies_there(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        found: list[JobRecord | None] = []
        take = b.printer.take

        def noting(payload: bytes, qos: int) -> None:
            if b'"project_file"' in payload:
                found.append(on_disk(b.store))
            take(payload, qos)

        b.printer.take = noting  # type: ignore[method-assign]
        assert (await b.deliver(START, {"url": URL, "job_id": "J7"}).answered()).code == "success"
        (job,) = found
        assert job is not None
        assert job.out is not None
        asked = b.printer.starts[0].body
        assert (job.out.mark.name, job.out.mark.file) == (asked["subtask_name"], asked["file"])
        assert str(job.out.mark.job_number) == asked["subtask_id"]
        assert (job.file, job.wrote, job.stored, job.out.file) == (asked["file"], True, True, asked["file"])
        assert job.out.job_id == "J7"
        assert job.receipt


@simulated
async def test_no_step_begins_before_the_disk_has_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.wires.files.is_closed = lambda: True
        b.farm._around.journal._thread = b.wires.files
        job = b.deliver(START, {"url": URL})
        await pass_time(PATIENCE_S - 1)
        assert b.wires.downloader.fetched == []
        b.wires.files.open()
        assert (await job.answered()).code == "success"


@simulated
async def test_a_step_that_takes_long_says_again_and_again_that_it_goes_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        b.deliver(START, {"url": URL})
        await b.until_stage("upload")
        first = on_disk(b.store)
        (task,) = b.unit.jobs._tasks
        progress = b.unit.jobs._steps._progress(task)
        for _ in range(10):
            await pass_time(NOTE_S / 4)
            progress(1, 10)
        await pass_time(0.1)
        last = on_disk(b.store)
        assert first is not None
        assert last is not None
        assert last.saved.since_boot - first.saved.since_boot >= 2 * NOTE_S
        b.release()


# -- a disk that refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", [START, DOWNLOAD])
@simulated
async def test_with_a_full_disk_a_job_is_refused_and_nothing_reaches_the_printer(tmp_path: Path, command: str) -> None:
    async with bench(tmp_path) as b:
        b.store.failure = FULL
        first = await b.deliver(command, {"url": URL}).answered()
        second = await b.deliver(command, {"url": URL}).answered()
        assert {first.code, second.code} == {"internal"}
        assert "disk" in first.data["error"]
        assert b.wires.downloader.fetched == []
        assert not b.printer.storage.calls
        assert not b.printer.acts
        b.store.failure = None
        await pass_time(10)
        assert (await b.deliver(START, {"url": URL}).answered()).code == "success"


@pytest.mark.parametrize("stage", ["download", "verify", "upload"])
@simulated
async def test_a_disk_that_fills_up_during_a_job_ends_it_before_its_start(tmp_path: Path, stage: str) -> None:
    async with bench(tmp_path) as b:
        b.hold(stage)
        job = b.deliver(START, {"url": URL})
        await b.until_stage(stage)
        await pass_time(1)
        b.store.failure = FULL
        b.release()
        assert (await job.answered()).code == "internal"
        await b.until_clean()
        assert not b.printer.acts


@simulated
async def test_a_disk_that_fills_up_right_before_the_start_keeps_it_from_being_sent(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        job = await held(b, deliver=True)
        b.store.failure = FULL
        b.printer.withholds = lambda _message: False
        assert (await job.answered()).ending == ("internal", "start")
        assert not b.printer.acts
        await b.until_clean()


async def held(b: Bench, *, deliver: bool = False) -> Pending:
    """Give a start and hold it where it is judged, in a printer that has fallen silent."""
    b.hold("upload")
    job = b.deliver(START, {"url": URL}) if deliver else b.start()
    await b.until_stage("upload")
    b.printer.withholds = lambda _message: True
    await pass_time(FRESH_S + 1)
    b.release()
    await b.until_stage("start")
    return job


# -- the guards have the last word -----------------------------------------------------------------


@simulated
async def test_after_the_disk_the_guards_are_asked_once_more(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:

        def committed() -> None:
            if phase_on_disk(b.store) is Phase.OUT:
                b.printer.connections[-1].say(SOMEBODY_ELSE)

        b.store.committed = committed
        job = await b.deliver(START, {"url": URL}).answered()
        assert job.ending == ("printer_busy", "start")
        assert not b.printer.starts
        await b.until_clean()
        assert on_disk(b.store) is None


# -- after a restart -------------------------------------------------------------------------------


async def left_in(folder: Path, stage: str, clock: FakeClock, store: FakeStore) -> FakePrinter:
    """Bring a job into a stage and let the process end there; return its printer."""
    printer = FakePrinter()
    async with bench(folder, printers=[printer], clock=clock, store=store, hand_over=True) as b:
        b.hold(stage)
        job = b.deliver(START, {"url": URL})
        await b.until_stage(stage)
        await pass_time(1)
    for gate in printer.storage.gates.values():
        gate.open()
    assert not job.is_answered
    assert on_disk(store) is not None
    return printer


def answers(b: Bench) -> list[tuple[str, str | None]]:
    """Return the code (or `success`) and the stage of every answer that was posted."""
    found: list[tuple[str, str | None]] = []
    for each in b.said:
        data = orjson.loads(each.payload)["data"]
        if each.type.value == "success":
            found.append(("success", None))
        elif each.type.value == "error":
            found.append((data["code"], data.get("stage")))
    return found


@pytest.mark.parametrize("stage", ["download", "verify", "upload"])
@simulated
async def test_a_young_job_goes_on_in_the_next_process_and_is_started_once(tmp_path: Path, stage: str) -> None:
    clock, store = FakeClock(), FakeStore()
    printer = await left_in(tmp_path, stage, clock, store)
    await pass_time(RESUME_S - 60)
    async with bench(tmp_path, printers=[printer], clock=clock, store=store) as b:
        await until(lambda: answers(b), within=200)
        assert answers(b) == [("success", None)]
        assert len(printer.starts) == 1
        await pass_time(0.1)
        assert on_disk(store) is None


@pytest.mark.parametrize("stage", ["download", "verify", "upload"])
@simulated
async def test_an_old_job_is_expired_and_leaves_nothing(tmp_path: Path, stage: str) -> None:
    clock, store = FakeClock(), FakeStore()
    printer = await left_in(tmp_path, stage, clock, store)
    await pass_time(RESUME_S + 60)
    printer.refusal = Unreachable("It is switched off.")  # it is not waited for
    async with bench(tmp_path, printers=[printer], clock=clock, store=store, ready=False) as b:
        await until(lambda: answers(b), within=0.5)
        assert answers(b) == [("expired", "download")]
        assert "16 min" in str(b.said)
        printer.refusal = None
        await b.until_clean(within=2 * RETRY_S)
        assert b.wires.downloader.fetched == []
        assert not printer.starts
        assert on_disk(store) is None
        assert list((tmp_path / "downloads").iterdir()) == []


@pytest.mark.parametrize(("found_after", "ending"), [(30.0, "success"), (None, "expired")])
@simulated
async def test_after_a_power_cut_a_job_waits_for_the_time_and_not_for_ever(
    tmp_path: Path, found_after: float | None, ending: str
) -> None:
    clock, store = FakeClock(), FakeStore()
    printer = await left_in(tmp_path, "download", clock, store)
    clock.boots += 1
    clock.is_sure = False
    async with bench(tmp_path, printers=[printer], clock=clock, store=store) as b:
        began = clock.monotonic()
        await pass_time(found_after or CLOCK_WAIT_S - 5)
        assert answers(b) == []
        assert b.wires.downloader.fetched == []
        clock.is_sure = found_after is not None
        await until(lambda: answers(b), within=100)
        assert [code for code, _ in answers(b)] == [ending]
        assert len(printer.starts) == (ending == "success")
        assert clock.monotonic() - began < CLOCK_WAIT_S + 5


@pytest.mark.parametrize(("back_after", "ending"), [(300.0, "success"), (None, "expired")])
@simulated
async def test_a_job_waits_for_its_printer_to_come_back_as_long_as_it_is_young(
    tmp_path: Path, back_after: float | None, ending: str
) -> None:
    clock, store = FakeClock(), FakeStore()
    printer = await left_in(tmp_path, "download", clock, store)
    printer.refusal = Unreachable("It is switched off.")
    async with bench(tmp_path, printers=[printer], clock=clock, store=store, ready=False) as b:
        await pass_time(back_after or RESUME_S - 30)
        assert answers(b) == []
        assert b.wires.downloader.fetched == []
        if back_after is not None:
            printer.refusal = None
        await until(lambda: answers(b), within=200)
        assert [code for code, _ in answers(b)] == [ending]
        assert len(printer.starts) == (ending == "success")


@pytest.mark.parametrize(("content", "is_stored_again"), [(FILE, False), (FILE[:-1], True), (None, True)])
@simulated
async def test_a_file_that_was_stored_whole_is_not_stored_again_and_any_other_is(
    tmp_path: Path, content: bytes | None, is_stored_again: bool
) -> None:
    clock, store, printer = FakeClock(), FakeStore(), FakePrinter()
    async with bench(tmp_path, printers=[printer], clock=clock, store=store, hand_over=True) as b:
        await held(b, deliver=True)
        await pass_time(0.5)
    job = on_disk(store)
    assert job is not None
    assert job.stored
    assert job.file is not None
    printer.storage.files.clear()
    if content is not None:
        printer.storage.files[job.file] = content
    printer.storage.calls.clear()
    printer.withholds = lambda _message: False
    async with bench(tmp_path, printers=[printer], clock=clock, store=store) as b:
        await until(lambda: answers(b), within=200)
        assert answers(b) == [("success", None)]
        assert (("put", job.file) in printer.storage.calls) is is_stored_again
        assert printer.storage.files == {job.file: FILE}
        assert len(printer.starts) == 1


@simulated
async def test_a_restart_during_a_restart_makes_a_job_no_younger(tmp_path: Path) -> None:
    clock, store = FakeClock(), FakeStore()
    printer = await left_in(tmp_path, "download", clock, store)
    printer.refusal = Unreachable("It is switched off.")
    endings: list[tuple[str, str | None]] = []
    for _ in range(4):
        async with bench(tmp_path, printers=[printer], clock=clock, store=store, ready=False, hand_over=True) as b:
            await pass_time(RESUME_S / 3)
        endings = answers(b)  # the stop is late enough for it, too
        if endings:
            break
    assert [code for code, _ in endings] == ["expired"]
    await asyncio.sleep(0.1)
    assert on_disk(store) is None
