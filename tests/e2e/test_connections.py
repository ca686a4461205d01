"""Networks that break in every way: each wire leads through a cable that delays, stalls, cuts, resets and refuses.

Where the product waits for minutes the service is a hasty one, with shorter times; what follows from them is the same.
"""

import asyncio
import math
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import bambu_connector.virtual.server
from bambu_connector.errors import AccessDenied, LinkError, Unreachable
from bambu_connector.links import dial
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt_login import Login, Protocol
from bambu_connector.links.printago_mqtt import PrintagoMqtt
from bambu_connector.virtual.ftps import Storage
from tests.e2e.bench import Bench, Printer, Service, Workshop
from tests.e2e.cloud import Cloud
from tests.files import sliced
from tests.servers.cable import Cable, End
from tests.servers.process import free_port, wait_until, workspace

HOME = "movement_control/home"
OTHER_HOST = "127.0.0.9"
FIRST_S, LONGEST_S = 0.3, 1.5
NOTICED_S = 12.0  # after that long a hasty service knows that a session is dead
BACK_S = 1.25 * LONGEST_S + 10.0  # the longest wait, and time to connect on a machine with much to do
_HASTY = """
import sys
from bambu_connector.bambu import session
from bambu_connector.links import dial, ftps_session, mqtt, printer_ftps, printer_mqtt
from bambu_connector.service import backoff
ftps_session.STALL_TIMEOUT_S = ftps_session._REPLY_TIMEOUT_S = ftps_session._LOGIN_TIMEOUT_S = 2
ftps_session.CONNECT_TIMEOUT_S = 2
ftps_session._QUIT_TIMEOUT_S = ftps_session._DRAIN_TIMEOUT_S = ftps_session._LAST_WORDS_TIMEOUT_S = 0.5
printer_ftps._CLEAN_UP_S = 1
session.SILENCE_S, session.WAKE_S, session.FIRST_REPORT_S, session.ANSWER_S, session.PROBE_S = 4, 3, 4, 2, 2
printer_mqtt._KEEPALIVE_S = 3
mqtt.ANSWER_TIMEOUT_S = 2
dial.Dialer.__init__.__defaults__ = (2.0,)
backoff.FIRST_S = {first}
backoff.Backoff.__init__.__kwdefaults__["longest"] = {longest}
from bambu_connector.cli.main import main
main()
"""


class HastyService(Service):
    """The service with every wait a tenth of what it is."""

    first, longest = FIRST_S, LONGEST_S

    @property
    def argv(self) -> list[str | Path]:
        code = _HASTY.format(first=self.first, longest=self.longest)
        return [sys.executable, "-c", code, "--config", self.config_file]


class HastyBench(Bench):
    """A bench with a hasty service."""

    def __init__(self, folder: Path, *arguments: Any, kind: type[HastyService] = HastyService, **more: Any) -> None:
        super().__init__(folder, *arguments, **more)
        self.service = kind(self.service.folder, self.config())
        self._stack.callback(self.service.close)


def cable_of(printer: Printer) -> Cable:
    assert printer.cable is not None
    return printer.cable


def lines_about(bench: Bench, name: str, since: int = 0) -> list[str]:
    """Return the lines about a printer, or Printago, that people read."""
    log = bench.service.log()[since:]
    return [line for line in log.splitlines() if re.search(r"Z (INFO |WARN |ERROR) ", line) and name in line]


def most_attempts(seconds: float) -> int:
    """Return how many attempts there may be in so much time: the waits double from the first to the longest."""
    doubling = math.ceil(math.log2(LONGEST_S / FIRST_S)) + 1
    return doubling + math.ceil(seconds / (0.75 * LONGEST_S)) + 1


# -- troubles --------------------------------------------------------------------------------------


def deafen(cable: Cable) -> None:
    """What the printer says comes, and our commands vanish."""
    cable.there.is_stalled = True


def mute(cable: Cable) -> None:
    """Our commands arrive, and nothing comes back."""
    cable.back.is_stalled = True


def cut_short(cable: Cable, *, there: int | None = None, back: int | None = None, ending: End = End.FIN) -> None:
    """End each connection after so many bytes."""
    cable.there.limit, cable.back.limit = there, back
    cable.there.ending = cable.back.ending = ending
    cable.cut()


