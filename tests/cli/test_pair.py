"""`pair` with real wires: from a printer in its box to one of ours, or to a sentence that says why not."""

import json
import re
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bambu_connector.cli.main import cli
from bambu_connector.cli.service_client import Service
from bambu_connector.links.certificate import fingerprint_of
from bambu_connector.registry import Registry
from bambu_connector.secret import Secret
from tests.cli.pairing_bench import Box, Terminal, box
from tests.e2e.bench import ACCESS_CODE, Bench, Printer, Workshop
from tests.servers.process import wait_until

WRONG = "87654321"


@pytest.fixture
def home(workshop: Workshop, tmp_path: Path) -> Iterator[Box]:
    with box(workshop, tmp_path) as made:
        yield made


# -- alone -------------------------------------------------------------------------------------------


def test_a_printer_is_paired_by_its_address_before_there_is_any_configuration(home: Box) -> None:
    printer = home.printer()
    done = home.pair(printer.virtual.host, "--access-code-file", "-", "--name", "Left", stdin=f"{ACCESS_CODE}\n")
    for step in ("Identity", "Login", "Subscription", "Reports", "Version", "Files"):
        assert f"✓ {step}" in done.stdout
    assert "seen for the first time" in done.stdout
    assert "is trusted from now on" in done.stdout
    assert len(re.findall("sha256:[0-9a-f]{64}", done.stdout)) == 1
    assert done.stdout.endswith("Left is paired.\n")
    stored = home.paired(printer)
    assert stored is not None
    assert (stored.host, stored.name, stored.access_code) == (printer.virtual.host, "Left", Secret(ACCESS_CODE))
    assert (stored.ports.mqtt, stored.ports.ftps) == (home.ports["mqtt"], home.ports["ftps"])
    for name in ("printers.yaml", "secret.key"):
        assert stat.S_IMODE((home.state_dir / name).stat().st_mode) == 0o600
        assert ACCESS_CODE not in (home.state_dir / name).read_text()
    wait_until("the session is closed", lambda: printer.virtual.sessions == 0)
    assert printer.virtual.connects == 1


def test_a_refused_code_says_where_the_right_one_is_and_stores_nothing(home: Box) -> None:
    printer = home.printer()
    done = home.pair(printer.virtual.host, "--access-code-file", "-", stdin=f"{WRONG}\n", code=5)
    assert "✗ Login" in done.stdout
    assert "Settings > WLAN" in done.stderr
    assert WRONG not in done.stdout + done.stderr
    assert home.paired(printer) is None


def test_pairing_again_takes_a_new_code_and_needs_only_the_serial(home: Box) -> None:
    printer = home.printer()
    home.pair(printer.virtual.host, "--access-code-file", "-", "--id", "left", stdin=f"{ACCESS_CODE}\n")
    printer.virtual.access_code = Secret(WRONG)
    home.pair(printer.serial, code=5)  # nobody types: the known code is tried once more
    done = home.run("pair", printer.serial, "--access-code-file", "-", stdin=f"{WRONG}\n")
    assert "paired anew" in done.stdout
    assert "is the one that is trusted, sha256:" in done.stdout
    stored = home.paired(printer)
    assert stored is not None
    assert (stored.access_code, stored.id) == (Secret(WRONG), "left")


def test_a_certificate_that_has_changed_is_not_told_the_code_until_somebody_says_that_it_is_right(home: Box) -> None:
    printer = home.printer()
    home.pair(printer.virtual.host, "--access-code-file", "-", stdin=f"{ACCESS_CODE}\n")
    before = home.paired(printer)
    home.workshop.run(printer.virtual.change_certificate())
    seen = printer.virtual.credentials_seen
    refused = home.pair(printer.serial, "--access-code-file", "-", stdin=f"{ACCESS_CODE}\n", code=6)
    assert printer.virtual.credentials_seen == seen
    assert home.paired(printer) == before
    done = home.pair(printer.serial, "--access-code-file", "-", "--yes", stdin=f"{ACCESS_CODE}\n")
    after = home.paired(printer)
    assert before is not None
    assert after is not None
    assert before.fingerprint != after.fingerprint
    for shown in (refused.stderr, done.stderr):
        assert str(before.fingerprint) in shown
        assert str(after.fingerprint) in shown


def test_a_printer_that_is_known_can_be_named_by_its_id_or_its_name(home: Box) -> None:
    printer = home.printer()
    known = ("--access-code-file", "-", "--id", "left", "--name", "Left P1S")
    home.pair(printer.virtual.host, *known, stdin=ACCESS_CODE)
    for name in ("left", "Left P1S"):
        assert "Left P1S is paired anew" in home.run("pair", name).stdout


def test_a_serial_that_may_be_mistyped_is_doubted_before_anybody_is_looked_for(home: Box) -> None:
    done = home.pair("01P00A0000200O", "--host", "127.61.1.3", "--access-code-file", "-", stdin=ACCESS_CODE, code=4)
    doubts = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(doubts) == 2
    assert "has 14." in doubts[0]
    assert "letters O and I" in doubts[1]


