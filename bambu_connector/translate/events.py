"""What is worth telling once: two views of one session compared (contract, section 7)."""

from dataclasses import dataclass
from typing import Any, Final

from bambu_connector.bambu.health import CANCELLED, HealthEntry, is_filament_runout, read_health
from bambu_connector.bambu.view import GcodeState, View
from bambu_connector.translate.status import health_entry

Details = dict[str, Any]

ONLINE_DEBOUNCE_S: Final = 30.0
CANCEL_WAIT_S: Final = (
    2.0  # the code that tells "cancelled" from "failed" may come in a later delta, and vanishes again
)
_RUNOUT_STAGE: Final = 6


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `terminal` when it ends a print."""

    name: str
    details: Details
    terminal: bool = False


def job_of(view: View) -> Details:
    """Return the print that an event speaks of."""
    identity = view.identity
    return {"file": identity.file, "task_name": identity.name, "percent": view.percent, "layer": view.layer}


class EventTracker:
    """Makes the events of one printer. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._before: View | None = None
        self._cancelled = False
        self._failed: tuple[float, Event] | None = None
        self._told_online: bool | None = None
        self._offline_since: float | None = None

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
        self._before = None

    def note_stop(self) -> None:
        """We sent a stop: an end that follows is a cancellation, whatever else the printer says of it."""
        self._cancelled = True

    def report(self, view: View, now: float) -> list[Event]:
        """Compare with the view before; the first of a session is a baseline and makes nothing."""
        before, self._before = self._before, view
        if view.print_error in CANCELLED:
            self._cancelled = True
        found = self._settle(now)
        if before is None:
            self._failed = None
            return found
        found += self._state_events(before, view, now)
        found += _health_events(before, view)
        found += _filament_events(before, view)
        return found

    def tick(self, now: float) -> list[Event]:
        """Let an end whose cause was waited for out."""
        return self._settle(now)

    def _settle(self, now: float) -> list[Event]:
        if self._failed is None:
            return []
        since, event = self._failed
        if not self._cancelled and now - since < CANCEL_WAIT_S:
            return []
        self._failed = None
        name = "PrintCancelled" if self._cancelled else "PrintFailed"
        self._cancelled = False
        return [Event(name, event.details, terminal=True)]

    def _state_events(self, before: View, view: View, now: float) -> list[Event]:
        if before.report.get("gcode_state") == view.report.get("gcode_state"):
            return []
        old, new = before.state, view.state
        details = {"job": job_of(view)}
        found = [Event("PrinterStateChanged", {"from": old, "to": new, **details})]
        if view.is_calibration or before.is_calibration:
            return found
        if before.is_inactive and view.is_active:
            self._cancelled = self._cancelled and view.print_error in CANCELLED
            found.append(Event("PrintStarted", details))
        if old is GcodeState.PAUSE and new is GcodeState.RUNNING:
            found.append(Event("PrintResumed", details))
        if new is GcodeState.PAUSE and before.is_active:
            found.append(Event("PrintPaused", details))
        if before.is_active and view.is_inactive:
            found += self._end(before, view, now)
        return found

    def _end(self, before: View, view: View, now: float) -> list[Event]:
        # At the end firmware may zero progress and layers: the last ones of the print are told.
        details = {"job": job_of(before) | {"percent": view.percent or before.percent}}
        if view.state is GcodeState.FINISH:
            self._cancelled = False
            return [Event("PrintDone", details, terminal=True)]
        self._failed = (now, Event("PrintFailed", details | {"print_error": view.print_error_text}))
        return self._settle(now)


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
