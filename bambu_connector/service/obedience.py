"""Feeds what one printer says into what is known of its obedience, and notices when that changes."""

from collections.abc import Callable

from bambu_connector.bambu.obedience import TOLD_BY, Obedience
from bambu_connector.bambu.report import Outcome, Reply
from bambu_connector.bambu.request import Request, is_print
from bambu_connector.bambu.view import View
from bambu_connector.service.clock import Clock
from bambu_connector.service.requests import Ticket

OnChange = Callable[[bool | None, bool], None]
"""Takes the Developer Mode, and whether a person wants to know: it is off, or on again, by what was known last."""


class ObedienceWatch:
    """Watches one printer. `on_change` is called within the method that brought the change."""

    def __init__(self, clock: Clock, on_change: OnChange) -> None:
        self._clock = clock
        self._on_change = on_change
        self._obedience = Obedience()
        self._seen: bool | None = None
        self._last_known: bool | None = None

    @property
    def developer_mode(self) -> bool | None:
        """Whether unsigned commands are obeyed; None: not known."""
        return self._obedience.developer_mode(self._clock.monotonic())

    def session_opened(self) -> None:
        """A session begins."""
        self._obedience.session_opened(self._clock.monotonic())
        self.look()

    def firmware_changed(self) -> None:
        """The printer has another firmware than before."""
        self._obedience.firmware_changed()
        self.look()

    def reported(self, before: View | None, view: View) -> None:
        """Take a report; `before` is the one before it in the same session."""
        if before is None or any(before.report.get(key) is not view.report.get(key) for key in TOLD_BY):
            self._obedience.reported(view, is_first=before is None)
            self.look()

    def replied(self, reply: Reply, ticket: Ticket | None) -> None:
        """Take a reply; `ticket` is the request of ours that it answers, None when it is somebody else's."""
        self._obedience.replied(reply)
        if ticket is not None and reply.outcome is Outcome.SUCCESS:
            self.saw_effect(ticket.request)
        self.look()

    def saw_effect(self, request: Request) -> None:
        """A request of ours was confirmed, or its effect was seen."""
        if is_print(request):
            self._obedience.obeyed()
            self.look()

    def look(self) -> None:
        """Look whether something has changed; time alone may have done it."""
        mode = self.developer_mode
        if mode is self._seen:
            return
        self._seen = mode
        is_news = mode is not None and mode is not self._last_known and False in (mode, self._last_known)
        self._last_known = self._last_known if mode is None else mode
        self._on_change(mode, is_news)
