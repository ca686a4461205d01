"""The life of a job: its whole table, the rows of "Stopping", and what no sequence of events can ever do."""

from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.errors import (
    AccessDenied,
    Cancelled,
    CommandError,
    ConnectorError,
    DownloadFailed,
    Expired,
    FileInvalid,
    PrinterBusy,
    StartFailed,
    StorageFull,
    UploadFailed,
)
from bambu_connector.printago.commands import Header
from bambu_connector.printago.messages import failure
from bambu_connector.translate.job import (
    PROGRESS,
    STARTING,
    Deadline,
    Do,
    Effect,
    EndStops,
    Event,
    Fail,
    Job,
    Judged,
    Kind,
    Phase,
    Refused,
    SeenActive,
    SeenEnded,
    SeenForeign,
    StepDone,
    StepFailed,
    StopAsked,
    Succeed,
    Turn,
    advance,
    progress,
)

BROKEN: Final = DownloadFailed("The server says 404.")
BUSY: Final = PrinterBusy("Somebody was faster.")
FAILED: Final = StartFailed("The printer failed.")
EVENTS: Final[tuple[Event, ...]] = (
    Turn(), StepDone(), StepFailed(BROKEN), StopAsked(), Judged(), Judged(BUSY), Refused(BUSY), SeenActive(),
    SeenEnded(), SeenEnded(FAILED), SeenForeign(), Deadline(),
)  # fmt: skip
BEFORE_START: Final = (Phase.QUEUED, Phase.FETCHING, Phase.CHECKING, Phase.STORING, Phase.JUDGING)


def told(effects: Sequence[Effect]) -> list[str]:
    """Return what follows as words: `FETCH`, `succeed`, `fail cancelled at upload`, `stops: timeout`."""
    return [_word(effect) for effect in effects]


def _word(effect: Effect) -> str:
    match effect:
        case Do():
            return effect.name
        case Succeed():
            return "succeed"
        case Fail(error):
            return f"fail {error.code} at {failure(Header(), error).data.get('stage')}"
        case EndStops(error):
            return f"stops: {error.code if error else 'done'}"


def run(job: Job, *events: Event) -> tuple[Job, list[str]]:
    """Return the job after all events, and everything that followed."""
    found: list[str] = []
    for event in events:
        job, effects = advance(job, event)
        found += told(effects)
    return job, found


def reach(phase: Phase, kind: Kind = Kind.PRINT) -> Job:
    """Return a job that has come as far as `phase` by the shortest way."""
    way: dict[Phase, tuple[Event, ...]] = {
        Phase.QUEUED: (),
        Phase.FETCHING: (Turn(),),
        Phase.CHECKING: (Turn(), StepDone()),
        Phase.STORING: (Turn(), StepDone(), StepDone()),
        Phase.JUDGING: (Turn(), StepDone(), StepDone(), *([StepDone()] if kind is Kind.PRINT else [])),
    }
    way[Phase.OUT] = (*way[Phase.JUDGING], Judged())
    way[Phase.STOPPING] = (*way[Phase.OUT], StopAsked())
    way[Phase.STOPPING_SEEN] = (*way[Phase.STOPPING], SeenActive())
    way[Phase.ENDED] = (*way[Phase.OUT], SeenActive())
    job, _ = run(Job(kind), *way[phase])
    assert job.phase is phase
    return job


# -- the table -------------------------------------------------------------------------------------

