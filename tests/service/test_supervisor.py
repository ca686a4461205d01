"""The service as a whole, on fake wires: from the first breath to an orderly end."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.config import Config
from bambu_connector.config.tree import Printago, Status
from bambu_connector.errors import ConfigError, Unreachable
from bambu_connector.service.control import SOCKET_NAME
from bambu_connector.service.notify import Notifier
from bambu_connector.service.supervisor import Supervisor
from tests.service.bench import FILE, URL, config_of, printer_config
from tests.service.fakes import FINGERPRINT, FakeClock, FakePrintago, FakePrinter, FakeWires, fake_journal
from tests.simulated import simulated, until

Fields = dict[str, Any]
AVAILABILITY = "bambu/bench/mqtt"
LEFT, RIGHT = "01P00A000000001", "01P00A000000002"
PRINTAGO = Printago(
    host="broker.example", port=1883, tls=None, username=None, password=None, client_id="bambu-connector-bench"
)


class FakeNotifier(Notifier):
    """Keeps what systemd would be told."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        super().__init__({})
        self.watchdog_s = watchdog_s
        self.said: list[Fields] = []

    def say(self, **fields: str | int) -> None:
        self.said.append(fields)

    def count(self, key: str) -> int:
        return sum(key in each for each in self.said)


class Service:
    """A supervisor that runs, and everything around it."""

    def __init__(self, state_dir: Path, *identifiers: str, watchdog_s: float | None = None) -> None:
        self.ended_at: list[float] = []
        self.broker = FakePrintago()
        self.notifier = FakeNotifier(watchdog_s)
        serials = [f"01P00A00000000{number}" for number, _ in enumerate(identifiers, 1)]
        self.printers = [FakePrinter(serial=serial) for serial in serials]
        wires = FakeWires(self.printers)
        wires.downloader.offers[URL] = FILE
        config = config_of(state_dir, map(printer_config, serials, identifiers), printago=PRINTAGO)
        clock = FakeClock()
        self.config = self.held = config
        self.wires = wires
        self.changed: list[Config | ConfigError] = []
        """What the next looks at the configuration find."""
        self.supervisor = Supervisor(
            config,
            wires,
            self.broker,
            journal=fake_journal(state_dir, clock),
            clock=clock,
            notifier=self.notifier,
            reload=self.reload,
            last_resort=lambda: self.ended_at.append(asyncio.get_running_loop().time()),
        )
        self.running = asyncio.create_task(self.supervisor.run())

    def reload(self, anew: bool = False) -> Config | None:
        found = self.changed.pop(0) if self.changed else None
        if found is None and anew:
            return self.held
        if isinstance(found, ConfigError):
            raise found
        self.held = found or self.held
        return found

    async def until_up(self) -> None:
        """Wait until everything is connected and told."""
        await until(lambda: self.broker.connections and self.broker.connections[-1].topics)
        await until(lambda: all(unit.printer.view for unit in self.supervisor.farm.units.values()))
        await asyncio.sleep(2)

    async def stop(self) -> float:
        """End it in order; return how long that took."""
        began = asyncio.get_running_loop().time()
        self.supervisor.stop()
        await self.running
        return asyncio.get_running_loop().time() - began

    def messages(self, kind: str, printer: str = "left") -> list[Fields]:
        return [each.message for each in self.broker.on(f"bambu/{printer}/{kind}") if each.payload]

    def command(self, command: str, parameters: Fields | None = None, **more: object) -> None:
        kind, action = command.split("/")
        message = {"type": kind, "action": action, "parameters": parameters or {}, **more}
        self.broker.send("bambu/left/commands", message)


@asynccontextmanager
async def service(path: Path, *identifiers: str, watchdog_s: float | None = None) -> AsyncIterator[Service]:
    result = Service(path, *(identifiers or ("left",)), watchdog_s=watchdog_s)
    try:
        yield result
    finally:
        if not result.running.done():
            await result.stop()


def last_link(s: Service, printer: str = "left") -> Fields:
    found: Fields = s.messages("status", printer)[-1]["data"]["machines"][0]["connection_info"]
    return found


