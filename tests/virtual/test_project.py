"""What a printer takes and what it refuses to print."""

import hashlib
from typing import Any

import pytest

from bambu_connector.virtual.filament import Filaments
from bambu_connector.virtual.models import find_model, load_start
from bambu_connector.virtual.project import CANNOT_PARSE, MAPPING_WRONG, Refused, Start, examine
from bambu_connector.virtual.report import Report
from tests.virtual.bench import NAME, Bench, Shelf, project_file, sliced

EMPTY_SLOT = {"ams_mapping": [3], "ams_mapping2": [{"ams_id": 0, "slot_id": 3}]}


def look_at(model: str = "P1S", content: bytes | None = None, *, stored_as: str = NAME, **changes: Any) -> Start:
    row = find_model(model)
    content = sliced(target=row.code) if content is None else content
    filaments = Filaments(Report(load_start(row)[0]))
    return examine(project_file(content, **changes), Shelf(**{stored_as: content}), row, filaments)


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("P1S", f"ftp://{NAME}"),
        ("P1S", f"ftp:///{NAME}"),
        ("P1S", f"file:///sdcard/{NAME}"),
        ("X1C", f"file:///mnt/sdcard/{NAME}"),
        ("H2D", f"file:///media/usb0/{NAME}"),
    ],
)
def test_the_forms_of_url_that_a_model_knows(model: str, url: str) -> None:
    assert look_at(model, url=url).file == NAME


def test_a_file_in_a_folder() -> None:
    assert look_at(stored_as=f"cache/{NAME}", url=f"ftp://cache/{NAME}").file == f"cache/{NAME}"


def test_what_a_print_is_made_of() -> None:
    mapping: dict[str, Any] = {
        "ams_mapping": [-1, 2, 0],
        "ams_mapping2": [{"ams_id": 255, "slot_id": 255}, *slots(2, 0)],
    }
    start = look_at(content=sliced(layers=7, seconds=90, plate=3), param="Metadata/plate_3.gcode", **mapping)
    assert (start.plate, start.layers, start.seconds, start.trays) == (3, 7, 90.0, (2, 0))
    assert start.levelling
    assert start.ids == {"project_id": "4711", "profile_id": "0", "task_id": "4711", "subtask_id": "4711"}


def slots(*places: int) -> list[dict[str, int]]:
    return [{"ams_id": 0, "slot_id": place} for place in places]


def test_a_file_that_tells_neither_layers_nor_time() -> None:
    start = look_at(content=sliced(layers=None, seconds=None))
    assert (start.layers, start.seconds) == (None, None)


def test_without_an_md5_any_file_will_do() -> None:
    assert look_at(md5="").file == NAME


def test_the_external_spool() -> None:
    assert look_at(use_ams=False, ams_mapping=[], ams_mapping2=[]).trays == ()
    assert look_at(ams_mapping=[-1], ams_mapping2=[{"ams_id": 255, "slot_id": 0}]).trays == (254,)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ({"url": NAME}, CANNOT_PARSE),
        ({"url": f"brtc://emmc/{NAME}"}, CANNOT_PARSE),
        ({"url": f"file:///media/usb0/{NAME}"}, CANNOT_PARSE),
        ({"url": "ftp://other.gcode.3mf", "file": "other.gcode.3mf"}, CANNOT_PARSE),
        ({"url": "ftp://a b.gcode.3mf", "file": "a b.gcode.3mf"}, CANNOT_PARSE),
        ({"url": "ftp://größe.gcode.3mf", "file": "größe.gcode.3mf"}, CANNOT_PARSE),
        ({"url": f"ftp://../{NAME}"}, CANNOT_PARSE),
        ({"url": f"ftp://{'a' * 101}", "file": "a" * 101}, CANNOT_PARSE),
        ({"file": f"/{NAME}"}, CANNOT_PARSE),
        ({"file": None}, CANNOT_PARSE),
        ({"param": "Metadata/plate_2.gcode"}, CANNOT_PARSE),
        ({"param": "plate_1.gcode"}, CANNOT_PARSE),
        ({"md5": "0" * 32}, CANNOT_PARSE),
        ({"md5": hashlib.md5(sliced()).hexdigest()}, CANNOT_PARSE),
        ({"md5": None}, CANNOT_PARSE),
        ({"task_id": str(2**31)}, CANNOT_PARSE),
        ({"subtask_id": "job-1"}, CANNOT_PARSE),
        ({"use_ams": 1}, MAPPING_WRONG),
        ({"use_ams": None}, MAPPING_WRONG),
        ({"ams_mapping": None}, MAPPING_WRONG),
        ({"ams_mapping2": None}, MAPPING_WRONG),
        ({"ams_mapping": [0, 1]}, MAPPING_WRONG),
        ({"ams_mapping": [1]}, MAPPING_WRONG),
        ({"ams_mapping": [254]}, MAPPING_WRONG),
        ({"ams_mapping": ["0"]}, MAPPING_WRONG),
        (EMPTY_SLOT, MAPPING_WRONG),
    ],
    ids=str,
)
def test_what_a_p1s_refuses(what: dict[str, Any], code: int) -> None:
    with pytest.raises(Refused) as refusal:
        look_at(**what)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "content",
    [b"", b"not a zip", sliced()[:-40], sliced(target="N1")],
    ids=["empty", "text", "truncated", "for another model"],
)
def test_a_file_that_cannot_be_parsed(content: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        look_at(content=content)
    assert refusal.value.code == CANNOT_PARSE


def test_x1_and_p1_take_each_others_files() -> None:
    assert look_at("X1C", sliced(target="C11")).file == NAME


def test_use_ams_without_an_ams_is_refused() -> None:
    fields = load_start(find_model("P1S"))[0]
    del fields["ams"]["ams"]
    with pytest.raises(Refused) as refusal:
        examine(project_file(sliced()), Shelf(**{NAME: sliced()}), find_model("P1S"), Filaments(Report(fields)))
    assert refusal.value.code == MAPPING_WRONG


def test_a_refusal_is_answered_and_shown_and_changes_nothing_else() -> None:
    bench = Bench()
    reply = bench.start(**EMPTY_SLOT)
    assert reply is not None
    assert (reply["result"], reply["err_code"]) == ("fail", MAPPING_WRONG)
    assert bench.seen("print_error") == [MAPPING_WRONG]
    assert bench.field("gcode_state") == "IDLE"
    bench.start()
    assert (bench.field("print_error"), bench.field("gcode_state")) == (0, "PREPARE")
