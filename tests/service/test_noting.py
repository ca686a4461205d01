"""What printers turned out to be is noted when it changes, all of it at once."""

from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError
from bambu_connector.service.memory import Learned
from bambu_connector.service.noting import NOTE_S
from tests.service.bench import bench, pass_time, printer_config
from tests.service.fakes import FakePrinter
from tests.simulated import simulated, until

SERIALS = ("01P00A000000001", "01P00A000000002")


@simulated
async def test_what_printers_turn_out_to_be_is_noted_when_it_changes(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=[FakePrinter(serial=serial) for serial in SERIALS]) as b:
        noted = b.wires.memory.turned_out
        firmware = b.unit.printer.firmware
        assert firmware
        await until(lambda: len(noted) == len(SERIALS), within=2 * NOTE_S)
        assert noted == dict.fromkeys(SERIALS, Learned(None, firmware))
        noted.clear()
        await pass_time(5 * NOTE_S)
        assert noted == {}
        b.unit.printer.firmware = "01.09.00.00"
        await pass_time(2 * NOTE_S)
        assert noted == {SERIALS[0]: Learned(None, "01.09.00.00")}


@simulated
async def test_a_printer_on_trial_is_not_noted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.wires.printers[SERIALS[1]] = FakePrinter(serial=SERIALS[1])
        b.farm.add(printer_config(SERIALS[1]), speaks=False)
        await pass_time(5 * NOTE_S)
        assert list(b.wires.memory.turned_out) == [b.printer.serial]


@simulated
async def test_a_disk_that_is_full_is_told_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        b.wires.memory.failure = ConfigError("The disk is full.")
        await pass_time(10 * NOTE_S)
        assert caplog.text.count("could not be noted: The disk is full.") == 1
        assert b.printer.is_connected
