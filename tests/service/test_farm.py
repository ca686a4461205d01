"""All printers under one roof: none costs another anything, and all end in order."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.models import Model
from bambu_connector.config.tree import Quirks
from bambu_connector.errors import AccessDenied, PrinterOffline, Unreachable
from bambu_connector.printago.messages import MessageType
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


@pytest.mark.parametrize(("missing", "reason"), [({"host": None}, "`host`"), ({"access_code": None}, "`access_code`")])
@simulated
async def test_a_printer_that_cannot_be_used_is_introduced_as_failed_with_the_reason(
    tmp_path: Path, missing: dict[str, Any], reason: str
) -> None:
    async with bench(tmp_path, speaks=True, ready=False, **missing) as b:
        (pairing,) = [json.loads(each.payload)["data"] for each in b.said if each.type is MessageType.PAIRING]
        assert pairing["outcome"] == "failed"
        assert reason in pairing["reason"]
        assert pairing["dev_id"] == b.printer.serial
        assert not b.printer.attempts


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
