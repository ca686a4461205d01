"""The prints that commands of ours began: watched until they end, told with the command's ids, on disk until told."""

import math
from dataclasses import replace
from typing import Any, Final

from bambu_connector.bambu.health import CANCELLED
from bambu_connector.bambu.view import GcodeState, View
from bambu_connector.service.ledger import Ledger
from bambu_connector.service.records import PrintRecord
from bambu_connector.service.shelf import Shelf
from bambu_connector.service.starts import Followed, OutStart, Starts, Unexplained
from bambu_connector.translate import events as told
from bambu_connector.translate.recognise import StartMark, is_print_of

END_WAIT_S: Final = 30.0  # the event that tells the end of a print comes a few seconds after it, or never


class Prints:
    """The print of one printer that a command began, or may have begun. Times are monotonic."""

    def __init__(self, ledger: Ledger, shelf: Shelf) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._starts = Starts()
        self._ended: tuple[Followed, float] | None = None
        """The one that ended last, and when, as long as no event has told its end."""
        self._told_end: Followed | None = None
        self._told_at = -math.inf

    @property
    def is_unexplained(self) -> bool:
        """A start ended unknown, and nothing has explained it since."""
        return self._starts.unexplained is not None

    @property
    def job_id(self) -> str | None:
        """What Printago calls the job behind the print that runs."""
        return self._starts.followed.job_id if self._starts.followed else None

    @property
    def files(self) -> set[str]:
        """The files on the printer that a print of ours needs, or may need."""
        return {each.record.mark.file for each in (self._starts.followed, self._starts.unexplained) if each}

    # -- how one begins ------------------------------------------------------------------------

    def follow(self, record: PrintRecord, *, is_unseen: bool = False) -> None:
        """A print of ours runs, or has run; `is_unseen`: it may have begun before our eyes were open."""
        self._leave_behind(record)
        self._starts.followed, self._starts.unexplained = Followed(record, is_unseen=is_unseen), None
        self._ledger.note_print(record)

    def _leave_behind(self, record: PrintRecord) -> None:
        """A print of ours has begun, or may have, where another had been idle for a moment: that one is over."""
        followed = self._starts.followed
        if followed is None or followed.mark == record.mark:
            return
        self._starts.followed = None
        if followed is not self._told_end:
            self._ended = followed, self._ledger.clock.monotonic()
        if followed.file is not None and followed.file != record.mark.file:
            self._shelf.doom(followed.file)

    def follows(self, record: PrintRecord) -> bool:
        """Say whether this print was seen to run, and not to end."""
        followed = self._starts.followed
        return followed is not None and followed.mark == record.mark

    def keep_watch(self, out: OutStart, *, stop_asked: bool = False) -> None:
        """A start has an unknown outcome."""
        self._leave_behind(out.record)
        unexplained = Unexplained(out, self._ledger.clock.monotonic(), stop_asked)
        self._starts.unexplained = unexplained
        self._ledger.note_print(unexplained.record)

    def restore(self, record: PrintRecord, start_timeout: float) -> None:
        """Take up the print that a command began before a restart."""
        if record.is_certain:
            self._starts.followed = Followed(record, is_unseen=True)
        else:
            self.keep_watch(self.restored_start(record, start_timeout), stop_asked=record.stop_asked)

    def restored_start(self, record: PrintRecord, start_timeout: float) -> OutStart:
        """Return a start that an earlier process published, as one whose outcome is waited for."""
        clock, published = self._ledger.clock, record.published
        age = published.age(clock)
        if age is None and published.boot != clock.boot():
            age = clock.since_boot()  # at least: it was before this machine began to run
        return OutStart(
            record, None, clock.monotonic() + start_timeout, settled=age is not None and age >= start_timeout
        )

    def note_stop(self) -> None:
        """A stop is sent: a start of unknown outcome is stopped when it is seen, a print that ends is cancelled."""
        unexplained, followed = self._starts.unexplained, self._starts.followed
        if unexplained is not None:
            unexplained.stop_asked = True
            self._ledger.note_print(unexplained.record)
        elif followed is not None:
            self._mark(followed, stop_asked=True)

    def forget_stop(self) -> None:
        """Our stop had no effect on the print that runs."""
        if self._starts.followed is not None:
            self._mark(self._starts.followed, stop_asked=False)

    def _mark(self, followed: Followed, *, stop_asked: bool) -> None:
        followed.record = replace(followed.record, stop_asked=stop_asked)
        self._ledger.note_print(followed.record)

    # -- what the printer shows ----------------------------------------------------------------

    def explain(self, view: View | None, now: float) -> bool:
        """Look whether a start of unknown outcome explains itself; True when it is to be stopped now."""
        if self._ended is not None and now - self._ended[1] >= END_WAIT_S:
            self._close_ended()
        unexplained = self._starts.unexplained
        for name in self._starts.explain(view, now):
            self._shelf.doom(name)
        if unexplained is None or self._starts.unexplained is unexplained:
            return False
        followed = self._starts.followed
        self._ledger.note_print(followed.record if followed else None)
        return unexplained.stop_asked and followed is not None and view is not None and view.is_active

    def settle(self, view: View | None, now: float) -> tuple[bool, told.Event | None]:
        """Look whether the print has ended; its file goes. Return whether it has, and an end that nobody told."""
        ending = self._starts.followed
        for name in self._starts.follow(view, now):
            self._shelf.doom(name)
        if ending is None or self._starts.followed is ending:
            return False, None
        if ending is self._told_end or view is None or view.is_active:
            self._ledger.note_print(None)  # where another print is active, nobody saw how this one ended
            return True, None
        self._ledger.note_print(replace(ending.record, file=None))  # its end must be told yet
        self._ended = ending, now
        # What an earlier process began, and what idleness alone shows ended, is no change that an event could tell.
        unseen = view.state is GcodeState.IDLE or ending.is_unseen
        return True, _end_of(ending, view) if unseen and now - self._told_at > END_WAIT_S else None

    # -- what is told --------------------------------------------------------------------------

    def late_end(self, view: View) -> told.Event | None:
        """Return the end of the print, when the first report of a session shows it ended; idleness must last first."""
        followed = self._starts.followed
        if followed is None or view.state is GcodeState.IDLE or not is_print_of(followed.mark, view):
            return None
        return _end_of(followed, view) if view.is_inactive else None

    def describe(self, event: told.Event) -> dict[str, Any]:
        """Return an event's details; a print that a command started carries the command's ids."""
        # An end may be told a moment after it was seen: then it speaks of what ended last.
        ended = self._ended[0] if self._ended and event.terminal and _is_about(event, self._ended[0]) else None
        followed = ended or self._starts.followed
        if event.terminal:
            self._told_end, self._told_at = followed, self._ledger.clock.monotonic()
        if event.terminal or event.name == "PrintStarted":
            self._close_ended()
        details = event.details
        if followed is None or "job" not in details:
            return details
        ids = {"job_id": followed.job_id, "command_id": followed.command_id}
        return details | {"job": details["job"] | {key: value for key, value in ids.items() if value is not None}}

    def _close_ended(self) -> None:
        """The end of the last print was told, or never will be."""
        if self._ended is not None and self._starts.followed is None and self._starts.unexplained is None:
            self._ledger.note_print(None)
        self._ended = None


def _is_about(event: told.Event, followed: Followed) -> bool:
    name = event.details.get("job", {}).get("task_name")
    return name in (None, followed.mark.name)


def _end_of(followed: Followed, view: View) -> told.Event:
    """Return the end of a print that was not seen to end, as far as the printer shows how it did."""
    record = followed.record
    job = told.job_of(view) if is_print_of(record.mark, view) else _job_of(record.mark)
    details: dict[str, Any] = {"job": job, "late": True}
    if view.state is GcodeState.FINISH:
        return told.Event("PrintDone", details, terminal=True)
    name = "PrintCancelled" if record.stop_asked or view.print_error in CANCELLED else "PrintFailed"
    return told.Event(name, details | {"print_error": view.print_error_text}, terminal=True)


def _job_of(mark: StartMark) -> dict[str, Any]:
    return {"file": mark.file, "task_name": mark.name, "percent": None, "layer": None}
