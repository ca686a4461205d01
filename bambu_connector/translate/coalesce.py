"""When a status is due: what matters at once, the rest after its interval, and nothing new with the heartbeat."""

from collections.abc import Iterable
from typing import Any, Final

from bambu_connector.bambu.fold import ENVELOPE
from bambu_connector.bambu.lenient import Fields, whole

Tree = dict[str, Any]

_SILENT_LINK: Final = frozenset({"last_report", "wifi_signal_dbm", "reconnects"})
_SILENT_UNIT: Final = frozenset({"humidity", "humidity_percent", "temp"})
_TEMPERATURES: Final = ("nozzle_temp", "bed_temp", "chamber_temp", "frame_temp")
_STEP_HOT: Final = 1  # °C off the one last sent, while a heater has a target or a job is active
_STEP_COLD: Final = 3

_HEAT: Final = frozenset({"nozzle_temper", "bed_temper", "chamber_temper"})
_UNSEEN: Final = frozenset({"wifi_signal", *ENVELOPE})


def is_flicker(before: Fields, after: Fields, told: Iterable[str]) -> bool:
    """Say whether a report that told the fields `told` changed nothing that could make a status due.

    Most of them change tenths of degrees and the signal's strength only; a status has whole degrees.
    """
    return not any(_can_be_seen(key, before.get(key), after.get(key)) for key in told if key not in _UNSEEN)


def _can_be_seen(key: str, old: object, new: object) -> bool:
    if old is new:
        return False
    if key in _HEAT:
        return whole(old) != whole(new)
    # An object or list that does not differ is the same one after folding.
    return type(old) is not type(new) or isinstance(new, dict | list) or old != new


def visible(data: Tree) -> Tree:
    """Return what of a status makes a new one due: without what flickers, and without the temperatures."""
    machine = data["machines"][0]
    current, filament = machine["current"], machine["filament"]
    return {
        "process": data["process"],
        "hardware": machine["hardware"],
        "link": {key: value for key, value in machine["connection_info"].items() if key not in _SILENT_LINK},
        "state": machine["state"],
        "current": {key: value for key, value in current.items() if key not in ("temperatures", "nozzles")},
        "targets": [value for key, value in current["temperatures"].items() if key not in _TEMPERATURES],
        "nozzles": [{key: value for key, value in each.items() if key != "temp"} for each in current["nozzles"]],
        "ams": [{key: value for key, value in unit.items() if key not in _SILENT_UNIT} for unit in filament["ams"]],
        "filament": (filament["external"], filament["active_slot"]),
        "rest": (machine["lights"], machine["camera"], machine["storage"], machine["health"]),
    }


def pressing(data: Tree) -> tuple[Any, ...]:
    """Return what of a status must not wait when it changes: state, connection, errors, and the job's stage."""
    machine = data["machines"][0]
    link, current = machine["connection_info"], machine["current"]
    return (
        current["print_status"],
        current["print_error"],
        current["job_id"],
        machine["health"],
        link["is_connected"],
        link["is_connecting"],
        link["is_online"],
        link["has_access_right"],
        link["developer_mode"],
        data["process"]["job_state"],
        data["process"]["job_id"],
    )


def _temperatures(data: Tree) -> list[int | None]:
    current = data["machines"][0]["current"]
    return [*(current["temperatures"][key] for key in _TEMPERATURES), *(each["temp"] for each in current["nozzles"])]


def _is_warm(data: Tree) -> bool:
    current = data["machines"][0]["current"]
    targets = (value for key, value in current["temperatures"].items() if key not in _TEMPERATURES)
    heated = any(targets) or any(each["temp_target"] for each in current["nozzles"])
    busy = data["machines"][0]["state"]["is_in_printing"] or data["process"]["job_state"] != "idle"
    return bool(heated or busy)


def differs(sent: Tree, data: Tree) -> bool:
    """Say whether a reader of `sent` would miss something of `data`."""
    if visible(sent) != visible(data):
        return True
    step = _STEP_HOT if _is_warm(data) else _STEP_COLD
    before, after = _temperatures(sent), _temperatures(data)
    if len(before) != len(after):
        return True
    return any(
        (old is None) != (new is None) or (old is not None and new is not None and abs(new - old) >= step)
        for old, new in zip(before, after, strict=True)
    )


class Pacer:
    """Decides for one printer which statuses go out. Times are seconds of one monotonic clock."""

    def __init__(self, *, min_interval: float, heartbeat: float) -> None:
        self._min_interval = min_interval
        self._heartbeat = heartbeat
        self._sent: Tree | None = None
        self._sent_at = 0.0
        self._looked_at = float("-inf")
        self._changed = False

    def note_change(self) -> None:
        """Something that may be visible has changed."""
        self._changed = True

    def next_look(self) -> float:
        """Return when to build a status and `offer` it at the latest; -inf: now."""
        if self._sent is None:
            return float("-inf")
        beat = self._sent_at + self._heartbeat
        if not self._changed:
            return beat
        due = self._sent_at + self._min_interval
        return min(beat, due if self._looked_at < due else self._looked_at + self._min_interval)

    def offer(self, data: Tree, now: float) -> bool:
        """Say whether `data` is to be sent now; then it counts as sent."""
        self._looked_at = now
        due = self._is_due(data, now)
        if due:
            self._sent, self._sent_at, self._changed = data, now, False
        return due

    def _is_due(self, data: Tree, now: float) -> bool:
        if self._sent is None or now >= self._sent_at + self._heartbeat:
            return True
        if pressing(self._sent) != pressing(data):
            return True
        if not differs(self._sent, data):
            self._changed = False
            return False
        if now < self._sent_at + self._min_interval:
            self._changed = True
            return False
        return True

    def forget(self) -> None:
        """The next status is due whatever it says (a new session with Printago)."""
        self._sent = None
