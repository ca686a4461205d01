"""Whom the service trusts, and that nobody else is told an access code."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import Bench, Printer, Workshop
from tests.e2e.cloud import Message
from tests.files import sliced
from tests.servers.process import workspace
from tests.servers.silent import SilentPeer

Make = Callable[..., Bench]


@pytest.fixture
def make(workshop: Workshop) -> Iterator[Make]:
    """Makes a bench with one printer, whose entry has these keys."""
    made: list[Bench] = []
    with workspace() as folder:

        def make(**entry: Any) -> Bench:
            printer = Printer(workshop, cable=True, entry=entry)
            made.append(Bench(folder, workshop, [printer], connector_id=f"trust{len(made)}"))
            return made[-1]

        yield make
        for bench in made:
            bench.__exit__(None, None, None)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


def is_not_trusted(message: Message) -> bool:
    link = message.machine["connection_info"]
    return link["verified"] is False and link["is_connected"] is False


def cable_to(bench: Bench, peer: SilentPeer) -> None:
    """Put somebody else in the place of the printer's broker."""
    cable = bench.printers[0].cable
    assert cable is not None
    cable.lead_to((peer.host, peer.port))


def fingerprint_in(pins: Path, serial: str) -> str:
    """Return what is pinned for a printer."""
    fingerprint: str = yaml.safe_load(pins.read_text())["printers"][serial]["fingerprint"]
    return fingerprint


def test_the_first_contact_pins_the_certificate_and_no_other_is_told_the_code(make: Make, stranger: Authority) -> None:
    bench = make(tls=None).start()
    printer, pins = bench.printers[0], bench.service.state_dir / "printers.yaml"
    assert stat.S_IMODE(pins.stat().st_mode) == 0o600
    assert printer.serial in pins.read_text()
    assert "sha256:" in pins.read_text()
    assert bench.service.log().count("first contact") == 1
    pinned = fingerprint_in(pins, printer.serial)

    since = bench.cloud.mark()
    with SilentPeer(stranger.issue(printer.serial)) as impostor:
        cable_to(bench, impostor)
        bench.cloud.hear("status", printer.id, is_not_trusted, since=since)
        impostor.wait_until_ended()
        assert impostor.heard == b""
        for command in ("movement_control/home", "printer_control/download_gcode"):
            outcome = bench.ask(printer, command, {"url": bench.serve("x.3mf", sliced())})
            assert outcome.answer.code == "identity_mismatch"
        assert impostor.accepted == 1  # it needs a person, not a hammer
    assert fingerprint_in(pins, printer.serial) == pinned


def test_a_pinned_certificate_is_trusted_again_after_a_restart(make: Make) -> None:
    bench = make(tls=None).start()
    assert bench.service.stop() == 0
    bench.start()
    assert bench.service.log().count("first contact") == 1


def test_a_certificate_for_another_serial_is_neither_pinned_nor_told_the_code(make: Make, stranger: Authority) -> None:
    bench = make(tls=None)
    printer = bench.printers[0]
    with SilentPeer(stranger.issue("01P00A999999999")) as impostor:
        cable_to(bench, impostor)
        bench.start(wait_for=[])
        bench.cloud.hear("status", printer.id, is_not_trusted)
        impostor.wait_until_ended()
        assert impostor.heard == b""
    assert bench.ask(printer, "movement_control/home").answer.code == "identity_mismatch"
    pins = bench.service.state_dir / "printers.yaml"
    assert not pins.exists() or printer.serial not in pins.read_text()


def test_the_files_are_not_entrusted_to_a_stranger_either(make: Make, stranger: Authority) -> None:
    bench = make()
    printer = bench.printers[0]
    with SilentPeer(stranger.issue(printer.serial), b"220 welcome\r\n") as impostor:
        entry = printer.entry()
        entry["ports"]["ftps"] = impostor.port
        bench.service.write(bench.config([entry]))
        bench.start()
        url = bench.serve("secret.gcode.3mf", sliced())
        answer = bench.ask(printer, "printer_control/start_print_bbl", {"url": url}).answer
        assert (answer.code, answer.data["stage"]) == ("identity_mismatch", "upload")
        impostor.wait_until_ended()
        assert impostor.heard == b""
    assert printer.orders() == []


def test_a_fingerprint_in_the_configuration_decides(make: Make) -> None:
    first = make(tls=None).start()
    printer = first.printers[0]
    fingerprint = fingerprint_in(first.service.state_dir / "printers.yaml", printer.serial)
    first.service.child.kill()
    for given, trusted in ((fingerprint, True), ("sha256:" + "0" * 64, False)):
        (first.service.state_dir / "printers.yaml").unlink(missing_ok=True)
        first.service.write(first.config([printer.entry() | {"tls": {"fingerprint": given}}]))
        since = first.cloud.mark()
        first.service.start()
        first.when_available(since=since)
        status = first.cloud.hear(
            "status", printer.id, lambda each: each.machine["connection_info"]["verified"] is not None, since=since
        )
        assert status.machine["connection_info"]["verified"] is trusted
        first.service.child.kill()


def test_without_verification_it_works_and_warns(make: Make, stranger: Authority) -> None:
    bench = make(tls={"verify": False}).start()
    assert "not checked" in bench.service.log()
    status = bench.cloud.heard("status", bench.printers[0].id)[-1]
    assert status.machine["connection_info"]["verified"] is False
    bench.succeed(bench.printers[0], "movement_control/home")
