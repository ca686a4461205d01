"""What is restored to whom; that it is restored rightly is what test_restart shows."""

import json
import logging
from pathlib import Path

import pytest

from bambu_connector.printago.messages import MessageType
from bambu_connector.service import records
from bambu_connector.service.records import FileRecord
from tests.service.bench import START, URL, bench, printer_config
from tests.service.fakes import FakeClock, FakePrinter, FakeStore
from tests.simulated import simulated, until

SERIAL, OTHER = "01P00A000000001", "01P00A000000002"


@simulated
async def test_a_printer_that_comes_back_gets_what_was_kept_of_it(tmp_path: Path) -> None:
    disk = FakeStore()
    async with bench(tmp_path, printers=[FakePrinter(serial=SERIAL)], store=disk) as b:
        back = FakePrinter(serial=OTHER)
        b.wires.printers[OTHER] = back
        back.storage.files["ours.gcode.3mf"] = b"left over"
        file = FileRecord(serial=OTHER, name="ours.gcode.3mf", doomed=True)
        b.farm._around.journal.put(records.FILE, file.key, file.body())
        b.farm.add(printer_config(OTHER))
        await until(lambda: not back.storage.files, within=60)


@simulated
async def test_a_record_that_cannot_be_read_is_told_and_costs_the_others_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path, printers=[FakePrinter(serial=SERIAL)]) as b:
        journal = b.farm._around.journal
        journal.put(records.FILE, "broken", {"nonsense": 1})
        file = FileRecord(serial=SERIAL, name="ours.gcode.3mf", doomed=True)
        journal.put(records.FILE, file.key, file.body())
        found = b.farm._restorer.all(records.FILE, FileRecord.decode)
        assert [each for _, each in found] == [file]
        assert [each.levelno for each in caplog.records if "cannot be read" in each.message] == [logging.ERROR]
        assert "broken" not in dict(journal.all(records.FILE))


@simulated
async def test_a_start_that_was_out_for_a_printer_that_is_gone_ends_unknown(tmp_path: Path) -> None:
    disk, clock = FakeStore(), FakeClock()
    printer = FakePrinter(serial=SERIAL, faults=["slow-start=500"])
    async with bench(tmp_path, printers=[printer], store=disk, clock=clock, hand_over=True) as b:
        b.deliver(START, {"url": URL})
        await until(lambda: printer.starts)
    async with bench(tmp_path, printers=[FakePrinter(serial=OTHER)], store=disk, clock=clock) as b:
        answers = [json.loads(each.payload)["data"] for each in b.said if each.type is MessageType.ERROR]
        assert [each["code"] for each in answers] == ["start_unknown"]


@simulated
async def test_what_is_not_of_the_printers_that_come_is_not_even_read(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=[FakePrinter(serial=SERIAL)]) as b:
        journal = b.farm._around.journal
        journal.put(records.FILE, "broken", {"nonsense": 1})
        b.farm._restorer.restore_printers({SERIAL: b.unit})
        assert "broken" in dict(journal.all(records.FILE))
