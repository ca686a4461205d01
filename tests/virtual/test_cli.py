"""`bambu-connector virtual-printer`, as a process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bambu_connector.bambu.ssdp import PORT
from bambu_connector.cli.virtual_printer import virtual_printer
from tests.virtual.wires import Ears, run, until

ROOT = Path(__file__).resolve().parents[2]
SERIAL = "03000A000000001"
SELF = (SERIAL, "127.0.9.1")
COMMAND = "from bambu_connector.cli.virtual_printer import virtual_printer; virtual_printer()"


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def read_entry(running: subprocess.Popen[str]) -> dict[str, object]:
    """Read what is printed before the line that says it is ready; return the item, as under `printers:`."""
    assert running.stdout is not None
    assert running.stderr is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("ready: "):
        lines.append(running.stderr.readline())
        assert lines[-1]
    text = os.read(running.stdout.fileno(), 4096).decode()  # it was written before what was read above
    (entry,) = yaml.safe_load(f"printers:\n  - serial: {SERIAL}\n{text}")["printers"][1:]
    entry["told"] = lines[0]
    return dict(entry)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_an_item_for_the_configuration_and_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.write_text("01234567\n")
    given = ("--model", "a1mini", "--serial", SERIAL, "--name", "Größe: 1", "--access-code-file", str(code))
    with process(*given, "--no-announce") as running:
        entry = read_entry(running)
        assert {key: value for key, value in entry.items() if key not in ("ports", "told")} == {
            "serial": SERIAL,
            "name": "Größe: 1",
            "model": "A1 mini",
            "host": "127.0.0.1",
            "access_code": "01234567",
        }  # and no `tls`: the certificate goes with the printer
        assert isinstance(entry["ports"], dict)
        assert list(entry["ports"]) == ["mqtt", "ftps", "camera"]
        assert all(port > 0 for port in entry["ports"].values())
        assert f"bambu-connector pair 127.0.0.1 --serial {SERIAL} --port mqtt=" in str(entry["told"])
        running.send_signal(number)
        _, rest = running.communicate(timeout=10)
        assert (running.returncode, rest) == (0, "stopped\n")


def test_a_state_folder_keeps_the_certificate_of_its_authority(tmp_path: Path) -> None:
    with process("--serial", SERIAL, "--state-dir", str(tmp_path), "--no-announce") as running:
        tls = read_entry(running)["tls"]
        assert isinstance(tls, dict)
        assert Path(tls["ca_file"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=10)
        assert Path(tls["ca_file"]).parent == tmp_path
        assert Path(tls["ca_file"]).exists()


def test_with_real_ports_and_announcing_the_serial_is_enough_to_pair_it(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("port 990 is for root")
    given = ("--serial", SERIAL, "--bind", "127.0.9.1", "--real-ports", "--state-dir", str(tmp_path))

    async def test() -> None:
        async with Ears(PORT) as ears:

            def heard() -> list[bool]:
                return [each.is_goodbye for each in ears.announcements() if (each.serial, each.host) == SELF]

            with process(*given) as running:
                entry = await asyncio.to_thread(read_entry, running)
                assert "ports" not in entry
                assert f"`bambu-connector pair {SERIAL}`" in str(entry["told"])
                for port in (8883, 990, 3000, 3002, 6000):
                    with socket.create_connection(("127.0.9.1", port), 5):
                        pass
                await until(lambda: len(heard()) > 1)
                running.send_signal(signal.SIGTERM)
                await asyncio.to_thread(running.communicate, timeout=10)
            await until(lambda: heard()[-1])

    run(test())


def test_the_faults_are_listed() -> None:
    result = CliRunner().invoke(virtual_printer, ["--list-faults"])
    assert result.exit_code == 0
    assert "slow-start " in result.stdout
    assert "default 0x05004004" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fault", "nope"],
        ["--model", "Z9"],
        ["--bind", "somewhere"],
        ["--speed", "0"],
        ["--access-code", "12345678", "--access-code-file", __file__],
    ],
    ids=str,
)
def test_wrong_usage_is_told_in_a_sentence(arguments: list[str]) -> None:
    result = CliRunner().invoke(virtual_printer, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_an_address_that_cannot_be_had_is_told_in_a_sentence() -> None:
    result = CliRunner().invoke(virtual_printer, ["--bind", "192.0.2.1"])
    assert result.exit_code == 1
    assert "cannot listen on 192.0.2.1" in result.output


@pytest.mark.parametrize("package", ["amqtt", "aioftp"])
def test_without_the_extra_one_sentence_says_how_to_install_it(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules[{package!r}] = None; {COMMAND}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("pip install 'bambu-connector[virtual]'\n")
    assert done.stderr.count("\n") == 1


def test_the_command_is_there_without_loading_the_servers() -> None:
    loaded = "import sys; sys.exit(bool({'amqtt', 'aioftp', 'cryptography', 'yaml'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import bambu_connector.cli.virtual_printer; {loaded}"], cwd=ROOT, check=False
    )
    assert done.returncode == 0
