"""What an order means on a printer: its exact request, its limits, and the evidence that it was obeyed."""

import json
import re
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.bambu.models import TRAITS, JogSigns, Model, Traits
from bambu_connector.bambu.view import View
from bambu_connector.errors import ConnectorError
from bambu_connector.printago import orders
from bambu_connector.printago.commands import Refusal, parse_command
from bambu_connector.printago.orders import DirectOrder, SlotRef
from bambu_connector.translate.plan import Plan, Replied, Shown, plan
from bambu_connector.translate.situation import Situation
from tests.bambu.reports import Fields, h2d, tray
from tests.printago.examples import EXAMPLES, message
from tests.translate.situations import (
    ANY_ORDER,
    DIRECT,
    H2D,
    MOVING,
    P1S,
    UNTOLD,
    X1E,
    any_report,
    any_situation,
    in_state,
    ready,
    situation,
)

A1: Final = TRAITS[Model.A1]
P2S: Final = TRAITS[Model.P2S]
GENERIC: Final = TRAITS[Model.GENERIC]
Order = DirectOrder | orders.StopPrint


def sent(order: Order, now: Situation) -> Fields:
    """Return the message that goes to the printer."""
    found: Fields = json.loads(plan(order, now).request.payload("20001"))
    return found


def lines(order: Order, now: Situation) -> list[str]:
    """Return the g-code that goes to the printer."""
    body = sent(order, now)["print"]
    assert body["command"] == "gcode_line"
    assert body["param"].endswith("\n")
    assert set(body) == {"sequence_id", "command", "param"}
    return body["param"].splitlines()  # type: ignore[no-any-return]


def refusal(order: Order, now: Situation) -> str | None:
    """Return the code that the order is refused with, None when it is planned."""
    try:
        plan(order, now)
    except ConnectorError as error:
        return error.code
    return None


def print_(command: str, **fields: Any) -> Fields:
    return {"print": {"sequence_id": "20001", "command": command, **fields}}


# -- the exact requests ----------------------------------------------------------------------------


def change(ams_id: int, slot_id: int, target: int, curr: int, tar: int, **more: int) -> Fields:
    temperatures = {"curr_temp": curr, "tar_temp": tar}
    return print_("ams_change_filament", ams_id=ams_id, slot_id=slot_id, target=target, **temperatures, **more)


def gcode(*told: str) -> Fields:
    return print_("gcode_line", param="".join(f"{line}\n" for line in told))


JOG: Final = ("M211 S", "M211 X1 Y1 Z1", "M1002 push_ref_mode")
JOG_END: Final = ("M1002 pop_ref_mode", "M211 R")
LED: Final = {"led_on_time": 500, "led_off_time": 500, "loop_times": 1, "interval_time": 1000}


def led(node: str, mode: str) -> Fields:
    body = {"sequence_id": "20001", "command": "ledctrl", "led_node": node, "led_mode": mode}
    return {"system": body | LED}


def loaded(tray_now: str, **changes: Any) -> Fields:
    report = ready(**changes)
    report["ams"] = report["ams"] | {"tray_now": tray_now}
    return report


def dual(**changes: Any) -> Fields:
    """An H2D whose right nozzle (0) is at 219 °C, the left one (1) cold."""
    return h2d(**changes)


def with_ht(**changes: Any) -> Fields:
    """A P1S with an AMS HT beside its AMS."""
    report = ready(**changes)
    ht = {"id": "128", "info": "2004", "tray": [tray(0, "PA-CF")]}
    ams = report["ams"]
    report["ams"] = ams | {"ams": [*ams["ams"], ht], "ams_exist_bits": "11", "tray_exist_bits": "10007"}
    return report


