"""Every command of the contract's tables: what reaches the printer, and one answer, in both dialects of MQTT."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.bench import Bench, Order, Printer
from tests.e2e.cloud import Tree

P1S, X1C, A1_MINI, H2D = range(4)
HOMED = 0b111
RUNNING: Tree = {"gcode_state": "RUNNING"}
PAUSED: Tree = {"gcode_state": "PAUSE"}
HOT: Tree = {"nozzle_temper": 220.0, "nozzle_target_temper": 220}
LED: Tree = {"led_on_time": 500, "led_off_time": 500, "loop_times": 1, "interval_time": 1000}

Check = Callable[[list[Order]], object]


def message(group: str, command: str, **fields: Any) -> Check:
    """One request, with at least these fields."""

    def check(orders: list[Order]) -> object:
        ((told, body),) = orders
        return (told, body["command"]) == (group, command) and body | fields == body

    return check


def gcode(*lines: str) -> Check:
    """One `gcode_line` with these lines, each ended by a newline."""
    return message("print", "gcode_line", param="".join(f"{line}\n" for line in lines))


def jog(*moves: str, mode: str = "G91") -> Check:
    return gcode("M211 S", "M211 X1 Y1 Z1", "M1002 push_ref_mode", mode, *moves, "M1002 pop_ref_mode", "M211 R")


@dataclass(frozen=True)
class Row:
    command: str
    parameters: Tree
    check: Check
    state: Tree = field(default_factory=dict)
    printer: int = P1S
    homed: bool = False


ROWS = {
    "pause_print": Row("printer_control/pause_print", {}, message("print", "pause"), RUNNING),
    "resume_print": Row("printer_control/resume_print", {}, message("print", "resume"), PAUSED),
    "stop_print": Row("printer_control/stop_print", {}, message("print", "stop"), RUNNING),
    "set_hotend": Row("temperature_control/set_hotend", {"temperature": 215}, gcode("M104 S215")),
    "set_hotend of the second tool": Row(
        "temperature_control/set_hotend", {"temperature": 240, "tool": 1}, gcode("M104 S240 T1"), printer=H2D
    ),
    "set_bed with a number in a text": Row("temperature_control/set_bed", {"temperature": "60"}, gcode("M140 S60")),
    "set_bed to 0": Row("temperature_control/set_bed", {"temperature": 0}, gcode("M140 S0"), {"bed_target_temper": 60}),
    "set_chamber": Row(
        "temperature_control/set_chamber", {"temperature": 45}, gcode("M145 P1", "M141 S45"), printer=H2D
    ),
    "jog of several axes": Row(
        "movement_control/jog", {"axes": {"x": 10, "y": -5.25}}, jog("G1 X10.0 Y-5.2 F3000"), homed=True
    ),
    "jog with z is slow": Row(
        "movement_control/jog", {"axes": {"z": 2}, "speed": 3000}, jog("G1 Z2.0 F900"), homed=True
    ),
    "absolute jog": Row(
        "movement_control/jog", {"axes": {"x": 100}, "relative": False}, jog("G1 X100.0 F3000", mode="G90"), homed=True
    ),
    "jog where the bed moves": Row(
        "movement_control/jog", {"axes": {"x": 1, "y": 2, "z": 3}}, jog("G1 X1.0 Y-2.0 Z-3.0 F900"),
        printer=A1_MINI, homed=True,
    ),
    "extrude": Row("movement_control/extrude", {"amount": 5}, gcode("M83", "G0 E5.0 F900"), HOT),
    "extrude that retracts": Row(
        "movement_control/extrude", {"amount": -2.5, "speed": 300}, gcode("M83", "G0 E-2.5 F300"), HOT
    ),
    "home is always whole": Row("movement_control/home", {"axes": ["z"]}, gcode("G28")),
    "set_fan part": Row("fan_control/set_fan", {"fan": "part", "speed": 50}, gcode("M106 P1 S128")),
    "set_fan aux": Row("fan_control/set_fan", {"fan": "aux", "speed": 100}, gcode("M106 P2 S255")),
    "set_fan chamber": Row("fan_control/set_fan", {"fan": "chamber", "speed": 20}, gcode("M106 P3 S51")),
    "set_light off": Row(
        "light_control/set_light", {"light": "chamber_light", "state": "off"},
        message("system", "ledctrl", led_node="chamber_light", led_mode="off", **LED),
    ),
    "set_light flashing": Row(
        "light_control/set_light", {"light": "work_light", "state": "flashing"},
        message("system", "ledctrl", led_node="work_light", led_mode="flashing", **LED), printer=X1C,
    ),
    "set_speed by number": Row(
        "speed_control/set_speed", {"level": 3}, message("print", "print_speed", param="3"), RUNNING
    ),
    "set_speed by name": Row(
        "speed_control/set_speed", {"level": "ludicrous"}, message("print", "print_speed", param="4"), PAUSED
    ),
    "load": Row(
        "filament_control/load", {"ams_id": 0, "slot_id": 1},
        message("print", "ams_change_filament", ams_id=0, slot_id=1, target=1),
    ),
    "load from the external spool": Row(
        "filament_control/load", {"slot_id": 254}, message("print", "ams_change_filament", target=254)
    ),
    "unload": Row(
        "filament_control/unload", {}, message("print", "ams_change_filament", slot_id=255, target=255),
        {"ams": {"tray_now": "1", "tray_pre": "1", "tray_tar": "1"}},
    ),
    "refresh_slot": Row(
        "filament_control/refresh_slot", {"ams_id": 0, "slot_id": 2},
        message("print", "ams_get_rfid", ams_id=0, slot_id=2),
    ),
    "set_slot": Row(
        "filament_control/set_slot",
        {"ams_id": 0, "slot_id": 2, "type": "PETG", "color": "#336699", "nozzle_temp_min": 230,
         "nozzle_temp_max": 260, "tray_info_idx": "GFG99"},
        message("print", "ams_filament_setting", ams_id=0, tray_id=2, tray_type="PETG", tray_color="336699FF",
                nozzle_temp_min=230, nozzle_temp_max=260, tray_info_idx="GFG99"),
    ),
    "calibrate": Row(
        "printer_control/calibrate", {"bed_level": True, "vibration": "true", "lidar": False},
        message("print", "calibration", option=6),
    ),
    "skip_objects": Row(
        "printer_control/skip_objects", {"objects": [98, "121"]},
        message("print", "skip_objects", obj_list=[98, 121]), RUNNING,
    ),
    "clear_error": Row(
        "printer_control/clear_error", {}, message("print", "clean_print_error", print_error=0x05004003),
        {"print_error": 0x05004003},
    ),
    "unknown parameters are ignored": Row(
        "temperature_control/set_bed", {"temperature": 55, "mood": "good"}, gcode("M140 S55")
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_command_reaches_the_printer_once_and_is_answered(either: Bench, row: Row) -> None:
    bench, printer = either, either.printers[row.printer]
    homed = {"home_flag": printer.virtual.machine.report.get("home_flag") | HOMED} if row.homed else {}
    if row.state or homed:
        bench.set(printer, **row.state, **homed)
    others = [(each, each.mark()) for each in bench.printers if each is not printer]
    outcome = bench.succeed(printer, row.command, row.parameters)
    assert row.check(outcome.orders), str(outcome)
    body = outcome.answer.fields
    assert (body["command"], body["printer_id"]) == (row.command, printer.id)
    assert (outcome.answer.data["local_command"], outcome.answer.data["acknowledged"]) == (
        row.command.partition("/")[2],
        True,
    )
    assert [each.orders(mark) for each, mark in others] == [[], [], []]


def is_hot(nozzles: list[Tree]) -> bool:
    return any(each["id"] == 1 and each["temp"] >= 170 for each in nozzles)


def test_extrude_on_two_nozzles_moves_the_named_one(either: Bench) -> None:
    bench, printer = either, either.printers[H2D]
    since = bench.cloud.mark()
    bench.succeed(printer, "temperature_control/set_hotend", {"temperature": 220, "tool": 1})
    bench.cloud.hear("status", printer.id, lambda each: is_hot(each.machine["current"]["nozzles"]), since=since)
    outcome = bench.succeed(printer, "movement_control/extrude", {"amount": 5, "tool": 1})
    assert message("print", "set_extrusion_length", extruder_index=1, length=5)(outcome.orders), str(outcome)


def test_get_status_answers_with_the_whole_report(either: Bench) -> None:
    bench, printer = either, either.printers[P1S]
    bench.set(printer, nozzle_temper=31.0)
    outcome = bench.ask(printer, "printer_control/get_status", {}, command_id=f"status-{bench.connector_id}")
    answer = outcome.answer
    assert (answer.kind, answer.qos, answer.retain, outcome.orders) == ("status", 1, False, [])
    assert answer.fields["command"] == "printer_control/get_status"
    assert answer.data["report"]["nozzle_temper"] == 31.0
    assert answer.data["report"].keys() >= {"gcode_state", "ams", "home_flag"}
    assert answer.machine["connection_info"]["dev_id"] == printer.serial
    unasked = bench.cloud.heard("status", printer.id)[0]
    assert answer.machine.keys() == unasked.machine.keys()


def test_files_are_listed_and_deleted(either: Bench) -> None:
    bench, printer = either, either.printers[P1S]
    printer.put("old.gcode.3mf", b"12345")
    listed = bench.ask(printer, "printer_control/list_files").answer
    assert listed.kind == "response"
    assert listed.data["folder"] == "/"
    assert ("old.gcode.3mf", 5) in [(each["name"], each["size"]) for each in listed.data["files"]]
    outcome = bench.succeed(printer, "printer_control/delete_file", {"file_name": "old.gcode.3mf"})
    assert (printer.files(), outcome.orders) == (set(), [])


@pytest.mark.parametrize("action", ["get_providers", "snapshot", "stream_on", "stream_off"])
def test_camera_commands_are_not_supported_yet(either: Bench, action: str) -> None:
    either.refused("not_supported", either.printers[P1S], f"camera_control/{action}")


def test_tags_are_echoed(either: Bench) -> None:
    printer = either.printers[P1S]
    done = either.succeed(printer, "movement_control/home", {"tags": ["a", {"b": 1}]})
    failed = either.refused("invalid_parameters", printer, "movement_control/jog", {"axes": {}, "tags": "t"})
    assert (done.answer.data["tags"], failed.answer.data["tags"]) == (["a", {"b": 1}], "t")


def test_the_former_desktop_clients_form_is_understood(either: Bench) -> None:
    bench, printer = either, either.printers[X1C]
    mark = printer.mark()
    command_id = f"former-{bench.connector_id}"
    body = {"command": "movement_control", "action": "home", "parameters": {"printer_id": printer.id}}
    bench.cloud.publish("bambu/commands", body | {"command_id": command_id})
    answer = bench.cloud.answer(command_id)
    assert (answer.kind, answer.printer_id) == ("success", printer.id)
    assert gcode("G28")(printer.orders(mark))


def test_a_printer_may_be_named_by_its_serial_and_a_command_id_may_be_a_number(either: Bench) -> None:
    bench, printer = either, either.printers[A1_MINI]
    number = 4711 + (bench.connector_id == "mqtt-311")
    body = {"type": "movement_control", "action": "home", "parameters": None, "printer_id": printer.serial}
    bench.cloud.publish("bambu/commands", body | {"command_id": number})
    answer = bench.cloud.hear("success", printer.id, lambda each: each.command_id == number)
    assert answer.fields["command"] == "movement_control/home"


def test_the_same_command_id_has_no_second_effect_and_no_second_answer(either: Bench) -> None:
    bench, printer = either, either.printers[P1S]
    mark = printer.mark()
    command_id = bench.send(printer, "movement_control/home")
    bench.cloud.answer(command_id)
    bench.send(printer, "movement_control/home", command_id=command_id)
    bench.send(printer, "movement_control/home", {"now": "another payload"}, command_id=command_id)
    bench.fence(printer)
    assert [body["command"] for _, body in printer.orders(mark)] == ["gcode_line", "ledctrl"]
    assert len(bench.cloud.answers(command_id)) == 1
    assert re.search(r"WARN.*another payload", bench.service.log())


def test_what_is_no_command_is_told_by_the_connector_itself(either: Bench) -> None:
    bench = either
    since = bench.cloud.mark()
    bench.cloud.publish("bambu/commands", b'{"type": "movement_control"')
    bench.cloud.publish("bambu/commands", {"type": "movement_control", "action": "home", "parameters": {}})
    answers = bench.cloud.until(
        "two refusals",
        lambda: found if len(found := bench.cloud.heard("error", bench.connector_id, since=since)) == 2 else None,
    )
    assert [each.code for each in answers] == ["invalid_message", "invalid_message"]
    assert "printer_id" in answers[1].data["error"]


def first_printer(bench: Bench) -> Printer:
    return bench.printers[P1S]


BROKEN: dict[str, tuple[str, Callable[[Bench], bytes | Tree]]] = {
    "not JSON": ("invalid_message", lambda bench: b"home!"),
    "a bare NaN": (
        "invalid_message", lambda bench: b'{"type": "movement_control", "action": "home", "parameters": NaN}',
    ),
    "no action": ("invalid_message", lambda bench: {"type": "movement_control", "parameters": {}}),
    "no parameters": ("invalid_message", lambda bench: {"type": "movement_control", "action": "home"}),
    "a list of printers": (
        "invalid_message",
        lambda bench: {"type": "movement_control", "action": "home", "parameters": {}, "printer_id": ["a", "b"]},
    ),
    "an unreadable time": (
        "invalid_message",
        lambda bench: {"type": "movement_control", "action": "home", "parameters": {}, "timestamp": "yesterday"},
    ),
    "more than 256 KiB": (
        "invalid_message",
        lambda bench: {"type": "movement_control", "action": "home", "parameters": {"x": "y" * 262_144}},
    ),
    "an unknown command": (
        "unknown_command", lambda bench: {"type": "movement_control", "action": "fly", "parameters": {}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "payload"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_command_on_a_printers_topic_is_answered_for_that_printer(
    either: Bench, code: str, payload: Callable[[Bench], bytes | Tree]
) -> None:
    bench, printer = either, first_printer(either)
    since, mark = bench.cloud.mark(), printer.mark()
    bench.cloud.publish(f"bambu/{printer.id}/commands", payload(bench))
    answer = bench.cloud.hear("error", printer.id, since=since)
    assert answer.code == code
    bench.fence(printer)
    assert len(printer.orders(mark)) == 1


def test_a_command_that_contradicts_its_topic_is_for_nobody(either: Bench) -> None:
    bench, printers = either, either.printers[:2]
    since, marks = bench.cloud.mark(), [each.mark() for each in printers]
    body = {"type": "movement_control", "action": "home", "parameters": {}, "printer_id": printers[1].id}
    bench.cloud.publish(f"bambu/{printers[0].id}/commands", body)
    assert bench.cloud.hear("error", None, since=since).code == "invalid_message"
    for printer, mark in zip(printers, marks, strict=True):
        bench.fence(printer)
        assert len(printer.orders(mark)) == 1


def test_a_printer_that_nobody_has_is_unknown(either: Bench) -> None:
    bench = either
    since = bench.cloud.mark()
    body = {"type": "movement_control", "action": "home", "parameters": {}, "printer_id": "nobody"}
    bench.cloud.publish("bambu/commands", body)
    assert bench.cloud.hear("error", bench.connector_id, since=since).code == "unknown_printer"


def test_an_answer_is_told_after_the_printer_did_it(either: Bench) -> None:
    bench, printer = either, first_printer(either)
    bench.set(printer, **RUNNING)
    since = bench.cloud.mark()
    bench.succeed(printer, "printer_control/pause_print")
    assert printer.state == "PAUSE"
    shown = bench.cloud.hear(
        "status", printer.id, lambda each: each.machine["current"]["print_status"] == "PAUSE", since=since
    )
    assert (shown.machine["state"]["can_resume"], shown.machine["state"]["can_pause"]) == (True, False)
