"""What a printer needs to know of its jobs."""

from typing import Any, Protocol

from bambu_connector.bambu.view import View
from bambu_connector.translate.events import Event
from bambu_connector.translate.status import Process


class Work(Protocol):
    """The jobs of a printer, as far as the printer itself needs to know."""

    @property
    def is_under_way(self) -> bool:
        """A job has not ended."""

    @property
    def start_is_out(self) -> bool:
        """A start is published and its outcome is not known."""

    @property
    def start_is_unexplained(self) -> bool:
        """A start ended unknown, and nothing has explained it since."""

    def is_transferring(self) -> bool:
        """A file is being written to the printer, which makes it slow to speak."""

    def holds_session(self, now: float) -> bool:
        """No `pushall` and no rebuild now: a start is out, or was until a moment ago."""

    def quiet_for(self, now: float) -> float:
        """For how many seconds the printer must be left alone, even if its session is lost."""

    def process(self) -> Process:
        """What the status says of jobs."""

    def observe(self) -> None:
        """A report came, or time went by: has our start been taken?"""

    def settle(self) -> None:
        """The same, after the events were told: has a print of ours ended?"""

    def late_end(self, view: View) -> Event | None:
        """Return the end of a print of ours that the first report of a session shows ended."""

    def describe(self, event: Event) -> dict[str, Any]:
        """Return the details of an event, with the ids of the command that began its print."""
