"""The prints that commands began: what the journal holds of them, until their end is told."""

from pathlib import Path
from typing import Any, Final

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.bambu.view import GcodeState, JobIdentity, View
from bambu_connector.service import records
from bambu_connector.service.clock import Moment
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.prints import END_WAIT_S, Prints
from bambu_connector.service.records import PrintRecord
from bambu_connector.service.shelf import Shelf
from bambu_connector.service.starts import OutStart
from bambu_connector.translate.events import IDLE_WAIT_S, Event
from bambu_connector.translate.recognise import StartMark
from tests.service.fakes import FakeClock, FakeStorage, fake_journal
from tests.simulated import simulated

SERIAL: Final = "01P00A000000001"
FILE: Final = "bracket-1.gcode.3mf"
DONE: Final = Event("PrintDone", {"job": {"file": FILE}}, terminal=True)


class Desk:
    """Prints with everything around them."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.journal = fake_journal(folder, self.clock)
        ledger = Ledger(self.journal, SERIAL, self.clock)
        shelf = Shelf(FakeStorage, ledger, keep=10, in_use=lambda _name: False, is_reachable=lambda: True)
        self.prints = Prints(ledger, shelf)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def record(self, **more: Any) -> PrintRecord:
        before = JobIdentity(None, None, None, None, None)
        mark = StartMark(job_number=4711, name="bracket", file=FILE, before=before, before_state=GcodeState.IDLE)
        usual = {"mark": mark, "file": FILE, "job_id": "job-7", "command_id": "c1", "is_certain": True}
        return PrintRecord(**{**usual, "published": Moment.now(self.clock), **more})

    @property
    def on_disk(self) -> dict[str, Any] | None:
        return self.journal.get(records.PRINT, SERIAL)

    @property
    def doomed(self) -> list[str]:
        return [body["name"] for _, body in self.journal.all(records.FILE) if body["doomed"]]


def view(state: str, subtask: str = "4711") -> View:
    return View({"gcode_state": state, "subtask_id": subtask, "subtask_name": "bracket"}, TRAITS[Model.P1S])


@simulated
async def test_a_print_is_on_disk_until_its_end_is_told_and_its_file_goes_when_it_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prints.follow(desk.record())
    assert desk.prints.settle(view("RUNNING"), desk.now) == (False, None)
    assert desk.on_disk is not None
    assert desk.prints.settle(view("FAILED"), desk.now) == (True, None)
    assert desk.doomed == [FILE]
    assert desk.on_disk["file"] is None  # its end is still to be told: "failed", or "cancelled"
    assert desk.prints.describe(DONE)["job"] == {"file": FILE, "job_id": "job-7", "command_id": "c1"}
    assert desk.on_disk is None


@simulated
async def test_an_end_that_is_told_before_it_is_settled_leaves_nothing_either(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prints.follow(desk.record())
    assert desk.prints.describe(DONE)["job"]["command_id"] == "c1"
    assert desk.on_disk is not None
    assert desk.prints.settle(view("FINISH"), desk.now) == (True, None)
    assert desk.on_disk is None


@simulated
async def test_an_end_that_no_event_tells_is_forgotten_after_a_while(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prints.follow(desk.record())
    assert desk.prints.settle(view("FINISH"), desk.now) == (True, None)
    desk.prints.explain(view("IDLE"), desk.now + END_WAIT_S - 1)
    assert desk.on_disk is not None
    desk.prints.explain(view("IDLE"), desk.now + END_WAIT_S)
    assert desk.on_disk is None


@simulated
async def test_a_print_that_the_first_report_shows_ended_is_told_late_and_another_one_is_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prints.restore(desk.record(), 180)
    ended = desk.prints.late_end(view("FINISH"))
    assert ended is not None
    assert (ended.name, ended.details["late"], ended.terminal) == ("PrintDone", True, True)
    assert desk.prints.late_end(view("FINISH", "815")) is None
    assert desk.prints.late_end(view("RUNNING")) is None


@simulated
async def test_a_printer_that_lost_its_power_too_shows_no_more_than_idle_and_the_end_is_told_all_the_same(
    tmp_path: Path,
) -> None:
    for stop_asked, name in ((False, "PrintFailed"), (True, "PrintCancelled")):
        desk = Desk(tmp_path)
        desk.prints.restore(desk.record(stop_asked=stop_asked), 180)
        empty = View({"gcode_state": "IDLE", "subtask_id": "0", "subtask_name": ""}, TRAITS[Model.P1S])
        assert desk.prints.late_end(empty) is None
        assert desk.prints.settle(empty, desk.now) == (False, None)
        ended, late = desk.prints.settle(empty, desk.now + IDLE_WAIT_S)
        assert ended
        assert late is not None
        assert (late.name, late.details["late"], late.details["job"]["task_name"]) == (name, True, "bracket")
        assert desk.prints.describe(late)["job"]["command_id"] == "c1"
        assert desk.on_disk is None


@simulated
async def test_a_start_of_unknown_outcome_that_is_seen_ended_first_gets_its_end_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prints.keep_watch(OutStart(desk.record(), None, desk.now, settled=True))
    assert not desk.prints.explain(view("FINISH"), desk.now)
    ended, late = desk.prints.settle(view("FINISH"), desk.now)
    assert ended
    assert late is not None
    assert (late.name, late.details["late"]) == ("PrintDone", True)
    assert desk.prints.describe(late)["job"]["command_id"] == "c1"
    assert desk.doomed == [FILE]
    assert desk.on_disk is None


@simulated
async def test_the_end_of_another_print_is_not_taken_for_that_of_ours(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prints.restore(desk.record(), 180)
    other = View({"gcode_state": "RUNNING", "subtask_id": "815", "subtask_name": "vase"}, TRAITS[Model.P1S])
    assert desk.prints.settle(other, desk.now) == (True, None)
    assert desk.doomed == [FILE]
    assert desk.on_disk is None
    assert desk.prints.describe(DONE) == DONE.details


@simulated
async def test_a_start_of_unknown_outcome_survives_a_restart_with_the_stop_that_was_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.prints.keep_watch(OutStart(desk.record(), None, desk.now))
    desk.prints.note_stop()
    body = desk.on_disk
    assert body is not None
    assert (body["is_certain"], body["stop_asked"]) == (False, True)
    later = Desk(tmp_path)
    later.prints.restore(PrintRecord.decode(body), 180)
    assert later.prints.is_unexplained
    assert later.prints.files == {FILE}
    assert later.prints.explain(view("RUNNING"), later.now)
    assert later.prints.job_id == "job-7"
    assert later.on_disk is not None
    assert later.on_disk["is_certain"]
