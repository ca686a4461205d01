"""Printers on the ports that real ones have, found by what they tell the whole network: one evening of a person's."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import pytest

from bambu_connector.bambu.ssdp import GROUP, PORT, parse_announcement
from tests.e2e.bench import ROOT, Service
from tests.e2e.cloud import PASSWORD, USER, Cloud, Tree
from tests.e2e.envelope import flaws
from tests.files import sliced
from tests.servers.http import HttpServer, Served
from tests.servers.namespaces import Machine, Networks, why_impossible
from tests.servers.process import Child, wait_until, workspace

CODE: Final = "27182818"
CELLAR: Final = "10.77.1.0/24"  # a network of its own, which no announcement leaves
PRINTERS: Final = (
    ("10.77.0.11", "P1S", "01P00A000000011", "Left"),
    ("10.77.0.12", "X1C", "00M00A000000012", "Right"),
    ("10.77.1.21", "A1 mini", "03000A000000021", "Below"),
)


class Appliance:
    """A virtual printer as a process on a machine of its own; it keeps its certificate wherever it is."""

    def __init__(self, folder: Path, machine: Machine, host: str, model: str, serial: str, name: str) -> None:
        self.serial, self.name, self.host = serial, name, host
        self._folder = folder / serial
        self._folder.mkdir()
        self._machine = machine
        self._argv: list[str | Path] = [
            *(sys.executable, "-m", "bambu_connector", "virtual-printer", "--real-ports", "--model", model),
            *("--serial", serial, "--name", name, "--access-code-file", folder / "code", "--state-dir", self._folder),
            *("--announce-every", "1", "--speed", "300"),
        ]
        self._starts = 0
        self.child = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.kill()

    def _started(self) -> Child:
        self._starts += 1
        with self._machine.entered():
            return Child([*self._argv, "--bind", self.host], self._folder / f"printer-{self._starts}.log", cwd=ROOT)

    def when_ready(self) -> None:
        """Wait until all its ports are open."""

        def probe() -> bool:
            assert self.child.alive, self.child.text()
            return "ready: " in self.child.text()

        wait_until(f"{self.name} is ready", probe, 20)

    def move(self, address: str) -> None:
        """Be switched off without a goodbye, and come back with another address."""
        self.child.kill()
        self._machine.move(f"{self.host}/24", f"{address}/24")
        self.host = address
        self.child = self._started()


class House:
    """Two printers, Printago, a computer on one network, and behind a router a cellar with a third printer."""

    def __init__(self, folder: Path, networks: Networks) -> None:
        self._folder = folder
        self.code_file = folder / "code"
        self.code_file.touch(0o600)
        self.code_file.write_text(f"{CODE}\n")
        upstairs, cellar = networks.bridge("upstairs"), networks.bridge("cellar")
        router = networks.machine("router")
        upstairs.plug(router, "10.77.0.1/24")
        cellar.plug(router, "10.77.1.1/24", cable="eth1")
        router.forward()
        machines = [networks.machine(label) for label in ("office", "web", "left", "right", "below")]
        self.office, web, *stands = machines
        upstairs.plug(self.office, "10.77.0.2/24", router="10.77.0.1")
        upstairs.plug(web, "10.77.0.3/24")
        upstairs.plug(stands[0], "10.77.0.11/24")
        upstairs.plug(stands[1], "10.77.0.12/24")
        cellar.plug(stands[2], "10.77.1.21/24", router="10.77.1.1")
        with ExitStack() as stack:
            self.left, self.right, self.below = (
                stack.enter_context(Appliance(folder, machine, *known))
                for machine, known in zip(stands, PRINTERS, strict=True)
            )
            with web.entered():
                self.cloud = stack.enter_context(Cloud(folder, host="10.77.0.3"))
                self.web = stack.enter_context(HttpServer({}, host="10.77.0.3"))
            for each in (self.left, self.right, self.below):
                each.when_ready()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def serve(self, name: str, content: bytes) -> str:
        """Put a file on the web; return its URL."""
        self.web.files[f"/{name}"] = Served(content)
        return self.web.url(f"/{name}")

    def computer(self, name: str) -> "Computer":
        """Return a computer upstairs on which nothing was ever paired."""
        return Computer(self._folder / name, self.office, self.cloud, self.code_file)


class Sighting(NamedTuple):
    """A line of what `discover` shows; who was not heard was asked at its address."""

    host: str
    model: str
    was_heard: bool
    is_paired: bool


class Computer(Service):
    """The connector on a machine of its own."""

    def __init__(self, folder: Path, machine: Machine, cloud: Cloud, code_file: Path) -> None:
        self._machine, self._code_file = machine, code_file
        broker = cloud.broker
        printago: Tree = {"host": broker.host, "port": broker.port, "tls": False, "username": USER}
        super().__init__(
            folder,
            {
                "connector": {"id": folder.name},
                "printago": printago | {"password": PASSWORD},
                "status": {"min_interval": 0.2},
                "downloads": {"allow_http": True, "allow_private_addresses": True},
                "web": {"listen": None},
            },
        )

    def start(self) -> None:
        with self._machine.entered():
            super().start()

    def told(self, *argv: str) -> str:
        """Run a command that must succeed; return what it prints."""
        with self._machine.entered():
            done = self.cli(*argv)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def found(self, *argv: str) -> dict[str, Sighting]:
        """Run `discover`; return by name what it found."""
        rows: list[Tree] = json.loads(self.told("discover", "--json", *argv))
        return {
            each["name"]: Sighting(each["host"], each["model"], each["found_by"] != "probe", each["paired"])
            for each in rows
        }

    def examined(self) -> dict[str, list[Tree]]:
        """Run `doctor`, which must find nothing wrong; return by printer what it found."""
        found: dict[str, list[Tree]] = json.loads(self.told("doctor", "--json"))["printers"]
        return found

    def pair(self, target: str) -> None:
        self.told("pair", target, "--access-code-file", str(self._code_file))


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    if (reason := why_impossible()) is not None:
        pytest.skip(reason)
    with workspace() as folder, Networks() as networks, House(folder, networks) as house:
        yield house
        for each in (house.left, house.right, house.below):
            assert each.child.alive, f"{each.name} ended: {each.child.text()}"


@pytest.fixture
def desk(house: House) -> Iterator[Computer]:
    desk = house.computer("desk")
    yield desk
    desk.close()


def test_two_printers_are_found_paired_used_moved_and_well(house: House, desk: Computer) -> None:
    left, right, cloud = house.left, house.right, house.cloud
    assert desk.found("--timeout", "3") == {
        "Left": (left.host, "Bambu Lab P1S", True, False),
        "Right": (right.host, "Bambu Lab X1 Carbon", True, False),
    }
    desk.pair(left.serial)
    desk.start()
    online(cloud, left)

    since = cloud.mark()
    desk.pair(right.serial)
    assert cloud.hear("pairing", right.serial, since=since).data["outcome"] == "paired"
    online(cloud, right)
    assert [each.data["outcome"] for each in cloud.heard("pairing")] == ["paired", "paired"]

    home = cloud.send(right.serial, "movement_control/home")
    start = cloud.send(left.serial, "printer_control/start_print_bbl", {"url": house.serve("vase.gcode.3mf", sliced())})
    for command in (home, start):
        assert cloud.answer(command).kind == "success", str(cloud.answer(command))
    cloud.hear_event(left.serial, "PrintDone")

    since = cloud.mark()
    left.move("10.77.0.111")
    online(cloud, left, since=since)
    assert desk.log().count("moved from 10.77.0.11 to 10.77.0.111") == 1

    examined = desk.examined()
    assert examined.keys() == {left.serial, right.serial}
    assert not [each for findings in examined.values() for each in findings if each["outcome"] != "ok"]
    assert desk.found("--timeout", "3") == {
        "Left": ("10.77.0.111", "Bambu Lab P1S", True, True),
        "Right": (right.host, "Bambu Lab X1 Carbon", True, True),
    }
    assert desk.stop() == 0
    assert CODE not in desk.log()
    assert not [flaw for each in cloud.messages for flaw in flaws(each)]


def online(cloud: Cloud, printer: Appliance, *, since: int = 0) -> None:
    """Wait until Printago is told that a printer is there, where it is."""

    def is_there(link: Tree) -> bool:
        return bool(link["is_online"]) and link["dev_ip"] == printer.host

    cloud.hear("status", printer.serial, lambda each: is_there(each.machine["connection_info"]), since=since)


def test_a_printer_behind_a_router_is_found_by_asking_each_address_and_paired_by_its_own(house: House) -> None:
    laptop, below = house.computer("laptop"), house.below
    found = laptop.found("--timeout", "1", "--subnet", CELLAR)
    assert found["Below"] == (below.host, "Bambu Lab A1 mini", False, False)
    laptop.pair(below.host)
    (row,) = json.loads(laptop.told("printers", "--json"))
    assert (row["serial"], row["host"], row["name"]) == (below.serial, below.host, "Below")
    (findings,) = laptop.examined().values()
    assert {each["outcome"] for each in findings} == {"ok"}


@pytest.mark.parametrize("to", [GROUP, "10.77.0.255"], ids=["multicast", "broadcast"])
def test_printers_tell_their_whole_network_and_no_other_that_they_are_there(house: House, to: str) -> None:
    neighbours = {house.left.serial, house.right.serial}
    heard: set[str] = set()
    with house.office.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind((to, PORT))
        if to == GROUP:
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + bytes(4))
        ear.settimeout(10)
        while heard != neighbours:
            datagram, (source, _) = ear.recvfrom(4096)
            announcement = parse_announcement(datagram, source)
            assert announcement is not None
            assert announcement.host == source
            assert announcement.serial in neighbours
            heard.add(announcement.serial)
