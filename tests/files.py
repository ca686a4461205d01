"""Sliced files for tests, as a slicer exports them or with what is wrong about them.

The same arguments give the same bytes.
"""

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import quoteattr

FilamentRow = tuple[int, str, str, str]
"""Project id (from 1), type, `#RRGGBB`, `tray_info_idx`."""

RED_PLA: FilamentRow = (1, "PLA", "#FF0000", "GFA00")
SLICE_INFO = "Metadata/slice_info.config"
PROJECT_SETTINGS = "Metadata/project_settings.config"


def gcode(size: int, seed: int = 1) -> bytes:
    """G-code of about `size` bytes whose moves pack no better than real ones."""
    numbers = random.Random(seed)
    lines = ["; HEADER_BLOCK_START", "; total layer number: 20", "; HEADER_BLOCK_END", "G28", "M83"]
    length = sum(map(len, lines)) + len(lines)
    while length < size:
        lines.append(f"G1 X{numbers.uniform(0, 256):.5f} Y{numbers.uniform(0, 256):.5f} E{numbers.random():.7f}")
        length += len(lines[-1]) + 1
    return "\n".join([*lines, ""]).encode()


def sliced(
    size: int = 20_000,
    *,
    plates: Sequence[int] = (1,),
    model_id: str = "C12",
    nozzle: str = "0.4",
    filaments: Sequence[FilamentRow] = (RED_PLA,),
    project_filaments: int | None = None,
    wrong_md5: bool = False,
    extra: Mapping[str, bytes | None] | None = None,
    seed: int = 1,
) -> bytes:
    """Return a `.gcode.3mf`. `size` is that of each plate's g-code; every plate uses all `filaments`.

    `project_filaments` is how many the project has (default: as many as the highest id). `extra` adds entries,
    replaces them, or with None leaves them out.
    """
    count = max([0, *(row[0] for row in filaments)]) if project_filaments is None else project_filaments
    settings = {"printer_model": "Bambu Lab", "nozzle_diameter": [nozzle], "filament_type": ["PLA"] * count}
    entries: dict[str, bytes | None] = {
        "[Content_Types].xml": b'<?xml version="1.0" encoding="UTF-8"?><Types/>',
        "3D/3dmodel.model": b'<?xml version="1.0" encoding="UTF-8"?><model unit="millimeter"/>',
        SLICE_INFO: slice_info(plates, model_id=model_id, nozzle=nozzle, filaments=filaments).encode(),
        PROJECT_SETTINGS: json.dumps(settings).encode(),
    }
    for plate in plates:
        moves = gcode(size, seed + plate)
        name = f"Metadata/plate_{plate}.gcode"
        told = hashlib.md5(b"something else" if wrong_md5 else moves).hexdigest().upper()
        entries |= {
            name: moves,
            f"{name}.md5": told.encode(),
            f"Metadata/plate_{plate}.json": b'{"bed_type":"hot_plate"}',
        }
    return zipped(entries | dict(extra or {}))


def slice_info(plates: Sequence[int], *, model_id: str, nozzle: str, filaments: Sequence[FilamentRow]) -> str:
    """Return the text of `slice_info.config`: 600 s and 3.2 g a plate, and two objects on each."""
    used = "".join(
        f'<filament id="{number}" tray_info_idx={quoteattr(preset)} type={quoteattr(kind)} color={quoteattr(color)}'
        ' used_m="1.0" used_g="3.2"/>'
        for number, kind, color, preset in filaments
    )
    told = "".join(
        f'<plate><metadata key="index" value="{plate}"/><metadata key="printer_model_id" value={quoteattr(model_id)}/>'
        f'<metadata key="nozzle_diameters" value={quoteattr(nozzle)}/><metadata key="prediction" value="600"/>'
        '<metadata key="weight" value="3.2"/><metadata key="label_object_enabled" value="true"/>'
        '<object identify_id="98" name="part.stl" skipped="false"/>'
        f'<object identify_id="121" name="lid.stl" skipped="false"/>{used}</plate>'
        for plate in plates
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><config><header/>{told}</config>'


def zipped(entries: Mapping[str, bytes | None]) -> bytes:
    """Return a ZIP of the entries that are not None, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            if content is not None:
                entry = zipfile.ZipInfo(name)  # without the time of day
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, content)
    return buffer.getvalue()
