"""When a command counts as done: the contract's table, row by row, on a virtual printer."""

from pathlib import Path
from typing import Any

import pytest

from bambu_connector.errors import Unreachable
from bambu_connector.service.execute import SETTLED_S
from tests.service.bench import HOME, PAUSE, RESUME, STOP, Bench, Pending, bench, pass_time
from tests.service.fakes import is_reply, is_report
from tests.simulated import simulated, until

Fields = dict[str, Any]
EXTRUDE = ("movement_control/extrude", {"amount": 5})
JOG = ("movement_control/jog", {"axes": {"x": 10}})
CALIBRATE = ("printer_control/calibrate", {"bed_level": True})
LOAD = ("filament_control/load", {"ams_id": 0, "slot_id": 1})
HEAT = ("temperature_control/set_bed", {"temperature": 60})
LIGHT_OFF = ("light_control/set_light", {"light": "chamber_light", "state": "off"})
LIGHT_ON = ("light_control/set_light", {"light": "chamber_light", "state": "on"})
FAN = ("fan_control/set_fan", {"fan": "part", "speed": 50})
SPEED = ("speed_control/set_speed", {"level": "sport"})

BY_REPLY = [(HOME, {}), JOG, EXTRUDE, CALIBRATE, LOAD]
BY_REPORT = [
    (PAUSE, {}, 60),
    (RESUME, {}, 60),
    (STOP, {}, 60),
    (*HEAT, 15),
    ("temperature_control/set_hotend", {"temperature": 200}, 15),
    (*LIGHT_OFF, 10),
    (*FAN, 10),
    (*SPEED, 10),
]
DUTY = {PAUSE: "RUNNING", STOP: "RUNNING", SPEED[0]: "RUNNING", RESUME: "PAUSE"}


async def make_ready_for(b: Bench, command: str) -> None:
    """Bring the printer into the state that the command needs."""
    b.printer.change(home_flag=int(b.printer.machine.report.get("home_flag")) | 0b111)
    if command == EXTRUDE[0]:
        b.printer.change(nozzle_temper=220.0, nozzle_target_temper=220)
    if command in DUTY:
        b.printer.start_at_screen()
        b.printer.change(gcode_state=DUTY[command])
    await pass_time(1)


async def ask(b: Bench, command: str, parameters: Fields) -> tuple[Pending, float]:
    """Give a command; return its answer and how long it took."""
    began = b.clock.monotonic()
    answer = await b.ask(command, parameters)
    return answer, b.clock.monotonic() - began


# -- by report -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "parameters", "within"), BY_REPORT)
@simulated
async def test_what_the_report_shows_is_done(tmp_path: Path, command: str, parameters: Fields, within: float) -> None:
    async with bench(tmp_path) as b:
        await make_ready_for(b, command)
        before = len(b.printer.acts)
        answer, took = await ask(b, command, parameters)
        assert answer.code == "success", answer.data
        assert answer.data["success"] is True
        assert answer.data["local_command"] == command.rpartition("/")[2]
        assert took < 3
        assert len(b.printer.acts) == before + 1


@pytest.mark.parametrize(("command", "parameters", "within"), BY_REPORT)
@simulated
async def test_what_the_report_shows_is_done_without_a_reply_too(
    tmp_path: Path, command: str, parameters: Fields, within: float
) -> None:
    async with bench(tmp_path) as b:
        await make_ready_for(b, command)
        b.printer.withholds = is_reply
        answer, _ = await ask(b, command, parameters)
        assert answer.code == "success"
        assert answer.data["acknowledged"] is False


@pytest.mark.parametrize(("command", "parameters", "within"), BY_REPORT)
@simulated
async def test_a_reply_alone_is_not_enough_where_the_report_must_show_it(
    tmp_path: Path, command: str, parameters: Fields, within: float
) -> None:
    async with bench(tmp_path) as b:
        await make_ready_for(b, command)
        b.printer.withholds = is_report
        answer, took = await ask(b, command, parameters)
        assert answer.code == "timeout"
        assert within <= took < within + 1


