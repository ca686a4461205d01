"""One life of the service after another, on simulated time: what the journal carries across a kill.

A kill loses everything but what was committed to the store: tasks, sessions, answers on their way.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from bambu_connector.config.tree import Printago
from bambu_connector.errors import Unreachable
from bambu_connector.links.wire import Delivery
from bambu_connector.printago.messages import timestamp_text
from bambu_connector.service.farm import Farm, topics_of
from bambu_connector.service.outbox import Outbox
from bambu_connector.service.store import Opening
from bambu_connector.service.supervisor import Supervisor
from tests.service.bench import FILE, URL, config_of, printer_config
from tests.service.fakes import FakeClock, FakePrintago, FakePrinter, FakeStore, FakeWires, fake_journal
from tests.service.test_supervisor import FakeNotifier
from tests.simulated import simulated, until

Fields = dict[str, Any]
START: Final = "printer_control/start_print_bbl"
STOP: Final[Fields] = {"type": "printer_control", "action": "stop_print", "parameters": {}}
PRINTAGO: Final = Printago(host="broker.example", port=1883, tls=None, username=None, password=None, client_id="bench")


class World:
    """A printer, a broker and a disk that outlive the service, which is killed and begun again."""

    def __init__(self, folder: Path, model: str = "P1S", *, faults: tuple[str, ...] = (), speed: float = 10.0) -> None:
        self.folder = folder
        self.store = FakeStore()
        self.broker = FakePrintago()
        self.clock = FakeClock()
        self.printer = FakePrinter(model, faults=faults, speed=speed)
        self.wires = FakeWires([self.printer])
        self.wires.downloader.offers[URL] = FILE
        self._config = config_of(
            folder, [printer_config(self.printer.serial, "left")], printago=PRINTAGO, keep_files=10
        )
        self._sent: list[Delivery] = []
        self._before: set[asyncio.Task[Any]] = set()
        self.supervisor: Supervisor

    async def begin(self) -> None:
        """Start the service, and wait until it is up."""
        before = asyncio.all_tasks()
        sessions = len(self.broker.connections)
        self.broker.refusal = None
        # The broker sends again what was not acknowledged, and says so.
        known = {each.token for connection in self.broker.connections for each in connection.acknowledged}
        self.broker.early = [replace(each, dup=True) for each in self._sent if each.token not in known]
        self.supervisor = Supervisor(
            self._config,
            self.wires,
            self.broker,
            journal=fake_journal(self.folder, self.clock, self.store),
            clock=self.clock,
            notifier=FakeNotifier(None),
        )
        running = asyncio.create_task(self.supervisor.run())
        await until(lambda: len(self.broker.connections) > sessions and self.broker.connections[-1].topics, within=200)
        self._before, self._running = before, running

    async def kill(self) -> None:
        """End everything at once; only what was committed stays."""
        lost, self.store = self.store, _copy_of(self.store)
        lost.is_dead = True
        me = asyncio.current_task()
        self.broker.refusal = Unreachable("The process is dead.")
        for connection in self.broker.connections:
            connection.end(Unreachable("The process is dead."))
        published = list(self.broker.published)
        dead = [task for task in asyncio.all_tasks() - self._before if task is not me]
        self.printer.drop()
        for task in dead:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*dead, return_exceptions=True)
        self.supervisor.farm.units["left"].printer.statuses.end()
        server = self.supervisor._control._server
        assert server is not None
        server.close()
        self.broker.published[:] = published

    async def kill_when(self, condition: Callable[[], object], within: float = 400.0) -> None:
        """Kill the service as soon as something is so."""
        await until(condition, within, every=0.01)
        await self.kill()

    async def end(self) -> None:
        """End the service in order."""
        self.supervisor.stop()
        await self._running

    def command(self, command: str, parameters: Fields | None = None, *, dup: bool = False, **more: object) -> None:
        """Deliver a command."""
        kind, action = command.split("/")
        message = {"type": kind, "action": action, "parameters": parameters or {}, **more}
        delivery = self.broker.delivery("bambu/left/commands", message, dup=dup)
        self._sent.append(delivery)
        self.broker.connections[-1].deliver(delivery)

    def start(self, command_id: str = "c1") -> None:
        """Deliver a start."""
        self.command(START, {"url": URL}, command_id=command_id)

    def messages(self, kind: str) -> list[Fields]:
        """Return the messages of a type, each once."""
        found = {
            each.message["message_id"]: each.message for each in self.broker.on(f"bambu/left/{kind}") if each.payload
        }
        return list(found.values())

    def answers(self, command_id: str) -> list[Fields]:
        """Return the answers to a command, each once."""
        kinds = ("success", "error", "response", "status")
        return [each for kind in kinds for each in self.messages(kind) if each.get("command_id") == command_id]

    def ending(self, command_id: str = "c1") -> str:
        """Return how the one answer to a command ends: its code, or `success`."""
        (answer,) = self.answers(command_id)
        return str(answer["data"].get("code", answer["type"]))

    def events(self) -> list[Fields]:
        """Return the data of every event."""
        return [each["data"] for each in self.messages("event")]

    def terminal(self) -> list[Fields]:
        """Return the events that end prints."""
        return [each for each in self.events() if each["event"] in ("PrintDone", "PrintFailed", "PrintCancelled")]

    @property
    def stage(self) -> str:
        """Where the job is."""
        return self.supervisor.farm.units["left"].jobs.process().stage

    @property
    def files(self) -> set[str]:
        """What lies on the printer's storage."""
        return set(self.printer.storage.files)


