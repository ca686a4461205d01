"""What the commands are tried on: printers with a service, and printers without one."""

from collections.abc import Iterator

import pytest

from tests.e2e.bench import Bench, Printer, Service, Workshop
from tests.e2e.cloud import Tree
from tests.servers.process import workspace


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with Workshop(tmp_path_factory.mktemp("workshop")) as workshop:
        yield workshop


@pytest.fixture(scope="session")
def shop(workshop: Workshop) -> Iterator[Bench]:
    """A running service with a P1S called `left` and an X1C called `right`."""
    printers = [Printer(workshop, "P1S", id="left"), Printer(workshop, "X1C", id="right")]
    with workspace() as folder, Bench(folder, workshop, printers, connector_id="shop") as bench:
        yield bench.start()


@pytest.fixture(scope="session")
def lonely(workshop: Workshop) -> Iterator[Bench]:
    """A P1S called `alone` that no service looks after; the bench is never started."""
    printers = [Printer(workshop, "P1S", id="alone")]
    with workspace() as folder, Bench(folder, workshop, printers, connector_id="lonely") as bench:
        yield bench


@pytest.fixture
def config() -> Tree:
    """A configuration that is right, without printers that anybody could reach."""
    return {
        "connector": {"id": "desk"},
        "printago": {"host": "127.0.0.1", "tls": False, "username": "farm", "password": "farm-password-3Lw"},
        "printers": [
            {
                "serial": "01P00A000000001", "id": "left", "name": "Left P1S", "host": "192.0.2.1",
                "access_code": "24681357",
            },
            {"serial": "00M00A000000002", "name": "Right X1C"},
        ],
        "web": {"listen": None},
    }  # fmt: skip


@pytest.fixture
def desk(config: Tree) -> Iterator[Service]:
    """The command line with that configuration; nothing runs."""
    with workspace() as folder:
        yield Service(folder / "desk", config)
