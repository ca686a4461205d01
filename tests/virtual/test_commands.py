"""What each request does, and how it is answered."""

from typing import Any

import pytest

from bambu_connector.virtual.models import MODELS
from tests.virtual.bench import NAME, Bench
from tests.virtual.test_printer import LIGHT_TIMING


def result_of(bench: Bench, group: str, command: str, **fields: Any) -> str:
    reply = bench.send(group, command, **fields)
    assert reply is not None
    assert reply["command"] == command
    return str(reply["result"])


def test_the_reply_repeats_what_was_asked() -> None:
    bench = Bench()
    assert bench.send("print", "gcode_line", param="G28\n") == {
        "command": "gcode_line", "param": "G28\n", "sequence_id": "20009", "result": "success", "reason": "",
    }  # fmt: skip


def test_an_x1_shouts_its_results() -> None:
    assert result_of(Bench("X1C"), "print", "gcode_line", param="G28\n") == "SUCCESS"


def test_an_unknown_command_fails() -> None:
    assert result_of(Bench(), "print", "make_coffee") == "fail"


def test_requests_are_kept_for_tests() -> None:
    bench = Bench()
    bench.send("print", "pause")
    assert bench.machine.requests == [{"print": {"sequence_id": "20009", "command": "pause"}}]


def test_homing_takes_a_while_and_shows_in_home_flag() -> None:
    bench = Bench()
    assert result_of(bench, "print", "gcode_line", param="G28\n") == "success"
    assert bench.field("home_flag") & 0b111 == 0
    bench.pass_time(21)
    assert bench.field("home_flag") & 0b111 == 0b111
    result_of(bench, "print", "gcode_line", param="M84\n")
    assert bench.field("home_flag") & 0b111 == 0


def test_lines_without_a_newline_are_refused() -> None:
    assert result_of(Bench(), "print", "gcode_line", param="G28") == "fail"


@pytest.mark.parametrize("model", MODELS)
def test_heating_is_believable(model: str) -> None:
    bench = Bench(model)
    result_of(bench, "print", "gcode_line", param="M104 S200\nM140 S60\n")
    assert (bench.field("nozzle_target_temper"), bench.field("bed_target_temper")) == (200, 60)
    bench.pass_time(10)
    assert 25 < bench.field("bed_temper") < 60
    assert 50 < bench.field("nozzle_temper") < 60
    bench.pass_time(120)
    assert (bench.field("nozzle_temper"), bench.field("bed_temper")) == (200, 60)


def test_a_target_beyond_the_limit_is_clamped() -> None:
    bench = Bench("A1 mini")
    result_of(bench, "print", "gcode_line", param="M104 S999\nM140 S999\n")
    assert (bench.field("nozzle_target_temper"), bench.field("bed_target_temper")) == (300, 80)


def test_an_h2d_reports_packed_temperatures_of_both_nozzles() -> None:
    bench = Bench("H2D")
    assert result_of(bench, "print", "set_nozzle_temp", extruder_index=1, target_temp=210) == "success"
    assert result_of(bench, "print", "set_nozzle_temp", extruder_index=2, target_temp=210) == "fail"
    result_of(bench, "print", "gcode_line", param="M104 S100 T0\nM140 S60\n")
    right, left = bench.field("device", "extruder", "info")
    assert (right["temp"] >> 16, left["temp"] >> 16) == (100, 210)
    assert bench.field("device", "bed", "info", "temp") >> 16 == 60
    assert result_of(bench, "print", "select_extruder", extruder_index=1) == "success"
    assert bench.field("device", "extruder", "state") >> 4 & 0xF == 1
    bench.send("pushing", "pushall")
    assert bench.field("nozzle_target_temper") == 210


