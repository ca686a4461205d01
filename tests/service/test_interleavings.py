"""Whatever happens in whatever order: one answer for every command, and no start that should not be.

The second half lets the service die in between. `INTERLEAVINGS=3000` tries so many other scripts than the suite does.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bambu_connector.errors import Unreachable, UploadFailed
from bambu_connector.virtual.job import ACTIVE
from tests.service.bench import (
    DOWNLOAD,
    GET_STATUS,
    HOME,
    PAUSE,
    RESUME,
    START,
    STOP,
    URL,
    Bench,
    Pending,
    bench,
    pass_time,
)
from tests.service.fakes import FakePrinter
from tests.service.interleavings import CHOICES, WAITS, Step, play
from tests.simulated import run, until

START_STORED: Final = "printer_control/start_print"
COMMANDS: Final[dict[str, dict[str, Any]]] = {
    START: {"url": URL},
    DOWNLOAD: {"url": URL},
    START_STORED: {"file_name": "bracket.gcode.3mf"},
    STOP: {},
    PAUSE: {},
    RESUME: {},
    HOME: {},
    GET_STATUS: {},
    "temperature_control/set_bed": {"temperature": 50},
    "printer_control/delete_file": {"file_name": "bracket.gcode.3mf"},
}
# Each lasts until the next one. `silent` is not among them: what is started at the screen of a printer that says
# nothing cannot be known for the ten seconds that a report may be old.
FAULTS: Final = ("", "no-ids", "slow-start=30", "slow-start=200", "ignore-start", "refuse-start", "deaf", "no-ack")


class WatchedPrinter(FakePrinter):
    """Notes what state it was in when a start was published."""

    def __init__(self) -> None:
        super().__init__()
        self.states_at_starts: list[str] = []

    def take(self, payload: bytes, qos: int) -> None:
        starts = len(self.starts)
        super().take(payload, qos)
        if len(self.starts) > starts:
            self.states_at_starts.append(self.state)


def _switch_off(b: Bench) -> None:
    b.printer.refusal = Unreachable("It is switched off.")
    b.printer.drop()


def _switch_on(b: Bench) -> None:
    b.printer.refusal = None


def _finish(b: Bench) -> None:
    if b.printer.machine.busy:
        b.printer.change(gcode_state="FINISH")


def _fail_storage(b: Bench) -> None:
    b.printer.storage.failures = dict.fromkeys(("put", "remove"), UploadFailed("It broke."))


def _mend_storage(b: Bench) -> None:
    b.printer.storage.failures = {}


HAPPENINGS: Final[dict[str, Callable[[Bench], None]]] = {
    "somebody starts a print at the screen": lambda b: b.printer.start_at_screen(),
    "the print finishes": _finish,
    "the session breaks": lambda b: b.printer.drop(),
    "the printer is switched off": _switch_off,
    "the printer is switched on": _switch_on,
    "downloads stall": lambda b: b.hold("download"),
    "uploads stall": lambda b: b.hold("upload"),
    "what stalled goes on": lambda b: b.release(),
    "the storage fails": _fail_storage,
    "the storage works": _mend_storage,
}


def _set_fault(b: Bench, fault: str) -> None:
    b.printer.faults.clear()
    if fault:
        b.printer.faults.add(fault)


steps = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(sorted(COMMANDS)), st.sampled_from(sorted(HAPPENINGS)), st.sampled_from(FAULTS)),
        st.sampled_from([0.0, 0.03, 0.3, 5.0, 40.0, 190.0]),
    ),
    min_size=2,
    max_size=14,
)


async def _play(b: Bench, script: list[tuple[str, float]]) -> list[Pending]:
    given_: list[Pending] = []
    for what, wait in script:
        if what in COMMANDS:
            given_.append(b.send(what, COMMANDS[what]))
        elif what in HAPPENINGS:
            HAPPENINGS[what](b)
        else:
            _set_fault(b, what)
        await pass_time(wait)
    return given_


async def _calm_down(b: Bench) -> None:
    """Let everything work again, and every deadline pass."""
    b.release()
    _mend_storage(b)
    _switch_on(b)
    _set_fault(b, "")
    await pass_time(250)  # a slow start may still be adopted
    _finish(b)
    await pass_time(400)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_every_command_has_one_answer_and_no_start_is_sent_twice_or_into_a_print(
    script: list[tuple[str, float]],
) -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            printer = WatchedPrinter()
            async with bench(Path(folder), printers=[printer]) as b:
                commands = await _play(b, script)
                await _calm_down(b)
                await until(lambda: b.unit.printer.view is not None)
                _check_answers(commands)
                _check_starts(printer, commands)
                _check_leftovers(b, commands)

    run(scenario())


def _check_answers(commands: list[Pending]) -> None:
    assert [len(each.answers) for each in commands] == [1] * len(commands), [each.command for each in commands]
    assert "internal" not in {each.code for each in commands}


def _check_starts(printer: WatchedPrinter, commands: list[Pending]) -> None:
    names = [each.body["subtask_name"] for each in printer.starts]
    assert len(set(names)) == len(names), "a start was sent twice"
    assert not ACTIVE.intersection(printer.states_at_starts), "a start was sent into a print"
    asked = [each for each in commands if each.command in (START, START_STORED)]
    assert len(names) <= len(asked)
    told = [each.data["task_name"] for each in asked if each.code == "success"]
    assert set(told) <= set(names)
    if STOP not in {each.command for each in commands}:
        assert not printer.stops, "a stop was sent that nobody asked for"


def _check_leftovers(b: Bench, commands: list[Pending]) -> None:
    assert b.stage == "idle"
    assert not b.unit.jobs.start_is_unexplained
    stored = {each.data["file_name"] for each in commands if each.command == DOWNLOAD and each.code == "success"}
    assert set(b.files) <= stored
    assert list((b.farm.config.connector.state_dir / "downloads").iterdir()) == []
    assert b.printer.storage.most_at_once <= 1


# -- with kills and restarts -----------------------------------------------------------------------

_WANTED: Final = os.environ.get("INTERLEAVINGS")
scripts = st.lists(st.tuples(st.sampled_from(CHOICES), st.sampled_from(WAITS)), min_size=2, max_size=24)


@pytest.mark.timeout(120 if _WANTED is None else 0)
@settings(
    max_examples=int(_WANTED or 70),
    derandomize=_WANTED is None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(scripts)
def test_whatever_fails_and_whenever_the_service_dies_it_keeps_its_promises(script: list[Step]) -> None:
    assert play(script) == []


@pytest.mark.parametrize("where", ["before a commit", "after a commit", "at a request"])
@pytest.mark.parametrize(
    "script",
    [
        [("start", 30.0), ("the last one again", 60.0)],
        [("the printer has the fault slow-start=30", 0.0), ("start, without an id", 2.0), ("stop", 60.0)],
        [("download", 2.0), ("start what was downloaded", 60.0)],
    ],
    ids=["start", "stop", "download"],
)
def test_it_may_die_at_every_commit_and_at_every_request(script: list[Step], where: str) -> None:
    for count in (0, 1, 2, 3, 4, 6, 8, 11, 14) if "commit" in where else (0, 1):
        assert play([(f"it dies {where} ({count})", 0.0), *script]) == [], count


@pytest.mark.parametrize("wait", [0.0, 0.03, 0.3, 2.0, 5.0, 40.0])
@pytest.mark.parametrize("end", ["the service ends in order", "the service dies", "the printer has another name"])
def test_a_printer_may_be_taken_out_and_put_back_at_every_moment_of_a_start(wait: float, end: str) -> None:
    script = [
        ("the printer has the fault slow-start=30", 0.0),
        ("start", wait),
        ("the printer is taken out of the configuration", 5.0),
        (end, 5.0),
        ("the printer is put into the configuration", 60.0),
    ]
    assert play(script) == []
