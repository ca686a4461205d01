"""The life of a job as a table: phase × event → phase, what to do, what to tell.

    QUEUED → FETCHING → CHECKING → STORING → JUDGING → OUT → ENDED        start_print_bbl
    QUEUED → FETCHING → CHECKING → STORING → ENDED                        download_gcode
    QUEUED → FETCHING → CHECKING → JUDGING → OUT → ENDED                  start_print

`OUT` means that the start is published and nobody knows yet what became of it; there is one way in (`Judged`), it is
gone through once, and no way leads back: that is why a start can never be published twice. A stop while `OUT` leads to
`STOPPING`, and once our print is seen to `STOPPING_SEEN`.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bambu_connector.errors import (
    Cancelled,
    CommandError,
    ConnectorError,
    PrinterBusy,
    StartFailed,
    StartUnknown,
    TimedOut,
    WrongState,
)


class Kind(enum.Enum):
    """Which command the job carries out."""

    PRINT = "start_print_bbl"
    STORE = "download_gcode"
    START = "start_print"


class Phase(enum.Enum):
    """How far a job is; `stage` is the word that Printago is told."""

    QUEUED = enum.auto()
    FETCHING = enum.auto()
    CHECKING = enum.auto()
    STORING = enum.auto()
    JUDGING = enum.auto()
    OUT = enum.auto()
    STOPPING = enum.auto()
    STOPPING_SEEN = enum.auto()
    ENDED = enum.auto()

    @property
    def stage(self) -> str:
        """The contract's word for it."""
        return _STAGES.get(self, "start")


_STAGES: Final = {
    Phase.QUEUED: "queued",
    Phase.FETCHING: "download",
    Phase.CHECKING: "verify",
    Phase.STORING: "upload",
    Phase.ENDED: "idle",
}


STARTING: Final = frozenset({Phase.OUT, Phase.STOPPING, Phase.STOPPING_SEEN})
"""A start is published and its outcome is not known."""


class Do(enum.Enum):
    """What the job asks for. Whoever carries it out reports back with an event."""

    FETCH = enum.auto()
    CHECK = enum.auto()
    STORE = enum.auto()
    ABORT = enum.auto()
    """Break off the step under way."""
    JUDGE = enum.auto()
    PUBLISH_START = enum.auto()
    PUBLISH_STOP = enum.auto()
    REMOVE_FILE = enum.auto()
    KEEP_WATCH = enum.auto()
    """The outcome is unknown: keep the file, and refuse starts, until the printer explains itself."""
    FOLLOW = enum.auto()
    """Our print runs: follow it to its end, then remove the file."""


@dataclass(frozen=True, slots=True)
class Succeed:
    """Answer the job's command with success."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer the job's command with this error (its stage is set)."""

    error: ConnectorError


@dataclass(frozen=True, slots=True)
class EndStops:
    """Answer every stop that waits for this job: with success when `error` is None."""

    error: CommandError | None = None


Effect = Do | Succeed | Fail | EndStops


@dataclass(frozen=True, slots=True)
class Turn:
    """The job's turn has come."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """The step under way (fetch, check, store) is done."""


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The step under way failed; also an expiry while it waited."""

    error: ConnectorError


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody stops the job."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The guards were asked once more, right before the start; None: they let it through."""

    error: ConnectorError | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The printer refused our start."""

    error: ConnectorError


@dataclass(frozen=True, slots=True)
class SeenActive:
    """Our print prepares or runs."""


@dataclass(frozen=True, slots=True)
class SeenEnded:
    """Our print is over; None: it finished."""

    error: ConnectorError | None = None


@dataclass(frozen=True, slots=True)
class SeenForeign:
    """Another print is active."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time for the start (or for the stop) is over."""


Event = Turn | StepDone | StepFailed | StopAsked | Judged | Refused | SeenActive | SeenEnded | SeenForeign | Deadline


@dataclass(frozen=True, slots=True)
class Job:
    """One job: what it is, how far, and whether our file may lie on the printer (`wrote`)."""

    kind: Kind
    phase: Phase = Phase.QUEUED
    wrote: bool = False

    @property
    def has_ended(self) -> bool:
        """Nothing more comes of it."""
        return self.phase is Phase.ENDED


Step = tuple[Job, tuple[Effect, ...]]


def advance(job: Job, event: Event) -> Step:
    """Return the job after an event, and what follows; an event that says nothing in this phase changes nothing."""
    handler = _TABLE.get((job.phase, type(event)))
    return (job, ()) if handler is None else handler(job, event)


def _to(job: Job, phase: Phase, *effects: Effect) -> Step:
    return replace(job, phase=phase), effects


def _staged(error: ConnectorError, job: Job) -> ConnectorError:
    staged = type(error)(str(error))
    staged.stage = job.phase.stage
    return staged


def _give_up(job: Job, error: ConnectorError, *more: Effect) -> Step:
    removal = (Do.REMOVE_FILE,) if job.wrote else ()
    return _to(job, Phase.ENDED, *removal, Fail(_staged(error, job)), *more)


def _turn(job: Job, _event: Event) -> Step:
    return _to(job, Phase.FETCHING, Do.FETCH)


def _fetched(job: Job, _event: Event) -> Step:
    return _to(job, Phase.CHECKING, Do.CHECK)


def _checked(job: Job, _event: Event) -> Step:
    if job.kind is Kind.START:
        return _to(job, Phase.JUDGING, Do.JUDGE)
    return replace(job, phase=Phase.STORING, wrote=True), (Do.STORE,)


def _stored(job: Job, _event: Event) -> Step:
    if job.kind is Kind.STORE:
        return _to(job, Phase.ENDED, Succeed())
    return _to(job, Phase.JUDGING, Do.JUDGE)


