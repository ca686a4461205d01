"""Statuses for the tests: how they are made, and the explicit schema of section 6 that each must fit."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.view import View
from bambu_connector.translate.situation import Situation
from bambu_connector.translate.status import NO_PROCESS, Link, Process, Tree, status_data
from tests.bambu.reports import Fields
from tests.translate.situations import P1S

_NONE: Final = type(None)
TEXT, WHOLE, FLAG = (str,), (int,), (bool,)
TEXT_, WHOLE_, FLAG_, NUMBER_ = (str, _NONE), (int, _NONE), (bool, _NONE), (int, float, _NONE)


class Maybe:
    """Null, or what the schema says."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema


# fmt: off
_HEALTH: Final = [{"code": TEXT, "message": TEXT, "severity": TEXT, "module": TEXT, "url": TEXT}]
_MACHINE: Final[dict[str, Any]] = {
    "hardware": {"dev_model": TEXT, "dev_display_name": TEXT, "dev_name": TEXT, "nozzle_diameter": NUMBER_,
                 "nozzle_type": TEXT_, "firmware": TEXT_},
    "connection_info": {
        "dev_ip": TEXT, "dev_id": TEXT, "dev_name": TEXT, "dev_connection_type": TEXT, "is_local": FLAG,
        "is_connected": FLAG, "is_connecting": FLAG, "is_online": FLAG, "has_access_right": FLAG_,
        "developer_mode": FLAG_, "verified": FLAG_, "ftp_folder": TEXT, "wifi_signal_dbm": WHOLE_,
        "last_report": TEXT_, "reconnects": WHOLE},
    "state": {
        "can_print": FLAG, "can_resume": FLAG, "can_pause": FLAG, "can_abort": FLAG, "is_in_printing": FLAG,
        "is_in_prepare": FLAG, "is_printing_finished": FLAG, "is_in_extrusion_cali": FLAG_,
        "is_extrusion_cali_finished": FLAG_, "homed": {"x": FLAG_, "y": FLAG_, "z": FLAG_}},
    "current": {
        "print_status": TEXT_, "activity": TEXT_, "print_stage": WHOLE_, "print_sub_stage": WHOLE_,
        "print_percent": WHOLE_, "print_time_left": WHOLE_, "curr_layer": WHOLE_, "total_layers": WHOLE_,
        "prepare_percent": WHOLE_, "speed_level": WHOLE_, "file": TEXT_, "task_name": TEXT_, "task_id": TEXT_,
        "job_id": TEXT_, "skipped_objects": Maybe([WHOLE]), "print_error": TEXT_,
        "temperatures": {"nozzle_temp": WHOLE_, "nozzle_temp_target": WHOLE_, "bed_temp": WHOLE_,
                         "bed_temp_target": WHOLE_, "chamber_temp": WHOLE_, "chamber_temp_target": WHOLE_,
                         "frame_temp": WHOLE_},
        "nozzles": [{"id": WHOLE, "temp": WHOLE_, "temp_target": WHOLE_, "diameter": NUMBER_, "type": TEXT_}],
        "cooling": {"heatbreak_fan_speed": WHOLE_, "cooling_fan_speed": WHOLE_, "big_fan1_speed": WHOLE_,
                    "big_fan2_speed": WHOLE_, "fan_gear": WHOLE_}},
    "filament": {
        "ams": [{"id": WHOLE, "model": TEXT, "humidity": WHOLE_, "humidity_percent": WHOLE_, "temp": NUMBER_,
                 "drying": Maybe({"minutes_left": WHOLE_, "temperature": WHOLE_}),
                 "slots": [{"id": WHOLE, "loaded": FLAG_, "type": TEXT_, "color": TEXT_, "name": TEXT_, "info": TEXT_,
                            "tag_id": TEXT_, "remaining": WHOLE_, "nozzle_temp_min": WHOLE_,
                            "nozzle_temp_max": WHOLE_}]}],
        "external": [{"id": WHOLE, "type": TEXT_, "color": TEXT_}],
        "active_slot": Maybe({"ams_id": WHOLE, "slot_id": WHOLE})},
    "lights": {"chamber": TEXT_, "work": TEXT_},
    "camera": {"available": FLAG_, "kind": TEXT_, "recording": FLAG_, "timelapse": FLAG_},
    "storage": {"present": FLAG_},
    "health": {"errors": _HEALTH, "warnings": _HEALTH, "infos": _HEALTH},
}
STATUS: Final[dict[str, Any]] = {
    "process": {"can_process_job": FLAG, "job_id": TEXT_, "job_state": TEXT, "job_machine": TEXT,
                "job_local_file": TEXT_, "job_progress": WHOLE, "bed_level": FLAG_, "flow_calibr": FLAG_,
                "bed_type": TEXT_, "use_ams": FLAG_},
    "machines": [_MACHINE],
}
# fmt: on


def misfits(tree: Any, schema: Any, path: str = "data") -> list[str]:
    """Say each place where a tree lacks a key, has one too many, or a value of another type."""
    if isinstance(schema, Maybe):
        return [] if tree is None else misfits(tree, schema.schema, path)
    if isinstance(schema, dict):
        if type(tree) is not dict or tree.keys() != schema.keys():
            return [f"{path}: {sorted(tree) if isinstance(tree, dict) else tree} instead of {sorted(schema)}"]
        return [line for key in schema for line in misfits(tree[key], schema[key], f"{path}.{key}")]
    if isinstance(schema, list):
        if type(tree) is not list:
            return [f"{path}: {tree!r} is not a list"]
        return [line for at, item in enumerate(tree) for line in misfits(item, schema[0], f"{path}[{at}]")]
    wrong = not isinstance(tree, schema) or (isinstance(tree, bool) and bool not in schema)
    return [f"{path}: {tree!r} is not {'/'.join(each.__name__ for each in schema)}"] if wrong else []


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value of a tree with its path, such as `machines.0.lights.work`; empty lists and objects too."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    if not inner:
        yield path, tree
    for key, value in inner:
        yield from leaves(value, f"{path}.{key}".lstrip("."))


LINK: Final = Link(
    serial="01P00A000000001",
    name="Left P1S",
    host="192.0.2.50",
    is_connecting=False,
    is_online=True,
    has_access_right=True,
    verified=True,
    last_report="2026-11-22T18:20:00.123Z",
    reconnects=0,
    firmware="01.08.02.00",
)


def status(
    report: Fields, traits: Traits = P1S, *, process: Process = NO_PROCESS, link: Link = LINK, **now: Any
) -> Tree:
    """Return the status of a connected printer that has just reported."""
    view = View(report, traits)
    known = Situation(traits=traits, connected=True, view=view, developer_mode=view.developer_mode, report_age=0.0)
    return status_data(replace(known, **now), link, process, view)


def machine(report: Fields, traits: Traits = P1S, **more: Any) -> dict[str, Any]:
    """Return the only machine of a status."""
    found: dict[str, Any] = status(report, traits, **more)["machines"][0]
    return found


def at(tree: Any, path: str) -> Any:
    """Return the value at a path such as `current.temperatures.bed_temp`."""
    for key in path.split("."):
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    return tree
