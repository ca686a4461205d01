"""The model table against the protocol reference, and how a printer's model is found."""

import pytest
from hypothesis import given

from bambu_connector.bambu.models import (
    TRAITS,
    CameraKind,
    ChamberHeat,
    JogSigns,
    Model,
    StartUrl,
    can_run,
    firmware_of,
    model_named,
    model_of_modules,
    model_of_serial,
    signing_expected,
    with_quirks,
)
from tests.bambu.reports import JSON_VALUES

# The rows of the reference that hold limits and ways to reach a printer, one column each:
# model, code, serial prefix, camera, nozzle, bed and chamber maximum in °C, nozzles, chamber sensor, fans.
# fmt: off
REFERENCE = [
    (Model.X1C,     "BL-P001", "00M", "rtsps", 300, 120, None, 1, True,  3),
    (Model.X1,      "BL-P002", "00W", "rtsps", 300, 120, None, 1, True,  3),
    (Model.X1E,     "C13",     "03W", "rtsps", 320, 110, 60,   1, True,  3),
    (Model.P1P,     "C11",     "01S", "jpeg",  300, 100, None, 1, False, 3),
    (Model.P1S,     "C12",     "01P", "jpeg",  300, 100, None, 1, False, 3),
    (Model.P2S,     "N7",      "22E", "rtsps", 300, 110, None, 1, True,  3),
    (Model.X2D,     "N6",      "20P", "rtsps", 300, 120, 65,   2, True,  3),
    (Model.A1_MINI, "N1",      "030", "jpeg",  300, 80,  None, 1, False, 1),
    (Model.A1,      "N2S",     "039", "jpeg",  300, 100, None, 1, False, 1),
    (Model.A2L,     "N9",      "26A", "jpeg",  300, 80,  None, 1, False, 1),
    (Model.H2D,     "O1D",     "094", "rtsps", 350, 120, 65,   2, True,  3),
    (Model.H2D_PRO, "O1E",     None,  "rtsps", 350, 120, 65,   2, True,  3),
    (Model.H2S,     "O1S",     "093", "rtsps", 350, 120, 65,   1, True,  3),
    (Model.H2C,     "O1C",     "31B", "rtsps", 350, 120, 65,   2, True,  3),
    (Model.GENERIC, "",        None,  None,    300, 80,  None, 1, False, 3),
]
# fmt: on
X1_FAMILY = {Model.X1C, Model.X1, Model.X1E, Model.P1P, Model.P1S}
BED_SLINGERS = {Model.A1, Model.A1_MINI, Model.A2L}


def test_every_model_has_its_row() -> None:
    assert set(TRAITS) == set(Model) == {row[0] for row in REFERENCE}


@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: row[0].value)
def test_a_row_says_what_the_reference_says(row: tuple[object, ...]) -> None:
    model, *told = row
    assert isinstance(model, Model)
    traits = TRAITS[model]
    assert told == [
        traits.code,
        traits.serial_prefix,
        traits.camera.value if traits.camera else None,
        traits.nozzle_max,
        traits.bed_max,
        traits.chamber_max,
        traits.nozzles,
        traits.chamber_sensor,
        len(traits.fans),
    ]
    assert (traits.chamber_heat is None) == (traits.chamber_max is None)


def test_only_the_x1e_heats_its_chamber_with_a_bare_line() -> None:
    assert [model for model, traits in TRAITS.items() if traits.chamber_heat is ChamberHeat.GCODE] == [Model.X1E]


def test_only_machines_whose_bed_moves_turn_their_axes() -> None:
    turned = {model for model, traits in TRAITS.items() if traits.jog_signs != JogSigns()}
    assert turned == BED_SLINGERS
    assert {TRAITS[model].jog_signs for model in turned} == {JogSigns(1, -1, -1)}


def test_the_bed_of_an_x1_is_limited_on_220_volts() -> None:
    assert {model: traits.bed_max_220v for model, traits in TRAITS.items() if traits.bed_max_220v} == {
        Model.X1C: 110,
        Model.X1: 110,
    }


def test_codes_and_prefixes_belong_to_one_model_each() -> None:
    codes = [code for traits in TRAITS.values() for code in (traits.code, *traits.codes)]
    prefixes = [traits.serial_prefix for traits in TRAITS.values() if traits.serial_prefix]
    assert len(set(codes)) == len(codes)
    assert len(set(prefixes)) == len(prefixes)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("BL-P001", Model.X1C),
        ("3DPrinter-X1-Carbon", Model.X1C),
        ("3DPrinter-X1", Model.X1),
        ("C11", Model.P1P),
        ("C12", Model.P1S),
        ("c12", Model.P1S),
        ("O2D", Model.H2D_PRO),
        ("O1C2", Model.H2C),
        ("N7-V2", Model.P2S),
        ("N6_V2", Model.X2D),
        (" P1S ", Model.P1S),
        ("A1 mini", Model.A1_MINI),
        ("Bambu Lab X1-Carbon", Model.X1C),
        ("Bambu Lab A1 mini", Model.A1_MINI),
        ("Bambu Lab H2D Pro", Model.H2D_PRO),
        ("Bambu Lab X2D", Model.X2D),
        ("", None),
        ("generic", None),
        ("Q9", None),
    ],
)
def test_a_model_is_known_by_all_its_names(name: str, model: Model | None) -> None:
    assert model_named(name) is model


