"""One printer → the status tree that Printago reads. Every key is always there; None is untold."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import is_
from typing import Any, Final, Generic, TypeVar

import orjson

from bambu_connector.bambu.filament import AmsUnit, Slot
from bambu_connector.bambu.health import Health, HealthEntry, read_health
from bambu_connector.bambu.lenient import text, whole
from bambu_connector.bambu.stages import STAGES
from bambu_connector.bambu.view import PREPARING, GcodeState, Nozzle, View
from bambu_connector.printago import orders
from bambu_connector.translate import guards
from bambu_connector.translate.situation import Situation

Tree = dict[str, Any]
UPLOAD_FOLDER: Final = ""  # LAN uploads go to the root of the card or stick (reference 10.2)
_EXTRUSION_CALIBRATION: Final = "extrusion_cali"
_NO_STAGE: Final = (-1, 255)
# The fields of a report that a part of the status is read from.
_STATE: Final = (
    *("gcode_state", "upgrade_state", "home_flag", "aux", "sdcard"),  # these for the guards
    *("print_type", "gcode_file"),
)
_JOB: Final = (
    *("gcode_state", "stg_cur", "mc_print_stage", "mc_print_sub_stage", "mc_percent", "mc_remaining_time"),
    *("layer_num", "total_layer_num", "3D", "gcode_file_prepare_percent", "spd_lvl", "s_obj", "print_error"),
    *("gcode_file", "subtask_name", "task_id"),
)
_HEAT: Final = (
    *("nozzle_temper", "nozzle_target_temper", "bed_temper", "bed_target_temper", "chamber_temper", "ctt"),
    *("nozzle_diameter", "nozzle_type", "device"),
)
_FANS: Final = ("fan_gear", "cooling_fan_speed", "big_fan1_speed", "big_fan2_speed", "heatbreak_fan_speed")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The job of ours that is under way, or whose print is followed; `percent` of the whole job."""

    stage: str = "idle"
    percent: int = 0
    job_id: str | None = None
    print_job_id: str | None = None
    """What `current.job_id` says: kept until the print's terminal event."""
    file: str | None = None
    options: orders.StartOptions | None = None
    use_ams: bool | None = None


