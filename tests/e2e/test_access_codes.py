"""Access codes and a configuration that change while the service runs."""

from collections.abc import Iterator

import pytest

from bambu_connector.virtual.logins import Tries
from tests.e2e.bench import Workshop
from tests.e2e.neighbourhood import Neighbour, Neighbourhood
from tests.servers.process import wait_until, workspace

CHANGING, STEADY, LEAVING, MISTYPED, COMING = 81, 82, 83, 84, 85
NEW_CODE, MISTAKE = "55443322", "66778899"


@pytest.fixture(scope="module")
def street(workshop: Workshop) -> Iterator[Neighbourhood]:
    """A service with one printer that is paired, and three that are configured by hand, one of them with a mistake."""
    printers = [Neighbour(workshop, each) for each in (CHANGING, STEADY, LEAVING, MISTYPED, COMING)]
    _, steady, leaving, mistyped, _ = printers
    with workspace() as folder, Neighbourhood(folder, workshop, printers, connector_id="codes") as street:
        street.keep_secret(NEW_CODE, MISTAKE)
        entries = [steady.entry(), leaving.entry(), mistyped.entry() | {"access_code": MISTAKE}]
        street.service.write(street.config(entries))
        street.start(wait_for=[steady, leaving])
        street.pair(printers[0])
        yield street


def refusals(street: Neighbourhood, printer: Neighbour) -> list[str]:
    """Return the lines of the log in which a person is told that an access code is refused."""
    lines = [line for line in street.service.log().splitlines() if " DEBUG " not in line]
    return [line for line in lines if f"{printer.serial} at {printer.host} refuses the access code" in line]


def test_a_code_that_was_changed_at_the_printer_is_told_once(street: Neighbourhood) -> None:
    printer, stored, since = street.at(CHANGING), street.stored(street.at(CHANGING)), street.cloud.mark()
    printer.set_code(NEW_CODE)
    street.link(printer, since, has_access_right=False, is_connected=False)
    street.cloud.hear("error", printer.id, lambda each: each.code == "access_denied", since=since)
    street.ends(5, "status", printer.id)
    assert len(refusals(street, printer)) == 1
    assert street.ask(printer, "movement_control/home").answer.code == "access_denied"
    assert street.troubles(printer) == ["access_denied"]
    assert printer.tries.wrong == 1
    assert street.stored(printer) == stored


def test_a_configuration_that_is_edited_is_followed_and_the_other_sessions_stay(street: Neighbourhood) -> None:
    steady, leaving, mistyped, coming = (street.at(each) for each in (STEADY, LEAVING, MISTYPED, COMING))
    assert (mistyped.tries, street.troubles(mistyped)) == (Tries(wrong=1), ["access_denied"])
    connects, since = steady.virtual.connects, street.cloud.mark()
    renamed = steady.entry() | {"name": "Renamed"}
    street.service.write(street.config([renamed, mistyped.entry(), coming.entry()]))
    for printer in (mistyped, coming):
        street.when_usable(printer, since)
        street.succeed(printer, "movement_control/home")
        assert (printer.tries.right, printer.virtual.sessions) == (1, 1)
    street.link(steady, since, dev_name="Renamed", is_online=True)
    wait_until("the one that was taken out is let go", lambda: leaving.virtual.sessions == 0)
    wait_until("its status is cleared", lambda: street.cloud.retained(f"bambu/{leaving.id}/status") is None)
    street.succeed(steady, "movement_control/home")
    assert (steady.virtual.connects, steady.virtual.sessions) == (connects, 1)
    assert street.cloud.availability("codes") == ["connected"]
    assert street.uplinks() == 1


def test_a_mistake_in_the_configuration_changes_nothing_and_is_told(street: Neighbourhood) -> None:
    printers = [street.at(each) for each in (STEADY, MISTYPED, COMING)]
    connects = [each.virtual.connects for each in printers]
    good = street.service.config_file.read_text()
    street.service.config_file.write_text(f"{good}\nprinterz: []\n")
    wait_until("the mistake is told", lambda: "cannot be used, so the one before holds" in street.service.log())
    street.service.config_file.write_text(good)
    for each in printers:
        street.succeed(each, "movement_control/home")
    assert [each.virtual.connects for each in printers] == connects


def test_the_new_code_is_taken_by_the_running_service_without_a_restart(street: Neighbourhood) -> None:
    printer, steady, since = street.at(CHANGING), street.at(STEADY), street.cloud.mark()
    # It has announced itself all the time, and the configuration was read anew: no reason to try what was refused.
    assert (printer.tries.wrong, street.troubles(printer).count("access_denied")) == (1, 1)
    connects = printer.virtual.connects, steady.virtual.connects
    assert "is paired anew" in street.pair(printer, printer.serial)
    street.when_usable(printer, since, has_access_right=True)
    street.succeed(printer, "movement_control/home")
    assert (printer.virtual.connects, steady.virtual.connects) == (connects[0] + 1, connects[1])
    assert (printer.tries.wrong, printer.virtual.sessions) == (1, 1)
