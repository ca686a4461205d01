"""How old a command may be: what was meant some time ago may not be meant now (contract, guards)."""

import math
from typing import Final

from bambu_connector.errors import Expired
from bambu_connector.printago.commands import Command

CLOCK_SET_FROM: Final = 1_735_689_600.0  # 2025-01-01: a Pi without a network begins in 1970, or at its last shutdown
FUTURE_TOLERANCE_S: Final = 5.0


def clock_is_set(wall: float) -> bool:
    """Say whether this machine's clock can be believed."""
    return wall >= CLOCK_SET_FROM


def is_from_the_future(command: Command, wall: float) -> bool:
    """Say whether the sender's clock is ahead of ours by more than the road explains."""
    stamp = command.header.timestamp
    return stamp is not None and clock_is_set(wall) and stamp > wall + FUTURE_TOLERANCE_S


def seconds_left(command: Command, wall: float, waited: float = 0.0) -> tuple[float, float]:
    """Return how long the command may still wait, and how long until its `expires_at`; infinity for no limit.

    Raises Expired when it is too old already. `wall` is now, in seconds since the epoch; `waited` is for how long the
    broker may have kept a command that does not say, or of which we cannot judge, when it was sent.
    """
    limit = command.order.max_age
    if limit is None:
        return math.inf, math.inf
    header, judged = command.header, clock_is_set(wall)
    age = waited
    if header.timestamp is not None and judged:
        age = max(0.0, wall - header.timestamp)
    if age > limit:
        raise Expired(f"The command is {age:.0f} s old; {limit:.0f} s are allowed.")
    until = seconds_to_expiry(command, wall)
    if until <= 0:
        raise Expired("The command's expires_at is past.")
    return min(limit - age, until), until


def seconds_to_expiry(command: Command, wall: float) -> float:
    """Return how long until the command's `expires_at`, below 0 when it is past; infinity without one."""
    expires_at = command.header.expires_at
    return math.inf if expires_at is None or not clock_is_set(wall) else expires_at - wall
