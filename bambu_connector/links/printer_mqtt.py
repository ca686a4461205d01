"""One printer's broker: MQTT 3.1.1 over TLS, its reports in, our requests out."""

import logging
import secrets
import socket
from collections.abc import Callable

from bambu_connector.errors import AccessDenied, HungUp, LinkError, Mute, TooManyClients, Unreachable
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt import MqttConnection
from bambu_connector.links.mqtt_login import Login
from bambu_connector.links.tls import PrinterSocket, PrinterTls, Trust
from bambu_connector.links.wire import Delivery
from bambu_connector.secret import Secret

_USER = "bblp"
_KEEPALIVE_S = 30  # clients of printers use 5 to 60; 30 finds a dead one within a minute

log = logging.getLogger(__name__)


class PrinterMqttConnection:
    """One session with one printer, subscribed to its reports."""

    def __init__(
        self, session: MqttConnection, serial: str, *, address: str | None, fingerprint: str | None, verified: bool
    ) -> None:
        self._session = session
        self._request_topic = f"device/{serial}/request"
        self._address = address
        self._fingerprint = fingerprint
        self._verified = verified

    @property
    def address(self) -> str | None:
        """The address that a host name turned out to mean, None where the connection is gone already."""
        return self._address

    @property
    def fingerprint(self) -> str | None:
        """`sha256:<hex>` of the certificate that the printer showed."""
        return self._fingerprint

    @property
    def verified(self) -> bool:
        """Whether the identity was checked."""
        return self._verified

    def send(self, payload: bytes, qos: int = 1) -> None:
        """Publish on the request topic, never retained; raises LinkError when the session is gone."""
        self._session.send(self._request_topic, payload, qos=qos)

    async def closed(self) -> Exception:
        """Wait until the session is gone; return why."""
        return await self._session.closed()

    async def close(self) -> None:
        """Say DISCONNECT, which frees the printer's slot, and close; never raises."""
        await self._session.close()


class PrinterMqtt:
    """The way to one printer's broker."""

    def __init__(self, *, serial: str, host: str, port: int, access_code: Secret, trust: Trust, dialer: Dialer) -> None:
        self._serial = serial
        self._host = host
        self._port = port
        self._access_code = access_code
        self._trust = trust
        self._dialer = dialer

    async def connect(self, on_report: Callable[[bytes], None]) -> PrinterMqttConnection:
        """Connect, prove the identity, log in, subscribe to the reports (which may begin before this returns).

        Raises Unreachable, NotAPrinter, IdentityMismatch, AccessDenied, TooManyClients, Mute (the broker does not
        let us subscribe to this serial).
        """
        # A new id for each attempt: printers free slots slowly, and the same id would kick a session of our own.
        login = Login(
            client_id=f"bambu-connector-{secrets.token_hex(6)}",
            username=_USER,
            password=self._access_code,
            keepalive_s=_KEEPALIVE_S,
        )

        def take(delivery: Delivery) -> None:
            if len(delivery.payload) < login.max_payload_bytes:
                on_report(delivery.payload)
            else:  # cut off; a part that can be read is not what the printer said
                log.debug("%s sends a report of %d bytes or more; it is ignored", self._serial, len(delivery.payload))

        sock = await self._dialer.dial(self._host, self._port, PrinterTls(self._trust))
        address = _peer_of(sock)
        fingerprint = sock.fingerprint if isinstance(sock, PrinterSocket) else None
        try:
            session = await MqttConnection.open(sock, f"{self._host}:{self._port}", login, take)
        except AccessDenied as exc:
            raise AccessDenied(
                f"{self._serial} at {self._host} refuses the access code: it is wrong or was changed on the printer;"
                f" `bambu-connector pair {self._serial}` takes the new one"
            ) from exc
        except HungUp as exc:  # the identity is proved, so it is the printer: that is how a P1 turns clients away
            raise TooManyClients(
                f"{self._serial} at {self._host} hangs up on the login: its few places for clients are probably taken,"
                " by other programs or by sessions that ended badly; it may also be just starting"
            ) from exc
        try:
            await session.subscribe([f"device/{self._serial}/report"], qos=0)
        except LinkError as exc:
            if session.is_open and isinstance(exc, Unreachable):  # no SUBACK in time: slow, not wrong
                await session.close()
                raise
            await session.close()
            raise Mute(
                f"{self._host} takes the access code but not the subscription for {self._serial}: "
                "the serial is probably wrong (it is case-sensitive)"
            ) from exc
        except BaseException:
            session.abort()
            raise
        return PrinterMqttConnection(
            session, self._serial, address=address, fingerprint=fingerprint, verified=self._trust.verify
        )


def _peer_of(sock: socket.socket) -> str | None:
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return None
