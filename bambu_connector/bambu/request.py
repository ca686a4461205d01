"""Requests to a printer as values: one frozen class each, its payload built fresh every time (reference 5).

Nothing here is shared between two messages, so nothing of one print can leak into the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import orjson

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """Base of all requests. `group` is the top-level key; at QoS 0 a busy printer loses requests, so `qos` is 1."""

    group: ClassVar[str] = "print"
    command: ClassVar[str]
    qos: ClassVar[int] = 1

    def params(self) -> Params:
        """Return the fields beside `sequence_id` and `command`."""
        return {}

    def payload(self, sequence_id: str) -> bytes:
        """Return the message, built fresh."""
        return orjson.dumps({self.group: {"sequence_id": sequence_id, "command": self.command, **self.params()}})


@dataclass(frozen=True, slots=True)
class GetVersion(Request):
    """Ask for the modules and their firmware; also the question that a healthy session always answers."""

    group = "info"
    command = "get_version"


@dataclass(frozen=True, slots=True)
class PushAll(Request):
    """Ask for one full report."""

    group = "pushing"
    command = "pushall"

    def params(self) -> Params:
        return {"version": 1, "push_target": 1}


@dataclass(frozen=True, slots=True)
class PushStart(Request):
    """Ask a printer that fell silent to report again."""

    group = "pushing"
    command = "start"


@dataclass(frozen=True, slots=True)
class _WithoutParam(Request):
    def params(self) -> Params:
        return {"param": ""}


@dataclass(frozen=True, slots=True)
class Pause(_WithoutParam):
    """Pause the print."""

    command = "pause"


@dataclass(frozen=True, slots=True)
class Resume(_WithoutParam):
    """Resume the paused print."""

    command = "resume"


@dataclass(frozen=True, slots=True)
class Stop(_WithoutParam):
    """Cancel the print."""

    command = "stop"


@dataclass(frozen=True, slots=True)
class GcodeLine(Request):
    """Run g-code: `lines` without their newlines. All g-code goes out here, and it is ours, never a sender's text."""

    command = "gcode_line"
    lines: tuple[str, ...]

    def params(self) -> Params:
        return {"param": "".join(f"{line}\n" for line in self.lines)}


@dataclass(frozen=True, slots=True)
class GcodeFile(Request):
    """Run a plain g-code file of the storage."""

    command = "gcode_file"
    path: str

    def params(self) -> Params:
        return {"param": self.path}


@dataclass(frozen=True, slots=True)
class PrintSpeed(Request):
    """Set the speed level, 1 silent to 4 ludicrous (a string on the wire)."""

    command = "print_speed"
    level: int

    def params(self) -> Params:
        return {"param": str(self.level)}


@dataclass(frozen=True, slots=True)
class SkipObjects(Request):
    """Leave out objects of the running print, by `identify_id`."""

    command = "skip_objects"
    objects: tuple[int, ...]

    def params(self) -> Params:
        return {"obj_list": list(self.objects)}


@dataclass(frozen=True, slots=True)
class Calibration(Request):
    """Calibrate; `option` is the bit mask of reference 5.2."""

    command = "calibration"
    option: int

    def params(self) -> Params:
        return {"option": self.option}


