"""The models that can be simulated: one row each, and a folder of reports beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from bambu_connector.errors import UsageError
from bambu_connector.virtual.report import Fields


class Style(Enum):
    """How a printer reports changes."""

    DELTAS = "deltas"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualModel:
    """What the simulation has to know of a model beyond its report; temperatures in °C."""

    name: str
    prefix: str
    code: str
    takes: frozenset[str]
    """Values of `printer_model_id` in files that it prints."""
    bed_max: float
    nozzle_max: float
    chamber_max: float = 0.0
    """0: no chamber heater."""
    fans: tuple[str, ...] = ("part", "aux", "chamber")
    idle_stage: int = -1
    style: Style = Style.DELTAS
    file_roots: tuple[str, ...] = ("/sdcard/",)
    """Where `file://` URLs may point."""
    prints_without_card: bool = False
    airduct: bool = False
    dies_when_told_to_start: bool = False
    """Whether a start while it is busy ends the print that is running."""
    inner_gcode_file: bool = False
    """Whether `gcode_file` is reported as a path inside the 3MF instead of the file's name."""


_X1_P1: Final = frozenset({"BL-P001", "BL-P002", "C13", "C11", "C12"})
_STICK: Final = ("/media/usb0/",)

# fmt: off
MODELS: Final[Mapping[str, VirtualModel]] = MappingProxyType({
    "P1S": VirtualModel(
        name="P1S", prefix="01P", code="C12", takes=_X1_P1, bed_max=100, nozzle_max=300, idle_stage=255),
    "X1C": VirtualModel(
        name="X1C", prefix="00M", code="BL-P001", takes=_X1_P1, bed_max=120, nozzle_max=300, style=Style.WHOLE,
        file_roots=("/sdcard/", "/mnt/sdcard/"), prints_without_card=True, inner_gcode_file=True),
    "A1 mini": VirtualModel(
        name="A1 mini", prefix="030", code="N1", takes=frozenset({"N1"}), bed_max=80, nozzle_max=300, fans=("part",),
        idle_stage=255, dies_when_told_to_start=True),
    "H2D": VirtualModel(
        name="H2D", prefix="094", code="O1D", takes=frozenset({"O1D"}), bed_max=120, nozzle_max=350, chamber_max=65,
        file_roots=_STICK, prints_without_card=True, airduct=True, inner_gcode_file=True),
})
# fmt: on


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name)).upper()


def find_model(name: str) -> VirtualModel:
    """Return the row for a model's name, however it is spelled ("A1 mini", "a1mini").

    Raises:
        UsageError: there is no such model here.
    """
    for model in MODELS.values():
        if _bare(model.name) == _bare(name):
            return model
    raise UsageError(f"there is no virtual {name!r}; there are: {', '.join(MODELS)}")


def load_start(model: VirtualModel) -> tuple[Fields, list[Fields]]:
    """Return the full report that a model starts with, and its modules in `get_version` (with `{serial}` in them)."""
    file = files("bambu_connector.virtual") / "reports" / f"{_bare(model.name)}.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content["push_status"], content["get_version"]
