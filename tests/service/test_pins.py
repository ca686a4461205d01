"""What is trusted from the first contact on."""

from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError
from tests.service.bench import bench, pass_time
from tests.service.fakes import FINGERPRINT, FakePrinter
from tests.simulated import simulated, until


@simulated
async def test_the_first_certificate_is_pinned_once_and_before_anything_is_sent(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        await until(lambda: b.printer.is_connected)
        assert b.wires.pins.pinned == {b.printer.serial: FINGERPRINT}
        b.printer.drop()
        await until(lambda: len(b.printer.connections) == 2)
        await pass_time(1)
        assert b.wires.pins.pinned == {b.printer.serial: FINGERPRINT}


@pytest.mark.parametrize(("fingerprint", "verified"), [(None, True), (FINGERPRINT, False)])
@simulated
async def test_what_was_not_proven_is_not_pinned(tmp_path: Path, fingerprint: str | None, verified: bool) -> None:
    printer = FakePrinter()
    printer.fingerprint, printer.verified = fingerprint, verified
    async with bench(tmp_path, printers=[printer]) as b:
        assert b.wires.pins.pinned == {}


@simulated
async def test_a_pin_that_cannot_be_remembered_leaves_no_session(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.wires.pins.failure = ConfigError("The disk is full.")
        await pass_time(4)
        assert not b.unit.printer.is_connected
        assert not b.printer.is_connected
        assert not b.printer.sent
        b.wires.pins.failure = None
        await b.until_ready()
        assert b.wires.pins.pinned
