"""Printers with real ports at addresses of their own, who else is in their network, and people at the command line."""

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from bambu_connector.bambu.ssdp import GROUP, PORT, Announcement, announce
from bambu_connector.links.certificate import fingerprint_of
from bambu_connector.secret import Secret
from bambu_connector.virtual.logins import Tries
from tests.e2e.bench import ROOT, Bench, Printer, Service, Workshop
from tests.e2e.cloud import PASSWORD, Message, Tree
from tests.servers.process import wait_until

EVERYBODY: Final = "127.255.255.255"
EVERY_S: Final = 1.0
UNTRIED: Final = {"mqtt": Tries(), "ftps": Tries(), "camera": Tries()}
_PREFIXES: Final = {"P1S": "01P", "X1C": "00M", "A1 mini": "030", "H2D": "094"}
_LOOK_S: Final = 0.1
_STREET: Final = 2 + os.getpid() % 250  # so that two runs of the tests on one machine do not get in each other's way


def address(number: int) -> str:
    """Return the address of a neighbour; each number is used by one test file only."""
    return f"127.{_STREET}.1.{number}"


def serial_of(number: int, model: str = "P1S") -> str:
    """Return the serial of a neighbour, which no other test uses: announcements are heard by all of them."""
    return f"{_PREFIXES[model]}E{_STREET:03d}{number:08d}"


def code_of(number: int) -> str:
    """Return the access code of a neighbour."""
    return f"{(number * 61_803_399 + 14_142_135) % 10**8:08d}"


class Neighbour(Printer):
    """A virtual printer at the address with this number. Printago knows it by its serial.

    `entry` are further keys of its entry in connector.yaml, should it have one.
    """

    def __init__(
        self, workshop: Workshop, number: int, model: str = "P1S", *, entry: Tree | None = None, **options: Any
    ) -> None:
        self.number = number
        self.code = code_of(number)
        self._has_left = False
        place: Tree = {"host": address(number), "name": None, "ports": None, "tls": None, "access_code": self.code}
        camera = 322 if model in {"X1C", "H2D"} else 6000
        wires: Tree = {"mqtt_port": 8883, "ftps_port": 990, "detect_port": 3000, "detect_tls_port": 3002}
        usual: Tree = {
            "announces": True,
            "announce_every": EVERY_S,
            "name": f"Neighbour {number}",
            "camera_port": camera,
        }
        serial = serial_of(number, model)
        super().__init__(
            workshop, model, id=serial, serial=serial, access_code=self.code, entry=place | (entry or {}),
            bind=address(number), **(wires | usual | options),
        )  # fmt: skip

    @property
    def host(self) -> str:
        """Where it is now."""
        return self.virtual.host

    @property
    def name(self) -> str:
        return self.virtual.name

    def move(self, number: int) -> None:
        """Be at another address from now on, without a goodbye."""
        self._workshop.run(self.virtual.move(address(number)))

    def set_code(self, code: str) -> None:
        """Have somebody change its access code at its screen."""

        async def change() -> None:
            self.virtual.access_code = Secret(code)

        self._workshop.run(change())
        self.code = code

    def change_certificate(self) -> None:
        """Have it repaired."""
        self._workshop.run(self.virtual.change_certificate())

    def leave(self) -> None:
        """Go for good, with a goodbye; somebody else may have the address then."""
        self.close()
        self._has_left = True

    def close(self) -> None:
        if not self._has_left:
            super().close()

    def drop_connections(self) -> None:
        """Have it lose its clients."""

        async def drop() -> None:
            self.virtual.drop_connections()

        self._workshop.run(drop())

    @property
    def tries(self) -> Tries:
        """How often somebody tried to log in to its broker."""
        return self.virtual.credentials_seen["mqtt"]

    def fingerprint(self) -> str:
        """Return what its certificate is known by."""
        return fingerprint_of(certificate_at(self.host))


