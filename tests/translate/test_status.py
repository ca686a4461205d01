"""The status tree: complete with every report and with none, null where nothing was told, and what each value means."""

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.models import TRAITS, Model, Traits
from bambu_connector.bambu.view import View
from bambu_connector.errors import ConnectorError, Unreachable
from bambu_connector.printago import orders
from bambu_connector.printago.messages import MessageType, envelope
from bambu_connector.printago.orders import StartOptions
from bambu_connector.translate.plan import plan
from bambu_connector.translate.situation import Situation
from bambu_connector.translate.status import NO_PROCESS, Process, StatusWriter, status_data
from tests import captures
from tests.bambu.reports import Fields, h2d, p1s, places, replaced, tray
from tests.translate.life import Life
from tests.translate.situations import (
    ACTIVE,
    DEVELOPER_MODE_OFF,
    DEVELOPER_MODE_ON,
    H2D,
    P1S,
    STATES,
    any_report,
    any_situation,
    in_state,
    virtual,
)
from tests.translate.trees import LINK, STATUS, at, leaves, machine, misfits, status

X1C: Final = TRAITS[Model.X1C]
WHOLE_REPORTS: Final[dict[str, tuple[Fields, Traits]]] = {
    "P1S, invented": (p1s(), P1S),
    "H2D, invented": (h2d(), H2D),
    "A1 mini": (virtual("A1MINI"), TRAITS[Model.A1_MINI]),
    "P1S": (virtual("P1S"), P1S),
    "X1C": (virtual("X1C"), X1C),
    "H2D": (virtual("H2D"), H2D),
}
CAPTURED: Final = {"A1": Model.A1, "H2D": Model.H2D, "P1P": Model.P1P, "P2S": Model.P2S, "X1C": Model.X1C}


def model_of(name: str) -> Traits:
    return TRAITS[next(model for prefix, model in CAPTURED.items() if name.startswith(prefix))]


# -- complete --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE_REPORTS)
def test_a_full_report_makes_a_complete_status(name: str) -> None:
    assert misfits(status(*WHOLE_REPORTS[name]), STATUS) == []


@pytest.mark.parametrize("model", Model)
def test_before_the_first_report_the_status_is_complete_too(model: Model) -> None:
    traits = TRAITS[model]
    link = replace(LINK, is_online=False, last_report=None, firmware=None, has_access_right=None, verified=None)
    now = Situation(traits=traits, connected=False, view=None)
    assert misfits(status_data(now, link, NO_PROCESS, View({}, traits)), STATUS) == []


def test_every_capture_of_a_real_printer_makes_a_complete_and_sane_status() -> None:
    for name, report in captures.captured().items():
        data = status(report, model_of(name))
        assert misfits(data, STATUS) == [], name
        found = data["machines"][0]
        assert found["current"]["print_status"] in STATES, name
        assert found["hardware"]["nozzle_diameter"] in (0.2, 0.4, 0.6, 0.8), name
        for key, degrees in found["current"]["temperatures"].items():
            assert degrees is None or 0 <= degrees <= 350, (name, key)
        assert None not in (found["current"]["temperatures"]["nozzle_temp"], found["current"]["print_percent"]), name
        assert found["lights"]["chamber"] in ("on", "off", "flashing"), name
        for key, speed in found["current"]["cooling"].items():
            assert key == "fan_gear" or 0 <= speed <= 255, (name, key)


def test_the_captures_show_the_filament_that_their_owners_had() -> None:
    found = {name: machine(report, model_of(name))["filament"] for name, report in captures.captured().items()}
    assert found["P1PNOAMS"]["ams"] == []
    assert len(found["H2D"]["ams"]) == 2
    assert len(found["X1CMULTIAMS"]["ams"]) > 1
    for name, filament in found.items():
        for unit in filament["ams"]:
            assert all(slot["type"] and slot["color"] for slot in unit["slots"] if slot["loaded"]), name


@given(any_report(), st.sampled_from(Model))
def test_any_report_makes_a_complete_status_that_is_json(report: Fields, model: Model) -> None:
    data = status(report, TRAITS[model])
    assert misfits(data, STATUS) == []
    message = envelope(MessageType.STATUS, "left", data, moment=0.0, message_id="m-1")
    assert json.loads(message.payload)["data"] == data


# -- null is never zero ----------------------------------------------------------------------------

OWN: Final = ("hardware.dev", "connection_info", "state")


