"""The printers of a soak, in a process of their own: one JSON object a line tells it what to break.

`python -m tests.soak.farm FOLDER SPEED PRINT_SECONDS MODEL…` says first where its printers are, then answers each
line. What the printers saw goes to FOLDER/farm.jsonl.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bambu_connector.secret import Secret
from bambu_connector.virtual import server
from bambu_connector.virtual.ftps import Storage
from bambu_connector.virtual.models import find_model
from bambu_connector.virtual.pki import Authority
from bambu_connector.virtual.report import Fields
from bambu_connector.virtual.server import VirtualPrinter
from tests.soak.oracle import tag_of
from tests.soak.wire import Wire

ACCESS_CODE: Final = "01927465"
_OFF_S: Final = 5.0
_ORDER_S: Final = 30.0
UPLOAD_BYTES_A_S: Final = 150_000  # so that an upload takes about a second, and something can happen meanwhile
NOT_OURS: Final = {
    "holiday.gcode.3mf": b"somebody's file",
    "print0-zz.gcode.3mf": b"somebody's file that is called like one of ours",
    "cache/keep0-aa.gcode.3mf": b"another one",
}
"""Files that are on each printer before we come."""

_BLINDING: Final = frozenset({"silent", "mute-start", "deaf", "disconnects"})
"""Faults under which a report may not reach the service."""

Tree = dict[str, Any]


class SlowStorage(Storage):
    """As slow as a printer's, and transfers can be broken; the newest of each folder is in `newest`."""

    newest: Final[dict[Path, "SlowStorage"]] = {}

    def __init__(self, root: Path, *rest: Any) -> None:
        super().__init__(root, *rest)
        self.throttle.read.limit = UPLOAD_BYTES_A_S
        self.newest[root] = self

    def break_transfers(self) -> int:
        """Abort what is being transferred; return how many that were."""
        broken = 0
        for connection in tuple(self.connections.values()):
            for transfer in tuple(connection.extra_workers):
                transfer.cancel()
                broken += 1
        return broken


class WatchedPrinter(VirtualPrinter):
    """A virtual printer that notes what reaches it, and what it was doing then."""

    def __init__(self, place: "Place", **options: Any) -> None:
        super().__init__(place.model, **options)
        self._place = place
        self._busy_since: float | None = None
        self._blind_until = 0.0
        self._told = 0

    async def _take(self, payload: bytes) -> None:
        try:
            request = json.loads(payload)
        except ValueError:
            request = {}
        now = time.monotonic()
        notes = [
            self._note(body, now)
            for group, body in request.items()
            if isinstance(body, dict) and group not in ("pushing", "info")
        ]
        messages = self.machine.handle(request, now)
        self.requests.clear()
        for note in notes:
            self._place.note(note)
        await self._say(messages)

    def _note(self, body: Fields, now: float) -> Tree:
        pending = self.machine._pending
        return {
            "request": {
                "at": now,
                "command": str(body.get("command")),
                "text": str(body.get("file") or body.get("param") or ""),
                "task_id": str(body.get("task_id", "")),
                "state": self.machine.rig.state,
                "seen_for": self._seen_for(now),
                "pending": tag_of(pending[1].title) if pending else None,
            }
        }

    def _seen_for(self, now: float) -> float | None:
        if not self.machine.busy or self._busy_since is None:
            return None
        wire = self._place.wires["mqtt"]
        if not wire.is_whole:
            return 0.0
        return max(0.0, now - max(self._busy_since, wire.whole_since, self._blind_until))

    async def _say(self, messages: list[Fields]) -> None:
        now = time.monotonic()
        if any(name in self.faults for name in _BLINDING):
            self._blind_until = now
        if not self.machine.busy:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = now
        for started in self.starts[self._told :]:
            self._busy_since = now
            self._place.note({"began": {"at": now, "title": started.title, "at_screen": started.at_screen}})
        self._told = len(self.starts)
        await super()._say(messages)

    async def give_up_what_is_paused(self) -> None:
        """Have somebody at the screen end a print that waits for a person."""
        if self.machine.rig.state == "PAUSE":
            self.machine.stop()
            await self._say([])


