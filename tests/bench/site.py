"""Where processes are measured: one broker in the place of all printers', one in Printago's, and we on both sides."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import orjson
import psutil
import yaml
from paho.mqtt import client as paho

from bambu_connector.virtual import pki
from tests.bench import bare
from tests.servers.mosquitto import Mosquitto
from tests.servers.process import Child, workspace

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "bambu_connector" / "virtual" / "reports"
MANY = ("max_queued_messages 0", "max_inflight_messages 0")


def captured(model: str) -> dict[str, Any]:
    """Return the full report of a model as the virtual printer has it."""
    found: dict[str, Any] = json.loads((REPORTS / f"{model}.json").read_bytes())["push_status"]
    return found | {"command": "push_status", "msg": 0, "sequence_id": "1"}


class Site:
    """Brokers from the constructor to the end of the `with` block; it answers as every printer on them would."""

    def __init__(self, model: str = "P1S") -> None:
        self._stack = ExitStack()
        self.folder = self._stack.enter_context(workspace())
        self.authority = pki.Authority(self.folder)
        pem = self.authority.issue(serial(0))
        self.printers = self._stack.enter_context(Mosquitto(self.folder, pem=pem, options=MANY))
        self.printago = self._stack.enter_context(Mosquitto(self.folder, options=MANY))
        self.report = captured(model)
        self.requests: list[paho.MQTTMessage] = []
        self.told: dict[str, bytes] = {}
        """The last status of each printer id."""
        self.statuses = 0
        self.on_told: Callable[[str, bytes], None] = lambda printer_id, payload: None
        self._selector = bare.Selector()
        self._stack.callback(self._selector.close)
        ready: list[int] = []
        ours = ("device/+/request", 1)
        self._printer = self._selector.client(
            self.printers.port, self._asked, ours, tls=True, on_subscribed=lambda: ready.append(1)
        )
        self._cloud = self._selector.client(
            self.printago.port, self._heard, ("bambu/#", 1), on_subscribed=lambda: ready.append(2)
        )
        self.until("our own connections", lambda: len(ready) == 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- what the printers do ----------------------------------------------------------------------

    def _asked(self, message: paho.MQTTMessage) -> None:
        self.requests.append(message)
        number = message.topic.split("/")[1]
        for group, body in orjson.loads(message.payload).items():
            if isinstance(body, dict):  # what the bare relay hands on is no request
                self._answer(number, group, body)

    def _answer(self, number: str, group: str, body: dict[str, Any]) -> None:
        match group, body.get("command"):
            case "pushing", "pushall":
                self.say(number, self.report)
            case "info", "get_version":
                modules = [{"name": "ota", "sw_ver": "01.08.02.00", "sn": number}]
                self._publish(number, {"info": body | {"module": modules}})
            case _:
                self._publish(number, {group: body | {"result": "success"}})

    def _publish(self, number: str, message: dict[str, Any]) -> None:
        self._printer.publish(f"device/{number}/report", orjson.dumps(message), 0)

    def say(self, number: str, fields: dict[str, Any]) -> None:
        """Report something as the printer with that serial."""
        self._publish(number, {"print": fields})

    # -- what Printago does ------------------------------------------------------------------------

    def command(self, printer_id: str, message: dict[str, Any]) -> None:
        """Send a command to one printer."""
        self._cloud.publish(f"bambu/{printer_id}/commands", orjson.dumps(message), 1)

    def _heard(self, message: paho.MQTTMessage) -> None:
        _, printer_id, kind = message.topic.split("/")
        payload = bytes(message.payload)
        if kind == "status":
            self.statuses += 1
            self.told[printer_id] = payload
        self.on_told(printer_id, payload)

    # -- the processes -----------------------------------------------------------------------------

    def configuration(self, numbers: Sequence[int], *, min_interval: float = 1.0, verify: bool = True) -> Path:
        """Write a configuration for the printers of these numbers; return its path."""
        one = {"host": "127.0.0.1", "access_code": "12345678", "ports": {"mqtt": self.printers.port}}
        tls: dict[str, Any] = {"ca_file": str(self.authority.certificate)} if verify else {"verify": False}
        name = f"{len(list(self.folder.glob('*.yaml')))}-{len(numbers)}"
        tree = {
            "connector": {"id": f"bench-{name}", "state_dir": str(self.folder / f"state-{name}")},
            "printago": {
                "host": "127.0.0.1", "port": self.printago.port, "tls": False, "username": "farm", "password": "secret",
            },
            "status": {"min_interval": min_interval},
            "printers": [{"serial": serial(n), "id": printer_id(n), "tls": tls, **one} for n in numbers],
            "web": {"listen": None},
        }  # fmt: skip
        path = self.folder / f"{name}.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return path

    def start_ours(self, config: Path, command: Sequence[str | Path] = ()) -> "Measured":
        """Start our service; `command` is how it is called, if not as a module of this checkout."""
        call = command or (sys.executable, "-m", "bambu_connector")
        return self._start([*call, "--config", config, "run"], config.with_suffix(".log"))

    def start_floor(
        self, kind: str, numbers: Sequence[int], prefix: str = "printer", python: str | Path = sys.executable
    ) -> "Measured":
        """Start the bare process: `relay` or `listen`; `prefix` tells its printer ids from ours."""
        task = bare.Task(
            printers=self.printers.port,
            printago=self.printago.port,
            serials={serial(n): f"{prefix}{n}" for n in numbers},
        )
        path = self.folder / f"bare-{kind}-{len(numbers)}-{numbers[0]}.json"
        path.write_text(json.dumps(task))
        script = f"exec {python} {bare.__file__} {kind} < {path}"
        return self._start(["/bin/sh", "-c", script], path.with_suffix(".log"))

    def _start(self, argv: Sequence[str | Path], log: Path) -> "Measured":
        self.told.clear()
        return self._stack.enter_context(Measured(argv, log))

    def until_told(self, numbers: Sequence[int], prefix: str = "printer") -> None:
        """Live until each of these printers has a status that tells its state."""
        missing = {f"{prefix}{n}" for n in numbers}

        def told() -> bool:
            missing.difference_update([who for who in missing if is_complete(self.told.get(who, b""))])
            return not missing

        self.until("a status of each printer", told)

    def until(self, what: str, probe: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Live until `probe` says yes; fail with `what` when it does not in time."""
        self._selector.until(what, probe, timeout_s)

    def step(self, timeout_s: float) -> None:
        """Live for a moment."""
        self._selector.step(timeout_s)


class Measured(Child):
    """A process with its figures."""

    @property
    def _figures(self) -> psutil.Process:
        return psutil.Process(self.pid)

    @property
    def kilobytes(self) -> float:
        """Resident memory."""
        return float(self._figures.memory_info().rss) / 1024

    @property
    def threads(self) -> int:
        """How many there are."""
        return int(self._figures.num_threads())

    @property
    def cpu_s(self) -> float:
        """CPU time until now, user's and system's."""
        times = self._figures.cpu_times()
        return float(times.user + times.system)

    def has_loaded(self, *names: str) -> list[str]:
        """Return which packages have a compiled part in its memory."""
        maps = Path(f"/proc/{self.pid}/maps").read_text()
        return [name for name in names if f"/{name}/" in maps]


def serial(number: int) -> str:
    """Return the serial of a printer by its number."""
    return f"01P00A{number:09d}"


def printer_id(number: int) -> str:
    """Return Printago's id of a printer by its number."""
    return f"printer{number}"


def is_complete(payload: bytes) -> bool:
    """Say whether a status tells the printer's state, or is a bare report."""
    return b'"print_status":"' in payload or b'"gcode_state":"' in payload
