"""The doctor, beside a service and without one: what it finds, and that it disturbs nobody."""

import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.bench import Workshop
from tests.e2e.neighbourhood import Neighbour, Neighbourhood, address, serial_of
from tests.servers.process import workspace

WELL, STREAMING, LOCKED, GONE = 91, 92, 93, 94
MODELS = {STREAMING: "X1C"}
STEPS = ("name", "tcp", "identity", "login", "reports", "files", "upload", "storage", "camera", "developer_mode")


@pytest.fixture(scope="module")
def street(workshop: Workshop) -> Iterator[Neighbourhood]:
    """A service with two printers that are well, one that refuses the code, and one that is not there."""
    printers = [Neighbour(workshop, each, MODELS.get(each, "P1S")) for each in (WELL, STREAMING, LOCKED, GONE)]
    printers[2].fault("wrong-code")
    printers[3].leave()
    with (
        workspace() as folder,
        Neighbourhood(folder, workshop, printers, written=printers, connector_id="doctor") as street,
    ):
        yield street.start(wait_for=printers[:2])


@pytest.fixture(scope="module")
def before(street: Neighbourhood) -> list[tuple[int, int]]:
    street.link(street.neighbours[2], has_access_right=False)
    return [(each.virtual.connects, each.tries.wrong) for each in street.neighbours]


@pytest.fixture(scope="module")
def found(street: Neighbourhood, before: list[tuple[int, int]]) -> dict[str, Any]:
    findings: dict[str, Any] = street.json("doctor", exit_code=5)
    assert before
    return findings


def outcomes(found: dict[str, Any], number: int) -> dict[str, str]:
    findings = found["printers"][serial_of(number, MODELS.get(number, "P1S"))]
    return {each["step"]: each["outcome"] for each in findings}


@pytest.mark.parametrize("number", [WELL, STREAMING])
def test_every_step_of_a_printer_that_is_well_is_taken(found: dict[str, Any], number: int) -> None:
    steps = outcomes(found, number)
    assert tuple(steps) == STEPS
    assert set(steps.values()) <= {"ok", "warning", "skipped"}
    assert {steps[each] for each in ("tcp", "identity", "login", "reports", "files", "upload", "camera")} == {"ok"}


def test_what_fails_says_the_one_thing_to_do(found: dict[str, Any]) -> None:
    assert (outcomes(found, LOCKED)["identity"], outcomes(found, LOCKED)["login"]) == ("ok", "failed")
    assert (outcomes(found, GONE)["tcp"], outcomes(found, GONE)["login"]) == ("failed", "skipped")
    failed = [each for findings in found["printers"].values() for each in findings if each["outcome"] == "failed"]
    assert {each["code"] for each in failed} == {"access_denied", "printer_offline"}
    assert all(each["advice"] for each in failed)
    assert [each["outcome"] for each in found["printago"] if each["step"] == "login"] == ["ok"]


def test_nothing_of_it_adds_a_session_or_disturbs_printago(
    street: Neighbourhood, before: list[tuple[int, int]], found: dict[str, Any]
) -> None:
    assert found
    for argv in (("status",), ("printers",), ("check",)):
        street.ends(0, *argv)
    assert [(each.virtual.connects, each.tries.wrong) for each in street.neighbours] == before
    assert [each.virtual.sessions for each in street.neighbours[:2]] == [1, 1]
    assert street.neighbours[0].files() == set()  # the test file is gone again
    assert street.cloud.availability("doctor") == ["connected"]
    assert street.uplinks() == 1


def test_a_bundle_holds_no_secret_no_serial_and_no_address(street: Neighbourhood) -> None:
    target = street.service.folder / "bundle.zip"
    said = street.ends(5, "doctor", "--bundle", str(target), "--yes")
    assert f"{target} was written" in said
    with zipfile.ZipFile(target) as bundle:
        content = b"\n".join(bundle.read(name) for name in bundle.namelist())
    assert len(content) > 1000
    private = [*street.secrets, *(serial for each in street.neighbours for serial in (each.serial, each.name))]
    private += [address(each) for each in (WELL, STREAMING, LOCKED, GONE)]
    assert [each for each in private if each.encode() in content] == []


def test_without_a_service_it_makes_one_session_and_ends_it(
    street: Neighbourhood, before: list[tuple[int, int]]
) -> None:
    assert street.service.stop() == 0
    well = street.neighbours[0]
    said = street.ends(0, "doctor", well.id)
    assert "Everything works" in said
    assert (well.virtual.connects, well.virtual.sessions) == (before[0][0] + 1, 0)
    said = street.ends(4, "doctor", serial_of(GONE))
    assert "✗ TCP" in said
