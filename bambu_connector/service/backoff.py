"""How long to wait before trying again: longer each time, never in step with others."""

import random
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 30.0  # printers free client slots slowly, and a powered-off one needs no hammering
REFUSED_S: Final = 600.0  # at least; a wrong access code or certificate needs a person
STABLE_S: Final = 60.0  # a session that held for so long was a good one


class Backoff:
    """The delays of one connection."""

    def __init__(self, *, longest: float = LONGEST_S) -> None:
        self._longest = longest
        self._next = FIRST_S

    def delay(self, *, retryable: bool) -> float:
        """Return the next delay in seconds."""
        if not retryable:
            return REFUSED_S * random.uniform(1.0, 1.1)  # noqa: S311  # jitter, not a secret
        base, self._next = self._next, min(self._next * 2, self._longest)
        return base * random.uniform(0.75, 1.25)  # noqa: S311

    def reset(self) -> None:
        """The last connection was a good one."""
        self._next = FIRST_S
