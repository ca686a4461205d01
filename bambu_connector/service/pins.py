"""What is trusted from the first contact on."""

from typing import Protocol


class Pins(Protocol):
    """Certificates pinned at the first contact, by serial."""

    def wants(self, serial: str) -> bool:
        """Say whether this printer's certificate is to be pinned: nothing else says whom to trust, and none is yet."""

    def remember(self, serial: str, fingerprint: str) -> None:
        """Pin `sha256:<hex>`; on disk when this returns."""