TROUBLES: Mapping[str, Callable[[Cable], None]] = {
    "half-open": Cable.stall,
    "deaf": deafen,
    "unheard": mute,
    "cut": Cable.unplug,
    "reset": partial(Cable.unplug, ending=End.RESET),
    "no-handshake": Cable.stall,
    "closed": Cable.refuse,
    "no-syn": Cable.swallow,
    "cut-in-hello": partial(cut_short, there=50),
    "cut-in-handshake": partial(cut_short, back=900),
    "reset-in-handshake": partial(cut_short, back=900, ending=End.RESET),
    "cut-in-login": partial(cut_short, back=3),
}
LATER = ("half-open", "deaf", "unheard", "reset", "cut")
FROM_THE_BEGINNING = ("no-handshake", "closed", "no-syn", "cut-in-hello", "cut-in-handshake", "reset-in-handshake")


# -- printers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow(workshop: Workshop) -> Iterator[Bench]:
    """A patient service whose printer is two seconds away; it connects while others are tested."""
    printer = Printer(workshop, id="slow", cable=True)
    cable_of(printer).there.delay_s = cable_of(printer).back.delay_s = 2.0
    with workspace() as folder, Bench(folder, workshop, [printer], connector_id="slow") as bench:
        bench.service.start()
        yield bench


@pytest.fixture(scope="module")
def ailing(workshop: Workshop, slow: Bench) -> Iterator[Bench]:
    """A hasty service whose printers are cut off in one way each; the slow one begins first, for it takes long."""
    printers = [Printer(workshop, id=name, cable=True) for name in (*LATER, *FROM_THE_BEGINNING)]
    nowhere = Printer(workshop, id="no-such-name", entry={"host": "printer.invalid"})
    for printer in printers[len(LATER) :]:
        TROUBLES[printer.id](cable_of(printer))
    with workspace() as folder, HastyBench(folder, workshop, [*printers, nowhere], connector_id="ailing") as bench:
        bench.start(wait_for=printers[: len(LATER)])
        yield bench


def test_every_broken_wire_is_noticed_tried_without_a_storm_and_mended_by_itself(ailing: Bench) -> None:
    later = [ailing[name] for name in LATER]
    watched = [*later, *(ailing[name] for name in FROM_THE_BEGINNING)]
    since, log, began = ailing.cloud.mark(), len(ailing.service.log()), time.monotonic()
    for printer in later:
        TROUBLES[printer.id](cable_of(printer))
    for printer in later:
        ailing.cloud.hear(
            "status",
            printer.id,
            lambda each: not each.machine["connection_info"]["is_connected"],
            since=since,
            timeout_s=NOTICED_S,
        )
    wait_until("there was time for a storm", lambda: time.monotonic() - began > NOTICED_S, NOTICED_S + 1)

    lasted = time.monotonic() - began
    for printer in watched:
        assert cable_of(printer).arrivals_since(began) <= most_attempts(lasted), printer.id
        # What is told: that it is gone and why it stays away. A deaf one comes and goes, and that is told for a while.
        told = lines_about(ailing, f"Bench {printer.id}[", log)
        assert len(told) <= (10 if printer.id == "deaf" else 4), told
    assert len(lines_about(ailing, "Bench no-such-name[")) == 1
    assert "printer.invalid cannot be resolved" in ailing.service.log()

    since = ailing.cloud.mark()
    for printer in watched:
        cable_of(printer).plug()
    for printer in watched:
        ailing.when_ready(printer, since=since)
        wait_until("it obeys", lambda: ailing.ask(printer, HOME).answer.kind == "success", BACK_S)  # noqa: B023
        wait_until("the session of old is closed", lambda: cable_of(printer).open == 1)  # noqa: B023
        told = lines_about(ailing, f"Bench {printer.id}[")
        assert sum("connected to" in line for line in told) <= 6, told