def test_without_a_report_everything_that_the_printer_would_tell_is_null() -> None:
    now = Situation(traits=P1S, connected=False, view=None, link_error=Unreachable("Nobody answers."))
    data = status_data(now, replace(LINK, is_online=False, last_report=None, firmware=None), NO_PROCESS, View({}, P1S))
    found = dict(leaves(data["machines"][0]))
    told = {path: value for path, value in found.items() if not path.startswith(OWN) and value not in (None, [])}
    assert told == {"camera.kind": "jpeg"}
    assert found["connection_info.wifi_signal_dbm"] is found["connection_info.developer_mode"] is None
    assert [found[f"state.homed.{axis}"] for axis in "xyz"] == [None, None, None]


@given(st.data(), st.sampled_from(["P1S", "A1 mini"]))
def test_what_is_not_reported_is_never_made_up(data: st.DataObject, name: str) -> None:
    report, traits = WHOLE_REPORTS[name]
    before = dict(leaves(machine(report, traits)))
    gone = data.draw(st.sets(st.sampled_from(sorted(report)), max_size=8))
    after = dict(leaves(machine({key: value for key, value in report.items() if key not in gone}, traits)))
    for path, value in after.items():
        if not path.startswith("state.") and value not in (None, [], {}):
            assert value == before.get(path), (path, gone)


NUMBERS: Final = {
    "mc_percent": "current.print_percent",
    "mc_remaining_time": "current.print_time_left",
    "layer_num": "current.curr_layer",
    "total_layer_num": "current.total_layers",
    "gcode_file_prepare_percent": "current.prepare_percent",
    "mc_print_stage": "current.print_stage",
    "mc_print_sub_stage": "current.print_sub_stage",
    "spd_lvl": "current.speed_level",
    "nozzle_temper": "current.temperatures.nozzle_temp",
    "nozzle_target_temper": "current.temperatures.nozzle_temp_target",
    "bed_temper": "current.temperatures.bed_temp",
    "bed_target_temper": "current.temperatures.bed_temp_target",
    "heatbreak_fan_speed": "current.cooling.heatbreak_fan_speed",
    "fan_gear": "current.cooling.fan_gear",
    "nozzle_diameter": "hardware.nozzle_diameter",
    "wifi_signal": "connection_info.wifi_signal_dbm",
}


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [None, "", "warm", [], {}, True, "NaN"], ids=repr)
def test_a_number_that_cannot_be_read_is_null_and_spoils_nothing_else(key: str, value: object) -> None:
    good, bad = machine(p1s()), machine(p1s(**{key: value}))
    assert at(bad, NUMBERS[key]) is None
    others = {"fan_gear": "current.cooling", "nozzle_diameter": "current.nozzles", "nozzle": "current.nozzles"}
    related = (NUMBERS[key], *(path for name, path in others.items() if key.startswith(name)))
    same = {path: value for path, value in leaves(good) if not path.startswith(related)}
    assert same == {path: value for path, value in leaves(bad) if not path.startswith(related)}


@pytest.mark.parametrize("key", NUMBERS)
def test_a_zero_that_was_told_is_a_zero(key: str) -> None:
    zero = "0dBm" if key == "wifi_signal" else 0
    assert at(machine(p1s(**{key: zero})), NUMBERS[key]) == 0


# -- what each value means -------------------------------------------------------------------------

RUNNING: Final = {"gcode_state": "RUNNING"}
AMS: Final = p1s()["ams"]


def ams(**unit: Any) -> Fields:
    return {"ams": AMS | {"ams": [AMS["ams"][0] | unit]}}


