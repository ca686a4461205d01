"""Finding printers: by what they announce, and by asking address after address; nobody is told a secret."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.detect import Detected, request
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import ROOT, Workshop
from tests.e2e.neighbourhood import UNTRIED, Neighbour, Neighbourhood, Terminal, address, serial_of
from tests.servers.impostor import Impostor
from tests.servers.process import as_root, workspace

SUBNET = f"{address(0)}/28"
IMPOSTOR = 5
BEYOND = 17  # not in that range
ASKED_FOR_WHO_IT_IS = ("detect", "detect_tls")


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Impostor]:
    """Somebody in the range who looks like a printer, and keeps every byte."""
    serial = serial_of(IMPOSTOR)
    pem = Authority(tmp_path_factory.mktemp("impostor"), "Nobody").issue(serial)
    claims = Detected(serial=serial, model_code="C12", name="An impostor")
    with Impostor.of_a_printer(pem, address(IMPOSTOR), real_ports=True, claims=claims) as found:
        yield found


@pytest.fixture(scope="module")
def street(workshop: Workshop, impostor: Impostor) -> Iterator[Neighbourhood]:
    """Five printers, of which the first is configured here; no service runs."""
    printers = [
        Neighbour(workshop, 1),
        Neighbour(workshop, 2, "A1 mini", faults=["cloud"]),
        Neighbour(workshop, 3, "X1C", faults=["not-announced"]),
        Neighbour(workshop, 4, "H2D", faults=["announce-garbage", "detect-garbage"]),
        Neighbour(workshop, BEYOND),
    ]
    with (
        workspace() as folder,
        Neighbourhood(folder, workshop, printers, written=printers[:1], connector_id="street") as street,
    ):
        yield street


@pytest.fixture(scope="module")
def looks(street: Neighbourhood) -> dict[str, str]:
    """What `discover` says as JSON and as a table; both look at the same time."""
    argv = ("discover", "--timeout", "3", "--subnet", SUBNET)
    with ThreadPoolExecutor() as pool:
        as_json, as_table = pool.submit(street.json, *argv), pool.submit(street.ends, 0, *argv)
        return {"json": json.dumps(as_json.result()), "table": as_table.result()}


@pytest.fixture(scope="module")
def rows(looks: dict[str, str]) -> list[Any]:
    found: list[Any] = json.loads(looks["json"])
    return found


def test_every_printer_is_found_once_however_often_it_was_seen(street: Neighbourhood, rows: list[Any]) -> None:
    serials = [row["serial"] for row in rows]
    assert len(serials) == len(set(serials))
    assert {each.serial for each in street.neighbours} | {serial_of(IMPOSTOR)} <= set(serials)


def test_what_is_told_of_a_printer_is_what_it_says_of_itself(street: Neighbourhood, rows: list[Any]) -> None:
    found = {row["serial"]: row for row in rows}
    one, two, three, four, beyond = (found[each.serial] for each in street.neighbours)
    assert [each["host"] for each in (one, two, three, four, beyond)] == [each.host for each in street.neighbours]
    assert [each["model"] for each in (one, two, three, four)] == [
        "Bambu Lab P1S", "Bambu Lab A1 mini", "Bambu Lab X1 Carbon", "Bambu Lab H2D",
    ]  # fmt: skip
    assert [each["name"] for each in (one, two, three)] == ["Neighbour 1", "Neighbour 2", "Neighbour 3"]
    assert [each["connection"] for each in (one, two, three)] == ["lan", "cloud", "lan"]
    assert all(isinstance(each["signal_dbm"], int) for each in (one, two, beyond))
    assert all(each["firmware"] for each in (one, two, three))
    assert [each["paired"] for each in (one, two, three, four, beyond)] == [True, False, False, False, False]


def test_a_printer_that_does_not_announce_itself_is_found_at_its_address(rows: list[Any]) -> None:
    by = {row["serial"]: row["found_by"] for row in rows}
    assert by[serial_of(3, "X1C")] == "probe"
    assert by[serial_of(BEYOND)] in ("announcement", "search")


def test_what_speaks_garbage_is_still_known_by_its_certificate_and_nothing_is_said_of_it(
    looks: dict[str, str], rows: list[Any]
) -> None:
    (row,) = [row for row in rows if row["serial"] == serial_of(4, "H2D")]
    assert (row["found_by"], row["firmware"], row["connection"]) == ("probe", None, None)
    assert "note:" not in looks["table"]
    assert "warning" not in looks["table"].lower()


def test_the_table_shows_each_with_its_address(street: Neighbourhood, looks: dict[str, str]) -> None:
    lines = looks["table"].splitlines()
    for each in street.neighbours:
        (line,) = [line for line in lines if each.serial in line]
        assert each.host in line.split()


def test_nobody_is_told_a_credential_by_a_scan(
    street: Neighbourhood, impostor: Impostor, looks: dict[str, str]
) -> None:
    assert looks
    assert [each.virtual.credentials_seen for each in street.neighbours] == [UNTRIED] * len(street.neighbours)
    assert impostor["mqtt"].handshakes > 0
    assert set() < set(impostor.heard()) <= set(ASKED_FOR_WHO_IT_IS)  # the first answer is enough
    for said in impostor.heard().values():
        assert said == request() * (len(said) // len(request()))
    assert [impostor[name].connections for name in ("ftps", "ftps_data", "camera", "rtsps")] == [0, 0, 0, 0]


def test_ctrl_c_ends_it_early_and_shows_what_was_found(street: Neighbourhood) -> None:
    with Terminal(street.service, "discover", "--timeout", "600") as terminal:
        terminal.expect(serial_of(1))
        terminal.expect("Ctrl-C ends it")
        terminal.type("\x03")
        assert terminal.wait() == 0
        terminal.expect(serial_of(BEYOND))


def test_where_nothing_is_found_it_says_why_that_may_be(street: Neighbourhood) -> None:
    def look(*options: str) -> "subprocess.CompletedProcess[str]":
        argv: list[str | Path] = [*street.service.argv, "discover", "--timeout", "0.5", *options]
        return subprocess.run(  # in a network of its own, where there is nobody
            as_root("unshare", "--net", *argv), cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )

    with ThreadPoolExecutor() as pool:
        as_table, as_json = pool.submit(look), pool.submit(look, "--json")
        found, listed = as_table.result(), as_json.result()
    assert found.stdout == ""
    for hint in ("No printer was found", "no network but itself", "UDP port 2021", "--subnet", "pair ADDRESS"):
        assert hint in found.stderr, found.stderr
    assert json.loads(listed.stdout) == []
    assert "No printer was found" in listed.stderr