NO_PROCESS: Final = Process()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The connection to a printer, as far as Printago is told."""

    serial: str
    name: str
    host: str
    is_connecting: bool
    is_online: bool
    has_access_right: bool | None
    verified: bool | None
    last_report: str | None
    reconnects: int
    firmware: str | None


def status_data(now: Situation, link: Link, process: Process, shown: View) -> Tree:
    """Return `data` of a status message. `shown` is the last view of this process, also when the printer is gone."""
    return StatusWriter().write(now, link, process, shown)


class _Part(Generic[T]):
    """One part of the tree, made again only when something that it is made from has changed.

    Folding leaves what a delta does not change the same object. In a full report everything is another object, but
    writing it down to see that it says the same costs a tenth of reading it.
    """

    __slots__ = ("_facts", "_keys", "_made", "_sources")

    def __init__(self, *keys: str) -> None:
        """The part is made from the fields `keys` of the report."""
        self._keys = keys
        self._facts: tuple[object, ...] = (None,)
        self._sources: list[object] = []
        self._made: T

    def of(self, view: View, make: Callable[[], T], *facts: object) -> T:
        """Return the part for `view`, made by `make` if need be; `facts` is what else it is made from."""
        sources = list(map(view.report.get, self._keys))
        facts = (view.traits, *facts)
        if not all(map(is_, facts, self._facts)) or not _say_the_same(sources, self._sources):
            self._made = make()
        self._facts, self._sources = facts, sources
        return self._made


def _say_the_same(ones: list[object], others: list[object]) -> bool:
    if all(map(is_, ones, others)):
        return True
    try:  # as fast as `==`, which takes True for 1 and 1.0
        return orjson.dumps(ones) == orjson.dumps(others)
    except TypeError:  # what is too large for orjson is rare enough to be made again
        return False


class StatusWriter:
    """Writes the statuses of one printer. They share parts: whoever gets one must not change anything below its top."""

    def __init__(self) -> None:
        self._state = _Part[Tree](*_STATE)
        self._job = _Part[Tree](*_JOB)
        self._heat = _Part[tuple[Tree, Tree, list[Tree]]](*_HEAT)
        self._cooling = _Part[Tree](*_FANS)
        self._units = _Part[list[Tree]]("ams")
        self._external = _Part[list[Tree]]("vir_slot", "vt_tray")
        self._active = _Part[Tree | None]("ams", "device")
        self._lights = _Part[Tree]("lights_report")
        self._camera = _Part[Tree]("ipcam")
        self._storage = _Part[Tree]("home_flag", "aux", "sdcard")
        self._health = _Part[Tree]("hms", "print_error")

    def write(self, now: Situation, link: Link, process: Process, shown: View) -> Tree:
        """Return `data` of a status message, as `status_data` does."""
        facts: tuple[object, ...] = (now.connected, now.link_error, now.developer_mode)
        facts += (now.job_under_way, now.start_out, now.start_unexplained)
        seen = now.view if now.view is not shown else True
        state = self._state.of(shown, lambda: _state(now, shown), seen, *facts)
        return {
            "process": _process(link, process, can_start=state["can_print"]),
            "machines": [self._machine(now, link, process, shown, state)],
        }

    def _machine(self, now: Situation, link: Link, process: Process, view: View, state: Tree) -> Tree:
        fitted, temperatures, nozzles = self._heat.of(view, lambda: _heat(view))
        return {
            "hardware": {
                "dev_model": now.traits.code,
                "dev_display_name": now.traits.display_name,
                "dev_name": link.name,
                **fitted,
                "firmware": link.firmware,
            },
            "connection_info": _connection(now, link, view),
            "state": state,
            "current": {
                **self._job.of(view, lambda: _job(process, view), process.print_job_id),
                "temperatures": temperatures,
                "nozzles": nozzles,
                "cooling": self._cooling.of(view, lambda: _cooling(view)),
            },
            "filament": {
                "ams": self._units.of(view, lambda: [_unit(unit) for unit in view.ams]),
                "external": self._external.of(view, lambda: _external(view)),
                "active_slot": self._active.of(view, lambda: _active(view)),
            },
            "lights": self._lights.of(view, lambda: _lights(view)),
            "camera": self._camera.of(view, lambda: _camera(view)),
            "storage": self._storage.of(view, lambda: {"present": view.storage_present}),
            "health": self._health.of(view, lambda: _health(read_health(view.report))),
        }


def _process(link: Link, process: Process, *, can_start: bool) -> Tree:
    options = process.options
    return {
        "can_process_job": can_start,
        "job_id": process.job_id,
        "job_state": process.stage,
        "job_machine": link.serial,
        "job_local_file": process.file,
        "job_progress": process.percent,
        "bed_level": options.do_bed_leveling if options else None,
        "flow_calibr": options.do_flow_cali if options else None,
        "bed_type": options.bed_type if options else None,
        "use_ams": process.use_ams,
    }


def _connection(now: Situation, link: Link, view: View) -> Tree:
    return {
        "dev_ip": link.host,
        "dev_id": link.serial,
        "dev_name": link.name,
        "dev_connection_type": "lan",
        "is_local": True,
        "is_connected": now.connected,
        "is_connecting": link.is_connecting,
        "is_online": link.is_online,
        "has_access_right": link.has_access_right,
        "developer_mode": now.developer_mode,
        "verified": link.verified,
        "ftp_folder": UPLOAD_FOLDER,
        "wifi_signal_dbm": view.wifi_dbm,
        "last_report": link.last_report,
        "reconnects": link.reconnects,
    }


def _state(now: Situation, view: View) -> Tree:
    state, homed = view.state, view.homed
    calibration = _is_extrusion_calibration(view)
    return {
        "can_print": guards.allows(guards.guard_start, now),
        "can_resume": guards.allows(guards.guard_resume, now),
        "can_pause": guards.allows(guards.guard_pause, now),
        "can_abort": guards.allows(guards.guard_stop, now),
        "is_in_printing": view.is_active,
        "is_in_prepare": state in PREPARING,
        "is_printing_finished": state in (GcodeState.FINISH, GcodeState.FAILED),
        "is_in_extrusion_cali": None if state is None else calibration and view.is_active,
        "is_extrusion_cali_finished": None if state is None else calibration and state is GcodeState.FINISH,
        "homed": {"x": homed.x, "y": homed.y, "z": homed.z},
    }


def _is_extrusion_calibration(view: View) -> bool:
    return view.is_calibration and _EXTRUSION_CALIBRATION in (text(view.report.get("gcode_file")) or "")


def activity(view: View) -> str | None:
    """The stage of an active print in words; None when no print is active or no stage is told."""
    stage = view.stage
    if not view.is_active or stage is None or stage in _NO_STAGE:
        return None
    return STAGES.get(stage, f"stage {stage}")


def _job(process: Process, view: View) -> Tree:
    report, state = view.report, view.state
    return {
        "print_status": state.value if state else None,
        "activity": activity(view),
        "print_stage": whole(report.get("mc_print_stage")),
        "print_sub_stage": whole(report.get("mc_print_sub_stage")),
        "print_percent": view.percent,
        "print_time_left": view.seconds_left,
        "curr_layer": view.layer,
        "total_layers": view.total_layers,
        "prepare_percent": view.prepare_percent,
        "speed_level": view.speed_level,
        "file": text(report.get("gcode_file")),
        "task_name": text(report.get("subtask_name")),
        "task_id": text(report.get("task_id")),
        "job_id": process.print_job_id,
        "skipped_objects": view.skipped_objects,
        "print_error": view.print_error_text,
    }


def _heat(view: View) -> tuple[Tree, Tree, list[Tree]]:
    """Return the nozzle of `hardware`, `temperatures` and `nozzles`, which are read from the same fields."""
    nozzles = view.nozzles if view.report else ()
    first = view.active_of(nozzles)
    fitted = {
        "nozzle_diameter": first.diameter if first else None,
        "nozzle_type": first.type if first else None,
    }
    return fitted, _temperatures(view, first), [_nozzle(each) for each in nozzles]


def _temperatures(view: View, first: Nozzle | None) -> Tree:
    bed, chamber = view.bed, view.chamber
    return {
        "nozzle_temp": _degrees(first.temperature.current) if first else None,
        "nozzle_temp_target": first.temperature.target if first else None,
        "bed_temp": _degrees(bed.current),
        "bed_temp_target": bed.target,
        "chamber_temp": _degrees(chamber.current),
        "chamber_temp_target": chamber.target,
        "frame_temp": None,
    }


def _nozzle(nozzle: Nozzle) -> Tree:
    return {
        "id": nozzle.id,
        "temp": _degrees(nozzle.temperature.current),
        "temp_target": nozzle.temperature.target,
        "diameter": nozzle.diameter,
        "type": nozzle.type,
    }


def _cooling(view: View) -> Tree:
    return {
        "heatbreak_fan_speed": view.fan("heatbreak"),
        "cooling_fan_speed": view.fan("part"),
        "big_fan1_speed": view.fan("aux"),
        "big_fan2_speed": view.fan("chamber"),
        "fan_gear": whole(view.report.get("fan_gear")),
    }


def _lights(view: View) -> Tree:
    return {"chamber": view.light("chamber_light"), "work": view.light("work_light")}


def _camera(view: View) -> Tree:
    kind = view.camera_kind
    return {
        "available": view.camera_available,
        "kind": kind.value if kind else None,
        "recording": view.camera_recording,
        "timelapse": view.timelapse,
    }


def _external(view: View) -> list[Tree]:
    return [{"id": slot.id, "type": slot.type, "color": _color(slot.color)} for slot in view.external]


def _degrees(value: float | None) -> int | None:
    return None if value is None else round(value)


def _color(color: str | None) -> str | None:
    return None if color is None else f"#{color}"


def _unit(unit: AmsUnit) -> Tree:
    drying = unit.drying
    return {
        "id": unit.id,
        "model": unit.kind,
        "humidity": unit.humidity,
        "humidity_percent": unit.humidity_percent,
        "temp": unit.temp,
        "drying": {"minutes_left": drying.minutes_left, "temperature": drying.temperature} if drying else None,
        "slots": [_slot(slot) for slot in unit.slots],
    }


def _slot(slot: Slot) -> Tree:
    return {
        "id": slot.id,
        "loaded": slot.loaded,
        "type": slot.type,
        "color": _color(slot.color),
        "name": slot.name,
        "info": slot.info,
        "tag_id": slot.tag_id,
        "remaining": slot.remaining,
        "nozzle_temp_min": slot.nozzle_temp_min,
        "nozzle_temp_max": slot.nozzle_temp_max,
    }


def _active(view: View) -> Tree | None:
    active = view.active_slot
    return {"ams_id": active.ams_id, "slot_id": active.slot_id} if active else None


def _health(health: Health) -> Tree:
    return {
        "errors": [health_entry(each) for each in health.errors],
        "warnings": [health_entry(each) for each in health.warnings],
        "infos": [health_entry(each) for each in health.infos],
    }


def health_entry(entry: HealthEntry) -> Tree:
    """Return one entry of `health`, as the status and the events tell it."""
    return {
        "code": entry.code,
        "message": entry.message,
        "severity": entry.severity,
        "module": entry.module,
        "url": entry.url,
    }
