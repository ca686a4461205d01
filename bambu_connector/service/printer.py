"""One printer: its session, its folded report, and what follows from one. Decides nothing that is pure elsewhere."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.identity import firmware_in
from bambu_connector.bambu.lenient import text
from bambu_connector.bambu.menus import developer_mode_advice
from bambu_connector.bambu.models import TRAITS, Model, Traits, model_named, model_of_modules, signing_expected
from bambu_connector.bambu.report import MAX_REPORT_BYTES, PushStatus, Reply, VersionInfo, parse_report
from bambu_connector.bambu.request import PushStart, Request
from bambu_connector.bambu.session import Advice, Rebuild, Session
from bambu_connector.bambu.view import View
from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    IdentityMismatch,
    LinkError,
    Mute,
    PrinterOffline,
    Unreachable,
)
from bambu_connector.logs import printer_logger
from bambu_connector.printago.messages import MessageType, print_failure, timestamp_text, trouble
from bambu_connector.service.changes import Changes
from bambu_connector.service.clock import Clock
from bambu_connector.service.event_line import event_line
from bambu_connector.service.obedience import ObedienceWatch
from bambu_connector.service.ports import PrinterConnection
from bambu_connector.service.requests import Requests, Ticket
from bambu_connector.service.statuses import Statuses
from bambu_connector.service.voice import Voice
from bambu_connector.service.waiting import Waiters
from bambu_connector.service.work import Work
from bambu_connector.translate.coalesce import Pacer, is_flicker
from bambu_connector.translate.events import Event, EventTracker, job_of
from bambu_connector.translate.situation import Situation
from bambu_connector.translate.status import Link, StatusWriter

ONLINE_S: Final = 60.0  # without a report for so long a printer is not online, whatever TCP says
_HOMING_STAGE: Final = 13
_WIRE_EVENTS: Final = ("Connected", "Disconnected")
_PRESSING: Final = ("gcode_state", "print_error", "hms", "fun")

Adjust = Callable[[Traits], Traits]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a printer is, from the configuration."""

    serial: str
    printer_id: str
    name: str
    host: str | None
    model: Model
    adjust: Adjust = lambda traits: traits
    """Puts the printer's quirks over its model's row."""
    model_is_given: bool = False


