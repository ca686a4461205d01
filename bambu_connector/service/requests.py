"""Requests that are out: each has a sequence id of its own, and its reply is found by that id and its command."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bambu_connector.bambu.report import Outcome, Reply, VersionInfo
from bambu_connector.bambu.request import GetVersion, Request

_KEPT: Final = 256  # requests whose reply is still waited for; printers answer within seconds or never
_FIRST_FROM: Final = 1_000_000  # Bambu Studio counts from 20000 to 29999: all clients see all replies
_FIRST_RANGE: Final = 100_000_000


@dataclass(slots=True)
class Ticket:
    """A request that was published at `sent_at` (monotonic), and its reply once that has come."""

    request: Request
    sequence_id: str
    sent_at: float
    reports_before: int
    """How many reports had come when it was published."""
    session: int = 0
    """The number of the session on which it was published."""
    reply: Reply | VersionInfo | None = None


@dataclass(slots=True)
class Requests:
    """The requests of one printer."""

    _next: int = field(default_factory=lambda: _FIRST_FROM + secrets.randbelow(_FIRST_RANGE))
    _out: OrderedDict[str, Ticket] = field(default_factory=OrderedDict)

    def send(
        self, request: Request, publish: Callable[[bytes, int], None], *, now: float, reports: int, session: int = 0
    ) -> Ticket:
        """Publish a request under the next id."""
        self._next += 1
        ticket = Ticket(request, str(self._next), now, reports, session)
        self._out[ticket.sequence_id] = ticket
        while len(self._out) > _KEPT:
            self._out.popitem(last=False)
        publish(request.payload(ticket.sequence_id), request.qos)
        return ticket

    def take(self, reply: Reply | VersionInfo) -> Ticket | None:
        """Return the request that this answers, None when it is somebody else's."""
        ticket = self._out.get(reply.sequence_id or "")
        if ticket is None:
            return None
        if isinstance(reply, VersionInfo):
            matches = isinstance(ticket.request, GetVersion)
        else:
            matches = (reply.group, reply.command) == (ticket.request.group, ticket.request.command)
        if not matches:
            return None
        if isinstance(reply, VersionInfo) or reply.outcome is not Outcome.UNTOLD:
            del self._out[ticket.sequence_id]  # after an empty echo the word may still come
        ticket.reply = reply
        return ticket

    def clear(self) -> None:
        """The session is over: no reply of it can come any more."""
        self._out.clear()
