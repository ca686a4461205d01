"""Which parameters each command knows, for a word in time: an unknown one is ignored, as the contract has it."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

_START: Final = (
    "plate use_ams ams_mapping bed_type do_bed_leveling do_flow_cali vibration_cali layer_inspect timelapse job_id"
)
_EVERYWHERE: Final = ("tags", "printer_id")
# fmt: off
_NAMES: Final = {
    "printer_control/start_print_bbl":  f"url file_name md5 sha256 {_START}",
    "printer_control/download_gcode":   "url file_name md5 sha256 plate",
    "printer_control/start_print":      f"file_name {_START}",
    "printer_control/pause_print":      "",
    "printer_control/resume_print":     "",
    "printer_control/stop_print":       "",
    "printer_control/get_status":       "",
    "printer_control/calibrate":        "bed_level vibration motor_noise lidar",
    "printer_control/skip_objects":     "objects",
    "printer_control/clear_error":      "",
    "printer_control/list_files":       "folder",
    "printer_control/delete_file":      "file_name",
    "temperature_control/set_hotend":   "temperature tool",
    "temperature_control/set_bed":      "temperature",
    "temperature_control/set_chamber":  "temperature",
    "movement_control/jog":             "axes relative speed",
    "movement_control/extrude":         "amount speed tool",
    "movement_control/home":            "axes",  # and moves them all, as Printago's interface has it
    "fan_control/set_fan":              "fan speed",
    "light_control/set_light":          "light state",
    "speed_control/set_speed":          "level",
    "filament_control/load":            "ams_id slot_id temperature tool",
    "filament_control/unload":          "temperature tool",
    "filament_control/refresh_slot":    "ams_id slot_id",
    "filament_control/set_slot":        "ams_id slot_id type color nozzle_temp_min nozzle_temp_max tray_info_idx",
}
# fmt: on
PARAMETER_NAMES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {command: frozenset((*names.split(), *_EVERYWHERE)) for command, names in _NAMES.items()}
)
"""`type/action` → the names that it knows; commands that are only refused are not in it."""


def warnings(command: str, given: Iterable[str]) -> list[str]:
    """Return a sentence for each parameter that the command does not know; none for a command that is not known."""
    known = PARAMETER_NAMES.get(command)
    if known is None:
        return []
    return [_warning(command, name, sorted(known)) for name in given if name not in known]


def _warning(command: str, name: str, known: list[str]) -> str:
    nearest = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    return f"{command} has no parameter {name!r}, so it is ignored{hint}"