def test_a_state_directory_that_cannot_be_used_is_said_before_anybody_is_contacted(home: Box) -> None:
    printer = home.printer()
    (home.state_dir / "lock").mkdir(parents=True)
    before = printer.virtual.credentials_seen
    done = home.pair(printer.virtual.host, stdin=ACCESS_CODE, code=3)  # not even asked for a code
    assert "The state directory" in done.stderr
    assert done.stdout == ""
    assert printer.virtual.credentials_seen == before


def test_a_file_of_printers_needs_a_state_directory_as_well(home: Box) -> None:
    (home.home / "box.csv").write_text(f"127.61.1.4,{ACCESS_CODE}\n")
    home.state_dir.mkdir(parents=True)
    (home.state_dir / "lock").mkdir()
    done = home.pair("--from", "box.csv", code=3)
    assert "The state directory" in done.stderr
    assert done.stdout == ""


def test_another_printer_at_the_address_is_said(home: Box) -> None:
    printer = home.printer()
    done = home.pair(
        "01P00A999999999", "--host", printer.virtual.host, "--access-code-file", "-", stdin=ACCESS_CODE, code=6
    )
    assert printer.serial in done.stderr
    assert printer.virtual.connects == 0


def test_nobody_at_the_address_is_said(home: Box) -> None:
    done = home.pair("127.61.1.1", "--access-code-file", "-", stdin=ACCESS_CODE, code=4)
    assert "Is it switched on" in done.stderr


def test_what_connector_yaml_says_otherwise_is_named(home: Box) -> None:
    printer = home.printer()
    entry = {"serial": printer.serial, "host": "127.61.1.2", "name": "Old", "access_code": WRONG}
    config = {"connector": {"id": "t", "state_dir": str(home.state_dir)}, "printers": [entry]}
    Path(home.home, "connector.yaml").write_text(json.dumps(config))
    Path(home.home, "connector.yaml").chmod(0o600)
    done = home.pair(printer.virtual.host, "--access-code-file", "-", "--name", "New", stdin=ACCESS_CODE)
    for key in ("`host`", "`name`", "`access_code`"):
        assert key in done.stderr
    assert WRONG not in done.stderr


# -- a person ----------------------------------------------------------------------------------------


def test_a_person_types_nothing_but_the_code_and_sees_none_of_it(home: Box) -> None:
    printer = home.printer()
    with Terminal(home, "pair", printer.virtual.host, *home.port_options) as terminal:
        terminal.when_shown("Access code of")
        terminal.type(WRONG)
        terminal.when_shown("refuses the access code")
        terminal.when_shown("Access code of", 2)
        terminal.type(ACCESS_CODE)
        assert terminal.wait() == 0
        terminal.when_shown("is paired.")
        assert ACCESS_CODE not in terminal.text
        assert WRONG not in terminal.text
    assert home.paired(printer) is not None


def test_a_person_chooses_several_of_those_that_announce_themselves_and_types_a_code_for_each(home: Box) -> None:
    printers = [home.printer(announces=True, announce_every=0.5, name=f"Box {n}") for n in (1, 2)]
    with Terminal(home, "pair", *home.port_options) as terminal:
        terminal.when_shown("Which ones?")
        numbers = [re.search(rf"^ *(\d+) .*{each.serial}", terminal.text, re.MULTILINE) for each in printers]
        terminal.type(",".join(found[1] for found in numbers if found))
        terminal.when_shown("Access code of Box 1")
        terminal.type(ACCESS_CODE)
        terminal.when_shown("Access code of Box 2")
        for times in range(1, 4):
            terminal.type(WRONG)
            terminal.when_shown("refuses the access code", times)
        assert terminal.wait() == 5
        terminal.when_shown("Box 1 is paired.")
        terminal.when_shown("Box 2 was not paired")
    assert home.paired(printers[0]) is not None
    assert home.paired(printers[1]) is None


def test_of_several_one_can_be_skipped_and_ctrl_c_says_who_is_left(home: Box) -> None:
    printers = [home.printer(announces=True, announce_every=0.5, name=f"Shelf {n}") for n in (1, 2, 3)]
    with Terminal(home, "pair", *home.port_options) as terminal:
        terminal.when_shown("Which ones?")
        numbers = [re.search(rf"^ *(\d+) .*{each.serial}", terminal.text, re.MULTILINE) for each in printers]
        terminal.type(",".join(found[1] for found in numbers if found))
        terminal.when_shown("Access code of Shelf 1")
        terminal.type("0123 4567")  # as its screen shows it
        terminal.when_shown("Access code of Shelf 2")
        terminal.type("")
        terminal.when_shown("Shelf 2: skipped.")
        terminal.when_shown("Access code of Shelf 3")
        terminal.ctrl_c()
        assert terminal.wait() == 130
        terminal.when_shown("Paired: Shelf 1. Not paired: Shelf 2, Shelf 3.")
        assert "Traceback" not in terminal.text
    assert [home.paired(each) is not None for each in printers] == [True, False, False]


