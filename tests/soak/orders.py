"""Commands as a busy, careless and sometimes broken sender makes them, from a seeded source of chance."""

import hashlib
import json
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.files import sliced
from tests.servers.http import HttpServer, Served
from tests.soak.oracle import Expect, Sent, is_start
from tests.soak.printago import Printago

SIGNATURE: Final = "Sig-4f0c77aa91be"
"""Stands in the query of each URL, and nowhere else."""

FLOOD: Final = 200
_CODES: Final = {"P1S": "C12", "X1C": "BL-P001", "A1 mini": "N1", "H2D": "O1D"}
_FILE_BYTES: Final = (20_000, 250_000)
_REMEMBERED: Final = 300
_AGE_S: Final = 3600

Tree = dict[str, Any]


class Shop:
    """The files that can be printed, on a web server; the same few are asked for again and again."""

    def __init__(self, models: Sequence[str]) -> None:
        self.hashes: dict[str, tuple[str, str]] = {}
        self.paths: dict[str, list[str]] = {}
        files = {}
        for model in sorted(set(models)):
            self.paths[model] = []
            for size in _FILE_BYTES:
                content = sliced(size, model_id=_CODES[model], seed=size)
                path = f"/{model.replace(' ', '-')}-{size}.gcode.3mf"
                files[path] = Served(content, etag=f'"{path}"')
                self.paths[model].append(path)
                self.hashes[path] = (hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())
        self.web = HttpServer(files)

    def close(self) -> None:
        """Stop serving."""
        self.web.__exit__(None, None, None)

    def url(self, path: str) -> str:
        """Return the signed URL of a file."""
        return f"{self.web.url(path)}?signature={SIGNATURE}"

    def fault(self, chance: random.Random) -> tuple[str, Callable[[], None]]:
        """Break one file; return how, and what mends it."""
        served = self.web.files[chance.choice(sorted(self.web.files))]
        how = chance.choice(("status", "break", "stall"))
        self.web.requests.clear()
        if how == "status":
            served.statuses += [chance.choice((404, 429, 500, 503))] * chance.randint(1, 3)
        elif how == "break":
            served.drops += [chance.randrange(len(served.content)) for _ in range(chance.randint(1, 3))]
        else:
            served.go_on.clear()
            served.stall_after = chance.randrange(len(served.content))

        def mend() -> None:
            served.statuses.clear()
            served.drops.clear()
            served.stall_after = None
            served.go_on.set()

        return f"http {how}", mend

    def mend(self) -> None:
        """Serve everything as it should be."""
        for served in self.web.files.values():
            served.statuses.clear()
            served.drops.clear()
            served.stall_after = None
            served.go_on.set()