# fmt: off
REQUESTS: Final[dict[str, tuple[Order, Situation, Fields]]] = {
    "pause": (orders.PausePrint(), situation(in_state("RUNNING")), print_("pause", param="")),
    "resume": (orders.ResumePrint(), situation(in_state("PAUSE")), print_("resume", param="")),
    "stop": (orders.StopPrint(), situation(in_state("RUNNING")), print_("stop", param="")),
    "nozzle": (orders.SetHotend(215), situation(), gcode("M104 S215")),
    "nozzle off": (orders.SetHotend(0), situation(), gcode("M104 S0")),
    "a fraction is rounded": (orders.SetHotend(214.6), situation(), gcode("M104 S215")),
    "right nozzle of two": (orders.SetHotend(215, 0), situation(dual(), H2D), gcode("M104 S215 T0")),
    "left nozzle of two": (orders.SetHotend(215, 1), situation(dual(), H2D), gcode("M104 S215 T1")),
    "bed": (orders.SetBed(60), situation(), gcode("M140 S60")),
    "chamber of an X1E": (orders.SetChamber(45), situation(traits=X1E), gcode("M141 S45")),
    "chamber off of an X1E": (orders.SetChamber(0), situation(traits=X1E), gcode("M141 S0")),
    "chamber above 40": (orders.SetChamber(41), situation(dual(), H2D), gcode("M145 P1", "M141 S41")),
    "chamber at 40": (orders.SetChamber(40), situation(dual(), H2D), gcode("M141 S40", "M145 P0")),
    "chamber off": (orders.SetChamber(0), situation(dual(), H2D), gcode("M141 S0", "M145 P0")),
    "home": (orders.Home(), situation(), gcode("G28")),
    "jog": (orders.Jog({"x": 10, "y": -5.25}), situation(),
            gcode(*JOG, "G91", "G1 X10.0 Y-5.2 F3000", *JOG_END)),
    "jog with z is slow": (orders.Jog({"z": 2, "x": 1}), situation(),
                           gcode(*JOG, "G91", "G1 X1.0 Z2.0 F900", *JOG_END)),
    "jog with z may be slower": (orders.Jog({"z": 2}, speed=300), situation(),
                                 gcode(*JOG, "G91", "G1 Z2.0 F300", *JOG_END)),
    "absolute jog": (orders.Jog({"x": 100, "y": 120.5}, relative=False, speed=1200), situation(),
                     gcode(*JOG, "G90", "G1 X100.0 Y120.5 F1200", *JOG_END)),
    "jog where the bed moves": (orders.Jog({"x": 10, "y": -5, "z": 2}), situation(traits=A1),
                                gcode(*JOG, "G91", "G1 X10.0 Y5.0 Z-2.0 F900", *JOG_END)),
    "absolute jog where the bed moves": (orders.Jog({"y": 5, "z": 7}, relative=False), situation(traits=A1),
                                         gcode(*JOG, "G90", "G1 Y5.0 Z7.0 F900", *JOG_END)),
    "jog with an owner's signs": (orders.Jog({"x": 1}), situation(traits=replace(P1S, jog_signs=JogSigns(x=-1))),
                                  gcode(*JOG, "G91", "G1 X-1.0 F3000", *JOG_END)),
    "extrude": (orders.Extrude(10), situation(), gcode("M83", "G0 E10.0 F900")),
    "retract": (orders.Extrude(-2.5, 300), situation(), gcode("M83", "G0 E-2.5 F300")),
    "extrude with one of two": (orders.Extrude(-5, tool=0), situation(dual(), H2D),
                                print_("set_extrusion_length", extruder_index=0, length=-5)),
    "part fan": (orders.SetFan("part", 50), situation(), gcode("M106 P1 S128")),
    "aux fan": (orders.SetFan("aux", 100), situation(), gcode("M106 P2 S255")),
    "chamber fan": (orders.SetFan("chamber", 0), situation(), gcode("M106 P3 S0")),
    "light": (orders.SetLight("chamber_light", "on"), situation(), led("chamber_light", "on")),
    "flashing light": (orders.SetLight("work_light", "flashing"), situation(traits=X1E), led("work_light", "flashing")),
    "speed is text": (orders.SetSpeed(3), situation(in_state("RUNNING")), print_("print_speed", param="3")),
    "load": (orders.LoadFilament(SlotRef(0, 1)), situation(), change(0, 1, 1, -1, -1)),
    "load at a temperature": (orders.LoadFilament(SlotRef(0, 1), 230), situation(), change(0, 1, 1, -1, 230)),
    "load from an AMS HT": (orders.LoadFilament(SlotRef(128, 0)), situation(with_ht()), change(128, 0, 128, -1, -1)),
    "load into one of two": (orders.LoadFilament(SlotRef(0, 2), tool=1), situation(dual(), H2D),
                             change(0, 2, 2, -1, -1, extruder_id=1)),
    "load the external spool": (orders.LoadFilament(SlotRef(254, 254), 240), situation(),
                                change(255, 254, 254, 220, 240)),
    "load the external spool as hot as it wants": (orders.LoadFilament(SlotRef(254, 254)), situation(),
                                                   change(255, 254, 254, 220, 210)),
    "load the right external spool": (orders.LoadFilament(SlotRef(254, 254), 240, 0), situation(dual(), H2D),
                                      change(255, 0, 255, 219, 240, extruder_id=0)),
    "load the left external spool": (orders.LoadFilament(SlotRef(254, 254), 240, 1), situation(dual(), H2D),
                                     change(254, 0, 254, 30, 240, extruder_id=1)),
    "unload": (orders.UnloadFilament(), situation(loaded("1")), change(0, 255, 255, 220, 210)),
    "unload at a temperature": (orders.UnloadFilament(240), situation(loaded("1")), change(0, 255, 255, 220, 240)),
    "unload the external spool": (orders.UnloadFilament(), situation(loaded("254")), change(254, 255, 255, 220, 210)),
    "read a slot": (orders.RefreshSlot(SlotRef(0, 2)), situation(), print_("ams_get_rfid", ams_id=0, slot_id=2)),
    "describe a slot": (
        orders.SetSlot(slot=SlotRef(0, 3), type="PETG", color="336699FF", nozzle_temp_min=230, nozzle_temp_max=260,
                       tray_info_idx="GFG99"), situation(),
        print_("ams_filament_setting", ams_id=0, slot_id=3, tray_id=3, tray_info_idx="GFG99", setting_id="",
               tray_type="PETG", tray_color="336699FF", nozzle_temp_min=230, nozzle_temp_max=260)),
    "describe the external spool": (
        orders.SetSlot(slot=SlotRef(254, 254), type="PLA", color="FFFFFFFF", nozzle_temp_min=190, nozzle_temp_max=230),
        situation(),
        print_("ams_filament_setting", ams_id=255, slot_id=0, tray_id=254, tray_info_idx="", setting_id="",
               tray_type="PLA", tray_color="FFFFFFFF", nozzle_temp_min=190, nozzle_temp_max=230)),
    "calibrate": (orders.Calibrate(bed_level=True, vibration=True), situation(), print_("calibration", option=6)),
    "calibrate all": (orders.Calibrate(bed_level=True, vibration=True, motor_noise=True, lidar=True), situation(),
                      print_("calibration", option=15)),
    "skip": (orders.SkipObjects((98, 99)), situation(in_state("RUNNING")), print_("skip_objects", obj_list=[98, 99])),
    "clear": (orders.ClearError(), situation(ready(subtask_id="77")),
              print_("clean_print_error", print_error=0x07008011, subtask_id="77")),
}
# fmt: on


