"""What the service needs from the wires, as protocols; `links` fulfils them, tests fake them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.config import Printago, PrinterConfig
from bambu_connector.errors import LinkError
from bambu_connector.links.wire import Delivery, Downloaded, Progress, StoredFile
from bambu_connector.secret import Secret
from bambu_connector.service.memory import Memory

if TYPE_CHECKING:
    from bambu_connector.registry import Paired

__all__ = [
    "Book",
    "BrokerVisit",
    "Delivery",
    "Downloaded",
    "Downloader",
    "Ears",
    "PrintagoConnection",
    "PrintagoLink",
    "PrinterConnection",
    "PrinterLink",
    "PrinterStorage",
    "Prober",
    "Progress",
    "StoredFile",
    "UplinkState",
    "Wires",
]


class PrinterConnection(Protocol):
    """One MQTT session with one printer: subscribed to its reports, used once."""

    @property
    def fingerprint(self) -> str | None:
        """`sha256:<hex>` of the certificate that the printer showed."""

    @property
    def address(self) -> str | None:
        """The address that it leads to, where that is known."""

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

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Want no more of these topics; raises LinkError when the session is gone."""

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


class Ears(Protocol):
    """What hears the printers announce themselves."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What keeps it from hearing all, one sentence each."""

    async def open(self) -> None:
        """Listen from now on; what cannot be listened to is in `troubles`."""

    def search(self, hosts: Sequence[str] = ()) -> None:
        """Ask all printers, and whoever is at these addresses, to announce themselves."""

    def close(self) -> None:
        """Listen no more."""


class Book(Protocol):
    """Where it stands which printers are paired. All of it may touch the disk and raise ConfigError."""

    def entries(self) -> "Mapping[str, Paired]":
        """Return everything that is known, by serial."""

    def entry(self, serial: str) -> "Paired | None":
        """Return what is known of one printer."""

    def store(self, paired: "Paired") -> None:
        """Put a whole entry in the place of the one before; on return it is on disk."""

    def forget(self, serial: str) -> bool:
        """Remove an entry; False when there was none."""


class Wires(Protocol):
    """What makes the links; the command line puts the real ones in."""

    @property
    def downloader(self) -> Downloader:
        """What fetches files."""

    @property
    def memory(self) -> Memory:
        """What is remembered of printers."""

    @property
    def registry(self) -> Book:
        """Which printers are paired."""

    @property
    def files(self) -> Executor:
        """What reads whole files off the loop."""

    @property
    def prober(self) -> "Prober":
        """What looks how far the way to somebody goes."""

    def ears(self, hear: Callable[[Announcement], None]) -> Ears:
        """Return what hears announcements; `hear` is called on the loop."""

    def link(self, printer: PrinterConfig) -> PrinterLink:
        """Return a fresh way to a printer's broker at its `host`, trusting what is trusted by now."""

    def storage(self, printer: PrinterConfig, traits: Traits) -> PrinterStorage:
        """Return the way to a printer's files at its `host`."""


# -- looking at one step of the way after the other --------------------------------------------------


class BrokerVisit(Protocol):
    """A short session with Printago's broker, beside the service's: no last will, nothing published or acknowledged."""

    @property
    def protocol(self) -> str:
        """`"5"` or `"3.1.1"`: what was agreed."""

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Find out whether these topics may be read; raises LinkError when one is refused."""

    async def close(self) -> None:
        """Say DISCONNECT and close; never raises."""


class Prober(Protocol):
    """Looks how far the way to a printer or to Printago goes. No printer ever gets a byte of a credential from it."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a name; raises Unreachable."""

    async def reach(self, host: str, port: int) -> None:
        """Connect with TCP and hang up; raises Unreachable."""

    async def identity(self, printer: PrinterConfig, port: int) -> str:
        """Have a printer prove who it is on one of its ports and hang up; return its certificate's fingerprint.

        Raises IdentityMismatch, NotAPrinter, Unreachable.
        """

    async def broker_identity(self, printago: Printago) -> str:
        """Do the same with Printago's broker; return the version of TLS. Raises ConfigError as well."""

    async def visit(self, printago: Printago) -> BrokerVisit:
        """Log in to Printago's broker under a client id of its own; raises LinkError, ConfigError."""


class UplinkState(Protocol):
    """The service's connection to Printago, as far as can be told of it."""

    @property
    def is_connected(self) -> bool:
        """There is a session."""

    @property
    def error(self) -> LinkError | None:
        """Why there is none; None while none was tried."""

    @property
    def protocol(self) -> str | None:
        """The version of MQTT that is spoken."""
