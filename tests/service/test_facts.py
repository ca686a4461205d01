"""What is known of a printer."""

from pathlib import Path

from bambu_connector.errors import Unreachable
from bambu_connector.service.facts import VERSION_S, facts_of
from tests.service.bench import bench
from tests.simulated import simulated, until


@simulated
async def test_the_report_the_modules_and_the_session_are_told(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        facts = await facts_of(b.unit)
        assert facts["report"]["gcode_state"] == "IDLE"
        assert facts["serial"] == b.printer.serial
        assert facts["model"] == "P1S"
        assert any(each["name"] == "ota" for each in facts["modules"])
        assert facts["connection"]["is_online"] is True
        assert facts["link_error"] is None
        assert not b.unit.printer.taps


@simulated
async def test_a_printer_that_does_not_say_its_modules_is_not_waited_for_long(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.loses = lambda message: "info" in message
        began = b.clock.monotonic()
        assert (await facts_of(b.unit))["modules"] is None
        assert b.clock.monotonic() - began < VERSION_S + 1


@simulated
async def test_a_printer_that_is_away_is_asked_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.refusal = Unreachable("nobody answers")
        b.printer.drop()
        await until(lambda: b.unit.printer.link_error and "nobody" in str(b.unit.printer.link_error))
        asked = len(b.printer.sent)
        facts = await facts_of(b.unit)
        assert facts["link_error"] == {"type": "Unreachable", "told": "nobody answers"}
        assert facts["modules"] is None
        assert len(b.printer.sent) == asked
