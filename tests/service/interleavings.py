"""The real service among a printer, a broker, a disk and a clock that all misbehave, and what must hold all the same.

A script is a list of steps, each with the seconds until the next one. `play` carries it out on simulated time, lets
everything work again, waits until it is quiet, and returns what was broken: nothing.
"""

import asyncio
import json
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bambu_connector.bambu.view import ACTIVE, INACTIVE
from bambu_connector.config import Config
from bambu_connector.config.tree import Printago
from bambu_connector.errors import ConfigError, LinkError, Unreachable, UploadFailed
from bambu_connector.links.wire import Delivery
from bambu_connector.printago.messages import timestamp_text
from bambu_connector.sealing import Sealer
from bambu_connector.secret import Secret
from bambu_connector.service.journal import Journal
from bambu_connector.service.store import StoreFailed
from bambu_connector.service.supervisor import Supervisor
from tests.service.bench import FILE, config_of, printer_config
from tests.service.fakes import FakeClock, FakeWires
from tests.service.misbehaving import Disk, KeepingPrintago, Log, MortalStore, WatchedPrinter
from tests.service.test_supervisor import FakeNotifier
from tests.simulated import BEGINNING, LONGEST, run

Fields = dict[str, Any]
Step = tuple[str, float]
TOPIC: Final = "bambu/left/commands"
PRINTAGO: Final = Printago(host="broker.example", port=1883, tls=None, username=None, password=None, client_id="bench")
KEEP: Final = 2
SCRIPT_S: Final = 12_000.0  # a script's own seconds; the rest of the simulated time is for becoming quiet
QUIET_WITHIN_S: Final = 3_000.0
STOP_WITHIN_S: Final = 1.0
SEEN_WITHIN_S: Final = 13.0  # a report may be 10 s old, and comes once a second
YEAR_S: Final = 365 * 86_400.0
START: Final = "printer_control/start_print_bbl"
START_STORED: Final = "printer_control/start_print"
DOWNLOAD: Final = "printer_control/download_gcode"
STOP: Final = "printer_control/stop_print"
_STARTS: Final = frozenset({START, START_STORED})
_START_REQUESTS: Final = frozenset({"project_file", "gcode_file"})
_ACTIVE: Final = frozenset(state.value for state in ACTIVE)
_INACTIVE: Final = frozenset(state.value for state in INACTIVE)
_TEMPERATURE: Final = re.compile(r"M(104|109|140|190|141)\b[^\n]*?\bS(-?[\d.]+)")
_MOVES: Final = re.compile(r"\bG(?:0|1|28)\b")
_MAY_HAVE_BEGUN: Final = frozenset({"start_unknown", "start_failed", "printer_error", "cancelled"})
_TERMINAL: Final = frozenset({"PrintDone", "PrintFailed", "PrintCancelled"})
ANSWERS: Final = frozenset({"success", "error", "response", "status"})


# -- commands --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Given:
    """One command that was given. `tag` comes back in its answers; `name` begins the name of what it starts."""

    tag: str
    command: str
    payload: bytes
    identifier: str | None
    name: str = ""
    at_least: int = 1
    at_most: int = 1
    is_excused: bool = False
    """It came while nobody could know whether it had come before: what became of the first is not what was answered."""
    is_late: bool = False
    """It is too old from the beginning."""
    expires: float | None = None
    """When (on the loop's clock) it must not be carried out any more."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of command; `parameters` may hold `{n}`, which is the command's number."""

    command: str
    parameters: Fields = field(default_factory=dict)


COMMANDS: Final[dict[str, Kind]] = {
    "start": Kind(START, {"url": "https://files.example/{n}?s=1", "file_name": "f{n}.gcode.3mf"}),
    "download": Kind(DOWNLOAD, {"url": "https://files.example/{n}?s=1", "file_name": "d{n}.gcode.3mf"}),
    "start a file that is there": Kind(START_STORED, {"file_name": "own{n}.gcode.3mf"}),
    "start what was downloaded": Kind(START_STORED, {"file_name": "d{n}.gcode.3mf"}),
    "stop": Kind(STOP),
    "pause": Kind("printer_control/pause_print"),
    "resume": Kind("printer_control/resume_print"),
    "home": Kind("movement_control/home"),
    "jog": Kind("movement_control/jog", {"axes": {"x": 10}}),
    "jog too far": Kind("movement_control/jog", {"axes": {"x": 1000}}),
    "extrude": Kind("movement_control/extrude", {"amount": 5}),
    "heat": Kind("temperature_control/set_hotend", {"temperature": 215}),
    "heat too much": Kind("temperature_control/set_hotend", {"temperature": 301}),
    "heat the bed": Kind("temperature_control/set_bed", {"temperature": 60}),
    "heat the bed too much": Kind("temperature_control/set_bed", {"temperature": 121}),
    "status": Kind("printer_control/get_status"),
    "delete the active file": Kind("printer_control/delete_file", {"file_name": "{active}"}),
    "nonsense": Kind("printer_control/dance"),
}