STOPPED: Final = "fail cancelled at start"
# fmt: off
TABLE: Final[dict[tuple[Phase, str], tuple[Phase, list[str]]]] = {
    (Phase.QUEUED, "Turn"): (Phase.FETCHING, ["FETCH"]),
    (Phase.QUEUED, "StepFailed"): (Phase.ENDED, ["fail download_failed at queued"]),
    (Phase.QUEUED, "StopAsked"): (Phase.ENDED, ["ABORT", "fail cancelled at queued", "stops: done"]),
    (Phase.FETCHING, "StepDone"): (Phase.CHECKING, ["CHECK"]),
    (Phase.FETCHING, "StepFailed"): (Phase.ENDED, ["fail download_failed at download"]),
    (Phase.FETCHING, "StopAsked"): (Phase.ENDED, ["ABORT", "fail cancelled at download", "stops: done"]),
    (Phase.CHECKING, "StepDone"): (Phase.STORING, ["STORE"]),
    (Phase.CHECKING, "StepFailed"): (Phase.ENDED, ["fail download_failed at verify"]),
    (Phase.CHECKING, "StopAsked"): (Phase.ENDED, ["ABORT", "fail cancelled at verify", "stops: done"]),
    (Phase.STORING, "StepDone"): (Phase.JUDGING, ["JUDGE"]),
    (Phase.STORING, "StepFailed"): (Phase.ENDED, ["REMOVE_FILE", "fail download_failed at upload"]),
    (Phase.STORING, "StopAsked"): (Phase.ENDED, ["ABORT", "REMOVE_FILE", "fail cancelled at upload", "stops: done"]),
    (Phase.JUDGING, "Judged"): (Phase.OUT, ["PUBLISH_START"]),
    (Phase.JUDGING, "Judged no"): (Phase.ENDED, ["REMOVE_FILE", "fail printer_busy at start"]),
    (Phase.JUDGING, "StepFailed"): (Phase.ENDED, ["REMOVE_FILE", "fail download_failed at start"]),
    (Phase.JUDGING, "StopAsked"): (Phase.ENDED, ["ABORT", "REMOVE_FILE", STOPPED, "stops: done"]),
    (Phase.OUT, "Refused"): (Phase.ENDED, ["REMOVE_FILE", "fail printer_busy at start"]),
    (Phase.OUT, "SeenActive"): (Phase.ENDED, ["FOLLOW", "succeed"]),
    (Phase.OUT, "SeenEnded"): (Phase.ENDED, ["FOLLOW", "succeed"]),
    (Phase.OUT, "SeenEnded no"): (Phase.ENDED, ["REMOVE_FILE", "fail start_failed at start"]),
    (Phase.OUT, "SeenForeign"): (Phase.ENDED, ["REMOVE_FILE", "fail printer_busy at start"]),
    (Phase.OUT, "Deadline"): (Phase.ENDED, ["KEEP_WATCH", "fail start_unknown at start"]),
    (Phase.OUT, "StopAsked"): (Phase.STOPPING, ["PUBLISH_STOP"]),
    (Phase.STOPPING, "Refused"): (Phase.ENDED, ["REMOVE_FILE", STOPPED, "stops: done"]),
    (Phase.STOPPING, "SeenActive"): (Phase.STOPPING_SEEN, ["FOLLOW", "PUBLISH_STOP"]),
    (Phase.STOPPING, "SeenEnded"): (Phase.ENDED, ["FOLLOW", "REMOVE_FILE", STOPPED, "stops: done"]),
    (Phase.STOPPING, "SeenEnded no"): (Phase.ENDED, ["FOLLOW", "REMOVE_FILE", STOPPED, "stops: done"]),
    (Phase.STOPPING, "SeenForeign"): (Phase.ENDED, ["REMOVE_FILE", "fail printer_busy at start",
                                                    "stops: wrong_state"]),
    (Phase.STOPPING, "StopAsked"): (Phase.STOPPING, ["PUBLISH_STOP"]),
    (Phase.STOPPING, "Deadline"): (Phase.ENDED, ["KEEP_WATCH", "fail start_unknown at start", "stops: timeout"]),
    (Phase.STOPPING_SEEN, "SeenEnded"): (Phase.ENDED, ["REMOVE_FILE", STOPPED, "stops: done"]),
    (Phase.STOPPING_SEEN, "SeenEnded no"): (Phase.ENDED, ["REMOVE_FILE", STOPPED, "stops: done"]),
    (Phase.STOPPING_SEEN, "SeenForeign"): (Phase.ENDED, ["REMOVE_FILE", STOPPED, "stops: done"]),
    (Phase.STOPPING_SEEN, "StopAsked"): (Phase.STOPPING_SEEN, ["PUBLISH_STOP"]),
    (Phase.STOPPING_SEEN, "Deadline"): (Phase.ENDED, ["KEEP_WATCH", "fail start_unknown at start",
                                                      "stops: timeout"]),
}
# fmt: on


