"""What is inside a sliced file: all that must be known before a byte of it goes to a printer (reference 9.1)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final
from xml.parsers import expat

import orjson

from bambu_connector.bambu import lenient
from bambu_connector.bambu.archive import Archive
from bambu_connector.errors import FileInvalid, InvalidParameters

MAX_CONFIG_BYTES: Final = 2 << 20  # real ones have some hundred KiB at most
MAX_ELEMENTS: Final = 50_000  # of XML elements and of JSON objects and lists; a plate of 1000 objects has about 1100
MAX_LEVELS: Final = 32  # of XML elements in each other; real ones have 4
_MAX_TEXT: Final = 255  # characters of what is kept, for it may come into sentences
_MAX_NOZZLES: Final = 16
_MAX_LISTED: Final = 20  # plates that a sentence names
MAX_FILAMENTS: Final = 256  # newest firmware maps 32; what a file claims becomes the length of a list that we send
HEAD_BYTES: Final = 4096
"""How much of a plain g-code file `inspect_gcode` wants to see."""

_SLICE_INFO: Final = "Metadata/slice_info.config"
_PROJECT_SETTINGS: Final = "Metadata/project_settings.config"
_PLATE_GCODE: Final = re.compile(r"Metadata/plate_([1-9][0-9]{0,2})\.gcode")
_MAX_NUMBER: Final = (1 << 31) - 1  # what a printer takes for an integer
_MD5: Final = re.compile("[0-9a-f]{32}")
_COLOR: Final = re.compile("#[0-9A-F]{6}(?:[0-9A-F]{2})?")
_GCODE_LINE: Final = re.compile(rb"^[ \t]*(?:;|[GMT][0-9])", re.MULTILINE | re.IGNORECASE)
_NOT_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Filament:
    """A filament that the plate uses. `id` counts from 1 over the whole project; `color` is `#RRGGBB` or `#RRGGBBAA`.

    A text that the file does not tell is empty.
    """

    id: int
    type: str
    color: str
    tray_info_idx: str


@dataclass(frozen=True, slots=True)
class PlateObject:
    """A thing on the plate; `id` is what `skip_objects` wants."""

    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedFile:
    """A sound `.gcode.3mf` and the plate of it that is meant. None and `""`: the file does not tell."""

    plates: tuple[int, ...]
    """The plates that have g-code."""
    plate: int
    gcode_md5: str
    """Of the plate's g-code, in lower-case hex; the stored one, where there is one, is the same."""
    printer_model_id: str
    nozzle_diameters: tuple[float, ...]
    """In mm, one for each nozzle that the slicer knew."""
    prediction: int | None
    """Seconds that the print takes."""
    weight: float | None
    """Grams of filament."""
    label_object_enabled: bool
    """Whether objects can be skipped."""
    filaments: tuple[Filament, ...]
    filament_count: int
    """How many filaments the whole project has, used or not: the length of `ams_mapping`."""
    objects: tuple[PlateObject, ...]
    bed_type: str


def inspect(file: BinaryIO, *, plate: int | None) -> SlicedFile:
    """Judge a `.gcode.3mf` and read what it says of `plate` (None: of the only one that is sliced).

    Reads the plate's g-code once through, in blocks. Raises FileInvalid, and InvalidParameters when no plate is named
    and there are several; both say what is wrong and which plates there are.
    """
    archive = Archive(file)
    plates = tuple(sorted(int(found[1]) for name in archive.names if (found := _sliced_plate(archive, name))))
    number = _choose(plates, plate)
    info = _plate_info(archive, number)
    digest = _check_gcode(archive, f"Metadata/plate_{number}.gcode")
    settings = _json(archive, _PROJECT_SETTINGS)
    if settings is None:
        raise FileInvalid(f"{_PROJECT_SETTINGS} in the file cannot be read.")
    types = settings.get("filament_type")
    seconds = _amount(info, "prediction")
    return SlicedFile(
        plates=plates,
        plate=number,
        gcode_md5=digest,
        printer_model_id=info.texts.get("printer_model_id", ""),
        nozzle_diameters=_diameters(info.texts.get("nozzle_diameters", "")),
        prediction=None if seconds is None else round(seconds),
        weight=_amount(info, "weight"),
        label_object_enabled=info.texts.get("label_object_enabled", "").strip().lower() == "true",
        filaments=tuple(info.filaments[key] for key in sorted(info.filaments)),
        filament_count=_count(types if isinstance(types, list) else [], info.filaments),
        objects=tuple(info.objects),
        bed_type=_bed_type(archive, number, settings),
    )


