"""Pairing on a real farm with fake wires: what is kept when it worked, and that nothing is when it did not."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.config import PrinterTls
from bambu_connector.errors import (
    AccessDenied,
    ConfigError,
    ConnectorError,
    IdentityMismatch,
    Mute,
    NotAPrinter,
    PrinterBusy,
    TooManyClients,
    UnknownPrinter,
    Unreachable,
    UsageError,
)
from bambu_connector.printago.messages import MessageType
from bambu_connector.registry import Paired
from bambu_connector.secret import Secret
from bambu_connector.service import pairing
from tests.service.bench import HOME, Bench, bench, pass_time
from tests.service.fakes import FINGERPRINT, FakePrinter
from tests.simulated import simulated, until

Tree = dict[str, Any]
SERIAL = "01P00A000000042"
CODE = "87654321"
OTHER_CODE = "a1b2c3d4"
MUST = ["identity", "login", "subscription", "reports"]


def wish(**more: Any) -> Tree:
    """Return a request to pair the printer that the farm does not have yet."""
    usual = {"do": "pair", "serial": SERIAL, "host": "192.0.2.9", "access_code": CODE, "fingerprint": FINGERPRINT}
    return usual | more


def newcomer(b: Bench, **options: Any) -> FakePrinter:
    """Put a printer into the network that the farm does not have."""
    printer = FakePrinter(serial=SERIAL, **options)
    b.wires.printers[SERIAL] = printer
    return printer


async def pair(b: Bench, request: Tree) -> tuple[Tree, list[Tree]]:
    """Ask, and return the last answer and the findings."""
    return await ended(pairing.answers(b.farm, request))


async def ended(answers: AsyncGenerator[Tree, None], into: list[Tree] | None = None) -> tuple[Tree, list[Tree]]:
    findings = [] if into is None else into
    async with aclosing(answers):
        async for each in answers:
            if "progress" not in each:
                return each, findings
            findings.append(each["progress"]["finding"])
    raise AssertionError("no answer came")


async def failure(b: Bench, request: Tree, kind: type[ConnectorError]) -> tuple[str, list[Tree]]:
    """Ask for what fails; return the error's sentence and the findings."""
    findings: list[Tree] = []
    with pytest.raises(kind) as error:
        await ended(pairing.answers(b.farm, request), findings)
    assert type(error.value) is kind
    return str(error.value), findings


def pairings(b: Bench) -> list[Tree]:
    """Return the data of every `pairing` message, and check that nothing of a trial was told but that."""
    return [json.loads(each.payload)["data"] for each in b.said if each.type is MessageType.PAIRING]


def about(b: Bench, printer_id: str) -> set[str]:
    """Return which kinds of messages were told of a printer."""
    return {each.type.value for each in b.said if each.printer_id == printer_id}


# -- what worked -------------------------------------------------------------------------------------


