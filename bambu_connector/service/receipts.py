"""Receipts: for each command from Printago that has no answer yet, what the next process needs to answer it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from bambu_connector.errors import ConfigError, Internal
from bambu_connector.printago import orders
from bambu_connector.printago.commands import Command, CommandId, Header, Refusal, parse_command
from bambu_connector.printago.messages import Answer, Message
from bambu_connector.sealing import Unsealable
from bambu_connector.service import records
from bambu_connector.service.journal import Journal
from bambu_connector.service.voice import Voice


def command_key(command_id: CommandId) -> str:
    """Return the key by which the journal knows a command that has an id."""
    return f"id:{command_id}"


Post = Callable[[Message], None]
Reply = Callable[[Answer], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reopened:
    """A command that an earlier process took and did not answer. `command` is None where it cannot go on."""

    header: Header
    command: Command | None
    reply: Reply


class Receipts:
    """Hands out receipts. One is given back with the answer: both are on disk at once, or neither."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._issued: set[str] = set()
        """Those of this process, as long as they are out."""

    def issue(self) -> str:
        """Return a new receipt."""
        receipt = self._journal.new_key()
        self._issued.add(receipt)
        return receipt

    def replier(self, receipt: str, voice: Voice, header: Header, post: Post) -> Reply:
        """Return what answers the command, and gives its receipt back."""

        def reply(answer: Answer) -> None:
            self._journal.drop(records.COMMAND, receipt)
            self._issued.discard(receipt)
            post(voice.answer(header, answer))

        return reply

    def keep(self, receipt: str, parsed: Command | Refusal, payload: bytes, printer_id: str | None) -> None:
        """Remember a command; one that can go on after a restart with all it says, sealed.

        Raises Internal when that cannot be: a job that could be forgotten is not begun.
        """
        sealed = None
        if isinstance(parsed, Command) and isinstance(parsed.order, orders.JobOrder):
            self._journal.require_disk()
            try:
                sealed = self._journal.sealer.seal(payload, receipt)
            except ConfigError as error:
                raise Internal(f"The job cannot be journalled: {error}") from error
        opened = records.OpenCommand(printer_id=printer_id, header=parsed.header, payload=sealed)
        self._journal.put(records.COMMAND, receipt, opened.body())

    def reopen(self, voice_of: Callable[[str | None], Voice], post: Post) -> dict[str, Reopened]:
        """Return every command that an earlier process took and did not answer, by receipt."""
        found = {}
        for receipt, body in self._journal.all(records.COMMAND):
            if receipt in self._issued:
                continue
            try:
                opened = records.read(records.OpenCommand.decode, body)
            except records.Unreadable as error:
                log.error("a command without an answer cannot be read: %s", error)  # noqa: TRY400 - no bug
                self._journal.drop(records.COMMAND, receipt)
                continue
            if self._was_answered(opened.header):
                found[receipt] = Reopened(opened.header, None, self._silent(receipt))
                continue
            reply = self.replier(receipt, voice_of(opened.printer_id), opened.header, post)
            found[receipt] = Reopened(opened.header, self._unseal(receipt, opened), reply)
        return found

    def _was_answered(self, header: Header) -> bool:
        """Say whether this process was given the same command as long as the journal could not be opened."""
        return header.command_id is not None and self._journal.was_noted(command_key(header.command_id))

    def _silent(self, receipt: str) -> Reply:
        return lambda _answer: self._journal.drop(records.COMMAND, receipt)

    def _unseal(self, receipt: str, opened: records.OpenCommand) -> Command | None:
        if opened.payload is None:
            return None
        try:
            parsed = parse_command(self._journal.sealer.open(opened.payload, receipt))
        except (Unsealable, ConfigError) as error:
            log.error("%s cannot go on: %s", opened.header.command, error)  # noqa: TRY400 - no bug
            return None
        return parsed if isinstance(parsed, Command) else None
