"""The virtual printer as a whole: reports, a print from its start to its end, and each of its faults."""

import pytest

from bambu_connector.virtual.job import CANCELLED, RAN_OUT, READ_FAILED
from bambu_connector.virtual.models import MODELS
from bambu_connector.virtual.printer import SIGNATURE_MISSING
from bambu_connector.virtual.project import BUSY, CANNOT_PARSE
from bambu_connector.virtual.report import Fields
from tests.virtual.bench import NAME, Bench

EVERY_MODEL = pytest.mark.parametrize("model", MODELS)


def fold(base: Fields, delta: Fields) -> Fields:
    """Merge objects, replace everything else."""
    merged = dict(base)
    for key, value in delta.items():
        old = merged.get(key)
        merged[key] = fold(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def full_report(bench: Bench) -> Fields:
    bench.take_said()
    assert bench.send("pushing", "pushall") is None
    (status,) = bench.statuses()
    bench.take_said()
    return status


# -- reports ---------------------------------------------------------------------------------------


@EVERY_MODEL
def test_pushall_is_answered_with_everything(model: str) -> None:
    status = full_report(Bench(model))
    assert len(status) > 60
    assert status["gcode_state"] == "IDLE"
    assert status["ams"]["tray_exist_bits"] == "7"
    assert [len(tray) > 1 for tray in status["ams"]["ams"][0]["tray"]] == [True, True, True, False]


def test_an_x1_says_everything_without_msg_each_time_something_changes() -> None:
    bench = Bench("X1C")
    assert "msg" not in full_report(bench)
    bench.send("print", "gcode_line", param="M140 S60\n")
    (status,) = bench.statuses()
    assert status["bed_target_temper"] == 60
    assert len(status) > 60
    assert "msg" not in status


@pytest.mark.parametrize("model", ["P1S", "A1 mini", "H2D"])
def test_other_models_say_only_what_has_changed(model: str) -> None:
    bench = Bench(model)
    assert full_report(bench)["msg"] == 0
    bench.send("print", "gcode_line", param="M140 S60\n")
    (status,) = bench.statuses()
    assert status["msg"] == 1
    assert status["bed_target_temper"] == 60
    assert len(status) < 8


@pytest.mark.parametrize(("model", "negative"), [("P1S", False), ("A1 mini", False), ("X1C", True), ("H2D", True)])
def test_home_flag_is_negative_where_real_ones_say_so_and_starts_unhomed(model: str, negative: bool) -> None:
    flag = full_report(Bench(model))["home_flag"]
    assert (flag < 0) is negative
    assert flag & 0b111 == 0
    assert flag >> 8 & 0b11 == 1


def test_an_idle_printer_still_says_something_now_and_then() -> None:
    bench = Bench()
    bench.pass_time(21)
    assert len(bench.statuses()) == 5


def test_a_printer_that_was_told_to_stop_pushing_is_quiet_until_it_is_told_to_start() -> None:
    bench = Bench()
    bench.send("pushing", "stop")
    bench.pass_time(20)
    assert not bench.statuses()
    bench.send("pushing", "start")
    bench.pass_time(20)
    assert bench.statuses()


@EVERY_MODEL
def test_get_version_tells_serial_and_firmware(model: str) -> None:
    reply = Bench(model).send("info", "get_version")
    assert reply is not None
    (ota,) = [module for module in reply["module"] if module["name"] == "ota"]
    assert ota["sn"] == "01P00A000000001"
    assert ota["sw_ver"].count(".") == 3


@EVERY_MODEL
def test_the_deltas_of_a_whole_print_fold_into_what_it_says_in_full(model: str) -> None:
    bench = Bench(model, speed=10)
    folded = full_report(bench)
    bench.start()
    bench.until_state("FINISH")
    bench.send("system", "ledctrl", led_node="chamber_light", led_mode="off", **LIGHT_TIMING)
    for status in bench.statuses():
        folded = fold(folded, status)
    assert {**folded, "msg": 0, "sequence_id": ""} == {**full_report(bench), "msg": 0, "sequence_id": ""}


LIGHT_TIMING = {"led_on_time": 500, "led_off_time": 500, "loop_times": 1, "interval_time": 1000}


# -- a print ---------------------------------------------------------------------------------------


@EVERY_MODEL
def test_a_print_prepares_heats_runs_and_finishes(model: str) -> None:
    bench = Bench(model)
    reply = bench.start()
    assert reply is not None
    assert reply["result"].lower() == "success"
    assert reply["url"] == f"ftp://{NAME}"
    bench.until_state("FINISH")
    assert bench.seen("gcode_state")[-3:] == ["PREPARE", "RUNNING", "FINISH"]
    stages = [stage for stage in bench.seen("stg_cur") if stage not in (-1, 255)]
    assert stages == [2, 13, 7, 4, 14, 1, 0]
    assert bench.field("mc_percent") == 100
    assert bench.field("layer_num") == bench.field("total_layer_num") == 4
    assert bench.field("mc_remaining_time") == 0
    assert bench.field("home_flag") & 0b111 == 0b111
    assert bench.field("subtask_id") == bench.field("task_id") == "4711"
    assert bench.field("subtask_name") == "bracket"
    assert bench.field("ams", "tray_now") == "0"
    assert bench.field("nozzle_target_temper") == bench.field("bed_target_temper") == 0
    (started,) = bench.machine.starts
    assert (started.file, started.title, started.ids["task_id"]) == (NAME, "bracket", "4711")


def test_the_first_layer_waits_for_the_heaters() -> None:
    bench = Bench()
    bench.start()
    bench.until_state("RUNNING")
    assert bench.field("nozzle_temper") >= 219
    assert bench.field("bed_temper") >= 54


def test_progress_counts_up_and_the_minutes_count_down() -> None:
    bench = Bench()
    bench.start()
    bench.until_state("RUNNING")
    assert bench.field("mc_percent") == 0
    bench.take_said()
    bench.until_state("FINISH")
    percents, minutes, layers = (bench.seen(key) for key in ("mc_percent", "mc_remaining_time", "layer_num"))
    assert percents == sorted(percents)
    assert minutes == sorted(minutes, reverse=True)
    assert layers == [2, 3, 4]


def test_prepare_still_shows_the_progress_of_the_print_before() -> None:
    bench = Bench(speed=20)
    bench.start()
    bench.until_state("FINISH")
    bench.start()
    assert bench.field("gcode_state") == "PREPARE"
    assert bench.field("mc_percent") == 100


def test_a_print_lasts_as_long_as_its_file_says_divided_by_the_speed() -> None:
    bench = Bench(speed=10)
    bench.start()
    bench.until_state("RUNNING")
    began = bench.now
    bench.until_state("FINISH")
    assert bench.now - began == pytest.approx(12, abs=1)


def test_a_tick_that_covers_a_whole_print_still_reports_every_state() -> None:
    bench = Bench()
    bench.start()
    bench.pass_time(7200, tick=7200)
    assert bench.seen("gcode_state") == ["PREPARE", "RUNNING", "FINISH"]


def test_pause_and_resume() -> None:
    bench = Bench()
    bench.start()
    assert bench.send("print", "pause", param="")["result"] == "fail"  # type: ignore[index]
    bench.until_state("RUNNING")
    assert bench.send("print", "pause", param="")["result"] == "success"  # type: ignore[index]
    assert (bench.field("gcode_state"), bench.field("stg_cur")) == ("PAUSE", 16)
    percent = bench.field("mc_percent")
    bench.pass_time(600)
    assert bench.field("mc_percent") == percent
    assert bench.send("print", "resume", param="")["result"] == "success"  # type: ignore[index]
    assert (bench.field("gcode_state"), bench.field("stg_cur")) == ("RUNNING", 0)
    bench.until_state("FINISH")


def test_resume_is_refused_when_nothing_is_paused() -> None:
    assert Bench().send("print", "resume", param="")["result"] == "fail"  # type: ignore[index]


@pytest.mark.parametrize("state", ["PREPARE", "RUNNING", "PAUSE"])
def test_stop_ends_in_failed_with_a_code_that_goes_away(state: str) -> None:
    bench = Bench()
    bench.start()
    if state != "PREPARE":
        bench.until_state("RUNNING")
    if state == "PAUSE":
        bench.send("print", "pause", param="")
    bench.take_said()
    assert bench.send("print", "stop", param="")["result"] == "success"  # type: ignore[index]
    assert bench.field("gcode_state") == "FAILED"
    bench.pass_time(600)
    assert bench.seen("print_error") == [CANCELLED, 0]
    assert bench.field("gcode_state") == "FAILED"


def test_stop_is_refused_when_nothing_is_active() -> None:
    assert Bench().send("print", "stop", param="")["result"] == "fail"  # type: ignore[index]


def test_a_file_may_be_deleted_once_its_print_runs_and_not_before() -> None:
    bench = Bench()
    bench.start()
    bench.until_state("RUNNING")
    del bench.shelf.files[NAME]
    bench.until_state("FINISH")
    bench.shelf.files[NAME] = bench.content
    bench.start()
    del bench.shelf.files[NAME]
    bench.until_state("FAILED")
    assert bench.field("print_error") == READ_FAILED


def test_a_print_can_be_started_at_the_screen_but_not_over_another() -> None:
    bench = Bench()
    bench.said += bench.machine.start_at_screen("By hand", bench.now)
    assert bench.seen("gcode_state") == ["PREPARE"]
    assert (bench.field("subtask_name"), bench.field("task_id")) == ("By hand", "0")
    assert bench.machine.start_at_screen("Another", bench.now) == []
    bench.until_state("FINISH")
    assert [start.title for start in bench.machine.starts] == ["By hand"]


def test_what_a_test_changes_is_reported_and_stays() -> None:
    bench = Bench()
    bench.said += bench.machine.change({"gcode_state": "RUNNING", "ams": {"tray_now": "2"}}, bench.now)
    assert bench.statuses()[-1]["ams"] == {"tray_now": "2"}
    bench.pass_time(60)
    assert bench.field("gcode_state") == "RUNNING"
    assert bench.field("ams", "tray_exist_bits") == "7"


def test_what_happens_is_told_in_sentences() -> None:
    bench = Bench()
    bench.start()
    bench.until_state("FINISH")
    assert bench.machine.news == [
        "preparing bracket: heating to 220/55 °C",
        "printing bracket: 4 layers",
        "printing layer 2/4",
        "printing layer 3/4",
        "printing layer 4/4",
        "finished bracket",
    ]


# -- busy ------------------------------------------------------------------------------------------


def test_a_start_is_refused_while_a_print_is_active() -> None:
    bench = Bench()
    bench.start()
    reply = bench.start()
    assert reply is not None
    assert (reply["result"], reply["err_code"]) == ("fail", BUSY)
    assert bench.field("gcode_state") == "PREPARE"
    assert len(bench.machine.starts) == 1


def test_an_a1_mini_kills_its_print_when_it_is_told_to_start_another() -> None:
    bench = Bench("A1 mini")
    bench.start()
    bench.start()
    assert bench.field("gcode_state") == "FAILED"


# -- faults ----------------------------------------------------------------------------------------


def test_signing_demanded_refuses_print_commands_and_nothing_else() -> None:
    bench = Bench("H2D", faults=["signing-demanded"])
    for command in ("project_file", "pause", "gcode_line"):
        reply = bench.send("print", command, param="G28\n")
        assert reply is not None
        assert (reply["result"], reply["reason"]) == ("failed", "mqtt message verify failed")
        assert reply["err_code"] == SIGNATURE_MISSING
    assert bench.send("info", "get_version") is not None
    assert bench.send("system", "ledctrl", led_node="chamber_light", led_mode="on", **LIGHT_TIMING)["result"] == (  # type: ignore[index]
        "success"
    )
    assert int(full_report(bench)["fun"], 16) >> 29 & 1
    bench.faults.discard("signing-demanded")
    assert not int(full_report(bench)["fun"], 16) >> 29 & 1


def test_empty_echo_repeats_a_command_without_a_result_and_does_nothing() -> None:
    bench = Bench(faults=["empty-echo"])
    reply = bench.start()
    assert reply is not None
    assert reply["command"] == "project_file"
    assert "result" not in reply
    bench.pass_time(60)
    assert bench.field("gcode_state") == "IDLE"


def test_silent_says_nothing_and_does_what_it_is_told() -> None:
    bench = Bench(faults=["silent"])
    bench.send("pushing", "pushall")
    bench.send("info", "get_version")
    bench.start()
    bench.pass_time(60)
    assert bench.said == []
    assert bench.field("gcode_state") == "PREPARE"


def test_deaf_reports_and_hears_nothing() -> None:
    bench = Bench(faults=["deaf"])
    assert bench.send("info", "get_version") is None
    assert bench.start() is None
    bench.pass_time(20)
    assert bench.statuses()
    assert bench.field("gcode_state") == "IDLE"
    assert len(bench.machine.requests) == 2


def test_no_ack_does_what_it_is_told_and_answers_questions_only() -> None:
    bench = Bench(faults=["no-ack"])
    assert bench.start() is None
    assert bench.field("gcode_state") == "PREPARE"
    assert bench.send("info", "get_version") is not None


def test_no_ids_reports_zeros_for_the_ids_of_a_job() -> None:
    bench = Bench(faults=["no-ids"])
    bench.start()
    assert [bench.field(key) for key in ("project_id", "profile_id", "task_id", "subtask_id")] == ["0"] * 4
    assert bench.field("subtask_name") == "bracket"


@EVERY_MODEL
def test_no_storage_is_shown_and_refuses_a_start(model: str) -> None:
    bench = Bench(model, faults=["no-storage"])
    bench.pass_time(1)
    assert bench.field("sdcard") is False
    assert bench.field("home_flag") >> 8 & 0b11 == 0
    reply = bench.start()
    assert reply is not None
    assert reply["err_code"] == CANNOT_PARSE
    bench.faults.discard("no-storage")
    bench.pass_time(1)
    assert bench.field("sdcard") is True
    assert bench.field("home_flag") >> 8 & 0b11 == 1


def test_flapping_storage_flickers_in_home_flag_only() -> None:
    bench = Bench(faults=["flapping-storage"])
    bench.pass_time(10)
    storage = [flag >> 8 & 0b11 for flag in bench.seen("home_flag")]
    assert storage in ([0, 1] * 5, [1, 0] * 5)
    assert bench.field("sdcard") is True
    bench.faults.clear()
    bench.pass_time(2)
    assert bench.field("home_flag") >> 8 & 0b11 == 1


def test_refuse_start_refuses_with_the_code_it_is_given() -> None:
    bench = Bench(faults=["refuse-start=0x05004003"])
    reply = bench.start()
    assert reply is not None
    assert (reply["result"], reply["err_code"]) == ("fail", 0x05004003)
    assert bench.field("gcode_state") == "IDLE"


def test_ignore_start_acknowledges_and_never_starts() -> None:
    bench = Bench(faults=["ignore-start"])
    assert bench.start()["result"] == "success"  # type: ignore[index]
    bench.pass_time(300)
    assert bench.field("gcode_state") == "IDLE"
    assert bench.machine.starts == []


def test_slow_start_adopts_after_its_seconds_whatever_the_speed() -> None:
    bench = Bench(faults=["slow-start=20"], speed=60)
    assert bench.start()["result"] == "success"  # type: ignore[index]
    bench.pass_time(19)
    assert bench.field("gcode_state") == "IDLE"
    bench.pass_time(2)
    assert bench.field("gcode_state") in ("PREPARE", "RUNNING")
    assert len(bench.machine.starts) == 1


def test_a_second_start_while_the_first_is_being_adopted_is_refused_as_busy() -> None:
    bench = Bench(faults=["slow-start=20"])
    bench.start()
    assert bench.start()["err_code"] == BUSY  # type: ignore[index]
    bench.pass_time(30)
    assert len(bench.machine.starts) == 1


def test_mute_start_says_nothing_until_it_has_adopted_the_job() -> None:
    bench = Bench(faults=["mute-start=20"])
    assert bench.start() is None
    bench.pass_time(19)
    assert bench.said == []
    bench.pass_time(2)
    assert bench.seen("gcode_state") == ["PREPARE"]


def test_mute_start_fails_to_parse_when_it_is_disturbed() -> None:
    bench = Bench(faults=["mute-start=20"])
    bench.start()
    bench.send("pushing", "pushall")
    assert bench.statuses()[-1]["print_error"] == CANNOT_PARSE
    bench.pass_time(30)
    assert bench.machine.starts == []


def test_lingering_finish_shows_finish_for_a_while_after_the_start() -> None:
    bench = Bench(faults=["lingering-finish"], speed=10)
    bench.said += bench.machine.change({"gcode_state": "FINISH"}, bench.now)
    bench.start()
    bench.pass_time(4.5)
    assert bench.field("gcode_state") == "FINISH"
    bench.pass_time(1)
    assert bench.field("gcode_state") == "PREPARE"


def test_fail_print_fails_in_the_middle_with_an_error() -> None:
    bench = Bench(faults=["fail-print=30"])
    bench.start()
    bench.until_state("FAILED")
    assert bench.field("mc_percent") in range(25, 31)
    assert bench.field("print_error") == READ_FAILED
    assert bench.field("hms") == [{"attr": 0x03000100, "code": 0x00010001}]
    bench.send("print", "clean_print_error", subtask_id="0", print_error=READ_FAILED)
    assert (bench.field("print_error"), bench.field("hms")) == (0, [])


def test_runout_pauses_once_with_an_empty_tray() -> None:
    bench = Bench(faults=["runout"])
    bench.start()
    bench.until_state("PAUSE")
    assert (bench.field("stg_cur"), bench.field("print_error")) == (6, RAN_OUT)
    assert bench.field("ams", "ams")[0]["tray"][0] == {"id": "0"}
    assert bench.field("ams", "tray_exist_bits") == "6"
    bench.send("print", "resume", param="")
    assert bench.field("print_error") == 0
    bench.until_state("FINISH")
