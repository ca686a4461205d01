"""What is read from a sliced file, and what is refused."""

import hashlib
import io
import json
import tracemalloc
from contextlib import suppress
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.bambu.project import (
    HEAD_BYTES,
    MAX_CONFIG_BYTES,
    MAX_ELEMENTS,
    MAX_FILAMENTS,
    Filament,
    PlateObject,
    SlicedFile,
    inspect,
    inspect_gcode,
)
from bambu_connector.errors import FileInvalid, InvalidParameters
from tests.files import PROJECT_SETTINGS, RED_PLA, SLICE_INFO, gcode, slice_info, sliced, zipped

GCODE = "Metadata/plate_1.gcode"


def inspected(raw: bytes, plate: int | None = None) -> SlicedFile:
    return inspect(io.BytesIO(raw), plate=plate)


def reason(raw: bytes, plate: int | None = None) -> str:
    with pytest.raises(FileInvalid) as refused:
        inspected(raw, plate)
    return str(refused.value)


def with_info(text: str | bytes) -> bytes:
    return sliced(extra={SLICE_INFO: text.encode() if isinstance(text, str) else text})


def info(**changes: str) -> str:
    """The text of a sound `slice_info.config` with each of the pieces replaced."""
    text = slice_info([1], model_id="C12", nozzle="0.4", filaments=[RED_PLA])
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def test_everything_is_told_of_a_sound_file() -> None:
    assert inspected(sliced(5000)) == SlicedFile(
        plates=(1,),
        plate=1,
        gcode_md5=hashlib.md5(gcode(5000, 2)).hexdigest(),
        printer_model_id="C12",
        nozzle_diameters=(0.4,),
        prediction=600,
        weight=3.2,
        label_object_enabled=True,
        filaments=(Filament(1, "PLA", "#FF0000", "GFA00"),),
        filament_count=1,
        objects=(PlateObject(98, "part.stl"), PlateObject(121, "lid.stl")),
        bed_type="hot_plate",
    )


def test_filaments_keep_their_numbers_in_the_project() -> None:
    rows = [(3, "PETG", "#00ff00", "GFG00"), (1, "PLA", "#FF0000AA", "")]
    found = inspected(sliced(filaments=rows, project_filaments=4))
    assert found.filaments == (Filament(1, "PLA", "#FF0000AA", ""), Filament(3, "PETG", "#00FF00", "GFG00"))
    assert found.filament_count == 4


@pytest.mark.parametrize("settings_", [None, b"{}", b"[]", b'{"filament_type": "PLA"}', b'{"filament_type": ["PLA"]}'])
def test_there_are_at_least_as_many_filaments_as_the_highest_number(settings_: bytes | None) -> None:
    raw = sliced(filaments=[(3, "PLA", "#FF0000", "GFA00")], extra={PROJECT_SETTINGS: settings_})
    assert inspected(raw).filament_count == 3


def test_a_filament_that_is_named_for_two_nozzles_is_one() -> None:
    found = inspected(sliced(filaments=[RED_PLA, RED_PLA], nozzle="0.4,0.6"))
    assert (len(found.filaments), found.nozzle_diameters) == (1, (0.4, 0.6))


@pytest.mark.parametrize("color", ["", "red", "#FF00", "#GG0000"])
def test_a_colour_that_is_none_is_empty(color: str) -> None:
    assert inspected(sliced(filaments=[(1, "PLA", color, "GFA00")])).filaments[0].color == ""


def test_what_the_file_does_not_tell_is_unknown() -> None:
    bare = '<config><plate><metadata key="index" value="1"/></plate></config>'
    found = inspected(sliced(extra={SLICE_INFO: bare.encode(), PROJECT_SETTINGS: None, "Metadata/plate_1.json": None}))
    assert (found.printer_model_id, found.nozzle_diameters, found.prediction, found.weight) == ("", (), None, None)
    assert (found.label_object_enabled, found.filaments, found.filament_count) == (False, (), 0)
    assert (found.objects, found.bed_type) == ((), "")


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e300", "nan"])
def test_a_prediction_that_cannot_be_is_unknown(value: str) -> None:
    assert inspected(with_info(info(**{'"600"': f'"{value}"'}))).prediction is None


