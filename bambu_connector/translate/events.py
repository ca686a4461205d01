"""What is worth telling once: two views of one session compared (contract, section 7)."""

from dataclasses import dataclass
from operator import is_
from typing import Any, Final

from bambu_connector.bambu.health import CANCELLED, HealthEntry, is_filament_runout, read_health
from bambu_connector.bambu.view import GcodeState, JobIdentity, View
from bambu_connector.translate.status import health_entry

Details = dict[str, Any]

ONLINE_DEBOUNCE_S: Final = 30.0
CANCEL_WAIT_S: Final = (
    2.0  # the code that tells "cancelled" from "failed" may come in a later delta, and vanishes again
)
IDLE_WAIT_S: Final = 5.0  # P2S leaves RUNNING for a moment when its AMS changes to another spool
_RUNOUT_STAGE: Final = 6
_SPOKEN_OF: Final = (
    *("gcode_state", "print_type", "print_error", "hms", "stg_cur"),
    *("ams", "device", "vir_slot", "vt_tray"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `terminal` when it ends a print."""

    name: str
    details: Details
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class _Ending:
    """A print that is over and has not been told yet; not `sure` where the printer shows no more than idle."""

    since: float
    identity: JobIdentity
    details: Details
    print_error: str | None
    sure: bool


def job_of(view: View) -> Details:
    """Return the print that an event speaks of."""
    identity = view.identity
    return {"file": identity.file, "task_name": identity.name, "percent": view.percent, "layer": view.layer}


class EventTracker:
    """Makes the events of one printer. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._before: View | None = None
        self._known: View | None = None
        """The last view whose state is one that we know."""
        self._cancelled = False
        self._stop_ahead = False
        self._ending: _Ending | None = None
        self._told_online: bool | None = None
        self._offline_since: float | None = None

    def resume(self, told_online: bool) -> None:
        """Go on after a restart: what was told of the connection is not told again."""
        self._told_online = told_online

    # -- the connection ------------------------------------------------------------------------

    def online(self, is_online: bool, now: float) -> list[Event]:
        """Note whether the printer is online; a gap of less than 30 s is not told."""
        if is_online:
            self._offline_since = None
            return self._tell_online(True)
        if self._told_online is None:
            return []
        if self._offline_since is None:
            self._offline_since = now
        return self._tell_online(False) if now - self._offline_since >= ONLINE_DEBOUNCE_S else []

    def _tell_online(self, is_online: bool) -> list[Event]:
        if self._told_online == is_online:
            return []
        self._told_online = is_online
        return [Event("Connected" if is_online else "Disconnected", {})]

    # -- the print -----------------------------------------------------------------------------

    def disconnected(self) -> None:
        """The session is over: the next report is a baseline."""
        self._before = self._known = None

    def note_stop(self) -> None:
        """We sent a stop: an end that follows is a cancellation, whatever else the printer says of it."""
        self._cancelled = True
        self._stop_ahead = self._known is not None and self._known.is_inactive

    def forget_stop(self) -> None:
        """Our stop had no effect."""
        self._cancelled = self._stop_ahead = False

    def report(self, view: View, now: float) -> list[Event]:
        """Compare with the view before; the first of a session is a baseline and makes nothing."""
        before, self._before = self._before, view
        known, self._known = self._known, view if view.is_active or view.is_inactive else self._known
        if before is not None and _has_nothing_new(before, view):
            return self._settle(now)
        cancels = view.print_error in CANCELLED and not (before and before.print_error in CANCELLED)
        self._cancelled = self._cancelled or cancels
        found = self._settle(now)
        if before is None:
            if self._ending is not None and not self._ending.sure:
                if view.state is GcodeState.FINISH:
                    return [*found, *self._done(self._ending.details)]
                if view.is_active:
                    self._ending = None
            return found
        found += _state_events(before, view)
        if known is not None and (view.is_active or view.is_inactive):
            found += self._print_events(known, view, now, cancels=cancels)
        found += _health_events(before, view)
        found += _filament_events(before, view)
        return found

    @property
    def awaits_end(self) -> bool:
        """A print is over whose end has not been told yet."""
        return self._ending is not None

    def tick(self, now: float) -> list[Event]:
        """Let an end whose cause was waited for out."""
        return self._settle(now)

    def _settle(self, now: float) -> list[Event]:
        ending = self._ending
        if ending is None:
            return []
        wait = CANCEL_WAIT_S if ending.sure else IDLE_WAIT_S
        return [self._close(ending)] if self._cancelled or now - ending.since >= wait else []

    def _close(self, ending: _Ending) -> Event:
        name = "PrintCancelled" if self._cancelled else "PrintFailed"
        self._ending, self._cancelled = None, False
        return Event(name, ending.details | {"print_error": ending.print_error}, terminal=True)

    def _print_events(self, before: View, view: View, now: float, *, cancels: bool) -> list[Event]:
        old, new = before.state, view.state
        if old == new or view.is_calibration or before.is_calibration:
            return []
        if before.is_inactive and view.is_active:
            return self._begin(view, cancels=cancels)
        if before.is_active and view.is_inactive:
            return self._end(before, view, now)
        if new is GcodeState.FINISH and self._ending is not None:
            return self._done(self._ending.details)
        if old is GcodeState.PAUSE and new is GcodeState.RUNNING:
            return [Event("PrintResumed", {"job": job_of(view)})]
        if new is GcodeState.PAUSE and before.is_active:
            return [Event("PrintPaused", {"job": job_of(view)})]
        return []

    def _begin(self, view: View, *, cancels: bool) -> list[Event]:
        """A print is active: a new one, or the last one again that had shown idle for a moment."""
        ending = self._ending
        if ending is not None and not ending.sure and ending.identity == view.identity:
            self._ending = None
            return []
        found = [] if ending is None else [self._close(ending)]
        # What was known of a cancellation was about the print before, but for a stop while this one was being started.
        self._cancelled, self._stop_ahead = cancels or self._stop_ahead, False
        return [*found, Event("PrintStarted", {"job": job_of(view)})]

    def _end(self, before: View, view: View, now: float) -> list[Event]:
        # At the end firmware may zero progress and layers: the last ones of the print are told.
        percent = view.percent if view.state is GcodeState.FINISH and view.percent else before.percent
        details = {"job": job_of(before) | {"percent": percent}}
        if view.state is GcodeState.FINISH:
            return self._done(details)
        sure = view.state is GcodeState.FAILED
        self._ending = _Ending(now, before.identity, details, view.print_error_text, sure)
        return self._settle(now)

    def _done(self, details: Details) -> list[Event]:
        self._ending, self._cancelled = None, False
        return [Event("PrintDone", details, terminal=True)]


def _has_nothing_new(before: View, view: View) -> bool:
    """Say whether a report left alone all that events speak of, as most do."""
    return all(map(is_, map(before.report.get, _SPOKEN_OF), map(view.report.get, _SPOKEN_OF)))


def _state_events(before: View, view: View) -> list[Event]:
    if before.report.get("gcode_state") == view.report.get("gcode_state"):
        return []
    return [Event("PrinterStateChanged", {"from": before.state, "to": view.state, "job": job_of(view)})]


def _entries(view: View) -> dict[str, HealthEntry]:
    health = read_health(view.report)
    return {each.code: each for each in (*health.errors, *health.warnings, *health.infos)}


def _health_events(before: View, view: View) -> list[Event]:
    keys = ("hms", "print_error")
    if all(before.report.get(key) == view.report.get(key) for key in keys):
        return []
    old, new = _entries(before), _entries(view)
    came = [Event("Error", {**health_entry(new[code]), "job": job_of(view)}) for code in new if code not in old]
    went = [Event("ErrorCleared", {**health_entry(old[code]), "job": job_of(view)}) for code in old if code not in new]
    return came + went


def _runs_out(view: View) -> bool:
    return is_filament_runout(view.print_error or 0) or (view.is_active and view.stage == _RUNOUT_STAGE)


def _filament_events(before: View, view: View) -> list[Event]:
    found = []
    if _runs_out(view) and not _runs_out(before):
        found.append(Event("FilamentRunout", {"job": job_of(view)}))
    keys = ("ams", "device", "vir_slot", "vt_tray")
    if any(before.report.get(key) is not view.report.get(key) for key in keys):
        old, new = before.active_slot, view.active_slot
        if new is not None and new != old:
            slot = {"ams_id": new.ams_id, "slot_id": new.slot_id}
            found.append(Event("FilamentChange", {"active_slot": slot, "job": job_of(view)}))
    return found
