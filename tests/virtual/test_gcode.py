"""G-code lines, carried out on a body."""

import pytest

from bambu_connector.virtual.body import Body
from bambu_connector.virtual.gcode import Interpreter
from bambu_connector.virtual.models import find_model

JOG = "M211 S\nM211 X1 Y1 Z1\nM1002 push_ref_mode\nG91\nG1 {} F3000\nM1002 pop_ref_mode\nM211 R\n"


@pytest.fixture
def body() -> Body:
    return Body(find_model("P1S"), nozzles=1)


@pytest.fixture
def interpreter(body: Body) -> Interpreter:
    return Interpreter(body)


def test_a_jog_moves_relatively_and_leaves_the_mode_as_it_was(body: Body, interpreter: Interpreter) -> None:
    interpreter.run(JOG.format("X10.0 Y-2.5"))
    interpreter.run(JOG.format("X10.0"))
    assert body.position == {"X": 20.0, "Y": -2.5, "Z": 0.0}
    interpreter.run("G1 X5 F3000\n")
    assert body.position["X"] == 5


def test_filament_moves_only_when_the_nozzle_is_warm(body: Body, interpreter: Interpreter) -> None:
    interpreter.run("M83\nG0 E10.0 F900\n")
    assert body.extruded == 0
    body.nozzle.current = 200
    interpreter.run("M83\nG0 E10.0 F900\nG0 E-2.0 F900\n")
    assert body.extruded == 8


def test_comments_case_and_unknown_lines_do_no_harm(body: Body, interpreter: Interpreter) -> None:
    interpreter.run("m140 s60 ; warm\n\n; only a comment\nM9999 X1\nM1002 gcode_claim_action : 3\nT1000\n")
    assert body.bed.target == 60


def test_a_nozzle_that_is_not_there_is_ignored(body: Body, interpreter: Interpreter) -> None:
    interpreter.run("M104 S200 T1\n")
    assert body.nozzle.target == 0


def test_fans_off(body: Body, interpreter: Interpreter) -> None:
    interpreter.run("M106 P1 S999\n")
    assert body.fans["part"] == 255
    interpreter.run("M107\n")
    assert body.fans["part"] == 0
