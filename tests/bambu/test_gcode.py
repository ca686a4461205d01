"""The lines of g-code, against the protocol reference."""

import pytest

from bambu_connector.bambu import gcode
from bambu_connector.bambu.models import BED_SLINGER, ChamberHeat, JogSigns

STRAIGHT = JogSigns()


def moves(lines: tuple[str, ...]) -> str:
    (line,) = (each for each in lines if each.startswith("G1"))
    return line


def test_a_jog_is_one_move_between_saved_and_restored_settings() -> None:
    assert gcode.jog({"x": 10}, relative=True, feed=3000, signs=STRAIGHT) == (
        "M211 S",
        "M211 X1 Y1 Z1",
        "M1002 push_ref_mode",
        "G91",
        "G1 X10.0 F3000",
        "M1002 pop_ref_mode",
        "M211 R",
    )


@pytest.mark.parametrize(
    ("axes", "line"),
    [
        ({"z": 2, "x": 10, "y": -5.26}, "G1 X10.0 Y-5.3 Z2.0 F900"),
        ({"y": 1}, "G1 Y1.0 F3000"),
        ({"z": -1}, "G1 Z-1.0 F900"),
    ],
)
def test_all_axes_move_at_once_and_z_never_fast(axes: dict[str, float], line: str) -> None:
    assert moves(gcode.jog(axes, relative=True, feed=3000, signs=STRAIGHT)) == line


def test_a_slow_move_stays_slow() -> None:
    assert moves(gcode.jog({"z": 1}, relative=True, feed=300, signs=STRAIGHT)) == "G1 Z1.0 F300"


def test_a_moving_bed_turns_relative_moves_around() -> None:
    axes = {"x": 1.0, "y": 2.0, "z": 3.0}
    assert moves(gcode.jog(axes, relative=True, feed=600, signs=BED_SLINGER)) == "G1 X1.0 Y-2.0 Z-3.0 F600"
    assert moves(gcode.jog(axes, relative=False, feed=600, signs=BED_SLINGER)) == "G1 X1.0 Y2.0 Z3.0 F600"


def test_an_absolute_move_says_so() -> None:
    assert "G90" in gcode.jog({"x": 1}, relative=False, feed=600, signs=STRAIGHT)


def test_extruding_and_retracting_are_relative() -> None:
    assert gcode.extrude(10, feed=900) == ("M83", "G0 E10.0 F900")
    assert gcode.extrude(-2.5, feed=300) == ("M83", "G0 E-2.5 F300")


def test_homing_is_always_whole() -> None:
    assert gcode.home() == ("G28",)


def test_targets_are_set_without_waiting() -> None:
    assert gcode.hotend(220, tool=None) == ("M104 S220",)
    assert gcode.hotend(220, tool=1) == ("M104 S220 T1",)
    assert gcode.hotend(220, tool=0) == ("M104 S220 T0",)
    assert gcode.bed(60) == ("M140 S60",)


def test_a_chamber_is_heated_as_its_model_wants() -> None:
    assert gcode.chamber(50, how=ChamberHeat.GCODE) == ("M141 S50",)
    assert gcode.chamber(0, how=ChamberHeat.GCODE) == ("M141 S0",)
    assert gcode.chamber(50, how=ChamberHeat.ASSISTED) == ("M145 P1", "M141 S50")
    assert gcode.chamber(0, how=ChamberHeat.ASSISTED) == ("M141 S0", "M145 P0")


@pytest.mark.parametrize(
    ("name", "percent", "line"),
    [("part", 100, "M106 P1 S255"), ("aux", 50, "M106 P2 S128"), ("chamber", 0, "M106 P3 S0")],
)
def test_a_fan_is_told_from_0_to_255(name: str, percent: int, line: str) -> None:
    assert gcode.fan(name, percent) == (line,)
