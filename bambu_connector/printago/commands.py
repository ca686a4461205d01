"""A message from Printago → a typed command, or a refusal that names what is wrong. Total: nothing else comes out."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

import orjson

from bambu_connector.errors import CommandError, InvalidMessage, InvalidParameters, UnknownCommand
from bambu_connector.printago import orders
from bambu_connector.printago.orders import AnyOrder, SlotRef, StartOptions
from bambu_connector.printago.parameters import Parameters, number

MAX_PAYLOAD_BYTES: Final = 256 * 1024
_MAX_ID: Final = 128
_MAX_TAGS_BYTES: Final = 16 * 1024  # every answer repeats them
_EXACT: Final = 2**53  # JSON's numbers are exact up to here: beyond, two ids could become one
_FARTHEST: Final = 1e15  # seconds: thirty million years, with which ages are still reckoned without overflow
_MILLISECONDS_FROM: Final = 1e11  # as seconds that would be the year 5138

CommandId = str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a command says of itself; times are seconds since the epoch. Whatever could not be read is None."""

    command: str | None = None
    """`type/action`, as it came."""
    action: str | None = None
    command_id: CommandId | None = None
    printer: str | None = None
    timestamp: float | None = None
    expires_at: float | None = None
    tags: object = None


@dataclass(frozen=True, slots=True)
class Command:
    """An order that is well formed; whether it may be carried out is decided elsewhere."""

    header: Header
    order: AnyOrder


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is no command that we know, with what could be read of it for the answer."""

    header: Header
    error: CommandError


def parse_command(payload: bytes) -> Command | Refusal:
    """Read one message of a command topic. Never raises."""
    header = Header()
    try:
        message = _json(payload)
        header = _names(message)
        header = _times(header, message)
        return _command(header, message)
    except CommandError as error:
        return Refusal(header, error)


def _json(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidMessage(f"The message has {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are allowed.")
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise InvalidMessage("The message is not JSON.") from None
    try:
        orjson.dumps(message)  # what an answer echoes of it must be writable again
    except TypeError:
        raise InvalidMessage("The message is nested too deep.") from None
    if not isinstance(message, dict):
        raise InvalidMessage("The message must be a JSON object.")
    return message


def _names(message: dict[str, Any]) -> Header:
    """Read what names the command, as far as it goes, so that even a refusal can be matched."""
    # Printago's former desktop client says `command` for `type` and hides the printer in the parameters.
    kind = message.get("type", message.get("command"))
    action = message.get("action")
    parameters = message.get("parameters")
    printer = _printer(message)
    identifier = message.get("command_id")
    known = isinstance(kind, str) and isinstance(action, str)
    return Header(
        command=f"{kind}/{action}"[:_MAX_ID] if known else None,
        action=action[:_MAX_ID] if isinstance(action, str) else None,
        command_id=identifier if _is_identifier(identifier) else None,
        printer=printer if _is_printer(printer) else None,
        tags=_tags(parameters),
    )


def _tags(parameters: object) -> object:
    """Return what every answer repeats; None where it is too much for that, which `_times` refuses."""
    tags = parameters.get("tags") if isinstance(parameters, dict) else None
    return None if _are_too_many(tags) else tags


def _are_too_many(tags: object) -> bool:
    return tags is not None and len(orjson.dumps(tags)) > _MAX_TAGS_BYTES


def _is_printer(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isprintable()


def _printer(message: dict[str, Any]) -> object:
    printer, parameters = message.get("printer_id"), message.get("parameters")
    return parameters.get("printer_id") if printer is None and isinstance(parameters, dict) else printer


def _is_identifier(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    if not isinstance(value, str) and abs(value) > _EXACT:
        return False
    return 0 < len(str(value)) <= _MAX_ID


def _times(header: Header, message: dict[str, Any]) -> Header:
    identifier, printer = message.get("command_id"), _printer(message)
    if identifier is not None and not _is_identifier(identifier):
        raise InvalidMessage(f"command_id must be a text of at most {_MAX_ID} characters, or a number up to 2^53.")
    if printer is not None and not _is_printer(printer):
        raise InvalidMessage("printer_id must be one printer's id.")
    parameters = message.get("parameters")
    if isinstance(parameters, dict) and _are_too_many(parameters.get("tags")):
        raise InvalidMessage(f"tags have more than {_MAX_TAGS_BYTES} bytes.")
    return replace(
        header,
        timestamp=_moment("timestamp", message.get("timestamp")),
        expires_at=_moment("expires_at", message.get("expires_at")),
    )


def _moment(key: str, value: object) -> float | None:
    """Read ISO 8601 (without offset UTC) or epoch seconds or milliseconds."""
    if value is None:
        return None
    try:
        seconds = number(key, value)
    except InvalidParameters:
        return _iso(key, value)
    seconds = seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds
    if abs(seconds) > _FARTHEST:
        raise InvalidMessage(f"{key} is too far away to be a time.")
    return seconds


def _iso(key: str, value: object) -> float:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidMessage(f"{key} must be an ISO 8601 time, or seconds or milliseconds since 1970.") from None


def _command(header: Header, message: dict[str, Any]) -> Command:
    if header.command is None:
        raise InvalidMessage("type and action are required, both as text.")
    if "parameters" not in message:
        raise InvalidMessage("parameters are required; they may be empty.")
    given = message["parameters"]
    if given is not None and not isinstance(given, dict):
        raise InvalidMessage("parameters must be an object.")
    read = _ORDERS.get(header.command)
    if read is None:
        raise UnknownCommand(_no_such(header.command))
    return Command(header, read(Parameters(given or {})))


def _no_such(command: str) -> str:
    near = difflib.get_close_matches(command, _ORDERS, 1, cutoff=0.8)
    advice = f" Did you mean {near[0]}?" if near else ""
    return f"There is no command {_one_line(command)}.{advice}"


def _one_line(text: str) -> str:
    """Return `text` fit for a sentence, whatever its sender put into it."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


