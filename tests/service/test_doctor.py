"""Everything at once: Printago, this computer, and the printers side by side."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.config.tree import BrokerTls, Config, Printago
from bambu_connector.errors import (
    AccessDenied,
    ConfigError,
    IdentityMismatch,
    LinkError,
    NotAPrinter,
    UnknownPrinter,
    Unreachable,
)
from bambu_connector.secret import Secret
from bambu_connector.service.checkup import Checkup
from bambu_connector.service.doctor import AT_ONCE, FIRST_TRY_S, PrintagoCheckup, answers, machine_findings
from bambu_connector.service.findings import Finding
from tests.service.bench import Bench, bench
from tests.service.fakes import FakeClock, FakePrinter, FakeUplink
from tests.simulated import simulated

PRINTAGO = Printago(
    host="mqtt.example.org",
    port=8883,
    tls=BrokerTls(),
    username="farm",
    password=Secret("farm-password"),
    client_id="bambu-connector-bench",
)
STEPS = ["name", "tcp", "identity", "login", "subscription"]
Tree = dict[str, Any]


def printers(count: int) -> list[FakePrinter]:
    return [FakePrinter("P1S", f"01P00A{number:09d}") for number in range(count)]


def with_printago(b: Bench) -> Config:
    return replace(b.farm.config, printago=PRINTAGO)


async def asked(b: Bench, uplink: FakeUplink | None = None, **request: Any) -> list[Tree]:
    return [each async for each in answers(b.farm, {"do": "doctor", **request}, uplink, with_printago(b))]


async def looked_at_printago(
    b: Bench, uplink: FakeUplink | None = None, printago: Printago | None = PRINTAGO
) -> list[Finding]:
    checkup = PrintagoCheckup(replace(b.farm.config, printago=printago), b.wires.prober, b.clock, uplink)
    return [each async for each in checkup.findings()]


# -- the stream ------------------------------------------------------------------------------------


@simulated
async def test_what_is_found_is_told_at_once_and_all_of_it_at_the_end(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2)) as b:
        first, *news, last = await asked(b)
        plan = [(each["subject"], each["id"]) for each in first["progress"]["plan"]]
        ids = list(b.farm.units)
        assert plan == [("printago", None), ("machine", None), ("printers", ids[0]), ("printers", ids[1])]
        told: dict[tuple[str, str | None], list[Tree]] = {each: [] for each in plan}
        ended = []
        for each in news:
            key = each["progress"]["subject"], each["progress"]["id"]
            assert key not in ended
            if each["progress"]["finding"] is None:
                ended.append(key)
            else:
                told[key].append(each["progress"]["finding"])
        assert sorted(map(str, ended)) == sorted(map(str, plan))
        assert last["findings"]["printago"] == told["printago", None]
        assert last["findings"]["machine"] == told["machine", None]
        assert last["findings"]["printers"] == {each: told["printers", each] for each in ids}


@simulated
async def test_one_printer_is_looked_at_without_printago(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2)) as b:
        second = b.printers[1]
        *_, last = await asked(b, printer=second.serial)
        assert list(last["findings"]["printers"]) == [second.serial]
        assert last["findings"]["printago"] == []
        assert b.printers[0].storage.calls == []


@simulated
async def test_a_printer_that_is_not_known_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        with pytest.raises(UnknownPrinter, match="nobody"):
            await asked(b, printer="nobody")


@simulated
async def test_printers_are_looked_at_side_by_side_and_not_all_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(AT_ONCE + 4)) as b:
        for each in b.printers:
            each.storage.gates["list_folder"].close()
        asking = asyncio.create_task(asked(b))
        await asyncio.sleep(5)
        assert sum(each.storage.gates["list_folder"].waiting for each in b.printers) == AT_ONCE
        for each in b.printers:
            each.storage.gates["list_folder"].open()
        *_, last = await asking
        assert len(last["findings"]["printers"]) == AT_ONCE + 4


@simulated
async def test_facts_come_only_when_they_are_asked_for(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert not any("facts" in each.get("progress", {}) for each in await asked(b))
        facts = [each["progress"] for each in await asked(b, facts=True) if "facts" in each.get("progress", {})]
        assert [(each["id"], each["facts"]["serial"]) for each in facts] == [(b.unit.config.id, b.printer.serial)]


@simulated
async def test_who_stops_listening_ends_the_look(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.storage.gates["put"].close()
        async with aclosing(answers(b.farm, {}, None, with_printago(b))) as news:
            async for each in news:
                if each["progress"].get("finding", None) and each["progress"]["finding"]["step"] == "files":
                    break
        before = asyncio.all_tasks()
        assert not any(task.get_name().startswith("doctor") for task in before)
        b.release()
        await b.until_clean()


@simulated
async def test_a_bug_in_one_look_is_no_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def findings(_self: Checkup) -> Any:
        for each in list[Finding]():
            yield each
        raise KeyError("a bug")

    monkeypatch.setattr(Checkup, "findings", findings)
    async with bench(tmp_path) as b:
        with pytest.raises(KeyError, match="a bug"):
            await asked(b)


# -- this computer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "is_sure", "outcome", "words"),
    [
        (0.0, True, "ok", "keeps the clock right"),
        (0.0, False, "warning", "no time server"),
        (-20 * 365 * 86400.0, True, "warning", "never set"),
    ],
)
def test_the_clock_of_this_computer_is_judged(ahead: float, is_sure: bool, outcome: str, words: str) -> None:
    @simulated
    async def look() -> None:
        clock = FakeClock()
        clock.wall_ahead, clock.is_sure = ahead, is_sure
        (found,) = [each async for each in machine_findings(clock)]
        assert (found.step, found.outcome, words in found.told) == ("clock", outcome, True)
        assert (found.advice is None) == (outcome == "ok")

    look()


# -- Printago --------------------------------------------------------------------------------------


@simulated
async def test_the_services_session_is_the_evidence(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        found = await looked_at_printago(b, FakeUplink(is_connected=True, protocol="5"))
        assert [(each.step, each.outcome) for each in found] == [(step, "ok") for step in STEPS]
        assert b.wires.prober.calls == []


@simulated
async def test_a_session_that_is_down_tells_why_and_nobody_else_logs_in(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        found = await looked_at_printago(b, FakeUplink(error=AccessDenied("refuses the password")))
        assert [each.outcome for each in found] == ["ok", "ok", "ok", "failed", "skipped"]
        assert (found[3].told, found[3].exit_code) == ("refuses the password", 5)
        assert b.wires.prober.calls == ["resolve mqtt.example.org", "reach 8883", "broker_identity 8883"]


@simulated
async def test_a_service_that_has_just_begun_is_given_a_moment(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        uplink = FakeUplink()
        looking = asyncio.create_task(looked_at_printago(b, uplink))
        await asyncio.sleep(FIRST_TRY_S / 2)
        assert not looking.done()
        uplink.is_connected, uplink.protocol = True, "5"
        assert [each.outcome for each in await looking] == ["ok"] * 5


@simulated
async def test_a_service_that_never_comes_to_an_end_is_not_waited_for(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        found = await looked_at_printago(b, FakeUplink())
        assert (found[3].outcome, found[3].exit_code) == ("failed", 4)


@simulated
async def test_alone_a_session_of_its_own_asks_for_every_command_topic_and_ends(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2)) as b:
        found = await looked_at_printago(b)
        assert [each.outcome for each in found] == ["ok"] * 5
        (visit,) = b.wires.prober.visits
        assert set(visit.topics) == {"bambu/commands", *(f"bambu/{each}/commands" for each in b.farm.units)}
        assert not visit.is_open


@simulated
async def test_a_subscription_that_is_refused_is_told_and_the_session_ends(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.wires.prober.failures["subscribe"] = LinkError("refuses the subscription")
        found = await looked_at_printago(b)
        assert (found[4].step, found[4].outcome) == ("subscription", "failed")
        assert "topics" in (found[4].advice or "")
        assert not b.wires.prober.visits[0].is_open


@pytest.mark.parametrize(
    ("call", "error", "failed", "exit_code"),
    [
        ("resolve", Unreachable("cannot be resolved"), "name", 4),
        ("reach", Unreachable("does not answer"), "tcp", 4),
        ("broker_identity", IdentityMismatch("another name"), "identity", 6),
        ("broker_identity", NotAPrinter("no TLS"), "identity", 6),
        ("broker_identity", ConfigError("no such file"), "identity", 3),
        ("visit", AccessDenied("refused"), "login", 5),
    ],
)
def test_the_way_to_printago_ends_where_it_is_broken(
    tmp_path: Path, call: str, error: Exception, failed: str, exit_code: int
) -> None:
    @simulated
    async def on_a_bench() -> None:
        async with bench(tmp_path) as b:
            b.wires.prober.failures[call] = error
            found = await looked_at_printago(b)
            place = STEPS.index(failed)
            assert [each.outcome for each in found] == ["ok"] * place + ["failed"] + ["skipped"] * (4 - place)
            assert (found[place].exit_code, bool(found[place].advice)) == (exit_code, True)

    on_a_bench()


@simulated
async def test_without_tls_there_is_no_identity_to_judge(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        found = await looked_at_printago(b, printago=replace(PRINTAGO, tls=None))
        assert (found[2].outcome, found[3].outcome) == ("skipped", "ok")
        assert found[2].told == "because printago.tls is false: the connection is not encrypted"


@simulated
async def test_a_connector_without_printago_has_nothing_to_look_at(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        (found,) = await looked_at_printago(b, printago=None)
        assert found.outcome == "skipped"
        assert b.wires.prober.calls == []