@pytest.mark.parametrize("name", REQUESTS)
def test_an_order_is_exactly_one_request(name: str) -> None:
    order, now, expected = REQUESTS[name]
    assert sent(order, now) == expected


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_goes_out_at_qos_1_and_is_said_in_a_sentence(name: str) -> None:
    order, now, _ = REQUESTS[name]
    planned = plan(order, now)
    assert planned.request.qos == 1
    assert re.fullmatch(r"[A-Z].*\.", planned.done)


def test_every_kind_of_order_has_an_exact_request() -> None:
    assert {type(order) for order, _, _ in REQUESTS.values()} == {type(order) for order, _ in DIRECT.values()}


# -- the limits ------------------------------------------------------------------------------------

NOT_HOMED_X: Final = 0x106
Limits = list[tuple[Order, Situation, str | None]]


def at(value: float, axis: str, *, traits: Traits = P1S, relative: bool = True) -> tuple[Order, Situation]:
    return orders.Jog({axis: value}, relative=relative), situation(traits=traits)


def bed(value: float, traits: Traits = P1S, **report: Any) -> tuple[Order, Situation]:
    return orders.SetBed(value), situation(ready(**report), traits)


def hotend(value: float, traits: Traits = P1S, tool: int = 0) -> tuple[Order, Situation]:
    return orders.SetHotend(value, tool), situation(dual() if traits.nozzles > 1 else ready(), traits)


