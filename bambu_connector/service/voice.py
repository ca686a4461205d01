"""Speaks to Printago for one printer (or for the connector itself): gives each message its time and its id."""

import uuid
from collections.abc import Callable
from typing import Any

from bambu_connector.printago.commands import Header
from bambu_connector.printago.messages import Answer, Message, MessageType, envelope
from bambu_connector.service.clock import Clock

Post = Callable[[Message], None]


class Voice:
    """Makes messages and posts them."""

    def __init__(self, printer_id: str, post: Post, clock: Clock) -> None:
        self.printer_id = printer_id
        self._post = post
        self._clock = clock

    def of(self, printer_id: str | None) -> "Voice":
        """Return the voice of a printer that is not here any more; None: this one."""
        return self if printer_id is None else Voice(printer_id, self._post, self._clock)

    def say(self, kind: MessageType, data: dict[str, Any]) -> None:
        """Post a message that answers nothing: a status, an event, a pairing."""
        self._post(envelope(kind, self.printer_id, data, moment=self._clock.wall(), message_id=str(uuid.uuid4())))

    def answer(self, header: Header, answer: Answer) -> Message:
        """Return the one answer to a command, ready to be posted."""
        return envelope(
            answer.type,
            self.printer_id,
            answer.data,
            moment=self._clock.wall(),
            message_id=str(uuid.uuid4()),
            command=header.command,
            command_id=header.command_id,
        )
