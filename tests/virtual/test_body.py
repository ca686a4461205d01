"""Heaters, fans and axes."""

import pytest

from bambu_connector.virtual.body import AMBIENT, HOMING_S, Body, Heater, packed
from bambu_connector.virtual.models import find_model, load_start
from bambu_connector.virtual.report import Report


def test_a_heater_rises_to_its_target_and_falls_to_the_room() -> None:
    heater = Heater(rise=3.0, fall=1.0, limit=300)
    heater.aim(85)
    heater.advance(10)
    assert (heater.current, heater.ready) == (55, False)
    heater.advance(100)
    assert (heater.current, heater.ready) == (85, True)
    heater.aim(0)
    heater.advance(10)
    assert heater.current == 75
    heater.advance(1000)
    assert heater.current == AMBIENT


@pytest.mark.parametrize(("asked", "taken"), [(-5, 0), (120, 120), (500, 300)])
def test_a_target_stays_within_the_limits(asked: float, taken: float) -> None:
    heater = Heater(rise=1, fall=1, limit=300)
    heater.aim(asked)
    assert heater.target == taken


def test_target_and_temperature_in_one_number() -> None:
    assert packed(Heater(rise=1, fall=1, limit=300, current=26.4, target=220)) == 220 << 16 | 26


def test_homing_ends_once() -> None:
    body = Body(find_model("P1S"), nozzles=1)
    assert not body.advance(HOMING_S)
    body.move("X", 5, relative=True)
    body.home()
    assert [body.advance(HOMING_S / 2) for _ in range(3)] == [False, True, False]
    assert body.position["X"] == 0


def test_cooling_down_switches_everything_off() -> None:
    body = Body(find_model("H2D"), nozzles=2)
    for heater in (*body.nozzles, body.bed, body.chamber):
        heater.aim(50)
    body.fans["aux"] = 255
    body.cool_down()
    assert {heater.target for heater in (*body.nozzles, body.bed, body.chamber)} == {0}
    assert set(body.fans.values()) == {0}


def test_the_placeholder_of_printers_without_a_chamber_sensor_stays() -> None:
    model = find_model("P1S")
    report = Report(load_start(model)[0])
    Body(model, nozzles=1).render(report)
    assert report.get("chamber_temper") == 5