def inspect_gcode(head: bytes) -> None:
    """Judge a plain g-code file by its first `HEAD_BYTES`. Raises FileInvalid when it is something else."""
    start = head.lstrip()[:16].lower()
    if not start:
        raise FileInvalid("The file is empty.")
    if start.startswith(b"pk\x03\x04"):
        raise FileInvalid("The file is a ZIP archive, not g-code: a 3MF must have a name that ends in .3mf.")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise FileInvalid("The file is a web page, not g-code.")
    if start.startswith((b"{", b"[")) or _NOT_TEXT.search(head) or not _GCODE_LINE.search(head):
        raise FileInvalid("The file is not g-code.")


# -- plates ----------------------------------------------------------------------------------------


def _sliced_plate(archive: Archive, name: str) -> re.Match[str] | None:
    return _PLATE_GCODE.fullmatch(name) if archive.size(name) else None


def _choose(plates: tuple[int, ...], plate: int | None) -> int:
    if not plates:
        raise FileInvalid("The file holds no g-code: it is a project that has not been sliced.")
    if plate is None:
        if len(plates) > 1:
            raise InvalidParameters(f"The file has more than one sliced plate: say plate, one of {_listed(plates)}.")
        return plates[0]
    if plate not in plates:
        raise FileInvalid(
            f"Plate {plate} of the file is not there or not sliced; there is g-code for {_listed(plates)}."
        )
    return plate


def _listed(plates: tuple[int, ...]) -> str:
    more = f" and {len(plates) - _MAX_LISTED} more" if len(plates) > _MAX_LISTED else ""
    return ", ".join(map(str, plates[:_MAX_LISTED])) + more


def _one_line(text: str) -> str:
    """Return what a file says, fit for a sentence."""
    return " ".join(text.split())[:_MAX_TEXT]


def _check_gcode(archive: Archive, name: str) -> str:
    """Return the MD5 of the g-code; raises FileInvalid when it is not text or not what was stored."""
    digest = hashlib.md5(usedforsecurity=False)
    for number, block in enumerate(archive.blocks(name)):
        if number == 0:
            inspect_gcode(block[:HEAD_BYTES])
        digest.update(block)
    stored = (archive.read(f"{name}.md5", HEAD_BYTES) or b"").decode("ascii", "replace").split()
    if stored and stored[0].lower() != digest.hexdigest():
        what = "is not the one stored beside it" if _MD5.fullmatch(stored[0].lower()) else "cannot be compared"
        raise FileInvalid(f"The file is damaged: the checksum of {name} {what}.")
    return digest.hexdigest()


# -- slice_info.config -----------------------------------------------------------------------------


@dataclass(slots=True)
class _PlateInfo:
    texts: dict[str, str] = field(default_factory=dict)
    filaments: dict[int, Filament] = field(default_factory=dict)
    objects: list[PlateObject] = field(default_factory=list)


