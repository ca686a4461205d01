"""Beginnings and ends: the broker's, the service's, and those that nobody planned."""

import json
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bench import Bench, Printer, Workshop
from tests.e2e.cloud import Cloud, Tree
from tests.files import sliced
from tests.servers.cable import Cable
from tests.servers.process import wait_until, workspace

Make = Callable[..., Bench]


@pytest.fixture
def make(workshop: Workshop) -> Iterator[Make]:
    """Makes a bench of its own for a test; not started yet."""
    made: list[Bench] = []

    with workspace() as folder:

        def make(*models: str, **options: Any) -> Bench:
            printers = [Printer(workshop, model) for model in models or ("P1S",)]
            made.append(Bench(folder, workshop, printers, connector_id=f"life{len(made)}", **options))
            return made[-1]

        yield make
        for bench in made:
            bench.__exit__(None, None, None)


def is_online(raw: bytes | None) -> object:
    """Return what a retained status says; None where nothing is retained."""
    return None if not raw else json.loads(raw)["data"]["machines"][0]["connection_info"]["is_online"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_stop_says_goodbye(make: Make, number: signal.Signals) -> None:
    bench = make("P1S", "X1C").start()
    assert bench.service.stop(number) == 0
    assert bench.cloud.availability("life0") == ["connected", "disconnected"]
    assert bench.cloud.retained("bambu/life0/mqtt") == b"disconnected"
    for printer in bench.printers:
        assert is_online(bench.cloud.retained(f"bambu/{printer.id}/status")) is False
        assert printer.virtual.sessions == 0
    flags = {(each.qos, each.retain) for each in bench.cloud.messages if each.kind == "mqtt"}
    assert flags == {(1, True)}
    assert "Traceback" not in bench.service.log()


def test_a_stop_in_the_middle_of_jobs_hands_over_what_it_is_doing(make: Make) -> None:
    bench = make("P1S", "P1S")
    bench.start()
    download, file = bench.stall(bench.printers[0], 60)
    bench.printers[1].fault("slow-start=20")
    url = bench.serve("out.gcode.3mf", sliced())
    out = bench.send(bench.printers[1], "printer_control/start_print_bbl", {"url": url})
    bench.printers[1].when_ordered("project_file")
    assert bench.service.stop() == 0
    assert bench.cloud.availability("life0")[-1] == "disconnected"
    assert bench.cloud.answers(download) == bench.cloud.answers(out) == []
    bench.go_on(file)
    bench.start()
    assert bench.cloud.answer(download).kind == "success"
    assert bench.cloud.answer(out).kind == "success"
    assert [len(each.starts) for each in bench.printers] == [1, 1]


def test_a_power_cut_leaves_the_last_will(make: Make) -> None:
    bench = make().start()
    bench.service.child.kill()
    bench.cloud.until("the last will", lambda: bench.cloud.availability("life0")[-1] == "disconnected")
    assert bench.cloud.retained("bambu/life0/mqtt") == b"disconnected"
    since = bench.cloud.mark()
    bench.service.start()  # the lock and the socket that were left behind are in nobody's way
    bench.when_available(since=since)
    bench.when_ready(bench.printers[0], since=since)
    assert bench.service.cli("status", "--json").returncode == 0


def test_after_a_restart_of_the_broker_everything_is_told_again(make: Make) -> None:
    bench = make("P1S", "X1C").start()
    introduced = {bench.cloud.hear("pairing", each.id).fields["message_id"] for each in bench.printers}
    since = bench.cloud.mark()
    bench.cloud.restart_broker()
    bench.when_available(since=since)
    for printer in bench.printers:
        bench.when_ready(printer, since=since)
        bench.succeed(printer, "movement_control/home")
        assert is_online(bench.cloud.retained(f"bambu/{printer.id}/status")) is True
    assert bench.cloud.retained("bambu/life0/mqtt") == b"connected"
    # What the broker had not confirmed may come again, under the same id; nobody is introduced again.
    assert {each.fields["message_id"] for each in bench.cloud.heard("pairing", since=since)} <= introduced


def test_what_happened_while_the_broker_was_away_arrives_once_and_in_order(workshop: Workshop) -> None:
    with workspace() as folder, Cloud(folder) as cloud, Cable(("127.0.0.1", cloud.broker.port)) as cable:
        printer = Printer(workshop)
        with Bench(folder, workshop, [printer], connector_id="away", cloud=cloud, cloud_port=cable.port) as bench:
            bench.start()
            job, file = bench.stall(printer, 61)
            cable.unplug()
            bench.go_on(file)
            wait_until("the print is over", lambda: printer.starts and printer.state == "FINISH")
            since = cloud.mark()
            cloud.restart_broker()
            assert cloud.answers(job) == []
            cable.plug()
            assert cloud.answer(job, 30).kind == "success"
            done = cloud.hear_event(printer.id, "PrintDone", since=since)
            events = cloud.heard("event", printer.id, since=since)
            names = [each.data["event"] for each in events]
            assert [names.count(each) for each in ("TransferDone", "PrintStarted", "PrintDone")] == [1, 1, 1]
            times = [each.fields["timestamp"] for each in events]
            assert times == sorted(times)
            assert done.fields["timestamp"] > next(
                each.fields["timestamp"] for each in events if each.data["event"] == "PrintStarted"
            )
            bench.fence(printer)
            assert bench.unanswered() == []
            assert cloud.availability("away")[-1] == "connected"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_printagos_broker_may_demand_tls(make: Make, protocol: str) -> None:
    bench = make(tls=True, protocol=protocol).start()
    bench.succeed(bench.printers[0], "movement_control/home")
    assert f"MQTT {protocol}" in bench.service.log()
    assert bench.service.stop() == 0


def test_a_broker_whose_certificate_is_not_trusted_is_told_nothing(make: Make, tmp_path: Path) -> None:
    bench = make(tls=True)
    config = bench.config()
    config["printago"]["tls"] = True  # the system's authorities do not know this one
    bench.service.write(config)
    bench.service.start()
    wait_until("the refusal is in the log", lambda: "Printago" in bench.service.log() and "WARN" in bench.service.log())
    assert bench.cloud.availability("life0") == []
    assert "as 'bambu" not in bench.cloud.broker.text()
    assert bench.service.stop() == 0


def test_a_wrong_password_is_told_and_the_service_goes_on_trying_nothing_foolish(make: Make) -> None:
    bench = make(printago={"password": "wrong-Xy7"})
    bench.secrets.append("wrong-Xy7")
    bench.service.start()
    wait_until("the refusal is in the log", lambda: "refuses the user name or password" in bench.service.log())
    assert bench.service.cli("status", "--json").returncode == 0
    assert bench.cloud.broker.text().count("not authorised") == 1
    assert bench.service.stop() == 0


def test_a_retained_command_is_ignored(make: Make) -> None:
    bench = make()
    printer = bench.printers[0]
    body: Tree = {"type": "movement_control", "action": "home", "parameters": {}, "command_id": "retained"}
    for topic in (f"bambu/{printer.id}/commands", "bambu/commands"):
        bench.cloud.publish(topic, body, retain=True)
    bench.start()
    bench.fence(printer)
    assert [command for command in printer.commands() if command not in ("get_version", "pushall")] == ["ledctrl"]
    assert bench.cloud.answers("retained") == []
    assert bench.service.log().count("ignored a retained command") == 2


def test_a_command_sent_while_the_service_restarts_is_answered_with_mqtt_5(make: Make) -> None:
    bench = make().start()
    assert bench.service.stop() == 0
    command_id = bench.send(bench.printers[0], "printer_control/get_status")
    bench.service.start()
    assert bench.cloud.answer(command_id).kind == "status"


def test_a_second_service_on_the_same_state_directory_is_refused(make: Make) -> None:
    bench = make().start()
    done = bench.service.cli("run", timeout_s=20)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(bench.service.state_dir) in done.stderr
    bench.succeed(bench.printers[0], "movement_control/home")  # and the first was not disturbed
    assert bench.cloud.availability("life0") == ["connected"]


def test_a_printer_that_was_removed_leaves_no_status_behind(make: Make) -> None:
    bench = make("P1S", "X1C").start()
    stays, goes = bench.printers
    bench.service.child.kill()  # so that nobody said offline
    assert is_online(bench.cloud.retained(f"bambu/{goes.id}/status")) is True
    bench.service.write(bench.config([stays.entry()]))
    bench.start(wait_for=[stays])
    bench.cloud.until("the status is cleared", lambda: not is_online(bench.cloud.retained(f"bambu/{goes.id}/status")))
    assert is_online(bench.cloud.retained(f"bambu/{stays.id}/status")) is True


def test_each_printer_is_introduced_once(make: Make) -> None:
    bench = make("P1S", "H2D").start()
    for printer, code in zip(bench.printers, ("C12", "O1D"), strict=True):
        pairing = bench.cloud.hear("pairing", printer.id)
        wanted = {"outcome": "paired", "dev_id": printer.serial, "dev_model": code}
        assert pairing.data.items() >= wanted.items()
        bench.succeed(printer, "movement_control/home")
        assert bench.cloud.heard("pairing", printer.id) == [pairing]


def test_the_state_directory_and_the_socket_are_not_for_others(make: Make) -> None:
    bench = make().start()
    bench.succeed(bench.printers[0], "movement_control/home")
    control = bench.service.state_dir / "control.sock"
    assert stat.S_IMODE(control.stat().st_mode) == 0o660
    readable = [
        str(path)
        for path in bench.service.state_dir.rglob("*")
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert readable == [] or stat.S_IMODE(bench.service.state_dir.stat().st_mode) & 0o077 == 0


def test_systemd_is_told_when_the_service_is_ready_and_when_it_stops(make: Make, tmp_path: Path) -> None:
    bench = make()
    address = tmp_path / "notify"
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(20)
        os.environ["NOTIFY_SOCKET"] = str(address)
        try:
            bench.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        heard.append(listener.recv(4096))
        assert bench.service.stop() == 0
        heard.append(listener.recv(4096))
    assert b"READY=1" in heard[0]
    assert b"STOPPING=1" in heard[1]


def test_an_idle_printer_makes_no_statuses(make: Make) -> None:
    bench = make().start()
    printer = bench.printers[0]
    bench.cloud.hear_event(printer.id, "Connected")
    since, signal_before = bench.cloud.mark(), printer.virtual.machine.report.get("wifi_signal")
    wait_until("it chatters", lambda: printer.virtual.machine.report.get("wifi_signal") != signal_before)
    bench.fence(printer)
    assert [each for each in bench.cloud.heard("status", since=since) if "command" not in each.fields] == []