# -- the world -------------------------------------------------------------------------------------


class World:
    """Everything that outlives the service, the service's lives one after the other, and what was seen."""

    def __init__(self, folder: Path, *, speed: float = 4.0) -> None:
        self.folder = folder
        self.store = MortalStore()
        self.broker = KeepingPrintago()
        self.clock = FakeClock()
        self.printer = WatchedPrinter(speed)
        self.wires = FakeWires([self.printer])
        self.given: dict[str, Given] = {}
        self.broken: list[str] = []
        self.supervisor: Supervisor
        self.downtime, self.new_boot = 1.0, False
        self.is_honest = True
        """The clock on the wall was right all the time."""
        self.has_flapped = False
        """The printer said things of its state that no print did."""
        self._config = self._held_config = config_of(
            folder, [printer_config(self.printer.serial, "left")], printago=PRINTAGO, keep_files=KEEP
        )
        self._entry = self._config.printers[0]
        self._foreign = {"family.gcode.3mf": b"not ours"}
        self.printer.storage.files |= self._foreign
        self._read = 0
        self._messages: dict[str, Fields] = {}
        self._deleted: set[str] = set()
        self._last: Given | None = None
        self._first: Given | None = None
        self._by_id: dict[str, str] = {}
        self._number = 0
        self._downloads: list[int] = []
        self._deaths: list[float] = []
        self._disruptions: list[float] = []
        self._stops: list[float] = []
        self._stopping = False
        self._is_dead = asyncio.Event()
        self._is_over = False
        self.broker_refusal: LinkError | None = None
        self.printer_refusal: LinkError | None = None
        self.disk_failed = False
        self._seen_ids: set[object] = set()
        self._fuse: Callable[[], None] | None = None
        self._next_arm: tuple[str, int] | None = None
        self.printer.watch = self._request
        self.broker.watch = self._delivered

    _mistakes = 0

    # -- lives -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin with the first life."""
        me = asyncio.current_task()
        assert me is not None
        self._keepers: set[asyncio.Task[Any]] = {me}
        self.lives = asyncio.create_task(self._live())
        self._keepers.add(self.lives)

    async def _live(self) -> None:
        while not self._is_over:
            self._is_dead.clear()
            self._stopping = False
            self.broker.refusal, self.printer.refusal = self.broker_refusal, self.printer_refusal
            self._held_config = self._config
            self.supervisor = Supervisor(
                self._config,
                self.wires,
                self.broker,
                journal=self._open_journal(),
                clock=self.clock,
                notifier=FakeNotifier(None),
                reload=self._reload,
            )
            if self._next_arm is not None:
                (where, count), self._next_arm = self._next_arm, None
                self.arm(where, count)
            self.running = asyncio.create_task(self.supervisor.run())
            death = asyncio.create_task(self._is_dead.wait())
            self._keepers.add(death)
            await asyncio.wait({self.running, death}, return_when=asyncio.FIRST_COMPLETED)
            if self._is_dead.is_set():
                await self._bury()
            else:
                death.cancel()
                self.running.result()
                self._excuse_lost_memory()
                await asyncio.sleep(0)
                self.broker.hang_up()
            if not self._is_over:
                await asyncio.sleep(self.downtime)
                self.clock.boots += self.new_boot

    def _open_journal(self) -> Journal:
        self.disk = Disk()
        self.store.records.setdefault(("counter", "job"), b'{"last":4710}')
        journal = Journal(self.store, Sealer(self.folder / "secret.key"), self.clock, self.disk)
        journal.open()
        return journal

    @property
    def is_alive(self) -> bool:
        """There is a process that was neither killed nor is ending."""
        return not self._is_dead.is_set() and not self.running.done()

    def die(self, *, with_disk: bool = True) -> None:
        """Lose everything that was not committed, at once."""
        if self._is_dead.is_set() or self.running.done():
            return
        loop = asyncio.get_running_loop()
        lost = self.store
        self._excuse_lost_memory()
        self.store = lost.copy()
        lost.is_dead = True
        self._deaths.append(loop.time())
        self._disruptions.append(loop.time())
        self.broker.refusal = self.printer.refusal = Unreachable("The process is dead.")
        self.broker.hang_up()
        self.printer.drop()
        self._disarm()
        self._is_dead.set()

    async def _bury(self) -> None:
        published, files = list(self.broker.published), dict(self.printer.storage.files)
        for _ in range(20):
            keepers = {*self._keepers, asyncio.current_task()}
            dead = [task for task in asyncio.all_tasks() if task not in keepers and not task.done()]
            if not dead:
                break
            for task in dead:
                task.cancel()
            await asyncio.gather(*dead, return_exceptions=True)
        for unit in self.supervisor.farm.units.values():
            unit.printer.statuses.end()
        server = self.supervisor._control._server
        if server is not None:
            server.close()
        self.broker.published[:] = published
        assert self._read <= len(published)
        self.printer.storage.files.clear()
        self.printer.storage.files.update(files)

    def _excuse_lost_memory(self) -> None:
        """With a disk that refuses, what a process knew dies with it: answers may be missing, or be given again."""
        if self.store.failure is None and not self.disk.hangs and self.supervisor._journal.trouble is None:
            return
        for each in self.given.values():
            each.at_least, each.at_most = 0, max(2, each.at_most)

    def _disarm(self) -> None:
        self._fuse = None

    def end_soon(self) -> None:
        """Ask the service to end in order."""
        if self.is_alive:
            self._disruptions.append(asyncio.get_running_loop().time())
            self._stopping = True
            self.supervisor.stop()

    def arm(self, where: str, count: int) -> None:
        """Die at the so-maniest time that something happens from now."""
        left = count

        def tick() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        def at(what: str) -> None:
            if what == where and tick():
                self.die()

        self.store.before = lambda: at("before a commit")
        self.store.committed = lambda: at("after a commit")
        self._fuse = lambda: at("at a request")

    def arm_next(self, where: str, count: int) -> None:
        """Have the next life die as well."""
        self._next_arm = where, count

    # -- what the printer is asked -----------------------------------------------------------------

    def _request(self, group: str, body: Fields) -> None:
        if group in ("pushing", "info"):
            return
        if self._fuse is not None:
            asyncio.get_running_loop().call_soon(self._fuse)
        command, told = body["command"], self.printer.told
        if command in _START_REQUESTS:
            self._check_start(body)
        text = str(body.get("param", ""))
        heats = [float(degrees) for _, degrees in _TEMPERATURE.findall(text)]
        self._need(all(each <= 300 for each in heats), f"heats beyond the limit: {text!r}")
        self._need(
            all(float(degrees) <= 100 for code, degrees in _TEMPERATURE.findall(text) if code in ("140", "190")),
            f"heats the bed beyond the limit: {text!r}",
        )
        moves = bool(_MOVES.search(text))
        if heats or moves or command in ("back_to_center", "xyz_ctrl"):
            still = told in _INACTIVE or (told == "PAUSE" and (bool(heats) or "E" in text))
            self._need(still, f"moves or heats ({text!r}) while the printer says {told}")
            # What was published before this life, and cannot be read, nobody knows: then it is only starts that wait.
            out = self._starts_out() if self.supervisor._journal._is_open else []
            self._need(not out, f"moves or heats ({text!r}) while {out} are out")

    def _check_start(self, body: Fields) -> None:
        now = asyncio.get_running_loop().time()
        name, machine = body.get("subtask_name", ""), self.printer.machine
        self._need(self.printer.told in _INACTIVE, f"a start of {name} while the printer says {self.printer.told}")
        begun = machine.starts[-1].at if machine.busy and machine.starts else now
        self._need(now - begun <= SEEN_WITHIN_S or self.has_flapped, f"a start of {name} into a print")
        self._need(not self._starts_out(), f"a start of {name} while {self._starts_out()} are out")
        self._need(machine._pending is None, f"a start of {name} while the printer reads another")
        before = [each for each in self.printer.starts if each.body.get("subtask_name") == name]
        self._need(not before, f"a second start of {name}")
        given = self._command_of(name)
        if given is not None and self.is_honest:
            self._need(not given.is_late, f"a start of {name}, which came too late")
            self._need(given.expires is None or now <= given.expires + 1, f"a start of {name} after its expires_at")

    def _starts_out(self) -> list[str]:
        """Return the starts that were published and not answered."""
        answered = {tag for tag, found in self.answers().items() if found} | self._answered_on_disk()
        return [
            given.tag
            for each in self.printer.starts
            if (given := self._command_of(each.body.get("subtask_name", ""))) and given.tag not in answered
        ]

    def _answered_on_disk(self) -> set[str]:
        waiting = self.supervisor._outbox._waiting.values()
        read = (json.loads(each.payload) for each in waiting if each.qos == 1)
        return {str(each["data"].get("tags")) for each in read}

    def _command_of(self, print_name: str) -> Given | None:
        name = print_name.rpartition("-")[0]
        return next((each for each in self.given.values() if each.name == name and name), None)

    def _need(self, holds: bool, what: str) -> None:
        if not holds:
            self.broken.append(f"{asyncio.get_running_loop().time() - BEGINNING:.2f} s: {what}")

    # -- what is asked of the service ----------------------------------------------------------------

    def _delivered(self, delivery: Delivery) -> None:
        """Note a stop that must be published at once."""
        message = json.loads(delivery.payload)
        tag = message["parameters"]["tags"]
        if not self.supervisor._journal._is_open:  # nobody can know whether it came before
            self.given[tag].is_excused = True
            self.given[tag].at_most += bool(self.answers()[tag])
        if message.get("action") != "stop_print" or delivery.dup or self._stopping:
            return
        if message.get("command_id") in self._seen_ids:
            return
        self._seen_ids.add(message.get("command_id"))
        unit = self.supervisor.farm.units.get("left")
        if unit is None or "left" not in self.supervisor.farm.dispatcher.printer_ids:
            return
        view, jobs = unit.printer.view, unit.jobs
        prepares = jobs.is_under_way and not jobs.start_is_out and jobs.process().options is not None
        if view is not None and view.is_active and view.developer_mode is not False and not prepares:
            self._stops.append(asyncio.get_running_loop().time())

    def command(self, kind: Kind, *, identified: bool = True, **more: str) -> Given | None:
        """Give a new command."""
        given = self.compose(kind, identified=identified, **more)
        if given is not None:
            self.given[given.tag] = given
            self._last, self._first = given, self._first or given
            self.deliver(given)
        return given

    def compose(self, kind: Kind, *, identified: bool = True, **more: str) -> Given | None:
        """Return a new command; None where there is nothing that it could be about."""
        self._number += 1
        n, tag = self._number, f"t{self._number}"
        name = str(kind.parameters.get("file_name", "")).partition(".")[0].format(n=n, active="")
        active = str(self.printer.machine.report.get("gcode_file") or "nothing.gcode.3mf").rpartition("/")[2]
        parameters = {
            key: value.format(n=n, active=active or "nothing") if isinstance(value, str) else value
            for key, value in kind.parameters.items()
        }
        if kind is COMMANDS["start what was downloaded"]:
            if not self._downloads:
                return None
            name = f"d{self._downloads.pop()}"
            parameters["file_name"] = f"{name}.gcode.3mf"
        elif kind is COMMANDS["start a file that is there"]:
            self.printer.storage.files[parameters["file_name"]] = FILE
            self._foreign[parameters["file_name"]] = FILE
        elif kind is COMMANDS["download"]:
            self._downloads.append(n)
        elif kind is COMMANDS["delete the active file"]:
            self._deleted.add(parameters["file_name"])
        if "url" in parameters:
            self.wires.downloader.offers[parameters["url"]] = FILE
        sort, action = kind.command.split("/")
        message = {"type": sort, "action": action, "parameters": {**parameters, "tags": tag}, **more}
        identifier = f"c{n}" if identified else None
        if identifier:
            message["command_id"] = identifier
        named = name if kind.command in _STARTS else ""
        return Given(tag, kind.command, json.dumps(message).encode(), identifier, named)

    def deliver(self, given: Given, *, dup: bool = False, retain: bool = False) -> None:
        """Have Printago send it."""
        self.broker.keep(self.broker.delivery(TOPIC, given.payload, dup=dup, retain=retain))

    def again(self, given: Given | None, *, dup: bool) -> None:
        """Have it sent once more."""
        if given is None:
            return
        if given.identifier is None and not dup:
            given.at_most += 1  # without an id it is a new one
        self.deliver(given, dup=dup)

    def change_last(self) -> None:
        """Send another command under the id of the last one."""
        last = self._last
        if last is None or last.identifier is None:
            return
        other = self.compose(COMMANDS["home"], identified=False)
        assert other is not None
        message = json.loads(other.payload) | {"command_id": last.identifier}
        given = replace(other, payload=json.dumps(message).encode(), identifier=last.identifier)
        given.at_least = 0
        given.at_most = 0 if last.at_least else 1  # the first one may be forgotten
        self.given[given.tag] = given
        self.deliver(given)

    def retained(self, kind: Kind) -> None:
        """Deliver a command as one that the broker retained."""
        given = self.compose(kind)
        assert given is not None
        given.at_least = given.at_most = 0
        self.given[given.tag] = given
        self.deliver(given, retain=True)

    def late(self, kind: Kind, how: str) -> None:
        """Give a command that is too old."""
        now = self.true_time()
        key, moment = ("timestamp", now - 3600) if how == "timestamp" else ("expires_at", now - 1)
        text = timestamp_text(moment)
        given = self.command(kind, timestamp=text) if key == "timestamp" else self.command(kind, expires_at=text)
        assert given is not None
        given.is_late = True

    def expiring(self, seconds: float) -> None:
        """Give a start that is not to begin later than in so many seconds."""
        given = self.command(COMMANDS["start"], expires_at=timestamp_text(self.true_time() + seconds))
        assert given is not None
        given.expires = asyncio.get_running_loop().time() + seconds

    def true_time(self) -> float:
        """Return what a right clock shows."""
        return self.clock.wall() - self.clock.wall_ahead

    # -- what was said ----------------------------------------------------------------------------------

    def messages(self) -> list[Fields]:
        """Return what reached Printago, each once, in the order in which it first came."""
        for each in self.broker.published[self._read :]:
            if each.payload.startswith(b"{") and each.qos == 1:
                message = each.message
                self._messages.setdefault(message["message_id"], message)
        self._read = len(self.broker.published)
        return list(self._messages.values())

    def answers(self) -> dict[str, list[Fields]]:
        """Return the answers to each command."""
        found: dict[str, list[Fields]] = {tag: [] for tag in self.given}
        for each in self.messages():
            tag = each["data"].get("tags") if each["type"] in ANSWERS and "command" in each else None
            if tag in found:
                found[tag].append(each)
        return found

    # -- the end ---------------------------------------------------------------------------------------

    async def become_quiet(self) -> None:
        """Let everything work again, and every deadline pass."""
        self._disarm()
        self._next_arm = None
        self.disk.answer()
        self.store.before = self.store.committed = lambda: None
        self.store.failure = None
        self.printer.storage.failures.clear()
        for gate in (self.wires.downloader.gate, *self.printer.storage.gates.values()):
            gate.open()
        self.printer.faults.clear()
        self.printer.stands_still = False
        self.configure(is_there=True)
        self.broker.confirms = True
        self.broker_refusal = self.printer_refusal = None
        if not self._is_dead.is_set():
            self.broker.refusal = self.printer.refusal = None
        self.clock.is_sure = True
        self.new_boot = False
        loop = asyncio.get_running_loop()
        began, quiet_since = loop.time(), None
        while loop.time() - began < QUIET_WITHIN_S:
            await asyncio.sleep(5.0)
            if loop.time() - began > 260 and self.printer.state not in _INACTIVE:
                self.printer.change(gcode_state="FINISH")
            self.announce()
            self.broker.flush()
            quiet_since = (quiet_since or loop.time()) if self._is_quiet() else None
            if quiet_since is not None and loop.time() - quiet_since >= 70:
                return

    def _is_quiet(self) -> bool:
        """Say whether nothing is under way any more."""
        machine, answers = self.printer.machine, self.answers()
        if not self.is_alive or self.printer.state not in _INACTIVE or machine._pending is not None:
            return False
        unit = self.supervisor.farm.units.get("left")
        if unit is None:
            return False
        jobs = unit.jobs
        if jobs.is_under_way or jobs.start_is_unexplained or self.supervisor._outbox._waiting or self.broker.kept:
            return False
        return all(len(answers[tag]) >= each.at_least for tag, each in self.given.items())

    async def end(self) -> None:
        """End the service in order."""
        self._is_over = True
        self.supervisor.stop()
        await self.lives

    def check(self) -> None:
        """Look at everything that happened."""
        self._check_answers()
        self._check_outcomes()
        self._check_stops()
        self._check_events()
        self._check_files()

    def _check_answers(self) -> None:
        lost = {each.payload for each in self.broker.lost}
        for tag, found in self.answers().items():
            given = self.given[tag]
            at_least = 0 if given.payload in lost else given.at_least
            if (
                given.at_most == 0
                and given.identifier
                and any(each.identifier == given.identifier and each.payload in lost for each in self.given.values())
            ):
                continue  # the one that came first never came
            endings = [each["data"].get("code", each["type"]) for each in found]
            self._need(
                at_least <= len(found) <= given.at_most,
                f"{given.command} {tag} has {len(found)} answers: {endings}, not {at_least} to {given.at_most}",
            )
            self._need("internal" not in endings or self.disk_failed, f"{given.command} {tag} ended in internal")
            if given.is_late and self.is_honest:
                self._need(
                    set(endings) <= {"expired"} or self.disk_failed,
                    f"{given.command} {tag} came too late and ended in {endings}",
                )

    def _check_outcomes(self) -> None:
        begun = Counter(each.title.rpartition("-")[0] for each in self.printer.machine.starts)
        sent = Counter(each.body.get("subtask_name", "").rpartition("-")[0] for each in self.printer.starts)
        for tag, found in self.answers().items():
            given = self.given[tag]
            if not given.name:
                continue
            limit = max(1, given.at_most) if given.identifier is None else 1
            self._need(sent[given.name] <= limit, f"{tag} was started {sent[given.name]} times")
            if given.at_most != 1 or given.is_excused:
                continue
            for each in found:
                code = each["data"].get("code", each["type"])
                if code == "success":
                    self._need(begun[given.name] == 1, f"{tag} succeeded, and began {begun[given.name]} times")
                elif code not in _MAY_HAVE_BEGUN:
                    self._need(not begun[given.name], f"{tag} ended in {code}, and began")

    def _check_stops(self) -> None:
        for at in self._stops:
            end = at + STOP_WITHIN_S
            published = any(at <= each.at <= end for each in self.printer.stops)
            disrupted = any(at <= each <= end + 0.1 for each in self._disruptions)
            self._need(published or disrupted, f"the stop of {at - BEGINNING:.2f} s was not published at once")

    def _check_events(self) -> None:
        messages = [each for each in self.messages() if each["type"] != "status" or "command" in each]
        if self.is_honest and not self.disk_failed:
            times = [each["timestamp"] for each in messages]
            wrong = [(a, b) for a, b in pairwise(times) if a > b]
            self._need(not wrong, f"messages are not in their order: {wrong[:3]}")
        if self.has_flapped or self.disk_failed:
            return
        told: Counter[tuple[str, str]] = Counter()
        for each in messages:
            data = each["data"]
            if each["type"] == "event" and (data["event"] == "PrintStarted" or data["event"] in _TERMINAL):
                name = str(data.get("job", {}).get("task_name"))
                given = self._command_of(name)
                if given is not None:
                    said = data["job"].get("command_id")
                    self._need(said == given.identifier, f"{data['event']} of {name} is told for {said}")
                    told[name, "terminal" if data["event"] in _TERMINAL else "start"] += 1
        self._need(all(count == 1 for count in told.values()), f"events were told twice: {told}")

    def _check_files(self) -> None:
        files = self.printer.storage.files
        for name, content in self._foreign.items():
            self._need(files.get(name) == content or name in self._deleted, f"the foreign file {name} was touched")
        ours = {name for name in files if name not in self._foreign}
        kept = {name for name in ours if re.match(r"d\d+-", name)}
        self._need(ours == kept, f"files of ours are left: {sorted(ours - kept)}")
        self._need(len(kept) <= KEEP, f"{len(kept)} downloads are left: {sorted(kept)}")
        here = sorted(each.name for each in (self.folder / "downloads").iterdir())
        self._need(not here, f"files are left on this machine: {here}")

    # -- what else happens -----------------------------------------------------------------------------

    def disrupt(self) -> None:
        """Break the session with the printer."""
        self._disruptions.append(asyncio.get_running_loop().time())
        self.printer.drop()

    # -- what the owner does -----------------------------------------------------------------------

    def _reload(self, anew: bool) -> Config | None:
        if self._mistakes:
            self._mistakes -= 1
            raise ConfigError("connector.yaml:1: a mistake")
        if self._config is self._held_config and not anew:
            return None
        self._held_config = self._config
        self._disruptions.append(asyncio.get_running_loop().time())
        return self._config

    def configure(self, *, is_there: bool = True, **fields: Any) -> None:
        """Have connector.yaml name the printer, with what is new about it, or name it no more."""
        self._entry = replace(self._entry, **fields)
        self._config = replace(self._config, printers=(self._entry,) if is_there else ())

    def err(self) -> None:
        """Have connector.yaml be nonsense for a moment."""
        self._mistakes += 1

    def move(self, host: str) -> None:
        """Give the printer another address."""
        self.wires.where[self.printer.serial] = host
        self.disrupt()

    def announce(self, host: str | None = None) -> None:
        """Have the printer announce itself, or somebody else in its name."""
        self.wires.heard.announce(self.printer.serial, host or self.place)

    @property
    def place(self) -> str:
        """Where the printer is."""
        return self.wires.where.setdefault(self.printer.serial, "192.0.2.1")

    @property
    def number(self) -> int:
        """A number that is new each time."""
        self._number += 1
        return self._number

    def set_printer(self, *, is_there: bool) -> None:
        """Switch the printer on or off."""
        self.printer_refusal = None if is_there else Unreachable("It is switched off.")
        if not self._is_dead.is_set():
            self.printer.refusal = self.printer_refusal
        if not is_there:
            self.disrupt()

    def set_broker(self, *, is_there: bool) -> None:
        """Have Printago come or go."""
        self.broker_refusal = None if is_there else Unreachable("It is away.")
        if not self._is_dead.is_set():
            self.broker.refusal = self.broker_refusal
        if not is_there:
            self.broker.hang_up()

    def set_disk(self, *, works: bool) -> None:
        """Have the disk refuse everything, or not."""
        self.disk_failed = self.disk_failed or not works
        self.store.failure = None if works else StoreFailed("disk full")

    def hang_disk(self) -> None:
        """Have the disk answer no more."""
        self.disk_failed = self.disk.hangs = True

    def set_wall(self, ahead: float) -> None:
        """Set the clock on the wall wrong."""
        self.clock.wall_ahead = ahead
        self.is_honest = False

    def flap(self, **fields: object) -> None:
        """Have the printer say something that no print did."""
        if self.printer.machine._pending is None:
            self.has_flapped = True
            self.printer.change(**fields)

    def finish(self) -> None:
        """Have the print finish."""
        if self.printer.machine.busy:
            self.printer.change(gcode_state="FINISH")

    def start_at_screen(self) -> None:
        """Have somebody start a print at the screen, where the printer reads no other."""
        if self.printer.machine._pending is None:
            self.printer.start_at_screen()

    def at_screen(self, command: str) -> None:
        """Have somebody do at the screen what the request does."""
        request = {"print": {"command": command, "sequence_id": "0"}}
        self.printer._say(self.printer.machine.handle(request, asyncio.get_running_loop().time()))

    def set_fault(self, name: str) -> None:
        """Have the printer misbehave in one way, or in none."""
        self.printer.faults.clear()
        if name:
            self.printer.faults.add(name)

    def set_files(self, *, work: bool) -> None:
        """Have the printer's storage fail, or not."""
        self.printer.storage.failures = {}
        if not work:
            self.printer.storage.failures |= dict.fromkeys(("put", "remove"), UploadFailed("It broke."))

    def stall(self, what: str) -> None:
        """Have a transfer hang; "" lets all go on."""
        gates = {"download": self.wires.downloader.gate, **self.printer.storage.gates}
        if what:
            gates[what].close()
        else:
            for gate in gates.values():
                gate.open()

    def next_life(self, downtime: float, *, new_boot: bool = False, is_sure: bool = True) -> None:
        """Say what comes after the next death."""
        self.downtime, self.new_boot = downtime, new_boot
        self.clock.is_sure = is_sure