def _step_failed(job: Job, event: Event) -> Step:
    assert isinstance(event, StepFailed)
    return _give_up(job, event.error)


def _cancel_step(job: Job, _event: Event) -> Step:
    ended, effects = _give_up(job, Cancelled("The job was stopped."), EndStops())
    return ended, (Do.ABORT, *effects)


def _judged(job: Job, event: Event) -> Step:
    assert isinstance(event, Judged)
    if event.error is not None:
        return _give_up(job, event.error)
    return _to(job, Phase.OUT, Do.PUBLISH_START)


def _refused(job: Job, event: Event) -> Step:
    assert isinstance(event, Refused)
    return _give_up(job, event.error)


def _refused_while_stopping(job: Job, _event: Event) -> Step:
    return _give_up(job, Cancelled("The job was stopped; the printer did not take its start."), EndStops())


def _seen(job: Job, _event: Event) -> Step:
    return _to(job, Phase.ENDED, Do.FOLLOW, Succeed())


def _seen_ended(job: Job, event: Event) -> Step:
    assert isinstance(event, SeenEnded)
    if event.error is None:
        return _to(job, Phase.ENDED, Do.FOLLOW, Succeed())
    return _give_up(job, StartFailed(f"The print ended right after its start: {event.error}"))


def _foreign(job: Job, _event: Event) -> Step:
    return _give_up(job, PrinterBusy("Another print was started at the printer; ours was not."))


def _unknown(job: Job, *more: Effect) -> Step:
    error = StartUnknown(
        "The start was sent and the printer did not show whether it took it: look at it. It is not sent again.",
        stage=job.phase.stage,
    )
    return _to(job, Phase.ENDED, Do.KEEP_WATCH, Fail(error), *more)


def _start_deadline(job: Job, _event: Event) -> Step:
    return _unknown(job)


def _stop_out(job: Job, _event: Event) -> Step:
    return _to(job, Phase.STOPPING, Do.PUBLISH_STOP)


def _stop_again(job: Job, _event: Event) -> Step:
    return job, (Do.PUBLISH_STOP,)


def _seen_while_stopping(job: Job, _event: Event) -> Step:
    return _to(job, Phase.STOPPING_SEEN, Do.FOLLOW, Do.PUBLISH_STOP)


def _ended_while_stopping(job: Job, event: Event) -> Step:
    ended, effects = _stopped(job, event)
    return ended, (Do.FOLLOW, *effects)  # it ran: its end is to be told


def _stopped(job: Job, _event: Event) -> Step:
    return _give_up(job, Cancelled("The print was stopped as soon as it was seen."), EndStops())


def _foreign_while_stopping(job: Job, _event: Event) -> Step:
    error = WrongState("Our job did not start; another print runs at the printer, and it was not touched.")
    return _give_up(job, PrinterBusy("Another print was started at the printer; ours was not."), EndStops(error))


def _stop_deadline(job: Job, _event: Event) -> Step:
    return _unknown(
        job, EndStops(TimedOut("The stop was sent and the print was not seen to end: look at the printer."))
    )


_Handler = Callable[[Job, Event], Step]
_BEFORE_START: Final = (Phase.QUEUED, Phase.FETCHING, Phase.CHECKING, Phase.STORING, Phase.JUDGING)
_TABLE: Final[Mapping[tuple[Phase, type[Event]], _Handler]] = {
    (Phase.QUEUED, Turn): _turn,
    (Phase.FETCHING, StepDone): _fetched,
    (Phase.CHECKING, StepDone): _checked,
    (Phase.STORING, StepDone): _stored,
    (Phase.JUDGING, Judged): _judged,
    **{(phase, StepFailed): _step_failed for phase in _BEFORE_START},
    **{(phase, StopAsked): _cancel_step for phase in _BEFORE_START},
    (Phase.OUT, Refused): _refused,
    (Phase.OUT, SeenActive): _seen,
    (Phase.OUT, SeenEnded): _seen_ended,
    (Phase.OUT, SeenForeign): _foreign,
    (Phase.OUT, Deadline): _start_deadline,
    (Phase.OUT, StopAsked): _stop_out,
    (Phase.STOPPING, Refused): _refused_while_stopping,
    (Phase.STOPPING, SeenActive): _seen_while_stopping,
    (Phase.STOPPING, SeenEnded): _ended_while_stopping,
    (Phase.STOPPING, SeenForeign): _foreign_while_stopping,
    (Phase.STOPPING, StopAsked): _stop_again,
    (Phase.STOPPING, Deadline): _stop_deadline,
    (Phase.STOPPING_SEEN, SeenEnded): _stopped,
    (Phase.STOPPING_SEEN, SeenForeign): _stopped,
    (Phase.STOPPING_SEEN, StopAsked): _stop_again,
    (Phase.STOPPING_SEEN, Deadline): _stop_deadline,
}


PROGRESS: Final[Mapping[Phase, tuple[int, int]]] = {
    Phase.QUEUED: (0, 0),
    Phase.FETCHING: (0, 40),
    Phase.CHECKING: (40, 45),
    Phase.STORING: (45, 90),
    Phase.JUDGING: (90, 95),
    Phase.OUT: (95, 100),
    Phase.STOPPING: (95, 100),
    Phase.STOPPING_SEEN: (95, 100),
    Phase.ENDED: (0, 0),
}
"""The part of a whole job, in percent, that each phase covers."""


def progress(phase: Phase, fraction: float) -> int:
    """Return the percent of the whole job when `fraction` (0 to 1) of a phase is done."""
    begin, end = PROGRESS[phase]
    return int(begin + (end - begin) * min(max(fraction, 0.0), 1.0))
