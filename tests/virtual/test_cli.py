"""`bambu-connector virtual-printer`, as a process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bambu_connector.cli.virtual_printer import virtual_printer

ROOT = Path(__file__).resolve().parents[2]
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
    """Read what is printed before the line that says it is ready."""
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stderr.readline().startswith("ready: ")
    lines = []
    while True:
        line = running.stdout.readline()
        lines.append(line)
        if "ca_file" in line:
            break
    entry: dict[str, object] = yaml.safe_load("".join(lines))["printers"][0]
    return entry


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_an_entry_for_the_configuration_and_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.write_text("01234567\n")
    with process("--model", "a1mini", "--serial", "03000A000000001", "--access-code-file", str(code)) as running:
        entry = read_entry(running)
        assert {key: entry[key] for key in ("serial", "model", "host", "access_code")} == {
            "serial": "03000A000000001",
            "model": "A1 mini",
            "host": "127.0.0.1",
            "access_code": "01234567",
        }
        assert isinstance(entry["ports"], dict)
        assert isinstance(entry["tls"], dict)
        assert all(port > 0 for port in entry["ports"].values())
        authority = Path(entry["tls"]["ca_file"])
        assert authority.read_text().startswith("-----BEGIN CERTIFICATE-----")
        running.send_signal(number)
        _, rest = running.communicate(timeout=10)
        assert (running.returncode, rest) == (0, "stopped\n")
        assert not authority.exists()


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
