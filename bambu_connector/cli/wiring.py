"""The real links, put together for a configuration: the only place where service and links meet."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from bambu_connector.bambu.models import Traits
from bambu_connector.config import Config, Printago, PrinterConfig
from bambu_connector.links.dial import Dialer
from bambu_connector.links.download import HttpDownloader
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.links.mqtt_login import Login, Will
from bambu_connector.links.printago_mqtt import PrintagoMqtt
from bambu_connector.links.printer_ftps import FtpsPool, PrinterFtps
from bambu_connector.links.printer_mqtt import PrinterMqtt
from bambu_connector.links.tls import Trust, broker_context
from bambu_connector.pins import PinStore
from bambu_connector.secret import Secret
from bambu_connector.service.farm import topics_of

_MB: Final = 1024 * 1024
_FILE_READERS: Final = 2  # hashing and inspecting a file takes a Pi seconds: one slow file must not hold up the farm
_NOTHING: Final = Secret("")
_PINS: Final = "printers.yaml"


class PinnedTrust:
    """Whom to trust: what the configuration says, else what was pinned at the first contact."""

    def __init__(self, config: Config) -> None:
        self._store = PinStore(config.connector.state_dir / _PINS)
        self._printers = {each.serial: each for each in config.printers}

    def trust(self, printer: PrinterConfig) -> Trust:
        """Return what a printer's certificate is judged by, now."""
        tls = printer.tls
        given = tls.fingerprint or tls.ca_file or not tls.verify
        fingerprint = tls.fingerprint if given else self._store.fingerprint(printer.serial)
        return Trust(printer.serial, fingerprint, tls.ca_file, tls.verify)

    def wants(self, serial: str) -> bool:
        """Say whether the certificate shown next is to be pinned."""
        trust = self.trust(self._printers[serial])
        return trust.verify and trust.fingerprint is None and trust.ca_file is None

    def remember(self, serial: str, fingerprint: str) -> None:
        """Pin a certificate."""
        self._store.remember(serial, fingerprint)


class RealWires:
    """Fulfils `service.farm.Wires` with the real links."""

    def __init__(self, config: Config) -> None:
        downloads = config.downloads
        rules = DownloadRules(
            max_bytes=int(downloads.max_size_mb * _MB),
            allow_http=downloads.allow_http,
            allow_private_addresses=downloads.allow_private_addresses,
            allowed_hosts=downloads.allowed_hosts,
            timeout_s=downloads.timeout,
        )
        self.pins = PinnedTrust(config)
        self.dialer = Dialer()
        self.uplink_dialer = Dialer()  # of its own: names of printers that hang must not hold up Printago's
        self.downloader = HttpDownloader(rules)
        self.files: Executor = ThreadPoolExecutor(_FILE_READERS, thread_name_prefix="files")
        self._ftps = FtpsPool(config.storage.uploads)

    def link(self, printer: PrinterConfig) -> PrinterMqtt:
        """Return a fresh way to a printer's broker."""
        return PrinterMqtt(
            serial=printer.serial,
            host=printer.host or "",
            port=printer.ports.mqtt,
            access_code=printer.access_code or _NOTHING,
            trust=self.pins.trust(printer),
            dialer=self.dialer,
        )

    def storage(self, printer: PrinterConfig, traits: Traits) -> PrinterFtps:
        """Return the way to a printer's files."""
        return PrinterFtps(
            serial=printer.serial,
            host=printer.host or "",
            port=printer.ports.ftps,
            access_code=printer.access_code or _NOTHING,
            trust=self.pins.trust(printer),
            dialer=self.dialer,
            pool=self._ftps,
            protection="C" if traits.ftps_protection == "C" else "P",
        )

    def close(self) -> None:
        """Let every thread go."""
        self.dialer.close()
        self.uplink_dialer.close()
        self.downloader.close()
        self._ftps.close()
        self.files.shutdown(wait=False, cancel_futures=True)


@contextmanager
def wires_of(config: Config) -> Iterator[RealWires]:
    """Put the links together, and take them apart again."""
    wires = RealWires(config)
    try:
        yield wires
    finally:
        wires.close()


def printago_link(config: Config, printago: Printago, dialer: Dialer) -> PrintagoMqtt:
    """Return the way to Printago's broker, with the last will set."""
    tls = printago.tls
    login = Login(
        client_id=printago.client_id,
        username=printago.username,
        password=printago.password,
        protocol=printago.protocol,
        keepalive_s=printago.keepalive,
        will=Will(topics_of(config).availability_topic(), b"disconnected"),
    )
    return PrintagoMqtt(
        host=printago.host,
        port=printago.port,
        context=broker_context(tls.ca_file, tls.cert_file, tls.key_file) if tls else None,
        login=login,
        dialer=dialer,
    )