@pytest.mark.parametrize(("command", "parameters", "within"), BY_REPORT)
@simulated
async def test_without_evidence_it_is_a_timeout_and_nothing_is_sent_again(
    tmp_path: Path, command: str, parameters: Fields, within: float
) -> None:
    async with bench(tmp_path, speed=1.0) as b:
        await make_ready_for(b, command)
        b.printer.faults.add("deaf")
        before = len(b.printer.acts)
        answer, took = await ask(b, command, parameters)
        assert answer.code == "timeout"
        assert within <= took < within + 1
        await pass_time(20)
        assert len(b.printer.acts) == before + 1


@pytest.mark.parametrize(("command", "parameters"), [LIGHT_ON, ("temperature_control/set_bed", {"temperature": 0})])
@simulated
async def test_where_the_report_showed_the_value_already_the_reply_is_evidence(
    tmp_path: Path, command: str, parameters: Fields
) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = is_report
        answer, took = await ask(b, command, parameters)
        assert answer.code == "success"
        assert answer.data["acknowledged"] is True
        assert took < 1


@simulated
async def test_a_report_that_was_on_its_way_already_does_not_prove_a_value_that_was_there_before(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = is_reply
        light = b.send(*LIGHT_ON)
        await until(lambda: b.printer.acts)
        b.printer.change(wifi_signal="-40dBm")
        await pass_time(SETTLED_S - 0.1)
        assert not light.is_answered
        await pass_time(0.2)
        b.printer.change(wifi_signal="-41dBm")
        assert (await light.answered(1.0)).data["acknowledged"] is False


@simulated
async def test_a_value_that_was_there_before_is_no_evidence_when_nothing_was_said_since(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = lambda _message: True
        answer, took = await ask(b, *LIGHT_ON)
        assert answer.code == "timeout"
        assert 10 <= took < 11


# -- by reply --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "parameters"), BY_REPLY)
@simulated
async def test_a_reply_that_says_success_is_evidence(tmp_path: Path, command: str, parameters: Fields) -> None:
    async with bench(tmp_path) as b:
        await make_ready_for(b, command)
        answer, took = await ask(b, command, parameters)
        assert answer.code == "success", answer.data
        assert answer.data["acknowledged"] is True
        assert took < 1
        assert len(b.printer.acts) == 1


@pytest.mark.parametrize(("command", "parameters"), BY_REPLY)
@pytest.mark.parametrize("fault", ["no-ack", "empty-echo"])
@simulated
async def test_without_a_reply_an_answer_to_get_version_that_was_asked_after_it_is_evidence(
    tmp_path: Path, command: str, parameters: Fields, fault: str
) -> None:
    async with bench(tmp_path) as b:
        await make_ready_for(b, command)
        b.printer.faults.add(fault)
        asked = len(b.printer.commands("get_version"))
        answer, took = await ask(b, command, parameters)
        assert answer.code == "success"
        assert answer.data["acknowledged"] is False
        assert took < 10
        assert len(b.printer.commands("get_version")) == asked + 1
        assert len(b.printer.acts) == 1


@pytest.mark.parametrize(("command", "parameters"), BY_REPLY)
@simulated
async def test_when_nothing_answers_it_is_a_timeout_after_ten_seconds_and_the_session_is_suspect(
    tmp_path: Path, command: str, parameters: Fields
) -> None:
    async with bench(tmp_path) as b:
        await make_ready_for(b, command)
        b.printer.faults.add("deaf")
        answer, took = await ask(b, command, parameters)
        assert answer.code == "timeout"
        assert 10 <= took < 11
        assert len(b.printer.acts) == 1
        await until(lambda: len(b.printer.connections) == 2, within=90)
        assert len(b.printer.acts) == 1


@simulated
async def test_an_answer_that_was_asked_for_before_the_command_is_no_evidence(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = lambda _message: True
        home = b.send(HOME)
        await pass_time(0.1)
        b.printer.say(b'{"info":{"command":"get_version","sequence_id":"1","module":[]}}')
        await pass_time(9)
        assert not home.is_answered


@simulated
async def test_somebody_elses_reply_is_no_evidence(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        home = b.send(HOME)
        await until(lambda: b.printer.acts)
        number = int(b.printer.acts[0].body["sequence_id"])
        for other, command in ((number + 1, "gcode_line"), (number, "project_file")):
            body = f'{{"command":"{command}","sequence_id":"{other}","result":"success"}}'
            b.printer.say(b'{"print":' + body.encode() + b"}")
        assert (await home.answered()).code == "timeout"


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "parameters"), [*BY_REPLY, HEAT, FAN])
@simulated
async def test_a_reply_that_says_failed_is_an_error_at_once(tmp_path: Path, command: str, parameters: Fields) -> None:
    async with bench(tmp_path) as b:
        await make_ready_for(b, command)
        b.printer.faults.add("deaf")
        pending = b.send(command, parameters)
        await until(lambda: b.printer.acts)
        sent = b.printer.acts[0]
        body = (
            f'{{"command":"{sent.command}","sequence_id":"{sent.body["sequence_id"]}","result":"fail","reason":"no"}}'
        )
        b.printer.say(b'{"print":' + body.encode() + b"}")
        await pass_time(0.1)
        assert pending.code == "printer_error"
        assert len(b.printer.acts) == 1


@simulated
async def test_a_late_reply_that_says_failed_ends_the_waiting_for_the_other_answer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        pending = b.send(HOME)
        await pass_time(6)
        sent = b.printer.acts[0]
        body = f'{{"command":"gcode_line","sequence_id":"{sent.body["sequence_id"]}","result":"fail"}}'
        b.printer.say(b'{"print":' + body.encode() + b"}")
        await pass_time(0.1)
        assert pending.code == "printer_error"


@simulated
async def test_a_printer_that_wants_signatures_says_what_to_do(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["signing-demanded"]) as b:
        answer = await b.ask(HOME)
        assert answer.code == "developer_mode_required"
        assert "Developer Mode" in answer.data["error"]


@simulated
async def test_a_command_whose_session_breaks_is_not_sent_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        pending = b.send(HOME)
        await until(lambda: b.printer.acts)
        b.printer.drop()
        await pending.answered()
        assert pending.kind == "error"
        await pass_time(30)
        assert len(b.printer.acts) == 1


@pytest.mark.parametrize(("command", "parameters"), [(HOME, {}), CALIBRATE, HEAT, FAN])
@simulated
async def test_a_command_that_was_published_is_a_timeout_when_the_printer_goes_away_and_never_offline(
    tmp_path: Path, command: str, parameters: Fields
) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        pending = b.send(command, parameters)
        await until(lambda: b.printer.acts)
        b.printer.refusal = Unreachable("It is switched off.")
        b.printer.drop()
        await until(lambda: not b.unit.printer.is_connected)
        assert (await pending.answered()).code == "timeout"
        assert (await b.ask(command, parameters)).code == "printer_offline"


@simulated
async def test_what_another_session_answers_does_not_prove_that_a_command_was_heard(tmp_path: Path) -> None:
    for lost_after in (0.5, 4.5):
        async with bench(tmp_path / str(lost_after)) as b:
            b.printer.withholds = lambda message: "push_status" not in str(message)
            home = b.send(HOME)
            await pass_time(lost_after)
            b.printer.drop()
            b.printer.withholds = is_reply
            await until(lambda: len(b.printer.connections) == 2)
            assert (await home.answered()).code == "timeout"
            assert len(b.printer.acts) == 1


@simulated
async def test_an_empty_echo_does_not_hide_the_refusal_that_follows_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        pending = b.send(HOME)
        await until(lambda: b.printer.acts)
        number = b.printer.acts[0].body["sequence_id"]
        for said in ("", ',"result":"fail","reason":"no"'):
            body = f'{{"command":"gcode_line","sequence_id":"{number}"{said}}}'
            b.printer.say(b'{"print":' + body.encode() + b"}")
        await pass_time(0.1)
        assert pending.code == "printer_error"