def test_objects_that_are_left_out_or_have_no_number_are_not_told() -> None:
    text = info(**{'"part.stl" skipped="false"': '"part.stl" skipped="true"', '"121"': '"99999999999"'})
    assert inspected(with_info(text)).objects == ()


def test_the_bed_is_told_by_the_project_where_the_plate_does_not() -> None:
    plate = {"Metadata/plate_1.json": b'{"bed_type": NaN}'}
    told = json.dumps({"curr_bed_type": "Textured PEI Plate"}).encode()
    assert inspected(sliced(extra={**plate, PROJECT_SETTINGS: told})).bed_type == "Textured PEI Plate"


# -- plates ----------------------------------------------------------------------------------------


def test_of_several_plates_the_named_one_is_meant() -> None:
    raw = sliced(2000, plates=(1, 2, 10))
    found = inspected(raw, 10)
    assert (found.plates, found.plate) == ((1, 2, 10), 10)
    assert found.gcode_md5 == hashlib.md5(gcode(2000, 11)).hexdigest()


def test_of_several_plates_one_must_be_named() -> None:
    with pytest.raises(InvalidParameters, match=r"1, 2"):
        inspected(sliced(plates=(1, 2)))


def test_the_only_sliced_plate_is_meant_whatever_its_number() -> None:
    assert inspected(sliced(plates=(3,))).plate == 3


def test_a_plate_without_gcode_is_no_plate() -> None:
    raw = sliced(plates=(1, 2), extra={"Metadata/plate_2.gcode": b"", "Metadata/plate_2.gcode.md5": None})
    assert inspected(raw).plates == (1,)
    assert "Plate 2" in reason(raw, 2)


@pytest.mark.parametrize(
    "name", ["Metadata/plate_01.gcode", "Metadata/plate_0.gcode", "plate_1.gcode", "x/Metadata/plate_1.gcode"]
)
def test_only_the_exact_names_are_plates(name: str) -> None:
    assert "not been sliced" in reason(sliced(extra={GCODE: None, name: b"G28\n"}))


def test_a_project_that_was_not_sliced_is_refused() -> None:
    assert "not been sliced" in reason(sliced(plates=()))


# -- damage and deceit -----------------------------------------------------------------------------


def test_a_wrong_checksum_is_refused() -> None:
    assert "checksum" in reason(sliced(wrong_md5=True))


@pytest.mark.parametrize("form", ["{}", "{}\n", "{}  plate_1.gcode"])
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_a_checksum_is_read_in_every_spelling(form: str, case: object) -> None:
    digest = hashlib.md5(gcode(20_000, 2)).hexdigest()
    told = form.format(digest.upper() if case is str.upper else digest)
    assert inspected(sliced(extra={f"{GCODE}.md5": told.encode()})).gcode_md5 == digest


@pytest.mark.parametrize("told", [b"", b" \n", None])
def test_without_a_checksum_there_is_nothing_to_compare(told: bytes | None) -> None:
    assert inspected(sliced(extra={f"{GCODE}.md5": told})).plate == 1


@pytest.mark.parametrize("told", [b"none", b"\xff\xfe", b"12", b"0" * 5000])
def test_a_checksum_that_is_none_is_refused(told: bytes) -> None:
    assert ".md5" in reason(sliced(extra={f"{GCODE}.md5": told})) or "checksum" in reason(
        sliced(extra={f"{GCODE}.md5": told})
    )


@pytest.mark.parametrize("content", [b"<html>", b"\x00\x01\x02", b"not found", b"PK\x03\x04"])
def test_gcode_that_is_something_else_is_refused(content: bytes) -> None:
    reason(sliced(extra={GCODE: content, f"{GCODE}.md5": None}))


