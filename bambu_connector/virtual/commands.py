"""What each request does to a virtual printer, and what it answers."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bambu_connector.virtual.body import HOMED_BITS
from bambu_connector.virtual.filament import EXTERNAL, EXTERNAL_TRAY_NOW, NONE_LOADED, SLOTS
from bambu_connector.virtual.job import ACTIVE, SPEEDS, Calibration, skip_objects
from bambu_connector.virtual.project import CANNOT_PARSE, Start
from bambu_connector.virtual.report import Fields

if TYPE_CHECKING:
    from bambu_connector.virtual.printer import Machine

Answer = Mapping[str, object]
"""The fields that are added to the echo of a request."""

# stage of each bit of `calibration.option`
_CALIBRATIONS: Final = ((1, 12), (2, 1), (4, 3), (8, 25), (16, 39), (32, 40))
_CALIBRATION_S: Final = 30.0
_CHAMBER_OFF_BELOW: Final = 40
_LIGHT_TIMING: Final = ("led_on_time", "led_off_time", "loop_times", "interval_time")
_UNREPORTED_LIGHTS: Final = ("heatbed_light",)
_CHAMBER_LIGHT_BIT: Final = 1 << 7
_OPTION_BITS: Final = {
    "auto_recovery": 4,
    "auto_switch_filament": 10,
    "sound_enable": 17,
    "filament_tangle_detect": 20,
    "nozzle_blob_detect": 24,
    "air_print_detect": 28,
}


def done(**fields: object) -> Answer:
    """Answer that it was done."""
    return {**fields, "result": "success", "reason": ""}


def refused(reason: str, err_code: int | None = None, result: str = "fail") -> Answer:
    """Answer that it was not."""
    return {"result": result, "reason": reason, **({} if err_code is None else {"err_code": err_code})}


def _acknowledge(_machine: "Machine", _body: Fields) -> Answer:
    return done()


# -- jobs -------------------------------------------------------------------------------------------


def _pause(machine: "Machine", _body: Fields) -> Answer:
    if machine.rig.state != "RUNNING":
        return refused("nothing is running")
    machine.rig.show(gcode_state="PAUSE", stg_cur=16)
    machine.news.append("paused")
    return done()


def _resume(machine: "Machine", _body: Fields) -> Answer:
    if machine.rig.state != "PAUSE":
        return refused("nothing is paused")
    machine.rig.show(gcode_state="RUNNING", stg_cur=0, print_error=0, hms=[])
    machine.news.append("resumed")
    return done()


def _stop(machine: "Machine", _body: Fields) -> Answer:
    return done() if machine.stop() else refused("nothing to stop")


def _project_file(machine: "Machine", body: Fields) -> Answer:
    return machine.start_project(body)


def _gcode_file(machine: "Machine", body: Fields) -> Answer:
    path = str(body.get("param", "")).removeprefix("/sdcard/").lstrip("/")
    if machine.busy:
        return refused("busy")
    stream = machine.rig.files.open(path)
    if stream is None:
        machine.rig.show(print_error=CANNOT_PARSE)
        return refused("no such file", CANNOT_PARSE)
    stream.close()
    ids = dict.fromkeys(("project_id", "profile_id", "task_id", "subtask_id"), "0")
    return machine.accept(Start(file=path, title=path.rpartition("/")[2], ids=ids))


def _print_speed(machine: "Machine", body: Fields) -> Answer:
    param = body.get("param")
    level = int(param) if isinstance(param, str) and param.isdecimal() else 0
    if level not in SPEEDS:
        return refused('param must be "1" to "4"')
    if machine.rig.state in ACTIVE:
        machine.rig.show(spd_lvl=level, spd_mag=SPEEDS[level])
        machine.report.set_bits(0b111 << 8, False, "cfg")
        machine.report.set_bits(level << 8, True, "cfg")
    return done()


def _skip_objects(machine: "Machine", body: Fields) -> Answer:
    if machine.rig.state not in ("RUNNING", "PAUSE"):
        return refused("no print is running")
    return done() if skip_objects(machine.rig, body.get("obj_list")) else refused("obj_list must hold numbers")


def _calibration(machine: "Machine", body: Fields) -> Answer:
    option = body.get("option")
    stages = [(stage, _CALIBRATION_S) for bit, stage in _CALIBRATIONS if isinstance(option, int) and option & bit]
    if not stages:
        return refused("nothing to calibrate")
    if machine.busy:
        return refused("busy")
    machine.job = Calibration(stages, machine.rig)
    return done()


def _clean_print_error(machine: "Machine", _body: Fields) -> Answer:
    machine.rig.show(print_error=0, hms=[])
    return done()


# -- movement and temperatures ------------------------------------------------------------------------


def _gcode_line(machine: "Machine", body: Fields) -> Answer:
    text = body.get("param")
    if not isinstance(text, str) or not text.endswith("\n"):
        return refused("param must be lines that end with a newline")
    machine.interpreter.run(text)
    _after_motion(machine)
    return done()


def _after_motion(machine: "Machine") -> None:
    if machine.interpreter.lost_position:
        machine.interpreter.lost_position = False
        machine.report.set_bits(HOMED_BITS, False, "home_flag")
    tray, machine.interpreter.rfid_wanted = machine.interpreter.rfid_wanted, None
    if tray is not None:
        machine.rig.filaments.begin_reading(*divmod(tray, SLOTS))


def _home(machine: "Machine", _body: Fields) -> Answer:
    machine.rig.body.home()
    return done()


def _xyz_ctrl(machine: "Machine", body: Fields) -> Answer:
    axis, direction = str(body.get("axis")), body.get("dir")
    if axis not in machine.rig.body.position or direction not in (1, -1):
        return refused("no such axis or direction")
    machine.rig.body.move(axis, (10.0 if body.get("mode") else 1.0) * int(direction), relative=True)
    return done()


def _set_nozzle_temp(machine: "Machine", body: Fields) -> Answer:
    index, target = body.get("extruder_index"), body.get("target_temp")
    nozzles = machine.rig.body.nozzles
    if type(index) is not int or type(target) is not int or not 0 <= index < len(nozzles):
        return refused("no such extruder")
    nozzles[index].aim(target)
    return done()


def _select_extruder(machine: "Machine", body: Fields) -> Answer:
    index = body.get("extruder_index")
    nozzles = machine.rig.body.nozzles
    if type(index) is not int or not 0 <= index < len(nozzles):
        return refused("no such extruder")
    machine.rig.body.active_nozzle = index
    machine.report.put(len(nozzles) | index << 4 | index << 8, "device", "extruder", "state")
    return done()


def _set_extrusion_length(machine: "Machine", body: Fields) -> Answer:
    length = body.get("length")
    if not isinstance(length, int | float):
        return refused("length must be a number")
    machine.rig.body.extrude(length)
    return done()


def _set_ctt(machine: "Machine", body: Fields) -> Answer:
    target = body.get("ctt_val")
    if not machine.rig.body.chamber.limit:
        return refused("no chamber heater")
    if type(target) is not int:
        return refused("ctt_val must be a number")
    machine.rig.body.chamber.aim(target if target >= _CHAMBER_OFF_BELOW else 0)
    return done()


def _set_airduct(machine: "Machine", body: Fields) -> Answer:
    mode = body.get("modeId")
    if not machine.model.airduct or mode not in (0, 1, 2):
        return refused("no such mode")
    machine.rig.body.airduct_mode = int(mode)
    return done()


def _set_fan(machine: "Machine", body: Fields) -> Answer:
    index, speed = body.get("fan_index"), body.get("speed")
    fans = tuple(machine.rig.body.fans)
    if not machine.model.airduct or type(index) is not int or type(speed) is not int or not 1 <= index <= len(fans):
        return refused("no such fan")
    machine.rig.body.fans[fans[index - 1]] = min(max(speed, 0), 255)
    return done()


# -- filament -----------------------------------------------------------------------------------------


def _change_filament(machine: "Machine", body: Fields) -> Answer:
    rig = machine.rig
    target = body.get("target")
    if rig.state in ("PREPARE", "RUNNING"):
        return refused("busy")
    if type(target) is not int:
        return refused("target must be a number")
    if target == NONE_LOADED and body.get("slot_id") != NONE_LOADED:
        target = EXTERNAL_TRAY_NOW  # the right external spool of a printer with two nozzles
    if target not in (*EXTERNAL, NONE_LOADED) and not rig.filaments.is_loaded(*divmod(target, SLOTS)):
        return refused("that slot is empty")
    wanted = body.get("tar_temp")
    source = rig.filaments.now if target == NONE_LOADED else target
    rig.body.nozzle.aim(wanted if isinstance(wanted, int) and wanted > 0 else rig.filaments.temperature(source))
    rig.filaments.begin_change(target)
    machine.news.append("unloading filament" if target == NONE_LOADED else f"loading filament from tray {target}")
    return done()


def _unload_filament(machine: "Machine", body: Fields) -> Answer:
    return _change_filament(machine, {**body, "target": NONE_LOADED, "slot_id": NONE_LOADED})


def _get_rfid(machine: "Machine", body: Fields) -> Answer:
    ams_id, slot_id = body.get("ams_id"), body.get("slot_id")
    filaments = machine.rig.filaments
    if filaments.now != NONE_LOADED:
        return refused("filament is loaded")
    if type(ams_id) is not int or type(slot_id) is not int or filaments.slot(ams_id, slot_id) is None:
        return refused("no such slot")
    filaments.begin_reading(ams_id, slot_id)
    return done()


def _filament_setting(machine: "Machine", body: Fields) -> Answer:
    return done() if machine.rig.filaments.set_tray(body) else refused("no spool is there")


def _drying(machine: "Machine", body: Fields) -> Answer:
    hours = float(body.get("duration", 0)) if body.get("mode") else 0.0
    return done() if machine.rig.filaments.dry(int(body.get("ams_id", 0)), hours) else refused("this AMS cannot dry")


# -- settings -----------------------------------------------------------------------------------------


def _print_option(machine: "Machine", body: Fields) -> Answer:
    for option, bit in _OPTION_BITS.items():
        if isinstance(body.get(option), bool):
            machine.report.set_bits(1 << bit, body[option], "home_flag")
    return done()


def _ledctrl(machine: "Machine", body: Fields) -> Answer:
    node, mode = body.get("led_node"), body.get("led_mode")
    if any(key not in body for key in _LIGHT_TIMING) or mode not in ("on", "off", "flashing"):
        return refused("led_mode or the timing is missing")
    lights = [light for light in machine.report.items("lights_report") if light["node"] == node]
    if not lights and node not in _UNREPORTED_LIGHTS:
        return refused("no such light")
    for light in lights:
        light["mode"] = mode
    if node == "chamber_light":
        machine.report.set_bits(_CHAMBER_LIGHT_BIT, mode == "on", "cfg")
    return done()


def _set_accessories(machine: "Machine", body: Fields) -> Answer:
    machine.rig.show(nozzle_diameter=str(body.get("nozzle_diameter")), nozzle_type=str(body.get("nozzle_type")))
    return done()


def _record(machine: "Machine", body: Fields) -> Answer:
    machine.report.put(str(body.get("control")), "ipcam", "ipcam_record")
    return done()


def _timelapse(machine: "Machine", body: Fields) -> Answer:
    machine.report.put(str(body.get("control")), "ipcam", "timelapse")
    return done()


def _resolution(machine: "Machine", body: Fields) -> Answer:
    machine.report.put(str(body.get("resolution")), "ipcam", "resolution")
    return done()


def _watch(machine: "Machine", body: Fields) -> Answer:
    machine.report.put(bool(body.get("enable")), "xcam", str(body.get("module_name")))
    return done()


def _calibration_profiles(_machine: "Machine", _body: Fields) -> Answer:
    return done(filaments=[])


HANDLERS: Final[Mapping[tuple[str, str], Callable[["Machine", Fields], Answer]]] = MappingProxyType(
    {
        ("print", "pause"): _pause,
        ("print", "resume"): _resume,
        ("print", "stop"): _stop,
        ("print", "project_file"): _project_file,
        ("print", "gcode_file"): _gcode_file,
        ("print", "gcode_line"): _gcode_line,
        ("print", "print_speed"): _print_speed,
        ("print", "skip_objects"): _skip_objects,
        ("print", "calibration"): _calibration,
        ("print", "clean_print_error"): _clean_print_error,
        ("print", "idle_ignore"): _clean_print_error,
        ("print", "ignore"): _resume,
        ("print", "back_to_center"): _home,
        ("print", "xyz_ctrl"): _xyz_ctrl,
        ("print", "set_nozzle_temp"): _set_nozzle_temp,
        ("print", "select_extruder"): _select_extruder,
        ("print", "set_extrusion_length"): _set_extrusion_length,
        ("print", "set_ctt"): _set_ctt,
        ("print", "set_airduct"): _set_airduct,
        ("print", "set_fan"): _set_fan,
        ("print", "ams_change_filament"): _change_filament,
        ("print", "unload_filament"): _unload_filament,
        ("print", "ams_get_rfid"): _get_rfid,
        ("print", "ams_filament_setting"): _filament_setting,
        ("print", "ams_filament_drying"): _drying,
        ("print", "ams_user_setting"): _acknowledge,
        ("print", "ams_control"): _acknowledge,
        ("print", "print_option"): _print_option,
        ("print", "extrusion_cali_get"): _calibration_profiles,
        ("system", "ledctrl"): _ledctrl,
        ("system", "get_accessories"): _acknowledge,
        ("system", "set_accessories"): _set_accessories,
        ("system", "uiop"): _clean_print_error,
        ("camera", "ipcam_record_set"): _record,
        ("camera", "ipcam_timelapse"): _timelapse,
        ("camera", "ipcam_resolution_set"): _resolution,
        ("xcam", "xcam_control_set"): _watch,
        ("upgrade", "get_history"): _acknowledge,
        ("update", "name"): _acknowledge,
    }
)