@pytest.mark.parametrize(
    ("serial", "model"),
    [
        ("01P00A000000001", Model.P1S),
        ("01p00a000000001", Model.P1S),
        ("030120000000007", Model.A1_MINI),
        ("99999", Model.GENERIC),
        ("", Model.GENERIC),
    ],
)
def test_a_serial_tells_the_model_by_its_beginning(serial: str, model: Model) -> None:
    assert model_of_serial(serial) is model


@pytest.mark.parametrize(
    ("modules", "model"),
    [
        ([{"name": "esp32", "hw_ver": "AP04", "project_name": "C11"}], Model.P1P),
        ([{"name": "esp32", "hw_ver": "AP04", "project_name": "C12"}], Model.P1S),
        ([{"name": "esp32", "hw_ver": "AP07", "project_name": "N1"}], Model.A1_MINI),
        ([{"name": "esp32", "hw_ver": "AP05", "project_name": "N2S"}], Model.A1),
        ([{"name": "rv1126", "hw_ver": "AP05", "project_name": ""}], Model.X1C),
        ([{"name": "ap", "hw_ver": "AP02"}], Model.X1E),
        (
            [
                {"name": "ams/0", "hw_ver": "AMS08", "product_name": "AMS"},
                {"name": "ota", "product_name": "Bambu Lab P2S"},
            ],
            Model.P2S,
        ),
        ([{"name": "ota", "product_name": "Bambu Lab H2D", "project_name": "x"}], Model.H2D),
        ([{"name": "esp32", "hw_ver": "AP04", "project_name": ""}], None),
        ([{"name": "ota", "product_name": 3, "project_name": None}, {}], None),
        ([], None),
    ],
)
def test_modules_tell_the_model(modules: list[dict[str, object]], model: Model | None) -> None:
    assert model_of_modules(modules) is model


@given(JSON_VALUES, JSON_VALUES)
def test_modules_of_any_values_are_read(name: object, hardware: object) -> None:
    assert model_of_modules([{"name": name, "hw_ver": hardware, "product_name": name, "project_name": hardware}]) in {
        *Model,
        None,
    }


# -- what a firmware and a file need ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "firmware"),
    [
        ("01.08.02.00", (1, 8, 2, 0)),
        (" 1.2 ", (1, 2)),
        ("", None),
        ("new", None),
        ("1", None),
        ("1.x", None),
        ("1..2", None),
    ],
)
def test_a_version_is_numbers_between_dots(text: str, firmware: tuple[int, ...] | None) -> None:
    assert firmware_of(text) == firmware


@pytest.mark.parametrize(
    ("model", "firmware", "expected"),
    [
        (Model.P1S, "01.08.01.00", False),
        (Model.P1S, "01.08.02.00", True),
        (Model.P1P, "01.10.00.00", True),
        (Model.A1, "01.04.00.00", False),
        (Model.A1_MINI, "01.05.00.00", True),
        (Model.X1C, "01.07.00.00", False),
        (Model.X1C, "01.08.05.00", True),
        (Model.X1C, "99.01.00.00", False),
        (Model.H2D, "01.00.02.00", False),
        (Model.H2D, "01.01.00.00", True),
        (Model.H2S, "01.00.00.00", True),
        (Model.P2S, "01.00.00.00", True),
        (Model.X1E, "01.08.05.00", None),
        (Model.GENERIC, "01.08.05.00", None),
        (Model.P1S, None, None),
        (Model.P1S, "beta", None),
    ],
)
def test_firmware_tells_whether_signatures_are_expected(
    model: Model, firmware: str | None, expected: bool | None
) -> None:
    assert signing_expected(TRAITS[model], firmware) is expected


@pytest.mark.parametrize(
    "printer", [model for model in Model if model is not Model.GENERIC], ids=lambda model: model.value
)
def test_a_file_runs_on_its_own_model_and_within_the_x1_family(printer: Model) -> None:
    runs = {target for target in Model if target is not Model.GENERIC and can_run(TRAITS[printer], TRAITS[target].code)}
    assert runs == (X1_FAMILY if printer in X1_FAMILY else {printer})


@pytest.mark.parametrize("code", ["", "Q9"])
def test_a_file_for_an_unknown_model_runs_on_no_known_one(code: str) -> None:
    assert not can_run(TRAITS[Model.P1S], code)


# -- quirks ----------------------------------------------------------------------------------------


def test_quirks_override_their_columns_and_nothing_else() -> None:
    before = TRAITS[Model.P1S]
    after = with_quirks(
        before, start_url="sdcard", md5=False, ftps_protection="C", start_timeout=240.0, jog_signs=(1, -1, 1)
    )
    assert (after.start_url, after.send_md5, after.ftps_protection) == (StartUrl.SDCARD, False, "C")
    assert (after.start_timeout, after.jog_signs) == (240.0, JogSigns(1, -1, 1))
    assert (after.code, after.can_run, after.camera) == (before.code, before.can_run, CameraKind.JPEG)
    assert with_quirks(before) == before


@pytest.mark.parametrize(
    ("form", "url"),
    [
        (StartUrl.FTP, "ftp://a.3mf"),
        (StartUrl.FTP3, "ftp:///a.3mf"),
        (StartUrl.SDCARD, "file:///sdcard/a.3mf"),
        (StartUrl.USB, "file:///media/usb0/a.3mf"),
    ],
)
def test_a_start_names_the_file_in_one_of_four_ways(form: StartUrl, url: str) -> None:
    assert form.of("a.3mf") == url