def _copy_of(store: FakeStore) -> FakeStore:
    copy = FakeStore()
    copy.records, copy.digests, copy.opening = dict(store.records), dict(store.digests), Opening.BROKEN_OFF
    return copy


async def _quiet(world: World, command_id: str = "c1", within: float = 900.0) -> None:
    await until(lambda: world.answers(command_id), within, every=1.0)
    await asyncio.sleep(5)


# -- before the start ------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["download", "verify", "upload"])
@simulated
async def test_a_job_before_its_start_goes_on_after_a_kill_and_is_answered_once(tmp_path: Path, stage: str) -> None:
    world = World(tmp_path)
    gates = {"download": world.wires.downloader.gate, "upload": world.printer.storage.gates["put"]}
    await world.begin()
    if stage == "verify":
        world.wires.files.is_closed = lambda: world.stage == "verify"
    else:
        gates[stage].close()
    world.start()
    await world.kill_when(lambda: world.stage == stage)
    for gate in gates.values():
        gate.open()
    world.wires.files.is_closed = lambda: False
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    assert len(world.printer.starts) == 1
    await until(world.terminal, 900)
    await until(lambda: not world.files, 120)
    await world.end()


@simulated
async def test_a_file_that_was_fetched_is_not_fetched_again_and_one_that_was_stored_not_stored_again(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    await world.begin()
    world.printer.withholds = lambda _message: True  # so that it is asked once more before the start
    await asyncio.sleep(20)
    world.start()
    await world.kill_when(lambda: b'"stored":true' in b"".join(world.store.records.values()))
    assert world.printer.starts == []
    world.printer.withholds = lambda _message: False
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    assert len(world.wires.downloader.fetched) == 1
    assert len([each for each in world.printer.storage.calls if each[0] == "put"]) == 1
    assert len(world.printer.starts) == 1
    await world.end()


@simulated
async def test_a_job_whose_last_step_is_too_long_ago_is_expired_and_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.printer.storage.gates["put"].close()
    world.start()
    await world.kill_when(lambda: world.files)
    world.printer.storage.gates["put"].open()
    await asyncio.sleep(15 * 60 + 1)
    await world.begin()
    await _quiet(world)
    assert world.ending() == "expired"
    await until(lambda: not world.files, 120)
    assert world.printer.starts == []
    assert list((tmp_path / "downloads").iterdir()) == []
    await world.end()


@pytest.mark.parametrize("is_sure", [True, False])
@simulated
async def test_after_a_power_cut_a_job_goes_on_only_if_the_clock_can_be_believed(tmp_path: Path, is_sure: bool) -> None:
    world = World(tmp_path)
    await world.begin()
    world.wires.downloader.gate.close()
    world.start()
    await world.kill_when(lambda: world.wires.downloader.gate.waiting)
    world.wires.downloader.gate.open()
    world.clock.boots += 1
    world.clock.is_sure = is_sure
    await asyncio.sleep(60)
    await world.begin()
    await _quiet(world)
    assert world.ending() == ("success" if is_sure else "expired")
    assert len(world.printer.starts) == is_sure
    await world.end()


@simulated
async def test_a_job_waits_for_a_printer_that_boots_as_well(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.wires.downloader.gate.close()
    world.start()
    await world.kill_when(lambda: world.wires.downloader.gate.waiting)
    world.wires.downloader.gate.open()
    world.printer.refusal = Unreachable("It boots.")
    await world.begin()
    await asyncio.sleep(300)
    assert world.answers("c1") == []
    world.printer.refusal = None
    await _quiet(world)
    assert world.ending() == "success"
    await world.end()


# -- in and after the start ------------------------------------------------------------------------


@simulated
async def test_a_start_that_is_out_is_never_sent_again_and_is_seen_to_run(tmp_path: Path) -> None:
    world = World(tmp_path, faults=("slow-start=60",))
    await world.begin()
    world.start()
    await world.kill_when(lambda: world.printer.starts)
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    assert len(world.printer.starts) == 1
    await until(world.terminal, 900)
    (end,) = world.terminal()
    assert (end["event"], end["job"]["command_id"], end.get("late")) == ("PrintDone", "c1", None)
    await until(lambda: not world.files, 120)
    await world.end()


@simulated
async def test_a_start_that_was_noted_and_never_sent_is_unknown_and_the_file_goes(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.printer.loses = lambda message: "project_file" in str(message)
    world.start()
    await world.kill_when(lambda: world.printer.starts)
    await world.begin()
    await _quiet(world)
    assert world.ending() == "start_unknown"
    assert len(world.printer.starts) == 1
    await until(lambda: not world.files, 600)
    await world.end()


@simulated
async def test_a_print_that_ran_and_ended_while_the_service_was_dead_is_told_late_and_once(tmp_path: Path) -> None:
    world = World(tmp_path, faults=("slow-start=5",), speed=200.0)
    await world.begin()
    world.start()
    await world.kill_when(lambda: world.printer.starts)
    await until(lambda: world.printer.state == "FINISH", 900)
    await asyncio.sleep(300)
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    (end,) = world.terminal()
    assert (end["event"], end["late"], end["job"]["command_id"]) == ("PrintDone", True, "c1")
    await until(lambda: not world.files, 120)
    await world.kill()
    await world.begin()
    await asyncio.sleep(60)
    assert len(world.terminal()) == 1
    assert len(world.printer.starts) == 1
    await world.end()


@pytest.mark.parametrize("how", ["FINISH", "FAILED"])
@simulated
async def test_a_running_print_that_ended_while_the_service_was_dead_is_told_late(tmp_path: Path, how: str) -> None:
    world = World(tmp_path)
    await world.begin()
    world.start()
    await _quiet(world)
    assert world.ending() == "success"
    await world.kill()
    if how == "FINISH":
        await until(lambda: world.printer.state == "FINISH", 4000)
    else:
        world.printer.change(gcode_state="FAILED", print_error=0x0300_4000)
        world.printer.stands_still = True
    await world.begin()
    await until(world.terminal, 120)
    await asyncio.sleep(30)
    (end,) = world.terminal()
    assert (end["event"], end["late"]) == ("PrintDone" if how == "FINISH" else "PrintFailed", True)
    assert end["job"]["command_id"] == "c1"
    await until(lambda: not world.files, 120)
    await world.end()


@simulated
async def test_a_stop_that_was_asked_for_before_the_kill_stops_the_print_when_it_is_seen(tmp_path: Path) -> None:
    world = World(tmp_path, faults=("slow-start=60",))
    await world.begin()
    world.start()
    await until(lambda: world.printer.starts, 100, every=0.01)
    world.command("printer_control/stop_print", command_id="s1")
    await world.kill_when(lambda: world.printer.stops)
    await world.begin()
    await _quiet(world)
    assert world.ending("c1") == "cancelled"
    assert world.ending("s1") == "timeout"
    assert len(world.printer.starts) == 1
    told = [each for each in world.events() if each["event"] in ("PrintStarted", "PrintCancelled")]
    assert [each["event"] for each in told] == ["PrintStarted", "PrintCancelled"]
    assert [each["job"]["command_id"] for each in told] == ["c1", "c1"]
    assert world.printer.state not in ("RUNNING", "PREPARE")
    await world.end()


# -- other commands --------------------------------------------------------------------------------


@simulated
async def test_a_command_that_was_under_way_is_answered_once_and_not_done_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.printer.faults.add("deaf")
    world.command("movement_control/home", command_id="h1")
    await asyncio.sleep(2)
    sent = len(world.printer.acts)
    await world.kill()
    await world.begin()
    await _quiet(world, "h1")
    assert world.ending("h1") == "timeout"
    assert len(world.printer.acts) == sent
    await world.end()


@simulated
async def test_a_command_that_came_before_the_kill_is_known_after_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.command("movement_control/home", command_id="h1")
    await _quiet(world, "h1")
    world.start("c1")
    await _quiet(world, "c1")
    sent = len(world.printer.acts)
    await world.kill()
    await world.begin()
    world.command("movement_control/home", command_id="h1")
    world.start("c1")
    world.start("c1")
    await asyncio.sleep(30)
    assert len(world.printer.acts) == sent
    assert len(world.answers("h1")) == len(world.answers("c1")) == 1
    await world.end()


@simulated
async def test_a_repeated_delivery_that_nobody_remembers_is_not_done_after_a_kill(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    await world.kill()
    await world.begin()
    world.command("movement_control/home", command_id="h1", dup=True)
    world.command("printer_control/get_status", command_id="q1", dup=True)
    await asyncio.sleep(20)
    assert world.ending("h1") == "expired"
    assert world.ending("q1") == "status"
    assert world.printer.acts == []
    await world.end()


@simulated
async def test_after_an_orderly_end_a_repeated_delivery_is_one_that_never_arrived(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    await world.end()
    await world.begin()
    world.command("movement_control/home", command_id="h1", dup=True)
    await _quiet(world, "h1")
    assert world.ending("h1") == "success"
    await world.end()


@simulated
async def test_answers_and_events_that_printago_did_not_get_come_after_a_kill_in_order_with_their_own_times(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    await world.begin()
    world.start()
    await until(lambda: world.printer.starts, 100)
    world.broker.refusal = Unreachable("away")
    world.broker.drop()
    await until(lambda: world.printer.state == "FINISH", 4000)
    await asyncio.sleep(30)
    mark = len(world.broker.published)
    await world.kill()
    await asyncio.sleep(600)
    ended = world.clock.wall() - 600
    await world.begin()
    await asyncio.sleep(5)
    assert world.ending() == "success"
    told = [each.message for each in world.broker.published[mark:] if each.qos == 1 and each.payload.startswith(b"{")]
    times = [each["timestamp"] for each in told if each["type"] != "pairing"]
    assert times == sorted(times)
    assert [each["data"]["event"] for each in told if each["type"] == "event"].count("PrintDone") == 1
    (end,) = world.terminal()
    assert "late" not in end
    done = next(each for each in told if each["type"] == "event" and each["data"]["event"] == "PrintDone")
    assert done["timestamp"] < timestamp_text(ended)
    await world.end()


@simulated
async def test_a_short_look_at_the_journal_does_not_make_a_broken_off_life_look_like_one_that_ended(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    await world.begin()
    await world.kill()
    look = fake_journal(tmp_path, world.clock, world.store)  # as the command line does
    await look.close(heard_broker=False)
    await world.begin()
    world.command("movement_control/home", command_id="h1", dup=True)
    await _quiet(world, "h1")
    assert world.ending("h1") == "expired"
    await world.end()


# -- events across lives ---------------------------------------------------------------------------


@simulated
async def test_what_was_told_of_the_connection_is_not_told_again_by_every_life(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(3):
        await world.begin()
        await asyncio.sleep(5)
        await world.kill()
    names = [each["event"] for each in world.events()]
    assert names.count("Connected") == 1
    world.printer.refusal = Unreachable("It is off.")
    await world.begin()
    await asyncio.sleep(60)
    assert [each["event"] for each in world.events()] == ["Connected", "Disconnected"]
    await world.end()


@simulated
async def test_a_start_that_an_earlier_life_sent_is_told_as_begun_once(tmp_path: Path) -> None:
    world = World(tmp_path, faults=("slow-start=60",))
    await world.begin()
    world.start()
    await world.kill_when(lambda: world.printer.starts)
    await world.begin()
    await _quiet(world)
    await until(world.terminal, 900)
    names = [each["event"] for each in world.events()]
    assert names.count("PrintStarted") == names.count("PrintDone") == 1
    started = next(each for each in world.events() if each["event"] == "PrintStarted")
    assert started["job"]["command_id"] == "c1"
    await world.end()


@simulated
async def test_a_stop_that_worked_while_the_service_died_is_told_as_a_cancellation(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.start()
    await _quiet(world)
    world.printer.loses = lambda message: "stop" in str(message)
    world.command("printer_control/stop_print", command_id="s1")
    await asyncio.sleep(1)
    await world.kill()
    world.printer.stands_still = True
    world.printer.change(gcode_state="FAILED", print_error=0)
    await world.begin()
    await until(world.terminal, 120)
    (end,) = world.terminal()
    assert (end["event"], end["late"]) == ("PrintCancelled", True)
    await world.end()


@simulated
async def test_an_orderly_end_between_the_note_of_a_start_and_the_start_is_no_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.start()
    ending: list[asyncio.Task[None]] = []

    def end() -> None:
        if not ending and any(b'"phase":"OUT"' in body for body in world.store.records.values()):
            ending.append(asyncio.create_task(world.supervisor.farm.units["left"].jobs.give_up(1.0, hand_over=True)))

    world.store.committed = end
    await until(lambda: ending, 100)
    await world.end()
    assert world.printer.starts == []
    assert not any(b'"phase":"OUT"' in body for body in world.store.records.values())
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    assert len(world.printer.starts) == 1
    await world.end()


@simulated
async def test_an_orderly_end_in_an_upload_tells_no_failure_of_what_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.printer.storage.gates["put"].close()
    world.start()
    await until(lambda: world.files, 100)
    await world.end()
    world.printer.storage.gates["put"].open()
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    assert "TransferFailed" not in [each["event"] for each in world.events()]
    await world.end()


# -- a command line beside it, and a farm that changed ---------------------------------------------


@simulated
async def test_the_command_line_alone_touches_neither_the_jobs_of_other_printers_nor_those_of_its_own(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, faults=("slow-start=60",))
    await world.begin()
    world.start()
    await world.kill_when(lambda: world.printer.starts)
    for printers in ((), world._config.printers):
        journal = fake_journal(tmp_path, world.clock, world.store)
        only = replace(world._config, printers=tuple(printers), printago=None)
        farm = Farm(only, world.wires, journal=journal, post=lambda _message: None, clock=world.clock)
        farm.restore(alone=True)
        farm.start()
        await asyncio.sleep(2)
        await farm.stop(1.0, hand_over=True)
        await journal.close(heard_broker=False)
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    await until(lambda: not world.files, 900)
    assert len(world.printer.starts) == 1
    await world.end()


@simulated
async def test_a_stop_by_the_command_line_alone_ends_the_job_that_the_service_left(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.printer.storage.gates["put"].close()
    world.start()
    await world.kill_when(lambda: world.files)
    world.printer.storage.gates["put"].open()
    journal = fake_journal(tmp_path, world.clock, world.store)
    alone = replace(world._config, printago=None)
    outbox = Outbox(topics_of(alone).message, journal)
    farm = Farm(alone, world.wires, journal=journal, post=outbox.post, clock=world.clock)
    farm.restore(alone=True, stops=True)
    farm.start()
    await until(lambda: farm.units["left"].printer.view is not None)
    answers = [each async for each in farm.carry_out("left", STOP)]
    assert answers[-1]["answer"]["type"] == "success"
    await farm.stop(1.0, hand_over=True)
    await journal.close(heard_broker=False)
    assert world.files == set()
    await world.begin()
    await _quiet(world)
    assert world.ending() == "cancelled"
    assert world.printer.starts == []
    await world.end()


@simulated
async def test_where_nobody_remembers_what_was_started_no_start_follows_before_the_printer_must_have_shown_it(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, faults=("slow-start=100",))
    await world.begin()
    world.start()
    await world.kill_when(lambda: world.printer.starts)
    world.store.records.clear()
    world.store.digests.clear()
    world.store.opening = Opening.DAMAGED
    await world.begin()
    world.start("c2")
    await _quiet(world, "c2")
    assert world.ending("c2") == "printer_busy"
    assert len(world.printer.starts) == 1
    await world.end()


@simulated
async def test_a_printer_that_left_the_configuration_is_clean_when_it_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    world.printer.storage.gates["put"].close()
    world.start()
    await world.kill_when(lambda: world.files)
    world.printer.storage.gates["put"].open()
    config, world._config = world._config, replace(world._config, printers=())
    await world.begin()
    await asyncio.sleep(5)
    assert world.ending() == "unknown_printer"
    await world.end()
    world._config = config
    await world.begin()
    await until(lambda: not world.files, 120)
    assert world.printer.starts == []
    await world.end()


@simulated
async def test_what_lies_among_the_downloads_and_is_no_file_keeps_nobody_from_starting(tmp_path: Path) -> None:
    (tmp_path / "downloads" / "lost+found").mkdir(parents=True)
    world = World(tmp_path)
    await world.begin()
    await world.end()
    assert (tmp_path / "downloads" / "lost+found").is_dir()


@simulated
async def test_a_quick_print_that_ended_before_the_service_was_back_is_known_by_its_name(tmp_path: Path) -> None:
    world = World(tmp_path, speed=200.0)
    world.printer.change(gcode_state="FINISH", subtask_id="1", subtask_name="before")
    await world.begin()
    world.start()
    await world.kill_when(lambda: world.printer.starts)
    await until(
        lambda: world.printer.state == "FINISH" and world.printer.machine.report.get("subtask_name") != "before", 400
    )
    await world.begin()
    await _quiet(world)
    assert world.ending() == "success"
    await until(world.terminal, 60)
    assert [(each["event"], each["late"]) for each in world.terminal()] == [("PrintDone", True)]
    await until(lambda: not world.files, 120)
    await world.end()
