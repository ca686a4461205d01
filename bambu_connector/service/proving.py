"""Proving that a printer is the one that is meant, lets us in, and tells us what it does: one finding after the other.

Identity, login, subscription and a full report must be; the rest is worth knowing. All of it is seen on the one session
that the farm keeps with the printer: none is made to look.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.menus import developer_mode_advice, network_page
from bambu_connector.bambu.models import CameraKind, Model
from bambu_connector.bambu.view import View
from bambu_connector.config import Ports
from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    ConnectorError,
    IdentityMismatch,
    LinkError,
    Mute,
    NotAPrinter,
    TooManyClients,
    Unreachable,
)
from bambu_connector.service.findings import Finding, Outcome
from bambu_connector.service.pairing_words import explained
from bambu_connector.service.printer import Printer
from bambu_connector.service.remedies import remedy
from bambu_connector.service.trial import count_files
from bambu_connector.service.unit import Unit

CONNECT_S: Final = 20.0  # an attempt takes at most 10 s, and a P1 that is busy may want a second one
READY_S: Final = 20.0
VERSION_S: Final = 5.0  # asked for before the full report, so mostly there already
_FINAL: Final = (AccessDenied, IdentityMismatch, NotAPrinter, TooManyClients, Mute)
_IN_SHORT: Final[dict[type[LinkError], tuple[str, str]]] = {
    AccessDenied: ("login", "the access code is refused"),
    TooManyClients: ("login", "it has no room for another client"),
    AnotherDevice: ("identity", "another device answers"),
    IdentityMismatch: ("identity", "it does not prove to be the printer that is meant"),
    NotAPrinter: ("identity", "what answers is no printer"),
    Mute: ("reports", "connected, and not a word comes"),
    Unreachable: ("tcp", "nobody answers"),
    LinkError: ("tcp", "the connection failed"),
}


@dataclass(frozen=True, slots=True)
class Before:
    """How things stood before the printer was told to connect: what is older proves nothing.

    `attempts` are those that had begun; None: the session that is there already is the proof.
    """

    attempts: int | None
    error: LinkError | None = None


class Proving:
    """One look at a printer that is to be paired; `fingerprint` is what its certificate shows, where that counts.

    `is_new`: it was not trusted until now, and the person has seen it.
    """

    def __init__(self, unit: Unit, before: Before, fingerprint: str | None, *, is_new: bool = False) -> None:
        self._unit = unit
        self._before = before
        self._fingerprint = fingerprint
        self._is_new = is_new
        self._was_connected = False

    @property
    def _printer(self) -> Printer:
        return self._unit.printer

    async def findings(self) -> AsyncGenerator[Finding, None]:
        """Yield every step. Where one that must be fails its finding comes, and then the error is raised."""
        clock = self._printer.clock
        try:
            began = clock.monotonic()
            await self._connected()
            self._was_connected = True
            yield self._identity(clock.monotonic() - began)
            yield _ok("login", "the access code is accepted")
            yield _ok("subscription", f"subscribed to the reports of {self._unit.config.serial}")
            began = clock.monotonic()
            await self._reported()
            yield _ok("reports", "a full report came", clock.monotonic() - began)
            yield await self._version()
            yield await self._files()
        except LinkError as error:
            step, told = self._in_short(error)
            yield Finding(
                step=step, outcome="failed", seconds=None, told=told, code=error.code, exit_code=error.exit_code
            )
            raise self._explained(error) from error
        view = self._printer.view or self._printer.shown
        yield _storage(view)
        yield _camera(view, self._unit.config.ports)
        yield self._developer_mode()

    # -- what must be ----------------------------------------------------------------------------

    async def _connected(self) -> None:
        printer, before, stale = self._printer, self._before, self._before.error

        def probe() -> bool | None:
            nonlocal stale
            if before.attempts is not None and self._unit.keeper.attempts <= before.attempts:
                stale = printer.link_error  # of an attempt that was under way with what held before
                return None
            if printer.is_connected:
                return True
            error = printer.link_error
            if error is not stale and isinstance(error, _FINAL):
                raise error
            return None

        if await printer.waiters.until(probe, CONNECT_S) is None:
            error = printer.link_error
            where = self._unit.whereabouts.current or self._unit.config.host
            known = None if error is stale else error
            raise known or Unreachable(f"{where} does not answer within {CONNECT_S:.0f} s")

    async def _reported(self) -> None:
        printer = self._printer

        def probe() -> bool | None:
            if printer.view is not None:
                return True
            if printer.link_error is not None:
                raise printer.link_error
            return None

        if await printer.waiters.until(probe, READY_S) is None:
            raise Mute(f"{self._unit.name} takes the access code, and no full report came within {READY_S:.0f} s")

    def _identity(self, seconds: float) -> Finding:
        tls, serial = self._unit.config.tls, self._unit.config.serial
        if not tls.verify:
            return Finding(
                step="identity",
                outcome="warning",
                seconds=seconds,
                told="not checked, because `tls: {verify: false}` is set: anybody there could read the access code",
                advice="Remove `verify: false` from its `tls` in connector.yaml; it is meant for a lab.",
            )
        if tls.ca_file:
            proof = f"is signed by {tls.ca_file}"
        elif self._is_new:
            proof = "is trusted from now on"
        else:
            proof = f"is the one that is trusted, {self._fingerprint}"
        return _ok("identity", f"the certificate is for {serial}, and {proof}", seconds)

    def _in_short(self, error: LinkError) -> tuple[str, str]:
        step, told = next(words for kind, words in _IN_SHORT.items() if isinstance(error, kind))
        if self._was_connected and isinstance(error, IdentityMismatch):
            return "files", told  # only the other port can say that now
        if self._was_connected and step == "tcp":
            return "reports", "the session broke"
        return step, told

    def _explained(self, error: LinkError) -> LinkError:
        place = self._unit.whereabouts.current or self._unit.config.host
        return explained(error, name=self._unit.name, place=place, traits=self._printer.traits)

    # -- what is worth knowing -------------------------------------------------------------------

    async def _version(self) -> Finding:
        printer = self._printer
        await printer.waiters.until(lambda: True if printer.firmware else None, VERSION_S)
        model = printer.traits.display_name
        if printer.firmware is None:
            return _warning("version", f"{model}; it does not tell its firmware")
        if printer.model is Model.GENERIC:
            return _warning(
                "version", f"a model that is not known here, firmware {printer.firmware}",
                "It works with careful limits; name its `model` if the README lists it.",
            )  # fmt: skip
        return _ok("version", f"{model}, firmware {printer.firmware}")

    async def _files(self) -> Finding:
        """Look into the root of its storage. Raises IdentityMismatch; everything else is worth a warning only."""
        printer, shelf = self._printer, self._unit.shelf
        if printer.work.is_transferring():
            return Finding(step="files", outcome="skipped", seconds=None, told="a file is being moved right now")
        began = printer.clock.monotonic()
        try:
            found = await count_files(shelf)
        except IdentityMismatch:
            raise
        except ConnectorError as error:
            advice = remedy("files", error, traits=printer.traits, serial=self._unit.config.serial)
            if isinstance(error, AccessDenied):  # that of 8883 was right
                advice = f"Switch LAN Only Mode off and on, {network_page(printer.traits)}, and pair it again."
            return _warning("files", str(error), advice)
        what = f"{found or 'no'} file{'' if found == 1 else 's'}"
        return _ok("files", f"FTPS lets us in, {what} in the root", printer.clock.monotonic() - began)

    def _developer_mode(self) -> Finding:
        printer = self._printer
        if printer.developer_mode:
            return _ok("developer_mode", "it can be controlled")
        advice = developer_mode_advice(printer.traits)
        if printer.developer_mode is False:
            return _warning("developer_mode", "off: it can be watched, and takes no commands", advice)
        if printer.signing_is_expected() is False:
            return _ok("developer_mode", "not needed by this firmware: it can be controlled")
        return _finding(
            "developer_mode", "skipped", "not known: the printer does not say; should it refuse commands: " + advice
        )


def _storage(view: View) -> Finding:
    if view.storage_present:
        return _ok("storage", "there is a card, a stick or internal storage")
    if view.storage_present is False:
        return _warning("storage", "no card or stick: nothing can be printed", "Put one into the printer's own slot.")
    return _finding("storage", "skipped", "not known: the printer does not say")


def _camera(view: View, ports: Ports) -> Finding:
    kind = view.camera_kind
    if kind is None:
        return _finding("camera", "skipped", "not known: no camera is known of this model")
    stream = kind is CameraKind.RTSPS
    if view.live_view_is_off:
        advice = f"Switch on LAN Only Liveview, {network_page(view.traits)}."
        return _warning("camera", f"{kind.value}, and switched off at the printer", advice)
    if not stream and view.camera_available is False:
        return _finding("camera", "skipped", "the printer says that it has none")
    return _ok("camera", f"{kind.value}, on port {ports.rtsps if stream else ports.camera}")


def _finding(step: str, outcome: Outcome, told: str, seconds: float | None = None) -> Finding:
    return Finding(step=step, outcome=outcome, seconds=seconds, told=told)


def _ok(step: str, told: str, seconds: float | None = None) -> Finding:
    return _finding(step, "ok", told, seconds)


def _warning(step: str, told: str, advice: str | None = None) -> Finding:
    return Finding(step=step, outcome="warning", seconds=None, told=told, advice=advice)
