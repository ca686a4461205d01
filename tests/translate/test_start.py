"""From a file and its options to the request that starts the print, and what is checked before."""

import io
import json
import re
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.models import TRAITS, Model, StartUrl, Traits, with_quirks
from bambu_connector.bambu.project import Filament, SlicedFile, inspect
from bambu_connector.bambu.request import AmsMapping, AmsSlot
from bambu_connector.bambu.view import View
from bambu_connector.errors import FilamentMismatch, FileInvalid
from bambu_connector.printago.orders import StartOptions
from bambu_connector.translate.naming import file_name, print_name
from bambu_connector.translate.start import Start, check_machine, feed, print_options, resolved, start_request
from tests.bambu.reports import Fields, h2d, p1s
from tests.files import sliced
from tests.translate.situations import H2D, P1S

MD5: Final = "0123456789abcdef0123456789abcdef"
SLICED: Final = SlicedFile(
    plates=(1, 2),
    plate=2,
    gcode_md5="",
    printer_model_id="C12",
    nozzle_diameters=(0.4,),
    prediction=600,
    weight=2.5,
    label_object_enabled=False,
    filaments=(Filament(1, "PETG", "#00FF00", "GFG99"),),
    filament_count=2,
    objects=(),
    bed_type="textured_plate",
)
START: Final = Start("cube-2s.gcode.3mf", "cube-2s", 100, SLICED, MD5)
MAPPING: Final = AmsMapping(True, (1, -1), (AmsSlot(0, 1), AmsSlot(255, 255)))
DEFAULTS: Final = StartOptions()


def started(
    options: StartOptions = DEFAULTS, ams: AmsMapping = MAPPING, traits: Traits = P1S, start: Start = START
) -> Fields:
    found: Fields = json.loads(start_request(start, options, ams, traits).payload("20006"))
    return found


def view(traits: Traits = P1S, **changes: Any) -> View:
    return View(h2d(**changes) if traits.nozzles > 1 else p1s(**changes), traits)


# -- the request -----------------------------------------------------------------------------------


def test_a_start_is_the_references_project_file() -> None:
    assert started() == {
        "print": {
            "sequence_id": "20006",
            "command": "project_file",
            "param": "Metadata/plate_2.gcode",
            "project_id": "100",
            "profile_id": "0",
            "task_id": "100",
            "subtask_id": "100",
            "subtask_name": "cube-2s",
            "file": "cube-2s.gcode.3mf",
            "url": "ftp://cube-2s.gcode.3mf",
            "md5": MD5.upper(),
            "bed_type": "auto",
            "bed_leveling": True,
            "auto_bed_leveling": 1,
            "flow_cali": False,
            "extrude_cali_flag": 0,
            "vibration_cali": True,
            "layer_inspect": False,
            "timelapse": False,
            "nozzle_offset_cali": 0,
            "use_ams": True,
            "ams_mapping": [1, -1],
            "ams_mapping2": [{"ams_id": 0, "slot_id": 1}, {"ams_id": 255, "slot_id": 255}],
            "cfg": "0",
        }
    }


def test_what_is_asked_for_is_told() -> None:
    options = StartOptions(
        bed_type="hot_plate",
        do_bed_leveling=False,
        do_flow_cali=True,
        vibration_cali=False,
        layer_inspect=True,
        timelapse=True,
    )
    body = started(options)["print"]
    assert (body["bed_type"], body["bed_leveling"], body["auto_bed_leveling"]) == ("hot_plate", False, 0)
    assert (body["flow_cali"], body["extrude_cali_flag"], body["vibration_cali"]) == (True, 1, False)
    assert (body["layer_inspect"], body["timelapse"]) == (True, True)


def test_without_an_ams_the_lists_are_there_and_empty() -> None:
    body = started(ams=AmsMapping())["print"]
    assert (body["use_ams"], body["ams_mapping"], body["ams_mapping2"]) == (False, [], [])


@pytest.mark.parametrize("model", Model)
def test_every_flag_is_a_json_boolean_on_every_model(model: Model) -> None:
    body = started(traits=TRAITS[model])["print"]
    flags = ("use_ams", "bed_leveling", "flow_cali", "vibration_cali", "layer_inspect", "timelapse")
    assert {key: type(body[key]) for key in flags} == dict.fromkeys(flags, bool)
    assert body["vibration_cali"] is (model is not Model.P2S)
    assert body["url"] == "ftp://cube-2s.gcode.3mf"


@pytest.mark.parametrize(
    ("quirk", "url"),
    [
        ("ftp", "ftp://cube-2s.gcode.3mf"),
        ("ftp3", "ftp:///cube-2s.gcode.3mf"),
        ("sdcard", "file:///sdcard/cube-2s.gcode.3mf"),
        ("usb", "file:///media/usb0/cube-2s.gcode.3mf"),
    ],
)
def test_an_owner_may_choose_the_form_of_the_url(quirk: str, url: str) -> None:
    assert started(traits=with_quirks(P1S, start_url=quirk))["print"]["url"] == url


def test_an_owner_may_leave_the_md5_out() -> None:
    assert started(traits=with_quirks(P1S, md5=False))["print"]["md5"] == ""


def test_two_starts_share_nothing() -> None:
    assert started() == started()
    assert started(ams=AmsMapping()) != started()
    assert started()["print"]["ams_mapping"] == [1, -1]