class Place:
    """Where a printer stands: its wires and its storage, which stay when it is switched off and on."""

    def __init__(self, farm: "Farm", number: int, model: str) -> None:
        self._farm = farm
        self.model = model
        self.id = f"p{number:02d}"
        self.serial = f"{find_model(model).prefix}00A{number:09d}"
        self.folder = farm.folder / self.id
        self.storage = self.folder / "storage"
        self.printer: WatchedPrinter | None = None
        self.wires = {name: Wire(lambda name=name: self._port(name)) for name in ("mqtt", "ftps")}  # type: ignore[misc]

    def _port(self, name: str) -> int:
        if self.printer is None:
            raise ConnectionRefusedError
        return self.printer.ports[name]

    async def open(self) -> None:
        """Put somebody else's files on it, and switch it on for the first time."""
        for name, content in NOT_OURS.items():
            path = self.storage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        await self.switch_on()
        for wire in self.wires.values():
            await wire.open()

    async def close(self) -> None:
        """End everything."""
        for wire in self.wires.values():
            await wire.close()
        await self.switch_off()

    async def switch_on(self) -> None:
        """Give it power; what it was printing is lost."""
        if self.printer is not None:
            return
        printer = WatchedPrinter(
            self,
            serial=self.serial,
            access_code=Secret(ACCESS_CODE),
            authority=self._farm.authority,
            state_dir=self.folder,
            speed=self._farm.speed,
            print_seconds=self._farm.print_seconds,
        )
        await printer.__aenter__()
        self.printer = printer
        self.wires["mqtt"].whole_since = time.monotonic()

    async def switch_off(self) -> None:
        """Take its power away."""
        printer, self.printer = self.printer, None
        if printer is None:
            return
        for wire in self.wires.values():
            wire.reset()
        try:
            await asyncio.wait_for(printer.__aexit__(), _OFF_S)
        except TimeoutError:
            print(f"{self.id}: what was behind its wires goes on, unreachable", file=sys.stderr, flush=True)

    def note(self, what: Tree) -> None:
        """Write down what was seen here."""
        ((kind, fields),) = what.items()
        self._farm.notes.write(json.dumps({kind: fields | {"printer": self.id}}) + "\n")
        self._farm.notes.flush()

    def files(self) -> list[str]:
        """Return the files on its storage that were not there in the beginning."""
        names = (path.relative_to(self.storage).as_posix() for path in self.storage.rglob("*") if path.is_file())
        return sorted(name for name in names if name not in NOT_OURS)

    def touched(self) -> list[str]:
        """Return somebody else's files that are not as they were."""
        return [name for name, content in NOT_OURS.items() if _digest(self.storage / name) != _digest_of(content)]

    def describe(self) -> Tree:
        """Return what a configuration has to know."""
        ports = {name: wire.port for name, wire in self.wires.items()}
        return {"id": self.id, "serial": self.serial, "model": self.model, "ports": ports}


class Farm:
    """All printers, and what may be done to them."""

    def __init__(self, folder: Path, speed: float, print_seconds: float, models: list[str]) -> None:
        self.folder, self.speed, self.print_seconds = folder, speed, print_seconds
        self.authority = Authority(folder)
        self.notes = (folder / "farm.jsonl").open("a")
        self.places = {place.id: place for place in (Place(self, n, model) for n, model in enumerate(models, 1))}
        self._does: dict[str, Callable[..., Awaitable[Tree | None]]] = {
            "wire": self._wire,
            "fault": self._fault,
            "screen": self._screen,
            "break": self._break,
            "power": self._power,
            "calm": self._calm,
            "look": self._look,
        }

    async def run(self) -> None:
        """Serve until standard input ends."""
        vars(server)["Storage"] = SlowStorage
        for place in self.places.values():
            await place.open()
        _tell({"ca_file": str(self.authority.certificate), "printers": [p.describe() for p in self.places.values()]})
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            order = json.loads(line)
            what = order.pop("do")
            async with asyncio.timeout(_ORDER_S):
                _tell(await self._does[what](**order) or {})
        for place in self.places.values():
            await place.close()

    async def _wire(self, printer: str, wire: str, how: str, delay: float = 0.0) -> None:
        chosen = self.places[printer].wires[wire]
        if how == "slow":
            chosen.slow(delay)
        else:
            {"cut": chosen.cut, "reset": chosen.reset, "stall": chosen.stall, "mend": chosen.mend}[how]()

    async def _fault(self, printer: str, name: str, on: bool) -> None:
        machine = self.places[printer].printer
        if machine is not None and on:
            machine.faults.add(name)
        elif machine is not None:
            machine.faults.discard(name.partition("=")[0])

    async def _screen(self, printer: str) -> None:
        machine = self.places[printer].printer
        if machine is not None:
            await machine.start_print_at_screen()

    async def _break(self, printer: str) -> Tree:
        place = self.places[printer]
        return {"broken": SlowStorage.newest[place.storage].break_transfers()}

    async def _power(self, printer: str, on: bool) -> None:
        place = self.places[printer]
        await (place.switch_on() if on else place.switch_off())

    async def _calm(self) -> None:
        for place in self.places.values():
            for wire in place.wires.values():
                if not wire.is_whole:
                    wire.mend()
            await place.switch_on()
            if place.printer is not None:
                place.printer.faults.clear()
                await place.printer.give_up_what_is_paused()

    async def _look(self) -> Tree:
        machines = {place.id: place.printer.machine for place in self.places.values() if place.printer is not None}
        return {
            "busy": [name for name, each in machines.items() if each.busy or each._pending is not None],
            "files": {place.id: place.files() for place in self.places.values()},
            "touched": {place.id: place.touched() for place in self.places.values()},
        }


def _tell(what: Mapping[str, object]) -> None:
    print(json.dumps(what), flush=True)


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(path: Path) -> str:
    return _digest_of(path.read_bytes()) if path.is_file() else ""


def main() -> None:
    """Run the farm that the arguments describe."""
    folder, speed, print_seconds, *models = sys.argv[1:]
    asyncio.run(Farm(Path(folder), float(speed), float(print_seconds), models).run())


if __name__ == "__main__":
    main()