# -- Printago --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far(workshop: Workshop, slow: Bench) -> Iterator[tuple[Bench, Cable]]:
    """A hasty service whose Printago is at the other end of a cable."""
    with workspace() as folder, ExitStack() as stack:
        cloud = stack.enter_context(Cloud(folder))
        cable = stack.enter_context(Cable(("127.0.0.1", cloud.broker.port)))
        more: dict[str, Any] = {"cloud": cloud, "cloud_port": cable.port, "printago": {"keepalive": 2}}
        printer = Printer(workshop, id="far", print_seconds=600.0)
        bench = stack.enter_context(HastyBench(folder, workshop, [printer], connector_id="far", **more))
        bench.start()
        yield bench, cable
        assert bench.unanswered() == []


@pytest.mark.parametrize("trouble", ["half-open", "deaf", "reset", "cut-in-login", "restarted"])
def test_a_broken_way_to_printago_mends_by_itself_and_nothing_is_lost(far: tuple[Bench, Cable], trouble: str) -> None:
    bench, cable = far
    printer = bench.printers[0]
    since, log, began = bench.cloud.mark(), len(bench.service.log()), time.monotonic()
    if trouble in TROUBLES:
        TROUBLES[trouble](cable)
    else:
        bench.cloud.restart_broker()
    if trouble != "restarted":
        wait_until("it is noticed", lambda: "trying again" in "\n".join(lines_about(bench, "Printago", log)), NOTICED_S)
    printer.start_at_screen(f"While {trouble}")
    printer.when_state("RUNNING")
    printer.change(gcode_state="FINISH")
    lasted = time.monotonic() - began
    assert cable.arrivals_since(began) <= most_attempts(lasted)
    cable.plug()
    done = bench.cloud.hear_event(printer.id, "PrintDone", since=since, timeout_s=BACK_S + 10)
    assert done.data["job"]["task_name"] == f"While {trouble}"
    bench.succeed(printer, HOME)
    assert bench.cloud.events(printer.id, since=since).count("PrintDone") == 1
    wait_until("one session is left", lambda: cable.open == 1)
    assert len(lines_about(bench, "Printago", log)) <= 6
    printer.change(gcode_state="IDLE")


# -- files -----------------------------------------------------------------------------------------


def test_a_download_whose_connection_breaks_is_resumed(far: tuple[Bench, Cable]) -> None:
    bench, _ = far
    printer = bench.printers[0]
    url = bench.serve("broken.gcode.3mf", sliced(60_000, seed=77))
    port = int(url.split(":")[2].split("/")[0])
    with Cable(("127.0.0.1", port)) as cable:
        cable.back.limit, cable.back.ending = 20_000, End.RESET
        sent = bench.send(
            printer, "printer_control/download_gcode", {"url": url.replace(str(port), str(cable.port), 1)}
        )
        wait_until("it broke", lambda: cable.connections >= 1 and cable.open == 0)
        cable.plug()
        assert bench.cloud.answer(sent).kind == "success"


class FewPorts(Storage):
    """A storage that takes data on these ports only, so that a cable can lead there."""

    ports: tuple[int, ...] = ()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.available_data_ports = asyncio.PriorityQueue()
        for port in self.ports:
            self.available_data_ports.put_nowait((0, port))


@dataclass(frozen=True)
class Depot:
    """A service whose one printer is reached at another address, through cables only."""

    bench: Bench
    control: Cable
    data: tuple[Cable, ...]


@pytest.fixture(scope="module")
def depot(workshop: Workshop) -> Iterator[Depot]:
    ports = tuple(free_port() for _ in range(4))
    with workspace() as folder, ExitStack() as stack, pytest.MonkeyPatch.context() as patched:
        patched.setattr(FewPorts, "ports", ports)
        patched.setattr(bambu_connector.virtual.server, "Storage", FewPorts)
        entry: dict[str, Any] = {"host": OTHER_HOST}
        printer = Printer(workshop, id="depot", entry=entry, print_seconds=20.0)
        cables = {
            name: stack.enter_context(Cable(("127.0.0.1", port), host=OTHER_HOST))
            for name, port in printer.virtual.ports.items()
        }
        data = tuple(stack.enter_context(Cable(("127.0.0.1", each), host=OTHER_HOST, port=each)) for each in ports)
        entry["ports"] = {name: cable.port for name, cable in cables.items()}
        with HastyBench(folder, workshop, [printer], connector_id="depot") as bench:
            yield Depot(bench.start(), cables["ftps"], data)