def certificate_at(host: str, port: int = 8883) -> bytes:
    """Return the certificate that is shown there, in DER."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), 5) as sock, context.wrap_socket(sock) as tls:
        return tls.getpeercert(binary_form=True) or b""


def rumour(serial: str, number: int) -> bytes:
    """Return what announces that a printer is at the address with this number."""
    return announce(Announcement(serial=serial, model_code="C12", host=address(number), name="A rumour"))


def tell_everybody(datagram: bytes, number: int) -> None:
    """Send a datagram to all who listen to announcements, from the address with this number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address(number)))
        sender.bind((address(number), 0))
        for target in (GROUP, EVERYBODY):
            sender.sendto(datagram, (target, PORT))


class Terminal:
    """A command with a person in front of it, until the end of the `with` block."""

    def __init__(self, service: Service, *argv: str) -> None:
        self.text = ""
        """Everything that is to be read on it so far."""
        self._read = 0
        self._ours, theirs = pty.openpty()
        # Of its own, as every terminal is: a question without echo is asked through /dev/tty.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *map(str, service.argv), *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env={**os.environ, "HOME": str(service.folder), "COLUMNS": "200", "LINES": "100", "TERM": "xterm"},
        )
        os.close(theirs)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # that is how a terminal ends
            while data := os.read(self._ours, 65536):
                self.text += data.decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._ours)

    def expect(self, pattern: str, timeout_s: float = 20.0) -> "re.Match[str]":
        """Wait for something to be read behind what was expected before."""

        def probe() -> "re.Match[str] | None":
            return re.compile(pattern).search(self.text, self._read)

        try:
            found = wait_until(pattern, probe, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; on the terminal stands:\n{self.text}") from None
        assert found is not None
        self._read = found.end()
        return found

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._ours, text.encode())

    def wait(self, timeout_s: float = 20.0) -> int:
        """Return the exit code."""
        return self._process.wait(timeout_s)


class ProcessList:
    """Looks at the command lines of all processes, again and again, for what must not stand there."""

    def __init__(self, secrets: Callable[[], Sequence[str]]) -> None:
        self._secrets = secrets
        self._ended = threading.Event()
        self.found: set[str] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    line = each.read_bytes()
                    self.found |= {f"a command line {line!r}" for secret in self._secrets() if secret.encode() in line}


