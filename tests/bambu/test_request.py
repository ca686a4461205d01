"""The messages to a printer, against the protocol reference."""

import dataclasses
from typing import Any

import orjson
import pytest

from bambu_connector.bambu import request
from bambu_connector.bambu.request import (
    CALIBRATION_BITS,
    AmsChangeFilament,
    AmsFilamentSetting,
    AmsGetRfid,
    AmsMapping,
    AmsSlot,
    Calibration,
    CleanPrintError,
    GcodeFile,
    GcodeLine,
    GetVersion,
    LedControl,
    Pause,
    PrintOptions,
    PrintSpeed,
    ProjectFile,
    PushAll,
    PushStart,
    Request,
    Resume,
    SetExtrusionLength,
    SkipObjects,
    Stop,
    is_print,
)

START = ProjectFile(
    file="bracket.gcode.3mf",
    url="ftp://bracket.gcode.3mf",
    plate=2,
    subtask_name="bracket",
    job_number=1234567,
    md5="0123456789abcdef0123456789abcdef",
)
SETTING = AmsFilamentSetting(
    ams_id=0,
    slot_id=3,
    tray_id=3,
    tray_info_idx="GFG99",
    tray_type="PETG",
    tray_color="336699FF",
    nozzle_temp_min=230,
    nozzle_temp_max=260,
)
MESSAGES: list[tuple[Request, str, dict[str, Any]]] = [
    (GetVersion(), "info", {"command": "get_version"}),
    (PushAll(), "pushing", {"command": "pushall", "version": 1, "push_target": 1}),
    (PushStart(), "pushing", {"command": "start"}),
    (Pause(), "print", {"command": "pause", "param": ""}),
    (Resume(), "print", {"command": "resume", "param": ""}),
    (Stop(), "print", {"command": "stop", "param": ""}),
    (GcodeLine(("G28",)), "print", {"command": "gcode_line", "param": "G28\n"}),
    (GcodeLine(("M83", "G0 E1.0 F900")), "print", {"command": "gcode_line", "param": "M83\nG0 E1.0 F900\n"}),
    (GcodeFile("a.gcode"), "print", {"command": "gcode_file", "param": "a.gcode"}),
    (PrintSpeed(3), "print", {"command": "print_speed", "param": "3"}),
    (SkipObjects((98, 121)), "print", {"command": "skip_objects", "obj_list": [98, 121]}),
    (Calibration(6), "print", {"command": "calibration", "option": 6}),
    (
        CleanPrintError(0x05004003, "77"),
        "print",
        {"command": "clean_print_error", "print_error": 83902467, "subtask_id": "77"},
    ),
    (
        AmsChangeFilament(ams_id=1, slot_id=2, target=6),
        "print",
        {"command": "ams_change_filament", "ams_id": 1, "slot_id": 2, "target": 6, "curr_temp": -1, "tar_temp": -1},
    ),
    (
        AmsChangeFilament(ams_id=255, slot_id=0, target=255, curr_temp=210, tar_temp=220, extruder_id=0),
        "print",
        {
            "command": "ams_change_filament",
            "ams_id": 255,
            "slot_id": 0,
            "target": 255,
            "curr_temp": 210,
            "tar_temp": 220,
            "extruder_id": 0,
        },
    ),
    (AmsGetRfid(1, 3), "print", {"command": "ams_get_rfid", "ams_id": 1, "slot_id": 3}),
    (
        SETTING,
        "print",
        {
            "command": "ams_filament_setting",
            "ams_id": 0,
            "slot_id": 3,
            "tray_id": 3,
            "tray_info_idx": "GFG99",
            "setting_id": "",
            "tray_type": "PETG",
            "tray_color": "336699FF",
            "nozzle_temp_min": 230,
            "nozzle_temp_max": 260,
        },
    ),
    (
        SetExtrusionLength(1, -5),
        "print",
        {"command": "set_extrusion_length", "extruder_index": 1, "length": -5},
    ),
    (
        LedControl("chamber_light", "on"),
        "system",
        {
            "command": "ledctrl",
            "led_node": "chamber_light",
            "led_mode": "on",
            "led_on_time": 500,
            "led_off_time": 500,
            "loop_times": 1,
            "interval_time": 1000,
        },
    ),
    (
        START,
        "print",
        {
            "command": "project_file",
            "param": "Metadata/plate_2.gcode",
            "project_id": "1234567",
            "profile_id": "0",
            "task_id": "1234567",
            "subtask_id": "1234567",
            "subtask_name": "bracket",
            "file": "bracket.gcode.3mf",
            "url": "ftp://bracket.gcode.3mf",
            "md5": "0123456789ABCDEF0123456789ABCDEF",
            "bed_type": "auto",
            "bed_leveling": True,
            "auto_bed_leveling": 1,
            "flow_cali": False,
            "extrude_cali_flag": 0,
            "vibration_cali": True,
            "layer_inspect": False,
            "timelapse": False,
            "nozzle_offset_cali": 0,
            "use_ams": False,
            "ams_mapping": [],
            "ams_mapping2": [],
            "cfg": "0",
        },
    ),
]