@pytest.mark.parametrize(
    "trouble", ["data-reset", "data-cut", "data-stalled", "control-stalled", "control-closed", "control-reset"]
)
def test_an_upload_that_breaks_is_told_and_leaves_neither_a_print_nor_a_file(depot: Depot, trouble: str) -> None:
    bench, printer = depot.bench, depot.bench.printers[0]
    for each in depot.data:
        match trouble:
            case "data-reset":
                each.there.limit, each.there.ending = 30_000, End.RESET
            case "data-cut":
                each.there.limit = 30_000
            case "data-stalled":
                each.stall()
            case _:
                each.there.bytes_per_s = 40_000.0
    if trouble == "control-closed":
        depot.control.refuse()
    url = bench.serve(f"{trouble}.gcode.3mf", sliced(100_000, seed=len(trouble)))
    sent = bench.send(printer, "printer_control/start_print_bbl", {"url": url})
    if trouble in ("control-stalled", "control-reset"):
        wait_until("it is under way", lambda: any(each.open for each in depot.data))
        if trouble == "control-reset":
            depot.control.cut(End.RESET)
        else:
            depot.control.stall()
    answer = bench.cloud.answer(sent, 30)
    assert (answer.code, answer.data["stage"]) == ("upload_failed", "upload")
    for each in (depot.control, *depot.data):
        each.plug()
    assert printer.starts == []
    bench.succeed(printer, HOME)
    wait_until("its part is gone", lambda: not printer.files(), 90)


def test_after_all_that_a_print_is_uploaded_and_started(depot: Depot) -> None:
    bench, printer = depot.bench, depot.bench.printers[0]
    url = bench.serve("whole.gcode.3mf", sliced(100_000, seed=99))
    bench.succeed(printer, "printer_control/start_print_bbl", {"url": url})
    assert len(printer.starts) == 1


# -- logins and names ------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_every_code_that_can_refuse_a_login_is_a_trouble_of_the_wire(protocol: Protocol) -> None:
    code = 0
    serving: set[asyncio.Task[None] | None] = set()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        newest = b"MQTT\x05" in await reader.read(1000)
        writer.write(bytes((0x20, 3, 0, code, 0) if newest else (0x20, 2, 0, code)))
        await writer.drain()
        with suppress(OSError):
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def main() -> list[tuple[int, type[Exception]]]:
        nonlocal code
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        dialer = Dialer()
        found: list[tuple[int, type[Exception]]] = []
        port = server.sockets[0].getsockname()[1]
        for code in range(1, 256):
            login = Login(client_id="x", protocol=protocol)
            link = PrintagoMqtt(host="127.0.0.1", port=port, context=None, login=login, dialer=dialer)
            try:
                await asyncio.wait_for(link.connect(lambda _delivery: None), 5)
            except LinkError as error:
                found.append((code, type(error)))
        await asyncio.gather(*filter(None, serving))
        dialer.close()
        server.close()
        return found

    found = asyncio.run(main())
    assert [each for each, _ in found] == list(range(1, 256))
    denied = {each for each, kind in found if kind is AccessDenied}
    assert denied == ({134, 135, 138, 140} if protocol == "5" else {4, 5})


def test_a_name_that_cannot_be_looked_up_for_a_while_can_be_later(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), None]

    def look_up(_host: str, port: int) -> list[tuple[Any, ...]]:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    async def main() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        dialer = Dialer()
        with pytest.raises(Unreachable, match=r"printer\.lan cannot be resolved: Temporary failure"):
            await dialer.dial("printer.lan", port, None)
        (await dialer.dial("printer.lan", port, None)).close()
        dialer.close()
        server.close()

    monkeypatch.setattr(dial, "_look_up", look_up)
    asyncio.run(main())