# fmt: off
MEANINGS: Final[list[tuple[Fields, str, object]]] = [
    ({"nozzle_temper": 219.6}, "current.temperatures.nozzle_temp", 220),
    ({"nozzle_temper": "219.4"}, "current.nozzles.0.temp", 219),
    ({"bed_target_temper": 60.0}, "current.temperatures.bed_temp_target", 60),
    ({"mc_remaining_time": 25}, "current.print_time_left", 1500),
    ({"mc_remaining_time": "25"}, "current.print_time_left", 1500),
    ({"mc_remaining_time": -1}, "current.print_time_left", None),
    ({"mc_percent": 40, **RUNNING}, "current.print_percent", 40),
    ({"mc_percent": 100, "gcode_state": "PREPARE"}, "current.print_percent", 0),
    ({"mc_percent": 101}, "current.print_percent", None),
    ({"mc_print_stage": "2"}, "current.print_stage", 2),
    ({"gcode_file_prepare_percent": "37"}, "current.prepare_percent", 37),
    ({"gcode_file": "/data/Metadata/plate_1.gcode"}, "current.file", "/data/Metadata/plate_1.gcode"),
    ({"subtask_name": "cube"}, "current.task_name", "cube"),
    ({"task_id": "77"}, "current.task_id", "77"),
    ({"s_obj": [98, 99]}, "current.skipped_objects", [98, 99]),
    ({"print_error": 0x05004003}, "current.print_error", "0500-4003"),
    ({"print_error": 0}, "current.print_error", None),
    ({"fan_gear": 0x00FF80AA}, "current.cooling.cooling_fan_speed", 0xAA),
    ({"fan_gear": 0x00FF80AA}, "current.cooling.big_fan1_speed", 0x80),
    ({"fan_gear": 0x00FF80AA}, "current.cooling.big_fan2_speed", 0xFF),
    ({"fan_gear": 0x00FF80AA}, "current.cooling.fan_gear", 0x00FF80AA),
    ({"fan_gear": None, "cooling_fan_speed": "15"}, "current.cooling.cooling_fan_speed", 255),
    ({"fan_gear": None, "big_fan1_speed": "10"}, "current.cooling.big_fan1_speed", 170),
    ({"fan_gear": None, "big_fan2_speed": "0"}, "current.cooling.big_fan2_speed", 0),
    ({"fan_gear": None}, "current.cooling.fan_gear", None),
    ({"heatbreak_fan_speed": "15"}, "current.cooling.heatbreak_fan_speed", 255),
    ({"chamber_temper": 5}, "current.temperatures.chamber_temp", None),
    ({"chamber_temper": 5}, "current.temperatures.chamber_temp_target", None),
    ({"stg_cur": 1, **RUNNING}, "current.activity", "bed levelling"),
    ({"stg_cur": 0, **RUNNING}, "current.activity", "printing"),
    ({"stg_cur": 78, **RUNNING}, "current.activity", "stage 78"),
    ({"stg_cur": 14, "gcode_state": "PREPARE"}, "current.activity", "cleaning nozzle"),
    ({"stg_cur": 1, "gcode_state": "IDLE"}, "current.activity", None),
    ({"stg_cur": 255, **RUNNING}, "current.activity", None),
    ({"wifi_signal": "-53dBm"}, "connection_info.wifi_signal_dbm", -53),
    ({"fun": DEVELOPER_MODE_ON}, "connection_info.developer_mode", True),
    ({"fun": DEVELOPER_MODE_OFF}, "connection_info.developer_mode", False),
    ({"fun": "100d122002fbd"}, "connection_info.developer_mode", False),
    ({"fun": "4023FF18FFF9CB3"}, "connection_info.developer_mode", True),
    ({}, "connection_info.developer_mode", None),
    ({"home_flag": 0x105}, "state.homed", {"x": True, "y": False, "z": True}),
    ({"home_flag": 0}, "state.homed", {"x": None, "y": None, "z": None}),
    ({"sdcard": False, "home_flag": 7}, "storage.present", False),
    ({"sdcard": False}, "storage.present", True),
    ({"lights_report": [{"node": "work_light", "mode": "flashing"}]}, "lights", {"chamber": None, "work": "flashing"}),
    ({"ipcam": {"ipcam_dev": "0"}}, "camera", {"available": False, "kind": "jpeg", "recording": None,
                                              "timelapse": None}),
    ({"ipcam": {"ipcam_dev": "1", "ipcam_record": "enable", "timelapse": "enable"}}, "camera.recording", True),
    (ams(humidity="0"), "filament.ams.0.humidity", None),
    (ams(humidity="5"), "filament.ams.0.humidity", 5),
    (ams(humidity_raw="31"), "filament.ams.0.humidity_percent", 31),
    (ams(humidity_raw="131"), "filament.ams.0.humidity_percent", None),
    (ams(temp="22.74"), "filament.ams.0.temp", 22.7),
    (ams(temp="0.0"), "filament.ams.0.temp", None),
    (ams(temp="500"), "filament.ams.0.temp", None),
    (ams(dry_time=90, dry_setting={"dry_temperature": 55}), "filament.ams.0.drying",
     {"minutes_left": 90, "temperature": 55}),
    (ams(dry_time=0), "filament.ams.0.drying", None),
    (ams(info="2003"), "filament.ams.0.model", "AMS 2 Pro"),
    ({}, "filament.ams.0.slots.1.color", "#00FF00FF"),
    ({}, "filament.ams.0.slots.3.loaded", False),
    (ams(tray=[tray(0, remain=-1)]), "filament.ams.0.slots.0.remaining", None),
    (ams(tray=[tray(0, tag_uid="0" * 16)]), "filament.ams.0.slots.0.tag_id", None),
    ({"ams": AMS | {"tray_now": "255"}}, "filament.active_slot", None),
    ({"ams": AMS | {"tray_now": "2"}}, "filament.active_slot", {"ams_id": 0, "slot_id": 2}),
    ({"ams": AMS | {"tray_now": "7"}}, "filament.active_slot", {"ams_id": 1, "slot_id": 3}),
    ({"ams": AMS | {"tray_now": "254"}}, "filament.active_slot", {"ams_id": 254, "slot_id": 254}),
    ({"ams": AMS | {"tray_now": "129"}}, "filament.active_slot", {"ams_id": 129, "slot_id": 0}),
]
# fmt: on


