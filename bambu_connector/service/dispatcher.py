"""A delivery from Printago (or a command from the command line) → the right printer's desk, and its one answer."""

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from bambu_connector.errors import (
    CommandError,
    ConnectorError,
    Expired,
    Internal,
    InvalidMessage,
    StartUnknown,
    TimedOut,
    UnknownPrinter,
)
from bambu_connector.printago import messages, orders
from bambu_connector.printago.commands import Command, Header, Refusal, parse_command
from bambu_connector.printago.messages import Answer, Message
from bambu_connector.printago.topics import Routes
from bambu_connector.service.clock import Clock
from bambu_connector.service.desk import Desk
from bambu_connector.service.journal import Journal, Seen
from bambu_connector.service.ports import Delivery
from bambu_connector.service.receipts import Receipts, Reopened, command_key
from bambu_connector.service.store import Importance, Opening
from bambu_connector.service.voice import Voice
from bambu_connector.translate import age

_IMPORTANCE: Final = {
    "printer_control/start_print_bbl": Importance.START,
    "printer_control/start_print": Importance.START,
    "printer_control/get_status": Importance.QUESTION,
    "printer_control/list_files": Importance.QUESTION,
}
_QUESTIONS: Final = (orders.GetStatus, orders.ListFiles, orders.CameraOrder)
_HARMLESS_AGAIN: Final = (orders.StopPrint, orders.PausePrint, *_QUESTIONS)
KEPT_S: Final = 330.0  # for how long the broker keeps our session, and what it had sent to it, and some time to spare
Post = Callable[[Message], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counter:
    """Where commands for one printer are taken: its desk and its voice."""

    serial: str
    desk: Desk
    voice: Voice


class Ignored(Exception):  # not an error: another connector's business
    """The command is not ours to answer."""


class Dispatcher:
    """Routes commands to `printers`; `own` speaks for the connector itself."""

    def __init__(
        self,
        printers: Iterable[Counter],
        own: Voice,
        *,
        routes: Routes,
        exclusive: bool,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._printers: dict[str, Counter] = {}
        self._serials: dict[str, str] = {}
        for each in printers:
            self.admit(each)
        self._own = own
        self._routes = routes
        self._exclusive = exclusive
        self._journal = journal
        self._receipts = Receipts(journal)
        self._clock = clock
        self._began = clock.monotonic()

    @property
    def printer_ids(self) -> tuple[str, ...]:
        """The ids of the printers that commands are taken for."""
        return tuple(self._printers)

    def admit(self, counter: Counter) -> None:
        """Take commands for a printer from now on."""
        printer_id = counter.voice.printer_id
        self._printers[printer_id] = counter
        self._serials[counter.serial] = printer_id

    def dismiss(self, printer_id: str) -> None:
        """Take no more commands for a printer."""
        counter = self._printers.pop(printer_id, None)
        if counter is not None:
            del self._serials[counter.serial]

    def follow(self, routes: Routes) -> None:
        """Commands come on these topics from now on."""
        self._routes = routes

    def deliver(self, delivery: Delivery, post: Post) -> None:
        """Take one message of a command topic; its answer, if it gets one, goes to `post`. Never raises."""
        try:
            self._deliver(delivery, post)
        except Exception:  # a bug in one command must not cost the connection, nor leave the command without an answer
            log.exception("a bug in taking a command")
            header = parse_command(delivery.payload).header
            self._refuse(header, _bug(), lambda answer: post(self._own.answer(header, answer)))

    def _deliver(self, delivery: Delivery, post: Post) -> None:
        if delivery.retain:
            log.info("ignored a retained command on %s: it is old by definition", delivery.topic)
            return
        parsed = parse_command(delivery.payload)
        named = self._routes.printer_of(delivery.topic)
        counter: Counter | None = None
        try:
            self._require_topic(delivery.topic)
            counter = self._find(parsed.header, named)
        except Ignored:
            log.debug("ignored a command that is not for a printer of ours")
            return
        except CommandError as error:
            parsed = Refusal(parsed.header, error if isinstance(parsed, Command) else parsed.error)
        if self._came_before(parsed.header, delivery):
            return
        receipt = self._receipts.issue()
        reply = self._receipts.replier(receipt, counter.voice if counter else self._own, parsed.header, post)
        try:
            self._receipts.keep(receipt, parsed, delivery.payload, counter.voice.printer_id if counter else None)
            if delivery.dup and isinstance(parsed, Command):
                self._require_unknown_to_earlier(parsed)
        except ConnectorError as error:
            self._refuse(parsed.header, error, reply)
            return
        try:
            self._take(parsed, counter, reply, receipt, waited=KEPT_S if delivery.kept else 0.0)
        except Exception:  # it must not leave the command without its answer
            log.exception("a bug in taking %s", parsed.header.command)
            self._refuse(parsed.header, _bug(), reply)

    def send(self, printer_id: str, payload: bytes, post: Post) -> None:
        """Take one command from the command line for a printer of ours."""
        parsed, counter = parse_command(payload), self._printers[printer_id]
        self._take(parsed, counter, lambda answer: post(counter.voice.answer(parsed.header, answer)), None)

    # -- what an earlier process left ----------------------------------------------------------

    def reopen(self, post: Post) -> dict[str, Reopened]:
        """Return every command that an earlier process took and did not answer, by receipt."""
        return self._receipts.reopen(self._voice_of, post)

    def _voice_of(self, printer_id: str | None) -> Voice:
        counter = self._printers.get(printer_id or "")
        return counter.voice if counter else self._own.of(printer_id)

    def close_unanswered(self, left: Iterable[Reopened]) -> None:
        """Answer what cannot go on: whether it was carried out nobody knows."""
        error = TimedOut("The connector was restarted while this was under way: whether it was done is not known.")
        for each in left:
            self._refuse(each.header, error, each.reply)

    def close_job(self, left: Reopened, *, was_started: bool, has_printer: bool) -> None:
        """Answer a job that cannot go on; `was_started`: its start was sent, or was about to be."""
        error: CommandError
        if was_started:
            error = StartUnknown(
                "The connector was restarted after the start was sent: nobody knows what became of it."
            )
        elif has_printer:
            error = Internal("The connector was restarted, and cannot go on with this job. Nothing was started.")
        else:
            error = UnknownPrinter("The printer was taken out of the connector. Nothing was started.")
        self._refuse(left.header, error, left.reply)

    def _require_unknown_to_earlier(self, command: Command) -> None:
        """Refuse a delivery that an earlier process may have carried out, and could not remember.

        The broker marks what it has sent before. Where that process ended in order it remembered everything; where
        it did not, a few milliseconds of what it did may be missing here, but no job, which is remembered first.
        """
        journal = self._journal
        if journal.opening is Opening.CLOSED or self._clock.monotonic() - self._began > KEPT_S:
            return
        forgetful = journal.opening in (Opening.NEW, Opening.DAMAGED)
        is_job = isinstance(command.order, orders.JobOrder)
        if isinstance(command.order, _HARMLESS_AGAIN) or (is_job and not forgetful):
            return
        raise Expired(
            "It was delivered before, to the connector before its restart, and nobody knows whether that one did it."
            " Look at the printer, and send it again."
        )

    def resolve(self, name: str) -> str | None:
        """Return the id of the printer that is called `name`, by id or by serial."""
        return name if name in self._printers else self._serials.get(name)

    def _require_topic(self, topic: str) -> None:
        """Refuse what comes on a topic of a printer that is gone: the broker's session may have kept it."""
        if self._routes.knows(topic):
            return
        if not self._exclusive:
            raise Ignored
        raise UnknownPrinter("The printer of this topic is not here any more.")

    # -- who is meant --------------------------------------------------------------------------

    def _find(self, header: Header, named: str | None) -> Counter | None:
        """Return the printer that is meant; None when the message is too broken to mean one."""
        asked = self.resolve(header.printer) if header.printer else None
        if named is not None:
            if header.printer and asked != named:
                raise InvalidMessage(f"The message names printer {header.printer[:64]}, and its topic names {named}.")
            return self._known(named)
        if asked is not None:
            return self._printers[asked]
        if not self._exclusive:
            raise Ignored
        if header.printer:
            raise UnknownPrinter(f"There is no printer {header.printer[:64]} here.")
        if header.command is None:
            return None
        if len(self._printers) != 1:
            raise InvalidMessage(f"printer_id is required: there are {len(self._printers)} printers here.")
        return next(iter(self._printers.values()))

    def _known(self, printer_id: str) -> Counter:
        found = self._printers.get(printer_id)
        if found is None:  # it was taken out a moment ago, and its topic with it
            raise UnknownPrinter(f"There is no printer {printer_id[:64]} here any more.")
        return found

    # -- whether it came before ----------------------------------------------------------------

    def _came_before(self, header: Header, delivery: Delivery) -> bool:
        payload = delivery.payload
        if header.command_id is not None:
            key = command_key(header.command_id)
        else:
            key = f"dup:{hashlib.sha256(delivery.topic.encode() + bytes(1) + payload).hexdigest()}"
        importance = _IMPORTANCE.get(header.command or "", Importance.COMMAND)
        seen = self._journal.note_command(key, payload, importance)
        if header.command_id is None and not delivery.dup:
            return False  # without an id and without the broker's mark of a repetition it is a new one
        if seen is Seen.CHANGED:
            log.warning("ignored a command: its command_id %s came before with another payload", header.command_id)
        elif seen is Seen.AGAIN:
            log.info("ignored a command that came before: %s", header.command)
        return seen is not Seen.NEW

    # -- handing on ----------------------------------------------------------------------------

    def _take(
        self,
        parsed: Command | Refusal,
        counter: Counter | None,
        reply: Callable[[Answer], None],
        receipt: str | None,
        *,
        waited: float = 0.0,
    ) -> None:
        header = parsed.header
        if isinstance(parsed, Refusal):
            self._refuse(header, parsed.error, reply)
            return
        assert counter is not None, "a command that is well formed found its printer"
        wall = self._clock.wall()
        if age.is_from_the_future(parsed, wall):
            log.warning("%s has a timestamp in the future: the sender's clock or ours is wrong", header.command)
        if (header.timestamp or header.expires_at) is not None and not age.clock_is_set(wall):
            log.warning("this machine's clock is not set: the age of %s is not judged", header.command)
        try:
            waits, expires = age.seconds_left(parsed, wall, waited)
        except ConnectorError as error:
            self._refuse(header, error, reply)
            return
        level = logging.DEBUG if isinstance(parsed.order, _QUESTIONS) else logging.INFO
        log.log(level, "%s for %s", _named(header), counter.voice.printer_id)
        counter.desk.submit(parsed, waits=waits, expires=expires, reply=reply, receipt=receipt)

    @staticmethod
    def _refuse(header: Header, error: ConnectorError, reply: Callable[[Answer], None]) -> None:
        log.warning("%s: %s", _named(header), error)
        reply(messages.failure(header, error))


def _named(header: Header) -> str:
    """Return what the log calls a command."""
    name = header.command or "a message"
    return name if header.command_id is None else f"{name} {header.command_id}"


def _bug() -> Internal:
    return Internal("The connector has a bug here; its log says more.")