@simulated
async def test_a_printer_that_proves_itself_is_kept_on_the_session_that_proved_it(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        new = newcomer(b)
        answer, findings = await pair(b, wish(name="Left", id="left"))
        assert [each["step"] for each in findings][:4] == MUST
        assert {each["step"] for each in findings[4:]} == {"version", "files", "storage", "camera", "developer_mode"}
        assert {each["outcome"] for each in findings[:6]} == {"ok"}
        assert answer["paired"].items() >= {"serial": SERIAL, "id": "left", "name": "Left", "is_new": True}.items()
        stored = b.wires.registry.paired[SERIAL]
        assert stored == Paired(
            serial=SERIAL, fingerprint=FINGERPRINT, host="192.0.2.9", access_code=Secret(CODE), is_paired=True,
            id="left", name="Left", developer_mode=stored.developer_mode,
            firmware=b.farm.units["left"].printer.firmware,
        )  # fmt: skip
        await pass_time(100)
        assert len(new.connections) == 1
        assert (await b.ask(HOME, to="left")).code == "success"


@simulated
async def test_printago_is_told_once_and_of_nothing_before_it_worked(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        newcomer(b)
        before = len(pairings(b))
        async for each in pairing.answers(b.farm, wish()):
            if "progress" in each:
                assert about(b, SERIAL) == set()
        (told,) = pairings(b)[before:]
        assert (told["outcome"], told["dev_id"], told["reason"]) == ("paired", SERIAL, None)
        await pass_time(5)
        assert "status" in about(b, SERIAL)


@simulated
async def test_printago_being_away_does_not_undo_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:  # nobody has spoken to Printago yet
        newcomer(b)
        await pair(b, wish())
        assert SERIAL in b.wires.registry.paired
        assert pairings(b) == []
        b.farm.speak()
        assert sorted(each["dev_id"] for each in pairings(b)) == sorted([b.printer.serial, SERIAL])


@simulated
async def test_what_is_kept_is_what_a_restart_would_read(tmp_path: Path) -> None:
    """The pin is the registry's: another configuration by itself would make the session anew."""
    async with bench(tmp_path) as b:
        newcomer(b)
        await pair(b, wish())
        assert b.farm.units[SERIAL].config.tls == PrinterTls()
        asked = next(config for _, config in b.wires.asked if config.serial == SERIAL)
        assert asked.tls == PrinterTls(fingerprint=FINGERPRINT)


@simulated
async def test_a_session_that_is_there_already_is_the_proof(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        request = wish(serial=b.printer.serial, host="192.0.2.1", access_code="12345678")
        b.wires.registry.store(Paired(serial=b.printer.serial, fingerprint=FINGERPRINT))
        answer, findings = await pair(b, request)
        assert [each["step"] for each in findings][:4] == MUST
        assert not answer["paired"]["is_new"]
        assert len(b.printer.connections) == 1
        assert b.wires.registry.paired[b.printer.serial].is_paired
        assert [each["outcome"] for each in pairings(b)] == ["paired", "paired"]


@simulated
async def test_the_first_contact_is_told_from_what_is_trusted_already(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        newcomer(b)
        _, first = await pair(b, wish())
        _, second = await pair(b, wish())
        assert "is trusted from now on" in first[0]["told"]
        assert "is the one that is trusted" in second[0]["told"]


@pytest.mark.parametrize(("is_same", "kept"), [(True, True), (False, None)])
@simulated
async def test_what_was_known_of_developer_mode_stays_as_long_as_the_firmware_does(
    tmp_path: Path, is_same: bool, kept: bool | None
) -> None:
    async with bench(tmp_path) as b:
        newcomer(b)
        await pair(b, wish())
        assert b.farm.by_serial[SERIAL].printer.developer_mode is None
        stored = b.wires.registry.paired[SERIAL]
        firmware = stored.firmware if is_same else "01.00.00.00"
        b.wires.registry.store(replace(stored, developer_mode=True, firmware=firmware))
        answer, _ = await pair(b, wish())
        assert b.wires.registry.paired[SERIAL].developer_mode is kept
        assert answer["paired"]["developer_mode"] is kept


@simulated
async def test_a_name_alone_makes_no_new_session(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.wires.registry.store(Paired(serial=b.printer.serial, fingerprint=FINGERPRINT))
        request = wish(serial=b.printer.serial, host="192.0.2.1", access_code="12345678", name="Renamed")
        answer, _ = await pair(b, request)
        assert (answer["paired"]["name"], b.unit.name) == ("Renamed", "Renamed")
        assert len(b.printer.connections) == 1


@simulated
async def test_another_code_is_proved_by_a_session_of_its_own_and_updates_the_entry(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        answer, _ = await pair(b, wish(serial=b.printer.serial, host="192.0.2.1", access_code=OTHER_CODE))
        assert not answer["paired"]["is_new"]
        assert len(b.printer.connections) == 2
        assert [each.is_open for each in b.printer.connections] == [False, True]
        assert b.wires.asked[-1][1].access_code == Secret(OTHER_CODE)
        assert [each["outcome"] for each in pairings(b)] == ["paired", "paired"]
        assert b.wires.registry.paired[b.printer.serial].access_code == Secret(OTHER_CODE)


@simulated
async def test_a_printer_that_waited_for_its_code_is_told_as_paired_once(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True, ready=False, access_code=None) as b:
        await pass_time(5)
        await pair(b, wish(serial=b.printer.serial, host="192.0.2.1"))
        assert [each["outcome"] for each in pairings(b)] == ["failed", "paired"]
        await pass_time(5)
        assert b.statuses()[-1]["machines"][0]["connection_info"]["is_online"]


@pytest.mark.parametrize("speaks", [True, False])
@simulated
async def test_another_id_is_another_printer_for_printago(tmp_path: Path, speaks: bool) -> None:
    async with bench(tmp_path, speaks=speaks) as b:
        request = wish(serial=b.printer.serial, host="192.0.2.1", access_code="12345678", id="new-id")
        answer, _ = await pair(b, request)
        assert answer["paired"]["id"] == "new-id"
        assert list(b.farm.units) == ["new-id"]
        assert b.wires.registry.paired[b.printer.serial].id == "new-id"
        assert [each["outcome"] for each in pairings(b)] == (["paired", "paired"] if speaks else [])
        await b.until_ready()


@simulated
async def test_trouble_with_files_is_a_warning_and_no_failure(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        new = newcomer(b)
        new.storage.failures["list_folder"] = Unreachable("192.0.2.9:990 refuses the connection")
        answer, findings = await pair(b, wish())
        files = next(each for each in findings if each["step"] == "files")
        assert files["outcome"] == "warning"
        assert files["advice"]
        assert "paired" in answer


# -- what did not work ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "step", "words"),
    [
        (Unreachable("192.0.2.9:8883 does not answer within 10 s"), "tcp", "switched on"),
        (NotAPrinter("192.0.2.9:8883 answers, but not with TLS"), "identity", "Is the address right"),
        (IdentityMismatch("the certificate is not the one that was trusted"), "identity", "not the one"),
        (AccessDenied("refuses the access code"), "login", "Settings > WLAN"),
        (TooManyClients("192.0.2.9:8883 has no room for another client"), "login", "Close some"),
        (Mute("192.0.2.9 takes the access code but not the subscription"), "reports", "Compare the serial"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
@simulated
async def test_each_failure_has_a_sentence_of_its_own_and_leaves_nothing(
    tmp_path: Path, refusal: ConnectorError, step: str, words: str
) -> None:
    async with bench(tmp_path, speaks=True) as b:
        new = newcomer(b)
        new.refusal = refusal
        before = len(pairings(b))
        sentence, findings = await failure(b, wish(), type(refusal))
        assert words in sentence
        assert CODE not in sentence
        assert (findings[-1]["step"], findings[-1]["outcome"]) == (step, "failed")
        assert findings[-1]["exit_code"] == refusal.exit_code
        assert SERIAL not in b.farm.units
        assert b.wires.registry.paired == {}
        (told,) = pairings(b)[before:]
        assert (told["outcome"], told["dev_id"], told["reason"]) == ("failed", SERIAL, sentence)
        assert about(b, SERIAL) == {"pairing"}
        tried = len(new.attempts)
        await pass_time(100)
        assert len(new.attempts) == tried


@simulated
async def test_a_printer_that_takes_the_code_and_says_nothing_is_mute(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        new = newcomer(b)
        new.withholds = lambda _message: True
        sentence, findings = await failure(b, wish(), Mute)
        assert [each["step"] for each in findings] == MUST
        assert "serial" in sentence
        assert not new.is_connected


@simulated
async def test_a_stranger_at_the_file_service_fails_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        new = newcomer(b)
        new.storage.failures["list_folder"] = IdentityMismatch("the certificate is not the one that was trusted")
        _, findings = await failure(b, wish(), IdentityMismatch)
        assert (findings[-1]["step"], findings[-1]["outcome"]) == ("files", "failed")
        assert b.wires.registry.paired == {}
        assert not new.is_connected


@simulated
async def test_a_wrong_code_for_a_printer_that_works_brings_back_what_was(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        known = Paired(serial=b.printer.serial, fingerprint=FINGERPRINT, host="192.0.2.1")
        b.wires.registry.store(known)
        config = b.unit.config
        b.printer.refusals = [AccessDenied("refuses the access code")]
        request = wish(serial=b.printer.serial, host="192.0.2.1", access_code=OTHER_CODE, name="Renamed")
        await failure(b, request, AccessDenied)
        assert b.unit.config == config
        await b.until_ready()
        assert b.wires.asked[-1][1].access_code == Secret("12345678")
        assert b.wires.registry.paired == {known.serial: known}
        assert [each["outcome"] for each in pairings(b)] == ["paired", "failed"]


@simulated
async def test_the_session_with_a_certificate_that_was_not_kept_after_all_is_ended(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        known = Paired(serial=b.printer.serial, fingerprint=f"sha256:{'cd' * 32}", host="192.0.2.1")
        b.wires.registry.store(known)
        b.wires.registry.failure = ConfigError("the disk is full")
        request = wish(serial=b.printer.serial, host="192.0.2.1", access_code="12345678", replaces=known.fingerprint)
        await failure(b, request, ConfigError)
        await until(lambda: [each.is_open for each in b.printer.connections] == [False, False, True], within=30)
        assert b.wires.asked[-1][1].tls == PrinterTls()


@simulated
async def test_a_changed_certificate_that_nobody_was_asked_about_is_not_tried(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        new = newcomer(b)
        b.wires.registry.store(Paired(serial=SERIAL, fingerprint=f"sha256:{'cd' * 32}"))
        await failure(b, wish(), IdentityMismatch)
        assert new.attempts == []


@simulated
async def test_what_an_attempt_with_the_old_code_shows_is_not_held_against_the_new_one(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.gate.close()
        await until(lambda: b.printer.attempts)
        b.printer.refusals = [AccessDenied("refuses the old access code")]
        asking = asyncio.create_task(pair(b, wish(serial=b.printer.serial, host="192.0.2.1", access_code=OTHER_CODE)))
        await pass_time(1)
        b.printer.gate.open()
        answer, _ = await asking
        assert "paired" in answer
        assert len(b.printer.connections) == 1


@simulated
async def test_a_session_that_an_attempt_with_the_old_code_opens_is_no_proof_of_the_new_one(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.gate.close()
        await until(lambda: b.printer.attempts)
        request = wish(serial=b.printer.serial, host="192.0.2.1", access_code=OTHER_CODE)
        asking = asyncio.create_task(failure(b, request, AccessDenied))
        await pass_time(1)
        b.printer.refusals = [None, AccessDenied("refuses the new access code")]  # type: ignore[list-item]  # the first one is let in
        b.printer.gate.open()
        await asking
        assert len(b.printer.connections) == 1
        assert b.wires.registry.paired == {}


@simulated
async def test_what_cannot_be_stored_is_not_paired(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        newcomer(b)
        b.wires.registry.failure = ConfigError("printers.yaml: the file cannot be written: No space left on device")
        await failure(b, wish(), ConfigError)
        assert SERIAL not in b.farm.units
        assert pairings(b)[-1]["outcome"] == "failed"


@simulated
async def test_who_goes_away_in_the_middle_has_paired_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        new = newcomer(b)
        async with aclosing(pairing.answers(b.farm, wish())) as answers:
            await anext(answers)
        assert SERIAL not in b.farm.units
        assert not new.is_connected
        assert pairings(b)[-1]["outcome"] == "failed"
        asking = asyncio.create_task(pair(b, wish()))
        await until(lambda: SERIAL in b.farm.units)
        asking.cancel()
        await asyncio.wait({asking})
        assert SERIAL not in b.farm.units
        assert b.wires.registry.paired == {}


@simulated
async def test_an_id_of_another_printer_is_refused_before_anything_is_tried(tmp_path: Path) -> None:
    async with bench(tmp_path, identifier="left") as b:
        new = newcomer(b)
        b.wires.registry.store(Paired(serial="00M00A000000001", is_paired=True, id="elsewhere"))
        for taken in (b.unit.config.id, b.printer.serial, "elsewhere", "00M00A000000001"):
            await failure(b, wish(id=taken), UsageError)
        assert new.attempts == []
        assert b.said == []


@simulated
async def test_a_job_that_is_under_way_is_not_disturbed_by_a_new_code(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        started = b.start()
        await b.until_stage("upload")
        request = wish(serial=b.printer.serial, host="192.0.2.1", access_code=OTHER_CODE)
        sentence, _ = await failure(b, request, PrinterBusy)
        assert "job" in sentence
        assert len(b.printer.connections) == 1
        b.wires.registry.store(Paired(serial=b.printer.serial, fingerprint=FINGERPRINT))
        same = wish(serial=b.printer.serial, host="192.0.2.1", access_code="12345678")
        _, findings = await pair(b, same)  # the session that is there disturbs nobody
        assert next(each["outcome"] for each in findings if each["step"] == "files") == "skipped"
        b.release()
        assert (await started.answered()).kind == "success"


@simulated
async def test_two_people_do_not_pair_one_printer_at_the_same_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        new = newcomer(b)
        new.gate.close()
        first = asyncio.create_task(pair(b, wish()))
        await until(lambda: new.attempts)
        await failure(b, wish(access_code=OTHER_CODE), PrinterBusy)
        new.gate.open()
        answer, _ = await first
        assert "paired" in answer
        assert b.wires.registry.paired[SERIAL].access_code == Secret(CODE)


@simulated
async def test_two_printers_that_are_paired_at_the_same_time_do_not_get_one_id(tmp_path: Path) -> None:
    serials = ["01P00A000000001", "01P00A000000002"]
    async with bench(tmp_path, printers=[FakePrinter(serial=each) for each in serials]) as b:
        for each in b.printers:
            each.gate.close()
        asked = [asyncio.create_task(pair(b, wish(serial=each, id="best"))) for each in serials]
        await until(lambda: all(len(each.attempts) == 2 for each in b.printers))
        for each in b.printers:
            each.gate.open()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(each).__name__ for each in ends) == ["UsageError", "tuple"]
        assert sorted(each.id or "" for each in b.wires.registry.paired.values()) == ["best"]
        assert sorted(each.config.serial for each in b.farm.units.values()) == serials


@simulated
async def test_printago_that_comes_in_the_middle_is_told_when_it_is_over(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, access_code=None) as b:
        await pass_time(1)
        async for each in pairing.answers(b.farm, wish(serial=b.printer.serial, host="192.0.2.1")):
            if each.get("progress", {}).get("finding", {}).get("step") == "login":
                b.farm.speak()
                assert pairings(b) == []
        assert [each["outcome"] for each in pairings(b)] == ["paired"]


# -- unpairing -----------------------------------------------------------------------------------------


@simulated
async def test_a_printer_that_is_unpaired_is_gone(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        new = newcomer(b)
        await pair(b, wish(name="Left"))
        answer, _ = await ended(pairing.answers(b.farm, {"do": "unpair", "printer": "Left", "written": None}))
        assert answer["unpaired"].items() >= {"serial": SERIAL, "was_known": True, "stays": False}.items()
        assert SERIAL not in b.farm.units
        assert b.wires.registry.paired == {}
        assert not new.is_connected
        assert (pairings(b)[-1]["outcome"], pairings(b)[-1]["dev_id"]) == ("unpaired", SERIAL)


@pytest.mark.parametrize(("written", "works"), [(["host"], False), (["host", "access_code", "name"], True)])
@simulated
async def test_one_that_connector_yaml_names_stays_with_what_stands_there(
    tmp_path: Path, written: list[str], works: bool
) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.wires.registry.store(Paired(serial=b.printer.serial, fingerprint=FINGERPRINT, is_paired=True))
        request = {"do": "unpair", "printer": b.printer.serial, "written": written}
        answer, _ = await ended(pairing.answers(b.farm, request))
        assert (answer["unpaired"]["stays"], answer["unpaired"]["still_works"]) == (True, works)
        assert b.wires.registry.paired == {}
        await pass_time(5)
        assert b.unit.printer.is_connected is works
        assert [each["outcome"] for each in pairings(b)] == (["paired"] if works else ["paired", "unpaired"])


@simulated
async def test_a_printer_is_not_unpaired_in_the_middle_of_a_start_and_may_be_while_it_prints(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        started = b.start()
        await b.until_stage("upload")
        request = {"do": "unpair", "printer": b.printer.serial, "written": None}
        await failure(b, dict(request), PrinterBusy)
        b.release()
        assert (await started.answered()).kind == "success"
        answer, _ = await ended(pairing.answers(b.farm, request))
        assert answer["unpaired"]["prints"]
        assert b.printer.stops == []
        assert b.farm.units == {}


@simulated
async def test_who_is_not_here_cannot_be_unpaired(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await failure(b, {"do": "unpair", "printer": "nobody"}, UnknownPrinter)
