"""Developer Mode as the service learns it: what it refuses at once, and what makes it change its mind."""

import json
import logging
from pathlib import Path
from typing import Any, Final

import pytest

from bambu_connector.bambu.obedience import SETTLING_S
from bambu_connector.bambu.report import Outcome, Reply
from bambu_connector.bambu.request import GetVersion, LedControl, Pause, Request
from bambu_connector.service.obedience import ObedienceWatch
from bambu_connector.service.requests import Ticket
from tests.bambu.test_obedience import COMPLAINT, OFF, ON, REFUSED, reply, view
from tests.service.bench import DOWNLOAD, HOME, PAUSE, START, URL, Bench, bench, pass_time
from tests.service.fakes import FakeClock, is_reply
from tests.service.test_restart import World
from tests.simulated import simulated, until

Fields = dict[str, Any]
LIGHT: Final[tuple[str, Fields]] = ("light_control/set_light", {"light": "chamber_light", "state": "off"})
FAN: Final[tuple[str, Fields]] = ("fan_control/set_fan", {"fan": "part", "speed": 50})


def told_mode(b: Bench) -> bool | None:
    """Return what the last status said."""
    found: bool | None = b.statuses()[-1]["machines"][0]["connection_info"]["developer_mode"]
    return found


def refuse_for_somebody_else(b: Bench) -> None:
    """Have the printer refuse the command of another client."""
    body = REFUSED.fields | {"command": "gcode_line", "sequence_id": "20001"}
    b.printer.say(json.dumps({"print": body}).encode())


async def reconnect(b: Bench) -> None:
    b.printer.drop()
    await until(lambda: not b.unit.printer.is_connected)
    await b.until_ready()


# -- the watch -------------------------------------------------------------------------------------


class Watched:
    """A watch, and what it said."""

    def __init__(self) -> None:
        self.said: list[tuple[bool | None, bool]] = []
        self.watch = ObedienceWatch(FakeClock(), lambda mode, is_news: self.said.append((mode, is_news)))
        self.watch.session_opened()


def ticket(request: Request) -> Ticket:
    return Ticket(request, "1", 0.0, 0)


@simulated
async def test_a_change_is_said_once_and_is_news_when_a_person_must_act_or_need_not_any_more() -> None:
    watched = Watched()
    first, on, off = view(), view(fun=ON), view(fun=OFF)
    watched.watch.reported(None, first)
    for before, after in ((first, on), (on, off), (off, off), (off, on)):
        watched.watch.reported(before, after)
    assert watched.said == [(True, False), (False, True), (True, True)]


@simulated
async def test_what_was_unknown_meanwhile_is_no_news() -> None:
    watched = Watched()
    watched.watch.replied(REFUSED, None)
    watched.watch.session_opened()
    watched.watch.replied(REFUSED, None)
    assert watched.said == [(False, True), (None, False), (False, False)]


@pytest.mark.parametrize(
    ("request_", "mode"), [(Pause(), True), (LedControl("chamber_light", "on"), None), (GetVersion(), None)]
)
@simulated
async def test_only_a_print_command_that_was_confirmed_proves_that_it_obeys(
    request_: Request, mode: bool | None
) -> None:
    watched = Watched()
    said = reply(result="success")
    assert said.outcome is Outcome.SUCCESS
    watched.watch.replied(said, ticket(request_))
    assert watched.watch.developer_mode is mode


@pytest.mark.parametrize("said", [reply(result="fail", reason="no"), reply()], ids=["failed", "empty echo"])
@simulated
async def test_a_reply_that_does_not_confirm_proves_nothing(said: Reply) -> None:
    watched = Watched()
    watched.watch.replied(said, ticket(Pause()))
    assert watched.watch.developer_mode is None


@simulated
async def test_that_a_command_of_somebody_else_was_obeyed_proves_nothing_for_it_may_be_signed() -> None:
    watched = Watched()
    watched.watch.replied(reply(result="success"), None)
    assert watched.watch.developer_mode is None


@simulated
async def test_another_firmware_makes_it_unknown() -> None:
    watched = Watched()
    watched.watch.saw_effect(Pause())
    watched.watch.firmware_changed()
    assert watched.said == [(True, False), (None, False)]


# -- refused at once -------------------------------------------------------------------------------


