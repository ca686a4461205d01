"""Starts that are out, prints of ours that run, starts of unknown outcome: watched until they explain themselves."""

from dataclasses import dataclass, replace
from typing import Final

from bambu_connector.bambu.health import BUSY, SIGNING, START_FAILURES, print_error_code
from bambu_connector.bambu.menus import developer_mode_advice
from bambu_connector.bambu.models import TRAITS, Model, Traits
from bambu_connector.bambu.report import Outcome, Reply
from bambu_connector.bambu.view import GcodeState, View
from bambu_connector.errors import ConnectorError, DeveloperModeRequired, PrinterBusy, StartFailed
from bambu_connector.printago.commands import CommandId
from bambu_connector.service.execute import refusal
from bambu_connector.service.records import PrintRecord
from bambu_connector.service.requests import Ticket
from bambu_connector.translate.events import IDLE_WAIT_S
from bambu_connector.translate.job import Event, Refused, SeenActive, SeenEnded, SeenForeign
from bambu_connector.translate.recognise import Sighting, StartMark, is_another, sight

UNEXPLAINED_S: Final = 300.0


@dataclass(slots=True)
class OutStart:
    """A start that was published. Times are monotonic. `ticket` is None where an earlier process published it."""

    record: PrintRecord
    ticket: Ticket | None
    deadline: float
    settled: bool = False
    """It was published so long ago that what the printer shows under its name came after it."""
    active_since: float | None = None
    error_before: int | None = None

    def __post_init__(self) -> None:
        self.error_before = self.record.mark.before_error

    @property
    def mark(self) -> StartMark:
        """What the start is recognised by."""
        return self.record.mark

    @property
    def is_acknowledged(self) -> bool:
        """The printer's reply said success."""
        reply = self.ticket.reply if self.ticket else None
        return isinstance(reply, Reply) and reply.outcome is Outcome.SUCCESS

    def look(self, view: View | None, now: float) -> Event | None:
        """Return what the reply and the newest report say of it."""
        reply = self.ticket.reply if self.ticket else None
        if self.ticket and isinstance(reply, Reply) and reply.outcome is Outcome.FAILED:
            self.ticket.reply = None
            return Refused(_start_refusal(reply, view.traits if view else TRAITS[Model.GENERIC]))
        return None if view is None else self._see(view, now)

    def _see(self, view: View, now: float) -> Event | None:
        if not view.is_active:
            self.active_since = None
        elif self.active_since is None:
            self.active_since = now
        active_for = 0.0 if self.active_since is None else now - self.active_since
        match sight(self.mark, view, active_for=active_for, settled=self.settled):
            case Sighting.OURS_ACTIVE:
                return SeenActive()
            case Sighting.OURS_ENDED:
                ran = view.state is GcodeState.FINISH or (self.settled and bool(view.percent or view.layer))
                return SeenEnded(None if ran else _ended(view))
            case Sighting.FOREIGN:
                return SeenForeign()
            case Sighting.NOTHING:
                return self._failure(view)

    def _failure(self, view: View) -> Event | None:
        """An error that appears after the start, while nothing runs, says why nothing will."""
        error = view.print_error
        if error == 0:
            self.error_before = 0  # cleared: should it come again, it is about this start
        if not error or error == self.error_before or not view.is_inactive:
            return None
        if error in SIGNING:
            return Refused(
                DeveloperModeRequired(
                    f"The printer refused the start because it is not signed. {developer_mode_advice(view.traits)}"
                )
            )
        if error == BUSY:
            return Refused(PrinterBusy("The printer refused the start because it is busy."))
        return (
            Refused(StartFailed(f"The printer could not start the print: {print_error_code(error)}."))
            if error in START_FAILURES
            else None
        )


def _ended(view: View) -> ConnectorError:
    return StartFailed(view.print_error_text or "the printer does not say why")


def _start_refusal(reply: Reply, traits: Traits) -> ConnectorError:
    error = refusal(reply, traits)
    if isinstance(error, PrinterBusy | DeveloperModeRequired):
        return error
    return StartFailed(str(error))


@dataclass(slots=True)
class Followed:
    """A print of ours that was seen to run; the record's `file` is removed when it has ended, None when it stays."""

    record: PrintRecord
    idle_since: float | None = None
    is_unseen: bool = False
    """It may have begun, and ended, where no report told so."""

    @property
    def mark(self) -> StartMark:
        """What the print is recognised by."""
        return self.record.mark

    @property
    def file(self) -> str | None:
        """Our file on the printer that goes with the print."""
        return self.record.file

    @property
    def job_id(self) -> str | None:
        """What Printago calls the job."""
        return self.record.job_id

    @property
    def command_id(self) -> CommandId | None:
        """The id of the command that began it."""
        return self.record.command_id

    def has_ended(self, view: View, now: float) -> bool:
        """Say whether the print is over: the printer says so, has been idle for a while, or prints something else."""
        if view.state is not GcodeState.IDLE:
            self.idle_since = None
            return view.is_inactive or (view.is_active and is_another(self.mark, view))
        if self.idle_since is None:
            self.idle_since = now
        return now - self.idle_since >= IDLE_WAIT_S


@dataclass(slots=True)
class Unexplained:
    """A start whose outcome is unknown since `since` (monotonic). `stop_asked`: it is stopped as soon as it is seen."""

    start: OutStart
    since: float
    stop_asked: bool = False

    @property
    def record(self) -> PrintRecord:
        """What the journal is told."""
        return replace(self.start.record, is_certain=False, stop_asked=self.stop_asked)


@dataclass(slots=True)
class Starts:
    """What became of the starts of one printer."""

    followed: Followed | None = None
    unexplained: Unexplained | None = None

    def follow(self, view: View | None, now: float) -> list[str]:
        """Look whether the print that we follow is over; return our files that have no use any more."""
        followed = self.followed
        if view is None or followed is None or not followed.has_ended(view, now):
            return []
        self.followed = None
        return [followed.file] if followed.file else []

    def explain(self, view: View | None, now: float) -> list[str]:
        """Look whether a start of unknown outcome explains itself; return our files that have no use any more."""
        unknown = self.unexplained
        if view is None or unknown is None:
            return []
        match unknown.start.look(view, now):
            case SeenActive() | SeenEnded(error=None) as seen:
                record = replace(unknown.start.record, is_certain=True)
                self.unexplained, self.followed = None, Followed(record, is_unseen=isinstance(seen, SeenEnded))
                return []
            case None if now - unknown.since < UNEXPLAINED_S:
                return []
            case _:
                self.unexplained = None
                file = unknown.start.record.file
                return [file] if file else []