def name_of(event: Event) -> str:
    negative = isinstance(event, Judged | SeenEnded) and event.error is not None
    return type(event).__name__ + (" no" if negative else "")


@pytest.mark.parametrize("event", EVENTS, ids=name_of)
@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
def test_every_event_in_every_phase_leads_where_the_table_says(phase: Phase, event: Event) -> None:
    job = reach(phase)
    after, effects = advance(job, event)
    where, what = TABLE.get((phase, name_of(event)), (phase, []))
    assert (after.phase, told(effects)) == (where, what)
    if (phase, name_of(event)) not in TABLE:
        assert after is job


def test_the_table_speaks_only_of_events_that_there_are() -> None:
    assert {event for _, event in TABLE} == {name_of(event) for event in EVENTS}


# -- the three kinds -------------------------------------------------------------------------------


def test_a_print_is_fetched_checked_stored_judged_started_and_followed() -> None:
    job, what = run(Job(Kind.PRINT), Turn(), StepDone(), StepDone(), StepDone(), Judged(), SeenActive())
    assert what == ["FETCH", "CHECK", "STORE", "JUDGE", "PUBLISH_START", "FOLLOW", "succeed"]
    assert job.has_ended


def test_a_download_is_stored_and_never_started() -> None:
    job, what = run(Job(Kind.STORE), Turn(), StepDone(), StepDone(), StepDone(), Judged(), SeenActive(), Deadline())
    assert what == ["FETCH", "CHECK", "STORE", "succeed"]
    assert job.has_ended


def test_a_file_that_is_there_is_started_and_never_stored() -> None:
    job, what = run(Job(Kind.START), Turn(), StepDone(), StepDone(), Judged(), SeenActive())
    assert what == ["FETCH", "CHECK", "JUDGE", "PUBLISH_START", "FOLLOW", "succeed"]
    assert job.has_ended


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.CHECKING, Phase.JUDGING, Phase.OUT, Phase.STOPPING])
@pytest.mark.parametrize("event", EVENTS, ids=name_of)
def test_a_file_that_was_there_before_is_never_removed(phase: Phase, event: Event) -> None:
    _, effects = advance(reach(phase, Kind.START), event)
    assert Do.REMOVE_FILE not in effects


@pytest.mark.parametrize("error", [UploadFailed("It broke."), StorageFull("It is full.")])
def test_half_an_upload_is_removed(error: CommandError) -> None:
    for kind in (Kind.PRINT, Kind.STORE):
        _, what = run(reach(Phase.STORING, kind), StepFailed(error))
        assert what == ["REMOVE_FILE", f"fail {error.code} at upload"]


def test_a_file_that_is_no_good_is_not_stored() -> None:
    _, what = run(reach(Phase.CHECKING), StepFailed(FileInvalid("It is no ZIP.")))
    assert what == ["fail file_invalid at verify"]


def test_a_job_that_waited_too_long_is_not_begun() -> None:
    job, what = run(Job(Kind.PRINT), StepFailed(Expired("Too late.")), Turn())
    assert what == ["fail expired at queued"]
    assert job.has_ended


def test_an_error_keeps_its_words_and_gets_its_stage() -> None:
    _, effects = advance(reach(Phase.FETCHING), StepFailed(BROKEN))
    (failed,) = effects
    assert isinstance(failed, Fail)
    assert failure(Header(action="start_print_bbl"), failed.error).data == {
        "success": False,
        "error": "The server says 404.",
        "error_detail": "The server says 404.",
        "code": "download_failed",
        "local_command": "start_print_bbl",
        "stage": "download",
    }
    assert BROKEN.stage is None, "the error that was reported is somebody else's"


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.STORING])
def test_an_error_of_a_wire_tells_its_stage_too(phase: Phase) -> None:
    _, what = run(reach(phase), StepFailed(AccessDenied("The access code was refused.")))
    assert what[-1] == f"fail access_denied at {phase.stage}"


