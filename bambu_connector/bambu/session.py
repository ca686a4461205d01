"""One session with one printer, without the wire: what to ask when, and when it is dead although it looks alive.

Three faults, three detectors (reference 4.3): nothing is said any more; the connection is gone (the link tells that);
and reports flow while what we publish vanishes. Times are seconds of one monotonic clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.request import GetVersion, PushAll, PushStart, Request
from bambu_connector.bambu.view import GcodeState, View

SILENCE_S: Final = 40.0  # P1S and P1P stop reporting while TCP stays up; healthy ones say something every few seconds
WAKE_S: Final = 30.0  # how long a printer that was asked to report again has to do so
FIRST_REPORT_S: Final = 15.0  # a wrong serial is subscribed to without complaint, and never says a word
ANSWER_S: Final = 20.0  # `get_version` is answered in well under a second, but QoS 0 waits while a printer is busy
PROBE_S: Final = 300.0  # how often a healthy session proves that it hears us
FULL_RETRY_S: Final = 30.0
VERSION_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The session is to be thrown away and made anew; `mute` when nothing was ever said on it."""

    reason: str
    mute: bool = False


Advice = Sequence[Request | Rebuild]


class Session:
    """Follows one session from its SUBACK to its end. `pushall_interval` is the model's."""

    def __init__(self, *, pushall_interval: float, now: float) -> None:
        self._interval = pushall_interval
        self._opened_at = now
        self._reported_at: float | None = None
        self._full = False
        self._pushall_at: float | None = None
        self._asked_version_at: float | None = None
        self._answered_at: float | None = None
        self._version_tries = 0
        self._woken_at: float | None = None
        self._seen: tuple[object, object] | None = None
        self._wanted_total = False

    def open(self, now: float, *, quiet: bool) -> Advice:
        """Begin: the version, and (unless a start wants quiet) one full report."""
        return (self._ask_version(now), *(() if quiet else (self._ask_full(now),)))

    def _ask_version(self, now: float) -> Request:
        self._asked_version_at = now
        self._version_tries += 1
        return GetVersion()

    def _ask_full(self, now: float) -> Request:
        self._pushall_at = now
        return PushAll()

    def need_base(self, now: float) -> Advice:
        """Ask for a full report if none has come in this session, again and again, but not often."""
        return self._await_full(now)

    def may_ask_full(self, now: float) -> bool:
        """Say whether the model takes another `pushall` already."""
        return self._pushall_at is None or now - self._pushall_at >= self._interval

    def refresh(self, now: float) -> Advice:
        """Ask for a full report now, where the model's interval allows it."""
        return (self._ask_full(now),) if self.may_ask_full(now) else ()

    # -- what the printer said -----------------------------------------------------------------

    def reported(self, view: View | None, now: float, *, quiet: bool = False) -> Advice:
        """Note a report; `view` is None as long as no full one has come. `quiet`: nothing may be asked now."""
        self._reported_at, self._woken_at = now, None
        if view is None:
            return ()
        self._full = True
        if quiet:
            return ()  # what is not sent must not count as asked
        online, upgrade = view.report.get("online"), view.report.get("upgrade_state")
        seen = (
            online.get("version") if isinstance(online, dict) else None,
            upgrade.get("dis_state") if isinstance(upgrade, dict) else None,
        )
        before, self._seen = self._seen, seen
        advice: list[Request] = []
        if before is not None and before != seen:
            self._version_tries = 0
            advice.append(self._ask_version(now))
        advice += self._missing_total(view, now)
        return advice

    def _missing_total(self, view: View, now: float) -> list[Request]:
        if view.state is not GcodeState.RUNNING:
            self._wanted_total = False
        missing = view.state is GcodeState.RUNNING and bool(view.layer) and not view.total_layers
        if not missing or self._wanted_total or not self.may_ask_full(now):
            return []
        self._wanted_total = True
        return [self._ask_full(now)]

    def answered(self, now: float) -> None:
        """Note an answer to one of our `get_version`s: we are heard."""
        self._answered_at = now
        self._asked_version_at = None
        self._version_tries = 0

    def suspect(self, now: float) -> Advice:
        """A command had no effect at all: ask whether anybody hears us."""
        if self._asked_version_at is not None:
            return ()
        self._version_tries = VERSION_TRIES - 1
        return (self._ask_version(now),)

    # -- time ----------------------------------------------------------------------------------

    def tick(self, now: float) -> Advice:
        """Say what is to be done by now. Not to be called while a start is out: it could ask, or rebuild."""
        if self._reported_at is None:
            return self._await_first(now)
        silent = now - self._reported_at
        if self._woken_at is not None and now - self._woken_at >= WAKE_S:
            return (Rebuild(f"no report for {silent:.0f} s"),)
        if self._woken_at is None and silent >= SILENCE_S:
            self._woken_at = now
            return (PushStart(), *self.refresh(now))
        return (*self._await_full(now), *self._await_version(now))

    def excuse(self, now: float) -> None:
        """Forget what was missed until now: a printer that reads a file, or takes one, is slow to speak."""
        if self._reported_at is not None:
            self._reported_at = max(self._reported_at, now)
        self._opened_at = max(self._opened_at, now)
        self._woken_at = None
        if self._asked_version_at is not None:
            self._asked_version_at = now

    def _await_first(self, now: float) -> Advice:
        if now - self._opened_at < FIRST_REPORT_S:
            return ()
        if self._pushall_at is None:
            self._opened_at = now
            return (self._ask_full(now),)
        waited = now - self._opened_at
        return (Rebuild(f"connected, and not one report in {waited:.0f} s", mute=True),)

    def _await_full(self, now: float) -> Advice:
        if self._full:
            return ()
        if self._pushall_at is None or now - self._pushall_at >= FULL_RETRY_S:
            # Without a base nothing can be known; the model's interval is for printers that have told it.
            return (self._ask_full(now),)
        return ()

    def _await_version(self, now: float) -> Advice:
        if self._asked_version_at is None:
            due = self._answered_at is not None and now - self._answered_at >= PROBE_S
            return (self._ask_version(now),) if due else ()
        if now - self._asked_version_at < ANSWER_S:
            return ()
        if self._version_tries < VERSION_TRIES:
            return (self._ask_version(now),)
        return (Rebuild("reports come, and the printer does not hear us"),)