def chamber(value: float, traits: Traits = X1E) -> tuple[Order, Situation]:
    return orders.SetChamber(value), situation(dual() if traits.nozzles > 1 else ready(), traits)


NAN, INF = float("nan"), float("inf")
OUT: Final = "out_of_range"
# fmt: off
LIMITS: Final[Limits] = [
    *((*hotend(value), code) for value, code in [(0, None), (300, None), (300.1, OUT), (301, OUT), (-0.1, OUT),
                                                 (NAN, OUT), (INF, OUT)]),
    *((*hotend(320, traits), code) for traits, code in [(X1E, None), (P1S, OUT), (H2D, None), (GENERIC, OUT)]),
    (*hotend(350, H2D), None), (*hotend(351, H2D), OUT), (*hotend(300, GENERIC), None), (*hotend(301, GENERIC), OUT),
    (*hotend(200, P1S, 1), OUT), (*hotend(200, P1S, -1), OUT),
    (*hotend(200, H2D, 1), None), (*hotend(200, H2D, 2), OUT),
    *((*bed(value), code) for value, code in [(0, None), (100, None), (100.1, OUT), (-1, OUT), (NAN, OUT)]),
    (*bed(120, TRAITS[Model.X1C]), None), (*bed(121, TRAITS[Model.X1C]), OUT),
    (*bed(110, TRAITS[Model.X1C], home_flag=0x10F), None), (*bed(111, TRAITS[Model.X1C], home_flag=0x10F), OUT),
    (*bed(111, TRAITS[Model.X1C], fun="4"), OUT),
    (*bed(80, TRAITS[Model.A1_MINI]), None), (*bed(81, TRAITS[Model.A1_MINI]), OUT),
    (*bed(80, GENERIC), None), (*bed(81, GENERIC), OUT),
    *((*chamber(value), code) for value, code in [(0, None), (0.5, OUT), (1, OUT), (39, OUT), (39.9, OUT), (40, None),
                                                  (60, None), (61, OUT), (-1, OUT), (NAN, OUT)]),
    (*chamber(65, H2D), None), (*chamber(66, H2D), OUT), (*chamber(45, P1S), "not_supported"),
    (*chamber(0, P1S), "not_supported"), (*chamber(45, GENERIC), "not_supported"),
    *((*at(value, axis), code) for axis in "xyz"
      for value, code in [(100, None), (-100, None), (100.1, OUT), (-100.1, OUT), (0, None), (NAN, OUT), (INF, OUT)]),
    *((*at(value, "x", relative=False), code) for value, code in [(0, None), (256, None), (256.1, OUT), (-0.1, OUT)]),
    *((*at(value, "z", relative=False), code) for value, code in [(5, None), (4.9, OUT), (256, None), (257, OUT)]),
    *((*at(value, "y", traits=H2D, relative=False), code) for value, code in [(320, None), (321, OUT)]),
    *((*at(value, "x", traits=TRAITS[Model.A1_MINI], relative=False), code)
      for value, code in [(180, None), (181, OUT)]),
    (*at(10, "x", traits=GENERIC, relative=False), "not_supported"), (*at(10, "x", traits=GENERIC), None),
    (orders.Jog({"x": 1, "y": 101}), situation(), OUT),
    *((orders.Jog({"x": 1}, speed=speed), situation(), code)
      for speed, code in [(1, None), (0.9, OUT), (0, OUT), (-5, OUT), (12000, None), (12000.1, OUT), (NAN, OUT)]),
    *((orders.Extrude(amount), situation(), code)
      for amount, code in [(100, None), (-100, None), (100.1, OUT), (-101, OUT), (NAN, OUT), (INF, OUT)]),
    *((orders.Extrude(5, speed), situation(), code)
      for speed, code in [(1, None), (0.5, OUT), (1800, None), (1801, OUT), (NAN, OUT)]),
    (orders.Extrude(5, tool=1), situation(), OUT), (orders.Extrude(5, tool=2), situation(dual(), H2D), OUT),
    *((orders.SetFan("part", value), situation(), code)
      for value, code in [(0, None), (100, None), (100.1, OUT), (-1, OUT), (NAN, OUT)]),
    (orders.SetFan("aux", 50), situation(traits=A1), "not_supported"),
    (orders.SetFan("part", 50), situation(traits=A1), None),
    (orders.SetLight("work_light", "on"), situation(), "not_supported"),
    (orders.SetLight("work_light", "on"), situation(traits=X1E), None),
    (orders.SetLight("work_light", "on"), situation(ready(lights_report=[{"node": "work_light", "mode": "on"}])),
     None),
    (orders.LoadFilament(SlotRef(1, 0)), situation(), OUT), (orders.LoadFilament(SlotRef(0, 4)), situation(), OUT),
    (orders.LoadFilament(SlotRef(0, -1)), situation(), OUT),
    (orders.LoadFilament(SlotRef(0, 3)), situation(), "filament_mismatch"),
    (orders.LoadFilament(SlotRef(0, 1), 301), situation(), OUT),
    (orders.LoadFilament(SlotRef(0, 1), 50), situation(), OUT),
    (orders.LoadFilament(SlotRef(0, 1), tool=1), situation(), OUT),
    (orders.UnloadFilament(301), situation(loaded("1")), OUT), (orders.UnloadFilament(50), situation(loaded("1")), OUT),
    (orders.UnloadFilament(tool=1), situation(loaded("1")), OUT),
    (orders.UnloadFilament(), situation(ready(hw_switch_state=0)), "wrong_state"),
    (orders.RefreshSlot(SlotRef(0, 9)), situation(), OUT), (orders.RefreshSlot(SlotRef(9, 0)), situation(), OUT),
    (orders.RefreshSlot(SlotRef(0, 2)), situation(loaded("1")), "wrong_state"),
    (orders.RefreshSlot(SlotRef(254, 254)), situation(), "not_supported"),
    (orders.ClearError(), situation(ready(print_error=0)), "wrong_state"),
]
# fmt: on


