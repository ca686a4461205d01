"""Looking a printer over, step by step: how far the way to it goes.

While the service's session is up it is the evidence, so that looking costs the printer no further one.
"""

from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Final

from bambu_connector.bambu.menus import developer_mode_advice, network_page
from bambu_connector.bambu.models import CameraKind
from bambu_connector.config import PrinterConfig
from bambu_connector.errors import (
    AccessDenied,
    ConnectorError,
    DeveloperModeRequired,
    IdentityMismatch,
    Mute,
    NotAPrinter,
    StorageFull,
    StorageMissing,
    TimedOut,
    Unreachable,
)
from bambu_connector.service.findings import Finding
from bambu_connector.service.ports import Prober
from bambu_connector.service.printer import ONLINE_S
from bambu_connector.service.remedies import remedy
from bambu_connector.service.trial import count_files, try_upload
from bambu_connector.service.unit import Unit, at
from bambu_connector.service.walk import Look, NotJudged, Told, Walk

READY_S: Final = 20.0  # an attempt takes at most 10 s, a full report of a busy P1 some more
_WEAK_DBM: Final = -75
_IN_THE_WAY: Final = (Unreachable, NotAPrinter, IdentityMismatch)
_GROUNDS: Final = MappingProxyType(
    {
        "name": "because it is not known where the printer is",
        "tcp": "because nobody answers there",
        "identity": "because it is not sure that this is the printer",
    }
)