def test_a_name_server_that_hangs_holds_up_neither_the_loop_nor_whoever_has_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    def look_up(_host: str, port: int) -> list[tuple[Any, ...]]:
        assert released.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    async def main() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        dialer = Dialer(timeout_s=0.5)
        hanging = [asyncio.create_task(dialer.dial(f"p{number}.lan", port, None)) for number in range(20)]
        (await dialer.dial("127.0.0.1", port, None)).close()
        assert not any(each.done() for each in hanging)
        for each in hanging:
            with pytest.raises(Unreachable, match="does not answer"):
                await each
        released.set()
        (await dialer.dial("p1.lan", port, None)).close()  # those that nobody waits for any more are not looked up
        dialer.close()
        server.close()

    monkeypatch.setattr(dial, "_look_up", look_up)
    asyncio.run(main())


def test_a_service_that_starts_without_any_network_finds_everything_later(workshop: Workshop) -> None:
    printer = Printer(workshop, id="boot", cable=True)
    with workspace() as folder, ExitStack() as stack:
        cloud = stack.enter_context(Cloud(folder))
        cable = stack.enter_context(Cable(("127.0.0.1", cloud.broker.port)))
        cable.refuse()
        cable_of(printer).swallow()
        more: dict[str, Any] = {"cloud": cloud, "cloud_port": cable.port}
        bench = stack.enter_context(HastyBench(folder, workshop, [printer], connector_id="boot", **more))
        bench.service.start()
        wait_until("both are told", lambda: lines_about(bench, "Printago") and lines_about(bench, "Bench boot["))
        since = cloud.mark()
        cable.plug()
        bench.when_available(since=since)
        assert bench.ask(printer, HOME).answer.code == "printer_offline"
        cable_of(printer).plug()
        bench.when_ready(printer, since=since)
        wait_until("it obeys", lambda: bench.ask(printer, HOME).answer.kind == "success", BACK_S)
        assert bench.unanswered() == []


# -- a hundred times -------------------------------------------------------------------------------


class RestlessService(HastyService):
    """One that hardly waits at all."""

    first, longest = 0.02, 0.05


def test_a_printer_that_comes_and_goes_a_hundred_times_leaves_nothing_behind(workshop: Workshop) -> None:
    printer = Printer(workshop, id="restless", cable=True)
    cable = cable_of(printer)
    with (
        workspace() as folder,
        HastyBench(folder, workshop, [printer], connector_id="restless", kind=RestlessService) as bench,
    ):
        bench.start()

        def descriptors() -> int:
            return len(list(Path(f"/proc/{bench.service.child.pid}/fd").iterdir()))

        process = psutil.Process(bench.service.child.pid)
        wait_until("it listens to announcements", lambda: len(process.net_connections(kind="udp")) >= 3)
        before = descriptors()
        for number in range(100):
            connects = printer.virtual.connects
            cable.cut(End.RESET if number % 2 else End.FIN)
            if number % 10 == 0:
                cable.back.limit = 900
                arrived = cable.connections
                wait_until("it broke in a handshake", lambda: cable.connections >= arrived + 2)  # noqa: B023
                cable.back.limit = None
            wait_until("it is back", lambda: printer.virtual.connects > connects)  # noqa: B023
        since = bench.cloud.mark()
        printer.change(gcode_state="FINISH")
        status = bench.cloud.hear(
            "status", printer.id, lambda each: each.machine["current"]["print_status"] == "FINISH", since=since
        )
        link = status.machine["connection_info"]
        assert (link["is_connected"], link["is_online"]) == (True, True)
        assert 50 <= link["reconnects"] <= 100  # a session that broke before its SUBACK was none
        bench.succeed(printer, HOME)
        wait_until("one session is left", lambda: cable.open == printer.virtual.sessions == 1)
        wait_until("no descriptor is left", lambda: descriptors() <= before)
        assert len(lines_about(bench, "Bench restless[")) <= 30
        assert bench.cloud.events(printer.id).count("Disconnected") == 0


# -- slow ------------------------------------------------------------------------------------------


def test_a_printer_two_seconds_away_is_never_offline_and_obeys(slow: Bench) -> None:
    printer = slow.printers[0]
    slow.when_ready(printer)
    since = slow.cloud.mark()
    slow.succeed(printer, HOME)
    statuses = slow.cloud.heard("status", printer.id, since=since)
    assert all(each.machine["connection_info"]["is_online"] for each in statuses)
    assert cable_of(printer).connections == 1