@simulated
async def test_the_service_comes_up_introduces_its_printers_and_tells_their_status(tmp_path: Path) -> None:
    async with service(tmp_path, "left", "right") as s:
        await s.until_up()
        assert s.broker.published[0].topic == AVAILABILITY
        assert s.broker.published[0].payload == b"connected"
        assert sorted(s.broker.connections[0].topics) == [
            "bambu/commands",
            "bambu/left/commands",
            "bambu/right/commands",
        ]
        for printer in ("left", "right"):
            (pairing,) = s.messages("pairing", printer)
            assert pairing["data"]["outcome"] == "paired"
            assert last_link(s, printer)["is_online"] is True
        assert s.notifier.count("READY") == 1


@simulated
async def test_a_command_is_carried_out_and_answered_and_acknowledged(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        s.command("movement_control/home", command_id="c1")
        await until(lambda: s.messages("success"))
        assert [each["command_id"] for each in s.messages("success")] == ["c1"]
        assert len(s.broker.connections[0].acknowledged) == 1
        assert len(s.printers[0].acts) == 1


@simulated
async def test_a_whole_print_by_printago(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        s.command("printer_control/start_print_bbl", {"url": URL, "job_id": "J7"}, command_id="c1")
        await until(lambda: any(each["data"]["event"] == "PrintDone" for each in s.messages("event")), within=300)
        assert [each["data"]["job_id"] for each in s.messages("success")] == ["J7"]
        assert len(s.printers[0].starts) == 1
        await until(lambda: not s.printers[0].storage.files)


@simulated
async def test_an_answer_that_was_made_while_printago_was_away_arrives_once_it_is_back(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        s.command("movement_control/home", command_id="c1")
        s.broker.drop()
        s.broker.refusal = Unreachable("away")
        await asyncio.sleep(100)
        assert s.messages("success") == []
        s.broker.refusal = None
        await until(lambda: s.messages("success"))
        assert [each["command_id"] for each in s.messages("success")] == ["c1"]


@simulated
async def test_when_printago_is_back_every_status_is_told_again_and_nobody_is_introduced_again(tmp_path: Path) -> None:
    async with service(tmp_path, "left", "right") as s:
        await s.until_up()
        before = {printer: len(s.messages("status", printer)) for printer in ("left", "right")}
        s.broker.drop()
        await until(lambda: len(s.broker.connections) == 2)
        await asyncio.sleep(0.1)
        for printer, count in before.items():
            assert len(s.messages("status", printer)) > count
            assert len(s.messages("pairing", printer)) == 1


# -- the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@simulated
async def test_a_signal_ends_the_service_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async with service(tmp_path, "left", "right") as s:
        await s.until_up()
        os.kill(os.getpid(), number)
        await s.running
        assert [each.payload for each in s.broker.on(AVAILABILITY)] == [b"connected", b"disconnected"]
        assert s.broker.published[-1].topic == AVAILABILITY
        for printer in ("left", "right"):
            assert last_link(s, printer)["is_connected"] is False
            assert last_link(s, printer)["is_online"] is False
        assert not any(each.is_connected for each in s.printers)
        assert not s.broker.connections[-1].is_open
        assert not (tmp_path / SOCKET_NAME).exists()
        assert s.notifier.said[-1] == {"STOPPING": 1}


def in_an_upload(s: Service) -> None:
    s.printers[0].storage.gates["put"].close()
    s.command("printer_control/start_print_bbl", {"url": URL}, command_id="c1")


def with_a_start_out(s: Service) -> None:
    s.printers[0].faults.add("slow-start=500")
    s.command("printer_control/start_print_bbl", {"url": URL}, command_id="c1")


def with_a_deaf_printer(s: Service) -> None:
    s.printers[0].faults.add("deaf")
    s.command("movement_control/home", command_id="c1")


def with_a_broken_storage(s: Service) -> None:
    in_an_upload(s)
    s.printers[0].storage.gates["remove"].close()


def with_a_transfer_that_hangs(s: Service) -> None:
    in_an_upload(s)
    s.printers[0].storage.ignores_cancelling = True


@pytest.mark.parametrize(
    ("busy", "code"),
    [
        (in_an_upload, None),
        (with_a_start_out, None),
        (with_a_deaf_printer, "timeout"),
        (with_a_broken_storage, None),
        (with_a_transfer_that_hangs, None),
    ],
)
@simulated
async def test_whatever_is_under_way_the_service_ends_within_ten_seconds_and_hands_its_jobs_over(
    tmp_path: Path, busy: Callable[[Service], None], code: str | None
) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        busy(s)
        await asyncio.sleep(1)
        took = await s.stop()
        assert took < 10
        answers = [(each["command_id"], each["data"]["code"]) for each in s.messages("error")]
        assert answers == ([] if code is None else [("c1", code)])
        assert s.broker.published[-1].payload == b"disconnected"
        s.printers[0].storage.ignores_cancelling = False
        for gate in s.printers[0].storage.gates.values():
            gate.open()


@simulated
async def test_a_broker_that_says_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        s.broker.confirms = False
        in_an_upload(s)
        await asyncio.sleep(1)
        assert await s.stop() < 10


@simulated
async def test_what_ends_the_process_whatever_hangs_is_set_off_when_the_end_begins(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        assert s.ended_at == []
        with_a_start_out(s)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        assert await s.stop() > 1
        assert len(s.ended_at) == 1
        assert s.ended_at[0] - began < 0.1


@simulated
async def test_many_transfers_that_hang_take_no_longer_to_end_than_one(tmp_path: Path) -> None:
    names = ["left", *(f"other-{number}" for number in range(8))]
    async with service(tmp_path, *names) as s:
        await s.until_up()
        s.broker.confirms = False
        for printer, name in zip(s.printers, names, strict=True):
            printer.storage.gates["put"].close()
            printer.storage.ignores_cancelling = True
            start = {"type": "printer_control", "action": "start_print_bbl", "parameters": {"url": URL}}
            s.broker.send(f"bambu/{name}/commands", {**start, "command_id": name})
        await asyncio.sleep(2)
        assert await s.stop() < 9
        assert [each for name in names for each in s.messages("error", name)] == []
        for printer in s.printers:
            printer.storage.ignores_cancelling = False
            printer.storage.gates["put"].open()


@simulated
async def test_without_printago_the_service_ends_too(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        s.broker.refusal = Unreachable("away")
        await asyncio.sleep(60)
        assert await s.stop() < 10


@simulated
async def test_a_command_that_comes_while_stopping_is_left_to_the_broker(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        with_a_start_out(s)
        await asyncio.sleep(1)
        taken = len(s.broker.connections[0].acknowledged)
        s.supervisor.stop()
        await asyncio.sleep(1)
        assert not s.running.done()
        s.command("movement_control/home", command_id="late")
        await s.running
        assert len(s.broker.connections[0].acknowledged) == taken
        assert "late" not in [each.get("command_id") for each in s.messages("error")]
        assert "gcode_line" not in [each.command for each in s.printers[0].acts]


# -- what is left from before -----------------------------------------------------------------------


@simulated
async def test_the_statuses_of_printers_that_were_removed_are_cleared(tmp_path: Path) -> None:
    async with service(tmp_path, "left", "right") as s:
        await s.until_up()
    async with service(tmp_path, "left") as s:
        await s.until_up()
        cleared = [each for each in s.broker.published if each.payload == b""]
        assert [(each.topic, each.retain) for each in cleared] == [("bambu/right/status", True)]
    async with service(tmp_path, "left") as s:
        await s.until_up()
        assert [each for each in s.broker.published if each.payload == b""] == []


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b"[3]", b"\xff"])
@simulated
async def test_a_damaged_list_of_printers_told_before_does_no_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "announced.json").write_bytes(content)
    async with service(tmp_path) as s:
        await s.until_up()
        assert json.loads((tmp_path / "announced.json").read_text()) == ["left"]


@simulated
async def test_a_state_directory_that_cannot_be_written_does_not_keep_printago_away(tmp_path: Path) -> None:
    (tmp_path / "announced.json").mkdir()
    async with service(tmp_path) as s:
        await s.until_up()
        assert s.messages("pairing")
        assert len(s.broker.connections) == 1


# -- systemd ---------------------------------------------------------------------------------------


@simulated
async def test_the_watchdog_is_told_in_its_interval(tmp_path: Path) -> None:
    async with service(tmp_path, watchdog_s=15.0) as s:
        await asyncio.sleep(151)
        assert s.notifier.count("WATCHDOG") == 10


@simulated
async def test_without_a_watchdog_nothing_is_told(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await asyncio.sleep(151)
        assert s.notifier.count("WATCHDOG") == 0


# -- a configuration that changes while the service runs ----------------------------------------------


@simulated
async def test_a_printer_that_is_new_in_the_configuration_is_connected_introduced_and_obeys(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        new = FakePrinter(serial=RIGHT)
        s.wires.printers[RIGHT] = new
        s.changed = [replace(s.config, printers=(*s.config.printers, printer_config(RIGHT, "right")))]
        await until(lambda: s.messages("pairing", "right"))
        await until(lambda: new.is_connected and "bambu/right/commands" in s.broker.connections[-1].topics)
        command = {"type": "movement_control", "action": "home", "parameters": {}}
        await until(lambda: last_link(s, "right")["is_online"])
        s.broker.send("bambu/right/commands", command)
        await until(lambda: s.messages("success", "right"))
        assert len(s.broker.connections) == 1
        assert len(s.printers[0].connections) == 1
        assert len(s.messages("pairing", "left")) == 1


@simulated
async def test_a_printer_that_is_gone_from_the_configuration_is_let_go_and_its_status_cleared(tmp_path: Path) -> None:
    async with service(tmp_path, "left", "right") as s:
        await s.until_up()
        s.changed = [replace(s.config, printers=s.config.printers[:1])]
        await until(lambda: s.broker.on("bambu/right/status")[-1].payload == b"")
        assert s.broker.on("bambu/right/status")[-1].retain
        assert not s.printers[1].is_connected
        assert "bambu/right/commands" not in s.broker.connections[-1].topics
        await asyncio.sleep(200)
        assert s.broker.on("bambu/right/status")[-1].payload == b""


@simulated
async def test_a_configuration_that_cannot_be_used_is_told_and_the_one_before_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        s.changed = [ConfigError("connector.yaml:3: nonsense", "connector.yaml:4: more of it")]
        await until(lambda: "more of it" in caplog.text)
        assert "nonsense" in caplog.text
        await asyncio.sleep(60)
        assert s.printers[0].is_connected
        assert caplog.text.count("more of it") == 1


@simulated
async def test_what_needs_a_restart_is_told_with_its_section(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        s.changed = [replace(s.config, status=Status(heartbeat=5), warnings=("mind the gap",))]
        await until(lambda: "`status` was changed" in caplog.text)
        assert "mind the gap" in caplog.text
        assert "`printers`" not in caplog.text


@simulated
async def test_commands_that_the_broker_kept_for_a_printer_that_is_gone_are_wanted_no_more(tmp_path: Path) -> None:
    async with service(tmp_path, "left", "right") as s:
        await s.until_up()
    async with service(tmp_path, "left") as s:
        s.broker.unsubscribed.clear()
        await s.until_up()
        assert s.broker.unsubscribed == ["bambu/right/commands"]


@simulated
async def test_a_printer_that_comes_while_the_others_are_waited_for_costs_printago_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with service(tmp_path, "left", "other") as s:
        for each in s.printers:
            each.gate.close()
        s.wires.printers["01P00A000000009"] = FakePrinter(serial="01P00A000000009")
        await asyncio.sleep(0.5)
        s.supervisor.farm.add(printer_config("01P00A000000009", "right"))
        s.printers[0].gate.open()
        await until(lambda: s.broker.connections and s.broker.connections[-1].topics, within=4)
        assert "bug" not in caplog.text
        s.printers[1].gate.open()
        await until(lambda: s.messages("pairing", "right"))


@simulated
async def test_a_change_that_came_while_the_printer_was_on_trial_is_made_up_for(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        renamed = replace(s.config.printers[0], name="Renamed")
        with s.supervisor.farm.on_trial(LEFT):
            s.changed = [replace(s.config, printers=(renamed,))]
            await asyncio.sleep(10)
            assert s.supervisor.farm.units["left"].name == "left"
        await until(lambda: s.supervisor.farm.units["left"].name == "Renamed", within=5)
        assert len(s.printers[0].connections) == 1
        assert not s.supervisor.farm.is_behind


@simulated
async def test_a_service_that_ends_undoes_what_was_being_paired_first(tmp_path: Path) -> None:
    async with service(tmp_path) as s:
        await s.until_up()
        new = FakePrinter(serial=RIGHT, faults=["silent"])
        s.wires.printers[RIGHT] = new
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        asked = {
            "do": "pair",
            "serial": RIGHT,
            "host": "192.0.2.9",
            "access_code": "11112222",
            "fingerprint": FINGERPRINT,
        }
        writer.write(json.dumps(asked).encode() + b"\n")
        await until(lambda: new.is_connected)
        assert await s.stop() < 5
        assert not new.is_connected
        assert s.wires.registry.paired == {}
        assert [each["data"]["outcome"] for each in s.messages("pairing", RIGHT)] == ["failed"]
        said: Fields = {}
        while "error" not in said:
            said = json.loads(await reader.readline())
        assert "being stopped" in said["error"]
        writer.close()
