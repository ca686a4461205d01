"""Working without a service: who is meant, whose state directory it is, and what is left behind."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from bambu_connector.cli.alone import find_printer
from bambu_connector.config import Config, Connector, PrinterConfig, load
from bambu_connector.errors import UnknownPrinter
from bambu_connector.service.lock import StateLock
from tests.e2e.bench import ROOT, Bench, Service
from tests.servers.process import wait_until

NOBODY = 65534


@pytest.mark.parametrize("name", ["left", "01P00A000000001", "Left P1S"])
def test_a_printer_is_found_by_its_id_its_serial_and_its_name(desk: Service, name: str) -> None:
    assert find_printer(load(desk.config_file, {}), name).serial == "01P00A000000001"


def test_a_printer_that_is_not_there_is_told_with_those_that_are(desk: Service) -> None:
    with pytest.raises(UnknownPrinter, match=r'no printer "left p1s" .* it has: Left P1S, Right X1C\.') as error:
        find_printer(load(desk.config_file, {}), "left p1s")
    assert error.value.exit_code == 2


@pytest.mark.parametrize("argv", [["status"], ["send", "alone", "movement_control/home"]], ids=" ".join)
def test_a_state_directory_that_somebody_owns_is_left_alone(lonely: Bench, argv: list[str]) -> None:
    printer = lonely["alone"]
    mark, connects = printer.mark(), printer.virtual.connects
    with StateLock(lonely.service.state_dir):
        done = lonely.service.cli(*argv)
    assert (done.returncode, done.stdout) == (1, "")
    assert str(lonely.service.state_dir) in done.stderr
    assert done.stderr.count("\n") == 1
    assert (printer.orders(mark), printer.virtual.connects) == ([], connects)


def test_a_state_directory_that_cannot_be_is_a_mistake_in_the_configuration(desk: Service) -> None:
    desk.state_dir.write_text("a file, not a folder")
    done = desk.cli("status")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{desk.state_dir / 'printers.yaml'}: the file cannot be read: Not a directory" in done.stderr


def test_a_command_that_is_interrupted_frees_the_printer(lonely: Bench) -> None:
    printer = lonely["alone"]
    printer.fault("no-ack")
    mark = printer.mark()
    with subprocess.Popen(
        [*lonely.service.argv, "send", "alone", "movement_control/home"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as running:
        printer.when_ordered("gcode_line", mark)
        running.send_signal(2)
        assert running.wait(10) == 130
        assert running.stderr is not None
        assert "Traceback" not in running.stderr.read()
    printer.virtual.faults.clear()
    wait_until("the session is closed", lambda: printer.virtual.sessions == 0)
    assert lonely.service.cli("status").returncode == 0


def test_nothing_but_the_usual_is_left_in_the_state_directory(lonely: Bench) -> None:
    assert lonely.service.cli("status").returncode == 0
    left = {path.name for path in lonely.service.state_dir.iterdir() if path.is_file()}
    assert not [name for name in left if re.search(r"sock|part|tmp|new$", name)]
    assert list(Path(lonely.service.state_dir, "downloads").iterdir()) == []


def test_every_printer_is_asked_even_when_one_is_dead(lonely: Bench, shop: Bench) -> None:
    # The X1C of the other bench stands in for a second one here; its service is not asked.
    entries = [lonely["alone"].entry(), shop["right"].entry() | {"access_code": None}]
    lonely.service.write(lonely.config(entries))
    try:
        done = lonely.service.cli("status", "--json")
    finally:
        lonely.service.write(lonely.config())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name: each["machines"][0]["connection_info"]["is_online"] for name, each in found.items()} == {
        "alone": True,
        "right": False,
    }


def test_a_name_that_two_printers_have_is_refused_and_a_serial_goes_before_a_name(tmp_path: Path) -> None:
    connector = Connector("t", tmp_path)
    same = [PrinterConfig(serial=f"01P00A00000000{n}", id=f"p{n}", name="Same") for n in (1, 2)]
    odd = PrinterConfig(serial="01P00A000000003", id="p3", name="01P00A000000001")
    config = Config(connector=connector, printers=(odd, *same))
    with pytest.raises(UnknownPrinter, match='2 printers are called "Same"'):
        find_printer(config, "Same")
    assert find_printer(config, "01P00A000000001").id == "p1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could leave files that the service's user cannot use")
def test_root_leaves_the_state_directory_of_another_user_alone(desk: Service) -> None:
    desk.state_dir.mkdir(mode=0o700, exist_ok=True)
    os.chown(desk.state_dir, NOBODY, NOBODY)
    done = desk.cli("status")
    assert done.returncode == 3
    assert "sudo -u nobody bambu-connector" in done.stderr
    assert not list(desk.state_dir.iterdir())
