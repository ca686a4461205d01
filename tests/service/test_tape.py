"""What a printer says, as it is recorded; and that a recording asks for nothing that it would do."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from bambu_connector.bambu.report import MAX_REPORT_BYTES
from bambu_connector.errors import TimedOut, Unreachable
from bambu_connector.service import tape as module
from bambu_connector.service.tape import Tape, Track
from bambu_connector.service.unit import until_ready
from bambu_connector.translate.replay import replayed
from tests.service.bench import START, URL, Bench, bench, pass_time
from tests.service.fakes import FakePrinter, is_report
from tests.simulated import simulated

QUESTIONS = {("pushing", "pushall"), ("info", "get_version")}


async def recorded(b: Bench, seconds: float = 10.0) -> Track:
    """Record the first printer of the bench."""
    with Tape(b.unit.printer) as tape:
        await until_ready(b.unit, 20.0)
        percents = [percent async for percent in tape.record(seconds)]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    return tape.track()


def orders(printer: FakePrinter) -> set[tuple[str, str]]:
    return {(each.group, each.command) for each in printer.sent}


@simulated
async def test_a_tape_has_a_full_report_what_follows_it_and_the_versions(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        track = await recorded(b)
        assert not track.is_folded
        assert track.first["print"]["gcode_state"] == "IDLE"
        assert track.deltas
        assert [each.ms for each in track.deltas] == sorted(each.ms for each in track.deltas)
        assert track.deltas[-1].ms <= 11_000
        assert track.version["info"]["command"] == "get_version"
        assert {each["name"] for each in track.modules} >= {"ota", "virtual"}
        assert b.unit.printer.view is not None
        assert replayed([track.first, *(each.message for each in track.deltas)]) == b.unit.printer.view.report
        assert (track.unreadable, track.is_cut) == (0, False)


@simulated
async def test_recording_sends_nothing_but_two_questions(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        before = len(b.printer.sent)
        await recorded(b, 120.0)
        asked = [(each.group, each.command) for each in b.printer.sent[before:]]
        assert asked == [("info", "get_version")]  # a full report had been asked for too recently
        await pass_time(301)
        before = len(b.printer.sent)
        await recorded(b)
        assert {(each.group, each.command) for each in b.printer.sent[before:]} == QUESTIONS


@simulated
async def test_a_full_report_is_asked_for_where_the_model_allows_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(301)
        track = await recorded(b)
        assert not track.is_folded
        assert track.first["print"]["msg"] == 0


@simulated
async def test_what_was_known_before_will_do_where_no_full_report_may_be_asked_for(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        known = b.unit.printer.view
        assert known is not None
        track = await recorded(b)
        assert track.is_folded
        assert track.first == {"print": known.report}
        assert replayed([track.first, *(each.message for each in track.deltas)]) == b.unit.printer.shown.report


@simulated
async def test_what_was_known_before_will_do_where_the_question_is_not_answered(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await pass_time(301)
        b.printer.withholds = lambda message: is_report(message) and message["print"].get("msg") == 0
        track = await recorded(b)
        assert track.is_folded
        assert track.deltas


@simulated
async def test_nothing_is_asked_while_a_start_is_out(tmp_path: Path) -> None:
    async with bench(tmp_path, virtual="P1S", faults=["slow-start=60"]) as b:
        await pass_time(301)
        b.send(START, {"url": URL})
        while not b.printer.commands("project_file"):
            await pass_time(0.1)
        before = len(b.printer.sent)
        with Tape(b.unit.printer) as tape:
            async for _ in tape.record(5.0):
                if tape._now() - tape._began < 4:
                    assert b.printer.sent[before:] == []
        with pytest.raises(TimedOut, match="versions"):
            tape.track()


@simulated
async def test_without_versions_there_is_no_recording(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.printer.withholds = lambda message: "info" in message
        with pytest.raises(TimedOut, match="versions"):
            await recorded(b, 2.0)


@simulated
async def test_a_session_that_is_made_anew_meanwhile_is_recorded_too(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        with Tape(b.unit.printer) as tape:
            async for percent in tape.record(30.0):
                if percent == 50 and b.printer.connections[-1].is_open:
                    b.printer.connections[-1].end(Unreachable("gone"))
        track = tape.track()
        fulls = [each for each in track.deltas if each.message.get("print", {}).get("msg") == 0]
        assert len(fulls) == 1


@simulated
async def test_what_cannot_be_read_is_counted_and_what_is_too_much_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as b:
        monkeypatch.setattr(module, "MAX_BYTES", 3 * MAX_REPORT_BYTES)

        def say(message: Any) -> None:
            b.printer.connections[-1].say(message if isinstance(message, bytes) else orjson.dumps(message))

        with Tape(b.unit.printer) as tape:
            say(b"no JSON")
            say(b"x" * (MAX_REPORT_BYTES + 1))
            async for _ in tape.record(5.0):
                pass
            assert (tape.track().unreadable, tape.track().is_cut) == (2, False)
            for _ in range(3):
                say({"print": {"command": "push_status", "msg": 1, "x": "y" * (MAX_REPORT_BYTES - 100)}})
            percents = [percent async for percent in tape.record(5.0)]
        assert percents == [100]
        assert tape.track().is_cut
        assert sum(len(orjson.dumps(each.message)) for each in tape.track().deltas) < 3 * MAX_REPORT_BYTES


@simulated
async def test_after_the_block_nobody_listens(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await recorded(b, 2.0)
        assert b.unit.printer.taps == set()
