"""What a configuration says once it has been read: plain frozen values, every default filled in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bambu_connector.secret import Secret


@dataclass(frozen=True, slots=True)
class Connector:
    """This connector: its id on Printago's broker, and where it keeps what it must not forget."""

    id: str
    state_dir: Path


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """How Printago's broker is trusted (None: the system's authorities) and what we show it."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Topics:
    """Templates of topics; `{printer_id}`, `{type}` and `{connector_id}` are still in them."""

    commands: tuple[str, ...] = ("bambu/commands", "bambu/{printer_id}/commands")
    messages: str = "bambu/{printer_id}/{type}"
    availability: str = "bambu/{connector_id}/mqtt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Printago:
    """The way to Printago's broker. `tls` None is plain MQTT; `keepalive` is in seconds."""

    host: str
    port: int
    tls: BrokerTls | None
    username: str | None
    password: Secret | None
    client_id: str
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive: int = 30
    exclusive: bool = True
    topics: Topics = Topics()


@dataclass(frozen=True, slots=True)
class Status:
    """How often status messages are sent, in seconds, and whether they carry the whole report."""

    min_interval: float = 1.0
    heartbeat: float = 60.0
    include_report: bool = False


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one printer's services listen."""

    mqtt: int = 8883
    ftps: int = 990
    camera: int = 6000
    rtsps: int = 322


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """One printer's overrides of the model table; None leaves the table's value. `start_timeout` is in seconds."""

    start_url: Literal["ftp", "ftp3", "sdcard", "usb"] | None = None
    md5: bool | None = None
    ftps_protection: Literal["P", "C"] | None = None
    start_timeout: float | None = None
    jog_signs: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class PrinterTls:
    """How one printer's certificate is judged.

    By a fingerprint (`sha256:` and 64 hexadecimal digits in lower case), by an authority, not at all (`verify` False),
    or, with nothing set, by what was pinned at pairing or first contact.
    """

    fingerprint: str | None = None
    ca_file: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinterConfig:
    """One printer as its owner described it. None means that it was not said and has to be learned.

    Without `host` or `access_code` it is not connected until it has one.
    """

    serial: str
    id: str
    name: str | None = None
    model: str | None = None
    host: str | None = None
    access_code: Secret | None = None
    ports: Ports = Ports()
    quirks: Quirks = Quirks()
    tls: PrinterTls = PrinterTls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """What may be fetched. No `allowed_hosts` means any public host; `timeout` is seconds without a byte."""

    max_size_mb: float = 1024.0
    allow_http: bool = False
    allow_private_addresses: bool = False
    allowed_hosts: tuple[str, ...] = ()
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Storage:
    """Transfers at the same time, cache on this machine, files left on a printer (None: all are kept)."""

    uploads: int = 16
    cache_mb: float = 512.0
    keep_files: int | None = 10


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on; an IPv6 host stands without brackets."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Web:
    """The local status page; `listen` None is no page."""

    listen: Listen | None = Listen("127.0.0.1", 8888)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration. `path` is None when there is no file; `warnings` are sentences to be shown once.

    `sources` are all files that it was read from: connector.yaml, and those that hold its secrets.
    """

    connector: Connector
    printago: Printago | None = None
    status: Status = Status()
    printers: tuple[PrinterConfig, ...] = ()
    downloads: Downloads = Downloads()
    storage: Storage = Storage()
    web: Web = Web()
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()

    def secrets(self) -> tuple[Secret, ...]:
        """Return every secret in here, for the redaction of logs."""
        found = [printer.access_code for printer in self.printers]
        if self.printago:
            found.append(self.printago.password)
        return tuple(secret for secret in found if secret)