class Printer:
    """The state of one printer. Everything runs on the loop; what blocks or takes long is elsewhere."""

    def __init__(
        self, identity: Identity, voice: Voice, clock: Clock, pacer: Pacer, *, include_report: bool = False
    ) -> None:
        self.identity = identity
        self.voice = voice
        self.clock = clock
        self.waiters = Waiters()
        self.work: Work
        self.model = identity.model
        self.traits = identity.adjust(TRAITS[identity.model])
        self.firmware: str | None = None
        self.reports = 0
        self.sessions = 0
        """How many sessions there have been: what was published on one cannot be answered on the next."""
        self.view: View | None = None
        self.link_error: LinkError | None = None
        self.rebuild: asyncio.Future[Rebuild] | None = None
        self.log = printer_logger(identity.name, identity.serial)
        self.changes = Changes(self.log)
        self.is_heard: Callable[[], bool] = lambda: True
        """Whether what it says reaches anybody: what was told to nobody must be told later."""
        self.taps: set[Callable[[bytes], None]] = set()
        """Called with each message of the report topic, as it came."""
        self._shown = View({}, self.traits)
        self._connection: PrinterConnection | None = None
        self._session: Session | None = None
        self._requests = Requests()
        self._obedience = ObedienceWatch(clock, self._developer_mode_changed)
        self._told_refusals: set[type[LinkError]] = set()
        self._tracker = EventTracker()
        self.statuses = Statuses(pacer, clock, self.status, self._say_status)
        self._writer = StatusWriter()
        self._include_report = include_report
        self._connecting = False
        self._has_access: bool | None = None
        self._verified: bool | None = None
        self._reported_at: float | None = None
        self._reported_wall: float | None = None
        self._saw_home = self._homing = False
        self._held: Event | None = None
        self._faults: set[type[Exception]] = set()
        self._told_giant = -1
        """The number of the session in which a report was too large to be read."""

    # -- what is known -------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """There is a session with the printer's broker."""
        return self._connection is not None

    def was_tried(self) -> bool | None:
        """True once the printer has told its state, or could not be reached; None before."""
        return True if self.view is not None or self.link_error is not None else None

    @property
    def is_online(self) -> bool:
        """There is a session, and a report came within 60 s."""
        age = self.report_age
        return self.is_connected and age is not None and age < ONLINE_S

    @property
    def report_age(self) -> float | None:
        """Seconds since anything was reported in this process."""
        return None if self._reported_at is None else self.clock.monotonic() - self._reported_at

    @property
    def shown(self) -> View:
        """The last view of this process, empty before the first."""
        return self._shown

    def situation(self) -> Situation:
        """Return what the guards look at, now."""
        return Situation(
            traits=self.traits,
            connected=self.is_connected,
            view=self.view,
            developer_mode=self.developer_mode,
            link_error=self.link_error,
            report_age=self.report_age if self.view is not None else None,
            saw_home=self._saw_home,
            job_under_way=self.work.is_under_way,
            start_out=self.work.start_is_out,
            start_unexplained=self.work.start_is_unexplained,
        )

    def become(self, identity: Identity) -> None:
        """Its owner describes it anew: another name, host, model or quirks; its serial and its id stay."""
        self.identity = identity
        self._told_refusals.clear()  # what its owner has just entered may be refused too, and that is news
        self.log = printer_logger(identity.name, identity.serial)
        self.changes.speak_through(self.log)
        self._become(identity.model if identity.model_is_given else self.model)

    def found_at(self, place: str) -> None:
        """It proved to be itself at this address."""
        self.identity = replace(self.identity, host=place)

    @property
    def developer_mode(self) -> bool | None:
        """Whether unsigned commands are obeyed, as far as that was learned; None: not known."""
        return self._obedience.developer_mode

    def announced(self, model_code: str) -> None:
        """It says of which model it is; believed as long as nothing better is known."""
        model = model_named(model_code)
        if self.model is Model.GENERIC and model is not None and not self.identity.model_is_given:
            self._become(model)

    def signing_is_expected(self) -> bool | None:
        """Say whether this model and firmware demand signatures unless Developer Mode is on."""
        return signing_expected(self.traits, self.firmware)

    # -- the session ---------------------------------------------------------------------------

    def connecting(self) -> None:
        """Connections are being tried, now and again."""
        self._connecting = True
        self.statuses.changed(pressing=False)

    def session_opened(self, connection: PrinterConnection) -> None:
        """A session is up: everything is unknown again until the printer has told it."""
        now = self.clock.monotonic()
        self._connection, self._connecting = connection, False
        self.sessions += 1
        self.link_error, self._has_access, self._verified = None, True, connection.verified
        self._told_refusals.clear()
        self.view, self._saw_home, self._homing = None, False, False
        self._obedience.session_opened()
        self._requests.clear()
        self._session = Session(pushall_interval=self.traits.pushall_interval, now=now)
        self._follow(self._session.open(now, quiet=self.work.quiet_for(now) > 0))
        self.statuses.changed(pressing=True)

    def session_closed(self, error: LinkError, *, retrying: bool = False) -> None:
        """The session is over, or none could be made; `error` says why, `retrying` whether another will be tried."""
        was_connected, before = self._connection is not None, self.link_error
        was_attempt = was_connected or self._connecting
        self._connection, self._session, self.view = None, None, None
        self._connecting = retrying
        changed = was_connected or type(error) is not type(before)
        self.link_error = error
        if isinstance(error, AccessDenied):
            self._has_access = False
        if isinstance(error, IdentityMismatch):
            self._verified = False
        self._tracker.disconnected()
        self.statuses.changed(pressing=changed)
        if was_attempt:
            self._tell_refusal(error, before)
        self.waiters.pulse()

    def _tell_refusal(self, error: LinkError, before: LinkError | None) -> None:
        """Tell Printago what only a person can put right: once, however often it is tried again."""
        if isinstance(error, AnotherDevice) and not isinstance(before, AnotherDevice):
            return  # it may have moved only, and be found in a moment
        if isinstance(error, AccessDenied | IdentityMismatch) and type(error) not in self._told_refusals:
            self._told_refusals.add(type(error))
            self.voice.say(MessageType.ERROR, trouble(error))

    def send(self, request: Request) -> Ticket:
        """Publish a request; raises PrinterOffline when there is no session."""
        if self._connection is None:
            raise PrinterOffline("The printer is not connected.")
        now = self.clock.monotonic()
        try:
            return self._requests.send(
                request, self._connection.send, now=now, reports=self.reports, session=self.sessions
            )
        except LinkError as error:
            raise PrinterOffline(f"The printer is not connected: {error}") from error

    def refresh(self) -> bool:
        """Ask for a full report, where the model's interval and a start that is out allow it; say whether it was so."""
        now = self.clock.monotonic()
        if self._session is None or self.work.holds_session(now):
            return False
        advice = self._session.refresh(now)
        self._follow(advice)
        return bool(advice)

    def wake(self) -> None:
        """Ask a printer that is quiet to say something, which costs it less than a full report."""
        if self._session is not None and not self.work.holds_session(self.clock.monotonic()):
            self._follow((PushStart(),))

    def suspect(self) -> None:
        """A command had no effect: find out whether the session is deaf."""
        now = self.clock.monotonic()
        if self._session is not None and not self.work.holds_session(now):
            self._follow(self._session.suspect(now))

    def _follow(self, advice: Advice) -> None:
        for each in advice:
            if isinstance(each, Rebuild):
                if self.rebuild is not None and not self.rebuild.done():
                    self.rebuild.set_result(each)
                return
            try:
                self.send(each)
            except PrinterOffline as error:
                self.log.debug("not sent: %s", error)
                return

    def rebuild_error(self, why: Rebuild) -> LinkError:
        """Return the error for a session that was given up."""
        if why.mute:
            return Mute(
                f"{self.identity.host} takes the access code and says nothing about {self.identity.serial}: is the"
                " serial right (it is case-sensitive)?"
            )
        return Unreachable(f"The session with {self.identity.host} was given up: {why.reason}.")

    # -- what comes in -------------------------------------------------------------------------

    def receive(self, raw: bytes) -> None:
        """Take one message of the report topic; what comes before the session is open is asked for again."""
        if self._connection is None:
            return
        for tap in tuple(self.taps):
            tap(raw)
        try:
            self._take(raw)
        except Exception as error:  # one message that we cannot bear must cost neither the session nor the others
            known = type(error) in self._faults
            self._faults.add(type(error))
            self.log.log(logging.DEBUG if known else logging.ERROR, "a bug in reading a message", exc_info=error)

    def _take(self, raw: bytes) -> None:
        message = parse_report(raw)
        match message:
            case PushStatus(fields):
                self._report(fields)
            case Reply():
                ticket = self._requests.take(message)
                self._obedience.replied(message, ticket)
                if ticket is not None:
                    self.work.observe()
                    self.waiters.pulse()
            case VersionInfo():
                self._version(message)
            case _:
                news = len(raw) > MAX_REPORT_BYTES and self._told_giant != self.sessions
                self._told_giant = self.sessions if news else self._told_giant
                level = logging.WARNING if news else logging.DEBUG
                self.log.log(level, "a message of %d bytes that is not understood", len(raw))

    def _report(self, fields: dict[str, Any]) -> None:
        now = self.clock.monotonic()
        was_online = self.is_online
        before = self.view
        folded = fold(before.report if before else None, fields)
        self._reported_at, self._reported_wall = now, self.clock.wall()
        self.reports += 1
        self.changes.back(f"connected to {self.identity.host}", now)
        held = self.work.holds_session(now)
        if folded is None:
            self._advise(None, now, held=held)
            return
        changed = before is None or folded is not before.report
        if changed:
            self.view = self._shown = View(folded, self.traits)
            self._watch_homing(self.view)
        assert self.view is not None
        if changed:
            pressing = before is None or any(before.report.get(key) != folded.get(key) for key in _PRESSING)
            self.work.observe()
            self._release()
            self._obedience.reported(before, self.view)
            # The status first: it is what a reader waits for, and each message before it would cost it time.
            if before is None or not was_online or not is_flicker(before.report, folded, fields):
                self.statuses.changed(pressing=pressing or not was_online)
            late = None if before or self._tracker.awaits_end else self.work.late_end(self.view)
            self._tell([*([late] if late else []), *self._tracker.report(self.view, now)])
        elif not was_online:
            self.statuses.changed(pressing=True)
        self._advise(self.view, now, held=held)
        self.work.settle()
        self.waiters.pulse()

    def _advise(self, view: View | None, now: float, *, held: bool) -> None:
        if self._session is not None:
            self._follow(self._session.reported(view, now, quiet=held))

    def _watch_homing(self, view: View) -> None:
        """A homing that began and ended before our eyes homes the axes, also where `home_flag` is not told."""
        homing = view.stage == _HOMING_STAGE
        self._saw_home = self._saw_home or (self._homing and not homing)
        self._homing = homing

    def saw_effect(self, request: Request) -> None:
        """A request was confirmed, or its effect was seen."""
        self._obedience.saw_effect(request)

    def _developer_mode_changed(self, mode: bool | None, is_news: bool) -> None:
        if is_news and mode:
            self.log.info("Developer Mode is on: it can be controlled again")
        elif is_news:
            advice = developer_mode_advice(self.traits)
            self.log.warning("obeys only signed commands, so it is watched and cannot be controlled. %s", advice)
        self.statuses.changed(pressing=True)

    def _version(self, message: VersionInfo) -> None:
        ours = self._requests.take(message) is not None
        if ours and self._session is not None:
            self._session.answered(self.clock.monotonic())
        told = (firmware_in(text(each.get("sw_ver"))) for each in message.modules if each.get("name") == "ota")
        firmware = next(filter(None, told), None)
        model = None if self.identity.model_is_given else model_of_modules(message.modules)
        if (firmware and firmware != self.firmware) or (model and model is not self.model):
            if self.firmware is not None and firmware not in (None, self.firmware):
                self._obedience.firmware_changed()
            self.firmware = firmware or self.firmware
            self._become(model or self.model)
        if ours:
            self.waiters.pulse()

    def _become(self, model: Model) -> None:
        if model is not self.model:
            self.log.info("is a %s by its own word", model.value)
        self.model = model
        self.traits = self.identity.adjust(TRAITS[model])
        self._shown = View(self._shown.report, self.traits)
        if self.view is not None:
            self.view = self._shown
        self.statuses.changed(pressing=False)

    # -- what goes out -------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return the status data, now."""
        link = Link(
            serial=self.identity.serial,
            name=self.identity.name,
            host=self.identity.host or "",
            is_connecting=self._connecting,
            is_online=self.is_online,
            has_access_right=self._has_access,
            verified=self._verified,
            last_report=None if self._reported_wall is None else timestamp_text(self._reported_wall),
            reconnects=max(0, self.sessions - 1),
            firmware=self.firmware,
        )
        return self._writer.write(self.situation(), link, self.work.process(), self._shown)

    def _say_status(self, data: dict[str, Any]) -> None:
        more = {"report": self._shown.report} if self._include_report else {}
        self.voice.say(MessageType.STATUS, data | more)

    def restore(self, told_online: bool) -> None:
        """Take up what was told of the connection before the restart."""
        self._tracker.resume(told_online)

    def restored(self) -> None:
        """The print of a command became known while reports were coming already: it may have ended long ago."""
        late = None if self.view is None else self.work.late_end(self.view)
        self._tell([late] if late else [])

    def note_stop(self) -> None:
        """We sent a stop: how the print ends is known to be a cancellation."""
        self._tracker.note_stop()

    def forget_stop(self) -> None:
        """Our stop had no effect: an end that follows later is not its doing."""
        self._tracker.forget_stop()

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if event.name == "PrintStarted" and self.work.start_is_out:
                self._held = event  # whose print it is will be known in a moment
            else:
                self.tell(event)

    def _release(self) -> None:
        """Tell the beginning of a print that waited for the outcome of our start."""
        held, self._held = self._held, self._held if self.work.start_is_out else None
        if held is not None and self._held is None:
            self.tell(replace(held, details={"job": job_of(self._shown)}))

    def tell(self, event: Event) -> None:
        """Tell one event; one that ended a print of ours with an error is an error message too."""
        details = self.work.describe(event)
        self.voice.say(MessageType.EVENT, {"event": event.name, **details})
        # The wire tells its own comings and goings.
        level = logging.DEBUG if event.name in _WIRE_EVENTS else logging.INFO
        self.log.log(level, "%s", event_line(event.name, details))
        error = details.get("print_error")
        job = details.get("job", {})
        if event.name == "PrintFailed" and error and "job_id" in job:
            self.voice.say(MessageType.ERROR, print_failure(f"The print was stopped by error {error}.", job["job_id"]))

    def tick(self) -> None:
        """A second has gone by."""
        now = self.clock.monotonic()
        if self._session is not None and self.work.holds_session(now):
            self._session.excuse(now)
            if self.work.quiet_for(now) <= 0:
                self._follow(self._session.need_base(now))  # lost and made anew meanwhile: without a base nobody sees
        elif self._session is not None:
            if self.work.is_transferring():
                self._session.excuse(now)
            self._follow(self._session.tick(now))
        self._obedience.look()  # a complaint counts once a session is some seconds old
        self._tell(self._tracker.tick(now))
        if self.is_heard():
            self._tell(self._tracker.online(self.is_online, now))
        if self._reported_at is not None and ONLINE_S <= now - self._reported_at < ONLINE_S + 2:
            self.statuses.changed(pressing=True)
        self.work.observe()
        self._release()
        self.work.settle()
        self.waiters.pulse()