# -- stopping, row by row --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_stopping_a_job_that_waits_cancels_it(kind: Kind) -> None:
    job, what = run(Job(kind), StopAsked())
    assert what == ["ABORT", "fail cancelled at queued", "stops: done"]
    assert job.has_ended


@pytest.mark.parametrize("kind", Kind)
def test_stopping_a_download_aborts_it(kind: Kind) -> None:
    assert run(reach(Phase.FETCHING, kind), StopAsked())[1] == ["ABORT", "fail cancelled at download", "stops: done"]


@pytest.mark.parametrize("kind", Kind)
def test_stopping_a_verification_aborts_it(kind: Kind) -> None:
    assert run(reach(Phase.CHECKING, kind), StopAsked())[1] == ["ABORT", "fail cancelled at verify", "stops: done"]


@pytest.mark.parametrize("kind", [Kind.PRINT, Kind.STORE])
def test_stopping_an_upload_aborts_it_and_removes_what_was_written(kind: Kind) -> None:
    what = run(reach(Phase.STORING, kind), StopAsked())[1]
    assert what == ["ABORT", "REMOVE_FILE", "fail cancelled at upload", "stops: done"]


def test_stopping_before_the_start_is_published_drops_it() -> None:
    job, what = run(reach(Phase.JUDGING), StopAsked(), Judged(), StepDone())
    assert what == ["ABORT", "REMOVE_FILE", "fail cancelled at start", "stops: done"]
    assert job.has_ended


def test_stopping_a_start_that_is_out_stops_now_and_again_when_the_print_is_seen() -> None:
    job, what = run(reach(Phase.OUT), StopAsked(), SeenActive(), SeenEnded(FAILED))
    assert what == ["PUBLISH_STOP", "FOLLOW", "PUBLISH_STOP", "REMOVE_FILE", "fail cancelled at start", "stops: done"]
    assert job.has_ended


def test_stopping_a_start_that_is_out_and_never_seen_ends_unknown() -> None:
    job, what = run(reach(Phase.OUT), StopAsked(), Deadline())
    assert what == ["PUBLISH_STOP", "KEEP_WATCH", "fail start_unknown at start", "stops: timeout"]
    assert job.has_ended


def test_stopping_a_start_whose_print_goes_on_ends_unknown() -> None:
    what = run(reach(Phase.OUT), StopAsked(), SeenActive(), SeenActive(), Deadline())[1]
    assert what == [
        *("PUBLISH_STOP", "FOLLOW", "PUBLISH_STOP"),
        *("KEEP_WATCH", "fail start_unknown at start", "stops: timeout"),
    ]


def test_stopping_a_start_that_ends_unseen_is_done() -> None:
    what = run(reach(Phase.OUT), StopAsked(), SeenEnded())[1]
    assert what == ["PUBLISH_STOP", "FOLLOW", "REMOVE_FILE", "fail cancelled at start", "stops: done"]


def test_stopping_a_start_that_the_printer_refused_is_done() -> None:
    what = run(reach(Phase.OUT), StopAsked(), Refused(FAILED))[1]
    assert what == ["PUBLISH_STOP", "REMOVE_FILE", "fail cancelled at start", "stops: done"]


def test_stopping_a_start_never_stops_somebody_elses_print() -> None:
    what = run(reach(Phase.OUT), StopAsked(), SeenForeign())[1]
    assert what == ["PUBLISH_STOP", "REMOVE_FILE", "fail printer_busy at start", "stops: wrong_state"]


def test_a_second_stop_is_sent_again_and_waits_too() -> None:
    job, what = run(reach(Phase.OUT), StopAsked(), StopAsked())
    assert what == ["PUBLISH_STOP", "PUBLISH_STOP"]
    assert job.phase is Phase.STOPPING


def test_a_job_that_has_ended_has_nothing_to_stop() -> None:
    assert run(reach(Phase.ENDED), StopAsked())[1] == []


