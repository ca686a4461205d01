"""Each row of the guards: refused with its code, and nothing at all happens at the printer."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.bench import Bench, Printer
from tests.e2e.cloud import Tree
from tests.files import sliced
from tests.servers.process import wait_until

HOMED = 0b111
HOT: Tree = {"nozzle_temper": 220.0, "nozzle_target_temper": 220}
PREPARING, RUNNING, PAUSED = ({"gcode_state": state} for state in ("PREPARE", "RUNNING", "PAUSE"))
UPGRADING: Tree = {"upgrade_state": {"status": "DOWNLOADING", "dis_state": 2, "progress": "40"}}
UNSIGNED: Tree = {"fun": "3EC1AFFF9CFF"}  # bit 29: signatures are demanded
NO_CARD: Tree = {"sdcard": False, "home_flag": HOMED}
START: Tree = {"file_name": "there.gcode.3mf"}
STILL: dict[str, Tree] = {
    "movement_control/jog": {"axes": {"x": 1}},
    "movement_control/home": {},
    "movement_control/extrude": {"amount": 5},
    "temperature_control/set_hotend": {"temperature": 200},
    "temperature_control/set_bed": {"temperature": 60},
    "printer_control/calibrate": {"bed_level": True},
    "filament_control/load": {"ams_id": 0, "slot_id": 1},
    "filament_control/unload": {},
}
WHILE_PAUSED = (
    "temperature_control/set_hotend",
    "temperature_control/set_bed",
    "movement_control/extrude",
    "filament_control/load",
    "filament_control/unload",
)
PUBLISHES_PRINT = {
    **STILL,
    "printer_control/start_print": START,
    "printer_control/clear_error": {},
    "fan_control/set_fan": {"fan": "part", "speed": 50},
    "filament_control/refresh_slot": {"ams_id": 0, "slot_id": 2},
    "filament_control/set_slot": {
        "ams_id": 0, "slot_id": 2, "type": "PLA", "color": "#112233", "nozzle_temp_min": 190, "nozzle_temp_max": 230,
        "tray_info_idx": "GFL99",
    },
}  # fmt: skip


@pytest.fixture
def printer(bench: Bench) -> Printer:
    return bench.printers[0]


@dataclass(frozen=True)
class Row:
    code: str
    command: str
    parameters: Tree = field(default_factory=dict)
    state: Tree = field(default_factory=dict)
    homed: bool = True


def jog(relative: bool = True, **axes: Any) -> Tree:
    return {"axes": axes, "relative": relative}


ROWS: dict[str, Row] = {
    "pause while idle": Row("wrong_state", "printer_control/pause_print"),
    "pause while paused": Row("wrong_state", "printer_control/pause_print", state=PAUSED),
    "pause while preparing": Row("wrong_state", "printer_control/pause_print", state=PREPARING),
    "resume while idle": Row("wrong_state", "printer_control/resume_print"),
    "resume while running": Row("wrong_state", "printer_control/resume_print", state=RUNNING),
    "stop while idle": Row("wrong_state", "printer_control/stop_print"),
    "stop after the end": Row("wrong_state", "printer_control/stop_print", state={"gcode_state": "FINISH"}),
    "stop after a failure": Row("wrong_state", "printer_control/stop_print", state={"gcode_state": "FAILED"}),
    "speed while idle": Row("wrong_state", "speed_control/set_speed", {"level": 2}),
    "skipping objects while idle": Row("wrong_state", "printer_control/skip_objects", {"objects": [98]}),
    **{
        f"start while {state['gcode_state']}": Row("printer_busy", "printer_control/start_print", START, state)
        for state in (PREPARING, RUNNING, PAUSED)
    },
    **{
        f"{command} while {state['gcode_state']}": Row("printer_busy", command, parameters, state | HOT)
        for state in (PREPARING, RUNNING, {"gcode_state": "SLICING"})
        for command, parameters in STILL.items()
    },
    **{
        f"{command} while PAUSE": Row("printer_busy", command, parameters, PAUSED)
        for command, parameters in STILL.items()
        if command not in WHILE_PAUSED
    },
    **{
        f"{command} without Developer Mode": Row("developer_mode_required", command, parameters, UNSIGNED | HOT)
        for command, parameters in PUBLISHES_PRINT.items()
    },
    **{
        f"{action} without Developer Mode": Row("developer_mode_required", f"printer_control/{action}", {}, state)
        for action, state in {
            "pause_print": UNSIGNED | RUNNING, "resume_print": UNSIGNED | PAUSED, "stop_print": UNSIGNED | RUNNING,
        }.items()
    },
    **{
        f"{command} during a firmware upgrade": Row("printer_busy", command, parameters, UPGRADING | HOT)
        for command, parameters in PUBLISHES_PRINT.items()
    },
    "start without storage": Row("storage_missing", "printer_control/start_print", START, NO_CARD),
    "start of a file that is not there": Row("file_invalid", "printer_control/start_print", {"file_name": "no.3mf"}),
    "start of a file in a folder": Row("invalid_parameters", "printer_control/start_print", {"file_name": "../a.3mf"}),
    "deleting a file that is not there": Row("file_invalid", "printer_control/delete_file", {"file_name": "no.3mf"}),
    "jog of an axis that is not homed": Row("not_homed", "movement_control/jog", jog(x=1), homed=False),
    "relative jog beyond 100 mm": Row("out_of_range", "movement_control/jog", jog(y=100.5)),
    "relative jog beyond -100 mm": Row("out_of_range", "movement_control/jog", jog(x=1, z=-101)),
    "absolute jog beyond the volume": Row("out_of_range", "movement_control/jog", jog(False, x=257)),
    "absolute jog below 5 mm": Row("out_of_range", "movement_control/jog", jog(False, z=4.9)),
    "absolute jog below 0": Row("out_of_range", "movement_control/jog", jog(False, y=-1)),
    "jog too fast": Row("out_of_range", "movement_control/jog", {**jog(x=1), "speed": 12001}),
    "jog without speed": Row("out_of_range", "movement_control/jog", {**jog(x=1), "speed": 0}),
    "jog of no axis": Row("invalid_parameters", "movement_control/jog", jog()),
    "jog of a fourth axis": Row("invalid_parameters", "movement_control/jog", jog(e=1)),
    "jog by a NaN": Row("invalid_parameters", "movement_control/jog", jog(x="NaN")),
    "extrude when cold": Row("too_cold", "movement_control/extrude", {"amount": 5}, {"nozzle_temper": 169.0}),
    "extrude too much": Row("out_of_range", "movement_control/extrude", {"amount": 101}, HOT),
    "extrude too fast": Row("out_of_range", "movement_control/extrude", {"amount": 5, "speed": 1801}, HOT),
    "extrude with a tool that is not there": Row(
        "out_of_range", "movement_control/extrude", {"amount": 5, "tool": 1}, HOT
    ),
    "hotend above the limit": Row("out_of_range", "temperature_control/set_hotend", {"temperature": 301}),
    "hotend below 0": Row("out_of_range", "temperature_control/set_hotend", {"temperature": -1}),
    "hotend infinite": Row("invalid_parameters", "temperature_control/set_hotend", {"temperature": "Infinity"}),
    "hotend without a temperature": Row("invalid_parameters", "temperature_control/set_hotend"),
    "bed above the limit": Row("out_of_range", "temperature_control/set_bed", {"temperature": 101}),
    "chamber on a model without heater": Row("not_supported", "temperature_control/set_chamber", {"temperature": 40}),
    "light that the model has not": Row(
        "not_supported", "light_control/set_light", {"light": "work_light", "state": "on"}
    ),
    "light in a colour": Row("invalid_parameters", "light_control/set_light", {"light": "work_light", "state": "red"}),
    "speed that is none": Row("invalid_parameters", "speed_control/set_speed", {"level": 5}, RUNNING),
    "fan above 100 percent": Row("out_of_range", "fan_control/set_fan", {"fan": "part", "speed": 101}),
    "load from a slot that is not there": Row("out_of_range", "filament_control/load", {"ams_id": 0, "slot_id": 9}),
    "load from an empty slot": Row("filament_mismatch", "filament_control/load", {"ams_id": 0, "slot_id": 3}),
    "start without a URL": Row("invalid_parameters", "printer_control/start_print_bbl", {"file_name": "a.3mf"}),
    "start with a file URL": Row("invalid_parameters", "printer_control/start_print_bbl", {"url": "file:///etc/passwd"}),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_guard_refuses_and_nothing_reaches_the_printer(bench: Bench, printer: Printer, row: Row) -> None:
    printer.put("there.gcode.3mf", sliced(2000))
    homed = {"home_flag": printer.virtual.machine.report.get("home_flag") | (HOMED if row.homed else 0)}
    bench.set(printer, **homed | row.state)
    outcome = bench.refused(row.code, printer, row.command, row.parameters)
    assert len(outcome.answer.data["error"]) > 10, "that is no sentence for a person"


def test_what_is_unknown_is_not_homed(bench: Bench, printer: Printer) -> None:
    bench.set(printer, home_flag=None)
    bench.refused("not_homed", printer, "movement_control/jog", jog(x=1))


def test_a_home_that_was_seen_homes(bench: Bench, printer: Printer) -> None:
    bench.refused("not_homed", printer, "movement_control/jog", jog(z=1))
    since = bench.cloud.mark()
    bench.succeed(printer, "movement_control/home")
    bench.cloud.hear("status", printer.id, lambda each: all(each.machine["state"]["homed"].values()), since=since)
    bench.succeed(printer, "movement_control/jog", jog(z=1))


@pytest.mark.parametrize(
    ("command", "parameters", "state"),
    [
        ("movement_control/jog", jog(y=100), {}),
        ("movement_control/jog", jog(x=-100, z=100), {}),
        ("movement_control/jog", jog(False, x=256, z=5), {}),
        ("movement_control/extrude", {"amount": 100, "speed": 1800}, {"nozzle_temper": 170.0}),
        ("temperature_control/set_hotend", {"temperature": 300}, {}),
        ("temperature_control/set_bed", {"temperature": 100}, {}),
    ],
    ids=str,
)
def test_what_is_at_the_limit_is_let_through(
    bench: Bench, printer: Printer, command: str, parameters: Tree, state: Tree
) -> None:
    bench.set(printer, **{"home_flag": HOMED, **state})
    assert bench.succeed(printer, command, parameters).orders


@pytest.mark.parametrize("command", WHILE_PAUSED)
def test_a_paused_print_allows_heat_and_filament(bench: Bench, printer: Printer, command: str) -> None:
    loaded = {"ams": {"tray_now": "1" if command.endswith("/unload") else "255"}}
    bench.set(printer, **PAUSED, **HOT, **loaded)
    assert bench.succeed(printer, command, STILL[command]).orders


@pytest.mark.parametrize("state", [RUNNING, NO_CARD, UNSIGNED, UPGRADING], ids=lambda state: next(iter(state)))
def test_a_start_that_is_refused_downloads_nothing(bench: Bench, printer: Printer, state: Tree) -> None:
    bench.set(printer, **state)
    url = bench.serve("refused.gcode.3mf", sliced(2000))
    before = len(bench.web.requests)
    code = {"gcode_state": "printer_busy", "sdcard": "storage_missing", "fun": "developer_mode_required"}
    wanted = code.get(next(iter(state)), "printer_busy")
    bench.refused(wanted, printer, "printer_control/start_print_bbl", {"url": url})
    assert bench.web.requests[before:] == []


@pytest.mark.parametrize("state", [RUNNING, UNSIGNED], ids=["while it prints", "without Developer Mode"])
def test_a_download_needs_no_permission_to_print(bench: Bench, printer: Printer, state: Tree) -> None:
    bench.set(printer, **state)
    url = bench.serve("beside.gcode.3mf", sliced(2000))
    outcome = bench.succeed(printer, "printer_control/download_gcode", {"url": url})
    assert outcome.orders == []
    assert printer.files() == {outcome.answer.data["file_name"]}


def test_without_developer_mode_the_light_still_obeys(bench: Bench, printer: Printer) -> None:
    bench.set(printer, **UNSIGNED)
    bench.succeed(printer, "light_control/set_light", {"light": "chamber_light", "state": "off"})
    status = bench.cloud.heard("status", printer.id)[-1]
    assert status.machine["connection_info"]["developer_mode"] is False


# -- age -------------------------------------------------------------------------------------------


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("movement_control/home", {"timestamp": ago(45)}),
        ("temperature_control/set_bed", {"timestamp": ago(45)}),
        ("fan_control/set_fan", {"timestamp": ago(45)}),
        ("light_control/set_light", {"timestamp": ago(16 * 60)}),
        ("printer_control/start_print", {"timestamp": ago(16 * 60)}),
        ("movement_control/home", {"expires_at": ago(1)}),
        ("movement_control/home", {"timestamp": int(time.time()) - 100}),
        ("movement_control/home", {"timestamp": int(time.time() * 1000) - 100_000}),
    ],
    ids=str,
)
def test_an_old_command_is_expired(bench: Bench, printer: Printer, command: str, extra: Tree) -> None:
    parameters = {"temperature": 60, "fan": "part", "speed": 1, "light": "chamber_light", "state": "on", **START}
    bench.refused("expired", printer, command, parameters, **extra)


@pytest.mark.parametrize(
    "how", ["in the future", "without an offset", "epoch seconds", "epoch milliseconds", "minutes, for a light"]
)
def test_a_command_of_now_is_not_expired(bench: Bench, printer: Printer, how: str) -> None:
    now = time.time()
    stamp: object = {
        "in the future": ago(-3600),
        "without an offset": datetime.now(UTC).replace(tzinfo=None).isoformat(),
        "epoch seconds": int(now),
        "epoch milliseconds": int(now * 1000),
        "minutes, for a light": ago(600),
    }[how]
    bench.succeed(printer, "light_control/set_light", {"light": "chamber_light", "state": "off"}, timestamp=stamp)


@pytest.mark.parametrize("command", ["pause_print", "stop_print"])
def test_stop_and_pause_never_expire(bench: Bench, printer: Printer, command: str) -> None:
    bench.set(printer, **RUNNING)
    assert bench.succeed(printer, f"printer_control/{command}", timestamp=ago(86_400), expires_at=ago(3600)).orders


def test_a_job_that_expires_before_its_start_does_not_start(bench: Bench, printer: Printer) -> None:
    url = bench.serve("late.gcode.3mf", sliced(5000), stall_after=100)
    end = time.time() + 1
    mark = printer.mark()
    command_id = bench.send(printer, "printer_control/start_print_bbl", {"url": url}, expires_at=end)
    bench.cloud.hear("status", printer.id, lambda each: each.process["job_state"] == "download")
    wait_until("the command expires", lambda: time.time() > end)
    bench.go_on("late.gcode.3mf")
    answer = bench.cloud.answer(command_id)
    assert (answer.code, answer.data["stage"]) == ("expired", "start")
    bench.fence(printer)
    assert [body["command"] for _, body in printer.orders(mark)] == ["ledctrl"]
    wait_until("the upload is gone", lambda: not printer.files())
