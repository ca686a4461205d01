"""`discover`: the command as a process, with the real ports, against printers on loopback addresses."""

import contextlib
import errno
import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner
from rich.console import Console

from bambu_connector.bambu.detect import Detected, reply
from bambu_connector.bambu.ssdp import GROUP, Announcement, announce, answer, is_search
from bambu_connector.cli.discover import _table
from bambu_connector.cli.main import cli
from bambu_connector.cli.sightings import Ours, Sightings
from bambu_connector.links import discovery
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import ROOT
from tests.servers.process import wait_until
from tests.servers.silent import ScriptedPeer, SilentPeer

SERIAL = "01P00D000000001"
OTHER = "00M00D000000002"
LEFT = Announcement(
    serial=SERIAL, model_code="C12", host="127.41.0.1", name="[red]Left", signal_dbm=-53, connection="lan",
    is_bound=False, firmware="01.08.02.00",
)  # fmt: skip
RIGHT = Announcement(serial=OTHER, model_code="BL-P001", host="127.41.0.2", connection="cloud", firmware="01.08.05.00")


class Announcing:
    """Printers that announce themselves again and again on the real ports of loopback, and answer when asked."""

    def __init__(self, *printers: Announcement, only_answers: bool = False) -> None:
        self._printers = () if only_answers else printers
        self._answers = printers
        self._stop = threading.Event()
        self._ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._ears.bind((GROUP, 2021))
        both = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        self._ears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, both)
        self._ears.settimeout(0.1)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._ears.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for number, each in enumerate(self._printers):
                self._say(announce(each), each.host, (GROUP, (2021, 1990)[number % 2]))
            with contextlib.suppress(TimeoutError):
                datagram, source = self._ears.recvfrom(4096)
                if is_search(datagram):
                    for each in self._answers:
                        self._say(answer(each), each.host, source)

    @staticmethod
    def _say(datagram: bytes, host: str, target: tuple[str, int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            mouth.bind((host, 0))
            mouth.sendto(datagram, target)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has no configuration."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    return {**kept, "HOME": str(tmp_path), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}


Discover = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def discover(environ: dict[str, str], tmp_path: Path) -> Discover:
    def run(*argv: str, timeout: float = 1.5, options: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "bambu_connector", *options, "discover", "--timeout", str(timeout), *argv]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=40, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def found(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    """Return the rows by serial; others may be announcing themselves on this machine as well."""
    assert done.returncode == 0, done.stderr
    return {row["serial"]: row for row in json.loads(done.stdout)}


def test_printers_that_announce_themselves_on_either_port_are_found(discover: Discover) -> None:
    with Announcing(LEFT, RIGHT):
        rows = found(discover("--json"))
    assert rows[SERIAL] == {
        "serial": SERIAL, "name": "[red]Left", "model": "Bambu Lab P1S", "model_code": "C12", "host": "127.41.0.1",
        "signal_dbm": -53, "connection": "lan", "firmware": "01.08.02.00", "paired": False, "developer_mode": None,
        "found_by": rows[SERIAL]["found_by"],
    }  # fmt: skip
    assert rows[SERIAL]["found_by"] in {"announcement", "search"}
    assert (rows[OTHER]["connection"], rows[OTHER]["developer_mode"]) == ("cloud", False)


def test_printers_that_only_answer_are_found_by_asking(discover: Discover) -> None:
    with Announcing(LEFT, only_answers=True):
        assert found(discover("--json"))[SERIAL]["found_by"] == "search"


def test_the_table_shows_each_printer_once(discover: Discover) -> None:
    with Announcing(LEFT, RIGHT):
        done = discover()
    assert done.returncode == 0
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == [
        "name", "model", "serial", "address", "signal", "connection", "firmware", "paired", "controllable",
    ]  # fmt: skip
    (left,) = [line for line in lines if SERIAL in line]
    (right,) = [line for line in lines if OTHER in line]
    assert left.split() == ["[red]Left", "P1S", SERIAL, "127.41.0.1", "-53", "dBm", "LAN", "01.08.02.00", "no", "?"]
    assert right.split() == ["?", "X1", "Carbon", OTHER, "127.41.0.2", "?", "cloud", "01.08.05.00", "no", "no"]


def test_what_is_paired_is_shown_as_such(discover: Discover, tmp_path: Path) -> None:
    config = tmp_path / "connector.yaml"
    config.write_text(
        f"connector: {{state_dir: {tmp_path / 'state'}}}\n"
        f"printers: [{{serial: {OTHER}, name: Right, access_code: '24681357'}}]\n"
    )
    config.chmod(0o600)
    with Announcing(LEFT, RIGHT):
        done = discover("--json", options=("--config", str(config)))
    rows = found(done)
    assert (rows[SERIAL]["paired"], rows[OTHER]["paired"], rows[OTHER]["name"]) == (False, True, "Right")
    assert "24681357" not in done.stdout + done.stderr


def test_a_configuration_that_is_named_and_not_there_ends_with_3(discover: Discover) -> None:
    assert discover(timeout=0.1, options=("--config", "none.yaml")).returncode == 3


def test_a_subnet_is_probed_without_a_credential(discover: Discover, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    told = reply(Detected(serial=SERIAL, model_code="C12", name="Probed", firmware="01.08.02.00", connection="lan"))
    with (
        SilentPeer(authority.issue(SERIAL), host="127.41.1.1", port=8883) as left,
        SilentPeer(authority.issue(OTHER), host="127.41.1.2", port=8883) as right,
        SilentPeer(authority.issue("localhost"), host="127.41.1.3", port=8883) as stranger,
        ScriptedPeer(None, [told], host="127.41.1.1", port=3000),
    ):
        rows = found(discover("--json", "--subnet", "127.41.1.0/29", timeout=0.2))
        for peer in (left, right, stranger):
            peer.wait_until_ended()
            assert peer.heard == b""
    assert (rows[SERIAL]["host"], rows[SERIAL]["name"], rows[SERIAL]["found_by"]) == ("127.41.1.1", "Probed", "probe")
    assert (rows[OTHER]["host"], rows[OTHER]["name"], rows[OTHER]["model_code"]) == ("127.41.1.2", None, "BL-P001")
    assert "localhost" not in json.dumps(list(rows))


def test_a_network_without_its_size_is_refused_with_what_to_write(discover: Discover) -> None:
    done = discover("--subnet", "192.168.1.0", timeout=0.1)
    assert done.returncode == 2
    assert "write 192.168.1.0/24" in done.stderr


def test_on_a_narrow_terminal_name_serial_and_address_are_whole() -> None:
    sightings = Sightings()
    sightings.hear(LEFT)
    screen = io.StringIO()
    Console(file=screen, width=60).print(_table(sightings.rows(Ours()), 60, "ready"))
    heading, row, *_ = screen.getvalue().splitlines()
    assert heading.split()[:1] == ["name"]
    assert row.split()[:1] == ["[red]Left"]
    assert {SERIAL, "127.41.0.1"} <= set(row.split())
    assert "signal" not in heading
    assert "ready" in screen.getvalue()


@pytest.mark.parametrize("subnet", ["10.0.0.0/8", "nonsense", "fd00::/64"])
def test_a_range_that_cannot_be_probed_is_wrong_usage(discover: Discover, subnet: str) -> None:
    done = discover("--subnet", subnet, timeout=0.1)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("bambu-connector: ")


def test_finding_nothing_says_what_may_be_the_reason_and_is_no_failure(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Virtual printers of others on this machine may be announcing themselves.
    monkeypatch.setattr(discovery, "parse_announcement", lambda _datagram, _source: None)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["discover", "--json", "--timeout", "0.01"], env=environ)
    assert done.exit_code == 0
    assert json.loads(done.stdout) == []
    assert done.stderr.startswith("No printer was found in ")
    for command in ("discover --timeout 60", "discover --subnet ", "2021", "bambu-connector pair ADDRESS"):
        assert command in done.stderr


def test_a_port_that_another_program_has_is_told(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def listening(port: int) -> socket.socket:
        if port == 1990:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return open_port(port)

    open_port = discovery._listening
    monkeypatch.setattr(discovery, "_listening", listening)
    monkeypatch.chdir(tmp_path)
    with Announcing(LEFT):
        done = CliRunner().invoke(cli, ["discover", "--timeout", "1"], env=environ)
    assert done.exit_code == 0
    assert SERIAL in done.stdout
    assert "note: UDP port 1990 cannot be listened on: another program has it" in done.stderr


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, environ: dict[str, str], cwd: Path, *argv: str) -> None:
        self._screen, inside = pty.openpty()
        self.text = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bambu_connector", *argv],
            cwd=cwd,
            env={**environ, "TERM": "xterm"},
            stdin=inside,
            stdout=inside,
            stderr=subprocess.PIPE,
        )
        os.close(inside)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(self._screen, 4096):
                self.text += data.decode(errors="replace")

    def when_shown(self, text: str) -> None:
        wait_until(f"{text!r} on the screen", lambda: text in self.text, 20)

    def ctrl_c(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(10)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._reader.join()
        os.close(self._screen)


@pytest.fixture
def terminal(environ: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(environ, tmp_path, "discover")
    yield terminal
    terminal.close()


def test_a_terminal_shows_a_live_table_and_ctrl_c_ends_it_with_what_was_found(terminal: Terminal) -> None:
    terminal.when_shown("listening for")
    with Announcing(LEFT):
        terminal.when_shown(SERIAL)
    before = len(terminal.text)
    assert terminal.ctrl_c() == 0
    wait_until("the table at the end", lambda: SERIAL in terminal.text[before:])


def test_help_says_how_long_it_listens(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "bambu_connector", "discover", "--help"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20, check=True)
    assert "[default: 30.0;" in done.stdout
    assert "every 5 to 30 s" in " ".join(done.stdout.split())
