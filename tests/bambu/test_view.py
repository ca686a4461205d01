"""Typed reading of folded reports: what each property says, and that unknown stays unknown."""

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.models import TRAITS, CameraKind, Model, Traits
from bambu_connector.bambu.view import ACTIVE, GcodeState, Homed, JobIdentity, Nozzle, Temperature, View
from tests import captures
from tests.bambu.reports import Fields, h2d, p1s, spoiled

P1S = TRAITS[Model.P1S]
X1C = TRAITS[Model.X1C]
X1E = TRAITS[Model.X1E]
H2D = TRAITS[Model.H2D]
PROPERTIES = [name for name, _ in inspect.getmembers(View, lambda each: isinstance(each, property))]


def view(traits: Traits = P1S, **changes: Any) -> View:
    return View(p1s(**changes), traits)


def everything(of: View) -> dict[str, object]:
    return {name: getattr(of, name) for name in PROPERTIES} | {
        **{f"{name} fan": of.fan(name) for name in ("part", "aux", "chamber", "heatbreak")},
        "light": of.light("chamber_light"),
    }


# -- unknown ---------------------------------------------------------------------------------------


def test_of_an_empty_report_nothing_is_known() -> None:
    known = {name: value for name, value in everything(View({}, P1S)).items() if value is not None}
    nothing = Temperature(None, None)
    assert known == {
        "active_nozzle": Nozzle(0, nothing, None, None),
        "ams": (),
        "bed": nothing,
        "camera_kind": CameraKind.JPEG,
        "chamber": nothing,
        "external": (),
        "has_heat": False,
        "homed": Homed(None, None, None),
        "identity": JobIdentity(None, None, None, None, None),
        "is_active": False,
        "is_calibration": False,
        "is_inactive": False,
        "is_upgrading": False,
        "mains_220v": False,
        "nozzles": (Nozzle(0, nothing, None, None),),
    }


@given(st.sampled_from([p1s(), h2d()]).flatmap(spoiled), st.sampled_from([P1S, X1E, H2D, TRAITS[Model.GENERIC]]))
def test_any_values_are_read(report: Fields, traits: Traits) -> None:
    everything(View(report, traits))


def test_a_value_that_cannot_be_read_spoils_only_itself() -> None:
    found = view(nozzle_temper="hot", mc_percent=[], print_error={}, lights_report="on", hms=3)
    assert (found.nozzles[0].temperature, found.percent, found.print_error) == (Temperature(None, 0), None, None)
    assert (found.light("chamber_light"), found.bed) == (None, Temperature(24.0, 0))


def test_the_reports_of_real_printers_are_read() -> None:
    for name, report in captures.captured().items():
        found = View(report, H2D if name == "H2D" else P1S)
        assert found.state in {*GcodeState}, name
        assert found.bed.current is not None, name
        assert all(nozzle.temperature.current is not None for nozzle in found.nozzles), name
        assert found.light("chamber_light") in ("on", "off"), name
    assert len(View(captures.captured()["H2D"], H2D).nozzles) == 2


# -- the print -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "active", "inactive"),
    [
        ("IDLE", False, True),
        ("FINISH", False, True),
        ("FAILED", False, True),
        ("PREPARE", True, False),
        ("SLICING", True, False),
        ("RUNNING", True, False),
        ("PAUSE", True, False),
        ("INIT", False, False),
        ("", False, False),
        (None, False, False),
        (3, False, False),
    ],
)
def test_a_state_is_active_inactive_or_unknown(told: object, active: bool, inactive: bool) -> None:
    found = view(gcode_state=told)
    assert (found.is_active, found.is_inactive) == (active, inactive)


def test_a_state_that_nobody_has_heard_of_is_kept_as_it_is() -> None:
    state = view(gcode_state="DREAMING").state
    assert state == "DREAMING"
    assert state not in ACTIVE


