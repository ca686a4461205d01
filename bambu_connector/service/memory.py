"""What is remembered of printers beyond this process, beside the journal: trust, places, what they turned out to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Learned:
    """What a printer turned out to be; None: not known."""

    developer_mode: bool | None = None
    firmware: str | None = None


class Memory(Protocol):
    """What was learned of each printer, by serial. All of it may touch the disk and raise ConfigError."""

    def wants(self, serial: str) -> bool:
        """Say whether this printer's certificate is to be pinned: nothing else says whom to trust, and none is yet."""

    def remember(self, serial: str, fingerprint: str) -> None:
        """Pin `sha256:<hex>`; on disk when this returns."""

    def place(self, serial: str) -> str | None:
        """Return the address at which the printer was found last, None where none was noted."""

    def moved(self, serial: str, host: str) -> None:
        """Note the address at which the printer proved to be itself."""

    def learned(self, news: Mapping[str, Learned]) -> None:
        """Note what printers turned out to be, by serial; None leaves what was noted before."""
