"""Whoever cannot prove to be the printer is told nothing, on whichever port he waits, whoever asks."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from bambu_connector.bambu.detect import Detected, request
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import Workshop
from tests.e2e.neighbourhood import Neighbour, Neighbourhood, address, serial_of
from tests.files import sliced
from tests.servers.impostor import Impostor
from tests.servers.process import wait_until, workspace

# Who was paired, and whose place somebody else has taken; whose certificate must be signed by somebody; whose broker is
# right, and nothing else; whose broker and FTPS control connection are right, and not the data connection.
REPLACED, SIGNED, HALF, TAPPED = 65, 66, 67, 68
SUBNET = f"{address(64)}/29"
MODELS = {TAPPED: "X1C"}
ASKED_FOR_WHO_IT_IS = ("detect", "detect_tls")


@dataclass(frozen=True)
class Street:
    """Four printers that are not, or not on every port, what they should be; and who is there instead."""

    hood: Neighbourhood
    impostors: dict[int, Impostor]


def model(number: int) -> str:
    return MODELS.get(number, "P1S")


@pytest.fixture(scope="module")
def street(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """A service that has seen the four printers themselves; then the impostors come."""
    authority = {"tls": {"ca_file": str(workshop.authority.certificate)}}
    own = tmp_path_factory.mktemp("own")
    real = [
        Neighbour(workshop, REPLACED),
        Neighbour(workshop, SIGNED, entry=authority),
        Neighbour(workshop, HALF, ftps_port=0, detect_port=None, detect_tls_port=None, camera_port=None),
        Neighbour(
            workshop, TAPPED, model(TAPPED), state_dir=own, ftps_port=0, detect_port=None, detect_tls_port=None,
            camera_port=None,
        ),
    ]  # fmt: skip
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "Nobody")
    with (
        workspace() as folder,
        Neighbourhood(folder, workshop, real, written=real[1:], connector_id="secrecy") as hood,
        ExitStack() as impostors,
    ):
        hood.start(wait_for=real[1:])
        hood.pair(real[0])
        for each in real[:2]:
            each.leave()
        found = {}
        for number in (REPLACED, SIGNED, HALF, TAPPED):
            serial = serial_of(number, model(number))
            found[number] = impostors.enter_context(
                Impostor.of_a_printer(
                    stranger.issue(serial),
                    address(number),
                    real_ports=True,
                    control_pem=own / f"{serial}.pem" if number == TAPPED else None,
                    claims=Detected(serial=serial, model_code="C12"),
                    without=["mqtt"] if number in (HALF, TAPPED) else ["detect"] if number == SIGNED else [],
                )
            )
        yield Street(hood, found)


def at_once(hood: Neighbourhood, *commands: tuple[int, Sequence[str]]) -> None:
    """Run commands side by side; with each comes the exit code that it must have."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(hood.ends, exit_code, *argv) for exit_code, argv in commands]:
            done.result()


def test_the_service_tells_none_of_them_the_code(street: Street) -> None:
    hood = street.hood
    for number in (REPLACED, SIGNED):
        hood.link(street.hood.at(number), verified=False, is_connected=False)
        assert hood.ask(street.hood.at(number), "movement_control/home").answer.code == "identity_mismatch"
    for number in (HALF, TAPPED):
        url = hood.serve(f"{number}.gcode.3mf", sliced())
        answer = hood.ask(street.hood.at(number), "printer_control/download_gcode", {"url": url}).answer
        assert (answer.code, answer.data["stage"]) == ("identity_mismatch", "upload")
    assert_silence(street)


def test_no_command_tells_any_of_them_the_code_beside_the_service(street: Street) -> None:
    hood = street.hood
    replaced, signed, half, tapped = (hood.at(each) for each in (REPLACED, SIGNED, HALF, TAPPED))
    url = f"url={hood.serve('cli.gcode.3mf', sliced())}"
    at_once(
        hood,
        (6, ("status", replaced.id)),
        (6, ("status", signed.id)),
        (6, ("send", replaced.id, "movement_control/home")),
        (6, ("send", half.id, "printer_control/download_gcode", url)),
        (6, ("send", tapped.id, "printer_control/download_gcode", url)),
        (0, ("discover", "--timeout", "1", "--subnet", SUBNET)),
    )
    at_once(hood, (6, ("doctor", "--json")))
    at_once(hood, *((6, pairing(each, street)) for each in (replaced, signed, half, tapped)))
    assert_silence(street)
    for number, names in {
        REPLACED: ("mqtt", "detect"),
        SIGNED: ("mqtt", "detect_tls"),
        HALF: ("ftps", "camera"),
        TAPPED: ("ftps", "ftps_data", "rtsps"),
    }.items():
        for name in names:
            assert street.impostors[number][name].connections > 0, f"{name} of {number} was not tried"


def test_no_command_tells_any_of_them_the_code_without_a_service(street: Street) -> None:
    hood = street.hood
    assert hood.service.stop() == 0
    before = {number: each["mqtt"].connections for number, each in street.impostors.items() if "mqtt" in each.doors}
    url = f"url={hood.serve('alone.gcode.3mf', sliced())}"
    hood.ends(6, "status", street.hood.at(REPLACED).id)
    hood.ends(6, "send", street.hood.at(HALF).id, "printer_control/download_gcode", url)
    hood.ends(6, "doctor", street.hood.at(TAPPED).id)
    hood.ends(6, *pairing(street.hood.at(SIGNED), street))
    assert all(street.impostors[number]["mqtt"].connections > count for number, count in before.items())
    assert_silence(street)


def pairing(printer: Neighbour, street: Street) -> tuple[str, ...]:
    return "pair", printer.serial, "--host", printer.host, "--access-code-file", str(street.hood.secret(printer.code))


def assert_silence(street: Street) -> None:
    """Nothing was said to any impostor but the question who he is; the real control connection excepted."""
    for number, impostor in street.impostors.items():
        doors = {name: door for name, door in impostor.doors.items() if (number, name) != (TAPPED, "ftps")}
        for name, door in doors.items():
            wait_until("everybody has left", door.is_empty)
            expected = request() * (len(door.heard) // len(request())) if name in ASKED_FOR_WHO_IT_IS else b""
            assert door.heard == expected, f"{name} of {number}"
            assert street.hood.at(number).code.encode() not in door.raw, f"{name} of {number}"
