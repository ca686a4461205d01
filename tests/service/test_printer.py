"""One printer as it is told to Printago: online and offline, reconnects, statuses, events."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.report import MAX_REPORT_BYTES
from bambu_connector.bambu.request import GetVersion
from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    IdentityMismatch,
    LinkError,
    PrinterOffline,
    Unreachable,
)
from bambu_connector.printago.messages import MessageType
from bambu_connector.service.backoff import REFUSED_S
from tests.service.bench import HOME, STOP, URL, Bench, bench, pass_time
from tests.service.fakes import is_report
from tests.simulated import simulated, until

Fields = dict[str, Any]


def link(status: Fields) -> Fields:
    found: Fields = status["machines"][0]["connection_info"]
    return found


def state(status: Fields) -> Any:
    return status["machines"][0]["current"]["print_status"]


async def take_away(b: Bench) -> None:
    b.printer.refusal = Unreachable("It is switched off.")
    b.printer.drop()
    await until(lambda: not b.unit.printer.is_connected)


# -- the connection --------------------------------------------------------------------------------


@simulated
async def test_before_the_first_report_one_status_says_offline_with_nulls(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, speaks=True) as b:
        b.printer.refusal = Unreachable("It is switched off.")
        await pass_time(10)
        first = b.statuses()[0]
        assert link(first)["is_connected"] is False
        assert link(first)["is_online"] is False
        assert link(first)["last_report"] is None
        assert state(first) is None
        assert len([each for each in b.statuses() if not link(each)["is_connecting"]]) == 1


@simulated
async def test_a_printer_that_is_gone_is_told_at_once_and_keeps_its_last_values(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.change(gcode_state="FINISH", mc_percent=73)
        await pass_time(2)
        assert link(b.statuses()[-1])["is_online"] is True
        gone = b.clock.monotonic()
        await take_away(b)
        assert b.clock.monotonic() - gone < 0.2
        last = b.statuses()[-1]
        assert (link(last)["is_connected"], link(last)["is_online"]) == (False, False)
        assert state(last) == "FINISH"
        assert last["machines"][0]["current"]["print_percent"] == 73
        assert link(last)["last_report"] is not None
        assert last["process"]["can_process_job"] is False


@simulated
async def test_reconnects_are_counted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert link(b.unit.printer.status())["reconnects"] == 0
        for count in (1, 2):
            b.printer.drop()
            await until(lambda: not b.unit.printer.is_connected)
            await b.until_ready()
            assert link(b.unit.printer.status())["reconnects"] == count


@simulated
async def test_a_printer_that_says_nothing_for_a_minute_is_connected_and_not_online(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.withholds = lambda _message: True
        await until(lambda: not link(b.statuses()[-1])["is_online"], within=65)
        assert link(b.statuses()[-1])["is_connected"] is True
        b.printer.withholds = lambda _message: False
        await until(lambda: link(b.statuses()[-1])["is_online"], within=10)


@pytest.mark.parametrize(
    ("error", "key"), [(AccessDenied("no"), "has_access_right"), (IdentityMismatch("no"), "verified")]
)
@simulated
async def test_what_keeps_us_out_is_told(tmp_path: Path, error: Exception, key: str) -> None:
    async with bench(tmp_path, ready=False, speaks=True) as b:
        b.printer.refusals = [error]
        await pass_time(2.5)
        assert link(b.statuses()[-1])[key] is False
        b.unit.keeper.try_now()
        await b.until_ready()
        await pass_time(2.5)
        assert link(b.statuses()[-1])[key] is True


@simulated
async def test_a_new_session_knows_nothing_until_a_full_report_has_come(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = lambda message: is_report(message) and message["print"].get("msg") != 1
        b.printer.drop()
        await until(lambda: b.printer.is_connected)
        b.printer.change(bed_temper=30.0)
        await pass_time(2)
        assert b.unit.printer.view is None
        assert (await b.ask(HOME)).code == "not_ready"
        assert b.unit.printer.shown.report


@simulated
async def test_nothing_can_be_sent_without_a_session(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await take_away(b)
        with pytest.raises(PrinterOffline):
            b.unit.printer.send(GetVersion())


@simulated
async def test_nothing_can_be_sent_on_a_session_that_has_just_gone(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.drop()
        with pytest.raises(PrinterOffline):
            b.unit.printer.send(GetVersion())


@simulated
async def test_firmware_and_model_are_what_the_printer_says(tmp_path: Path) -> None:
    async with bench(tmp_path, virtual="X1C") as b:
        await pass_time(1)
        hardware = b.unit.printer.status()["machines"][0]["hardware"]
        assert hardware["dev_model"] == "BL-P001"
        assert hardware["firmware"].count(".") == 3


@simulated
async def test_a_firmware_that_is_none_is_not_passed_on(tmp_path: Path) -> None:
    async with bench(tmp_path, virtual="X1C") as b:
        await pass_time(1)
        before = b.unit.printer.firmware
        modules = [{"name": "ota", "sw_ver": each} for each in ("\x1b]0;mine\x07", "9" * 100, 7, "")]
        b.printer.say(json.dumps({"info": {"command": "get_version", "module": modules}}).encode())
        await pass_time(1)
        assert b.unit.printer.firmware == before is not None


@simulated
async def test_a_model_that_was_given_is_not_changed_by_what_the_printer_says(tmp_path: Path) -> None:
    async with bench(tmp_path, virtual="X1C", model="X1E") as b:
        await pass_time(1)
        assert b.unit.printer.status()["machines"][0]["hardware"]["dev_model"] == "C13"


@simulated
async def test_a_missing_total_of_layers_is_asked_for_but_not_while_the_printer_wants_quiet(tmp_path: Path) -> None:
    async with bench(tmp_path, model="P1P", speed=1.0) as b:
        await pass_time(400)
        assert (await b.start().answered()).code == "success"
        before = len(b.printer.commands("pushall"))
        b.printer.change(gcode_state="RUNNING", layer_num=3, total_layer_num=0)
        assert len(b.printer.commands("pushall")) == before
        await pass_time(140)
        b.printer.change(layer_num=4, total_layer_num=0)
        assert len(b.printer.commands("pushall")) == before + 1


# -- homing ----------------------------------------------------------------------------------------


@simulated
async def test_a_homing_that_was_seen_homes_the_axes_of_a_printer_that_does_not_tell(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.change(home_flag=0)
        jog = ("movement_control/jog", {"axes": {"x": 1}})
        assert (await b.ask(*jog)).code == "not_homed"
        b.printer.change(stg_cur=13)
        assert (await b.ask(*jog)).code == "not_homed"
        b.printer.change(stg_cur=255)
        assert (await b.ask(*jog)).code == "success"
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        await b.until_ready()
        assert (await b.ask(*jog)).code == "not_homed"


# -- the log ---------------------------------------------------------------------------------------


@simulated
async def test_the_log_has_one_line_for_a_connect_and_one_for_the_end_of_a_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        await pass_time(100)
        caplog.set_level(logging.INFO, "bambu_connector")
        caplog.clear()
        await take_away(b)
        await pass_time(40)
        b.printer.refusal = None
        await b.until_ready()
        await pass_time(100)
        assert [each.getMessage().partition(";")[0] for each in caplog.records] == [
            "The connection broke.",
            "It is switched off.",
            "connected to 192.0.2.1",
        ]
        assert names(b) == ["Connected", "Disconnected", "Connected"]


@simulated
async def test_an_event_is_logged_with_what_it_is_about_and_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bambu_connector")
    async with bench(tmp_path) as b:
        await b.until_printing()
        await until(lambda: b.printer.state == "FINISH", within=400)
        await pass_time(5)
        told = [each.getMessage() for each in caplog.records]
        started = next(each for each in told if each.startswith("PrintStarted"))
        done = next(each for each in told if each.startswith("PrintDone"))
        assert "job_id=" in started
        assert "command_id=c1" in started
        assert "file=" in started
        assert "percent=100" in done
        assert any("from=IDLE to=" in each for each in told)
        assert not any("hidden" in each or "12345678" in each or "\n" in each for each in told)


# -- statuses --------------------------------------------------------------------------------------


@simulated
async def test_an_idle_printer_costs_one_status_a_heartbeat(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await pass_time(5)
        before = len(b.statuses())
        await pass_time(600)
        assert 9 <= len(b.statuses()) - before <= 11


@simulated
async def test_a_change_of_state_is_told_at_once_and_the_rest_once_an_interval(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await pass_time(5.3)
        before = len(b.statuses())
        b.printer.change(gcode_state="FINISH")
        assert [state(each) for each in b.statuses()[before:]] == ["FINISH"]
        b.printer.change(nozzle_target_temper=100, bed_target_temper=50, bed_temper=25.0)
        for degrees in range(5):
            b.printer.change(bed_temper=30.0 + degrees)
            await pass_time(0.1)
        assert len(b.statuses()) == before + 1
        await pass_time(1)
        told = b.statuses()[before + 1 :]
        assert [each["machines"][0]["current"]["temperatures"]["bed_temp"] for each in told] == [34]


@simulated
async def test_statuses_are_retained_and_may_be_lost_and_events_must_arrive(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await b.until_printing()
        for each in b.said:
            unasked_status = each.type is MessageType.STATUS
            assert (each.qos, each.retain) == ((0, True) if unasked_status else (1, False))


@simulated
async def test_no_status_has_a_secret_or_the_report_in_it(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await b.until_printing()
        everything = "".join(each.payload.decode() for each in b.said)
        assert "12345678" not in everything
        assert "hidden" not in everything
        assert all("report" not in each for each in b.statuses())
        assert URL not in everything


@simulated
async def test_a_printer_that_nobody_introduced_tells_no_status(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        await pass_time(120)
        assert {each.type for each in b.said} == {MessageType.EVENT}


@simulated
async def test_events_are_told_from_the_beginning_also_before_printago_was_ever_there(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(2)
        await b.until_printing()
        await until(lambda: b.printer.state == "FINISH", within=300)
        await pass_time(5)
        b.farm.speak()
        await pass_time(5)
        told = [each for each in names(b) if each.startswith(("Print", "Connected")) and "State" not in each]
        assert told == ["Connected", "PrintStarted", "PrintDone"]
        assert b.statuses()


@simulated
async def test_the_last_status_of_an_orderly_end_says_offline(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await b.farm.stop(1.0)
        assert link(b.statuses()[-1])["is_connected"] is False
        assert link(b.statuses()[-1])["is_online"] is False
        count = len(b.said)
        await pass_time(200)
        assert len(b.said) == count


# -- events ----------------------------------------------------------------------------------------


def names(b: Bench) -> list[str]:
    return [each["event"] for each in b.events()]


@simulated
async def test_the_first_report_of_a_session_makes_no_events(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, ready=False) as b:
        b.printer.start_at_screen()
        await b.until_ready()
        await pass_time(2)
        assert names(b) == ["Connected"]


@simulated
async def test_what_happened_while_we_were_away_is_a_baseline_and_no_event(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await pass_time(2)
        await take_away(b)
        b.printer.start_at_screen()
        b.printer.refusal = None
        await b.until_ready()
        await pass_time(2)
        assert b.unit.printer.shown.is_active
        assert names(b) == ["Connected"]


@simulated
async def test_a_short_gap_is_not_told_and_a_long_one_is(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await pass_time(2)
        b.printer.drop()
        await b.until_ready()
        await pass_time(40)
        assert names(b) == ["Connected"]
        await take_away(b)
        await pass_time(29)
        assert names(b) == ["Connected"]
        await pass_time(3)
        assert names(b) == ["Connected", "Disconnected"]
        b.printer.refusal = None
        await until(lambda: names(b)[-1] == "Connected")


@simulated
async def test_a_print_that_we_stop_is_cancelled_and_told_once(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await b.until_printing()
        await b.ask(STOP)
        await pass_time(10)
        assert [each for each in names(b) if each.startswith("Print")] == [
            "PrinterStateChanged",
            "PrintStarted",
            "PrinterStateChanged",
            "PrintCancelled",
        ]


@simulated
async def test_a_full_report_that_is_repeated_makes_no_event_twice(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.start_at_screen()
        await pass_time(2)
        before = names(b)
        b.printer.say(json.dumps(b.printer.machine.report.full(with_msg=True)).encode())
        b.printer.say(json.dumps(b.printer.machine.report.full(with_msg=True)).encode())
        assert names(b) == before
        assert before.count("PrintStarted") == 1


def prints(b: Bench) -> list[Fields]:
    """Return the events of prints, without the changes of state."""
    return [each for each in b.events() if each["event"].startswith("Print") and "State" not in each["event"]]


@simulated
async def test_a_print_that_we_started_begins_with_its_ids_also_where_its_names_come_late(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, faults=["ignore-start"]) as b:
        job = b.start(job_id="J7")
        await until(lambda: b.printer.starts)
        await pass_time(1)
        b.printer.change(gcode_state="PREPARE")
        await pass_time(3)
        assert prints(b) == []
        asked = b.printer.starts[0].body
        b.printer.change(subtask_name=asked["subtask_name"], subtask_id=asked["subtask_id"], gcode_file=asked["file"])
        assert (await job.answered()).code == "success"
        await pass_time(2)
        (began,) = prints(b)
        assert began["event"] == "PrintStarted"
        told = {key: began["job"][key] for key in ("file", "task_name", "job_id", "command_id")}
        assert told == {
            "file": asked["file"],
            "task_name": asked["subtask_name"],
            "job_id": "J7",
            "command_id": job.message["command_id"],
        }


@simulated
async def test_somebody_elses_print_begins_without_ids_while_our_start_is_out(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, faults=["ignore-start"]) as b:
        job = b.start(job_id="J7")
        await until(lambda: b.printer.starts)
        await pass_time(1)
        b.printer.start_at_screen("Benchy")
        assert (await job.answered()).code == "printer_busy"
        await pass_time(2)
        (began,) = prints(b)
        assert (began["event"], began["job"]["task_name"]) == ("PrintStarted", "Benchy")
        assert "job_id" not in began["job"]


@pytest.mark.parametrize(
    ("shown", "end"),
    [
        ({"gcode_state": "FINISH"}, "PrintDone"),
        ({"gcode_state": "FAILED", "print_error": 0x03008003}, "PrintFailed"),
        ({"gcode_state": "FAILED", "print_error": 0x0300400C}, "PrintCancelled"),
    ],
)
@simulated
async def test_a_print_of_ours_that_ended_while_we_were_away_gets_its_end_once(
    tmp_path: Path, shown: Fields, end: str
) -> None:
    async with bench(tmp_path, speaks=True, speed=1.0) as b:
        await b.start(job_id="J7").answered()
        await until(lambda: b.printer.state == "RUNNING", within=300)
        await take_away(b)
        b.printer.change(**shown)
        b.printer.refusal = None
        await b.until_ready()
        await pass_time(20)
        ends = [each for each in prints(b) if each["event"] != "PrintStarted"]
        assert [(each["event"], each["late"], each["job"]["job_id"]) for each in ends] == [(end, True, "J7")]
        b.printer.drop()
        await until(lambda: len(b.printer.connections) == 3)
        await b.until_ready()
        await pass_time(20)
        assert [each["event"] for each in prints(b)] == ["PrintStarted", end]


@simulated
async def test_somebody_elses_print_that_ended_while_we_were_away_gets_no_end(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, speed=1.0) as b:
        await b.start(job_id="J7").answered()
        await until(lambda: b.printer.state == "RUNNING", within=300)
        await take_away(b)
        b.printer.change(gcode_state="FINISH", subtask_name="Benchy", subtask_id="99", task_id="99")
        b.printer.refusal = None
        await b.until_ready()
        await pass_time(20)
        assert [each["event"] for each in prints(b)] == ["PrintStarted"]


@simulated
async def test_the_ids_of_a_print_that_ended_are_not_given_to_the_next_one(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await b.start(job_id="J7").answered()
        await until(lambda: any(each["event"] == "PrintDone" for each in b.events()), within=300)
        await pass_time(30)
        b.printer.start_at_screen("Benchy")
        await pass_time(5)
        b.printer.change(gcode_state="FAILED", print_error=0x03008003)
        await pass_time(20)
        assert [(each["event"], each["job"].get("job_id")) for each in prints(b)] == [
            ("PrintStarted", "J7"),
            ("PrintDone", "J7"),
            ("PrintStarted", None),
            ("PrintFailed", None),
        ]


def errors(b: Bench) -> list[Fields]:
    return [json.loads(each.payload) for each in b.said if each.type is MessageType.ERROR]


@simulated
async def test_a_print_of_ours_that_an_error_stops_is_an_error_message_without_a_command(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, speed=1.0) as b:
        await b.start(job_id="J7").answered()
        await until(lambda: b.printer.state == "RUNNING", within=300)
        b.printer.change(gcode_state="FAILED", print_error=0x03008003)
        await pass_time(20)
        (error,) = errors(b)
        assert "command" not in error
        assert "command_id" not in error
        data = error["data"]
        assert (data["success"], data["code"], data["job_id"]) == (False, "printer_error", "J7")
        assert "0300-8003" in data["error"]
        assert data["error"] == data["error_detail"]


@pytest.mark.parametrize("whose", ["ours, stopped", "ours, finished", "somebody's"])
@simulated
async def test_no_other_end_is_an_error_message(tmp_path: Path, whose: str) -> None:
    async with bench(tmp_path, speaks=True) as b:
        if whose == "somebody's":
            b.printer.start_at_screen("Benchy")
            await pass_time(2)
            b.printer.change(gcode_state="FAILED", print_error=0x03008003)
        else:
            await b.until_printing()
        if whose == "ours, stopped":
            await b.ask(STOP)
        await pass_time(300)
        assert len(prints(b)) == 2
        assert errors(b) == []


@simulated
async def test_an_end_long_after_a_stop_that_was_refused_is_not_its_doing(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, speed=1.0) as b:
        b.printer.start_at_screen("Benchy")
        await until(lambda: b.printer.state == "RUNNING", within=300)
        b.printer.faults.add("deaf")
        assert (await b.ask(STOP)).code == "timeout"
        b.printer.change(gcode_state="FAILED", print_error=0x03008003)
        await pass_time(20)
        assert prints(b)[-1]["event"] == "PrintFailed"


@simulated
async def test_while_it_prepares_the_status_shows_nothing_of_the_last_print(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.change(gcode_state="FINISH", mc_percent=100, layer_num=200, total_layer_num=200)
        b.printer.change(gcode_state="PREPARE")
        current = b.statuses()[-1]["machines"][0]["current"]
        assert (current["print_status"], current["print_percent"], current["curr_layer"]) == ("PREPARE", 0, 0)


@pytest.mark.parametrize("raw", [b"", b"not JSON", b"[]", b'{"print": 3}', b'{"print": {"command": "push_status"}}'])
@simulated
async def test_no_message_is_too_strange(tmp_path: Path, raw: bytes) -> None:
    async with bench(tmp_path) as b:
        b.printer.say(raw)
        assert b.printer.is_connected
        assert (await b.ask(HOME)).code == "success"


@simulated
async def test_reports_too_large_to_be_read_are_told_once_a_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        caplog.clear()
        for _ in range(3):
            b.printer.say(b'{"print":{"a":"' + b"x" * MAX_REPORT_BYTES + b'"}}')
        told = [each for each in caplog.records if each.levelno >= logging.WARNING and "bytes" in each.getMessage()]
        assert len(told) == 1


# -- what only a person can put right --------------------------------------------------------------


def refusals(b: Bench) -> list[tuple[str, str]]:
    """Return the code and the sentence of every error message, which must be complete and answer no command."""
    for each in errors(b):
        assert each.keys().isdisjoint({"command", "command_id"})
        assert (each["data"]["success"], each["data"]["local_command"]) == (False, None)
        assert each["data"]["error"] == each["data"]["error_detail"]
    return [(each["data"]["code"], each["data"]["error"]) for each in errors(b)]


@pytest.mark.parametrize(
    ("error", "code"),
    [(AccessDenied("The code is no."), "access_denied"), (IdentityMismatch("no"), "identity_mismatch")],
)
@simulated
async def test_a_refusal_that_a_service_starts_with_is_told_once_however_often_it_is_tried(
    tmp_path: Path, error: LinkError, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path, ready=False, speaks=True) as b:
        b.printer.refusal = error
        await pass_time(3.5 * REFUSED_S)
        assert len(b.printer.attempts) >= 3
        assert refusals(b) == [(code, str(error))]
        assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1


@simulated
async def test_a_code_that_changes_under_a_good_session_is_told_once_and_what_works_again_is_no_error(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, speaks=True) as b:
        for times in (1, 2):
            b.printer.refusal = AccessDenied("The code is refused.")
            b.printer.drop()
            await pass_time(2.5 * REFUSED_S)
            assert len(refusals(b)) == times
            assert link(b.statuses()[-1])["has_access_right"] is False
            b.printer.refusal = None
            b.unit.keeper.try_now()
            await b.until_ready()
            await pass_time(3)
            assert len(refusals(b)) == times
            assert link(b.statuses()[-1])["has_access_right"] is True


@simulated
async def test_a_new_code_that_is_refused_too_is_news(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, speaks=True) as b:
        b.printer.refusal = AccessDenied("The code is refused.")
        await pass_time(5)
        b.unit.printer.become(b.unit.printer.identity)
        b.unit.keeper.try_now()
        await pass_time(5)
        assert len(refusals(b)) == 2


@simulated
async def test_a_wrong_code_and_a_changed_certificate_are_each_told_once(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, speaks=True) as b:
        denied, changed = AccessDenied("The code is refused."), IdentityMismatch("The certificate is another.")
        b.printer.refusals = [denied, changed, denied, changed]
        for _ in range(4):
            await pass_time(5)
            b.unit.keeper.try_now()
        assert [code for code, _ in refusals(b)] == ["access_denied", "identity_mismatch"]


@simulated
async def test_another_device_at_its_address_is_told_when_it_is_not_found_elsewhere(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, speaks=True) as b:
        b.printer.refusal = AnotherDevice("That is another printer.")
        await pass_time(5)
        assert refusals(b) == []
        b.unit.keeper.try_now()
        await pass_time(5)
        b.unit.keeper.try_now()
        await pass_time(5)
        assert refusals(b) == [("identity_mismatch", "That is another printer.")]


@simulated
async def test_a_printer_without_an_access_code_was_not_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, speaks=True, access_code=None) as b:
        await pass_time(60)
        assert link(b.statuses()[-1])["has_access_right"] is False
        assert refusals(b) == []


@simulated
async def test_a_printer_that_is_only_away_is_no_error(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await take_away(b)
        await pass_time(100)
        assert refusals(b) == []