def test_the_chamber_of_an_h2d() -> None:
    bench = Bench("H2D")
    assert result_of(bench, "print", "set_ctt", ctt_val=50) == "success"
    bench.pass_time(200)
    assert bench.field("device", "ctc", "info", "temp") == 50 << 16 | 50
    result_of(bench, "print", "set_ctt", ctt_val=39)
    assert bench.field("device", "ctc", "info", "temp") >> 16 == 0
    result_of(bench, "print", "gcode_line", param="M145 P1\nM141 S55\n")
    assert bench.field("device", "ctc", "info", "temp") >> 16 == 55
    assert bench.field("device", "airduct", "modeCur") == 1
    assert result_of(Bench("P1S"), "print", "set_ctt", ctt_val=50) == "fail"


def test_fans() -> None:
    bench = Bench()
    result_of(bench, "print", "gcode_line", param="M106 P1 S255\nM106 P2 S128\nM106 P3 S51\n")
    assert [bench.field(f) for f in ("cooling_fan_speed", "big_fan1_speed", "big_fan2_speed")] == ["15", "8", "3"]
    assert bench.field("fan_gear") == 51 << 16 | 128 << 8 | 255
    small = Bench("A1 mini")
    result_of(small, "print", "gcode_line", param="M106 P2 S255\n")
    assert small.field("big_fan1_speed") == "0"


def test_fans_and_airduct_by_json() -> None:
    bench = Bench("H2D")
    assert result_of(bench, "print", "set_fan", fan_index=2, speed=255) == "success"
    assert [part["state"] for part in bench.field("device", "airduct", "parts")] == [0, 100, 0, 0]
    assert result_of(bench, "print", "set_airduct", modeId=1, submode=-1) == "success"
    assert bench.field("device", "airduct", "modeCur") == 1
    assert result_of(Bench(), "print", "set_fan", fan_index=2, speed=255) == "fail"
    assert result_of(Bench(), "print", "set_airduct", modeId=1, submode=-1) == "fail"


@pytest.mark.parametrize(
    ("model", "node", "expected"),
    [
        ("P1S", "chamber_light", "success"),
        ("P1S", "work_light", "fail"),
        ("X1C", "work_light", "SUCCESS"),
        ("H2D", "heatbed_light", "success"),
    ],
)
def test_lights(model: str, node: str, expected: str) -> None:
    bench = Bench(model)
    assert result_of(bench, "system", "ledctrl", led_node=node, led_mode="off", **LIGHT_TIMING) == expected
    modes = {light["node"]: light["mode"] for light in bench.field("lights_report")}
    assert modes.get(node, "off") == "off"


def test_a_light_needs_its_timing() -> None:
    assert result_of(Bench(), "system", "ledctrl", led_node="chamber_light", led_mode="off") == "fail"


def test_the_chamber_light_shows_in_cfg() -> None:
    bench = Bench("H2D")
    for mode, bit in (("off", 0), ("on", 1)):
        result_of(bench, "system", "ledctrl", led_node="chamber_light", led_mode=mode, **LIGHT_TIMING)
        assert int(bench.field("cfg"), 16) >> 7 & 1 == bit


def test_speed_changes_only_while_printing_and_changes_the_pace() -> None:
    bench = Bench()
    assert result_of(bench, "print", "print_speed", param="4") == "success"
    assert bench.field("spd_lvl") == 2
    bench.start()
    bench.until_state("RUNNING")
    assert result_of(bench, "print", "print_speed", param="4") == "success"
    assert (bench.field("spd_lvl"), bench.field("spd_mag")) == (4, 166)
    began = bench.now
    bench.until_state("FINISH")
    assert bench.now - began == pytest.approx(120 / 1.66, abs=2)


@pytest.mark.parametrize("param", [4, "5", "", None])
def test_a_speed_that_cannot_be(param: object) -> None:
    assert result_of(Bench(), "print", "print_speed", param=param) == "fail"


def test_skipping_objects() -> None:
    bench = Bench()
    assert result_of(bench, "print", "skip_objects", obj_list=[98]) == "fail"
    bench.start()
    bench.until_state("RUNNING")
    assert result_of(bench, "print", "skip_objects", obj_list=[98]) == "success"
    assert result_of(bench, "print", "skip_objects", obj_list=[98, 104]) == "success"
    assert bench.field("s_obj") == [98, 104]
    assert result_of(bench, "print", "skip_objects", obj_list=["98"]) == "fail"