def test_an_identity_of_zeros_is_none() -> None:
    assert view(subtask_id="0", task_id="", job_id=0, subtask_name="", gcode_file="a.3mf").identity == JobIdentity(
        None, None, None, None, "a.3mf"
    )
    assert view(subtask_id="77", task_id=78, job_id="79", subtask_name="part").identity == JobIdentity(
        "77", "78", "79", "part", None
    )


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ({"gcode_state": "RUNNING", "mc_percent": 40}, 40),
        ({"gcode_state": "RUNNING", "mc_percent": "40"}, 40),
        ({"gcode_state": "PREPARE", "mc_percent": 100}, 0),
        ({"gcode_state": "SLICING", "mc_percent": 100}, 0),
        ({"gcode_state": "PREPARE", "mc_percent": None}, None),
        ({"gcode_state": "FINISH", "mc_percent": 100}, 100),
        ({"gcode_state": "RUNNING", "mc_percent": 101}, None),
    ],
)
def test_progress_is_that_of_this_job(changes: Fields, percent: int | None) -> None:
    assert view(**changes).percent == percent


@pytest.mark.parametrize(("told", "seconds"), [(25, 1500), ("3", 180), (0, 0), (-1, None), ("?", None)])
def test_minutes_are_told_in_seconds(told: object, seconds: int | None) -> None:
    assert view(mc_remaining_time=told).seconds_left == seconds


def test_layers_are_told_by_either_field() -> None:
    assert (view(layer_num=3, total_layer_num=20).layer, view(layer_num=3, total_layer_num=20).total_layers) == (3, 20)
    layers = {"layer_num": None, "total_layer_num": None, "3D": {"layer_num": 4, "total_layer_num": 21}}
    newer = View(p1s() | layers, P1S)
    assert (newer.layer, newer.total_layers) == (4, 21)


@pytest.mark.parametrize(
    ("state", "told", "layer"),
    [
        ("PREPARE", 200, 0),
        ("SLICING", "200", 0),
        ("PREPARE", None, None),
        ("PREPARE", "?", None),
        ("RUNNING", 200, 200),
        ("FINISH", 200, 200),
    ],
)
def test_while_preparing_the_last_prints_layer_is_not_told(state: str, told: object, layer: int | None) -> None:
    assert View(p1s() | {"gcode_state": state, "layer_num": told}, P1S).layer == layer


@pytest.mark.parametrize(("told", "percent"), [("0", 0), ("100", 100), (99, 99), ("", None), ("101", None)])
def test_preparation_is_a_percentage(told: object, percent: int | None) -> None:
    assert view(gcode_file_prepare_percent=told).prepare_percent == percent


@pytest.mark.parametrize(
    ("told", "skipped"), [([], []), ([98, 121], [98, 121]), ([98, "x"], [98]), ("x", None), (None, None)]
)
def test_skipped_objects_are_numbers(told: object, skipped: list[int] | None) -> None:
    assert view(s_obj=told).skipped_objects == skipped


@pytest.mark.parametrize(
    ("told", "number", "text"),
    [(0, 0, None), (0x05004003, 0x05004003, "0500-4003"), ("83902467", 0x05004003, "0500-4003"), (None, None, None)],
)
def test_an_error_is_a_number_and_a_code(told: object, number: int | None, text: str | None) -> None:
    assert (view(print_error=told).print_error, view(print_error=told).print_error_text) == (number, text)


def test_a_calibration_is_no_print() -> None:
    assert view(print_type="system").is_calibration
    assert not view(print_type="local").is_calibration


# -- heat and air ----------------------------------------------------------------------------------


def test_a_single_nozzle_is_told_by_the_plain_fields() -> None:
    (nozzle,) = view(nozzle_temper=219.6, nozzle_target_temper=220).nozzles
    assert nozzle == Nozzle(0, Temperature(219.6, 220), 0.4, "hardened_steel")


def test_two_nozzles_are_told_by_the_device() -> None:
    assert View(h2d(), H2D).nozzles == (
        Nozzle(0, Temperature(219, 220), 0.4, "HS01"),
        Nozzle(1, Temperature(30, 0), 0.4, "HH01"),
    )


def test_a_nozzle_from_the_rack_is_the_one_in_the_head() -> None:
    report = h2d()
    report["device"]["extruder"]["info"][0]["hnow"] = 17
    report["device"]["nozzle"]["info"].append({"id": 17, "type": "HU05", "diameter": 0.6})
    assert View(report, H2D).nozzles[0].diameter == 0.6