@pytest.mark.parametrize(("said", "group", "body"), MESSAGES, ids=lambda each: getattr(each, "command", None))
def test_a_request_is_the_message_of_the_reference(said: Request, group: str, body: dict[str, Any]) -> None:
    assert orjson.loads(said.payload("20001")) == {group: {"sequence_id": "20001", **body}}


def test_every_request_is_in_the_table() -> None:
    classes = {each for each in vars(request).values() if isinstance(each, type) and issubclass(each, Request)}
    spoken = {each for each in classes if hasattr(each, "command")}
    assert spoken == {type(said) for said, _, _ in MESSAGES}


def test_the_options_of_a_start_are_the_ones_given() -> None:
    options = PrintOptions(
        bed_type="textured_plate",
        bed_leveling=False,
        flow_cali=True,
        vibration_cali=False,
        layer_inspect=True,
        timelapse=True,
    )
    body = orjson.loads(dataclasses.replace(START, options=options).payload("1"))["print"]
    told = {
        key: body[key] for key in ("bed_type", "bed_leveling", "auto_bed_leveling", "flow_cali", "extrude_cali_flag")
    }
    assert told == {
        "bed_type": "textured_plate",
        "bed_leveling": False,
        "auto_bed_leveling": 0,
        "flow_cali": True,
        "extrude_cali_flag": 1,
    }
    assert (body["vibration_cali"], body["layer_inspect"], body["timelapse"]) == (False, True, True)


def test_a_mapping_is_told_twice() -> None:
    mapping = AmsMapping(True, (-1, 4, 128), (AmsSlot(255, 255), AmsSlot(1, 0), AmsSlot(128, 0)))
    body = orjson.loads(dataclasses.replace(START, ams=mapping).payload("1"))["print"]
    assert (body["use_ams"], body["ams_mapping"]) == (True, [-1, 4, 128])
    assert body["ams_mapping2"] == [
        {"ams_id": 255, "slot_id": 255},
        {"ams_id": 1, "slot_id": 0},
        {"ams_id": 128, "slot_id": 0},
    ]


def test_nothing_of_one_message_is_in_the_next() -> None:
    first = START.params()
    first["ams_mapping"].append(7)
    first["subtask_name"] = "changed"
    assert (START.params()["ams_mapping"], START.params()["subtask_name"]) == ([], "bracket")


def test_what_needs_developer_mode_is_the_group_print() -> None:
    assert {type(said) for said, _, _ in MESSAGES if not is_print(said)} == {GetVersion, PushAll, PushStart, LedControl}


def test_calibrations_have_the_bits_of_the_reference() -> None:
    assert CALIBRATION_BITS == {"lidar": 1, "bed_level": 2, "vibration": 4, "motor_noise": 8}
