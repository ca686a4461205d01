"""One printer → the status tree that Printago reads. Every key is always there; None is untold."""

from dataclasses import dataclass
from typing import Any, Final

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
    return {"process": _process(now, link, process), "machines": [_machine(now, link, process, shown)]}


def _process(now: Situation, link: Link, process: Process) -> Tree:
    options = process.options
    return {
        "can_process_job": guards.allows(guards.guard_start, now),
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


def _machine(now: Situation, link: Link, process: Process, view: View) -> Tree:
    traits = now.traits
    nozzles = view.nozzles if view.report else ()
    first = view.active_nozzle if nozzles else None
    return {
        "hardware": {
            "dev_model": traits.code,
            "dev_display_name": traits.display_name,
            "dev_name": link.name,
            "nozzle_diameter": first.diameter if first else None,
            "nozzle_type": first.type if first else None,
            "firmware": link.firmware,
        },
        "connection_info": _connection(now, link, view),
        "state": _state(now, view),
        "current": _current(process, view, nozzles, first),
        "filament": {
            "ams": [_unit(unit) for unit in view.ams],
            "external": [{"id": slot.id, "type": slot.type, "color": _color(slot.color)} for slot in view.external],
            "active_slot": _active(view),
        },
        "lights": {"chamber": view.light("chamber_light"), "work": view.light("work_light")},
        "camera": {
            "available": view.camera_available,
            "kind": view.camera_kind.value if view.camera_kind else None,
            "recording": view.camera_recording,
            "timelapse": view.timelapse,
        },
        "storage": {"present": view.storage_present},
        "health": _health(read_health(view.report)),
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
        "developer_mode": view.developer_mode,
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


def _current(process: Process, view: View, nozzles: tuple[Nozzle, ...], first: Nozzle | None) -> Tree:
    report = view.report
    bed, chamber = view.bed, view.chamber
    return {
        "print_status": view.state.value if view.state else None,
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
        "temperatures": {
            "nozzle_temp": _degrees(first.temperature.current) if first else None,
            "nozzle_temp_target": first.temperature.target if first else None,
            "bed_temp": _degrees(bed.current),
            "bed_temp_target": bed.target,
            "chamber_temp": _degrees(chamber.current),
            "chamber_temp_target": chamber.target,
            "frame_temp": None,
        },
        "nozzles": [
            {
                "id": nozzle.id,
                "temp": _degrees(nozzle.temperature.current),
                "temp_target": nozzle.temperature.target,
                "diameter": nozzle.diameter,
                "type": nozzle.type,
            }
            for nozzle in nozzles
        ],
        "cooling": {
            "heatbreak_fan_speed": view.fan("heatbreak"),
            "cooling_fan_speed": view.fan("part"),
            "big_fan1_speed": view.fan("aux"),
            "big_fan2_speed": view.fan("chamber"),
            "fan_gear": whole(report.get("fan_gear")),
        },
    }


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