def test_a_file_that_does_not_say_what_it_was_sliced_for_is_refused() -> None:
    assert SLICE_INFO in reason(sliced(extra={SLICE_INFO: None}))


@pytest.mark.parametrize(
    "text",
    ["", "x", "<config>", "<config><plate></config>", b"\xff\xfe\x00", b'<?xml version="1.0" encoding="utf-7"?><a/>'],
)
def test_slice_info_that_is_no_xml_is_refused(text: str | bytes) -> None:
    assert SLICE_INFO in reason(with_info(text))


@pytest.mark.parametrize(
    "text", ["<config/>", "<x><config><plate><metadata key='index' value='1'/></plate></config></x>"]
)
def test_slice_info_without_the_plate_is_refused(text: str) -> None:
    assert "nothing about plate 1" in reason(with_info(text))


def test_slice_info_that_tells_a_plate_twice_is_refused() -> None:
    plate = '<plate><metadata key="index" value="1"/></plate>'
    assert "more than once" in reason(with_info(f"<config>{plate}{plate}</config>"))


@pytest.mark.parametrize(
    "declaration",
    [
        "<!DOCTYPE config>",
        '<!DOCTYPE config [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE config [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE config SYSTEM "http://example.org/x.dtd">',
    ],
)
def test_declarations_of_any_kind_are_refused(declaration: str) -> None:
    assert "declares" in reason(
        with_info(f"{declaration}{slice_info([1], model_id='C12', nozzle='0.4', filaments=[])}")
    )


@pytest.mark.parametrize("number", ["0", "-1", "x", "", str(MAX_FILAMENTS + 1), "1e9"])
def test_a_filament_with_an_impossible_number_is_refused(number: str) -> None:
    assert "filament" in reason(with_info(info(**{'<filament id="1"': f'<filament id="{number}"'})))


def test_more_filaments_than_any_printer_has_are_refused() -> None:
    assert "filaments" in reason(sliced(project_filaments=MAX_FILAMENTS + 1))


def test_a_nozzle_that_is_no_number_is_refused() -> None:
    assert "nozzle" in reason(sliced(nozzle="wide"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 5000])
def test_settings_that_cannot_be_read_are_refused(content: bytes) -> None:
    assert PROJECT_SETTINGS in reason(sliced(extra={PROJECT_SETTINGS: content}))


@pytest.mark.parametrize("name", [SLICE_INFO, PROJECT_SETTINGS])
def test_a_configuration_that_is_too_large_is_refused(name: str) -> None:
    assert name in reason(sliced(extra={name: b" " * (MAX_CONFIG_BYTES + 1)}))


def test_names_that_climb_are_refused_in_a_sliced_file_too() -> None:
    assert "name" in reason(sliced(extra={"../../evil": b"x"}))


SOUND = sliced(1500)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4))
def test_a_damaged_file_is_refused_or_read(changes: list[tuple[int, bytes]]) -> None:
    raw = bytearray(SOUND)
    for at, content in changes:
        raw[at : at + len(content)] = content
    with suppress(FileInvalid):
        assert inspected(bytes(raw), 1).plate == 1


@given(st.integers(0, len(SOUND)))
def test_a_file_that_was_cut_off_is_refused(length: int) -> None:
    if length < len(SOUND):
        reason(SOUND[:length])


XML = st.sampled_from(
    [
        "<config>",
        "</config>",
        "<plate>",
        "</plate>",
        "<plate/>",
        '<filament id="2"/>',
        '<object identify_id="x"/>',
        "&amp;",
        "&x;",
    ]
    + [
        f'<metadata key="{key}" value="{value}"/>'
        for key in ("index", "prediction", "nozzle_diameters")
        for value in ("1", "x", "")
    ]
) | st.text(max_size=5)