@pytest.mark.parametrize(
    ("quirk", "path"),
    [("ftp", "cube.gcode"), ("sdcard", "/sdcard/cube.gcode"), ("usb", "/media/usb0/cube.gcode")],
)
def test_plain_g_code_is_started_by_its_path(quirk: str, path: str) -> None:
    plain = Start("cube.gcode", "cube", 100, None, MD5)
    body = started(traits=replace(P1S, start_url=StartUrl(quirk)), start=plain, ams=AmsMapping())
    assert body == {"print": {"sequence_id": "20006", "command": "gcode_file", "param": path}}


# -- the defaults ----------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_contract() -> None:
    found = print_options(DEFAULTS, P1S)
    assert (found.bed_type, found.bed_leveling, found.flow_cali) == ("auto", True, False)
    assert (found.vibration_cali, found.layer_inspect, found.timelapse) == (True, False, False)


def test_vibration_calibration_is_off_where_the_model_table_says_so() -> None:
    assert print_options(DEFAULTS, TRAITS[Model.P2S]).vibration_cali is False
    assert print_options(StartOptions(vibration_cali=True), TRAITS[Model.P2S]).vibration_cali is True


def test_the_status_is_told_the_options_that_are_in_force() -> None:
    asked = StartOptions(use_ams=True, ams_mapping=(1,), do_flow_cali=True, job_id="j-7")
    assert resolved(asked, P1S, 2) == StartOptions(
        plate=2,
        use_ams=True,
        ams_mapping=(1,),
        bed_type="auto",
        do_bed_leveling=True,
        do_flow_cali=True,
        vibration_cali=True,
        layer_inspect=False,
        timelapse=False,
        job_id="j-7",
    )


# -- the checks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["C12", "C11", "BL-P001", "C13", "c12", "C12-V2", ""])
def test_a_file_for_this_model_or_a_relative_may_run(target: str) -> None:
    check_machine(replace(SLICED, printer_model_id=target), view(), P1S)


@pytest.mark.parametrize("target", ["N1", "O1D", "N7", "C99"])
def test_a_file_for_another_model_is_refused_by_both_names(target: str) -> None:
    with pytest.raises(FileInvalid, match=f"{target}.*P1S"):
        check_machine(replace(SLICED, printer_model_id=target), view(), P1S)


@pytest.mark.parametrize("model", [model for model in Model if model is not Model.GENERIC])
def test_every_model_takes_its_own_files(model: Model) -> None:
    traits = TRAITS[model]
    check_machine(replace(SLICED, printer_model_id=traits.code), view(traits), traits)


@pytest.mark.parametrize(("wanted", "fitted"), [(0.4, "0.4"), (0.4, 0.4), (0.6, "0.60"), (0.4, None), (0.4, "")])
def test_a_file_for_the_nozzle_that_is_fitted_or_unknown_may_run(wanted: float, fitted: object) -> None:
    check_machine(replace(SLICED, nozzle_diameters=(wanted,)), view(nozzle_diameter=fitted), P1S)


def test_a_file_for_another_nozzle_is_refused_by_both_sizes() -> None:
    with pytest.raises(FileInvalid, match=r"0\.6 mm.*0\.4 mm"):
        check_machine(replace(SLICED, nozzle_diameters=(0.6,)), view(), P1S)


def test_a_file_that_tells_no_nozzle_is_not_judged_by_it() -> None:
    check_machine(replace(SLICED, nozzle_diameters=()), view(), P1S)


def test_of_two_nozzles_each_that_the_file_wants_must_be_fitted() -> None:
    both = replace(SLICED, printer_model_id="O1D", nozzle_diameters=(0.4, 0.4))
    check_machine(both, view(H2D), H2D)
    with pytest.raises(FileInvalid, match=r"0\.6"):
        check_machine(replace(both, nozzle_diameters=(0.4, 0.6)), view(H2D), H2D)


def test_a_print_is_fed_from_what_the_printer_reports() -> None:
    assert feed(SLICED, DEFAULTS, view(), P1S) == MAPPING
    assert feed(SLICED, StartOptions(use_ams=False), view(), P1S) == AmsMapping()
    assert feed(SLICED, StartOptions(ams_mapping=(1,)), view(), P1S) == MAPPING


def test_a_print_that_cannot_be_fed_is_refused() -> None:
    with pytest.raises(FilamentMismatch):
        feed(SLICED, StartOptions(ams_mapping=(0,)), view(), P1S)
    with pytest.raises(FilamentMismatch):
        feed(SLICED, StartOptions(use_ams=True), view(ams={}), P1S)


A_FILE: Final = inspect(io.BytesIO(sliced(500)), plate=1)


@given(
    st.text(max_size=80) | st.sampled_from(["../a", "a\r\nDELE b", "\0", "a/b", "-rf", "CON", "a?b#c%0a.3mf"]),
    st.integers(1, 2**31 - 1),
    st.sampled_from(Model),
    st.booleans(),
)
def test_whatever_a_file_is_called_the_printer_is_told_only_our_name(
    requested: str, number: int, model: Model, plain: bool
) -> None:
    name, traits = file_name(requested, number, plain_gcode=plain), TRAITS[model]
    start = Start(name, print_name(requested, number), number, None if plain else A_FILE, "0" * 32)
    (content,) = json.loads(start_request(start, StartOptions(), AmsMapping(), traits).payload("7")).values()
    if plain:
        assert re.fullmatch(r"[A-Za-z0-9/._-]+", content["param"])
        assert content["param"].endswith(name)
        return
    assert content["param"] == "Metadata/plate_1.gcode"
    assert (content["file"], content["subtask_name"]) == (name, print_name(requested, number))
    assert re.fullmatch(r"[a-z]+://[A-Za-z0-9/._-]+", content["url"])