@pytest.mark.parametrize(
    ("told", "path", "value"), MEANINGS, ids=[f"{path}-{value}"[:60] for _, path, value in MEANINGS]
)
def test_a_value_means_what_the_contract_says(told: Fields, path: str, value: object) -> None:
    found = at(machine(p1s(**told)), path)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("state", STATES)
def test_the_state_is_told_as_it_is_and_what_follows_from_it(state: str) -> None:
    report = in_state(state)
    found = machine(report)
    assert found["current"]["print_status"] == (report.get("gcode_state") or None)
    assert found["state"]["is_in_printing"] is (state in ACTIVE)
    assert found["state"]["is_in_prepare"] is (state in ("PREPARE", "SLICING"))
    assert found["state"]["is_printing_finished"] is (state in ("FINISH", "FAILED"))
    assert found["state"]["can_pause"] is (state == "RUNNING")
    assert found["state"]["can_resume"] is (state == "PAUSE")
    assert found["state"]["can_print"] is (state in ("IDLE", "FINISH", "FAILED"))
    assert found["state"]["can_abort"] is (state not in ("IDLE", "FINISH", "FAILED"))


def test_an_extrusion_calibration_is_told_from_a_print() -> None:
    calibration = {"print_type": "system", "gcode_file": "/usr/etc/print/extrusion_cali.gcode"}
    running = machine(p1s(**calibration, gcode_state="RUNNING"))["state"]
    assert (running["is_in_extrusion_cali"], running["is_extrusion_cali_finished"]) == (True, False)
    finished = machine(p1s(**calibration, gcode_state="FINISH"))["state"]
    assert (finished["is_in_extrusion_cali"], finished["is_extrusion_cali_finished"]) == (False, True)
    print_ = machine(p1s(gcode_state="RUNNING", print_type="local"))["state"]
    assert (print_["is_in_extrusion_cali"], print_["is_extrusion_cali_finished"]) == (False, False)


def test_two_nozzles_are_told_apart_and_the_active_one_counts() -> None:
    found = machine(h2d(), H2D)
    assert found["current"]["nozzles"] == [
        {"id": 0, "temp": 219, "temp_target": 220, "diameter": 0.4, "type": "HS01"},
        {"id": 1, "temp": 30, "temp_target": 0, "diameter": 0.4, "type": "HH01"},
    ]
    assert found["current"]["temperatures"]["nozzle_temp"] == 219
    left = h2d()
    left["device"]["extruder"]["state"] = 0x12
    assert machine(left, H2D)["current"]["temperatures"]["nozzle_temp"] == 30
    assert machine(left, H2D)["hardware"]["nozzle_type"] == "HH01"


def test_a_heated_chamber_is_unpacked() -> None:
    temperatures = machine(h2d(), H2D)["current"]["temperatures"]
    assert (temperatures["chamber_temp"], temperatures["chamber_temp_target"]) == (25, 45)


def test_health_is_sorted_by_severity() -> None:
    report = p1s(
        print_error=0x05004003,
        hms=[
            {"attr": 0x03000100, "code": 0x00010001},
            {"attr": 0x07000200, "code": 0x00030002},
            {"attr": 0x0C000300, "code": 0x00040003},
        ],
    )
    health = machine(report)["health"]
    assert [each["code"] for each in health["errors"]] == ["0500-4003", "0300-0100-0001-0001"]
    assert [each["code"] for each in health["warnings"]] == ["0700-0200-0003-0002"]
    assert [each["code"] for each in health["infos"]] == ["0C00-0300-0004-0003"]
    assert health["errors"][0].keys() == {"code", "message", "severity", "module", "url"}