@given(st.lists(XML, max_size=12).map("".join))
def test_any_slice_info_is_read_or_refused(text: str) -> None:
    for whole in (
        text,
        f"<config>{text}</config>",
        f'<config><plate><metadata key="index" value="1"/>{text}</plate></config>',
    ):
        with suppress(FileInvalid):
            assert inspected(sliced(200, extra={SLICE_INFO: whole.encode("utf-8", "replace")})).plate == 1


# -- plain g-code ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"G28\n",
        b"; made by a slicer\n",
        b"\n\n  m104 S200\r\n",
        b"%\nG90\n",
        gcode(9000)[:HEAD_BYTES],
        "; Größe\nG1 X1".encode("latin-1"),
    ],
)
def test_gcode_is_gcode(head: bytes) -> None:
    inspect_gcode(head)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (sliced()[:HEAD_BYTES], "ends in .3mf"),
        (b"<!DOCTYPE html><p>; G1", "web page"),
        (b"<html>", "web page"),
        (b'<?xml version="1.0"?><Error>', "web page"),
        (b'{"error": "; G28"}', "not g-code"),
        (b"[1]", "not g-code"),
        (b"Not Found", "not g-code"),
        (b"G28\n\x00\x01", "not g-code"),
        (b"\x89PNG\r\n\x1a\n", "not g-code"),
    ],
)
def test_what_is_no_gcode_is_called_what_it_is(head: bytes, sentence: str) -> None:
    with pytest.raises(FileInvalid, match=sentence):
        inspect_gcode(head)


# -- more than any print file has ------------------------------------------------------------------

PLATE: Final = '<metadata key="index" value="1"/>'


@pytest.mark.parametrize(
    "text",
    [
        "<config>" + "<plate/>" * (MAX_ELEMENTS + 1) + "</config>",
        "<config>" + "<a>" * 100 + "</a>" * 100 + "</config>",
        "<a>" * 100_000,
    ],
    ids=["many", "deep", "deep and open"],
)
def test_slice_info_with_more_elements_than_any_is_refused(text: str) -> None:
    assert "elements" in reason(sliced(extra={SLICE_INFO: text.encode()}))


@pytest.mark.parametrize("content", [b"[" * 60_000, b'{"a": [' + b"[]," * 60_000 + b"1]}", b'{"a":' * 60_000])
def test_settings_of_a_hundred_thousand_parts_are_refused(content: bytes) -> None:
    assert "cannot be read" in reason(sliced(extra={PROJECT_SETTINGS: content}))


def test_more_nozzles_than_any_printer_has_are_refused() -> None:
    assert "more nozzles" in reason(sliced(nozzle=",".join(["0.4"] * 20)))


def test_what_a_file_says_of_itself_is_one_short_line() -> None:
    said = f'<metadata key="printer_model_id" value="C12&#10;{"x" * 9000}"/><metadata key="label_object_enabled"/>'
    found = inspected(sliced(extra={SLICE_INFO: f"<config><plate>{PLATE}{said}</plate></config>".encode()}), 1)
    assert found.printer_model_id.startswith("C12 x")
    assert len(found.printer_model_id) == 255


def test_of_very_many_plates_some_are_named() -> None:
    many = zipped({f"Metadata/plate_{number}.gcode": b"G28\n" for number in range(1, 900)})
    with pytest.raises(InvalidParameters, match=r"one of 1, 2, .* 20 and 879 more\.$"):
        inspected(many, None)


def test_hostile_configurations_are_refused_in_little_memory() -> None:
    for entry, content in (
        (SLICE_INFO, b"<config " + b" ".join(b'a%d=""' % number for number in range(150_000)) + b"/>"),
        (SLICE_INFO, b'<config a="' + b"x" * 2_000_000),
        (PROJECT_SETTINGS, b'{"filament_type":[' + b"1," * 1_000_000 + b"1]}"),
        (PROJECT_SETTINGS, b'{"a":' * 400_000),
    ):
        raw = sliced(extra={entry: content})
        tracemalloc.start()
        reason(raw)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 << 20
