"""One printer kept connected: attempts, waits, and sessions that are dead although they look alive."""

import logging
from itertools import pairwise
from pathlib import Path

import pytest

from bambu_connector.bambu.session import Rebuild
from bambu_connector.errors import (
    AccessDenied,
    IdentityMismatch,
    LinkError,
    Mute,
    NotAPrinter,
    TooManyClients,
    Unreachable,
)
from bambu_connector.service.backoff import LONGEST_S, REFUSED_S
from tests.service.bench import DOWNLOAD, HOME, URL, bench, pass_time
from tests.service.fakes import FakePrinter, FakePrinterConnection, is_report
from tests.simulated import simulated, until


def gaps(printer: FakePrinter) -> list[float]:
    return [after - before for before, after in pairwise(printer.attempts)]


@pytest.mark.parametrize("error", [Unreachable("off"), TooManyClients("full"), NotAPrinter("a toaster")])
@simulated
async def test_a_printer_that_cannot_be_reached_is_tried_more_and_more_seldom_and_for_ever(
    tmp_path: Path, error: LinkError
) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = error
        await pass_time(400)
        waits = gaps(b.printer)
        assert waits[0] < 1.5
        assert all(0.7 * LONGEST_S < each < 1.3 * LONGEST_S for each in waits[6:])
        b.printer.refusal = None
        await b.until_ready()


@simulated
async def test_two_printers_do_not_come_back_in_step(tmp_path: Path) -> None:
    printers = [FakePrinter(serial=f"01P00A00000000{number}") for number in (1, 2)]
    async with bench(tmp_path, printers=printers, ready=False):
        for each in printers:
            each.refusal = Unreachable("off")
        await pass_time(60)
        assert gaps(printers[0]) != gaps(printers[1])


@pytest.mark.parametrize("error", [AccessDenied("wrong code"), IdentityMismatch("another certificate")])
@simulated
async def test_a_refusal_that_needs_a_person_is_not_hammered(tmp_path: Path, error: LinkError) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = error
        await pass_time(2 * REFUSED_S + 10)
        assert len(b.printer.attempts) == 3
        assert all(each >= REFUSED_S for each in gaps(b.printer))