def test_a_calibration_runs_its_stages_as_a_system_print() -> None:
    bench = Bench()
    assert result_of(bench, "print", "calibration", option=0) == "fail"
    assert result_of(bench, "print", "calibration", option=2 | 4 | 8) == "success"
    assert (bench.field("gcode_state"), bench.field("print_type")) == ("RUNNING", "system")
    assert result_of(bench, "print", "calibration", option=2) == "fail"
    bench.until_state("FINISH")
    assert bench.seen("stg_cur") == [1, 3, 25, 255]
    assert bench.field("total_layer_num") == 0


def test_a_plain_gcode_file() -> None:
    bench = Bench()
    bench.shelf.files["part.gcode"] = b"G28\n"
    assert result_of(bench, "print", "gcode_file", param="/sdcard/none.gcode") == "fail"
    assert result_of(bench, "print", "gcode_file", param="/sdcard/part.gcode") == "success"
    assert bench.field("subtask_name") == "part.gcode"
    assert result_of(bench, "print", "gcode_file", param="part.gcode") == "fail"
    bench.until_state("FINISH")


def test_loading_and_unloading_filament() -> None:
    bench = Bench()
    load = {"ams_id": 0, "slot_id": 2, "target": 2, "curr_temp": -1, "tar_temp": -1}
    assert result_of(bench, "print", "ams_change_filament", **load) == "success"
    assert bench.field("nozzle_target_temper") == 255
    bench.pass_time(61)
    assert (bench.field("ams", "tray_now"), bench.field("hw_switch_state")) == ("2", 1)
    assert [status & 0xFF for status in bench.seen("ams_status")] == [2, 4, 3, 7, 0]
    unload = {"ams_id": 0, "slot_id": 255, "target": 255, "curr_temp": 210, "tar_temp": 210}
    assert result_of(bench, "print", "ams_change_filament", **unload) == "success"
    bench.pass_time(61)
    assert (bench.field("ams", "tray_now"), bench.field("ams", "tray_pre")) == ("255", "2")


def test_the_external_spool_can_be_loaded() -> None:
    bench = Bench("H2D")
    load = {"ams_id": 255, "slot_id": 0, "target": 255, "curr_temp": 210, "tar_temp": 210}
    assert result_of(bench, "print", "ams_change_filament", **load) == "success"
    bench.pass_time(61)
    assert bench.field("ams", "tray_now") == "254"
    assert bench.field("device", "extruder", "info")[0]["snow"] == 0xFF00
    assert result_of(bench, "print", "unload_filament") == "success"
    bench.pass_time(61)
    assert bench.field("device", "extruder", "info")[0]["snow"] == 0xFFFF


def test_an_empty_slot_cannot_be_loaded_nor_anything_during_a_print() -> None:
    bench = Bench()
    assert result_of(bench, "print", "ams_change_filament", ams_id=0, slot_id=3, target=3, tar_temp=-1) == "fail"
    bench.start()
    assert result_of(bench, "print", "ams_change_filament", ams_id=0, slot_id=1, target=1, tar_temp=-1) == "fail"


def test_a_tag_is_read_only_when_nothing_is_loaded() -> None:
    bench = Bench()
    assert result_of(bench, "print", "ams_get_rfid", ams_id=0, slot_id=1) == "success"
    assert (bench.field("ams_status"), bench.field("ams", "tray_reading_bits")) == (0x0200, "2")
    bench.pass_time(16)
    assert (bench.field("ams_status"), bench.field("ams", "tray_reading_bits")) == (0, "0")
    result_of(bench, "print", "ams_change_filament", ams_id=0, slot_id=1, target=1, tar_temp=-1)
    bench.pass_time(61)
    assert result_of(bench, "print", "ams_get_rfid", ams_id=0, slot_id=1) == "fail"


