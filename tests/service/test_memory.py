"""What is trusted from the first contact on."""

from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError
from bambu_connector.service.backoff import LONGEST_S, REFUSED_S
from tests.service.bench import HOME, bench, pass_time
from tests.service.fakes import FINGERPRINT, FakePrinter
from tests.simulated import simulated, until


@simulated
async def test_the_first_certificate_is_pinned_once_and_before_anything_is_sent(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        await until(lambda: b.printer.is_connected)
        assert b.wires.memory.pinned == {b.printer.serial: FINGERPRINT}
        b.printer.drop()
        await until(lambda: len(b.printer.connections) == 2)
        await pass_time(1)
        assert b.wires.memory.pinned == {b.printer.serial: FINGERPRINT}


@pytest.mark.parametrize(("fingerprint", "verified"), [(None, True), (FINGERPRINT, False)])
@simulated
async def test_what_was_not_proven_is_not_pinned(tmp_path: Path, fingerprint: str | None, verified: bool) -> None:
    printer = FakePrinter()
    printer.fingerprint, printer.verified = fingerprint, verified
    async with bench(tmp_path, printers=[printer]) as b:
        assert b.wires.memory.pinned == {}


@simulated
async def test_a_pin_that_cannot_be_remembered_leaves_no_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.wires.memory.failure = ConfigError("The disk is full.")
        await pass_time(300)
        assert not b.unit.printer.is_connected
        await until(lambda: not b.printer.is_connected, within=1)
        assert not b.printer.sent
        refused = await b.ask(HOME)
        assert refused.code == "printer_offline"  # it is not the printer that is wrong
        assert "The disk is full. Make room" in refused.data["error"]
        assert "bug" not in caplog.text
        assert len([each for each in caplog.records if "The disk is full" in each.message]) == 2  # it, and the answer
        b.wires.memory.failure = None
        await until(lambda: b.unit.printer.view is not None, within=1.25 * LONGEST_S + 1)
        assert b.wires.memory.pinned


@simulated
async def test_pins_that_cannot_be_read_leave_no_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = ConfigError("printers.yaml is damaged.")
        await pass_time(REFUSED_S - 1)
        assert len(b.printer.attempts) == 1
        assert (await b.ask(HOME)).code == "identity_mismatch"
        assert "bug" not in caplog.text
        b.printer.refusal = None
        await until(lambda: b.unit.printer.view is not None, within=REFUSED_S)