@simulated
async def test_a_start_is_refused_before_anything_is_downloaded_or_uploaded(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.change(fun=OFF)
        await pass_time(1)
        answer = await b.start().answered()
        assert answer.code == "developer_mode_required"
        assert "Settings > WLAN > LAN Only Mode" in answer.data["error"]
        assert b.wires.downloader.fetched == []
        assert b.printer.storage.calls == []
        assert b.printer.acts == []


@simulated
async def test_a_start_that_outlived_a_restart_is_refused_without_a_download(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.wires.downloader.gate.close()
    await world.begin()
    world.start()
    await world.kill_when(lambda: world.wires.downloader.fetched)
    world.printer.change(fun=OFF)
    world.wires.downloader.gate.open()
    await world.begin()
    await until(lambda: world.answers("c1"), within=60)
    assert world.ending() == "developer_mode_required"
    assert len(world.wires.downloader.fetched) == 1
    assert [each for each in world.printer.storage.calls if each[0] == "put"] == []
    await world.end()


@simulated
async def test_a_download_goes_on_when_it_becomes_known_meanwhile(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("download")
        fetched = b.send(DOWNLOAD, {"url": URL})
        await until(lambda: b.wires.downloader.fetched)
        b.printer.change(fun=OFF)
        await pass_time(1)
        b.release()
        assert (await fetched.answered()).code == "success"


@simulated
async def test_a_start_is_refused_before_the_upload_when_it_becomes_known_during_the_download(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.hold("download")
        started = b.start()
        await until(lambda: b.wires.downloader.fetched)
        refuse_for_somebody_else(b)
        b.release()
        assert (await started.answered()).ending == ("developer_mode_required", "upload")
        assert [each for each in b.printer.storage.calls if each[0] == "put"] == []
        assert b.printer.starts == []


@simulated
async def test_without_developer_mode_it_is_read_and_lit_and_takes_files(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.change(fun=OFF)
        await pass_time(1)
        allowed: list[tuple[str, Fields]] = [
            LIGHT,
            ("printer_control/get_status", {}),
            ("printer_control/list_files", {}),
            (DOWNLOAD, {"url": URL}),
        ]
        for command, parameters in allowed:
            assert (await b.ask(command, parameters)).kind in ("success", "status", "response"), command
        (name,) = b.files
        assert (await b.ask("printer_control/delete_file", {"file_name": name})).code == "success"
        refused: list[tuple[str, Fields]] = [(HOME, {}), FAN, (START, {"url": URL})]
        for command, parameters in refused:
            assert (await b.ask(command, parameters)).code == "developer_mode_required", command


# -- fun flips -------------------------------------------------------------------------------------


@simulated
async def test_whoever_switches_developer_mode_need_not_restart_us(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        assert told_mode(b) is None
        for fun, mode, code in ((OFF, False, "developer_mode_required"), (ON, True, "success")) * 2:
            b.printer.change(fun=fun)
            await pass_time(0.5)
            assert told_mode(b) is mode
            assert b.statuses()[-1]["machines"][0]["state"]["can_print"] is mode
            assert (await b.ask(HOME)).code == code


@simulated
async def test_off_is_logged_once_with_what_to_do_and_on_again_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        with caplog.at_level(logging.INFO):
            for fun in (OFF, ON, ON):
                b.printer.change(fun=fun)
                await reconnect(b)
        said = [each for each in caplog.messages if "Developer Mode" in each]
        assert len(said) == 2
        assert "Settings > WLAN > LAN Only Mode" in said[0]
        assert "can be controlled again" in said[1]


# -- a refusal -------------------------------------------------------------------------------------


@simulated
async def test_a_refused_command_is_remembered_and_the_next_is_not_sent(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["signing-demanded"], speaks=True) as b:
        assert b.unit.printer.developer_mode is None
        assert (await b.ask(HOME)).code == "developer_mode_required"
        await pass_time(0.1)
        assert told_mode(b) is False
        await pass_time(100)
        assert (await b.ask(HOME)).code == "developer_mode_required"
        assert (await b.start().answered()).ending == ("developer_mode_required", None)
        assert len(b.printer.acts) == 1
        assert b.wires.downloader.fetched == []


@simulated
async def test_after_a_refusal_a_new_session_lets_the_next_command_find_out(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["signing-demanded"], speaks=True) as b:
        assert (await b.ask(HOME)).code == "developer_mode_required"
        b.printer.faults.discard("signing-demanded")  # a person switches it on, and the printer drops its clients
        await reconnect(b)
        await pass_time(0.1)
        assert told_mode(b) is None
        assert (await b.ask(HOME)).code == "success"
        await pass_time(0.1)
        assert told_mode(b) is True


@simulated
async def test_an_effect_that_is_seen_proves_it_without_a_reply(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = is_reply
        assert (await b.ask(*LIGHT)).code == "success"
        assert b.unit.printer.developer_mode is None
        assert (await b.ask(*FAN)).code == "success"
        assert b.unit.printer.developer_mode is True


@simulated
async def test_a_print_that_begins_proves_it_without_a_reply(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = is_reply
        await b.until_printing()
        assert b.unit.printer.developer_mode is True


@simulated
async def test_what_shows_already_proves_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.faults.add("deaf")
        b.printer.change(bed_target_temper=0)
        await pass_time(1)
        cold = b.send("temperature_control/set_bed", {"temperature": 0})
        await pass_time(3)
        b.printer.change(wifi_signal="-41dBm")
        assert (await cold.answered()).code == "success"
        assert b.unit.printer.developer_mode is None


@simulated
async def test_an_empty_echo_without_effect_is_no_proof_but_names_developer_mode(tmp_path: Path) -> None:
    async with bench(tmp_path, faults=["empty-echo"]) as b:
        b.unit.printer.firmware = "01.09.00.00"
        answer = await b.ask(*FAN)
        assert answer.code == "timeout"
        assert "Developer Mode" in answer.data["error"]
        assert "Settings > WLAN > LAN Only Mode" in answer.data["error"]
        assert (await b.ask(HOME)).data["acknowledged"] is False
        assert b.unit.printer.developer_mode is None


# -- a complaint -----------------------------------------------------------------------------------


@simulated
async def test_a_complaint_shown_at_connecting_counts_after_some_seconds_by_itself(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.change(hms=COMPLAINT)
        await reconnect(b)
        await pass_time(SETTLING_S - 1.5)
        assert told_mode(b) is None
        await pass_time(3)
        assert told_mode(b) is False
        assert (await b.ask(PAUSE)).code == "developer_mode_required"
        b.printer.change(hms=[])
        await pass_time(1)
        assert told_mode(b) is None


@simulated
async def test_nothing_is_ever_sent_to_find_out(tmp_path: Path) -> None:
    async with bench(tmp_path, speaks=True) as b:
        b.printer.change(hms=COMPLAINT)
        for fun in (OFF, ON, None):
            b.printer.change(fun=fun)
            await reconnect(b)
            await pass_time(30)
        assert b.printer.acts == []