# -- what is told of a job -------------------------------------------------------------------------


def test_the_stages_are_the_contracts_words() -> None:
    words = {phase.stage for phase in Phase}
    assert words == {"idle", "queued", "download", "verify", "upload", "start"}
    assert {phase.stage for phase in STARTING} == {"start"}
    assert Phase.ENDED.stage == "idle"


@given(st.sampled_from(Phase), st.floats(-1, 2))
def test_progress_is_a_percentage(phase: Phase, fraction: float) -> None:
    assert 0 <= progress(phase, fraction) <= 100


@given(st.sampled_from(Kind), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_progress_never_goes_back_while_a_job_goes_on(kind: Kind, fractions: list[float]) -> None:
    shown: list[int] = []
    job = Job(kind)
    for event in (Turn(), StepDone(), StepDone(), StepDone(), Judged(), Deadline()):
        after, _ = advance(job, event)
        if after is not job:
            shown += [progress(job.phase, fraction) for fraction in sorted(fractions)]
        job = after
    assert shown == sorted(shown)


def test_progress_covers_the_whole_job() -> None:
    assert PROGRESS.keys() == set(Phase)
    assert progress(Phase.QUEUED, 0.0) == 0
    assert progress(Phase.OUT, 1.0) == 100


# -- what no sequence of events can do -------------------------------------------------------------

ERRORS: Final[tuple[ConnectorError, ...]] = (BROKEN, BUSY, FAILED, Cancelled("Stopped."), AccessDenied("Refused."))
ANY_EVENT: Final = st.one_of(
    st.sampled_from(EVENTS),
    st.sampled_from(ERRORS).map(StepFailed),
    st.none().map(Judged),
    st.none().map(lambda _: StepDone()),
)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Kind, list[Event]]:
    """A job and what happens to it: a good way in, so that late phases are reached, then anything."""
    kind = draw(st.sampled_from(Kind))
    good: list[Event] = [Turn(), StepDone(), StepDone(), StepDone(), Judged()]
    if kind is Kind.START:
        good.remove(StepDone())
    return kind, good[: draw(st.integers(0, len(good)))] + draw(st.lists(ANY_EVENT, max_size=12))


@settings(max_examples=400)
@given(lives())
def test_no_sequence_of_events_breaks_what_a_job_promises(life: tuple[Kind, list[Event]]) -> None:
    kind, events = life
    job = Job(kind)
    starts = answers = 0
    for event in events:
        before = job
        job, effects = advance(job, event)
        starts += effects.count(Do.PUBLISH_START)
        answers += sum(isinstance(effect, Succeed | Fail) for effect in effects)
        if before.has_ended:
            assert (job, effects) == (before, ()), "a job that has ended does something"
        if Do.PUBLISH_START in effects:
            assert event == Judged(None), "a start that the guards did not let through"
            assert kind is not Kind.STORE
        if Do.PUBLISH_STOP in effects:
            assert starts, "a stop without a start"
        if Do.REMOVE_FILE in effects:
            assert before.wrote, "a file that is not ours is removed"
        assert job.wrote >= before.wrote
        assert job.kind is kind
        assert (answers == 1) is job.has_ended, "an answer without an end, or an end without an answer"
        assert starts <= 1, "started twice"
        assert (job.phase in STARTING) is (starts == 1 and not job.has_ended)
        assert all(_promises_a_stage(effect) for effect in effects)


def _promises_a_stage(effect: Any) -> bool:
    return not (isinstance(effect, Fail) and isinstance(effect.error, CommandError) and not effect.error.stage)


@given(lives(), lives())
def test_whoever_stops_a_job_is_always_answered_at_its_end(life: tuple[Kind, list[Event]], more: Any) -> None:
    kind, events = life
    job, waiting = Job(kind), 0
    for event in [*events, *more[1]]:
        waiting += isinstance(event, StopAsked) and not job.has_ended
        job, effects = advance(job, event)
        if any(isinstance(effect, EndStops) for effect in effects):
            waiting = 0
        assert not (job.has_ended and waiting), "a stop waits for a job that has ended"