class Neighbourhood(Bench):
    """A bench whose printers are neighbours, and a command line whose every word is looked at.

    In connector.yaml stand those of `written`. At the end no access code is anywhere but where it was put.
    """

    def __init__(
        self,
        folder: Path,
        workshop: Workshop,
        printers: Sequence[Neighbour],
        *,
        written: Sequence[Neighbour] = (),
        connector_id: str,
        **options: Any,
    ) -> None:
        self.written = list(written)
        super().__init__(folder, workshop, printers, connector_id=connector_id, **options)
        self._owns_cloud = True  # wherever it comes from, nobody shares it, so all that was said is judged
        self.neighbours = list(printers)
        self.secrets += [each.code for each in printers]
        self.outputs: dict[str, str] = {}
        self._inputs = folder / f"{connector_id}-inputs"
        self._inputs.mkdir()
        self._processes = ProcessList(lambda: [each for each in self.secrets if each != PASSWORD])
        self._stack.callback(self._processes.close)

    def at(self, number: int) -> Neighbour:
        """Return the neighbour with this number, wherever it has gone."""
        return next(each for each in self.neighbours if each.number == number)

    def config(self, printers: Sequence[Tree] | None = None) -> Tree:
        return super().config([each.entry() for each in self.written] if printers is None else printers)

    def leaks(self) -> list[str]:
        places: Iterator[tuple[str, bytes]] = ((what, text.encode()) for what, text in self.outputs.items())
        said = [f"{each} in {what}" for what, text in places for each in self.secrets if each.encode() in text]
        files = [path for path in self.service.folder.rglob("*") if path.is_file() and path != self.service.config_file]
        kept = [f"{each} in {path}" for path in files for each in self.secrets if each.encode() in path.read_bytes()]
        return [*super().leaks(), *said, *kept, *self._processes.found]

    # -- the command line --------------------------------------------------------------------------

    def ends(self, exit_code: int, *argv: str | Path, stdin: str = "", timeout_s: float = 40.0) -> str:
        """Run a command that must end like that; return what it said, results and remarks."""
        done = self.service.cli(*map(str, argv), stdin=stdin, timeout_s=timeout_s)
        said = done.stdout + done.stderr
        self.outputs[f"{len(self.outputs)}: {' '.join(map(str, argv))}"] = said
        assert done.returncode == exit_code, f"{argv} ends with {done.returncode}:\n{said}"
        return said

    def json(self, *argv: str | Path, exit_code: int = 0) -> Any:
        """Run a command with `--json`, and return its result."""
        done = self.service.cli(*map(str, argv), "--json")
        self.outputs[f"{len(self.outputs)}: {' '.join(map(str, argv))}"] = done.stdout + done.stderr
        assert done.returncode == exit_code, f"{argv} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def pair(self, printer: Neighbour, *argv: str, code: str | None = None, exit_code: int = 0) -> str:
        """Pair a printer (by its address, unless `argv` says otherwise); its access code is in a file."""
        who = argv if argv and not argv[0].startswith("-") else (printer.host, *argv)
        return self.ends(exit_code, "pair", *who, "--access-code-file", self.secret(code or printer.code))

    def have_paired(self, printer: Neighbour) -> None:
        """Pair a printer, unless an earlier test has."""
        if not self.registry.exists() or printer.serial not in self.registry.read_text():
            self.pair(printer)
            self.when_usable(printer)

    def secret(self, text: str, name: str | None = None) -> Path:
        """Return a file with a secret in it."""
        path = self._inputs / (name or f"code-{len(list(self._inputs.iterdir()))}")
        path.touch(0o600)
        path.write_text(f"{text}\n")
        return path

    def keep_secret(self, *texts: str) -> None:
        """Have these be nowhere as well."""
        self.secrets += texts

    def listed(self) -> dict[str, Tree]:
        """Return the rows of `printers`, by serial."""
        return {each["serial"]: each for each in self.json("printers")}

    @property
    def registry(self) -> Path:
        """Where it is written down who is paired."""
        return self.service.state_dir / "printers.yaml"

    def stored(self, printer: Neighbour) -> Tree:
        """Return what is written down of a printer."""
        found: Tree = yaml.safe_load(self.registry.read_text())["printers"][printer.serial]
        return found

    # -- Printago ----------------------------------------------------------------------------------

    def link(self, printer: Neighbour, since: int = 0, **expected: object) -> Message:
        """Wait for a status whose `connection_info` has these values."""

        def holds(message: Message) -> bool:
            shown = message.machine["connection_info"]
            return all(shown[key] == value for key, value in expected.items())

        return self.cloud.hear("status", printer.id, holds, since=since)

    def when_usable(self, printer: Neighbour, since: int = 0, **expected: object) -> Message:
        """The same, for a printer that has told its state since it was connected, so that it could print."""

        def holds(message: Message) -> bool:
            shown = message.machine["connection_info"] | {"is_usable": message.process["can_process_job"]}
            return all(shown[key] == value for key, value in (expected | {"is_usable": True}).items())

        return self.cloud.hear("status", printer.id, holds, since=since)

    def is_told(self, printer: Neighbour, outcome: str, since: int = 0) -> Message:
        """Wait for a `pairing` with this outcome."""
        return self.cloud.hear("pairing", printer.id, lambda each: each.data["outcome"] == outcome, since=since)

    def troubles(self, printer: Neighbour, since: int = 0) -> list[str | None]:
        """Return the codes of the errors of a printer that nobody asked for."""
        errors = self.cloud.heard("error", printer.id, since=since)
        return [each.code for each in errors if "command" not in each.fields]

    def uplinks(self) -> int:
        """Return how often the service has connected to Printago's broker."""
        return len(re.findall(rf" as bambu-connector-{self.connector_id} ", self.cloud.broker.text()))
