"""Everything on one bench: the cloud, printers, files over HTTP, and the service as a process."""

import asyncio
import copy
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml

from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from bambu_connector.virtual.server import VirtualPrinter
from tests.e2e.cloud import PASSWORD, USER, Cloud, Message, Tree
from tests.e2e.envelope import flaws
from tests.files import sliced
from tests.servers.cable import Cable
from tests.servers.http import HttpServer, Served
from tests.servers.process import Child, wait_until

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
ACCESS_CODE = "01234567"  # unquoted in YAML it would be a number, and another one
QUESTIONS = ("pushing", "info")
START_S = 30.0

Order = tuple[str, Tree]
"""A request as it reached the printer: its group (`print`, `system`, …) and its body."""


class Workshop:
    """A thread with a loop of its own for virtual printers, from the constructor to the end of the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="workshop", daemon=True)
        self._thread.start()
        self._serials = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have every printer stand still, wires and all."""
        thaw = threading.Event()
        self._loop.call_soon_threadsafe(thaw.wait, 30)
        try:
            yield
        finally:
            thaw.set()

    def next_serial(self, model: str) -> str:
        prefix = {"P1S": "01P", "X1C": "00M", "A1 mini": "030", "H2D": "094"}[model]
        return f"{prefix}00A{next(self._serials):09d}"


class Printer:
    """One virtual printer, used from the test's thread; `id` is Printago's name for it.

    With `cable` its broker is reached through a cable that can be unplugged. `entry` are further keys of its entry in
    `printers:`; the rest are those of `VirtualPrinter`.
    """

    def __init__(
        self,
        workshop: Workshop,
        model: str = "P1S",
        *,
        id: str | None = None,  # noqa: A002 - that is its name in the configuration
        serial: str | None = None,
        access_code: str = ACCESS_CODE,
        cable: bool = False,
        entry: Tree | None = None,
        speed: float = 300.0,
        print_seconds: float = 60.0,
        **options: Any,
    ) -> None:
        self._workshop = workshop
        serial = serial or workshop.next_serial(model)
        self.virtual = VirtualPrinter(
            model,
            serial=serial,
            access_code=Secret(access_code),
            authority=workshop.authority,
            speed=speed,
            print_seconds=print_seconds,
            **options,
        )
        workshop.run(self.virtual.__aenter__())
        self.id = id or f"id-{serial[-4:]}"
        self.serial = serial
        self.cable = Cable(("127.0.0.1", self.virtual.ports["mqtt"])) if cable else None
        self._entry = entry or {}
        self._original = copy.deepcopy(self.virtual.machine.report.fields)
        self._changes = itertools.count(1)

    def close(self) -> None:
        if self.cable is not None:
            self.cable.__exit__(None, None, None)
        self._workshop.run(self.virtual.__aexit__())

    def entry(self) -> Tree:
        """Return the printer as an item of `printers:`."""
        ports = dict(self.virtual.ports)
        if self.cable is not None:
            ports["mqtt"] = self.cable.port
        usual: Tree = {
            "serial": self.serial,
            "id": self.id,
            "name": f"Bench {self.id}",
            "host": "127.0.0.1",
            "access_code": ACCESS_CODE,
            "ports": ports,
            "tls": {"ca_file": str(self._workshop.authority.certificate)},
        }
        return {key: value for key, value in (usual | self._entry).items() if value is not None}

    # -- what it was told, and what it has ---------------------------------------------------------

    def mark(self) -> int:
        """Return the number of requests so far, for `orders`."""
        return len(self.virtual.requests)

    def orders(self, since: int = 0) -> list[Order]:
        """Return what it was told to do: every request that is not a mere question."""
        return [
            (group, body)
            for request in self.virtual.requests[since:]
            for group, body in request.items()
            if group not in QUESTIONS
        ]

    def commands(self, since: int = 0) -> list[str]:
        """Return the commands of every request, questions too."""
        return [body["command"] for request in self.virtual.requests[since:] for body in request.values()]

    @property
    def starts(self) -> list[str]:
        """The titles of all prints that began."""
        return [each.title for each in self.virtual.starts]

    def files(self) -> set[str]:
        """Return the names of the files in the root of its storage."""
        return {path.name for path in self.virtual.storage.iterdir() if path.is_file()}

    def put(self, name: str, content: bytes) -> None:
        """Put a file on its storage."""
        (self.virtual.storage / name).write_bytes(content)

    @property
    def state(self) -> str:
        return str(self.virtual.machine.report.get("gcode_state"))

    def when_state(self, state: str, timeout_s: float = 20.0) -> None:
        """Wait until it shows this state."""
        wait_until(f"{self.id} is {state}", lambda: self.state == state, timeout_s)

    def when_ordered(self, command: str, since: int = 0, timeout_s: float = 20.0) -> None:
        """Wait until it was told something."""
        wait_until(f"{command} reaches {self.id}", lambda: command in self.commands(since), timeout_s)

    # -- what tests do to it -----------------------------------------------------------------------

    def change(self, **fields: Any) -> int:
        """Have its report say something else; returns the number by which the change is known (`bench_change`)."""
        number = next(self._changes)
        self._workshop.run(self.virtual.change(**fields | {"bench_change": number}))
        return number

    def fault(self, *names: str) -> None:
        """Switch faults on."""
        for name in names:
            self.virtual.faults.add(name)

    def start_at_screen(self, title: str = "Somebody else's") -> None:
        self._workshop.run(self.virtual.start_print_at_screen(title))

    def restore(self) -> int:
        """Be as it was in the beginning."""
        self.virtual.faults.clear()
        for name in self.files():
            (self.virtual.storage / name).unlink()
        return self.change(**_back(self.virtual.machine.report.fields, self._original))


