"""Looking how far the way to somebody goes: name, TCP, TLS, and for Printago's broker a login of its own.

To a printer nothing is ever sent after the handshake, so no probe can cost an access code or one of its few sessions.
"""

import asyncio
import contextlib
import secrets
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from bambu_connector.config import Printago, PrinterConfig
from bambu_connector.errors import ProtocolRefused, Unreachable
from bambu_connector.links.dial import CONNECT_TIMEOUT_S, Dialer, connect_error
from bambu_connector.links.mqtt import MqttConnection
from bambu_connector.links.mqtt_login import Login, Protocol
from bambu_connector.links.tls import PrinterSocket, PrinterTls, Trust, broker_context
from bambu_connector.links.wire import Delivery

_QOS: Final = 1  # the service's
_ID_BYTES: Final = 4
_ANY_PORT: Final = 0


class BrokerVisit:
    """A short session with Printago's broker. What is delivered meanwhile stays unacknowledged: it is the service's."""

    def __init__(self, session: MqttConnection, protocol: Protocol) -> None:
        self._session = session
        self._protocol = protocol

    @property
    def protocol(self) -> str:
        """`"5"` or `"3.1.1"`: what was agreed."""
        return self._protocol

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Find out whether these topics may be read; raises LinkError when one is refused."""
        await self._session.subscribe(topics, qos=_QOS)

    async def close(self) -> None:
        """Say DISCONNECT and close; never raises."""
        await self._session.close()


class NetworkProber:
    """Fulfils `service.ports.Prober`. `trust` says what a printer's certificate is judged by, now.

    `uplink` dials Printago's broker: names of printers that hang must not hold it up.
    """

    def __init__(self, dialer: Dialer, uplink: Dialer, trust: Callable[[PrinterConfig], Trust]) -> None:
        self._dialer = dialer
        self._uplink = uplink
        self._trust = trust

    async def resolve(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a name; raises Unreachable."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await self._dialer.resolve(host, _ANY_PORT)
        except TimeoutError:
            raise Unreachable(
                f"the name {host} cannot be resolved: no name server answers in {CONNECT_TIMEOUT_S:g} s"
            ) from None
        except OSError as exc:
            raise connect_error(exc, host, _ANY_PORT) from exc
        return tuple(dict.fromkeys(str(address[0]) for _, address in found))

    async def reach(self, host: str, port: int) -> None:
        """Connect with TCP and hang up; raises Unreachable."""
        _hang_up(await self._dialer.dial(host, port, None))

    async def identity(self, printer: PrinterConfig, port: int) -> str:
        """Have a printer prove who it is and hang up; return its certificate's fingerprint.

        Raises IdentityMismatch, NotAPrinter, Unreachable.
        """
        sock = await self._dialer.dial(printer.host or "", port, PrinterTls(self._trust(printer)))
        try:
            assert isinstance(sock, PrinterSocket)
            return sock.fingerprint or ""
        finally:
            _hang_up(sock)

    async def broker_identity(self, printago: Printago) -> str:
        """Have Printago's broker prove who it is and hang up; return the version of TLS.

        Raises IdentityMismatch, NotAPrinter, Unreachable, ConfigError.
        """
        sock = await self._dial(printago)
        try:
            return (sock.version() or "") if isinstance(sock, ssl.SSLSocket) else ""
        finally:
            _hang_up(sock)

    async def visit(self, printago: Printago) -> BrokerVisit:
        """Log in to Printago's broker under a client id of its own, without a last will; raises LinkError, ConfigError.

        The session starts clean and ends with the connection, so nothing is kept for it.
        """
        login = Login(
            client_id=f"{printago.client_id}-doctor-{secrets.token_hex(_ID_BYTES)}",
            username=printago.username,
            password=printago.password,
            protocol=printago.protocol,
            keepalive_s=printago.keepalive,
            manual_ack=True,
        )
        try:
            return await self._log_in(printago, login)
        except ProtocolRefused:
            if login.protocol == "3.1.1":
                raise
            return await self._log_in(printago, replace(login, protocol="3.1.1"))

    async def _log_in(self, printago: Printago, login: Login) -> BrokerVisit:
        sock = await self._dial(printago)
        endpoint = f"{printago.host}:{printago.port}"
        return BrokerVisit(await MqttConnection.open(sock, endpoint, login, _ignore), login.protocol)

    async def _dial(self, printago: Printago) -> socket.socket:
        tls = printago.tls
        context = broker_context(tls.ca_file, tls.cert_file, tls.key_file) if tls else None
        return await self._uplink.dial(printago.host, printago.port, context)


def _ignore(_delivery: Delivery) -> None:
    """What is delivered is for the service."""


def _hang_up(sock: socket.socket) -> None:
    # Not `unwrap`: several firmwares never answer close-notify.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
