"""Whose print is it? The contract's evidence that a start of ours was taken, and not somebody else's."""

import enum
from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.health import CANCELLED
from bambu_connector.bambu.view import INACTIVE, GcodeState, JobIdentity, View

SETTLE_S: Final = 10.0
"""How long an active print may still show the last print's names: state, file and ids come in several deltas."""


class Sighting(enum.Enum):
    """What a report shows of a start."""

    NOTHING = enum.auto()
    OURS_ACTIVE = enum.auto()
    OURS_ENDED = enum.auto()
    FOREIGN = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class StartMark:
    """A start that was published, and what the printer showed before. `job_number` None: the start carries no id."""

    job_number: int | None
    name: str
    file: str
    before: JobIdentity
    before_state: GcodeState | None
    before_error: int | None = None


def sight(mark: StartMark, view: View, *, active_for: float, settled: bool = False) -> Sighting:
    """Compare a report with a start; `active_for` is for how many seconds a print has been active by now.

    `settled`: the start was published so long ago that a state which lingered from before it is gone.
    """
    identity = view.identity
    ours = _is_ours(mark, identity, settled=active_for >= SETTLE_S)
    if view.is_active:
        if ours:
            return Sighting.OURS_ACTIVE
        # As long as nothing has changed to another print, it may be ours whose names are still to come.
        return Sighting.FOREIGN if _names_another(mark, identity) else Sighting.NOTHING
    if ours and view.is_inactive and view.state is not GcodeState.IDLE:
        # An old FINISH lingers after a start on some models, already under the new name.
        cancelled = view.print_error in CANCELLED and view.print_error != mark.before_error
        ended = settled or cancelled or view.state is not mark.before_state
        return Sighting.OURS_ENDED if ended else Sighting.NOTHING
    return Sighting.NOTHING


def is_print_of(mark: StartMark, view: View) -> bool:
    """Say whether what the printer shows, active or ended, is the print of this start."""
    return _is_ours(mark, view.identity, settled=True)


def is_another(mark: StartMark, view: View) -> bool:
    """Say whether what the printer shows is certainly another print; one without a name is not."""
    identity = view.identity
    if _is_ours(mark, identity, settled=True):
        return False
    number = None if mark.job_number is None else str(mark.job_number)
    named = identity.name is not None and not _same_name(mark, identity)
    return named or identity.subtask_id not in (None, number)


def _is_ours(mark: StartMark, identity: JobIdentity, *, settled: bool) -> bool:
    ids = (identity.subtask_id, identity.task_id, identity.job_id)
    if mark.job_number is not None and str(mark.job_number) in ids:
        return True
    if mark.before_state not in INACTIVE or not _same_name(mark, identity):
        return False  # a name proves a start only where nothing was active before it
    # By name only where the printer gives the print no id. One that it showed before our start says nothing of ours.
    subtask = identity.subtask_id
    if mark.job_number is None:
        return subtask is None or subtask == mark.before.subtask_id
    return subtask is None or (settled and subtask == mark.before.subtask_id)


def _same_name(mark: StartMark, identity: JobIdentity) -> bool:
    if identity.name == mark.name:
        return True
    return mark.job_number is None and mark.file in (identity.name, _base(identity.file))


def _names_another(mark: StartMark, identity: JobIdentity) -> bool:
    """Something that tells prints apart has changed since our publish, and not to what is ours."""
    before = mark.before
    # task_id and job_id do not count: P2S fills in a counter of its own there.
    number = None if mark.job_number is None else str(mark.job_number)
    if identity.subtask_id not in (None, before.subtask_id, number):
        return True
    return identity.name is not None and identity.name != before.name and not _same_name(mark, identity)


def _base(path: str | None) -> str | None:
    return path.rpartition("/")[2] if path else None