@dataclass(frozen=True, slots=True)
class CleanPrintError(Request):
    """Clear the sticky error."""

    command = "clean_print_error"
    print_error: int
    subtask_id: str

    def params(self) -> Params:
        return {"print_error": self.print_error, "subtask_id": self.subtask_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class AmsChangeFilament(Request):
    """Load from a slot, or unload (`slot_id` and `target` 255). Temperatures in °C; -1 lets the printer decide."""

    command = "ams_change_filament"
    ams_id: int
    slot_id: int
    target: int
    curr_temp: int = -1
    tar_temp: int = -1
    extruder_id: int | None = None

    def params(self) -> Params:
        fields: Params = {
            "ams_id": self.ams_id, "slot_id": self.slot_id, "target": self.target, "curr_temp": self.curr_temp,
            "tar_temp": self.tar_temp,
        }  # fmt: skip
        return fields if self.extruder_id is None else fields | {"extruder_id": self.extruder_id}


@dataclass(frozen=True, slots=True)
class AmsGetRfid(Request):
    """Read a slot's tag again."""

    command = "ams_get_rfid"
    ams_id: int
    slot_id: int

    def params(self) -> Params:
        return {"ams_id": self.ams_id, "slot_id": self.slot_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class AmsFilamentSetting(Request):
    """Tell the printer what lies in a slot; `tray_color` is RRGGBBAA, temperatures in °C."""

    command = "ams_filament_setting"
    ams_id: int
    slot_id: int
    tray_id: int
    tray_info_idx: str
    tray_type: str
    tray_color: str
    nozzle_temp_min: int
    nozzle_temp_max: int

    def params(self) -> Params:
        return {
            "ams_id": self.ams_id,
            "slot_id": self.slot_id,
            "tray_id": self.tray_id,
            "tray_info_idx": self.tray_info_idx,
            "tray_type": self.tray_type,
            "tray_color": self.tray_color,
            "nozzle_temp_min": self.nozzle_temp_min,
            "nozzle_temp_max": self.nozzle_temp_max,
            "setting_id": "",
        }


@dataclass(frozen=True, slots=True)
class SetExtrusionLength(Request):
    """Move whole millimetres of filament on a machine with two nozzles (negative retracts)."""

    command = "set_extrusion_length"
    extruder: int
    length: int

    def params(self) -> Params:
        return {"extruder_index": self.extruder, "length": self.length}


@dataclass(frozen=True, slots=True)
class LedControl(Request):
    """Switch a light. The timing keys must be there although on and off ignore them."""

    group = "system"
    command = "ledctrl"
    node: str
    mode: str

    def params(self) -> Params:
        return {
            "led_node": self.node, "led_mode": self.mode, "led_on_time": 500, "led_off_time": 500, "loop_times": 1,
            "interval_time": 1000,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class AmsSlot:
    """One element of `ams_mapping2`."""

    ams_id: int
    slot_id: int


@dataclass(frozen=True, slots=True)
class AmsMapping:
    """What feeds each filament of the project (reference 9.4): index = project filament id - 1."""

    use_ams: bool = False
    flat: tuple[int, ...] = ()
    slots: tuple[AmsSlot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintOptions:
    """What `project_file` is told besides the file; levelling and calibrations as booleans."""

    bed_type: str = "auto"
    bed_leveling: bool = True
    flow_cali: bool = False
    vibration_cali: bool = True
    layer_inspect: bool = False
    timelapse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFile(Request):
    """Start a sliced 3MF (reference 9.2).

    `job_number` is our id of the job, above 0 and below 2^31; `md5` of the whole file in hex, or empty.
    """

    command = "project_file"
    file: str
    url: str
    plate: int
    subtask_name: str
    job_number: int
    md5: str
    options: PrintOptions = field(default_factory=PrintOptions)
    ams: AmsMapping = field(default_factory=AmsMapping)

    def params(self) -> Params:
        identity = str(self.job_number)
        options = self.options
        return {
            "param": f"Metadata/plate_{self.plate}.gcode",
            "project_id": identity, "profile_id": "0", "task_id": identity, "subtask_id": identity,
            "subtask_name": self.subtask_name, "file": self.file, "url": self.url, "md5": self.md5.upper(),
            "bed_type": options.bed_type, "bed_leveling": options.bed_leveling,
            "auto_bed_leveling": int(options.bed_leveling), "flow_cali": options.flow_cali,
            "extrude_cali_flag": int(options.flow_cali), "vibration_cali": options.vibration_cali,
            "layer_inspect": options.layer_inspect, "timelapse": options.timelapse, "nozzle_offset_cali": 0,
            "use_ams": self.ams.use_ams, "ams_mapping": list(self.ams.flat),
            "ams_mapping2": [{"ams_id": slot.ams_id, "slot_id": slot.slot_id} for slot in self.ams.slots],
            "cfg": "0",
        }  # fmt: skip


PRINT_GROUP: Final = "print"
"""The group that a printer without Developer Mode refuses (reference 4.4)."""


def is_print(request: Request) -> bool:
    """Say whether the request is one that signing firmware refuses while Developer Mode is off."""
    return request.group == PRINT_GROUP


CALIBRATION_BITS: Final[Mapping[str, int]] = {"lidar": 1, "bed_level": 2, "vibration": 4, "motor_noise": 8}