Happening = Callable[[World], object]


def _given(kind: Kind, *, identified: bool) -> Happening:
    return lambda w: w.command(kind, identified=identified)


def _arming(where: str, count: int) -> Happening:
    return lambda w: w.arm(where, count)


def _arming_next(where: str, count: int) -> Happening:
    return lambda w: w.arm_next(where, count)


def _fault(name: str) -> Happening:
    return lambda w: w.set_fault(name)


FAULTS: Final = (
    *("", "no-ids", "slow-start=30", "slow-start=150", "slow-start=200", "ignore-start", "refuse-start", "deaf"),
    *("no-ack", "silent", "mute-start=20", "lingering-finish=400", "fail-print=50", "empty-echo", "no-storage"),
)
GARBAGE: Final = (
    b"\xff\xfe",
    b"[]",
    b'{"print": 5}',
    b'{"print": {"command": "push_status", "gcode_state": 7, "mc_percent": "x", "ams": []}}',
    b'{"print": {"command": "push_status", "nozzle_temper": "hot", "hms": 3, "home_flag": "x"}}',
    b'{"print": {"command": "project_file", "sequence_id": "1", "result": "fail"}}',
)


def _garbage(message: bytes) -> Happening:
    def say(w: World) -> None:
        w.has_flapped = w.has_flapped or b"gcode_state" in message
        w.printer.say(message)

    return say


