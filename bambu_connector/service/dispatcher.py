"""A delivery from Printago (or a command from the command line) → the right printer's desk, and its one answer."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bambu_connector.errors import CommandError, ConnectorError, Internal, InvalidMessage, UnknownPrinter
from bambu_connector.printago import messages
from bambu_connector.printago.commands import Command, Header, Refusal, parse_command
from bambu_connector.printago.messages import Answer, Message
from bambu_connector.printago.topics import Routes
from bambu_connector.service.clock import Clock
from bambu_connector.service.desk import Desk
from bambu_connector.service.journal import Importance, Journal, Seen
from bambu_connector.service.ports import Delivery
from bambu_connector.service.voice import Voice
from bambu_connector.translate import age

_IMPORTANCE: Final = {
    "printer_control/start_print_bbl": Importance.START,
    "printer_control/start_print": Importance.START,
    "printer_control/get_status": Importance.QUESTION,
    "printer_control/list_files": Importance.QUESTION,
}
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
    """Routes commands. `printers` is keyed by printer id; `own` speaks for the connector itself."""

    def __init__(
        self,
        printers: Mapping[str, Counter],
        own: Voice,
        *,
        routes: Routes,
        exclusive: bool,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._printers = printers
        self._serials = {counter.serial: printer_id for printer_id, counter in printers.items()}
        self._own = own
        self._routes = routes
        self._exclusive = exclusive
        self._journal = journal
        self._clock = clock

    def deliver(self, delivery: Delivery, post: Post) -> None:
        """Take one message of a command topic; its answer, if it gets one, goes to `post`. Never raises."""
        try:
            self._deliver(delivery, post)
        except Exception:  # a bug in one command must not cost the connection, nor leave the command without an answer
            log.exception("a bug in taking a command")
            header = parse_command(delivery.payload).header
            self._refuse(
                header, Internal("The connector has a bug here; its log says more."), self._replier(header, post)
            )

    def _replier(self, header: Header, post: Post) -> Callable[[Answer], None]:
        return lambda answer: post(self._own.answer(header, answer))

    def _deliver(self, delivery: Delivery, post: Post) -> None:
        if delivery.retain:
            log.info("ignored a retained command on %s: it is old by definition", delivery.topic)
            return
        parsed = parse_command(delivery.payload)
        named = self._routes.printer_of(delivery.topic)
        counter: Counter | None = None
        try:
            counter = self._find(parsed.header, named)
        except Ignored:
            log.debug("ignored a command that is not for a printer of ours")
            return
        except CommandError as error:
            parsed = Refusal(parsed.header, error if isinstance(parsed, Command) else parsed.error)
        if self._came_before(parsed.header, delivery):
            return
        self._take(parsed, counter, post)

    def send(self, printer_id: str, payload: bytes, post: Post) -> None:
        """Take one command from the command line for a printer of ours."""
        self._take(parse_command(payload), self._printers[printer_id], post)

    def resolve(self, name: str) -> str | None:
        """Return the id of the printer that is called `name`, by id or by serial."""
        return name if name in self._printers else self._serials.get(name)

    # -- who is meant --------------------------------------------------------------------------

    def _find(self, header: Header, named: str | None) -> Counter | None:
        """Return the printer that is meant; None when the message is too broken to mean one."""
        asked = self.resolve(header.printer) if header.printer else None
        if named is not None:
            if header.printer and asked != named:
                raise InvalidMessage(f"The message names printer {header.printer[:64]}, and its topic names {named}.")
            return self._printers[named]
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

    # -- whether it came before ----------------------------------------------------------------

    def _came_before(self, header: Header, delivery: Delivery) -> bool:
        payload = delivery.payload
        if header.command_id is not None:
            key = f"id:{header.command_id}"
        else:
            key = f"dup:{hashlib.sha256(delivery.topic.encode() + bytes(1) + payload).hexdigest()}"
        importance = _IMPORTANCE.get(header.command or "", Importance.COMMAND)
        seen = self._journal.note_command(key, payload, importance, now=self._clock.monotonic())
        if header.command_id is None and not delivery.dup:
            return False  # without an id and without the broker's mark of a repetition it is a new one
        if seen is Seen.CHANGED:
            log.warning("ignored a command: its command_id %s came before with another payload", header.command_id)
        elif seen is Seen.AGAIN:
            log.info("ignored a command that came before: %s", header.command)
        return seen is not Seen.NEW

    # -- handing on ----------------------------------------------------------------------------

    def _take(self, parsed: Command | Refusal, counter: Counter | None, post: Post) -> None:
        voice = counter.voice if counter else self._own
        header = parsed.header

        def reply(answer: Answer) -> None:
            post(voice.answer(header, answer))

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
            waits, expires = age.seconds_left(parsed, wall)
        except ConnectorError as error:
            self._refuse(header, error, reply)
            return
        counter.desk.submit(parsed, waits=waits, expires=expires, reply=reply)

    @staticmethod
    def _refuse(header: Header, error: ConnectorError, reply: Callable[[Answer], None]) -> None:
        log.warning("%s: %s", header.command or "a message", error)
        reply(messages.failure(header, error))
