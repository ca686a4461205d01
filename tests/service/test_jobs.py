"""Jobs from their command to their end, on a virtual printer: stopping, starts that are out, and whose print it is."""

import asyncio
from pathlib import Path

import pytest

from bambu_connector.errors import (
    AccessDenied,
    DownloadFailed,
    IdentityMismatch,
    Internal,
    NotAPrinter,
    StorageFull,
    StorageMissing,
    Unreachable,
    UploadFailed,
)
from bambu_connector.service import records
from bambu_connector.service.job_steps import RECONNECT_WAIT_S
from bambu_connector.service.jobs import MAX_WAITING, SWEEP_S
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.records import JobRecord
from bambu_connector.service.shelf import RETRY_S
from bambu_connector.service.starts import UNEXPLAINED_S
from bambu_connector.translate.guards import FRESH_S
from bambu_connector.translate.job import Phase
from tests.files import sliced
from tests.service.bench import DOWNLOAD, FILE, HOME, PLA, START, STOP, URL, Bench, bench, pass_time
from tests.service.fakes import WALL_AT_ZERO, FakePrinter, is_reply, is_report
from tests.simulated import simulated, until

START_S = 180.0
SLOW = "slow-start=20"


# -- a job that goes well --------------------------------------------------------------------------


@simulated
async def test_a_print_is_fetched_stored_started_once_and_answered_when_it_is_seen(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        started = await b.start(job_id="J7").answered()
        assert started.code == "success"
        assert started.data["acknowledged"] is True
        assert started.data["job_id"] == "J7"
        assert started.data["requested_name"] == "bracket.gcode.3mf"
        (start,) = b.printer.starts
        assert start.body["subtask_name"] == started.data["task_name"]
        assert start.body["file"] == started.data["file_name"]
        assert b.files == {started.data["file_name"]: FILE}
        assert b.printer.state == "PREPARE"
        assert "hidden" not in str(started.answers)


@simulated
async def test_our_file_goes_when_the_print_has_ended_and_not_before(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        await until(lambda: b.printer.state == "RUNNING")
        assert b.files
        await until(lambda: b.printer.state == "FINISH", within=300)
        await b.until_clean()
        assert len(b.printer.starts) == 1


@simulated
async def test_a_download_is_stored_and_stays_and_nothing_is_started(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stored = await b.ask(DOWNLOAD, {"url": URL})
        assert stored.code == "success"
        assert b.files == {stored.data["file_name"]: FILE}
        await pass_time(100)
        assert list(b.files) == [stored.data["file_name"]]
        assert not b.printer.acts


@simulated
async def test_a_download_works_while_the_printer_prints(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.start_at_screen()
        assert (await b.ask(DOWNLOAD, {"url": URL})).code == "success"


@pytest.mark.parametrize("name", ["bracket.gcode.3mf", "on the printer"])
@simulated
async def test_a_stored_file_is_started_by_either_of_its_names_and_stays(tmp_path: Path, name: str) -> None:
    async with bench(tmp_path) as b:
        stored = await b.ask(DOWNLOAD, {"url": URL})
        asked = stored.data["file_name"] if name == "on the printer" else name
        assert (await b.ask("printer_control/start_print", {"file_name": asked})).code == "success"
        assert len(b.printer.starts) == 1
        await until(lambda: b.printer.state == "FINISH", within=300)
        await pass_time(60)
        assert list(b.files) == [stored.data["file_name"]]


@simulated
async def test_a_job_tells_its_stages_and_its_percent_and_is_idle_at_the_end(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.faults.add(SLOW)
        await b.start(job_id="J7").answered()
        told = [(each["process"]["job_state"], each["process"]["job_id"]) for each in b.statuses()]
        stages = [stage for place, (stage, _) in enumerate(told) if not place or told[place - 1][0] != stage]
        assert stages == ["idle", "queued", "download", "verify", "upload", "start", "idle"]
        assert {job for stage, job in told if stage != "idle"} == {"J7"}
        percents = [each["process"]["job_progress"] for each in b.statuses() if each["process"]["job_state"] != "idle"]
        assert percents == sorted(percents)
        assert b.statuses()[-1]["machines"][0]["current"]["job_id"] == "J7"


@simulated
async def test_the_print_keeps_its_job_id_until_it_has_ended_and_its_events_carry_it(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await b.start(job_id="J7").answered()
        await until(lambda: b.events()[-1]["event"] == "PrintDone", within=300)
        jobs = {each["event"]: each["job"].get("job_id") for each in b.events() if each["event"].startswith("Print")}
        assert jobs["PrintStarted"] == "J7"
        assert jobs["PrintDone"] == "J7"
        await until(lambda: b.statuses()[-1]["machines"][0]["current"]["job_id"] is None)
        assert [each["event"] for each in b.events() if each["event"].startswith("Transfer")] == [
            "TransferStarted",
            "TransferDone",
        ]


@simulated
async def test_nothing_is_left_on_this_machine(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        assert list((tmp_path / "downloads").iterdir()) == []


@simulated
async def test_a_download_that_cannot_be_removed_here_does_not_hold_up_the_next_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("job-"):
            raise OSError("Read-only file system")
        unlink(path, missing_ok=missing_ok)

    async with bench(tmp_path) as b:
        b.hold("download")
        jobs = [b.send(DOWNLOAD, {"url": URL}) for _ in range(2)]
        await b.until_stage("download")
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refuse)
            b.release()
            assert [(await each.answered()).code for each in jobs] == ["success", "success"]
        assert b.stage == "idle"
        assert "Read-only file system" in caplog.text


# -- what goes wrong before the start ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "ending"),
    [
        (DownloadFailed("The server says 404."), ("download_failed", "download")),
        (b"no archive at all", ("file_invalid", "verify")),
        (sliced(2_000, filaments=(PLA,), model_id="N1"), ("file_invalid", "verify")),
        (sliced(2_000, filaments=((1, "ABS", "#123456", "GFB99"),)), ("filament_mismatch", "verify")),
    ],
)
@simulated
async def test_a_file_that_does_not_do_ends_the_job_before_anything_is_written(
    tmp_path: Path, offer: bytes | Exception, ending: tuple[str, str]
) -> None:
    async with bench(tmp_path) as b:
        b.wires.downloader.offers[URL] = offer
        assert (await b.start().answered()).ending == ending
        assert not b.printer.storage.calls
        assert not b.printer.acts
        assert b.stage == "idle"


@simulated
async def test_a_file_that_is_not_the_one_that_was_meant_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert (await b.start(md5="0" * 32).answered()).ending == ("file_invalid", "verify")
        assert not b.printer.storage.calls


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageFull("It is full."), "storage_full"),
        (StorageMissing("There is none."), "storage_missing"),
        (UploadFailed("It broke."), "upload_failed"),
        (Unreachable("Nobody answers."), "upload_failed"),
        (NotAPrinter("A toaster answers."), "upload_failed"),
        (AccessDenied("The code is wrong."), "access_denied"),
        (IdentityMismatch("It shows another certificate."), "identity_mismatch"),
    ],
)
@simulated
async def test_an_upload_that_fails_ends_the_job_and_its_beginning_is_removed(
    tmp_path: Path, error: Exception, code: str
) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.storage.failures["put"] = error
        failed = await b.start().answered()
        assert failed.code == code
        await b.until_clean()
        assert not b.printer.acts
        assert [each["event"] for each in b.events()][:2] == ["TransferStarted", "TransferFailed"]


@simulated
async def test_a_bug_in_a_step_is_answered_and_the_next_job_works(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.wires.downloader.offers[URL] = ZeroDivisionError("a bug")
        assert (await b.start().answered()).code == "internal"
        b.wires.downloader.offers[URL] = FILE
        assert (await b.start().answered()).code == "success"


@simulated
async def test_a_job_that_gets_no_number_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Ledger) -> int:
        raise Internal("The disk is full.")

    async with bench(tmp_path) as b:
        monkeypatch.setattr(Ledger, "new_job", fail)
        assert b.start().code == "internal"
        assert b.stage == "idle"


@simulated
async def test_too_many_jobs_are_refused_with_an_answer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("download")
        jobs = [b.send(DOWNLOAD, {"url": URL}) for _ in range(MAX_WAITING + 2)]
        assert [each.code for each in jobs if each.is_answered] == ["printer_busy"] * 2
        b.release()
        await jobs[MAX_WAITING - 1].answered()
        assert {each.code for each in jobs[:MAX_WAITING]} == {"success"}


@simulated
async def test_a_job_that_waited_too_long_for_its_turn_is_expired(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("download")
        first, second = b.send(DOWNLOAD, {"url": URL}), b.send(DOWNLOAD, {"url": URL})
        await pass_time(15 * 60 + 1)
        b.release()
        await first.answered()
        assert (await second.answered()).ending == ("expired", "queued")
        assert len(b.wires.downloader.fetched) == 1


@simulated
async def test_expires_at_is_judged_once_more_right_before_the_start(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        expires = WALL_AT_ZERO + b.clock.monotonic() + 20
        job = b.send(START, {"url": URL}, envelope={"expires_at": expires})
        await pass_time(21)
        b.release()
        assert (await job.answered()).ending == ("expired", "start")
        await b.until_clean()
        assert not b.printer.acts


# -- stopping: the contract's table, row by row -----------------------------------------------------


@pytest.mark.parametrize("command", [START, DOWNLOAD])
@pytest.mark.parametrize("stage", ["download", "verify", "upload"])
@simulated
async def test_a_stop_before_the_start_aborts_and_removes_what_was_written(
    tmp_path: Path, command: str, stage: str
) -> None:
    async with bench(tmp_path) as b:
        b.hold(stage)
        job = b.send(command, {"url": URL})
        await b.until_stage(stage)
        assert bool(b.files) is (stage == "upload")
        stop = await b.ask(STOP)
        assert stop.ending == ("success", None)
        assert job.ending == ("cancelled", stage)
        assert b.files == {}
        assert not b.printer.acts
        b.release()
        await pass_time(60)
        assert b.files == {}
        assert not b.printer.acts
        assert list((tmp_path / "downloads").iterdir()) == []
        assert b.stage == "idle"


@simulated
async def test_a_stop_is_not_done_before_what_was_written_is_removed_but_does_not_wait_for_ever(tmp_path: Path) -> None:
    for patience, done in ((1.0, False), (SWEEP_S, True)):
        async with bench(tmp_path) as b:
            b.hold("upload")
            job = b.start()
            await b.until_stage("upload")
            b.printer.storage.gates["remove"].close()
            stop = b.send(STOP)
            await pass_time(patience + 0.1)
            assert job.ending == ("cancelled", "upload")
            assert stop.is_answered is done
            b.release()
            assert (await stop.answered()).code == "success"
            await b.until_clean()


@simulated
async def test_a_stop_of_a_start_of_a_stored_file_leaves_that_file(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stored = await b.ask(DOWNLOAD, {"url": URL})
        b.printer.storage.gates["size"].close()
        job = b.send("printer_control/start_print", {"file_name": stored.data["file_name"]})
        await b.until_stage("download")
        assert (await b.ask(STOP)).ending == ("success", None)
        assert job.ending == ("cancelled", "download")
        b.release()
        await pass_time(30)
        assert list(b.files) == [stored.data["file_name"]]
        assert not b.printer.acts


@simulated
async def test_a_stop_right_before_the_publish_drops_the_start(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        job = await b.held_in_start()
        assert (await b.ask(STOP)).ending == ("success", None)
        assert job.ending == ("cancelled", "start")
        assert b.files == {}
        b.printer.withholds = lambda _message: False
        await pass_time(60)
        assert not b.printer.acts


@simulated
async def test_a_stop_succeeds_although_the_file_cannot_be_removed_yet_and_it_goes_later(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.storage.failures["remove"] = Unreachable("Nobody answers.")
        assert (await b.ask(STOP)).code == "success"
        assert job.ending == ("cancelled", "upload")
        assert b.files
        b.printer.storage.failures.clear()
        await b.until_clean(within=100)


@simulated
async def test_a_stop_after_the_publish_is_sent_at_once_and_again_when_the_print_is_seen(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=[SLOW]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        await pass_time(1)
        asked = b.clock.monotonic()
        stop = b.send(STOP)
        await pass_time(1)
        assert len(b.printer.stops) == 1  # the printer refuses it: nothing is active yet
        assert not stop.is_answered
        assert not job.is_answered
        await stop.answered()
        assert stop.ending == ("success", None)
        assert job.ending == ("cancelled", "start")
        assert [each.at < asked + 1 for each in b.printer.stops] == [True, False]
        assert len(b.printer.starts) == 1
        assert b.printer.state == "FAILED"
        await b.until_clean()


@simulated
async def test_a_stop_of_a_start_that_the_printer_refuses_succeeds(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["refuse-start"]) as b:
        b.printer.withholds = is_reply
        job = b.start()
        await until(lambda: b.printer.starts)
        stop = b.send(STOP)
        await until(lambda: b.printer.stops)
        b.printer.say(refusal(b.printer))
        await stop.answered()
        assert stop.ending == ("success", None)
        assert job.ending == ("cancelled", "start")
        await b.until_clean()


def refusal(printer: FakePrinter) -> bytes:
    """Return what the printer answers to our start when it refuses it."""
    number = printer.starts[0].body["sequence_id"]
    body = f'"sequence_id":"{number}","command":"project_file","result":"fail","reason":"busy","err_code":83902468'
    return b'{"print":{' + body.encode() + b"}}"


@simulated
async def test_a_stop_of_a_start_that_never_shows_is_a_timeout_and_the_start_unknown(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["ignore-start"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        asked = b.clock.monotonic()
        stop = await b.ask(STOP)
        assert START_S <= b.clock.monotonic() - asked < START_S + 2
        assert stop.ending == ("timeout", None)
        assert job.ending == ("start_unknown", "start")
        assert len(b.printer.starts) == 1
        await pass_time(UNEXPLAINED_S + 10)
        assert b.files == {}


@simulated
async def test_a_print_that_was_stopped_while_it_was_started_is_over_when_the_printer_shows_idle(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, faults=[SLOW], speaks=True) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        stop = b.send(STOP)
        await until(lambda: b.printer.stops)
        b.printer.faults.add("deaf")
        await until(lambda: b.printer.state == "PREPARE")
        await pass_time(2)
        assert len(b.printer.stops) == 2
        b.printer.change(gcode_state="IDLE", subtask_name="", subtask_id="0", task_id="0", print_error=0)
        await pass_time(2)
        assert (stop.ending, job.ending) == (("success", None), ("cancelled", "start"))
        await until(lambda: b.events()[-1]["event"] == "PrintCancelled", within=20)


@simulated
async def test_two_stops_of_one_start_both_succeed(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=[SLOW]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        stops = [b.send(STOP), b.send(STOP)]
        for each in stops:
            assert (await each.answered()).code == "success"
        assert job.ending == ("cancelled", "start")


@pytest.mark.parametrize("whose", ["ours", "somebody's"])
@pytest.mark.parametrize("state", ["PREPARE", "RUNNING", "PAUSE"])
@simulated
async def test_a_stop_of_an_active_print_is_sent_once_and_done_when_it_is_seen_to_end(
    tmp_path: Path, state: str, whose: str
) -> None:
    async with bench(tmp_path) as b:
        if whose == "ours":
            job = await b.until_printing()
        else:
            b.printer.start_at_screen()
            job = None
        if state != "PREPARE":
            await until(lambda: b.printer.state == "RUNNING")
        if state == "PAUSE":
            b.printer.change(gcode_state="PAUSE")
        await pass_time(0.1)
        assert (await b.ask(STOP)).ending == ("success", None)
        assert len(b.printer.stops) == 1
        assert b.printer.state == "FAILED"
        assert job is None or job.ending == ("success", None)
        await b.until_clean()


@simulated
async def test_a_stop_that_a_printing_printer_does_not_hear_is_a_timeout_after_a_minute(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        b.printer.faults.add("deaf")
        asked = b.clock.monotonic()
        assert (await b.ask(STOP)).code == "timeout"
        assert 60 <= b.clock.monotonic() - asked < 61
        assert len(b.printer.stops) == 1
        assert b.files


@pytest.mark.parametrize(
    ("fault", "printing", "ending"),
    [(None, True, ("success", None)), (None, False, ("printer_error", None)), ("no-ack", True, ("timeout", None))],
)
@simulated
async def test_a_stop_while_the_state_is_not_known_is_sent_and_its_reply_decides(
    tmp_path: Path, fault: str | None, printing: bool, ending: tuple[str, str | None]
) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.withholds = is_report
        if printing:
            b.printer.start_at_screen()
        if fault:
            b.printer.faults.add(fault)
        await until(lambda: b.printer.is_connected)
        asked = b.clock.monotonic()
        assert (await b.ask(STOP)).ending == ending
        assert len(b.printer.stops) == 1
        assert fault is None or b.clock.monotonic() - asked >= 60


@simulated
async def test_a_stop_in_a_state_that_nobody_has_heard_of_is_sent_too(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.change(gcode_state="DREAMING")
        await b.ask(STOP)
        assert len(b.printer.stops) == 1


@pytest.mark.parametrize("stage", ["download", "verify", "upload"])
@simulated
async def test_a_stop_while_the_printer_is_offline_cancels_a_job_before_its_start(tmp_path: Path, stage: str) -> None:
    async with bench(tmp_path) as b:
        b.hold(stage)
        job = b.start()
        await b.until_stage(stage)
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        assert (await b.ask(STOP)).ending == ("success", None)
        assert job.ending == ("cancelled", stage)
        assert "remove" not in [method for method, _ in b.printer.storage.calls]  # nobody would answer
        b.release()
        b.printer.refusal = None
        await b.until_clean(within=2 * RETRY_S)
        assert not b.printer.acts


@simulated
async def test_a_stop_while_the_printer_is_offline_and_a_start_is_out_is_printer_offline(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=[SLOW]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        assert (await b.ask(STOP)).ending == ("printer_offline", None)
        assert not job.is_answered
        assert not b.printer.stops


@simulated
async def test_a_stop_while_the_printer_is_offline_and_nothing_is_under_way_is_printer_offline(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        assert (await b.ask(STOP)).ending == ("printer_offline", None)


@simulated
async def test_with_nothing_to_stop_a_stop_does_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert (await b.ask(STOP)).ending == ("wrong_state", None)
        assert not b.printer.acts


@simulated
async def test_beside_an_active_print_a_stop_means_the_print_and_not_the_download(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        b.hold("upload")
        download = b.send(DOWNLOAD, {"url": URL})
        await b.until_stage("upload")
        assert (await b.ask(STOP)).code == "success"
        assert b.printer.state == "FAILED"
        b.release()
        assert (await download.answered()).code == "success"


@simulated
async def test_where_nobody_knows_whether_a_print_is_active_a_stop_means_it_and_not_the_download(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, speed=1.0) as b:
        b.printer.start_at_screen()
        b.hold("download")
        download = b.send(DOWNLOAD, {"url": URL})
        await b.until_stage("download")
        b.printer.withholds = is_report
        b.printer.drop()
        await until(lambda: len(b.printer.connections) == 2 and b.unit.printer.is_connected)
        assert b.unit.printer.view is None
        assert (await b.ask(STOP)).code == "success"
        assert len(b.printer.stops) == 1
        assert b.printer.state == "FAILED"
        assert not download.is_answered
        b.printer.withholds = lambda _message: False
        b.release()
        assert (await download.answered()).code == "success"


@simulated
async def test_a_stop_of_a_print_that_is_out_of_reach_does_not_end_the_download_instead(tmp_path: Path) -> None:
    async with bench(tmp_path, speed=1.0) as b:
        b.printer.start_at_screen()
        b.hold("download")
        download = b.send(DOWNLOAD, {"url": URL})
        await b.until_stage("download")
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        assert (await b.ask(STOP)).code == "printer_offline"
        assert not download.is_answered
        b.printer.refusal = None
        await b.until_ready()
        b.release()
        assert (await download.answered()).code == "success"


@pytest.mark.parametrize("is_there", [True, False])
@simulated
async def test_a_stop_ends_all_jobs_of_the_printer_also_those_that_wait(tmp_path: Path, is_there: bool) -> None:
    async with bench(tmp_path) as b:
        b.hold("download")
        jobs = [b.start(), b.send(DOWNLOAD, {"url": URL}), b.send(DOWNLOAD, {"url": URL})]
        await until(lambda: b.wires.downloader.gate.waiting)
        if not is_there:
            b.printer.refusal = Unreachable("It is switched off.")
            b.printer.drop()
            await until(lambda: not b.unit.printer.is_connected)
        stop = await b.ask(STOP)
        assert stop.ending == ("success", None)
        assert stop.data["acknowledged"] is True
        assert [each.ending for each in jobs] == [
            ("cancelled", "download"),
            ("cancelled", "queued"),
            ("cancelled", "queued"),
        ]
        b.release()
        await pass_time(30)
        assert len(b.wires.downloader.fetched) == 1
        assert not b.printer.storage.calls
        assert not b.printer.acts
        assert b.stage == "idle"


@simulated
async def test_the_stop_of_a_start_that_was_out_is_not_acknowledged_by_the_printer(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=[SLOW]) as b:
        b.start()
        await until(lambda: b.printer.starts)
        stop = await b.ask(STOP)
        assert stop.ending == ("success", None)
        assert stop.data["acknowledged"] is False


@simulated
async def test_a_stop_that_was_lost_with_its_session_is_sent_again_on_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, speed=1.0, faults=["slow-start=5"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        await pass_time(1)
        with monkeypatch.context() as lost:
            lost.setattr(b.printer.machine, "handle", lambda _message, _now: [])
            stop = b.send(STOP)
            await until(lambda: b.printer.state in ("PREPARE", "RUNNING"))
            await pass_time(3)
            assert len(b.printer.stops) == 2  # at once, and when it was seen: neither was heard
            b.printer.drop()
        await stop.answered(within=30)
        assert (stop.ending, job.ending) == (("success", None), ("cancelled", "start"))
        assert len(b.printer.stops) == 3
        assert b.printer.state == "FAILED"
        assert len(b.printer.starts) == 1


@simulated
async def test_a_stop_is_not_sent_again_and_again_on_one_session(tmp_path: Path) -> None:
    async with bench(tmp_path, speed=1.0, faults=["slow-start=5"]) as b:
        b.start()
        await until(lambda: b.printer.starts)
        await pass_time(1)
        b.printer.faults.add("deaf")
        b.send(STOP)
        await until(lambda: b.printer.state == "RUNNING", within=170)
        await pass_time(20)
        assert len(b.printer.stops) == 2


@simulated
async def test_when_another_print_follows_the_one_that_is_being_stopped_the_stop_is_done(tmp_path: Path) -> None:
    async with bench(tmp_path, speed=1.0, faults=["slow-start=5"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        await pass_time(1)
        b.printer.faults.add("deaf")
        stop = b.send(STOP)
        await until(lambda: b.printer.state in ("PREPARE", "RUNNING"))
        await pass_time(2)
        sent = len(b.printer.stops)
        b.printer.change(gcode_state="RUNNING", subtask_name="Benchy", subtask_id="99", task_id="99")
        await pass_time(1)
        assert (stop.ending, job.ending) == (("success", None), ("cancelled", "start"))
        assert len(b.printer.stops) == sent


@simulated
async def test_a_start_of_unknown_outcome_can_be_stopped_and_is_stopped_again_when_it_is_seen(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["slow-start=250"], speaks=True) as b:
        assert (await b.start().answered()).code == "start_unknown"
        stop = await b.ask(STOP)
        assert stop.code == "printer_error"  # the printer's own reply: nothing is active yet
        assert len(b.printer.stops) == 1
        await until(lambda: len(b.printer.stops) == 2, within=100)
        await until(lambda: b.printer.state == "FAILED", within=5)
        await b.until_clean()
        await pass_time(100)
        ends = [each for each in b.events() if each["event"] in ("PrintCancelled", "PrintFailed", "PrintDone")]
        assert [(each["event"], each["job"]["task_name"]) for each in ends] == [
            ("PrintCancelled", b.printer.starts[0].body["subtask_name"])
        ]
        assert len(b.printer.stops) == 2
        assert len(b.printer.starts) == 1


@simulated
async def test_a_start_of_unknown_outcome_that_nobody_stops_is_left_to_print(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["slow-start=250"]) as b:
        assert (await b.start().answered()).code == "start_unknown"
        await until(lambda: b.printer.state == "FINISH", within=400)
        assert not b.printer.stops


# -- somebody at the screen -------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["download", "verify", "upload"])
@simulated
async def test_a_print_started_at_the_screen_during_our_job_is_left_alone_and_ours_is_not_started(
    tmp_path: Path, stage: str
) -> None:
    async with bench(tmp_path) as b:
        b.hold(stage)
        job = b.start()
        await b.until_stage(stage)
        b.printer.start_at_screen("Benchy")
        b.release()
        assert (await job.answered()).ending == ("printer_busy", "start")
        await b.until_clean()
        assert not b.printer.acts
        await until(lambda: b.printer.state == "FINISH", within=300)
        assert [each.title for each in b.printer.machine.starts] == ["Benchy"]


@simulated
async def test_a_print_started_at_the_screen_after_our_start_was_sent_is_not_taken_for_ours(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["ignore-start"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        await pass_time(5)
        began = b.clock.monotonic()
        b.printer.start_at_screen("Benchy")
        assert (await job.answered()).ending == ("printer_busy", "start")
        assert b.clock.monotonic() - began < 1
        await b.until_clean()
        assert not b.printer.stops
        assert b.printer.state == "PREPARE"


@simulated
async def test_a_silent_printer_is_asked_right_before_the_start_and_not_started_without_an_answer(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        job = await b.held_in_start()
        assert (await job.answered()).ending == ("not_ready", "start")
        assert not b.printer.acts
        await b.until_clean()


# -- while a start is out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("movement_control/jog", {"axes": {"x": 1}}),
        (HOME, {}),
        ("movement_control/extrude", {"amount": 5}),
        ("temperature_control/set_hotend", {"temperature": 200}),
        ("temperature_control/set_bed", {"temperature": 60}),
        ("filament_control/load", {"ams_id": 0, "slot_id": 1}),
        ("filament_control/unload", {}),
        ("printer_control/calibrate", {"bed_level": True}),
        ("printer_control/start_print", {"file_name": "other.gcode.3mf"}),
        (START, {"url": URL}),
    ],
)
@simulated
async def test_while_a_start_is_out_and_the_printer_still_shows_its_last_print_nothing_else_may_begin(
    tmp_path: Path, command: str, parameters: dict[str, object]
) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        await until(lambda: b.printer.state == "FINISH", within=300)
        b.printer.faults.add("lingering-finish=300")
        job = b.start()
        await until(lambda: len(b.printer.starts) == 2)
        acts = len(b.printer.acts)
        await pass_time(5)
        assert b.printer.state == "FINISH"
        assert (await b.ask(command, parameters)).code == "printer_busy"
        assert len(b.printer.acts) == acts
        assert (await job.answered()).code == "success"


@pytest.mark.parametrize("fault", ["mute-start=100", "lingering-finish=1000"])
@simulated
async def test_while_a_start_is_out_there_is_no_pushall_and_no_new_session(tmp_path: Path, fault: str) -> None:
    async with bench(tmp_path) as b:
        await pass_time(400)  # the model's interval would allow a pushall again
        b.printer.faults.add(fault)
        job = b.start()
        await until(lambda: b.printer.starts)
        before = len(b.printer.commands("pushall", "start"))
        status = b.send("printer_control/get_status")
        await job.answered()
        assert job.code == "success"
        assert status.kind == "status"
        assert len(b.printer.commands("pushall", "start")) == before
        assert len(b.printer.connections) == 1
        assert len(b.printer.starts) == 1


@pytest.mark.parametrize("virtual", ["P1S", "X1C"])
@simulated
async def test_a_start_is_found_again_after_the_session_broke(tmp_path: Path, virtual: str) -> None:
    async with bench(tmp_path, virtual=virtual, faults=["slow-start=60"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        b.printer.drop()
        assert (await job.answered()).code == "success"
        assert len(b.printer.starts) == 1


@simulated
async def test_a_model_that_wants_quiet_gets_no_new_session_for_135_s(tmp_path: Path) -> None:
    async with bench(tmp_path, model="P1P") as b:
        assert (await b.start().answered()).code == "success"
        b.printer.drop()
        await until(lambda: len(b.printer.attempts) == 2, within=200)
        assert b.printer.attempts[1] - b.printer.starts[0].at >= 135


@simulated
async def test_a_model_that_wants_quiet_is_not_asked_for_everything_for_135_s(tmp_path: Path) -> None:
    async with bench(tmp_path, model="P1P", speed=1.0) as b:
        await pass_time(400)
        assert (await b.start().answered()).code == "success"
        started = b.printer.starts[0].at
        assert not b.unit.printer.refresh()
        await pass_time(started + 134 - b.clock.monotonic())
        assert not b.unit.printer.refresh()
        await pass_time(2)
        assert b.unit.printer.refresh()


@simulated
async def test_a_lost_session_is_asked_for_its_state_again_while_a_start_is_out_but_not_often(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["slow-start=60"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        asked = len(b.printer.commands("pushall"))
        b.printer.withholds = is_report
        b.printer.drop()
        await until(lambda: len(b.printer.connections) == 2)
        await pass_time(100)
        assert not job.is_answered
        questions = b.printer.commands("pushall")[asked:]
        assert 3 <= len(questions) <= 5
        b.printer.withholds = lambda _message: False
        assert (await job.answered(within=40)).code == "success"
        count = len(b.printer.commands("pushall"))
        await pass_time(60)
        assert len(b.printer.commands("pushall")) == count
        assert len(b.printer.starts) == 1


# -- printers that give a print no ids --------------------------------------------------------------


@simulated
async def test_a_printer_that_echoes_no_ids_is_recognised_by_name_and_transition(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["no-ids"]) as b:
        job = await b.start().answered()
        assert job.code == "success"
        assert b.printer.machine.report.get("subtask_id") == "0"
        await until(lambda: b.printer.state == "FINISH", within=300)
        await b.until_clean()


@simulated
async def test_without_ids_a_print_under_another_name_is_not_ours(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["no-ids", "ignore-start"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        b.printer.start_at_screen("Benchy")
        assert (await job.answered()).ending == ("printer_busy", "start")
        assert not b.printer.stops
        await b.until_clean()


@simulated
async def test_without_ids_the_last_print_of_the_same_model_is_not_taken_for_ours(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["no-ids"]) as b:
        await b.until_printing()
        await until(lambda: b.printer.state == "FINISH", within=300)
        b.printer.faults.add("ignore-start")
        assert (await b.start().answered()).ending == ("start_unknown", "start")


# -- starts that nobody knows about -----------------------------------------------------------------


@pytest.mark.parametrize("faults", [["ignore-start"], ["ignore-start", "no-ids"], ["deaf"]])
@simulated
async def test_a_start_that_never_shows_is_unknown_after_180_s_and_never_sent_again(
    tmp_path: Path, faults: list[str]
) -> None:
    async with bench(tmp_path) as b:
        for fault in faults:
            b.printer.faults.add(fault)
        job = await b.start().answered()
        assert job.ending == ("start_unknown", "start")
        assert START_S <= b.clock.monotonic() - b.printer.starts[0].at < START_S + 2
        await pass_time(400)
        assert len(b.printer.starts) == 1


@simulated
async def test_after_an_unknown_start_no_start_is_taken_for_300_s_and_then_the_file_goes(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["ignore-start"]) as b:
        await b.start().answered()
        ended = b.clock.monotonic()
        await pass_time(UNEXPLAINED_S - 5)
        assert (await b.start().answered()).code == "printer_busy"
        assert b.files
        await until(lambda: not b.unit.jobs.start_is_unexplained)
        assert UNEXPLAINED_S <= b.clock.monotonic() - ended < UNEXPLAINED_S + 2
        await b.until_clean()
        b.printer.faults.clear()
        assert (await b.start().answered()).code == "success"


@pytest.mark.parametrize("faults", [[], ["no-ids"]])
@simulated
async def test_a_print_that_appears_late_explains_an_unknown_start_and_its_file_goes_after_it(
    tmp_path: Path, faults: list[str]
) -> None:
    async with bench(tmp_path, faults=["slow-start=250", *faults], speaks=True) as b:
        job = await b.start(job_id="J7").answered()
        assert job.code == "start_unknown"
        await until(lambda: b.printer.state == "PREPARE", within=100)
        await pass_time(0.1)
        assert not b.unit.jobs.start_is_unexplained
        assert b.files
        await until(lambda: b.printer.state == "FINISH", within=300)
        await b.until_clean()
        assert len(b.printer.starts) == 1
        await until(lambda: b.events()[-1]["event"] == "PrintDone")
        jobs = {each["event"]: each["job"].get("job_id") for each in b.events() if each["event"].startswith("Print")}
        assert (jobs["PrintStarted"], jobs["PrintDone"]) == ("J7", "J7")


@simulated
async def test_a_foreign_print_explains_an_unknown_start(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["ignore-start"]) as b:
        await b.start().answered()
        b.printer.start_at_screen("Benchy")
        await b.until_clean()
        assert not b.unit.jobs.start_is_unexplained
        assert b.printer.state == "PREPARE"
        assert not b.printer.stops


@simulated
async def test_an_active_print_that_keeps_the_last_ones_names_leaves_the_start_unknown_and_its_file_there(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, faults=["ignore-start"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        await pass_time(1)
        b.printer.change(gcode_state="RUNNING")
        assert (await job.answered()).ending == ("start_unknown", "start")
        assert b.clock.monotonic() - b.printer.starts[0].at >= START_S
        assert b.files
        asked = b.printer.starts[0].body
        b.printer.change(subtask_name=asked["subtask_name"], subtask_id=asked["subtask_id"])
        await pass_time(2)
        assert not b.unit.jobs.start_is_unexplained
        assert b.unit.jobs.process().print_job_id == job.message["command_id"]
        await pass_time(UNEXPLAINED_S)
        assert b.files
        b.printer.change(gcode_state="FINISH")
        await b.until_clean()


@simulated
async def test_a_cancelled_print_that_lingers_under_our_names_is_not_the_end_of_ours(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["slow-start=30"], speed=1.0) as b:
        b.printer.change(gcode_state="FAILED", print_error=0x0300400C)
        job = b.start()
        await until(lambda: b.printer.starts)
        asked = b.printer.starts[0].body
        b.printer.change(subtask_name=asked["subtask_name"], subtask_id=asked["subtask_id"])
        await pass_time(10)
        assert not job.is_answered
        assert (await job.answered()).code == "success"
        assert b.printer.state in ("PREPARE", "RUNNING")
        assert b.files


@pytest.mark.parametrize(
    "shown",
    [
        {"subtask_name": "", "subtask_id": "0", "task_id": "0", "gcode_file": ""},
        {"subtask_name": None, "subtask_id": None, "task_id": None},
        {"gcode_state": "IDLE"},
    ],
    ids=["names emptied", "names null", "idle for a moment"],
)
@simulated
async def test_a_print_of_ours_is_followed_through_a_gap_in_what_the_printer_shows(
    tmp_path: Path, shown: dict[str, object]
) -> None:
    async with bench(tmp_path, speed=1.0) as b:
        await b.until_printing()
        await until(lambda: b.printer.state == "RUNNING", within=300)
        before = {key: b.printer.machine.report.get(key) for key in shown}
        b.printer.change(**shown)
        await pass_time(3)
        b.printer.change(**before)
        await pass_time(10)
        assert b.files
        assert b.unit.jobs.process().print_job_id is not None
        assert (await b.ask(STOP)).code == "success"
        await b.until_clean()


@simulated
async def test_a_file_of_an_unknown_start_is_in_use(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["ignore-start"]) as b:
        await b.start().answered()
        (name,) = b.files
        assert (await b.ask("printer_control/delete_file", {"file_name": name})).code == "printer_busy"
        assert name in b.files


# -- what the printer says of a start ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("refuse-start=0x05004004", "printer_busy"),
        ("refuse-start=0x05004003", "start_failed"),
        ("signing-demanded", "developer_mode_required"),
    ],
)
@simulated
async def test_a_start_that_the_printer_refuses_is_an_error_at_once_and_the_file_goes(
    tmp_path: Path, fault: str, code: str
) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.faults.add(fault)
        b.printer.withholds = is_report  # it has not told yet that it will refuse
        b.release()
        began = b.clock.monotonic()
        assert (await job.answered()).ending == (code, "start")
        assert b.clock.monotonic() - began < 1
        assert len(b.printer.starts) == 1
        await b.until_clean()


@simulated
async def test_a_start_whose_reply_says_nothing_is_not_acknowledged(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["no-ack"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        number = b.printer.starts[0].body["sequence_id"]
        b.printer.say(b'{"print":{"command":"project_file","sequence_id":"' + number.encode() + b'"}}')
        assert (await job.answered()).code == "success"
        assert job.data["acknowledged"] is False


@simulated
async def test_a_start_whose_session_breaks_as_the_upload_ends_waits_for_the_next_session(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.refusal = Unreachable("The wireless network is gone.")
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        b.release()
        await b.until_stage("start")
        await pass_time(20)
        assert not job.is_answered
        assert not b.printer.starts
        b.printer.refusal = None
        assert (await job.answered(within=60)).code == "success"
        assert len(b.printer.starts) == 1


@simulated
async def test_a_session_that_does_not_come_back_is_waited_for_a_minute(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        b.release()
        await b.until_stage("start")
        began = b.clock.monotonic()
        assert (await job.answered()).ending == ("printer_offline", "start")
        assert RECONNECT_WAIT_S - 1 < b.clock.monotonic() - began < RECONNECT_WAIT_S + 1
        assert not b.printer.starts


@simulated
async def test_a_printer_that_has_gone_quiet_is_woken_before_a_start(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.machine.pushing = False
        await pass_time(FRESH_S + 5)
        asked = len(b.printer.commands("pushall"))  # the model's interval does not allow another one
        b.release()
        assert (await job.answered()).code == "success"
        assert len(b.printer.commands("pushall")) == asked
        assert b.printer.commands("start")[-1].at < b.printer.starts[0].at


@simulated
async def test_a_start_is_not_published_when_the_session_has_just_gone(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        b.release()
        assert (await job.answered()).ending == ("printer_offline", "start")
        assert not b.printer.starts


@pytest.mark.parametrize(("state", "ending"), [("FAILED", ("start_failed", "start")), ("FINISH", ("success", None))])
@simulated
async def test_a_print_that_is_over_before_it_was_seen_to_run(
    tmp_path: Path, state: str, ending: tuple[str, str | None]
) -> None:
    async with bench(tmp_path, faults=["ignore-start"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        asked = b.printer.starts[0].body
        b.printer.change(gcode_state=state, subtask_id=asked["subtask_id"], subtask_name=asked["subtask_name"])
        assert (await job.answered()).ending == ending
        await b.until_clean()


# -- files in use -----------------------------------------------------------------------------------


@simulated
async def test_a_file_that_is_about_to_be_started_cannot_be_deleted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files["part.gcode.3mf"] = FILE
        b.printer.storage.gates["fetch"].close()
        job = b.send("printer_control/start_print", {"file_name": "part.gcode.3mf"})
        await until(lambda: b.printer.storage.gates["fetch"].waiting)
        deletion = b.send("printer_control/delete_file", {"file_name": "part.gcode.3mf"})
        assert (await deletion.answered()).code == "printer_busy"
        b.release()
        assert (await job.answered()).code == "success"


# -- the end of the service -------------------------------------------------------------------------


@simulated
async def test_giving_up_answers_every_job_and_removes_what_was_written(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        jobs = [b.start(), b.send(DOWNLOAD, {"url": URL}), b.send(DOWNLOAD, {"url": URL})]
        await b.until_stage("upload")
        began = b.clock.monotonic()
        await b.unit.jobs.give_up(3.0)
        assert b.clock.monotonic() - began < 3
        assert [each.ending for each in jobs] == [
            ("cancelled", "upload"),
            ("cancelled", "queued"),
            ("cancelled", "queued"),
        ]
        assert b.files == {}


@simulated
async def test_giving_up_leaves_a_start_that_is_out_a_moment(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["slow-start=2"]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        await b.unit.jobs.give_up(3.0)
        assert job.ending == ("success", None)


@simulated
async def test_giving_up_ends_a_start_that_is_out_for_too_long_as_unknown(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=[SLOW]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        await b.unit.jobs.give_up(3.0)
        assert job.ending == ("start_unknown", "start")
        assert b.files


@simulated
async def test_giving_up_does_not_wait_for_a_transfer_that_cannot_be_broken_off(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.storage.ignores_cancelling = True
        giving_up = asyncio.create_task(b.unit.jobs.give_up(3.0))
        await pass_time(0.1)
        assert job.ending == ("cancelled", "upload")
        giving_up.cancel()
        await asyncio.wait({giving_up}, timeout=1)
        assert giving_up.done()
        b.release()


@simulated
async def test_giving_up_that_is_broken_off_answers_a_start_that_is_out(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=[SLOW]) as b:
        job = b.start()
        await until(lambda: b.printer.starts)
        giving_up = asyncio.create_task(b.unit.jobs.give_up(30.0))
        await pass_time(2)
        assert not job.is_answered
        giving_up.cancel()
        await asyncio.wait({giving_up}, timeout=1)
        assert job.ending == ("start_unknown", "start")


# -- handing over to the next process --------------------------------------------------------------


def journalled(b: Bench) -> list[JobRecord]:
    """Return the jobs in the journal, by number."""
    return [JobRecord.decode(body) for _, body in b.farm._around.journal.all(records.JOB)]


@simulated
async def test_handing_over_leaves_what_has_a_receipt_in_the_journal_without_an_answer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        jobs = [b.deliver(START, {"url": URL}), b.deliver(DOWNLOAD, {"url": URL}), b.send(DOWNLOAD, {"url": URL})]
        await b.until_stage("upload")
        await b.unit.jobs.give_up(3.0, hand_over=True)
        assert [each.is_answered for each in jobs] == [False, False, True]
        assert jobs[2].ending == ("cancelled", "queued")
        first, second = journalled(b)
        assert (first.phase, first.wrote, first.stored) == (Phase.STORING, True, False)
        assert (second.phase, second.wrote) == (Phase.QUEUED, False)
        assert first.receipt
        assert second.receipt
        assert list((tmp_path / "downloads").iterdir())
        b.release()
        await pass_time(60)
        assert not b.printer.acts


@simulated
async def test_handing_over_leaves_a_start_that_is_out_a_moment_and_then_to_the_next_process(tmp_path: Path) -> None:
    for slow, is_answered in (("slow-start=2", True), (SLOW, False)):
        async with bench(tmp_path, faults=[slow]) as b:
            job = b.deliver(START, {"url": URL})
            await until(lambda: b.printer.starts)
            await b.unit.jobs.give_up(3.0, hand_over=True)
            assert job.is_answered is is_answered
            assert [each.phase for each in journalled(b)] == ([] if is_answered else [Phase.OUT])
            assert b.files


@simulated
async def test_without_handing_over_nothing_is_left_in_the_journal(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        jobs = [b.deliver(START, {"url": URL}), b.deliver(DOWNLOAD, {"url": URL})]
        await b.until_stage("upload")
        await b.unit.jobs.give_up(3.0)
        assert [each.ending for each in jobs] == [("cancelled", "upload"), ("cancelled", "queued")]
        assert journalled(b) == []
        assert not list(b.farm._around.journal.all(records.COMMAND))
