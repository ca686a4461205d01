"""Asking an address who it is, without telling it anything: no credential exists in here (reference 3 and 12)."""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.detect import PLAIN_PORT, TLS_PORT, Detected, Frames, parse_reply, request
from bambu_connector.bambu.identity import name_in, serial_in
from bambu_connector.errors import LinkError, NotAPrinter, Unreachable
from bambu_connector.links.certificate import common_name
from bambu_connector.links.dial import Dialer, connect_error
from bambu_connector.links.tls import PrinterSocket, stranger_context

log = logging.getLogger(__name__)

DETECT_TIMEOUT_S: Final = 3.0  # what the reference recommends; a printer answers at once or has no such port
PROBE_TIMEOUT_S: Final = 1.0  # for TCP within a building
_CHUNK_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class ProbePorts:
    """Where a printer tells who it is: its MQTT broker by its certificate, the other two by `login.detect`."""

    mqtt: int = 8883
    detect: int = PLAIN_PORT
    detect_tls: int = TLS_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Who answers at an address. `fingerprint` is None where the certificate was not asked for."""

    host: str
    serial: str
    fingerprint: str | None
    detected: Detected | None
    """What it says of itself; None: it has neither of the ports for that."""


class Identifier:
    """Finds out who is at an address."""

    def __init__(
        self, dialer: Dialer, ports: ProbePorts = ProbePorts(), *, detect_timeout_s: float = DETECT_TIMEOUT_S
    ) -> None:
        self._dialer = dialer
        self._ports = ports
        self._detect_timeout_s = detect_timeout_s
        self._context = stranger_context()

    async def identify(self, host: str, *, with_certificate: bool = True) -> Identified:
        """Return who is at `host` (a name or an address); raises Unreachable, NotAPrinter.

        Without the certificate only `login.detect` is asked, and the broker sees nothing of us: for printers whose
        session somebody else holds.
        """
        detecting = asyncio.create_task(self._detected(host), name=f"detect {host}")
        try:
            shown = await self._certificate(host) if with_certificate else None
            detected = await detecting
        finally:
            detecting.cancel()
            await asyncio.gather(detecting, return_exceptions=True)
        if shown is not None:
            return _agreed(host, *shown, detected)
        if detected is None:
            ports = self._ports
            raise Unreachable(f"{host} answers neither on port {ports.detect} nor on port {ports.detect_tls}")
        return Identified(host=host, serial=detected.serial, fingerprint=None, detected=detected)

    async def listens(self, host: str, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
        """Say whether somebody at `host` accepts connections where a printer's broker is."""
        try:
            async with asyncio.timeout(timeout_s):
                sock = await self._dialer.dial(host, self._ports.mqtt, None)
        except (LinkError, TimeoutError):
            return False
        sock.close()
        return True

    async def _certificate(self, host: str) -> tuple[str, str]:
        """Return serial and fingerprint of the certificate that is shown; not a byte is said after the handshake."""
        port = self._ports.mqtt
        sock = await self._dialer.dial(host, port, self._context)
        with sock:
            assert isinstance(sock, PrinterSocket)
            name = common_name(sock.getpeercert(binary_form=True) or b"")
            fingerprint = sock.fingerprint
        assert fingerprint is not None
        serial = serial_in(name)
        if serial is None or serial != name:
            shown = name_in(name) or "nobody"
            raise NotAPrinter(f"{host}:{port} is no printer: its certificate is for {shown}, which is no serial")
        return serial, fingerprint

    async def _detected(self, host: str) -> Detected | None:
        """Return the first answer of the two ports, None when there is none."""
        asking = [
            asyncio.create_task(self._ask(host, port, context), name=f"detect {host}:{port}")
            for port, context in ((self._ports.detect, None), (self._ports.detect_tls, self._context))
        ]
        try:
            for answer in asyncio.as_completed(asking):
                try:
                    return await answer
                except LinkError as exc:
                    log.debug("login.detect: %s", exc)
            return None
        finally:
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, host: str, port: int, context: ssl.SSLContext | None) -> Detected:
        """Return what `login.detect` tells there; raises Unreachable, NotAPrinter."""
        try:
            async with asyncio.timeout(self._detect_timeout_s):
                sock = await self._dialer.dial(host, port, None)
                name = host if context else None
                reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name)
                try:
                    writer.write(request())
                    return await _answer(reader, f"{host}:{port}")
                finally:
                    writer.transport.abort()  # a peer that does not answer a farewell is not waited for
        except (OSError, TimeoutError) as exc:
            raise connect_error(exc, host, port, self._detect_timeout_s) from exc


async def _answer(reader: asyncio.StreamReader, where: str) -> Detected:
    frames = Frames()
    while chunk := await reader.read(_CHUNK_BYTES):
        for body in frames.feed(chunk):
            if detected := parse_reply(body):
                return detected
            raise NotAPrinter(f"{where} answers, but not with what a printer says of itself")
    raise NotAPrinter(f"{where} hangs up without a word")


def _agreed(host: str, serial: str, fingerprint: str, detected: Detected | None) -> Identified:
    if detected is not None and detected.serial != serial:
        raise NotAPrinter(
            f"{host} contradicts itself: its certificate is for {serial}, and it says that it is {detected.serial};"
            " two devices may be sharing this address"
        )
    return Identified(host=host, serial=serial, fingerprint=fingerprint, detected=detected)