def test_nozzles_keyed_by_number_are_read() -> None:
    device = {"nozzle": {"info": {"0": {"id": 0, "type": "HS01", "diameter": 0.4}}}}
    found = view(X1C, device=device, nozzle_diameter=None, nozzle_type=None).nozzles
    assert found == (Nozzle(0, Temperature(25.0, 0), 0.4, "HS01"),)


@pytest.mark.parametrize(("state", "active"), [(0x02, 0), (0x12, 1), (0xF2, 0)])
def test_the_nozzle_in_use_is_the_one_that_the_device_names(state: int, active: int) -> None:
    report = h2d()
    report["device"]["extruder"]["state"] = state
    nozzle = View(report, H2D).active_nozzle
    assert nozzle is not None
    assert nozzle.id == active


def test_a_bed_is_told_plainly_or_packed() -> None:
    assert view(bed_temper=59.9, bed_target_temper=60).bed == Temperature(59.9, 60)
    packed = {"bed": {"info": {"temp": 60 << 16 | 59}}}
    assert view(bed_temper=None, bed_target_temper=None, device=packed).bed == Temperature(59, 60)


@pytest.mark.parametrize(
    ("traits", "changes", "chamber"),
    [
        (P1S, {"chamber_temper": 5}, Temperature(None, None)),
        (X1C, {"chamber_temper": 31.5}, Temperature(31.5, None)),
        (X1E, {"chamber_temper": 31.5, "ctt": 45}, Temperature(31.5, 45)),
        (H2D, {"device": {"ctc": {"info": {"temp": 45 << 16 | 25}}}}, Temperature(25.0, 45)),
        (H2D, {"chamber_temper": 45 << 16 | 25}, Temperature(25.0, 45)),
        (X1C, {"chamber_temper": None, "device": {"ctc": {"info": {"temp": 26}}}}, Temperature(26.0, None)),
    ],
)
def test_a_chamber_is_told_where_there_is_a_sensor(traits: Traits, changes: Fields, chamber: Temperature) -> None:
    assert view(traits, **changes).chamber == chamber


def test_a_target_is_heat() -> None:
    assert not view().has_heat
    assert view(bed_target_temper=60).has_heat
    assert view(nozzle_target_temper=200).has_heat
    assert View(h2d(), H2D).has_heat


def test_fans_are_told_from_0_to_255() -> None:
    geared = view(fan_gear=0x0180FF, heatbreak_fan_speed="15")
    assert [geared.fan(name) for name in ("part", "aux", "chamber", "heatbreak")] == [255, 128, 1, 255]
    stepped = view(fan_gear=None, cooling_fan_speed="15", big_fan1_speed="3", big_fan2_speed="16")
    assert [stepped.fan(name) for name in ("part", "aux", "chamber")] == [255, 51, None]


def test_a_light_is_told_by_its_node() -> None:
    lights = [{"node": "chamber_light", "mode": "flashing"}, 3, {"node": "work_light", "mode": 1}]
    found = view(lights_report=lights)
    assert (found.light("chamber_light"), found.light("work_light"), found.light("other")) == ("flashing", None, None)


# -- the machine -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "homed"),
    [
        (0x107, Homed(x=True, y=True, z=True)),
        (0x103, Homed(x=True, y=True, z=False)),
        (-2147483648 + 7, Homed(x=True, y=True, z=True)),
        (0x100, Homed(x=False, y=False, z=False)),
        (0, Homed(None, None, None)),
        (None, Homed(None, None, None)),
    ],
)
def test_an_axis_is_homed_when_the_flag_says_so(flag: int | None, homed: Homed) -> None:
    assert view(home_flag=flag).homed == homed