@simulated
async def test_whoever_knows_better_may_end_the_wait(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusals = [AccessDenied("wrong code")]
        await pass_time(5)
        b.unit.keeper.try_now()
        await until(lambda: b.printer.is_connected, within=1)


@simulated
async def test_after_a_good_session_the_first_attempt_comes_soon(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = Unreachable("off")
        await pass_time(100)
        b.printer.refusal = None
        await b.until_ready()
        await pass_time(100)
        b.printer.drop()
        await until(lambda: b.printer.is_connected, within=3)


@simulated
async def test_sessions_that_break_at_once_are_not_good_ones(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for _ in range(6):
            b.printer.drop()
            await until(lambda: b.printer.is_connected)
        assert gaps(b.printer)[-1] > 10


@simulated
async def test_every_attempt_is_a_session_of_its_own_and_the_old_one_is_closed(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.drop()
        await b.until_ready()
        await until(lambda: len(b.printer.connections) == 2)
        assert [each.is_open for each in b.printer.connections] == [False, True]


@simulated
async def test_a_bug_in_reading_one_message_costs_neither_the_session_nor_the_next_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        with monkeypatch.context() as patched:
            patched.setattr(b.unit.jobs, "observe", lambda: 1 / 0)
            for percent in range(3):
                b.printer.change(gcode_state="FINISH", mc_percent=percent)
        await pass_time(1)
        assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1
        b.printer.change(gcode_state="IDLE")
        assert b.unit.printer.shown.state == "IDLE"
        assert (await b.ask(HOME)).code == "success"
        assert len(b.printer.connections) == 1


@simulated
async def test_a_bug_of_another_kind_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KeyError("another")

    async with bench(tmp_path) as b:
        for percent, bug in enumerate((lambda: 1 / 0, fail), 1):
            with monkeypatch.context() as patched:
                patched.setattr(b.unit.jobs, "observe", bug)
                b.printer.change(mc_percent=percent)
        assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 2


@simulated
async def test_nothing_is_published_behind_the_goodbye_of_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = FakePrinterConnection.close

    async def slowly(connection: FakePrinterConnection) -> None:
        await pass_time(0.9)
        await close(connection)

    async with bench(tmp_path) as b:
        with monkeypatch.context() as patched:
            patched.setattr(FakePrinterConnection, "close", slowly)
            assert b.unit.printer.rebuild is not None
            b.unit.printer.rebuild.set_result(Rebuild("it is deaf"))
            await pass_time(0.1)
            assert b.printer.is_connected  # the goodbye is on its way
            assert not b.unit.printer.is_connected
            assert (await b.ask(HOME)).code == "printer_offline"
            assert not b.printer.acts
            await until(lambda: len(b.printer.connections) == 2)
        await b.until_ready()
        assert (await b.ask(HOME)).code == "success"


@simulated
async def test_the_same_trouble_is_a_warning_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusal = Unreachable("Nobody answers at 192.0.2.1")
        await pass_time(300)
        assert len([each for each in caplog.records if "Nobody answers" in each.message]) == 1


# -- sessions that look alive -----------------------------------------------------------------------


@simulated
async def test_a_printer_that_never_says_a_word_is_mute_and_tried_again(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False, faults=["silent"]) as b:
        await until(lambda: isinstance(b.unit.printer.link_error, Mute), within=30)
        assert "serial" in str(b.unit.printer.link_error)
        await until(lambda: len(b.printer.connections) == 2, within=5)


@simulated
async def test_a_session_that_falls_silent_is_woken_and_then_given_up(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = lambda _message: True
        before = len(b.printer.sent)
        silent = b.clock.monotonic()
        await until(lambda: len(b.printer.connections) == 2, within=120)
        lasted = b.clock.monotonic() - silent
        assert 60 < lasted < 80
        woken = [each.command for each in b.printer.sent[before:] if each.at - silent < lasted - 2]
        assert woken == ["start"]


@simulated
async def test_a_session_that_wakes_up_is_kept(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.machine.pushing = False  # an old P1S stops reporting by itself
        await until(lambda: b.printer.commands("start"), within=60)
        await pass_time(300)
        assert len(b.printer.connections) == 1


@simulated
async def test_a_session_that_does_not_hear_us_is_given_up_although_reports_come(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(60)
        b.printer.faults.add("deaf")
        await until(lambda: b.unit.printer.link_error is not None, within=400)
        assert "does not hear us" in str(b.unit.printer.link_error)
        await until(lambda: len(b.printer.connections) == 2, within=5)


@simulated
async def test_a_command_without_effect_makes_a_deaf_session_known_within_a_minute(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        assert (await b.ask(HOME)).code == "timeout"
        await until(lambda: len(b.printer.connections) == 2, within=60)


@simulated
async def test_a_printer_that_takes_a_file_may_be_silent(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("upload")
        b.send(DOWNLOAD, {"url": URL})
        await b.until_stage("upload")
        b.printer.withholds = lambda _message: True
        await pass_time(300)
        assert len(b.printer.connections) == 1
        assert not b.printer.commands("start")


@simulated
async def test_a_full_report_that_does_not_come_is_asked_for_again(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.withholds = lambda message: is_report(message) and message["print"].get("msg") == 0
        await until(lambda: len(b.printer.commands("pushall")) == 2, within=60)
        b.printer.withholds = lambda _message: False
        await until(lambda: b.unit.printer.view is not None)


@simulated
async def test_an_idle_session_asks_for_everything_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(1000)
        assert len(b.printer.commands("pushall")) == 1
        assert not b.printer.acts