# -- the link and the job --------------------------------------------------------------------------


def test_the_link_is_told_as_it_is() -> None:
    found = machine(p1s(), link=replace(LINK, is_connecting=True, is_online=False, verified=False, reconnects=7))
    told = found["connection_info"]
    assert (told["dev_id"], told["dev_ip"], told["dev_name"]) == (LINK.serial, LINK.host, LINK.name)
    assert (told["is_connecting"], told["is_online"], told["verified"], told["reconnects"]) == (True, False, False, 7)
    assert (told["is_local"], told["dev_connection_type"], told["ftp_folder"]) == (True, "lan", "")
    assert told["last_report"] == LINK.last_report


def test_the_hardware_is_that_of_the_model() -> None:
    assert machine(p1s())["hardware"] == {
        "dev_model": "C12",
        "dev_display_name": "Bambu Lab P1S",
        "dev_name": "Left P1S",
        "nozzle_diameter": 0.4,
        "nozzle_type": "hardened_steel",
        "firmware": "01.08.02.00",
    }


def test_a_printer_that_is_gone_keeps_its_last_values_and_can_do_nothing() -> None:
    shown = View(p1s(gcode_state="RUNNING", mc_percent=40), P1S)
    now = Situation(traits=P1S, connected=False, view=None)
    data = status_data(now, replace(LINK, is_online=False), NO_PROCESS, shown)
    found = data["machines"][0]
    assert (found["current"]["print_status"], found["current"]["print_percent"]) == ("RUNNING", 40)
    assert found["connection_info"]["is_connected"] is False
    assert [found["state"][key] for key in ("can_print", "can_resume", "can_pause", "can_abort")] == [False] * 4
    assert data["process"]["can_process_job"] is False


def test_without_a_job_the_process_is_idle() -> None:
    assert status(p1s())["process"] == {
        "can_process_job": True,
        "job_id": None,
        "job_state": "idle",
        "job_machine": LINK.serial,
        "job_local_file": None,
        "job_progress": 0,
        "bed_level": None,
        "flow_calibr": None,
        "bed_type": None,
        "use_ams": None,
    }


def test_a_job_is_told_with_its_options() -> None:
    process = Process(
        stage="upload",
        percent=63,
        job_id="j-7",
        print_job_id=None,
        file="cube-2s.gcode.3mf",
        options=StartOptions(bed_type="hot_plate", do_bed_leveling=True, do_flow_cali=False),
        use_ams=True,
    )
    data = status(p1s(), process=process, job_under_way=True)
    assert misfits(data, STATUS) == []
    assert data["process"] == {
        "can_process_job": False,
        "job_id": "j-7",
        "job_state": "upload",
        "job_machine": LINK.serial,
        "job_local_file": "cube-2s.gcode.3mf",
        "job_progress": 63,
        "bed_level": True,
        "flow_calibr": False,
        "bed_type": "hot_plate",
        "use_ams": True,
    }
    assert data["machines"][0]["current"]["job_id"] is None


def test_the_prints_job_id_outlives_the_process() -> None:
    data = status(p1s(gcode_state="RUNNING"), process=Process(print_job_id="j-7"))
    assert data["process"]["job_id"] is None
    assert data["machines"][0]["current"]["job_id"] == "j-7"


def can(order: Any, now: Situation) -> bool:
    try:
        plan(order, now)
    except ConnectorError:
        return False
    return True


@given(any_situation())
def test_what_can_be_done_is_what_would_be_done(now: Situation) -> None:
    data = status_data(now, LINK, NO_PROCESS, now.view or View({}, now.traits))
    state = data["machines"][0]["state"]
    assert state["can_pause"] is can(orders.PausePrint(), now)
    assert state["can_resume"] is can(orders.ResumePrint(), now)
    assert state["can_abort"] is can(orders.StopPrint(), now)
    assert state["can_print"] is data["process"]["can_process_job"]


# -- folded or in full -----------------------------------------------------------------------------


def test_ten_thousand_deltas_lead_to_the_status_of_the_same_state_told_in_full() -> None:
    life = Life(seed=7)
    folded = fold(None, deepcopy(life.report))
    for number in range(10_000):
        folded = fold(folded, deepcopy(life.step()))
        if number % 500 == 499:
            assert folded is not None
            assert status(folded) == status(deepcopy(life.report)), number


