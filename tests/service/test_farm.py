"""All printers under one roof: none costs another anything, and all end in order."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.models import Model
from bambu_connector.config.tree import Quirks
from bambu_connector.errors import AccessDenied, IdentityMismatch, PrinterBusy, PrinterOffline, Unreachable
from bambu_connector.printago.messages import MessageType
from bambu_connector.printago.topics import Routes
from bambu_connector.secret import Secret
from bambu_connector.service.farm import Farm, identity_of, topics_of, until_ready
from tests.service.bench import DOWNLOAD, HOME, START, URL, Bench, bench, config_of, pass_time, printer_config
from tests.service.fakes import FakeClock, FakePrinter, FakeWires, fake_journal
from tests.simulated import simulated, until

SERIALS = [f"01P00A00000000{number}" for number in range(1, 6)]


def printers(count: int = 3) -> list[FakePrinter]:
    return [FakePrinter(serial=serial) for serial in SERIALS[:count]]


async def others_work(b: Bench) -> None:
    """Check that every printer but the first does what it is told."""
    for each in b.printers[1:]:
        began = b.clock.monotonic()
        assert (await b.ask(HOME, to=each.serial)).code == "success"
        assert b.clock.monotonic() - began < 1
        assert (await b.ask(START, {"url": URL}, to=each.serial)).code == "success"


# -- one printer's trouble --------------------------------------------------------------------------


@simulated
async def test_a_printer_whose_reports_raise_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, printers=printers()) as b:
        monkeypatch.setattr(b.unit.printer, "receive", lambda _raw: 1 / 0)
        await pass_time(20)
        await others_work(b)


@simulated
async def test_a_printer_whose_clock_work_raises_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, printers=printers(), speaks=True) as b:
        monkeypatch.setattr(b.unit.printer, "tick", lambda: 1 / 0)
        other = b.printers[1]
        other.withholds = lambda _message: True
        await until(lambda: other.commands("start"), within=60)  # the silent one is still woken


@simulated
async def test_a_printer_that_hangs_while_connecting_costs_the_others_nothing(tmp_path: Path) -> None:
    fakes = printers()
    fakes[0].gate.close()
    async with bench(tmp_path, printers=fakes, ready=False) as b:
        await until(lambda: all(unit.printer.view for unit in list(b.farm.units.values())[1:]), within=2)
        await others_work(b)


@simulated
async def test_a_storage_that_hangs_costs_the_other_printers_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers()) as b:
        b.hold("upload")
        b.send(DOWNLOAD, {"url": URL})
        await b.until_stage("upload")
        await others_work(b)
        assert b.stage == "upload"


@simulated
async def test_a_printer_that_does_not_answer_costs_the_others_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers()) as b:
        b.printer.faults.add("deaf")
        waiting = [b.send(HOME) for _ in range(50)]
        await others_work(b)
        assert not waiting[-1].is_answered


@simulated
async def test_a_printer_that_cannot_be_used_says_why_and_the_others_work(tmp_path: Path) -> None:
    fakes = printers(3)
    wires = FakeWires(fakes)
    config = config_of(
        tmp_path,
        [
            printer_config(SERIALS[0], "no-host", host=None),
            printer_config(SERIALS[1], "no-code", access_code=None),
            printer_config(SERIALS[2], "sound"),
        ],
    )
    clock = FakeClock()
    farm = Farm(config, wires, journal=fake_journal(tmp_path, clock), post=lambda _message: None, clock=clock)
    b = Bench(farm, wires, fakes, FakeClock())
    farm.start()
    await until(lambda: farm.units["sound"].printer.view is not None)
    assert (await b.ask(HOME, to="no-host")).code == "printer_offline"
    assert (await b.ask(HOME, to="no-code")).code == "access_denied"
    assert (await b.ask(HOME, to="sound")).code == "success"
    assert [len(each.attempts) for each in fakes] == [0, 0, 1]
    await farm.stop(1.0)


@simulated
async def test_old_downloads_are_cleared_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "job-1").write_bytes(b"left over")
    async with bench(tmp_path):
        assert list((tmp_path / "downloads").iterdir()) == []


# -- speaking --------------------------------------------------------------------------------------


@simulated
async def test_each_printer_is_introduced_and_tells_its_status(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2), speaks=True) as b:
        pairings = [json.loads(each.payload) for each in b.said if each.type is MessageType.PAIRING]
        assert [each["printer_id"] for each in pairings] == SERIALS[:2]
        assert {each["data"]["outcome"] for each in pairings} == {"paired"}
        assert [each["data"]["dev_id"] for each in pairings] == SERIALS[:2]
        assert {each.printer_id for each in b.said if each.type is MessageType.STATUS} == set(SERIALS[:2])


def pairings(b: Bench) -> list[dict[str, Any]]:
    return [json.loads(each.payload)["data"] for each in b.said if each.type is MessageType.PAIRING]


@simulated
async def test_a_printer_without_a_code_is_introduced_as_failed_and_anew_when_it_has_one(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, ready=False, access_code=None) as b:
        await pass_time(100)
        (failed,) = pairings(b)
        assert (failed["outcome"], failed["dev_id"]) == ("failed", b.printer.serial)
        assert "bambu-connector pair" in failed["reason"]
        assert not b.printer.attempts
        b.farm.change(b.unit, replace(b.unit.config, access_code=Secret("12345678")))
        await b.until_ready()
        assert [each["outcome"] for each in pairings(b)] == ["failed", "paired"]


# -- printers that come, go and change ---------------------------------------------------------------


@simulated
async def test_a_printer_that_is_added_is_connected_introduced_and_obeys(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(1), speaks=True) as b:
        new = FakePrinter(serial=SERIALS[1])
        b.wires.printers[new.serial] = new
        routes: list[Routes] = []
        b.farm.on_routes = routes.append
        unit = b.farm.add(printer_config(new.serial, "right"))
        await until_ready(unit, 20)
        assert [each["dev_id"] for each in pairings(b)] == [b.printer.serial, new.serial]
        assert "bambu/right/commands" in routes[-1].topics()
        assert (await b.ask(HOME, to="right")).code == "success"
        assert b.farm.find("right") is b.farm.find(new.serial) is unit


@simulated
async def test_a_printer_on_trial_is_connected_and_nobody_knows_of_it(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(1), speaks=True) as b:
        new = FakePrinter(serial=SERIALS[1])
        b.wires.printers[new.serial] = new
        unit = b.farm.add(printer_config(new.serial, "right"), speaks=False)
        await until_ready(unit, 20)
        await pass_time(100)
        assert [each["dev_id"] for each in pairings(b)] == [b.printer.serial]
        assert not [each for each in b.said if each.printer_id == "right"]
        assert b.farm.dispatcher.resolve("right") is None
        b.farm.introduce(unit)
        assert [each["dev_id"] for each in pairings(b)] == [b.printer.serial, new.serial]
        assert (await b.ask(HOME, to="right")).code == "success"
        assert len(new.connections) == 1


@simulated
async def test_a_printer_that_is_removed_ends_its_job_its_session_and_its_commands(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2), speaks=True) as b:
        b.hold("upload")
        pending = b.send(START, {"url": URL})
        await b.until_stage("upload")
        unit, routes = b.unit, list[Routes]()
        b.farm.on_routes = routes.append
        await b.farm.remove(unit)
        assert (await pending.answered()).code == "cancelled"
        assert not b.printer.is_connected
        assert list(b.farm.units) == [SERIALS[1]]
        assert f"bambu/{SERIALS[0]}/commands" not in routes[-1].topics()
        assert (await b.ask(HOME, to=SERIALS[1])).code == "success"
        said = len(b.said)
        await pass_time(100)
        assert not [each for each in b.said[said:] if each.printer_id == SERIALS[0]]


@simulated
async def test_following_a_configuration_leaves_the_sessions_of_those_that_did_not_change(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(3), speaks=True) as b:
        same, changed, gone = (b.farm.units[serial].config for serial in SERIALS[:3])
        new = FakePrinter(serial=SERIALS[3])
        b.wires.printers[new.serial] = new
        another_code = replace(changed, access_code=Secret("87654321"), name="Renamed")
        await b.farm.follow(config_of(tmp_path, [same, another_code, printer_config(new.serial)]))
        await until(lambda: new.is_connected and len(b.printers[1].connections) == 2)
        assert [each.is_open for each in b.printers[0].connections] == [True]
        assert [each.is_open for each in b.printers[1].connections] == [False, True]
        assert [each.is_open for each in b.printers[2].connections] == [False]
        assert sorted(b.farm.units) == [same.id, changed.id, new.serial]
        assert b.farm.units[changed.id].name == "Renamed"
        asked = [config.access_code for host, config in b.wires.asked if config.serial == changed.serial]
        assert asked[-1] == Secret("87654321")
        assert gone.id not in b.farm.units


@pytest.mark.parametrize("change", [{"name": "Renamed"}, {"quirks": Quirks(md5=False)}, {"model": "P1P"}])
@simulated
async def test_what_a_session_is_not_made_with_changes_without_another(tmp_path: Path, change: dict[str, Any]) -> None:
    async with bench(tmp_path) as b:
        await b.farm.follow(config_of(tmp_path, [replace(b.unit.config, **change)]))
        await pass_time(60)
        assert [each.is_open for each in b.printer.connections] == [True]
        assert identity_of(b.unit.config).name == b.unit.name


@simulated
async def test_another_id_is_another_printer_to_printago(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await b.farm.follow(config_of(tmp_path, [replace(b.unit.config, id="new-id")]))
        await b.until_ready()
        assert list(b.farm.units) == ["new-id"]
        assert (await b.ask(HOME, to="new-id")).code == "success"
        assert [each.is_open for each in b.printer.connections] == [False, True]


@simulated
async def test_a_change_waits_for_a_start_that_is_out(tmp_path: Path) -> None:
    async with bench(tmp_path, virtual="P1S", faults=["slow-start=60"]) as b:
        pending = b.send(START, {"url": URL})
        await until(lambda: b.printer.commands("project_file"))
        b.farm.change(b.unit, replace(b.unit.config, access_code=Secret("87654321")))
        await pass_time(3)
        assert [each.is_open for each in b.printer.connections] == [True]
        assert (await pending.answered()).code == "success"
        await until(lambda: len(b.printer.connections) == 2, within=200)


@simulated
async def test_a_printer_on_trial_is_left_alone_by_a_changed_configuration(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(1)) as b:
        with b.farm.on_trial(b.printer.serial):
            with pytest.raises(PrinterBusy), b.farm.on_trial(b.printer.serial):
                raise AssertionError("two at once")
            await b.farm.follow(config_of(tmp_path, []))
            assert list(b.farm.units) == [b.printer.serial]
        await b.farm.follow(config_of(tmp_path, []))
        assert not b.farm.units


@simulated
async def test_a_printer_that_is_paired_while_others_are_let_go_stays(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(1), speaks=True) as b:
        new = FakePrinter(serial=SERIALS[1])
        b.wires.printers[new.serial] = new
        b.printer.faults.add("slow-start=500")
        b.hold("upload")
        b.send(START, {"url": URL})
        await b.until_stage("upload")
        b.printer.storage.ignores_cancelling = True
        with b.farm.on_trial(new.serial):
            unit = b.farm.add(printer_config(new.serial, "right"), speaks=False)
            following = asyncio.create_task(b.farm.follow(config_of(tmp_path, [])))  # read before it was stored
            await pass_time(1)
            b.farm.introduce(unit)
        await following
        assert list(b.farm.units) == ["right"]
        assert b.farm.is_behind


def break_off(b: Bench) -> None:
    with b.farm.on_trial(b.printer.serial):
        raise PrinterOffline("it broke")


@simulated
async def test_what_was_broken_off_is_looked_at_anew(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        found = []
        with b.farm.on_trial(b.printer.serial):
            found.append(b.farm.is_behind)
        found.append(b.farm.is_behind)
        with pytest.raises(PrinterOffline):
            break_off(b)
        found.append(b.farm.is_behind)
        await b.farm.follow(config_of(tmp_path, [b.unit.config]))
        found.append(b.farm.is_behind)
        assert found == [False, False, True, False]


@simulated
async def test_a_removal_is_done_to_the_end_though_whoever_asked_goes_away(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2)) as b:
        b.hold("upload")
        b.start()
        await b.until_stage("upload")
        b.printer.storage.ignores_cancelling = True
        asking = asyncio.create_task(b.farm.remove(b.unit))
        await pass_time(0.5)
        asking.cancel()
        await pass_time(10)
        assert list(b.farm.units) == [SERIALS[1]]
        assert not b.printer.is_connected
        b.release()


@simulated
async def test_a_printer_that_is_being_let_go_can_neither_be_paired_nor_let_go_twice(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2)) as b:
        b.hold("upload")
        b.start()
        await b.until_stage("upload")
        b.printer.storage.ignores_cancelling = True
        unit = b.unit
        removals = [asyncio.create_task(b.farm.remove(unit)) for _ in range(2)]
        await pass_time(0.5)
        with pytest.raises(PrinterBusy), b.farm.on_trial(unit.config.serial):
            raise AssertionError("it is on its way out")
        await asyncio.gather(*removals)
        assert list(b.farm.units) == [SERIALS[1]]
        b.release()


@simulated
async def test_many_that_are_let_go_take_no_longer_than_one(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(5)) as b:
        for each in b.printers:
            each.storage.gates["put"].close()
            each.storage.ignores_cancelling = True
            b.send(DOWNLOAD, {"url": URL}, to=each.serial)
        await pass_time(2)
        began = b.clock.monotonic()
        await b.farm.follow(config_of(tmp_path, []))
        assert b.clock.monotonic() - began < 6
        assert not b.farm.units
        b.release()


@pytest.mark.parametrize("wanted", ["new-id", None])
@simulated
async def test_a_printer_that_was_sent_a_start_is_let_go_when_the_start_is_over(
    tmp_path: Path, wanted: str | None
) -> None:
    async with bench(tmp_path, model="P1P", faults=["slow-start=60"]) as b:
        started = b.start()
        await until(lambda: b.printer.starts)
        config = config_of(tmp_path, [replace(b.unit.config, id=wanted)] if wanted else [])
        await b.farm.follow(config)
        assert not b.farm.is_behind
        assert (await started.answered()).code == "success"
        assert [each.is_open for each in b.printer.connections] == [True]
        await until(lambda: b.farm.is_behind, within=400)
        await b.farm.follow(config)
        assert list(b.farm.units) == [each.id for each in config.printers]
        assert b.printer.state in {"RUNNING", "FINISH"}
        assert len(b.printer.starts) == 1


@simulated
async def test_two_printers_may_swap_their_ids(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2), speaks=True) as b:
        first, second = (b.farm.units[serial].config for serial in SERIALS[:2])
        swapped = [replace(first, id="right"), replace(second, id="left")]
        await b.farm.follow(config_of(tmp_path, swapped))
        await b.farm.follow(config_of(tmp_path, [replace(first, id="left"), replace(second, id="right")]))
        await b.until_ready()
        assert (await b.ask(HOME, to="left")).code == "success"
        assert [len(each.acts) for each in b.printers] == [1, 0]
        assert b.farm.dispatcher.resolve(second.serial) == "right"


@simulated
async def test_an_id_that_a_printer_on_trial_has_is_not_taken_from_it(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(1)) as b:
        for serial in SERIALS[1:3]:
            b.wires.printers[serial] = FakePrinter(serial=serial)
        config = config_of(tmp_path, [b.unit.config, printer_config(SERIALS[2], "right")])
        with b.farm.on_trial(SERIALS[1]):
            trial = b.farm.add(printer_config(SERIALS[1], "right"), speaks=False)
            await b.farm.follow(config)
            assert b.farm.units["right"] is trial
            await b.farm.remove(trial)
        assert not b.wires.printers[SERIALS[1]].is_connected
        assert b.farm.is_behind
        await b.farm.follow(config)
        assert b.farm.units["right"].config.serial == SERIALS[2]


def wire_events(b: Bench, printer_id: str) -> list[str]:
    told = [json.loads(each.payload) for each in b.said if each.type is MessageType.EVENT]
    return [each["data"]["event"] for each in told if each["printer_id"] == printer_id]


@simulated
async def test_that_a_printer_is_connected_is_told_when_its_trial_is_over(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(1), speaks=True) as b:
        new = FakePrinter(serial=SERIALS[1])
        b.wires.printers[new.serial] = new
        unit = b.farm.add(printer_config(new.serial, "right"), speaks=False)
        await until_ready(unit, 20)
        await pass_time(30)
        b.farm.introduce(unit)
        await pass_time(5)
        assert wire_events(b, "right") == ["Connected"]


@simulated
async def test_a_printer_that_comes_back_is_told_as_connected_anew(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        await pass_time(5)
        config = replace(b.unit.config, id="new-id")
        await b.farm.follow(config_of(tmp_path, [config]))
        await pass_time(5)
        assert wire_events(b, "new-id") == ["Connected"]


@simulated
async def test_whom_to_trust_may_be_what_was_changed(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusals = [IdentityMismatch("another certificate")]
        await until(lambda: isinstance(b.unit.printer.link_error, IdentityMismatch))
        await b.farm.follow(config_of(tmp_path, [b.unit.config]))
        await until(lambda: b.printer.is_connected, within=1)


@simulated
async def test_a_name_that_two_printers_have_finds_neither(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(2), name="Twin") as b:
        assert b.farm.find("Twin") is None
        assert b.farm.find(SERIALS[0]) is b.unit


@simulated
async def test_a_command_of_the_command_line_tells_its_progress_and_then_its_answer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        message = {"type": "printer_control", "action": "start_print_bbl", "parameters": {"url": URL}}
        b.hold("upload")
        said = []
        async for each in b.farm.carry_out(b.unit.config.id, message):
            said.append(each)
            if each.get("progress", {}).get("stage") == "upload":
                b.release()
        assert [next(iter(each)) for each in said[-2:]] == ["progress", "answer"]
        assert {each["progress"]["stage"] for each in said[:-1]} >= {"upload"}
        assert said[-1]["answer"]["type"] == "success"


# -- the end ---------------------------------------------------------------------------------------


@simulated
async def test_stopping_ends_everything_within_the_grace(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(5), speaks=True) as b:
        first, second, third, fourth, _ = b.printers
        first.storage.gates["put"].close()
        second.faults.add("slow-start=500")
        third.faults.add("deaf")
        fourth.refusal = Unreachable("off")
        fourth.drop()
        given = [b.send(START, {"url": URL}, to=each.serial) for each in (first, second)]
        given += [b.send(HOME, to=third.serial) for _ in range(3)]
        await pass_time(1)
        began = b.clock.monotonic()
        await b.farm.stop(3.0)
        assert b.clock.monotonic() - began < 7
        assert [len(each.answers) for each in given] == [1] * 5
        assert [each.code for each in given[:2]] == ["cancelled", "start_unknown"]
        assert not any(each.is_connected for each in b.printers)
        assert first.storage.files == {}
        assert {each.get_name() for each in asyncio.all_tasks() if "printer" in each.get_name()} == set()


@simulated
async def test_stopping_does_not_wait_for_a_transfer_that_cannot_be_broken_off(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        job = b.start()
        await b.until_stage("upload")
        b.printer.storage.ignores_cancelling = True
        began = b.clock.monotonic()
        stopping = asyncio.create_task(b.farm.stop(3.0))
        await asyncio.wait({stopping}, timeout=10)
        assert job.code == "cancelled"
        assert stopping.done()
        assert b.clock.monotonic() - began < 10
        b.printer.storage.ignores_cancelling = False
        b.release()


@simulated
async def test_the_last_status_of_every_printer_says_offline(tmp_path: Path) -> None:
    async with bench(tmp_path, printers=printers(3), speaks=True) as b:
        await b.farm.stop(1.0)
        last = {each.printer_id: json.loads(each.payload) for each in b.said if each.type is MessageType.STATUS}
        links = [each["data"]["machines"][0]["connection_info"] for each in last.values()]
        assert [(each["is_connected"], each["is_connecting"], each["is_online"]) for each in links] == [
            (False, False, False)
        ] * 3


# -- from the configuration -------------------------------------------------------------------------


def test_a_printer_is_who_the_configuration_says() -> None:
    quirks = Quirks(start_timeout=33.0, md5=False)
    named = identity_of(printer_config("01P00A000000001", "left", model="X1C", name="Left", quirks=quirks))
    assert (named.model, named.model_is_given, named.name, named.printer_id) == (Model.X1C, True, "Left", "left")
    guessed = identity_of(printer_config("01P00A000000001", name=None))
    assert (guessed.model, guessed.model_is_given, guessed.name) == (Model.P1S, False, "01P00A000000001")
    assert identity_of(printer_config("ZZZ")).model is Model.GENERIC


@simulated
async def test_a_printers_quirks_go_before_its_models_row(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["ignore-start"], quirks=Quirks(start_timeout=33.0, md5=False)) as b:
        assert (await b.start().answered()).code == "start_unknown"
        (start,) = b.printer.starts
        assert start.body["md5"] == ""
        assert 33 <= b.clock.monotonic() - start.at < 36


def test_without_printago_the_topics_are_the_default_ones(tmp_path: Path) -> None:
    assert topics_of(config_of(tmp_path, [])).message("left", "status") == "bambu/left/status"
    assert topics_of(config_of(tmp_path, [])).availability_topic() == "bambu/bench/mqtt"


# -- waiting for a printer --------------------------------------------------------------------------


@simulated
async def test_a_printer_that_tells_its_state_is_ready(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        await until_ready(b.unit, 5.0)
        assert b.unit.printer.view is not None


@simulated
async def test_what_needs_a_person_is_not_waited_for(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = AccessDenied("wrong code")
        began = b.clock.monotonic()
        with pytest.raises(AccessDenied):
            await until_ready(b.unit, 20.0)
        assert b.clock.monotonic() - began < 1


@simulated
async def test_a_printer_that_cannot_be_reached_in_time_says_why(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = Unreachable("Nobody answers.")
        with pytest.raises(Unreachable, match="Nobody answers"):
            await until_ready(b.unit, 5.0)


@simulated
async def test_a_printer_that_connects_and_says_nothing_is_not_ready(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, faults=["silent"]) as b:
        with pytest.raises(PrinterOffline, match="did not tell its state"):
            await until_ready(b.unit, 5.0)
