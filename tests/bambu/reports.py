"""Invented reports for the tests of the pure package, and strategies that vary them."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

Fields = dict[str, Any]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def tray(slot: int | str, kind: str = "PLA", color: str = "FF0000FF", **changes: Any) -> Fields:
    """A tray with a spool that has a tag."""
    return {
        "id": str(slot),
        "tray_type": kind,
        "tray_color": color,
        "tray_sub_brands": f"{kind} Basic",
        "tray_info_idx": "GFA00",
        "remain": 80,
        "nozzle_temp_min": "190",
        "nozzle_temp_max": "230",
        "tag_uid": "A0B1C2D3E4F50607",
        "tray_uuid": "0123456789ABCDEF0123456789ABCDEF",
    } | changes


def unit(number: int | str, **changes: Any) -> Fields:
    """An AMS with three spools and an empty slot."""
    return {
        "id": str(number),
        "humidity": "4",
        "temp": "22.7",
        "tray": [tray(0), tray(1, "PETG", "00FF00FF"), tray(2, color="112233FF"), {"id": "3"}],
    } | changes


def p1s(**changes: Any) -> Fields:
    """A full report of an idle P1S with one AMS."""
    report: Fields = {
        "nozzle_temper": 25.0,
        "nozzle_target_temper": 0,
        "bed_temper": 24.0,
        "bed_target_temper": 0,
        "chamber_temper": 5,
        "cooling_fan_speed": "0",
        "big_fan1_speed": "0",
        "big_fan2_speed": "0",
        "heatbreak_fan_speed": "0",
        "fan_gear": 0,
        "gcode_state": "IDLE",
        "gcode_file": "",
        "gcode_file_prepare_percent": "0",
        "subtask_name": "",
        "subtask_id": "0",
        "task_id": "0",
        "mc_percent": 0,
        "mc_remaining_time": 0,
        "mc_print_stage": "1",
        "mc_print_sub_stage": 0,
        "layer_num": 0,
        "total_layer_num": 0,
        "print_error": 0,
        "print_type": "idle",
        "spd_lvl": 2,
        "spd_mag": 100,
        "stg": [],
        "stg_cur": 255,
        "s_obj": [],
        "hms": [],
        "home_flag": 0x107,
        "hw_switch_state": 0,
        "sdcard": True,
        "wifi_signal": "-45dBm",
        "nozzle_diameter": "0.4",
        "nozzle_type": "hardened_steel",
        "lights_report": [{"node": "chamber_light", "mode": "on"}],
        "ipcam": {"ipcam_dev": "1", "ipcam_record": "disable", "timelapse": "disable", "resolution": ""},
        "upgrade_state": {"sequence_id": 0, "status": "IDLE", "dis_state": 0, "progress": "", "new_ver_list": []},
        "online": {"ahb": False, "rfid": False, "version": 7},
        "net": {"conf": 0, "info": [{"ip": 16777343, "mask": 255}]},
        "ams": {
            "ams": [unit(0)],
            "ams_exist_bits": "1",
            "tray_exist_bits": "7",
            "tray_now": "255",
            "tray_tar": "255",
            "version": 4,
            "power_on_flag": False,
        },
        "vt_tray": tray(254, "TPU", "FFFFFFFF"),
        "command": "push_status",
        "msg": 0,
        "sequence_id": "1",
    }
    return report | changes


def h2d(**changes: Any) -> Fields:
    """A full report of an H2D in its older firmware: without `msg`, two nozzles, an AMS and an AMS HT."""
    report = p1s(
        stg_cur=-1,
        fun="3EC18FFF9CFF",
        vir_slot=[tray(255), tray(254)],
        ams={
            "ams": [unit(0, info="1003"), {"id": "128", "info": "2004", "tray": [tray(0, "PA-CF")]}],
            "ams_exist_bits": "11",
            "tray_exist_bits": "10007",
            "tray_now": "255",
            "power_on_flag": False,
        },
        device={
            "type": 1,
            "bed": {"info": {"temp": 23}, "state": 0},
            "ctc": {"info": {"temp": 45 << 16 | 25}, "state": 0},
            "extruder": {
                "state": 2,
                "info": [
                    {"id": 0, "temp": 220 << 16 | 219, "snow": 3, "hnow": 0},
                    {"id": 1, "temp": 30, "snow": 65535, "hnow": 1},
                ],
            },
            "nozzle": {
                "exist": 3,
                "info": [{"id": 0, "type": "HS01", "diameter": 0.4}, {"id": 1, "type": "HH01", "diameter": 0.4}],
            },
            "airduct": {"modeCur": 0, "parts": [{"id": 16, "state": 0}, {"id": 32, "state": 0}]},
        },
    )
    del report["msg"], report["vt_tray"]
    return report | changes


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths of everything inside a report."""
    if isinstance(value, dict):
        inner: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        inner = []
    return [found for key, item in inner for found in ((*path, key), *places(item, (*path, key)))]


def replaced(report: Fields, path: tuple[str | int, ...], value: Any) -> Fields:
    """Return a copy of the report with another value at one place."""
    copy = deepcopy(report)
    inner: Any = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


@st.composite
def spoiled(draw: st.DrawFn, report: Fields) -> Fields:
    """The report with any JSON at up to three of its places."""
    for _ in range(draw(st.integers(1, 3))):
        report = replaced(report, draw(st.sampled_from(places(report))), draw(JSON_VALUES))
    return report


def as_delta(**fields: Any) -> Fields:
    """A delta that says `fields`."""
    return {**fields, "command": "push_status", "msg": 1, "sequence_id": "2"}