def test_ctrl_c_in_the_middle_stores_nothing(home: Box) -> None:
    printer = home.printer(faults=["silent"])
    with Terminal(home, "pair", printer.virtual.host, *home.port_options) as terminal:
        terminal.when_shown("Access code of")
        terminal.type(ACCESS_CODE)
        terminal.when_shown("Subscription")
        terminal.ctrl_c()
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.text
    assert home.paired(printer) is None
    wait_until("the session is closed", lambda: printer.virtual.sessions == 0)


# -- mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["127.0.0.1", "--access-code", "s3cr3tCd"], "There is no --access-code"),
        (["127.0.0.1", "--access-code=s3cr3tCd"], "There is no --access-code"),
        ([], "Without a terminal nobody can choose"),
        (["10.0.0.1:99"], "neither a serial nor an address"),
        (["300.1.1.1"], "no valid IPv4 address"),
        (["01P00A000000001", "--serial", "01P00A000000002"], "not the same"),
        (["10.0.0.1", "--host", "10.0.0.2"], "not the same"),
        (["10.0.0.1", "--serial", "short"], "--serial"),
        (["10.0.0.1", "--id", "a/b"], "--id"),
        (["10.0.0.1", "--port", "http=80"], "--port"),
        (["10.0.0.1", "--from", "box.csv"], "--from"),
        (["10.0.0.1", "--access-code-file", "nowhere"], "cannot be read"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_command_line_that_cannot_be_says_why(argv: list[str], why: str) -> None:
    done = CliRunner().invoke(cli, ["pair", *argv], standalone_mode=False)
    assert done.exception is not None
    said = getattr(done.exception, "message", str(done.exception))
    assert why in said
    assert done.exception.exit_code == 2  # type: ignore[attr-defined]
    assert "s3cr3t" not in said


# -- through the service -----------------------------------------------------------------------------


def test_a_running_service_takes_a_printer_in_and_lets_it_go_without_a_restart(shop: Bench) -> None:
    printer = Printer(shop.workshop, "P1S", id="new")
    code = shop.service.folder / "code"
    code.touch(0o600)
    code.write_text(ACCESS_CODE)
    ports = [option for name, port in printer.virtual.ports.items() for option in ("--port", f"{name}={port}")]
    sessions = {each.id: each.virtual.connects for each in shop.printers}
    try:
        mark = shop.cloud.mark()
        wrong = shop.service.folder / "wrong"
        wrong.touch(0o600)
        wrong.write_text(WRONG)
        refused = shop.service.cli("pair", "127.0.0.1", "--access-code-file", str(wrong), "--id", "new", *ports)
        assert refused.returncode == 5, refused.stderr
        failed = shop.cloud.hear("pairing", "new", since=mark)
        assert failed.data["outcome"] == "failed"
        mark = shop.cloud.mark()
        done = shop.service.cli("pair", "127.0.0.1", "--access-code-file", str(code), "--id", "new", *ports)
        assert done.returncode == 0, done.stderr
        assert shop.cloud.hear("pairing", "new", since=mark).data["outcome"] == "paired"
        assert shop.cloud.hear("status", "new", since=mark).data["machines"][0]["connection_info"]["is_connected"]
        again = shop.service.cli("pair", printer.serial, "--access-code-file", str(code))
        assert "paired anew" in again.stdout, again.stderr
        assert printer.virtual.connects == 1
        gone = shop.service.cli("unpair", "new")
        assert gone.returncode == 0, gone.stderr
        wait_until("the session is closed", lambda: printer.virtual.sessions == 0)
        assert shop.cloud.heard("pairing", "new", since=mark)[-1].data["outcome"] == "unpaired"
        assert not shop.cloud.retained("bambu/new/status")
        assert {each.id: each.virtual.connects for each in shop.printers} == sessions
    finally:
        printer.close()


def test_who_hangs_up_on_the_service_in_the_middle_has_paired_nothing(shop: Bench) -> None:
    printer = Printer(shop.workshop, "P1S", id="half", faults=["silent"])
    ports = dict(printer.virtual.ports)
    service = Service.find(shop.service.state_dir)
    assert service is not None
    try:
        certificate = ssl.get_server_certificate(("127.0.0.1", ports["mqtt"]))
        shown = fingerprint_of(ssl.PEM_cert_to_DER_cert(certificate))
        request = {"do": "pair", "serial": printer.serial, "host": "127.0.0.1", "id": "half", "ports": ports}
        mark = shop.cloud.mark()
        answers = service.ask(request | {"access_code": ACCESS_CODE, "fingerprint": shown})
        assert next(answers)["progress"]["finding"]["step"] == "identity"
        service.close()
        assert shop.cloud.hear("pairing", "half", since=mark).data["outcome"] == "failed"
        wait_until("the session is closed", lambda: printer.virtual.sessions == 0)
        assert Registry(shop.service.state_dir).entry(printer.serial) is None
        assert "half" not in shop.service.cli("status").stdout
    finally:
        printer.close()
