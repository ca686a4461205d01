"""A small sliced file to print: what a slicer would export for a calibration cube, all but the cube."""

import hashlib
import io
import json
import zipfile
from typing import Final

_LAYERS: Final = 10
_SLICE_INFO: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<config><plate><metadata key="index" value="1"/>'
    '<metadata key="printer_model_id" value="{model}"/><metadata key="nozzle_diameters" value="0.4"/>'
    '<metadata key="prediction" value="600"/><metadata key="weight" value="3.2"/>'
    '<metadata key="label_object_enabled" value="true"/><object identify_id="98" name="cube.stl" skipped="false"/>'
    '<filament id="1" tray_info_idx="{info}" type="{kind}" color="{color}" used_m="1.1" used_g="3.2"/>'
    "</plate></config>\n"
)


def _gcode() -> bytes:
    lines = ["; HEADER_BLOCK_START", f"; total layer number: {_LAYERS}", "; HEADER_BLOCK_END", "G28", "M83"]
    for layer in range(_LAYERS):
        lines += [f"; CHANGE_LAYER {layer}", f"G1 Z{0.2 * (layer + 1):.1f} F600"]
        lines += [f"G1 X{100 + x} Y100 E0.05 F3000" for x in range(20)]
    return ("\n".join(lines) + "\n").encode()


def sample_project(*, model: str, info: str, kind: str, color: str) -> bytes:
    """Return a `.gcode.3mf` sliced for the model code `model`, printed with one filament (preset, type, #RRGGBB)."""
    gcode = _gcode()
    digest = hashlib.md5(gcode, usedforsecurity=False).hexdigest().upper()
    entries: dict[str, str | bytes] = {
        "Metadata/slice_info.config": _SLICE_INFO.format(model=model, info=info, kind=kind, color=color),
        "Metadata/project_settings.config": json.dumps({"filament_type": [kind], "nozzle_diameter": ["0.4"]}),
        "Metadata/plate_1.gcode": gcode,
        "Metadata/plate_1.gcode.md5": digest,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()