@pytest.mark.parametrize(("order", "now", "code"), LIMITS, ids=[f"{each[0]}"[:70] for each in LIMITS])
def test_a_limit_holds_to_the_last_digit(order: Order, now: Situation, code: str | None) -> None:
    assert refusal(order, now) == code


def test_every_model_takes_its_own_limits_and_nothing_above() -> None:
    for model, traits in TRAITS.items():
        hot, warm = hotend(traits.nozzle_max, traits), bed(traits.bed_max, traits)
        assert (refusal(*hot), refusal(*warm)) == (None, None), model
        assert refusal(orders.SetHotend(traits.nozzle_max + 1), hot[1]) == OUT, model
        assert refusal(orders.SetBed(traits.bed_max + 1), warm[1]) == OUT, model


HOMED: Final[dict[str, tuple[object, bool, dict[str, bool]]]] = {
    "all bits": (0x107, False, {"x": True, "y": True, "z": True}),
    "not x": (NOT_HOMED_X, False, {"x": False, "y": True, "z": True}),
    "none": (0x100, False, {"x": False, "y": False, "z": False}),
    "a negative flag with all bits": (-1, False, {"x": True, "y": True, "z": True}),
    "zero tells nothing": (0, False, {"x": False, "y": False, "z": False}),
    "untold": (None, False, {"x": False, "y": False, "z": False}),
    "zero, but we saw it home": (0, True, {"x": True, "y": True, "z": True}),
    "untold, but we saw it home": (None, True, {"x": True, "y": True, "z": True}),
}


