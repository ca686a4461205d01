"""The values that cross the wires: what the service gives to the links and gets from them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

Progress = Callable[[int, int | None], None]
"""Called on the loop with the bytes moved so far and, where it is known, the bytes in all."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file on a printer's storage; `modified` is None where the printer's listing is unreadable."""

    name: str
    size: int
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that was fetched whole."""

    path: Path
    size: int
    md5: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came from Printago's broker; `token` is the connection's own handle for the acknowledgement.

    `kept`: the broker may have kept it for us while there was no session; nobody knows for how long.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    token: int
    kept: bool = False