_PLAIN: Final[dict[str, Happening]] = {
    "the last one again": lambda w: w.again(w._last, dup=False),
    "the last one again, marked": lambda w: w.again(w._last, dup=True),
    "the first one again": lambda w: w.again(w._first, dup=False),
    "the first one again, marked": lambda w: w.again(w._first, dup=True),
    "the last id with another payload": lambda w: w.change_last(),
    "a retained start": lambda w: w.retained(COMMANDS["start"]),
    "a retained home": lambda w: w.retained(COMMANDS["home"]),
    "an old start": lambda w: w.late(COMMANDS["start"], "timestamp"),
    "an old home": lambda w: w.late(COMMANDS["home"], "timestamp"),
    "an expired start": lambda w: w.late(COMMANDS["start"], "expires_at"),
    "a start that expires soon": lambda w: w.expiring(3.0),
    "a start that expires later": lambda w: w.expiring(60.0),
    "a home from the future": lambda w: w.command(COMMANDS["home"], timestamp=timestamp_text(w.true_time() + 3600)),
    "somebody starts a print at the screen": lambda w: w.start_at_screen(),
    "somebody stops at the screen": lambda w: w.at_screen("stop"),
    "somebody pauses at the screen": lambda w: w.at_screen("pause"),
    "the print finishes": lambda w: w.finish(),
    "the state flaps to idle": lambda w: w.flap(gcode_state="IDLE"),
    "the state flaps to running": lambda w: w.flap(gcode_state="RUNNING"),
    "the state flaps to failed": lambda w: w.flap(gcode_state="FAILED"),
    "the state is nothing known": lambda w: w.flap(gcode_state="DANCING"),
    "an error shows": lambda w: w.flap(print_error=0x0500_4003),
    "the error goes": lambda w: w.flap(print_error=0),
    "the printer's session breaks": lambda w: w.disrupt(),
    "the printer is switched off": lambda w: w.set_printer(is_there=False),
    "the printer is switched on": lambda w: w.set_printer(is_there=True),
    "Printago's session breaks": lambda w: w.broker.hang_up(),
    "Printago goes away": lambda w: w.set_broker(is_there=False),
    "Printago comes back": lambda w: w.set_broker(is_there=True),
    "the broker confirms nothing": lambda w: setattr(w.broker, "confirms", False),
    "the broker confirms again": lambda w: setattr(w.broker, "confirms", True),
    "the disk is full": lambda w: w.set_disk(works=False),
    "the disk has room": lambda w: w.set_disk(works=True),
    "the disk hangs": lambda w: w.hang_disk(),
    "the disk answers": lambda w: w.disk.answer(),
    "downloads stall": lambda w: w.stall("download"),
    "uploads stall": lambda w: w.stall("put"),
    "removals stall": lambda w: w.stall("remove"),
    "what stalled goes on": lambda w: w.stall(""),
    "the storage fails": lambda w: w.set_files(work=False),
    "the storage works": lambda w: w.set_files(work=True),
    "the wall's clock jumps forward": lambda w: w.set_wall(3 * 3600.0),
    "the wall's clock jumps back": lambda w: w.set_wall(-3 * 3600.0),
    "the wall's clock is years ahead": lambda w: w.set_wall(5 * YEAR_S),
    "the wall's clock was never set": lambda w: w.set_wall(-50 * YEAR_S),
    "the wall's clock is right": lambda w: setattr(w.clock, "wall_ahead", 0.0),
    "the next life comes at once": lambda w: w.next_life(0.5),
    "the next life comes in a minute": lambda w: w.next_life(60),
    "the next life comes in 20 minutes": lambda w: w.next_life(1200),
    "the next death is a power cut": lambda w: w.next_life(40, new_boot=True),
    "the next death is a power cut, and no time server is there": lambda w: w.next_life(
        40, new_boot=True, is_sure=False
    ),
    "the printer is taken out of the configuration": lambda w: w.configure(is_there=False),
    "the printer is put into the configuration": lambda w: w.configure(is_there=True),
    "the printer has another access code": lambda w: w.configure(access_code=Secret(f"{w.number:08}")),
    "the printer has another name": lambda w: w.configure(name=f"Printer {w.number}"),
    "the printer's entry names its address": lambda w: w.configure(host=w.place),
    "the configuration has a mistake": lambda w: w.err(),
    "the printer gets another address": lambda w: w.move(f"192.0.2.{w.number % 200 + 2}"),
    "the printer announces itself": lambda w: w.announce(),
    "somebody announces it elsewhere": lambda w: w.announce("198.51.100.9"),
    "the service ends in order": lambda w: w.end_soon(),
    "the service dies": lambda w: w.die(),
}
HAPPENINGS: Final[dict[str, Happening]] = {
    **{name: _given(kind, identified=True) for name, kind in COMMANDS.items()},
    **{f"{name}, without an id": _given(kind, identified=False) for name, kind in COMMANDS.items()},
    **_PLAIN,
    **{f"it dies {where} ({count})": _arming(where, count)
       for where in ("before a commit", "after a commit", "at a request")
       for count in (0, 1, 2, 3, 4, 6, 8, 11, 14)},
    **{f"the next life dies {where} ({count})": _arming_next(where, count)
       for where in ("before a commit", "after a commit") for count in (0, 1, 3)},
    **{f"the printer has the fault {name or 'none'}": _fault(name) for name in FAULTS},
    **{f"garbage {number}": _garbage(message) for number, message in enumerate(GARBAGE)},
}  # fmt: skip
_OFTEN: Final = {
    "start": 14,
    "start, without an id": 5,
    "start a file that is there": 4,
    "download": 3,
    "stop": 8,
    "home": 2,
    "the last one again": 3,
    "the last one again, marked": 3,
    "the service dies": 8,
    "the service ends in order": 2,
    "the disk has room": 2,
    "the printer is switched on": 2,
    "Printago comes back": 2,
    "the printer has the fault none": 2,
    "the printer has the fault slow-start=30": 3,
    "the printer has the fault slow-start=150": 2,
    "what stalled goes on": 2,
    "the printer is put into the configuration": 2,
    "the printer announces itself": 2,
    "the printer's session breaks": 2,
    "somebody starts a print at the screen": 2,
}
CHOICES: Final = tuple(name for name in HAPPENINGS for _ in range(_OFTEN.get(name, 1)))
"""What happens, the more often the likelier."""
WAITS: Final = (0.0, 0.01, 0.03, 0.07, 0.15, 0.3, 0.3, 1.0, 2.0, 2.0, 5.0, 5.0, 12.0, 40.0, 40.0, 190.0, 900.0)


async def _play(script: Iterable[Step], folder: Path) -> list[str]:
    loop, problems = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _loop, context: problems.append(f"the loop: {context}"))
    world = World(folder)
    world.begin()
    await asyncio.sleep(3)
    for what, wait in script:
        HAPPENINGS[what](world)
        await asyncio.sleep(wait if loop.time() - BEGINNING < SCRIPT_S else 0.0)
    assert loop.time() < BEGINNING + LONGEST
    await world.become_quiet()
    await world.end()
    world.check()
    await asyncio.sleep(0)
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return [*world.broken, *problems, *([f"tasks are left: {left}"] if left else [])]


def play(script: Iterable[Step]) -> list[str]:
    """Play a script; return what did not hold, in words."""
    log, logger = Log(), logging.getLogger("bambu_connector")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(log)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        with tempfile.TemporaryDirectory() as folder:
            broken = run(_play(script, Path(folder)))
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagates
    return broken + log.bugs
