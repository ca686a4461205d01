"""Finding out who is where, without telling anybody a secret."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.cli.candidates import Candidate
from bambu_connector.cli.locating import Locator
from bambu_connector.cli.pair_plan import Located
from bambu_connector.cli.without_config import Records
from bambu_connector.config import Config, Connector, Ports, PrinterConfig, PrinterTls
from bambu_connector.errors import AnotherDevice, NotAPrinter, Unreachable
from tests.e2e.bench import Printer, Workshop
from tests.servers.silent import SilentPeer

NEVER_SEEN = "01P00A999999999"


@pytest.fixture
def printer(workshop: Workshop) -> Iterator[Printer]:
    made = Printer(workshop, "P1S", bind="127.62.0.1")
    yield made
    made.close()


def records(*printers: PrinterConfig) -> Records:
    config = Config(connector=Connector("t", Path("state")), printers=printers)
    return Records(config, {}, config)


def located(candidate: Candidate, known: Records | None = None, heard_s: float = 0.3, **ports: int) -> Located:
    async def locate() -> Located:
        async with Locator(known or records(), ports, heard_s=heard_s) as locator:
            return await locator.locate(candidate)

    return asyncio.run(locate())


def test_a_printer_tells_its_serial_by_its_certificate_and_sees_no_login(printer: Printer) -> None:
    found = located(Candidate(host="127.62.0.1"), mqtt=printer.virtual.ports["mqtt"])
    assert (found.serial, found.host) == (printer.serial, "127.62.0.1")
    assert found.fingerprint is not None
    assert found.fingerprint.startswith("sha256:")
    assert printer.virtual.connects == 0


def test_a_known_printer_is_looked_for_where_it_was_and_by_its_own_ports(printer: Printer) -> None:
    ports = Ports(mqtt=printer.virtual.ports["mqtt"])
    known = records(PrinterConfig(serial=printer.serial, id="left", host="127.62.0.1", ports=ports))
    assert located(Candidate(serial=printer.serial), known).host == "127.62.0.1"
    assert located(Candidate(host="127.62.0.1"), known).serial == printer.serial


def test_somebody_else_at_the_address_is_another_device(printer: Printer) -> None:
    with pytest.raises(AnotherDevice, match=printer.serial):
        located(Candidate(serial=NEVER_SEEN, host="127.62.0.1"), mqtt=printer.virtual.ports["mqtt"])


def test_who_is_not_heard_is_told_with_what_to_do(printer: Printer) -> None:
    with pytest.raises(Unreachable, match="--host"):
        located(Candidate(serial=NEVER_SEEN))
    known = records(PrinterConfig(serial=NEVER_SEEN, id="left", host="127.62.0.1"))
    with pytest.raises(Unreachable, match=r"where it was before, it is not: at 127\.62\.0\.1"):
        located(Candidate(serial=NEVER_SEEN), known, mqtt=printer.virtual.ports["mqtt"])


def test_a_printer_is_found_by_its_announcement_alone(workshop: Workshop) -> None:
    printer = Printer(workshop, "P1S", bind="127.62.0.2", announces=True, announce_every=0.2, name="[red]Left")
    try:
        found = located(Candidate(serial=printer.serial), heard_s=20, mqtt=printer.virtual.ports["mqtt"])
    finally:
        printer.close()
    assert (found.host, found.name, found.model_code) == ("127.62.0.2", "[red]Left", "C12")
    assert (found.connection, found.firmware is None) == ("lan", False)


def test_what_is_no_printer_says_so(workshop: Workshop) -> None:
    with SilentPeer(workshop.authority.issue("my-router")) as peer:
        with pytest.raises(NotAPrinter, match="Is the address right"):
            located(Candidate(host="127.0.0.1"), mqtt=peer.port)
        assert peer.heard == b""


def test_a_printer_of_a_lab_whose_certificate_is_not_checked_needs_none(workshop: Workshop) -> None:
    with SilentPeer(workshop.authority.issue("my-proxy")) as peer:
        lab = PrinterConfig(
            serial=NEVER_SEEN, id="lab", host="127.0.0.1", ports=Ports(mqtt=peer.port), tls=PrinterTls(verify=False)
        )
        found = located(Candidate(serial=NEVER_SEEN), records(lab))
    assert (found.serial, found.fingerprint) == (NEVER_SEEN, None)


def test_a_printer_of_a_lab_whose_certificate_is_not_checked_is_not_looked_for_by_what_anybody_can_say(
    workshop: Workshop,
) -> None:
    liar = Printer(workshop, "P1S", bind="127.62.0.3", announces=True, announce_every=0.1)
    lab = PrinterConfig(serial=liar.serial, id="lab", ports=Ports(mqtt=liar.virtual.ports["mqtt"]))
    try:
        with pytest.raises(Unreachable, match=r"verify: false.*--host ADDRESS"):
            located(Candidate(serial=liar.serial), records(replace(lab, tls=PrinterTls(verify=False))), heard_s=20)
        assert located(Candidate(serial=liar.serial), records(lab), heard_s=20).serial == liar.serial
    finally:
        liar.close()


def test_announcements_of_printers_that_nobody_asked_for_are_not_kept() -> None:
    async def hear() -> int:
        async with Locator(records(), {}, heard_s=0.2) as locator:
            looking = asyncio.create_task(locator.locate(Candidate(serial=NEVER_SEEN)))
            await asyncio.sleep(0.05)
            for number in range(1000):
                locator._hear(Announcement(serial=f"01P00A{number:09d}", model_code="C12", host="192.0.2.1"))
            with pytest.raises(Unreachable):
                await looking
            return len(locator._heard)

    assert asyncio.run(hear()) == 0