def test_a_tag_is_read_by_gcode_on_older_firmware() -> None:
    bench = Bench("A1 mini")
    result_of(bench, "print", "gcode_line", param="M620 R2\n")
    assert bench.field("ams", "tray_reading_bits") == "4"


@pytest.mark.parametrize("model", MODELS)
def test_a_slot_is_described(model: str) -> None:
    bench = Bench(model)
    setting = {
        "ams_id": 0, "slot_id": 1, "tray_id": 1, "tray_info_idx": "GFL99", "tray_color": "00FF00FF",
        "nozzle_temp_min": 190, "nozzle_temp_max": 240, "tray_type": "PLA",
    }  # fmt: skip
    assert result_of(bench, "print", "ams_filament_setting", **setting).lower() == "success"
    tray = bench.field("ams", "ams")[0]["tray"][1]
    assert (tray["tray_info_idx"], tray["tray_color"], tray["nozzle_temp_max"]) == ("GFL99", "00FF00FF", "240")
    empty = {**setting, "slot_id": 3, "tray_id": 3}
    assert result_of(bench, "print", "ams_filament_setting", **empty).lower() == "fail"
    external = {**setting, "ams_id": 255, "slot_id": 0, "tray_id": 254}
    assert result_of(bench, "print", "ams_filament_setting", **external).lower() == "success"
    spools = [each for each in [*(bench.field("vir_slot") or ()), bench.field("vt_tray")] if each is not None]
    assert [spool["tray_color"] for spool in spools].count("00FF00FF") == 1


def test_drying_is_for_units_that_can() -> None:
    bench = Bench("H2D")
    drying = {"ams_id": 0, "mode": 1, "temp": 55, "duration": 4}
    assert result_of(bench, "print", "ams_filament_drying", **drying) == "success"
    assert bench.field("ams", "ams")[0]["dry_time"] == 240
    assert result_of(Bench(), "print", "ams_filament_drying", **drying) == "fail"


@pytest.mark.parametrize("option", ["auto_recovery", "sound_enable", "nozzle_blob_detect", "auto_switch_filament"])
def test_options_show_in_home_flag(option: str) -> None:
    bench = Bench()
    result_of(bench, "print", "print_option", **{option: True})
    on = bench.field("home_flag")
    result_of(bench, "print", "print_option", **{option: False})
    assert (on ^ bench.field("home_flag")).bit_count() == 1


def test_camera_settings() -> None:
    bench = Bench("X1C")
    result_of(bench, "camera", "ipcam_record_set", control="disable")
    result_of(bench, "camera", "ipcam_timelapse", control="enable")
    result_of(bench, "camera", "ipcam_resolution_set", resolution="720p")
    ipcam = bench.field("ipcam")
    assert (ipcam["ipcam_record"], ipcam["timelapse"], ipcam["resolution"]) == ("disable", "enable", "720p")
    result_of(bench, "xcam", "xcam_control_set", module_name="spaghetti_detector", control=False, enable=False)
    assert bench.field("xcam", "spaghetti_detector") is False


def test_the_nozzle_is_described() -> None:
    bench = Bench()
    result_of(
        bench, "system", "set_accessories", accessory_type="nozzle", nozzle_diameter=0.6, nozzle_type="hardened_steel"
    )
    assert (bench.field("nozzle_diameter"), bench.field("nozzle_type")) == ("0.6", "hardened_steel")


def test_jogging_by_json() -> None:
    bench = Bench("H2D")
    assert result_of(bench, "print", "xyz_ctrl", axis="Y", dir=-1, mode=1) == "success"
    assert bench.machine.rig.body.position["Y"] == -10
    assert result_of(bench, "print", "xyz_ctrl", axis="E", dir=-1, mode=1) == "fail"
    assert result_of(bench, "print", "back_to_center") == "success"
    bench.pass_time(21)
    assert bench.field("home_flag") & 0b111 == 0b111


def test_a_name_on_the_shelf_is_not_enough_for_a_climbing_path() -> None:
    bench = Bench()
    assert result_of(bench, "print", "gcode_file", param=f"../{NAME}") == "fail"
