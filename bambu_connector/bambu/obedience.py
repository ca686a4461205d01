"""Whether one printer obeys unsigned commands (its Developer Mode), learned from what it says anyway (reference 4.4).

Nothing is ever sent to find out: what would prove it are commands that do something.

What counts, the strongest first:

1. Bit 29 of `fun`. Where a report tells it, it alone decides, and each new value counts at once.
2. What became of commands. A reply that refuses for want of a signature means off, whoever had sent the command: with
   Developer Mode on no signature is looked at. A `print` command of ours that the printer confirmed, or that was seen
   to have its effect, means on (those of others may have been signed). The last word counts.
3. The complaint of an unsigned command in `hms`: off, as long as it is shown. Not in the first seconds of a session, in
   which a printer may still show what is over; and not any more once a command was obeyed after it appeared.

Whoever is known not to obey is sent nothing, so an `off` that was learned from a refusal could never be disproved where
`fun` is not told: the person would switch Developer Mode on, and we would go on refusing. But switching it ends the
session, and mostly changes the access code as well. So a new session makes such an `off` unknown again: the worst of it
is one more command that the printer refuses itself. A wrong `on` on the other hand is put right by the first command,
so an `on` is kept over sessions. Another firmware makes everything unknown: it may be the one that demands signatures.
"""

from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.health import SIGNING, demands_signatures
from bambu_connector.bambu.report import Outcome, Reply
from bambu_connector.bambu.view import View

SETTLING_S: Final = 5.0  # of a session, in which a complaint in `hms` alone says nothing yet
TOLD_BY: Final = ("fun", "hms", "print_error")
"""The fields of a report that are read here."""
_REASON: Final = "verify failed"


def is_signing_refusal(reply: Reply) -> bool:
    """Say whether a reply refuses a command because it is not signed."""
    return reply.outcome is Outcome.FAILED and (reply.error_code in SIGNING or _REASON in (reply.reason or "").lower())


@dataclass(slots=True)
class Obedience:
    """What is known of one printer. Times are seconds of one monotonic clock."""

    _fun: bool | None = None
    _learned: bool | None = None
    _opened_at: float = 0.0
    _complains: bool = False
    _is_disproved: bool = False
    _error: int | None = None

    def developer_mode(self, now: float) -> bool | None:
        """Return whether unsigned commands are obeyed; None: not known."""
        if self._fun is not None:
            return self._fun
        if self._complains and not self._is_disproved and now - self._opened_at >= SETTLING_S:
            return False
        return self._learned

    def session_opened(self, now: float) -> None:
        """A session begins: Developer Mode may have been switched since the last one."""
        self._opened_at = now
        self._complains = self._is_disproved = False
        self._error = None
        if not self._learned:
            self._learned = None

    def firmware_changed(self) -> None:
        """Another firmware may behave in another way."""
        self._learned = None

    def reported(self, view: View, *, is_first: bool) -> None:
        """Take a report; `is_first`: it is the first of its session, so what it shows may be old."""
        self._fun = view.developer_mode
        if self._fun is not None:
            self._learned = None
        complains = demands_signatures(view.report)
        if not complains:
            self._is_disproved = False  # should it come again, it is news
        self._complains = complains
        error, before = view.print_error, self._error
        self._error = error
        if error in SIGNING and error != before and not is_first:
            self._learned = False  # some firmware tells it nowhere else

    def replied(self, reply: Reply) -> None:
        """Take a reply to anybody's command."""
        if is_signing_refusal(reply):
            self._learned = False

    def obeyed(self) -> None:
        """A `print` command of ours was confirmed, or its effect was seen."""
        self._learned = True
        self._is_disproved = self._complains