# -- one reader for each command -----------------------------------------------------------------

_BED_TYPES: Final = {
    name: kind
    for kind, names in {
        "auto": ("auto", ""),
        "cool_plate": ("cool_plate", "cool plate", "pc plate", "smooth cool plate", "pla plate"),
        "eng_plate": ("eng_plate", "engineering plate", "engineering_plate", "eng plate", "ep"),
        "hot_plate": (
            "hot_plate", "hot plate", "high temp plate", "high_temp_plate", "pei plate", "smooth pei plate",
            "smooth_pei",
        ),
        "textured_plate": (
            "textured_plate", "textured plate", "textured pei plate", "textured_pei", "textured_pei_plate", "pte",
        ),
        "supertack_plate": (
            "supertack_plate", "supertack plate", "supertack", "cool plate (supertack)", "bambu cool plate supertack",
        ),
    }.items()
    for name in names
}  # fmt: skip
_LEVELS: Final = {"1": 1, "2": 2, "3": 3, "4": 4, "silent": 1, "standard": 2, "normal": 2, "sport": 3, "ludicrous": 4}
_FANS: Final = {name: name for name in ("part", "aux", "chamber")}
_LIGHTS: Final = {name: name for name in ("chamber_light", "work_light")}
_LIGHT_STATES: Final = {name: name for name in ("on", "off", "flashing")}
_HEX_COLOR: Final = re.compile(r"#?([0-9A-Fa-f]{6})([0-9A-Fa-f]{2})?")
_EXTERNAL: Final = 254


def _options(given: Parameters) -> StartOptions:
    return StartOptions(
        plate=given.positive("plate"),
        use_ams=given.flag("use_ams"),
        ams_mapping=given.wholes("ams_mapping"),
        bed_type=given.choice("bed_type", _BED_TYPES),
        do_bed_leveling=given.flag("do_bed_leveling"),
        do_flow_cali=given.flag("do_flow_cali"),
        vibration_cali=given.flag("vibration_cali"),
        layer_inspect=given.flag("layer_inspect"),
        timelapse=given.flag("timelapse"),
        job_id=given.text("job_id"),
    )


def _start_print_bbl(given: Parameters) -> AnyOrder:
    return orders.StartPrintBbl(
        url=given.url("url"), file_name=given.text("file_name"), checksum=given.checksum(), options=_options(given)
    )


def _download_gcode(given: Parameters) -> AnyOrder:
    return orders.DownloadGcode(
        url=given.url("url"),
        file_name=given.text("file_name"),
        checksum=given.checksum(),
        plate=given.positive("plate"),
    )


def storage_name(given: Parameters) -> str:
    """Read the name of a file in the storage's root: no folder, nothing that climbs."""
    name = given.required_text("file_name").removeprefix("/")
    if not name or "/" in name or "\\" in name or name in (".", ".."):
        raise InvalidParameters("file_name must be the plain name of a file, without a folder.")
    return name


def _start_print(given: Parameters) -> AnyOrder:
    return orders.StartPrint(file_name=storage_name(given), options=_options(given))


def _jog(given: Parameters) -> AnyOrder:
    axes = given.mapping("axes")
    unknown = sorted(str(axis) for axis in axes if str(axis).lower() not in ("x", "y", "z"))
    if unknown or not axes:
        named = f", not {_one_line(', '.join(unknown)[:40])}" if unknown else ""
        raise InvalidParameters(f"axes must name x, y or z{named}.")
    moves = {str(axis).lower(): number(f"axes.{axis}", value) for axis, value in axes.items()}
    if len(moves) < len(axes):
        raise InvalidParameters("axes must name each axis once.")
    relative, speed = given.flag("relative"), given.number("speed")
    return orders.Jog(moves, relative=relative is not False, speed=3000 if speed is None else speed)


