"""One good example of every command of the contract's two tables: what is sent, and what it means."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from bambu_connector.printago import orders
from bambu_connector.printago.commands import Command, Refusal, parse_command
from bambu_connector.printago.orders import Checksum, SlotRef, StartOptions
from bambu_connector.secret import Secret

Fields = dict[str, Any]

TOKEN: Final = "X-Amz-Signature=0badc0de0badc0de"
URL: Final = f"https://files.example.org/part.gcode.3mf?{TOKEN}"
MD5: Final = "0123456789abcdef0123456789abcdef"
SHA256: Final = MD5 * 2
QUICK: Final = 30.0
SLOW: Final = 15 * 60.0


@dataclass(frozen=True, slots=True)
class Example:
    """A command; `order` None where no order of the printer's follows from it. `max_age` in seconds, None: for ever."""

    command: str
    parameters: Fields
    order: orders.Order | None
    max_age: float | None = SLOW
    required: tuple[str, ...] = field(default=())


# fmt: off
ALL_OPTIONS: Final[Fields] = {
    "plate": 2, "use_ams": True, "ams_mapping": [0, -1, 5], "bed_type": "Textured PEI Plate", "do_bed_leveling": False,
    "do_flow_cali": True, "vibration_cali": False, "layer_inspect": True, "timelapse": True, "job_id": "job-7",
}
READ_OPTIONS: Final = StartOptions(
    plate=2, use_ams=True, ams_mapping=(0, -1, 5), bed_type="textured_plate", do_bed_leveling=False, do_flow_cali=True,
    vibration_cali=False, layer_inspect=True, timelapse=True, job_id="job-7",
)
EXAMPLES: Final = (
    Example("printer_control/start_print_bbl",
            {"url": URL, "file_name": "part.gcode.3mf", "md5": MD5, **ALL_OPTIONS},
            orders.StartPrintBbl(url=Secret(URL), file_name="part.gcode.3mf", checksum=Checksum("md5", MD5),
                                 options=READ_OPTIONS), required=("url",)),
    Example("printer_control/download_gcode",
            {"url": URL, "file_name": "part.gcode.3mf", "sha256": SHA256, "plate": 3},
            orders.DownloadGcode(url=Secret(URL), file_name="part.gcode.3mf", checksum=Checksum("sha256", SHA256),
                                 plate=3), required=("url",)),
    Example("printer_control/start_print", {"file_name": "part.gcode.3mf", **ALL_OPTIONS},
            orders.StartPrint(file_name="part.gcode.3mf", options=READ_OPTIONS), required=("file_name",)),
    Example("printer_control/pause_print", {}, orders.PausePrint(), max_age=None),
    Example("printer_control/resume_print", {}, orders.ResumePrint()),
    Example("printer_control/stop_print", {}, orders.StopPrint(), max_age=None),
    Example("printer_control/get_status", {}, orders.GetStatus()),
    Example("temperature_control/set_hotend", {"temperature": 220, "tool": 1}, orders.SetHotend(220, 1), QUICK,
            ("temperature",)),
    Example("temperature_control/set_bed", {"temperature": 60.5}, orders.SetBed(60.5), QUICK, ("temperature",)),
    Example("temperature_control/set_chamber", {"temperature": 45}, orders.SetChamber(45), QUICK, ("temperature",)),
    Example("movement_control/jog",
            {"axes": {"x": 10, "y": -5, "z": 2}, "relative": False, "speed": 1200, "tags": ["a"]},
            orders.Jog({"x": 10, "y": -5, "z": 2}, relative=False, speed=1200), QUICK, ("axes",)),
    Example("movement_control/extrude", {"amount": -5, "speed": 300, "tool": 1, "tags": []},
            orders.Extrude(-5, 300, 1), QUICK, ("amount",)),
    Example("movement_control/home", {"axes": ["z"]}, orders.Home(), QUICK),
    Example("camera_control/get_providers", {}, None),
    Example("camera_control/snapshot", {"destination": "inline"}, None),
    Example("camera_control/stream_on", {"destination": "inline", "interval": 2}, None),
    Example("camera_control/stream_off", {}, None),
    Example("fan_control/set_fan", {"fan": "aux", "speed": 50}, orders.SetFan("aux", 50), QUICK, ("fan", "speed")),
    Example("light_control/set_light", {"light": "work_light", "state": "flashing"},
            orders.SetLight("work_light", "flashing"), required=("light", "state")),
    Example("speed_control/set_speed", {"level": "sport"}, orders.SetSpeed(3), required=("level",)),
    Example("filament_control/load", {"ams_id": 1, "slot_id": 2, "temperature": 230, "tool": 1},
            orders.LoadFilament(SlotRef(1, 2), 230, 1), required=("ams_id", "slot_id")),
    Example("filament_control/unload", {"temperature": 210, "tool": 1}, orders.UnloadFilament(210, 1)),
    Example("filament_control/refresh_slot", {"ams_id": 0, "slot_id": 3}, orders.RefreshSlot(SlotRef(0, 3)),
            required=("ams_id", "slot_id")),
    Example("filament_control/set_slot",
            {"ams_id": 0, "slot_id": 3, "type": "PETG", "color": "#336699ff", "nozzle_temp_min": 230,
             "nozzle_temp_max": 260, "tray_info_idx": "GFG99"},
            orders.SetSlot(slot=SlotRef(0, 3), type="PETG", color="336699FF", nozzle_temp_min=230, nozzle_temp_max=260,
                           tray_info_idx="GFG99"),
            required=("ams_id", "slot_id", "type", "color", "nozzle_temp_min", "nozzle_temp_max")),
    Example("printer_control/calibrate", {"bed_level": True, "vibration": True, "motor_noise": False, "lidar": True},
            orders.Calibrate(bed_level=True, vibration=True, lidar=True)),
    Example("printer_control/skip_objects", {"objects": [98, 99]}, orders.SkipObjects((98, 99)),
            required=("objects",)),
    Example("printer_control/clear_error", {}, orders.ClearError()),
    Example("printer_control/list_files", {"folder": "/cache"}, orders.ListFiles("/cache")),
    Example("printer_control/delete_file", {"file_name": "old.gcode.3mf"}, orders.DeleteFile("old.gcode.3mf"),
            required=("file_name",)),
)
# fmt: on
BY_COMMAND: Final = {each.command: each for each in EXAMPLES}
ORDERS: Final = tuple(each for each in EXAMPLES if each.order is not None)


def message(command: str = "movement_control/home", parameters: object = None, **more: object) -> bytes:
    """Return a command as it comes from Printago."""
    kind, _, action = command.partition("/")
    return json.dumps({"type": kind, "action": action, "parameters": parameters, **more}).encode()


def accepted(payload: bytes) -> Command:
    """Return the command that must have been understood."""
    parsed = parse_command(payload)
    assert isinstance(parsed, Command), str(parsed.error)
    return parsed


def refused(payload: bytes, code: str) -> Refusal:
    """Return the refusal that must have followed, with this code and a sentence for a person."""
    parsed = parse_command(payload)
    assert isinstance(parsed, Refusal), parsed
    assert parsed.error.code == code, str(parsed.error)
    assert len(str(parsed.error)) > 10
    return parsed