@pytest.mark.parametrize("name", HOMED)
@pytest.mark.parametrize("relative", [True, False])
def test_a_jog_needs_each_axis_that_it_names_to_be_homed(name: str, relative: bool) -> None:
    flag, saw_home, homed = HOMED[name]
    report = ready(home_flag=flag)
    if flag is None:
        del report["home_flag"]
    for axes in ("x", "y", "z", "xy", "yz", "xyz"):
        order = orders.Jog(dict.fromkeys(axes, 10.0), relative)
        expected = None if all(homed[axis] for axis in axes) else "not_homed"
        assert refusal(order, situation(report, saw_home=saw_home)) == expected, axes


@pytest.mark.parametrize(
    ("celsius", "age", "code"),
    [
        (170.0, 10.0, None),
        (169.9, 1.0, "too_cold"),
        (25.0, 1.0, "too_cold"),
        (220.0, 10.1, "too_cold"),
        (220.0, None, "too_cold"),
        (None, 1.0, "too_cold"),
        ("hot", 1.0, "too_cold"),
    ],
)
@pytest.mark.parametrize("amount", [5, -5])
def test_filament_moves_only_through_a_nozzle_that_was_reported_hot_just_now(
    celsius: object, age: float | None, code: str | None, amount: float
) -> None:
    assert refusal(orders.Extrude(amount), situation(ready(nozzle_temper=celsius), report_age=age)) == code


def test_of_two_nozzles_the_one_that_is_meant_must_be_hot() -> None:
    assert refusal(orders.Extrude(5, tool=0), situation(dual(), H2D)) is None
    assert refusal(orders.Extrude(5, tool=1), situation(dual(), H2D)) == "too_cold"


def test_a_machine_with_two_nozzles_extrudes_whole_millimetres() -> None:
    assert refusal(orders.Extrude(2.5, tool=0), situation(dual(), H2D)) == "invalid_parameters"


def test_a_spool_that_says_nothing_of_its_heat_is_loaded_at_210() -> None:
    report = ready(vt_tray={"id": "254", "tray_type": "PLA"})
    body = sent(orders.LoadFilament(SlotRef(254, 254)), situation(report))["print"]
    assert (body["curr_temp"], body["tar_temp"]) == (220, 210)


# -- the evidence ----------------------------------------------------------------------------------


def shows(order: Order, now: Situation, traits: Traits = P1S, **report: Any) -> bool:
    """Say whether a report with these fields is evidence."""
    evidence = plan(order, now).evidence
    assert isinstance(evidence, Shown)
    assert now.view is not None
    return evidence.predicate(View({**now.view.report, **report}, traits))