class Checkup:
    """One look at one printer."""

    def __init__(self, unit: Unit, prober: Prober) -> None:
        self._unit = unit
        self._printer = unit.printer
        self._prober = prober
        self._files_work: bool | None = None
        self._stored = False
        self._refusal: StorageMissing | StorageFull | None = None
        """What the printer said when it did not take a file."""

    def findings(self) -> AsyncIterator[Finding]:
        """Take every step in order; a step whose ground failed is skipped."""
        steps: dict[str, Look] = {
            "name": self._name,
            "tcp": self._tcp,
            "identity": self._identity,
            "login": self._login,
            "reports": self._reports,
            "files": self._files,
            "upload": self._upload,
            "storage": self._storage,
            "camera": self._camera,
            "developer_mode": self._developer_mode,
        }
        return Walk(self._printer.clock, self._remedy, _bars).along(steps)

    def _remedy(self, step: str, error: ConnectorError) -> str:
        return remedy(step, error, traits=self._printer.traits, serial=self._unit.config.serial)

    @property
    def _config(self) -> PrinterConfig:
        """What is configured, with where it is."""
        return at(self._unit.config, self._unit.whereabouts.current)

    # -- the way there -------------------------------------------------------------------------

    async def _name(self) -> Told:
        host = self._config.host
        if host is None:
            raise self._printer.link_error or Unreachable("nobody has said yet where it is")
        if self._printer.is_connected:
            return f"{host} is where it was reached", None
        found = await self._prober.resolve(host)
        if found == (host,):
            return f"{host} is an address, there is no name to resolve", None
        return f"{host} is {', '.join(found)}", None

    async def _tcp(self) -> Told:
        printer, config = self._printer, self._config
        # An attempt of the connector's own that is under way must not meet a second one.
        await printer.waiters.until(lambda: printer.is_connected or printer.was_tried() or None, READY_S)
        if printer.is_connected:
            return "the session with it is up", None
        await self._prober.reach(config.host or "", config.ports.mqtt)
        return f"port {config.ports.mqtt} answers", None

    async def _identity(self) -> Told:
        config = self._config
        told = "the certificate of the session is the one that is trusted"
        if not self._printer.is_connected:
            fingerprint = await self._prober.identity(config, config.ports.mqtt)
            told = f"the certificate is for {config.serial}, {fingerprint}"
        if config.tls.verify:
            return told, None
        return (
            "nobody proves that this is the printer: `tls: {verify: false}` is set",
            "Remove `verify: false` from its `tls` in connector.yaml; it is meant for a lab.",
        )

    async def _login(self) -> Told:
        printer = self._printer
        error = printer.link_error
        if isinstance(error, _IN_THE_WAY):  # and the way is clear by now: the connector's own next attempt may be far
            self._unit.keeper.try_now()
            await printer.waiters.until(
                lambda: printer.is_connected or printer.link_error is not error or None, READY_S
            )
        if printer.is_connected or isinstance(printer.link_error, Mute):
            return "the access code is accepted", None
        raise printer.link_error or TimedOut(f"no login came to an end within {READY_S:.0f} s")

    async def _reports(self) -> Told:
        printer = self._printer
        if not printer.is_connected and not isinstance(printer.link_error, Mute):
            raise NotJudged("because there is no session")
        await printer.waiters.until(printer.was_tried, READY_S)
        if printer.link_error is not None:
            raise printer.link_error
        age = printer.report_age
        if printer.view is None or age is None:
            raise Mute(f"the session is up and no full report came within {READY_S:.0f} s")
        if age >= ONLINE_S:
            raise TimedOut(f"the last report came {age:.0f} s ago")
        firmware = f", firmware {printer.firmware}" if printer.firmware else ""
        told = f"the last one came {age:.0f} s ago{firmware}"
        signal = printer.view.wifi_dbm
        if signal is not None and signal < _WEAK_DBM:
            return f"{told}; its Wi-Fi signal is weak ({signal} dBm)", "Bring an access point nearer to it."
        return told, None

    # -- its files -----------------------------------------------------------------------------

    def _need_quiet(self) -> None:
        """Refuse to add to what it has to do: a P1 or A1 does everything on one small processor."""
        unit, view = self._unit, self._printer.view
        if view is not None and view.is_active:
            raise NotJudged("because it is printing")
        if unit.jobs.is_under_way or unit.jobs.start_is_out:
            raise NotJudged("because a job is under way")
        if unit.shelf.turn.locked():
            raise NotJudged("because files are being transferred")

    async def _files(self) -> Told:
        self._need_quiet()
        self._files_work = False
        count = await count_files(self._unit.shelf)
        self._files_work = True
        return f"the login for files works; {count} file{'' if count == 1 else 's'} in the root", None

    async def _upload(self) -> Told:
        if self._files_work is False:
            raise NotJudged("because its files cannot be reached")
        self._need_quiet()
        if self._printer.view is None:
            raise NotJudged("because it is not known whether it is printing")
        try:
            await try_upload(self._unit.shelf, self._unit.downloads)
        except (StorageMissing, StorageFull) as refusal:
            self._refusal = refusal
            raise
        self._stored = True
        return "a test file arrived whole, and was removed again", None

    async def _storage(self) -> Told:
        view = self._printer.view
        if self._refusal is not None:
            raise self._refusal
        present = None if view is None else view.storage_present
        if self._stored and present is False:
            return "it says that it has no card or stick, and takes files all the same", None
        if self._stored or present:
            return "there is a card, a stick or internal storage", None
        if present is False:
            raise StorageMissing("it has no card or stick")
        raise NotJudged("because the printer does not say whether it has any")

    # -- the rest ------------------------------------------------------------------------------

    async def _camera(self) -> Told:
        view, config = self._printer.view or self._printer.shown, self._config
        if view.camera_kind is None:  # where others have their camera it may have a file service
            raise NotJudged("because it is not known what kind of camera this model has")
        is_stream = view.camera_kind is CameraKind.RTSPS
        if view.live_view_is_off:
            return (
                "LAN Only Liveview is switched off at the printer",
                f"Switch on LAN Only Liveview, {network_page(self._printer.traits)}.",
            )
        if not is_stream and view.camera_available is False:
            return "the printer says that it has no camera", "If it has one, look whether its cable is plugged in."
        port = config.ports.rtsps if is_stream else config.ports.camera
        await self._prober.identity(config, port)
        return f"port {port} answers, and it is the printer", None

    async def _developer_mode(self) -> Told:
        printer = self._printer
        known = printer.situation().developer_mode
        if known:
            return "it is on: the printer obeys whoever has its access code", None
        if known is False:
            raise DeveloperModeRequired("it is off: the printer can be watched, and obeys only signed commands")
        if not printer.is_connected:
            raise NotJudged("because there is no session")
        if printer.signing_is_expected() is False:
            return "this firmware is older than Developer Mode: it obeys whoever has its access code", None
        return (
            "not known: this firmware does not say whether it is on",
            f"If the printer does not obey: {developer_mode_advice(printer.traits)}",
        )


def _bars(step: str, error: ConnectorError) -> str | None:
    if step == "login" and isinstance(error, AccessDenied):
        return "because the access code is not accepted"
    return _GROUNDS.get(step)