class _SliceInfo:
    """Collects the plates of `slice_info.config` while expat reads it."""

    def __init__(self) -> None:
        self.plates: list[_PlateInfo] = []
        self._path: list[str] = []
        self._elements = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._path.append(tag)
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._path) > MAX_LEVELS:
            raise FileInvalid(f"{_SLICE_INFO} in the file has more, or deeper, elements than that of any print file.")
        match self._path:
            case ["config", "plate"]:
                self.plates.append(_PlateInfo())
            case ["config", "plate", "metadata"]:
                self.plates[-1].texts.setdefault(attributes.get("key", ""), _one_line(attributes.get("value", "")))
            case ["config", "plate", "object"]:
                self._object(attributes)
            case ["config", "plate", "filament"]:
                self._filament(attributes)
            case _:
                pass

    def end(self, _tag: str) -> None:
        self._path.pop()

    def _object(self, attributes: Mapping[str, str]) -> None:
        number = lenient.whole(attributes.get("identify_id"))
        if number is not None and 0 < number <= _MAX_NUMBER and attributes.get("skipped") != "true":
            self.plates[-1].objects.append(PlateObject(number, _one_line(attributes.get("name", ""))))

    def _filament(self, attributes: Mapping[str, str]) -> None:
        number = lenient.whole(attributes.get("id"))
        if number is None or not 0 < number <= MAX_FILAMENTS:
            raise FileInvalid(f"{_SLICE_INFO} names a filament without a number that can be.")
        color = attributes.get("color", "").strip().upper()
        self.plates[-1].filaments.setdefault(  # files for two nozzles name a filament once for each
            number,
            Filament(
                number,
                _one_line(attributes.get("type", "")),
                color if _COLOR.fullmatch(color) else "",
                _one_line(attributes.get("tray_info_idx", "")),
            ),
        )


def _refuse_document_type(*_: object) -> None:
    # Entities can be declared nowhere else.
    raise FileInvalid(f"{_SLICE_INFO} in the file declares a document type, which no slicer does.")


def _plate_info(archive: Archive, number: int) -> _PlateInfo:
    raw = archive.read(_SLICE_INFO, MAX_CONFIG_BYTES)
    if raw is None:
        raise FileInvalid(f"The file does not tell what it was sliced for: it has no {_SLICE_INFO}.")
    found = _SliceInfo()
    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler, parser.EndElementHandler = found.start, found.end
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as exc:
        raise FileInvalid(f"{_SLICE_INFO} in the file cannot be read.") from exc
    told = [plate for plate in found.plates if lenient.whole(plate.texts.get("index")) == number]
    if len(told) != 1:
        how_often = "nothing" if not told else "more than once"
        raise FileInvalid(f"{_SLICE_INFO} in the file tells {how_often} about plate {number}.")
    return told[0]


def _amount(info: _PlateInfo, key: str) -> float | None:
    found = lenient.number(info.texts.get(key))
    return found if found is not None and 0 <= found <= _MAX_NUMBER else None


def _diameters(text: str) -> tuple[float, ...]:
    found = [lenient.number(part) for part in text.split(",") if part.strip()]
    if len(found) > _MAX_NOZZLES:
        raise FileInvalid(f"The file was sliced for more nozzles than any printer has: {len(found)}.")
    if None in found:
        raise FileInvalid("The file was sliced for a nozzle diameter that is no number.")
    return tuple(each for each in found if each is not None)


# -- the other configurations ----------------------------------------------------------------------


def _count(types: list[Any], used: Mapping[int, Filament]) -> int:
    count = max(len(types), *used, 0)
    if count > MAX_FILAMENTS:
        raise FileInvalid(f"The file claims to have {count} filaments.")
    return count


def _bed_type(archive: Archive, number: int, settings: Mapping[str, Any]) -> str:
    plate = _json(archive, f"Metadata/plate_{number}.json") or {}
    return _one_line(lenient.text(plate.get("bed_type")) or lenient.text(settings.get("curr_bed_type")) or "")


def _json(archive: Archive, name: str) -> Mapping[str, Any] | None:
    """Return the object in an entry, empty when there is none; None when it cannot be read."""
    raw = archive.read(name, MAX_CONFIG_BYTES)
    if raw is not None and raw.count(b"[") + raw.count(b"{") > MAX_ELEMENTS:  # each would take fifty times its bytes
        return None
    try:
        return lenient.fields(orjson.loads(raw)) if raw is not None else {}
    except orjson.JSONDecodeError:
        return None
