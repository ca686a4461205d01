"""Printers whose addresses change, or were never told, and announcements that lie."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bambu_connector.virtual.announcer import garbage
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import Workshop
from tests.e2e.neighbourhood import Neighbour, Neighbourhood, address, rumour, serial_of, tell_everybody
from tests.servers.impostor import Impostor
from tests.servers.process import wait_until, workspace

MOVING, HOMELESS, STEADY, SLANDERED = 51, 52, 53, 54
NEXT, AFTER_THAT = 55, 56
LIAR, FORGER = 57, 58
ASIDE, NOBODY = 59, 60
EVERY_S = 0.2


@pytest.fixture(scope="module")
def street(workshop: Workshop) -> Iterator[Neighbourhood]:
    """A service that was told the addresses of all but one of its printers."""
    entries = {HOMELESS: {"host": None}}
    printers = [
        Neighbour(workshop, each, entry=entries.get(each, {})) for each in (MOVING, HOMELESS, STEADY, SLANDERED)
    ]
    with (
        workspace() as folder,
        Neighbourhood(folder, workshop, printers, written=printers, connector_id="moving") as street,
    ):
        yield street.start()


def moves(street: Neighbourhood) -> list[str]:
    """Return what the log says of moves."""
    return [line.partition("moved from ")[2] for line in street.service.log().splitlines() if "moved from " in line]


def loud(street: Neighbourhood) -> list[str]:
    """Return the lines of the log that are meant for people."""
    return [line for line in street.service.log().splitlines() if line and " DEBUG " not in line]


@contextmanager
def rumours(serial: str, number: int) -> Iterator[None]:
    """Somebody at this address says again and again that he is the printer; he has been heard when the block begins."""
    ended, heard = threading.Event(), threading.Semaphore(0)

    def go_on() -> None:
        while not ended.wait(EVERY_S):
            tell_everybody(rumour(serial, number), number)
            heard.release()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        for _ in range(3):
            assert heard.acquire(timeout=10)
        yield
    finally:
        ended.set()
        thread.join(10)


def test_a_printer_without_an_address_is_found_by_what_it_announces(street: Neighbourhood) -> None:
    printer = street.at(HOMELESS)
    street.succeed(printer, "movement_control/home")
    assert street.link(printer, is_online=True).machine["connection_info"]["dev_ip"] == printer.host
    assert printer.host in street.registry.read_text()


def test_a_printer_that_moves_is_back_without_a_person_and_it_is_told_once(street: Neighbourhood) -> None:
    printer, others = street.at(MOVING), [street.at(each) for each in (HOMELESS, STEADY, SLANDERED)]
    connects, since = [each.virtual.connects for each in others], street.cloud.mark()
    printer.move(NEXT)
    street.link(printer, since, is_connected=False)
    street.when_usable(printer, since, dev_ip=address(NEXT))
    street.succeed(printer, "movement_control/home")
    assert moves(street) == [f"{address(MOVING)} to {address(NEXT)}"]
    assert address(NEXT) in street.registry.read_text()
    assert [each.virtual.connects for each in others] == connects
    assert printer.virtual.sessions == 1
    assert street.troubles(printer) == []


def test_after_a_restart_it_is_found_where_it_was_last(street: Neighbourhood) -> None:
    printer = street.at(MOVING)
    printer.fault("not-announced")  # what was written down must be enough
    assert street.service.stop() == 0
    street.start()
    street.succeed(printer, "movement_control/home")
    assert moves(street) == [f"{address(MOVING)} to {address(NEXT)}"]
    printer.virtual.faults.clear()


def test_a_printer_that_moved_while_no_service_ran_is_found_as_well(street: Neighbourhood) -> None:
    printer = street.at(MOVING)
    assert street.service.stop() == 0
    printer.move(AFTER_THAT)
    street.start()
    street.succeed(printer, "movement_control/home")
    assert moves(street)[1:] == [f"{address(NEXT)} to {address(AFTER_THAT)}"]


def test_two_printers_that_swap_their_addresses_are_both_found_and_no_code_gets_into_wrong_hands(
    street: Neighbourhood,
) -> None:
    one, two = street.at(HOMELESS), street.at(STEADY)
    places, since = (one.host, two.host), street.cloud.mark()
    one.move(ASIDE)
    two.move(HOMELESS)
    one.move(STEADY)
    assert (two.host, one.host) == places
    for printer in (one, two):
        street.when_usable(printer, since, dev_ip=printer.host)
        street.succeed(printer, "movement_control/home")
        assert (printer.tries.wrong, printer.virtual.sessions) == (0, 1)


def test_garbage_in_the_network_is_ignored_without_a_word(street: Neighbourhood) -> None:
    printer = street.at(STEADY)
    told, connects = len(loud(street)), printer.virtual.connects
    for datagram in garbage(rumour(printer.serial, NOBODY)):
        tell_everybody(datagram, NOBODY)
    wait_until("it was heard", lambda: f"bytes from {address(NOBODY)}" in street.service.log())
    street.succeed(printer, "movement_control/home")
    assert [line for line in loud(street)[told:] if "movement_control/home" not in line] == []
    assert printer.virtual.connects == connects


@pytest.mark.parametrize(
    ("victim", "number"),
    [(SLANDERED, LIAR), (STEADY, FORGER)],
    ids=["with a name of its own", "with the printer's name"],
)
def test_who_only_says_that_he_is_the_printer_gets_no_code_and_does_not_keep_it_away(
    street: Neighbourhood, victim: int, number: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    printer = street.at(victim)
    printer.fault("not-announced")  # it says nothing itself, so that only the lie is heard
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "Nobody")
    name = printer.serial if number == FORGER else serial_of(LIAR)
    with Impostor.of_a_printer(stranger.issue(name), address(number), real_ports=True) as impostor:
        with rumours(printer.serial, number):
            connects, since = printer.virtual.connects, street.cloud.mark()
            printer.drop_connections()
            wait_until("the lie is believed for a moment", lambda: impostor["mqtt"].connections > 0)
            wait_until("the printer is back", lambda: printer.virtual.connects > connects)
            street.when_usable(printer, since, verified=True, dev_ip=printer.host)
        street.succeed(printer, "movement_control/home")
        assert impostor.heard() == {}
        assert not impostor.knows(printer.code)
    assert address(number) not in street.registry.read_text()
    assert printer.virtual.sessions == 1
    assert printer.tries.wrong == 0