def _back(now: Tree, original: Tree) -> Tree:
    """Return what to merge into `now` to have what was there in the beginning; what was not there is null."""
    changes = copy.deepcopy(original) | dict.fromkeys(now.keys() - original.keys())
    for key, value in original.items():
        if isinstance(value, dict) and isinstance(now.get(key), dict):
            changes[key] = _back(now[key], value)
    return changes


@dataclass(frozen=True)
class Outcome:
    """The answer to a command, and what the printer was told in the meantime."""

    answer: Message
    orders: list[Order]

    def __str__(self) -> str:
        return f"answer {self.answer}; at the printer: {self.orders}"


class Service:
    """`bambu-connector` with one configuration: the service as a process, and its command line."""

    def __init__(self, folder: Path, config: Tree) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file = folder / "connector.yaml"
        self.state_dir = folder / "state"
        self._runs = itertools.count(1)
        self._child: Child | None = None
        self.write(config)

    def write(self, config: Tree) -> None:
        """Write the configuration."""
        config = {**config, "connector": {**config["connector"], "state_dir": str(self.state_dir)}}
        self.config_file.touch(0o600)
        self.config_file.write_text(yaml.safe_dump(config, sort_keys=False))

    @property
    def argv(self) -> list[str | Path]:
        return [sys.executable, "-m", "bambu_connector", "--config", self.config_file]

    def start(self) -> None:
        """Start the service, with a log that says everything."""
        argv = [*self.argv, "--log-level", "debug", "run"]
        self._child = Child(argv, self.folder / f"run-{next(self._runs)}.log", cwd=ROOT)

    @property
    def child(self) -> Child:
        assert self._child is not None, "the service was not started"
        return self._child

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the service to stop; return its exit code, which must be there within 10 s."""
        self.child.send_signal(number)
        return self.child.wait(10)

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()

    def log(self) -> str:
        """Return the log of all runs."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("run-*.log")))

    def cli(
        self, *argv: str, timeout_s: float = 40.0, stdin: str = "", **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, with `stdin` to read and no terminal; a traceback fails the test."""
        done = subprocess.run(
            [str(part) for part in (*self.argv, *argv)],
            cwd=ROOT,
            env={**os.environ, "HOME": str(self.folder), "COLUMNS": "200", **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done


class Bench:
    """One cloud, one service, and its printers. `sections` replace sections of the configuration.

    Printers are put on it before it is started. At the end every message and every answer is checked.
    """

    def __init__(
        self,
        folder: Path,
        workshop: Workshop,
        printers: Sequence[Printer] = (),
        *,
        connector_id: str = "bench",
        cloud: Cloud | None = None,
        cloud_port: int | None = None,
        tls: bool = False,
        protocol: str = "5",
        **sections: Tree,
    ) -> None:
        self._stack = ExitStack()
        self.workshop = workshop
        self.connector_id = connector_id
        self.printers = list(printers)
        folder = folder / connector_id
        folder.mkdir()
        self.cloud = cloud or self._stack.enter_context(Cloud(folder, tls=tls))
        self._owns_cloud = cloud is None
        self.web = self._stack.enter_context(HttpServer({}))
        self._printago: Tree = {
            "host": "127.0.0.1",
            "port": cloud_port or self.cloud.broker.port,
            "tls": {"ca_file": str(self.cloud.ca_file)} if self.cloud.ca_file else False,
            "username": USER,
            "password": PASSWORD,
            "protocol": protocol,
        }
        self._sections = sections
        self.service = Service(folder, self.config())
        self._stack.callback(self.service.close)
        self.secrets = [PASSWORD, ACCESS_CODE]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for printer in self.printers:
            printer.close()
        if kind is None and self._owns_cloud:
            wrong = [*self.unanswered(), *(flaw for each in self.cloud.messages for flaw in flaws(each)), *self.leaks()]
            assert not wrong, "\n".join(wrong)

    def __getitem__(self, printer_id: str) -> Printer:
        return next(each for each in self.printers if each.id == printer_id)

    # -- configuration -----------------------------------------------------------------------------

    def config(self, printers: Sequence[Tree] | None = None) -> Tree:
        """Return the configuration, for these entries or those of the bench's printers."""
        config: Tree = {
            "connector": {"id": self.connector_id},
            "printago": self._printago | self._sections.get("printago", {}),
            "status": {"min_interval": 0.2, "heartbeat": 30},
            "printers": [each.entry() for each in self.printers] if printers is None else list(printers),
            "downloads": {"allow_http": True, "allow_private_addresses": True, "timeout": 5},
            "web": {"listen": None},
        }
        return config | {key: value for key, value in self._sections.items() if key != "printago"}

    # -- the service -------------------------------------------------------------------------------

    def start(self, *, wait_for: Sequence[Printer] | None = None) -> Self:
        """Start the service; returns when Printago was told everything about the printers."""
        since = self.cloud.mark()
        self.service.start()
        self.when_available(since=since)
        for printer in self.printers if wait_for is None else wait_for:
            self.when_ready(printer, since=since)
        return self

    def when_available(self, *, since: int = 0, timeout_s: float = START_S) -> None:
        """Wait for `connected`."""
        topic = f"bambu/{self.connector_id}/mqtt"

        def probe() -> bool:
            assert self.service.alive, f"the service ended at once:\n{self.service.log()[-3000:]}"
            return any((each.topic, each.raw) == (topic, b"connected") for each in self.cloud.messages[since:])

        wait_until("the service is connected", probe, timeout_s)

    def when_ready(self, printer: Printer, *, since: int = 0) -> Message:
        """Wait for a status of a connected printer that has told its state."""
        return self.cloud.hear(
            "status",
            printer.id,
            lambda each: each.machine["connection_info"]["is_online"] and each.machine["current"]["print_status"],
            since=since,
            timeout_s=START_S,
        )

    # -- commands ----------------------------------------------------------------------------------

    def send(self, printer: Printer, command: str, parameters: Tree | None = None, **extra: Any) -> str:
        """Send a command; return its id."""
        return self.cloud.send(printer.id, command, parameters, **extra)

    def ask(
        self,
        printer: Printer,
        command: str,
        parameters: Tree | None = None,
        *,
        timeout_s: float = 20.0,
        **extra: Any,
    ) -> Outcome:
        """Send a command and wait for its answer."""
        mark = printer.mark()
        answer = self.cloud.answer(self.send(printer, command, parameters, **extra), timeout_s)
        return Outcome(answer, printer.orders(mark))

    def succeed(self, printer: Printer, command: str, parameters: Tree | None = None, **more: Any) -> Outcome:
        """The same, for a command that must succeed."""
        outcome = self.ask(printer, command, parameters, **more)
        assert outcome.answer.kind == "success", str(outcome)
        return outcome

    def refused(
        self, code: str, printer: Printer, command: str, parameters: Tree | None = None, **more: Any
    ) -> Outcome:
        """The same, for a command that must fail with `code`, and of which nothing may reach the printer."""
        before, mark = printer.files(), printer.mark()
        outcome = self.ask(printer, command, parameters, **more)
        assert (outcome.answer.kind, outcome.answer.code) == ("error", code), str(outcome)
        self.fence(printer)
        assert printer.orders(mark)[:-1] == [], str(outcome)
        assert printer.files() <= before
        return outcome

    def fence(self, printer: Printer) -> None:
        """Wait until everything that was sent to the printer before has reached it: one more order goes behind it."""
        self.succeed(printer, "light_control/set_light", {"light": "chamber_light", "state": "on"})

    def report(self, printer: Printer) -> Tree:
        """Return the printer's report as the service has it."""
        report: Tree = self.ask(printer, "printer_control/get_status").answer.data["report"]
        return report

    def set(self, printer: Printer, **fields: Any) -> None:
        """Change the printer; returns when the service knows."""
        self.when_known(printer, printer.change(**fields))

    def when_known(self, printer: Printer, change: int) -> None:
        """Wait until a change has reached the service."""
        wait_until(
            f"change {change} of {printer.id} is known", lambda: self.report(printer).get("bench_change") == change
        )

    def tidy(self) -> None:
        """Have the printers be as they were, and the service know it."""
        changes = {printer: printer.restore() for printer in self.printers}
        for printer, change in changes.items():
            self.when_known(printer, change)

    # -- files -------------------------------------------------------------------------------------

    def serve(self, name: str, content: bytes, query: str = "", **how: Any) -> str:
        """Serve a file; return its URL. `how` are the fields of `Served`."""
        path = f"/{name}"
        self.web.files[path] = Served(content, **how)
        return self.web.url(path) + query

    def stall(self, printer: Printer, seed: int, command: str = "start_print_bbl") -> tuple[str, str]:
        """Send a job and wait until its download stands still; return its command's id and what `go_on` takes."""
        name = f"stalled-{seed}.gcode.3mf"
        url = self.serve(name, sliced(seed=seed), stall_after=100)
        since, before = self.cloud.mark(), len(self.web.requests)
        command_id = self.send(printer, f"printer_control/{command}", {"url": url})
        self.cloud.hear("status", printer.id, lambda each: each.process["job_state"] == "download", since=since)
        wait_until("the download has begun", lambda: len(self.web.requests) > before)
        return command_id, name

    def go_on(self, name: str) -> None:
        """Serve the rest of a file whose `stall_after` was reached."""
        self.web.files[f"/{name}"].go_on.set()

    # -- what must hold in the end -----------------------------------------------------------------

    def unanswered(self) -> list[str]:
        """Return the commands that did not get exactly one answer."""
        return [
            f"{command} got {len(answers)} answers: {[str(each) for each in answers]}"
            for command_id, command in self.cloud.sent.items()
            if len(answers := self.cloud.answers(command_id)) != 1
        ]

    def leaks(self) -> list[str]:
        """Return where a secret stands that should stand nowhere."""
        places = {f"message on {each.topic}": each.raw for each in self.cloud.messages}
        places |= {str(path): path.read_bytes() for path in self.service.folder.glob("run-*.log")}
        places |= {str(path): path.read_bytes() for path in self.service.state_dir.rglob("*") if path.is_file()}
        return [
            f"{secret} in {place}" for place, content in places.items() for secret in self.secrets
            if secret.encode() in content
        ]  # fmt: skip
