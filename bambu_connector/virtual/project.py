"""Whether a printer would take a `project_file`: what it looks at, in its order, and how it refuses."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from bambu_connector.virtual.filament import EXTERNAL_TRAY_NOW, SLOTS, Filaments
from bambu_connector.virtual.models import VirtualModel

CANNOT_PARSE: Final = 0x05004003
BUSY: Final = 0x05004004
MAPPING_WRONG: Final = 0x07008012

_IDS: Final = ("project_id", "profile_id", "task_id", "subtask_id")
_ID_LIMIT: Final = 2**31
_NAME: Final = re.compile(r"(?:[A-Za-z0-9._-]+/)*[A-Za-z0-9._-]{1,100}")
_PLATE: Final = re.compile(r"Metadata/plate_(\d+)\.gcode")
_LAYERS: Final = re.compile(rb"; total layer number: (\d+)")
_GCODE_HEAD_BYTES: Final = 64 * 1024
_SLICE_INFO_LIMIT_BYTES: Final = 4 * 1024 * 1024


class Files(Protocol):
    """The storage of a printer, to read from."""

    def open(self, path: str) -> BinaryIO | None:
        """Return a file (`name` or `folder/name`) to read, None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A print that may begin; `layers` and `seconds` are None where the file does not tell."""

    file: str
    title: str
    plate: int = 1
    ids: Mapping[str, str]
    trays: tuple[int, ...] = ()
    """What it prints with, as `tray_now` counts; none: the external spool."""
    levelling: bool = False
    layers: int | None = None
    seconds: float | None = None
    at_screen: bool = False


class Refused(Exception):
    """The printer does not take the job; `code` is what it shows."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def examine(request: Mapping[str, Any], files: Files, model: VirtualModel, filaments: Filaments) -> Start:
    """Return the print that `request` asks for.

    Raises:
        Refused: with the reason and the code that a printer would show.
    """
    path = _path(str(request.get("url", "")), model)
    if str(request.get("file", "")) not in (path, path.rpartition("/")[2]):
        raise Refused(CANNOT_PARSE, "file and url name different files")
    ids = {key: _checked_id(key, request.get(key, "0")) for key in _IDS}
    trays = _trays(request, filaments)
    found = _PLATE.fullmatch(str(request.get("param", "")))
    if found is None:
        raise Refused(CANNOT_PARSE, "param names no plate")
    plate = int(found[1])
    stream = files.open(path)
    if stream is None:
        raise Refused(CANNOT_PARSE, f"{path} is not on the storage")
    with stream:
        _check_md5(stream, request.get("md5"))
        layers, seconds = _read(stream, plate, model)
    return Start(
        file=path,
        title=str(request.get("subtask_name") or path),
        plate=plate,
        ids=ids,
        trays=trays,
        levelling=request.get("bed_leveling") is True,
        layers=layers,
        seconds=seconds,
    )


def _path(url: str, model: VirtualModel) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme == "ftp" and separator:
        path = rest.removeprefix("/")
    elif scheme == "file" and separator:
        root = next((root for root in model.file_roots if rest.startswith(root)), None)
        if root is None:
            raise Refused(CANNOT_PARSE, f"no such place: {rest.rpartition('/')[0]}")
        path = rest.removeprefix(root)
    else:
        raise Refused(CANNOT_PARSE, "the url is neither ftp:// nor file://")
    if not _NAME.fullmatch(path) or ".." in path:
        raise Refused(CANNOT_PARSE, "the name has characters that printers choke on")
    return path


def _checked_id(key: str, value: object) -> str:
    text = str(value)
    if not text.isdecimal() or int(text) >= _ID_LIMIT:
        raise Refused(CANNOT_PARSE, f"{key} is no number below 2^31")
    return text


def _trays(request: Mapping[str, Any], filaments: Filaments) -> tuple[int, ...]:
    use_ams, flat, pairs = (request.get(key) for key in ("use_ams", "ams_mapping", "ams_mapping2"))
    if not isinstance(use_ams, bool):
        raise Refused(MAPPING_WRONG, "use_ams is not true or false")
    if not isinstance(flat, list) or not isinstance(pairs, list):
        raise Refused(MAPPING_WRONG, "ams_mapping or ams_mapping2 is missing")
    if not use_ams:
        return ()
    if not filaments.fitted:
        raise Refused(MAPPING_WRONG, "use_ams without an AMS")
    if len(flat) != len(pairs):
        raise Refused(MAPPING_WRONG, "ams_mapping and ams_mapping2 differ in length")
    return tuple(tray for tray in map(_mapped, flat, pairs, [filaments] * len(flat)) if tray is not None)


def _mapped(flat: object, pair: object, filaments: Filaments) -> int | None:
    if type(flat) is not int or not isinstance(pair, dict):
        raise Refused(MAPPING_WRONG, "a mapping of the wrong kind")
    ams_id, slot_id = pair.get("ams_id"), pair.get("slot_id")
    if flat == -1:
        return EXTERNAL_TRAY_NOW if ams_id in (254, 255) and slot_id == 0 else None
    if (ams_id, slot_id) != divmod(flat, SLOTS):
        raise Refused(MAPPING_WRONG, "ams_mapping and ams_mapping2 disagree")
    if not filaments.is_loaded(*divmod(flat, SLOTS)):
        raise Refused(MAPPING_WRONG, f"mapped to the empty tray {flat}")
    return flat


def _check_md5(stream: BinaryIO, expected: object) -> None:
    if expected == "":
        return
    digest = hashlib.md5(usedforsecurity=False)
    while block := stream.read(1024 * 1024):
        digest.update(block)
    if digest.hexdigest().upper() != expected:
        raise Refused(CANNOT_PARSE, "the md5 is not that of the file")


def _read(stream: BinaryIO, plate: int, model: VirtualModel) -> tuple[int | None, float | None]:
    try:
        with zipfile.ZipFile(stream) as archive:
            with archive.open(f"Metadata/plate_{plate}.gcode") as gcode:
                head = gcode.read(_GCODE_HEAD_BYTES)
            info = _slice_info(archive, plate)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, OSError) as error:
        raise Refused(CANNOT_PARSE, f"the file cannot be read: {type(error).__name__}") from error
    target = info.get("printer_model_id")
    if target and target not in model.takes:
        raise Refused(CANNOT_PARSE, f"the file is for {target}")
    layers = _LAYERS.search(head)
    prediction = info.get("prediction", "")
    return int(layers[1]) if layers else None, float(prediction) if prediction.isdecimal() else None


def _slice_info(archive: zipfile.ZipFile, plate: int) -> dict[str, str]:
    try:
        with archive.open("Metadata/slice_info.config") as file:
            text = file.read(_SLICE_INFO_LIMIT_BYTES).decode("utf-8", "replace")
    except KeyError:
        return {}
    for part in text.split("<plate>")[1:]:
        info = dict(re.findall(r'<metadata\s+key="([^"]*)"\s+value="([^"]*)"', part))
        if info.get("index") == str(plate):
            return info
    return {}