def _extrude(given: Parameters) -> AnyOrder:
    speed = given.number("speed")
    return orders.Extrude(given.required_number("amount"), 900 if speed is None else speed, given.whole("tool") or 0)


def _slot(given: Parameters) -> SlotRef:
    slot = given.required_whole("slot_id")
    if slot == _EXTERNAL:
        return SlotRef(_EXTERNAL, _EXTERNAL)
    ams = given.required_whole("ams_id")
    return SlotRef(_EXTERNAL, _EXTERNAL) if ams in (_EXTERNAL, _EXTERNAL + 1) else SlotRef(ams, slot)


def _set_slot(given: Parameters) -> AnyOrder:
    color = _HEX_COLOR.fullmatch(given.required_text("color"))
    if color is None:
        raise InvalidParameters("color must be #RRGGBB or #RRGGBBAA.")
    coldest, hottest = given.required_whole("nozzle_temp_min"), given.required_whole("nozzle_temp_max")
    if not 0 <= coldest <= hottest <= 400:
        raise InvalidParameters("nozzle_temp_min and nozzle_temp_max must be temperatures, the lower one first.")
    return orders.SetSlot(
        slot=_slot(given),
        type=given.required_text("type"),
        color=(color[1] + (color[2] or "FF")).upper(),
        nozzle_temp_min=coldest,
        nozzle_temp_max=hottest,
        tray_info_idx=given.text("tray_info_idx") or "",
    )


def _calibrate(given: Parameters) -> AnyOrder:
    order = orders.Calibrate(
        **{name: given.flag(name) or False for name in ("bed_level", "vibration", "motor_noise", "lidar")}
    )
    if order == orders.Calibrate():
        raise InvalidParameters("At least one of bed_level, vibration, motor_noise and lidar must be true.")
    return order


def _skip_objects(given: Parameters) -> AnyOrder:
    objects = given.wholes("objects")
    if not objects:
        raise InvalidParameters("objects must be a list of at least one object's id.")
    return orders.SkipObjects(objects)


def _list_files(given: Parameters) -> AnyOrder:
    folder = "/" + (given.text("folder") or "").strip("/")
    if "\\" in folder or any(part in (".", "..", "") for part in folder[1:].split("/") if folder != "/"):
        raise InvalidParameters("folder must be the path of a folder on the storage, such as / or /cache.")
    return orders.ListFiles(folder)


def _camera(action: str) -> Callable[[Parameters], AnyOrder]:
    return lambda _given: orders.CameraOrder(action)


_ORDERS: Final[Mapping[str, Callable[[Parameters], AnyOrder]]] = {
    "printer_control/start_print_bbl": _start_print_bbl,
    "printer_control/download_gcode": _download_gcode,
    "printer_control/start_print": _start_print,
    "printer_control/pause_print": lambda _: orders.PausePrint(),
    "printer_control/resume_print": lambda _: orders.ResumePrint(),
    "printer_control/stop_print": lambda _: orders.StopPrint(),
    "printer_control/get_status": lambda _: orders.GetStatus(),
    "printer_control/calibrate": _calibrate,
    "printer_control/skip_objects": _skip_objects,
    "printer_control/clear_error": lambda _: orders.ClearError(),
    "printer_control/list_files": _list_files,
    "printer_control/delete_file": lambda given: orders.DeleteFile(storage_name(given)),
    "temperature_control/set_hotend": lambda given: orders.SetHotend(
        given.required_number("temperature"), given.whole("tool") or 0
    ),
    "temperature_control/set_bed": lambda given: orders.SetBed(given.required_number("temperature")),
    "temperature_control/set_chamber": lambda given: orders.SetChamber(given.required_number("temperature")),
    "movement_control/jog": _jog,
    "movement_control/extrude": _extrude,
    "movement_control/home": lambda _: orders.Home(),
    "fan_control/set_fan": lambda given: orders.SetFan(
        given.required_choice("fan", _FANS), given.required_number("speed")
    ),
    "light_control/set_light": lambda given: orders.SetLight(
        given.required_choice("light", _LIGHTS), given.required_choice("state", _LIGHT_STATES)
    ),
    "speed_control/set_speed": lambda given: orders.SetSpeed(given.required_choice("level", _LEVELS)),
    "filament_control/load": lambda given: orders.LoadFilament(
        _slot(given), given.number("temperature"), given.whole("tool") or 0
    ),
    "filament_control/unload": lambda given: orders.UnloadFilament(
        given.number("temperature"), given.whole("tool") or 0
    ),
    "filament_control/refresh_slot": lambda given: orders.RefreshSlot(_slot(given)),
    "filament_control/set_slot": _set_slot,
    **{
        f"camera_control/{action}": _camera(action)
        for action in ("get_providers", "snapshot", "stream_on", "stream_off")
    },
}
COMMANDS: Final = frozenset(_ORDERS)
"""Every `type/action` that is understood."""