# fmt: off
SHOWN: Final[list[tuple[Order, Situation, float, Fields, Fields]]] = [
    (orders.PausePrint(), situation(in_state("RUNNING")), 60, {"gcode_state": "PAUSE"}, {"gcode_state": "FAILED"}),
    (orders.ResumePrint(), situation(in_state("PAUSE")), 60, {"gcode_state": "RUNNING"}, {"gcode_state": "FAILED"}),
    (orders.StopPrint(), situation(in_state("RUNNING")), 60, {"gcode_state": "FAILED"}, {"gcode_state": "PAUSE"}),
    (orders.StopPrint(), situation(in_state("PAUSE")), 60, {"gcode_state": "IDLE"}, {"gcode_state": "RUNNING"}),
    (orders.StopPrint(), situation(in_state("PREPARE")), 60, {"gcode_state": "FINISH"}, {"gcode_state": ""}),
    (orders.SetHotend(215), situation(), 15, {"nozzle_target_temper": 215}, {"nozzle_target_temper": 214}),
    (orders.SetBed(60), situation(), 15, {"bed_target_temper": 60.0}, {"bed_temper": 60.0}),
    (orders.SetChamber(45), situation(traits=X1E), 15, {"ctt": 45}, {"chamber_temper": 45}),
    (orders.SetFan("part", 50), situation(), 10, {"fan_gear": 128}, {"fan_gear": 128 << 8}),
    (orders.SetFan("aux", 100), situation(), 10, {"fan_gear": 255 << 8}, {"fan_gear": 200 << 8}),
    (orders.SetFan("chamber", 0), situation(ready(fan_gear=200 << 16)), 10, {"fan_gear": 0}, {"fan_gear": 3 << 16}),
    (orders.SetLight("chamber_light", "off"), situation(), 10,
     {"lights_report": [{"node": "chamber_light", "mode": "off"}]},
     {"lights_report": [{"node": "work_light", "mode": "off"}]}),
    (orders.SetSpeed(4), situation(in_state("RUNNING")), 10, {"spd_lvl": 4}, {"spd_lvl": 3}),
    (orders.ClearError(), situation(), 10, {"print_error": 0}, {"print_error": 0x0300400C}),
]
# fmt: on


@pytest.mark.parametrize(("order", "now", "within", "good", "bad"), SHOWN, ids=[str(each[0])[:60] for each in SHOWN])
def test_an_order_is_done_when_the_report_shows_it(
    order: Order, now: Situation, within: float, good: Fields, bad: Fields
) -> None:
    assert plan(order, now).evidence.within == within
    assert shows(order, now, now.traits, **good)
    assert not shows(order, now, now.traits, **bad)
    assert not shows(order, now, now.traits)


def test_of_two_nozzles_the_target_of_the_one_that_is_meant_counts() -> None:
    device = dual()["device"]
    right, left = device["extruder"]["info"]

    def told(**targets: int) -> Fields:
        info = [right | {"temp": targets.get("right", 0) << 16}, left | {"temp": targets.get("left", 0) << 16}]
        return {"device": device | {"extruder": device["extruder"] | {"info": info}}}

    now = situation(dual(), H2D)
    assert shows(orders.SetHotend(215, 1), now, H2D, **told(left=215))
    assert not shows(orders.SetHotend(215, 1), now, H2D, **told(right=215))


@pytest.mark.parametrize("name", ["jog", "extrude", "home", "calibrate", "load", "unload", "refresh_slot", "set_slot"])
def test_what_no_report_shows_is_done_by_its_reply_or_by_a_question_after_it(name: str) -> None:
    order, traits = DIRECT[name]
    assert plan(order, situation(traits=traits)).evidence == Replied(within=10, probe=True)


def test_a_stop_in_an_unknown_state_is_done_by_its_reply_alone() -> None:
    for state in (UNTOLD, "INIT", ""):
        assert plan(orders.StopPrint(), situation(in_state(state))).evidence == Replied(within=60, probe=False)
    assert plan(orders.StopPrint(), situation(view=None)).evidence == Replied(within=60, probe=False)