class Sender:
    """Sends one random command at a time."""

    def __init__(self, printago: Printago, shop: Shop, printers: Sequence[Tree], chance: random.Random) -> None:
        self._printago, self._shop, self._chance = printago, shop, chance
        self._printers = list(printers)
        self._number = 0
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)
        self._stored: deque[tuple[str, str, str]] = deque(maxlen=30)
        """Printer, tag and command of the latest `download_gcode` that nobody has started yet."""
        self.repeated = self.broken = 0
        # fmt: off
        self._kinds: dict[Callable[[Tree], None], int] = {
            self._print: 12, self._store: 5, self._start_stored: 4, self._plain: 52, self._wrong: 6,
            self._late: 3, self._retained: 1, self._garbage: 2, self._again: 8, self._delete: 3,
        }
        # fmt: on

    def send(self) -> None:
        """Send something."""
        kinds = list(self._kinds)
        (kind,) = self._chance.choices(kinds, weights=list(self._kinds.values()))
        kind(self._chance.choice(self._printers))

    def pause(self, per_second: float) -> float:
        """Return how long to wait until the next command."""
        return self._chance.expovariate(per_second)

    def flood(self) -> None:
        """Send many at once to one printer."""
        printer = self._chance.choice(self._printers)
        for _ in range(FLOOD):
            kind = self._chance.choice((self._plain, self._plain, self._plain, self._print))
            kind(printer)

    def repeat_latest(self, count: int = 5) -> None:
        """Send the latest commands once more, as they were."""
        for command_id in list(self._recent)[-count:]:
            self._repeat(command_id)

    # -- kinds of commands ---------------------------------------------------------------------------

    def _print(self, printer: Tree) -> None:
        path = self._chance.choice(self._shop.paths[printer["model"]])
        tag = f"print{self._next()}"
        parameters = {"url": self._shop.url(path), "file_name": f"{tag}-.3mf", **self._checksum(path)}
        if self._chance.random() < 0.3:
            parameters["job_id"] = f"job-{tag}"
        self._send(printer, "printer_control/start_print_bbl", parameters, tag=tag)

    def _store(self, printer: Tree) -> None:
        path = self._chance.choice(self._shop.paths[printer["model"]])
        tag = f"keep{self._next()}"
        parameters = {"url": self._shop.url(path), "file_name": f"{tag}-.3mf", **self._checksum(path)}
        command_id = self._send(printer, "printer_control/download_gcode", parameters, tag=tag)
        self._stored.append((printer["id"], tag, command_id))

    def _start_stored(self, _printer: Tree) -> None:
        """Start a file that was stored, once; by its name there, or by that which was asked for."""
        if not self._stored:
            return
        printer_id, tag, command_id = self._stored.popleft()
        there = self._printago.first.get(command_id, {}).get("file_name")
        name = there if there and self._chance.random() < 0.5 else f"{tag}-.3mf"
        printer = next(each for each in self._printers if each["id"] == printer_id)
        self._send(printer, "printer_control/start_print", {"file_name": name}, tag=tag)

    def _plain(self, printer: Tree) -> None:
        chance = self._chance
        command, parameters = chance.choice(
            (
                ("printer_control/stop_print", {}),
                ("printer_control/pause_print", {}),
                ("printer_control/resume_print", {}),
                ("printer_control/resume_print", {}),
                ("movement_control/home", {}),
                ("movement_control/home", {}),
                ("movement_control/jog", {"axes": {chance.choice("xyz"): chance.randint(-20, 20)}, "tags": ["soak"]}),
                ("movement_control/jog", {"axes": {"x": 10, "y": -5, "z": 2}, "relative": True}),
                ("movement_control/extrude", {"amount": 5}),
                ("temperature_control/set_hotend", {"temperature": chance.randint(0, 260)}),
                ("temperature_control/set_bed", {"temperature": chance.randint(0, 90)}),
                ("light_control/set_light", {"light": "chamber_light", "state": chance.choice(("on", "off"))}),
                ("light_control/set_light", {"light": "chamber_light", "state": chance.choice(("on", "off"))}),
                ("fan_control/set_fan", {"fan": "part", "speed": chance.randint(0, 100)}),
                ("speed_control/set_speed", {"level": chance.randint(1, 4)}),
                ("printer_control/get_status", {}),
                ("printer_control/get_status", None),
                ("printer_control/list_files", {}),
                ("printer_control/clear_error", {}),
                ("camera_control/get_providers", {}),
            )
        )
        self._send(printer, command, parameters)

    def _wrong(self, printer: Tree) -> None:
        command, parameters = self._chance.choice(
            (
                ("printer_control/explode", {}),
                ("movement_control/jog", {"axes": {"q": 1}}),
                ("movement_control/jog", {"axes": {"x": 5000}}),
                ("movement_control/jog", {"axes": {"x": "NaN"}}),
                ("temperature_control/set_hotend", {"temperature": 900}),
                ("temperature_control/set_bed", {}),
                ("printer_control/start_print_bbl", {"url": "file:///etc/passwd"}),
                ("printer_control/start_print_bbl", {}),
                ("printer_control/start_print", {"file_name": "../holiday.gcode.3mf"}),
                ("printer_control/delete_file", {"file_name": "never-there.3mf"}),
                ("printer_control/start_print", {"file_name": "never-there.3mf"}),
                ("printer_control/list_files", {"folder": "/../.."}),
            )
        )
        self._send(printer, command, parameters)

    def _late(self, printer: Tree) -> None:
        moment = time.time() - _AGE_S
        extra: Tree = self._chance.choice(({"expires_at": moment}, {"timestamp": moment}))
        if self._chance.random() < 0.5:
            self._send(printer, "movement_control/home", {}, **extra)
        else:
            tag = f"print{self._next()}"
            parameters = {"url": self._shop.url(self._shop.paths[printer["model"]][0]), "file_name": f"{tag}-.3mf"}
            self._send(printer, "printer_control/start_print_bbl", parameters, tag=tag, **extra)

    def _retained(self, printer: Tree) -> None:
        self._send(printer, "light_control/set_light", {"light": "chamber_light", "state": "on"}, retain=True)

    def _garbage(self, printer: Tree) -> None:
        """What has no id gets an answer that nobody can match."""
        self.broken += 1
        payload = self._chance.choice((b"", b"{", b"\xff\xfe", b"[" * 5000, b'{"type": 1}', b"null", b"x" * 300_000))
        self._printago.publish(f"bambu/{printer['id']}/commands", payload)

    def _again(self, _printer: Tree) -> None:
        if self._recent:
            self._repeat(self._chance.choice(self._recent))

    def _delete(self, printer: Tree) -> None:
        for printer_id, tag, command_id in self._stored:
            name = self._printago.first.get(command_id, {}).get("file_name")
            if printer_id == printer["id"] and name:
                self._stored.remove((printer_id, tag, command_id))
                self._send(printer, "printer_control/delete_file", {"file_name": name})
                return

    # -- sending -------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _checksum(self, path: str) -> Tree:
        md5, sha256 = self._shop.hashes[path]
        wrong = {"sha256": hashlib.sha256(b"another file").hexdigest()}
        return self._chance.choice(({}, {}, {"md5": md5}, {"sha256": sha256}, {"sha256": sha256}, wrong))

    def _send(
        self,
        printer: Tree,
        command: str,
        parameters: Tree | None,
        *,
        tag: str | None = None,
        retain: bool = False,
        **extra: Any,
    ) -> str:
        kind, _, action = command.partition("/")
        command_id = f"c{self._next()}-{self._chance.randrange(10**6)}"
        body = {"type": kind, "action": action, "parameters": parameters, "command_id": command_id, **extra}
        topic = f"bambu/{printer['id']}/commands"
        if self._chance.random() < 0.2 and not retain:
            body["printer_id"], topic = printer["id"], "bambu/commands"
        sent = Sent(
            command_id=command_id,
            command=command,
            printer=printer["id"],
            at=time.monotonic(),
            tag=tag,
            expect=Expect.AT_MOST_ONE if retain else Expect.ONE,
        )
        self._printago.send(sent, topic, json.dumps(body).encode(), retain=retain)
        if not retain:
            self._recent.append(command_id)
        if is_start(command) and self._chance.random() < 0.1:
            self._repeat(command_id)  # at once, as a sender that does not trust its broker
        return command_id

    def _repeat(self, command_id: str) -> None:
        self.repeated += 1
        self._printago.publish(*self._printago.payloads[command_id])