@pytest.mark.parametrize(
    ("changes", "present"),
    [
        ({"home_flag": 0x100, "sdcard": True}, True),
        ({"home_flag": 0x000, "sdcard": True}, True),
        ({"home_flag": 0x100, "sdcard": False}, True),
        ({"home_flag": 0x007, "sdcard": False}, False),
        ({"home_flag": 0x007, "sdcard": False, "aux": "1000"}, True),
        ({"home_flag": None, "sdcard": "HAS_SDCARD_NORMAL"}, True),
        ({"home_flag": None, "sdcard": "NO_SDCARD"}, False),
        ({"home_flag": None, "sdcard": None}, None),
    ],
)
def test_storage_is_absent_only_when_everything_says_so(changes: Fields, present: bool | None) -> None:
    assert view(**changes).storage_present is present


@pytest.mark.parametrize(
    ("fun", "mode"),
    [
        ("3EC1AFFF9CFF", False),
        ("3EC18FFF9CFF", True),
        ("4023FF18FFF9CB3", True),
        ("100d122002fbd", False),
        (None, None),
        ("?", None),
    ],
)
def test_developer_mode_is_bit_29_of_fun(fun: object, mode: bool | None) -> None:
    assert view(fun=fun).developer_mode is mode


@pytest.mark.parametrize(
    ("changes", "high"),
    [({"home_flag": 8}, True), ({"home_flag": 7}, False), ({"fun": "4"}, True), ({"fun": "3"}, False)],
)
def test_the_mains_are_told_by_either_flag(changes: Fields, high: bool) -> None:
    assert view(**changes).mains_220v is high


@pytest.mark.parametrize(
    ("upgrade", "running"),
    [
        ({"dis_state": 0, "status": "IDLE"}, False),
        ({"dis_state": 1, "status": "IDLE"}, False),
        ({"dis_state": 2}, True),
        ({"dis_state": 3, "status": "SUCCESS"}, False),
        ({"status": "DOWNLOADING"}, True),
        ({"status": "FLASHING"}, True),
        ("x", False),
    ],
)
def test_an_upgrade_runs_when_the_printer_says_so(upgrade: object, running: bool) -> None:
    assert view(upgrade_state=upgrade).is_upgrading is running


@pytest.mark.parametrize(("told", "dbm"), [("-45dBm", -45), ("-45", -45), ("", None), (None, None), ("weak", None)])
def test_the_signal_is_a_number(told: object, dbm: int | None) -> None:
    assert view(wifi_signal=told).wifi_dbm == dbm


@pytest.mark.parametrize(
    ("traits", "ipcam", "kind", "available"),
    [
        (P1S, {"ipcam_dev": "1"}, CameraKind.JPEG, True),
        (P1S, {"ipcam_dev": "0"}, CameraKind.JPEG, False),
        (P1S, {}, CameraKind.JPEG, None),
        (X1C, {"rtsp_url": "rtsps://192.0.2.1/streaming/live/1"}, CameraKind.RTSPS, True),
        (X1C, {"rtsp_url": "disable"}, CameraKind.RTSPS, False),
        (X1C, {"ipcam_dev": "1"}, CameraKind.RTSPS, None),
        (TRAITS[Model.GENERIC], {"rtsp_url": "rtsps://192.0.2.1/streaming/live/1"}, CameraKind.RTSPS, True),
        (TRAITS[Model.GENERIC], {"ipcam_dev": "1"}, None, True),
    ],
)
def test_a_camera_is_known_by_its_model_or_its_address(
    traits: Traits, ipcam: Fields, kind: CameraKind | None, available: bool | None
) -> None:
    found = view(traits, ipcam=ipcam)
    assert (found.camera_kind, found.camera_available) == (kind, available)


def test_recording_and_timelapse_are_switches() -> None:
    found = view(ipcam={"ipcam_record": "enable", "timelapse": "disable"})
    assert (found.camera_recording, found.timelapse) == (True, False)


@pytest.mark.parametrize(("told", "there"), [(0, False), (1, True), (3, True), (None, None)])
def test_filament_at_the_head_is_any_switch(told: object, there: bool | None) -> None:
    assert view(hw_switch_state=told).filament_at_head is there


def test_filament_is_read_by_the_rules_of_the_filament() -> None:
    found = view()
    assert [unit.id for unit in found.ams] == [0]
    assert [slot.id for slot in found.external] == [254]
    assert found.active_slot is None
