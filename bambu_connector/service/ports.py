"""What the service needs from the wires, as protocols; `links` fulfils them, tests fake them."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from bambu_connector.links.wire import Delivery, Downloaded, Progress, StoredFile
from bambu_connector.secret import Secret

__all__ = [
    "Delivery",
    "Downloaded",
    "Downloader",
    "PrintagoConnection",
    "PrintagoLink",
    "PrinterConnection",
    "PrinterLink",
    "PrinterStorage",
    "Progress",
    "StoredFile",
]


class PrinterConnection(Protocol):
    """One MQTT session with one printer: subscribed to its reports, used once."""

    @property
    def fingerprint(self) -> str | None:
        """`sha256:<hex>` of the certificate that the printer showed."""

    @property
    def verified(self) -> bool:
        """Whether the identity was checked (false only with `tls: {verify: false}`)."""

    def send(self, payload: bytes, qos: int = 1) -> None:
        """Publish on the request topic. A missing PUBACK means nothing and is not waited for."""

    async def closed(self) -> Exception:
        """Wait until the connection is gone; return why."""

    async def close(self) -> None:
        """Say DISCONNECT (it frees the printer's slot) and close; never raises."""


class PrinterLink(Protocol):
    """The way to one printer's broker."""

    async def connect(self, on_report: Callable[[bytes], None]) -> PrinterConnection:
        """Connect, prove the identity, log in, subscribe; `on_report` is called on the loop.

        Raises LinkError: Unreachable, NotAPrinter, TooManyClients, AccessDenied, IdentityMismatch.
        """


class PrinterStorage(Protocol):
    """The files of one printer, over FTPS: each call opens a session, works, and closes it.

    Raises StorageMissing (553), StorageFull (552, 452), UploadFailed, AccessDenied, IdentityMismatch,
    Unreachable. Cancelling a call breaks its connection and waits until its thread is out.
    """

    async def put(self, source: Path, name: str, progress: Progress) -> None:
        """Store `source` as `name`; return only when the printer holds every byte (SIZE)."""

    async def fetch(self, name: str, target: Path, progress: Progress, max_bytes: int) -> None:
        """Copy a file from the printer to `target`; FileInvalid when it is not there or too large."""

    async def remove(self, name: str) -> bool:
        """Delete; False when there was no such file."""

    async def size(self, name: str) -> int | None:
        """The file's size in bytes, None when there is no such file."""

    async def list_folder(self, folder: str) -> tuple[StoredFile, ...]:
        """The regular files in `folder` (`"/"` is the root)."""


class Downloader(Protocol):
    """Fetches files by HTTP under the configured rules."""

    async def fetch(self, url: Secret, target: Path, progress: Progress) -> Downloaded:
        """Stream `url` into `target`, resuming after breaks; raises DownloadFailed."""

    def hand_over(self) -> None:
        """Leave what is not whole from now on for the next process to go on with."""


class PrintagoConnection(Protocol):
    """One MQTT session with Printago's broker, used once."""

    @property
    def protocol(self) -> str:
        """`"5"` or `"3.1.1"`: what was agreed."""

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> asyncio.Future[None]:
        """Publish; the future is done when the broker has it (at once for QoS 0), fails with LinkError."""

    def acknowledge(self, delivery: Delivery) -> None:
        """Send the PUBACK for a QoS 1 delivery of this connection."""

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe with QoS 1 and wait for the SUBACK; raises LinkError when one is refused."""

    async def closed(self) -> Exception:
        """Wait until the connection is gone; return why."""

    async def close(self) -> None:
        """Say DISCONNECT and close; never raises."""


class PrintagoLink(Protocol):
    """The way to Printago's broker."""

    async def connect(self, on_delivery: Callable[[Delivery], None]) -> PrintagoConnection:
        """Connect with the last will set; falls back to MQTT 3.1.1 where 5 is refused. Raises LinkError.

        `on_delivery` is called on the loop, and not before the connection's first `subscribe`.
        """