@given(st.sampled_from(["part", "aux", "chamber"]), st.floats(0, 100))
def test_a_fan_that_shows_what_it_was_told_is_evidence(fan: str, percent: float) -> None:
    order = orders.SetFan(fan, percent)
    (line,) = lines(order, situation())
    speed = int(line.rpartition("S")[2])
    shift = {"part": 0, "aux": 8, "chamber": 16}[fan]
    assert shows(order, situation(), fan_gear=speed << shift)
    fields = {"part": "cooling_fan_speed", "aux": "big_fan1_speed", "chamber": "big_fan2_speed"}
    steps: Fields = {"fan_gear": None, fields[fan]: str(round(speed / 255 * 15))}
    assert shows(order, situation(), **steps), "a fan that knows only 16 steps"


# -- whatever the order and the situation ----------------------------------------------------------


@given(ANY_ORDER, any_situation())
def test_an_order_is_planned_or_refused_and_nothing_else(order: Order, now: Situation) -> None:
    try:
        planned = plan(order, now)
    except ConnectorError as error:
        assert error.code != "internal"  # noqa: PT017
        return
    body = json.loads(planned.request.payload("7"))
    assert next(iter(body.values()))["sequence_id"] == "7"
    assert isinstance(planned, Plan)


@given(ANY_ORDER, any_situation(), any_report())
def test_evidence_can_be_looked_for_in_any_report(order: Order, now: Situation, report: Fields) -> None:
    if refusal(order, now) is None:
        evidence = plan(order, now).evidence
        if isinstance(evidence, Shown):
            assert evidence.predicate(View(report, now.traits)) in (True, False)


@given(ANY_ORDER, any_situation(start_out=True))
def test_nothing_moves_or_heats_while_a_start_is_out(order: Order, now: Situation) -> None:
    if isinstance(order, MOVING):
        assert refusal(order, now) is not None


@given(ANY_ORDER, any_situation())
def test_planning_twice_gives_the_same_request(order: Order, now: Situation) -> None:
    if refusal(order, now) is None:
        assert plan(order, now).request == plan(order, now).request


# -- no text of a sender becomes g-code ------------------------------------------------------------

GCODE_LINE: Final = re.compile(
    r"G28|G9[01]|M83|M211 [SR]|M211 X1 Y1 Z1|M1002 (push|pop)_ref_mode|M145 P[01]"
    r"|G1( [XYZ]-?\d+\.\d)+ F\d+|G0 E-?\d+\.\d F\d+|M104 S\d+( T\d)?|M14[01] S\d+|M106 P[123] S\d+"
)
EVIL: Final = st.sampled_from(["\n", "\r\n", "G28\nM104 S300", "1\nM112", "x\0", "../x", "\u2028G28", "a; M112"])
WORDS: Final = st.text(max_size=12) | EVIL | st.floats(-400, 400) | st.integers(-300, 400) | st.booleans()


@st.composite
def hostile_commands(draw: st.DrawFn) -> bytes:
    """A command that is a good example but for hostile text in some places."""
    each = draw(st.sampled_from(EXAMPLES))
    parameters = dict(each.parameters)
    for key in draw(st.sets(st.sampled_from(sorted({*parameters, "param", "gcode", "tool"})), max_size=2)):
        parameters[key] = draw(WORDS | st.dictionaries(st.sampled_from("xyzXYZ") | EVIL, WORDS, max_size=2))
    return message(each.command, parameters)


@settings(max_examples=400)
@given(hostile_commands(), any_situation())
def test_every_line_of_g_code_is_our_own_with_numbers_in_it(raw: bytes, now: Situation) -> None:
    parsed = parse_command(raw)
    if isinstance(parsed, Refusal) or not isinstance(parsed.order, DirectOrder | orders.StopPrint):
        return
    try:
        body = json.loads(plan(parsed.order, now).request.payload("7"))
    except ConnectorError:
        return
    (content,) = body.values()
    if content["command"] == "gcode_line":
        assert all(GCODE_LINE.fullmatch(line) for line in content["param"].removesuffix("\n").split("\n")), content
    else:
        assert not re.search("[\0\r\n]", str(content.get("param", "")))
        assert "G28" not in str(content.get("param", ""))
