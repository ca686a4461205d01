"""The real links, put together for a configuration: the only place where service and links meet."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.config import Config, Printago, PrinterConfig, PrinterTls
from bambu_connector.errors import ConfigError
from bambu_connector.links.dial import Dialer
from bambu_connector.links.discovery import Discovery
from bambu_connector.links.download import HttpDownloader
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.links.mqtt_login import Login, Will
from bambu_connector.links.printago_mqtt import PrintagoMqtt
from bambu_connector.links.printer_ftps import FtpsPool, PrinterFtps
from bambu_connector.links.printer_mqtt import PrinterMqtt
from bambu_connector.links.probe import NetworkProber
from bambu_connector.links.tls import Trust, broker_context
from bambu_connector.registry import Registry
from bambu_connector.secret import Secret
from bambu_connector.service.farm import topics_of
from bambu_connector.service.memory import Learned

_MB: Final = 1024 * 1024
_FILE_READERS: Final = 2  # hashing and inspecting a file takes a Pi seconds: one slow file must not hold up the farm
_NOTHING: Final = Secret("")


class PinnedTrust:
    """Fulfils `service.memory.Memory`. Whom to trust is what the configuration says, else what the registry knows."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._written: dict[str, PrinterTls] = {}

    def trust(self, printer: PrinterConfig) -> Trust:
        """Return what a printer's certificate is judged by, now."""
        self._written[printer.serial] = printer.tls
        return self._judged(printer.serial)

    def _judged(self, serial: str) -> Trust:
        tls = self._written.get(serial, PrinterTls())
        if tls.fingerprint or tls.ca_file or not tls.verify:
            return Trust(serial, tls.fingerprint, tls.ca_file, tls.verify)
        known = self._registry.entry(serial)
        return Trust(serial, known.fingerprint if known else None)

    def wants(self, serial: str) -> bool:
        """Say whether the certificate shown next is to be pinned."""
        trust = self._judged(serial)
        return trust.verify and trust.fingerprint is None and trust.ca_file is None

    def remember(self, serial: str, fingerprint: str) -> None:
        """Pin a certificate."""
        self._registry.learn(serial, fingerprint=fingerprint)

    def place(self, serial: str) -> str | None:
        """Return the address at which the printer was found last."""
        try:
            known = self._registry.entry(serial)
        except ConfigError:  # that is told where it decides about trust
            return None
        return known.host if known else None

    def moved(self, serial: str, host: str) -> None:
        """Note where the printer proved to be itself."""
        self._registry.learn(serial, host=host)

    def learned(self, news: Mapping[str, Learned]) -> None:
        """Note what printers turned out to be."""
        self._registry.learn_all({serial: asdict(each) for serial, each in news.items()})


class RealWires:
    """Fulfils `service.farm.Wires` with the real links.

    `blot_out` keeps a secret out of the log. It is told each access code before that leaves for a printer: pairing
    brings codes that stood in no configuration when the log was set up.
    """

    def __init__(self, config: Config, blot_out: Callable[[Secret], None] = lambda _secret: None) -> None:
        self._blot_out = blot_out
        downloads = config.downloads
        rules = DownloadRules(
            max_bytes=int(downloads.max_size_mb * _MB),
            allow_http=downloads.allow_http,
            allow_private_addresses=downloads.allow_private_addresses,
            allowed_hosts=downloads.allowed_hosts,
            timeout_s=downloads.timeout,
        )
        self.registry = Registry(config.connector.state_dir)
        self.memory = PinnedTrust(self.registry)
        self.dialer = Dialer()
        self.uplink_dialer = Dialer()  # of its own: names of printers that hang must not hold up Printago's
        self.downloader = HttpDownloader(rules)
        self.files: Executor = ThreadPoolExecutor(_FILE_READERS, thread_name_prefix="files")
        self._ftps = FtpsPool(config.storage.uploads)
        self.prober = NetworkProber(self.dialer, self.uplink_dialer, self.trust)

    def trust(self, printer: PrinterConfig) -> Trust:
        """Return what a printer's certificate is judged by, now."""
        return self.memory.trust(printer)

    def ears(self, hear: Callable[[Announcement], None]) -> Discovery:
        """Return what hears announcements."""
        return Discovery(hear)

    def link(self, printer: PrinterConfig) -> PrinterMqtt:
        """Return a fresh way to a printer's broker."""
        return PrinterMqtt(
            serial=printer.serial,
            host=printer.host or "",
            port=printer.ports.mqtt,
            access_code=self._code_of(printer),
            trust=self.trust(printer),
            dialer=self.dialer,
        )

    def storage(self, printer: PrinterConfig, traits: Traits) -> PrinterFtps:
        """Return the way to a printer's files."""
        return PrinterFtps(
            serial=printer.serial,
            host=printer.host or "",
            port=printer.ports.ftps,
            access_code=self._code_of(printer),
            trust=self.trust(printer),
            dialer=self.dialer,
            pool=self._ftps,
            protection="C" if traits.ftps_protection == "C" else "P",
        )

    def _code_of(self, printer: PrinterConfig) -> Secret:
        code = printer.access_code or _NOTHING
        self._blot_out(code)
        return code

    def close(self) -> None:
        """Let every thread go."""
        self.dialer.close()
        self.uplink_dialer.close()
        self.downloader.close()
        self._ftps.close()
        self.files.shutdown(wait=False, cancel_futures=True)


@contextmanager
def wires_of(config: Config, blot_out: Callable[[Secret], None] = lambda _secret: None) -> Iterator[RealWires]:
    """Put the links together, and take them apart again; `blot_out` is told every access code that is used."""
    wires = RealWires(config, blot_out)
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