# -- written anew or kept --------------------------------------------------------------------------


PROCESSES: Final = (NO_PROCESS, Process(stage="upload", percent=50, job_id="j-7"), Process(print_job_id="j-7"))


@given(st.lists(st.tuples(any_situation(), st.sampled_from(PROCESSES), st.booleans()), max_size=5))
def test_what_a_writer_has_kept_is_what_it_would_write_anew(steps: list[tuple[Situation, Process, bool]]) -> None:
    writer, shown = StatusWriter(), View({}, P1S)
    for now, process, is_repeated in [*steps, *steps]:
        if now.view is not None:
            shown = View(deepcopy(now.view.report), now.traits) if is_repeated else now.view
            now = replace(now, view=shown)  # noqa: PLW2901
        kept, anew = writer.write(now, LINK, process, shown), status_data(now, LINK, process, shown)
        assert json.dumps(kept) == json.dumps(anew)


OTHER_VALUES: Final[tuple[object, ...]] = (
    None, 0, 1, 7, "RUNNING", "system", "/usr/etc/print/extrusion_cali.gcode", DEVELOPER_MODE_OFF, "disable", [],
    False, {"dis_state": 2}, {"info": []}, [{"node": "chamber_light", "mode": "off"}],
)  # fmt: skip


@pytest.mark.parametrize("name", ["P1S, invented", "H2D, invented", "X1C"])
def test_a_writer_sees_every_single_field_that_changes(name: str) -> None:
    report, traits = WHOLE_REPORTS[name]
    writer = StatusWriter()

    def written(told: Fields) -> Any:
        view = View(told, traits)
        now = Situation(traits=traits, connected=True, view=view, developer_mode=view.developer_mode, report_age=0.0)
        return writer.write(now, LINK, NO_PROCESS, view)

    for key in sorted(report.keys() | {"fun", "aux", "3D", "ctt", "vir_slot", "device"}):
        for value in OTHER_VALUES:
            written(report)
            told = report | {key: value}
            assert written(told) == status(told, traits), (key, value)


def test_a_writer_keeps_up_with_a_thousand_deltas_and_never_changes_what_it_wrote() -> None:
    life, writer = Life(seed=11), StatusWriter()
    folded = fold(None, deepcopy(life.report))
    written: list[tuple[Any, str]] = []
    for number in range(1000):
        folded = fold(folded, deepcopy(life.step()))
        assert folded is not None
        view = View(folded, P1S)
        now = Situation(traits=P1S, connected=True, view=view, report_age=0.0)
        data = writer.write(now, LINK, NO_PROCESS, view)
        assert json.dumps(data) == json.dumps(status(deepcopy(folded))), number
        written.append((data, json.dumps(data)))
    assert all(json.dumps(data) == before for data, before in written)


def test_a_writer_does_not_write_again_what_has_not_changed() -> None:
    writer = StatusWriter()

    def written(report: Fields) -> Any:
        view = View(report, P1S)
        now = Situation(traits=P1S, connected=True, view=view, report_age=0.0)
        return writer.write(now, LINK, NO_PROCESS, view)["machines"][0]

    first, warmer, repeated = written(p1s()), written(p1s(bed_temper=60.0)), written(p1s(bed_temper=60.0))
    assert first["filament"]["ams"] is warmer["filament"]["ams"]
    assert first["current"]["temperatures"] != warmer["current"]["temperatures"]
    assert warmer["current"]["temperatures"] is repeated["current"]["temperatures"]


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), 1e300, -1e300, "1e300", "9" * 5000, [{"id": 1e300}]])
def test_no_number_of_a_report_is_more_than_every_reader_can_read(value: object) -> None:
    for report, traits in ((p1s(), P1S), (h2d(), H2D)):
        for path in places(report):
            orjson.dumps(status(replaced(report, path, value), traits))


def test_a_developer_mode_that_was_learned_shows_at_once_in_what_can_be_done() -> None:
    writer, view = StatusWriter(), View(p1s(), P1S)
    for mode in (None, False, True):
        now = Situation(traits=P1S, connected=True, view=view, developer_mode=mode, report_age=0.0)
        data = writer.write(now, LINK, NO_PROCESS, view)
        found = data["machines"][0]
        assert found["connection_info"]["developer_mode"] is mode
        assert found["state"]["can_print"] is data["process"]["can_process_job"] is (mode is not False)
