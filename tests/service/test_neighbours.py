"""Printers that are not where they were, or were nowhere yet, are found by what they announce."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from bambu_connector.bambu.models import Model, Traits
from bambu_connector.config import PrinterConfig, PrinterTls
from bambu_connector.errors import AccessDenied, AnotherDevice, IdentityMismatch, LinkError, NotAPrinter, Unreachable
from bambu_connector.service.backoff import LONGEST_S, REFUSED_S
from bambu_connector.service.connection import HEARD_S
from bambu_connector.service.neighbours import LATER_S, SOON_TIMES
from tests.service.bench import HOME, Bench, bench, pass_time
from tests.service.fakes import FakePrinter, FakeStorage
from tests.simulated import simulated, until

OLD, NEW, ELSEWHERE = "192.0.2.1", "192.0.2.77", "192.0.2.99"


def hosts(b: Bench) -> list[str]:
    """Return the addresses that were tried."""
    return [host for host, _ in b.wires.asked]


async def move(b: Bench, host: str) -> None:
    """The printer gets another address."""
    await until(lambda: b.wires.heard.is_open)
    b.wires.where[b.printer.serial] = host
    b.printer.drop()
    await until(lambda: not b.unit.printer.is_connected)


@simulated
async def test_a_printer_that_moved_is_back_when_it_announces_itself_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with bench(tmp_path) as b:
        await move(b, NEW)
        await pass_time(20)
        assert not b.printer.is_connected
        b.wires.heard.announce(b.printer.serial, NEW)
        await b.until_ready()
        for _ in range(10):
            b.wires.heard.announce(b.printer.serial, NEW)
            await pass_time(5)
        assert (await b.ask(HOME)).code == "success"
        assert b.wires.memory.places == {b.printer.serial: NEW}
        assert b.unit.printer.status()["machines"][0]["connection_info"]["dev_ip"] == NEW
        assert [each for each in caplog.messages if "moved" in each] == [f"moved from {OLD} to {NEW}"]
        assert len(b.printer.connections) == 2


@simulated
async def test_its_files_are_at_the_new_address_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(tmp_path) as b:
        asked: list[str | None] = []
        storage_of = b.wires.storage

        def noted(printer: PrinterConfig, traits: Traits) -> FakeStorage:
            asked.append(printer.host)
            return storage_of(printer, traits)

        monkeypatch.setattr(b.wires, "storage", noted)
        await move(b, NEW)
        b.wires.heard.announce(b.printer.serial, NEW)
        await b.until_ready()
        assert (await b.ask("printer_control/list_files", {"folder": "/"})).kind == "response"
        assert asked[-1] == NEW


@simulated
async def test_a_printer_without_an_address_waits_for_its_announcement(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, host=None) as b:
        await pass_time(300)
        assert hosts(b) == []
        assert "announced" in str(b.unit.printer.link_error)
        b.wires.heard.announce(b.printer.serial, NEW)
        await b.until_ready()
        assert b.wires.memory.places == {b.printer.serial: NEW}


@simulated
async def test_where_it_was_found_last_is_tried_after_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, printers=[FakePrinter()]) as first:
        serial = first.printer.serial
    assert serial
    printer = FakePrinter()
    async with bench(tmp_path, ready=False, printers=[printer]) as b:
        b.wires.where[serial] = NEW
        b.unit.whereabouts.noted(NEW)
        await b.until_ready()
        assert hosts(b)[:2] == [OLD, NEW]


@pytest.mark.parametrize("lie", [AnotherDevice("a stranger"), NotAPrinter("a toaster")])
@simulated
async def test_a_liar_costs_an_attempt_and_nothing_is_said_of_it(
    tmp_path: Path, lie: LinkError, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        b.wires.where[b.printer.serial] = ELSEWHERE  # it is switched off, say
        b.printer.drop()
        await pass_time(60)
        said = len(caplog.records)
        b.printer.refusal = lie
        b.wires.where[b.printer.serial] = NEW
        b.wires.heard.announce(b.printer.serial, NEW)
        await pass_time(60)
        assert NEW in hosts(b)
        assert not [each for each in caplog.records[said:] if each.levelno > logging.DEBUG and str(lie) in each.message]
        assert b.unit.printer.status()["machines"][0]["connection_info"]["verified"] is True
        b.printer.refusal = None
        b.wires.where[b.printer.serial] = OLD
        await b.until_ready()
        assert b.wires.memory.places == {}


@simulated
async def test_a_forged_certificate_at_an_announced_address_does_not_keep_the_printer_away(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await until(lambda: b.wires.heard.is_open)
        b.wires.where[b.printer.serial] = NEW  # there it is not itself who answers
        b.printer.refusal = IdentityMismatch("the certificate is not the one that was trusted")
        b.wires.heard.announce(b.printer.serial, NEW)
        b.printer.drop()
        await until(lambda: NEW in hosts(b), within=30)
        b.printer.refusal = None
        b.wires.where[b.printer.serial] = OLD
        await until(lambda: b.printer.is_connected, within=60)


@simulated
async def test_a_flood_of_lies_causes_few_attempts(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.wires.where[b.printer.serial] = ELSEWHERE
        b.printer.drop()
        await pass_time(1)
        before = len(hosts(b))
        for number in range(6000):
            b.wires.heard.announce(b.printer.serial, f"198.51.100.{number % 250}")
            await pass_time(0.01)
        assert len(hosts(b)) - before <= 1.5 * 60 / HEARD_S
        assert OLD in hosts(b)[before:]


@simulated
async def test_a_refused_code_is_not_tried_again_because_of_announcements(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = AccessDenied("wrong code")
        b.wires.where[b.printer.serial] = OLD
        for number in range(200):
            b.wires.heard.announce(b.printer.serial, OLD if number % 2 else f"198.51.100.{number % 250}")
            await pass_time((REFUSED_S - 60) / 200)
        assert len(b.printer.attempts) == 1


@simulated
async def test_a_changed_certificate_at_the_announced_address_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        await move(b, NEW)
        b.printer.refusal = IdentityMismatch("the certificate is not the one that was trusted")
        b.wires.heard.announce(b.printer.serial, NEW)
        await until(lambda: "not the one that was trusted" in caplog.text, within=60)
        assert not b.printer.is_connected


@simulated
async def test_missing_printers_are_asked_for_soon_and_then_seldom_and_connected_ones_not(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(60)
        b.wires.heard.searches.clear()
        await pass_time(600)
        assert b.wires.heard.searches == []
        b.wires.where[b.printer.serial] = ELSEWHERE
        b.printer.drop()
        await pass_time(600)
        searches = b.wires.heard.searches
        assert SOON_TIMES <= len(searches) <= SOON_TIMES + 600 / LATER_S + 2
        assert all(each == (OLD,) for each in searches)


@simulated
async def test_what_a_printer_said_of_itself_is_kept_and_goodbyes_are_not(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await until(lambda: b.wires.heard.is_open)
        assert b.farm.neighbours.last(b.printer.serial) is None
        b.wires.heard.announce("01P00A000000009", NEW, name="Stranger")
        b.wires.heard.announce("01P00A000000008", NEW, is_goodbye=True)
        heard = b.farm.neighbours.last("01P00A000000009")
        assert heard is not None
        assert heard.name == "Stranger"
        assert b.farm.neighbours.last("01P00A000000008") is None


@simulated
async def test_an_address_that_its_owner_corrects_is_tried_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await move(b, NEW)
        await pass_time(100)
        b.farm.change(b.unit, replace(b.unit.config, host=NEW))
        await until(lambda: b.printer.is_connected, within=1)


@simulated
async def test_where_nothing_can_be_heard_that_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with bench(tmp_path) as b:
        b.wires.heard.troubles = ("UDP 2021 is taken.",)
        b.wires.heard.close()
        await b.farm.tasks.cancel(1)
        b.farm.tasks.keep(b.farm.neighbours.run, "again")
        await pass_time(100)
        assert caplog.messages.count("UDP 2021 is taken.") == 1


@simulated
async def test_a_printer_that_announces_itself_and_lets_nobody_in_is_tried_no_more_often_for_that(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        b.printer.refusal = Unreachable("it hangs up")
        b.printer.drop()
        await pass_time(120)
        before = len(b.printer.attempts)
        for _ in range(120):
            b.wires.heard.announce(b.printer.serial, OLD)
            await pass_time(5)
        assert len(b.printer.attempts) - before <= 600 / (0.7 * LONGEST_S) + 6


@simulated
async def test_a_printer_that_was_switched_off_is_back_soon_after_it_announces_itself_while_it_boots(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        b.printer.refusal = Unreachable("off")
        b.printer.drop()
        await pass_time(300)
        b.wires.heard.announce(b.printer.serial, OLD)
        await pass_time(5)
        b.wires.heard.announce(b.printer.serial, OLD)
        b.printer.refusal = None
        await until(lambda: b.printer.is_connected, within=10)


@simulated
async def test_once_refused_does_not_make_announcements_count_less_for_ever(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusals = [AccessDenied("wrong code")]
        await until(lambda: isinstance(b.unit.printer.link_error, AccessDenied))
        await until(lambda: b.printer.is_connected, within=1.2 * REFUSED_S)
        await pass_time(120)
        b.printer.refusal = Unreachable("off")
        b.printer.drop()
        await pass_time(300)
        tried = len(b.printer.attempts)
        await until(lambda: len(b.printer.attempts) > tried)
        await pass_time(HEARD_S + 1)  # the next attempt of its own accord is far away
        b.printer.refusal = None
        b.wires.heard.announce(b.printer.serial, OLD)
        await until(lambda: b.printer.is_connected, within=1)


@simulated
async def test_before_the_first_contact_nobody_is_believed_who_says_that_the_printer_is_elsewhere(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.wires.where[b.printer.serial] = ELSEWHERE  # whoever is there shows a certificate with the right name
        for _ in range(20):
            b.wires.heard.announce(b.printer.serial, ELSEWHERE)
            await pass_time(HEARD_S)
        assert set(hosts(b)) == {OLD}
        b.wires.memory.pinned[b.printer.serial] = "sha256:" + "a" * 64
        b.wires.heard.announce(b.printer.serial, ELSEWHERE)
        await b.until_ready()


@simulated
async def test_a_printer_whose_certificate_is_not_checked_is_never_where_anybody_can_say_that_it_is(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        b.unit.change(replace(b.unit.config, tls=PrinterTls(verify=False)))
        await move(b, ELSEWHERE)
        for _ in range(20):
            b.wires.heard.announce(b.printer.serial, ELSEWHERE)
            await pass_time(HEARD_S)
        assert set(hosts(b)) == {OLD}


@simulated
async def test_with_an_authority_an_announcement_is_followed_from_the_first(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.unit.change(replace(b.unit.config, tls=PrinterTls(ca_file=tmp_path / "ca.crt")))
        b.wires.where[b.printer.serial] = ELSEWHERE
        await pass_time(20)
        b.wires.heard.announce(b.printer.serial, ELSEWHERE)
        await b.until_ready()


@simulated
async def test_a_session_that_leads_nowhere_is_noticed_soon_when_the_printer_is_heard_elsewhere(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await until(lambda: b.wires.heard.is_open)
        b.wires.where[b.printer.serial] = NEW
        b.printer.withholds = lambda _message: True  # its cable was pulled, say: no word, and no FIN
        began = b.clock.monotonic()
        while b.clock.monotonic() - began < 45 and len(b.printer.connections) < 2:
            b.wires.heard.announce(b.printer.serial, NEW)
            await pass_time(5)
            if hosts(b)[-1] == NEW:
                b.printer.withholds = lambda _message: False
        assert len(b.printer.connections) == 2
        assert b.clock.monotonic() - began < 45


@simulated
async def test_a_printer_that_speaks_is_not_suspected_because_somebody_announces_it_elsewhere(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await until(lambda: b.wires.heard.is_open)
        asked = len(b.printer.commands("get_version"))
        for _ in range(20):
            b.wires.heard.announce(b.printer.serial, NEW)
            await pass_time(2)
        assert len(b.printer.commands("get_version")) == asked
        assert len(b.printer.connections) == 1


@simulated
async def test_a_printer_without_an_address_has_a_while_to_announce_itself_before_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path, ready=False, host=None) as b:
        await pass_time(25)
        assert "announced" in str(b.unit.printer.link_error)
        assert "announced" not in caplog.text
        await pass_time(60)
        assert caplog.text.count("has not announced itself") == 1


@pytest.mark.parametrize(("host", "believed"), [(OLD, True), (NEW, False)])
@simulated
async def test_of_which_model_it_is_is_believed_from_where_it_proved_to_be(
    tmp_path: Path, host: str, believed: bool
) -> None:
    unknown = FakePrinter(serial="ZZZ00A000000001")
    async with bench(tmp_path, printers=[unknown], ready=False) as b:
        unknown.refusal = NotAPrinter("not yet")
        await until(lambda: b.wires.heard.is_open)
        b.wires.heard.announce(unknown.serial, host)
        assert (b.unit.printer.model is Model.P1S) is believed


@simulated
async def test_a_printer_with_a_host_name_did_not_move_when_it_announces_its_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    printer = FakePrinter()
    printer.address = OLD
    async with bench(tmp_path, printers=[printer], host="left.lan") as b:
        await until(lambda: b.wires.heard.is_open)
        for _ in range(3):
            b.wires.heard.announce(printer.serial, OLD)
            printer.drop()
            await until(lambda: not b.unit.printer.is_connected)
            await b.until_ready()
        assert set(hosts(b)) == {"left.lan"}
        assert "moved" not in caplog.text
        assert b.wires.memory.places == {}
