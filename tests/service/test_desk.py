"""One printer's commands: who waits behind whom, who goes first, what is refused."""

import json
from pathlib import Path

import pytest

from bambu_connector.errors import AccessDenied, IdentityMismatch, LinkError, StorageMissing, Unreachable
from bambu_connector.service.desk import MAX_WAITING
from tests.service.bench import DOWNLOAD, FILE, GET_STATUS, HOME, PAUSE, STOP, URL, bench, pass_time
from tests.service.fakes import is_reply
from tests.simulated import simulated, until

JOG = "movement_control/jog"
HEAT = "temperature_control/set_bed"
LIGHT = "light_control/set_light"


# -- the queue -------------------------------------------------------------------------------------


@simulated
async def test_movements_are_carried_out_one_after_the_other_in_their_order(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = is_reply  # each one takes the 4 s until the printer is asked whether it hears us
        jobs = [b.send(HEAT, {"temperature": 40 + place}) for place in range(2)]
        jobs += [b.send(HOME), b.send(HOME)]
        await pass_time(0.01)
        assert len(b.printer.acts) == 1
        for each in jobs:
            await each.answered()
        lines = [each.body["param"] for each in b.printer.acts]
        assert [line.split("\n")[0] for line in lines[:2]] == ["M140 S40", "M140 S41"]
        assert lines[2] == lines[3]
        assert b.printer.acts[3].at - b.printer.acts[2].at >= 4


@simulated
async def test_a_stop_a_pause_and_a_question_overtake_what_waits(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        waiting = [b.send(HOME) for _ in range(5)]
        await pass_time(1)
        assert (await b.ask(GET_STATUS)).kind == "status"
        assert (await b.ask(PAUSE)).code == "wrong_state"
        assert (await b.ask(STOP)).code == "wrong_state"
        assert not any(each.is_answered for each in waiting)


@simulated
async def test_a_stop_is_published_while_another_command_waits_for_its_evidence(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        await until(lambda: b.printer.state == "RUNNING")
        b.printer.withholds = lambda _message: True
        b.send("fan_control/set_fan", {"fan": "part", "speed": 10})
        await pass_time(1)
        b.send(STOP)
        b.send(PAUSE)
        await pass_time(0.1)
        assert [each.command for each in b.printer.acts[-2:]] == ["stop", "pause"]


@simulated
async def test_a_full_queue_refuses_with_an_answer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        given = [b.send(LIGHT, {"light": "chamber_light", "state": "off"}) for _ in range(MAX_WAITING + 3)]
        refused = [each for each in given if each.is_answered]
        assert [each.code for each in refused] == ["printer_busy"] * 3
        assert (await b.ask(GET_STATUS)).kind == "status"


@simulated
async def test_a_command_that_waits_too_long_expires_and_is_not_sent(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        given = [b.send(HOME)]
        await pass_time(1)
        given += [b.send(HOME) for _ in range(4)]  # each takes 10 s, and a movement may wait for 30 s
        for each in given:
            await each.answered()
        assert [each.code for each in given] == ["timeout"] * 4 + ["expired"]
        assert len(b.printer.acts) == 4


@simulated
async def test_a_stop_and_a_pause_never_expire(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.until_printing()
        await until(lambda: b.printer.state == "RUNNING")
        old = {"timestamp": "2020-01-01T00:00:00Z", "expires_at": "2020-01-01T00:00:00Z"}
        assert (await b.ask(PAUSE, envelope=old)).code == "success"
        assert (await b.ask(STOP, envelope=old)).code == "success"


@simulated
async def test_the_guards_see_what_the_command_before_has_done(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        jogs = [b.send(JOG, {"axes": {"x": 10}}), b.send(HOME)]
        assert (await jogs[0].answered()).code == "not_homed"
        assert (await jogs[1].answered()).code == "success"
        await until(lambda: b.printer.machine.report.get("home_flag") & 7 == 7)
        await pass_time(1)
        assert (await b.ask(JOG, {"axes": {"x": 10}})).code == "success"


# -- before anything is known, and without a session ------------------------------------------------


@pytest.mark.parametrize("command", [HOME, DOWNLOAD])
@simulated
async def test_before_the_first_full_report_commands_are_not_ready(tmp_path: Path, command: str) -> None:
    async with bench(tmp_path, ready=False, faults=["silent"]) as b:
        await until(lambda: b.printer.is_connected)
        await pass_time(0.1)
        assert (await b.ask(command, {"url": URL})).code == "not_ready"
        assert not b.printer.acts


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable("Nobody answers."), "printer_offline"),
        (AccessDenied("The code is wrong."), "access_denied"),
        (IdentityMismatch("It is another."), "identity_mismatch"),
    ],
)
@pytest.mark.parametrize("command", [HOME, DOWNLOAD, STOP, PAUSE, LIGHT])
@simulated
async def test_without_a_session_commands_are_refused_at_once_with_the_reason(
    tmp_path: Path, command: str, error: LinkError, code: str
) -> None:
    async with bench(tmp_path) as b:
        b.printer.refusal = error
        b.printer.drop(error)
        await until(lambda: not b.unit.printer.is_connected)
        began = b.clock.monotonic()
        answer = await b.ask(command, {"url": URL, "light": "chamber_light", "state": "on"})
        assert answer.code == code
        assert b.clock.monotonic() - began < 0.2


@simulated
async def test_a_command_of_the_camera_is_not_supported_yet(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert (await b.ask("camera_control/snapshot")).code == "not_supported"


@simulated
async def test_a_bug_is_answered_and_the_next_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(tmp_path) as b:
        with monkeypatch.context() as patched:
            patched.setattr(b.unit.printer, "situation", lambda: 1 / 0)
            assert (await b.ask(HOME)).code == "internal"
            assert (await b.ask(STOP)).code == "internal"
        assert (await b.ask(HOME)).code == "success"


# -- get_status ------------------------------------------------------------------------------------


@simulated
async def test_get_status_answers_with_the_whole_report(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        answer = await b.ask(GET_STATUS)
        assert answer.kind == "status"
        assert answer.message["command"] == GET_STATUS
        assert answer.message["command_id"]
        assert answer.answers[0].qos == 1
        assert not answer.answers[0].retain
        assert answer.data["report"]["gcode_state"] == "IDLE"
        assert answer.data["machines"][0]["current"]["print_status"] == "IDLE"


@simulated
async def test_get_status_before_any_report_answers_at_once_with_nulls(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, faults=["silent"]) as b:
        began = b.clock.monotonic()
        answer = await b.ask(GET_STATUS)
        assert b.clock.monotonic() - began < 0.2
        assert answer.data["report"] is None
        assert answer.data["machines"][0]["current"]["print_status"] is None
        assert answer.data["machines"][0]["connection_info"]["is_online"] is False


@simulated
async def test_get_status_asks_first_when_the_last_report_is_old_and_the_model_allows_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(301)
        b.hold("upload")
        b.send(DOWNLOAD, {"url": URL})  # a printer that takes a file is not woken, however long it is silent
        await b.until_stage("upload")
        b.printer.withholds = lambda _message: True
        await pass_time(61)
        before = len(b.printer.commands("pushall"))
        b.printer.withholds = lambda _message: False
        b.printer.machine.report.put("FINISH", "gcode_state")
        assert (await b.ask(GET_STATUS)).data["report"]["gcode_state"] == "FINISH"
        assert len(b.printer.commands("pushall")) == before + 1


@simulated
async def test_get_status_does_not_ask_when_the_last_report_is_young(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(301)
        before = len(b.printer.commands("pushall"))
        await b.ask(GET_STATUS)
        assert len(b.printer.commands("pushall")) == before


@simulated
async def test_get_status_of_a_printer_that_is_gone_tells_its_last_values(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        await pass_time(100)
        answer = await b.ask(GET_STATUS)
        machine = answer.data["machines"][0]
        assert machine["current"]["print_status"] == "IDLE"
        assert machine["connection_info"]["is_connected"] is False
        assert machine["connection_info"]["last_report"] is not None


# -- files -----------------------------------------------------------------------------------------


@simulated
async def test_list_files_tells_what_is_there(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files["a.gcode.3mf"] = b"12345"
        answer = await b.ask("printer_control/list_files")
        assert answer.kind == "response"
        assert answer.data == {"folder": "/", "files": [{"name": "a.gcode.3mf", "size": 5, "modified": None}]}


@simulated
async def test_list_files_says_what_the_storage_says(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.failures["list_folder"] = StorageMissing("There is no card.")
        assert (await b.ask("printer_control/list_files")).code == "storage_missing"


@simulated
async def test_delete_file_removes_a_file_and_says_when_there_is_none(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files["a.gcode.3mf"] = FILE
        assert (await b.ask("printer_control/delete_file", {"file_name": "a.gcode.3mf"})).code == "success"
        assert not b.files
        assert (await b.ask("printer_control/delete_file", {"file_name": "a.gcode.3mf"})).code == "file_invalid"


@simulated
async def test_the_file_of_an_active_print_is_not_deleted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files["Benchy.gcode.3mf"] = FILE
        ours = (await b.until_printing()).data["file_name"]
        assert (await b.ask("printer_control/delete_file", {"file_name": ours})).code == "printer_busy"
        await b.ask(STOP)
        b.printer.start_at_screen("Benchy")
        await pass_time(1)
        assert (await b.ask("printer_control/delete_file", {"file_name": "Benchy.gcode.3mf"})).code == "printer_busy"
        assert "Benchy.gcode.3mf" in b.files


@simulated
async def test_the_storage_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        given = [b.send("printer_control/list_files") for _ in range(4)]
        given += [b.send(DOWNLOAD, {"url": URL}), b.send(DOWNLOAD, {"url": URL})]
        for each in given:
            await each.answered()
        assert b.printer.storage.most_at_once == 1


LIST_FILES = "printer_control/list_files"
DELETE_FILE = "printer_control/delete_file"
QUARTER_HOUR_S = 15 * 60


@simulated
async def test_what_waits_for_the_storage_expires_and_is_not_done_later(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files["a.gcode.3mf"] = FILE
        b.hold("upload")
        b.send(DOWNLOAD, {"url": URL})
        await b.until_stage("upload")
        given = [b.send(DELETE_FILE, {"file_name": "a.gcode.3mf"}), b.send(LIST_FILES)]
        await pass_time(QUARTER_HOUR_S - 1)
        assert not any(each.is_answered for each in given)
        await pass_time(2)
        assert [each.code for each in given] == ["expired", "expired"]
        b.release()
        await pass_time(30)
        assert b.files["a.gcode.3mf"] == FILE
        assert (await b.ask(LIST_FILES)).kind == "response"


@simulated
async def test_only_so_many_wait_for_the_storage(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        b.send(DOWNLOAD, {"url": URL})
        await b.until_stage("upload")
        given = [b.send(LIST_FILES) for _ in range(MAX_WAITING + 2)]
        await pass_time(1)
        assert [each.code for each in given if each.is_answered] == ["printer_busy"] * 2
        b.release()
        await until(lambda: all(each.is_answered for each in given))
        assert (await b.ask(LIST_FILES)).kind == "response"


@simulated
async def test_a_file_that_a_start_takes_while_its_deletion_waits_is_not_deleted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.files["part.gcode.3mf"] = FILE
        b.printer.storage.gates["list_folder"].close()
        listing = b.send(LIST_FILES)
        await until(lambda: b.printer.storage.gates["list_folder"].waiting)
        deletion = b.send(DELETE_FILE, {"file_name": "part.gcode.3mf"})
        await pass_time(1)
        job = b.send("printer_control/start_print", {"file_name": "part.gcode.3mf"})
        b.printer.storage.gates["list_folder"].open()
        assert (await deletion.answered()).code == "printer_busy"
        assert (await job.answered()).code == "success"
        assert (await listing.answered()).kind == "response"
        assert "part.gcode.3mf" in b.files


# -- answers ---------------------------------------------------------------------------------------


@simulated
async def test_an_answer_names_its_command_and_echoes_its_id_and_tags(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        answer = await b.ask(JOG, {"axes": {"x": 1000}, "tags": ["a", 1]}, envelope={"command_id": 17})
        assert answer.message["command"] == JOG
        assert answer.message["command_id"] == 17
        assert answer.data["tags"] == ["a", 1]
        assert answer.data["error"] == answer.data["error_detail"]
        assert answer.code == "out_of_range"


@simulated
async def test_get_status_echoes_its_tags_and_the_statuses_that_nobody_asked_for_have_none(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        answer = await b.ask("printer_control/get_status", {"tags": ["a", 1]})
        assert answer.data["tags"] == ["a", 1]
        await pass_time(100)
        assert not any("tags" in each for each in b.statuses())
        assert "tags" not in (await b.ask("printer_control/get_status")).data


@simulated
async def test_the_end_of_the_service_answers_what_waits_and_what_is_under_way(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        given = [b.send(HOME) for _ in range(4)]
        await pass_time(1)
        await b.farm.stop(1.0)
        assert [len(each.answers) for each in given] == [1] * len(given)
        assert all(each.kind == "error" for each in given)


@simulated
async def test_the_answer_to_a_bug_tells_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a secret")

    async with bench(tmp_path) as b:
        monkeypatch.setattr(b.unit.printer, "situation", fail)
        assert "secret" not in json.dumps((await b.ask(HOME)).message)
