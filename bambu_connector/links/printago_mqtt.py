"""Printago's broker: MQTT 5 with a session that is kept, or 3.1.1 where 5 is refused."""

import asyncio
import itertools
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

from bambu_connector.errors import ProtocolRefused, Unreachable
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt import MqttConnection
from bambu_connector.links.mqtt_login import Login, Protocol
from bambu_connector.links.wire import Delivery

_SESSION_EXPIRY_S = 300  # the contract's: commands that arrive while we restart are kept so long
_RECEIVE_MAXIMUM = 100  # unacknowledged commands at a time; the rest waits in the broker
_MESSAGE_ID_BITS = 16
_BACKLOG_PAUSE_S = 1.0  # a backlog comes without a pause
_BACKLOG_S = 10.0  # and is over by then
_REFUSALS_TO_REMEMBER = 2
_REFUSALS_TO_BELIEVE = 3  # in a row, of a broker that spoke MQTT 5 before: somebody put another one there
MAX_PAYLOAD_BYTES = 512 * 1024
"""What is delivered of a message at most: twice what a command may have, so what was cut is too long for sure."""

log = logging.getLogger(__name__)


class PrintagoMqttConnection:
    """One session with Printago's broker."""

    def __init__(self, on_delivery: Callable[[Delivery], None], protocol: Protocol, epoch: int) -> None:
        self._on_delivery = on_delivery
        self._protocol = protocol
        self._epoch = epoch
        self._held: list[Delivery] | None = []
        self._backlog_until = self._backlog_ends = 0.0
        self._session: MqttConnection

    @classmethod
    async def open(
        cls, sock: socket.socket, endpoint: str, login: Login, on_delivery: Callable[[Delivery], None], epoch: int
    ) -> Self:
        """Log in over a connected socket; raises LinkError. `epoch` tells the deliveries of two sessions apart."""
        connection = cls(on_delivery, login.protocol, epoch)
        connection._session = await MqttConnection.open(sock, endpoint, login, connection._take)
        return connection

    @property
    def protocol(self) -> str:
        """`"5"` or `"3.1.1"`: what was agreed."""
        return self._protocol

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> asyncio.Future[None]:
        """Publish; the future is done when the broker has it (QoS 0: at once), and fails with LinkError.

        Raises LinkError when the session is gone.
        """
        return self._session.publish(topic, payload, qos=qos, retain=retain)

    def acknowledge(self, delivery: Delivery) -> None:
        """Send the PUBACK for a delivery; nothing for one of an earlier session, which comes again."""
        epoch, mid = divmod(delivery.token, 1 << _MESSAGE_ID_BITS)
        if delivery.qos == 1 and epoch == self._epoch:
            self._session.acknowledge(mid)

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe with QoS 1 and wait for the SUBACK; raises LinkError when one is refused.

        Deliveries begin with the first call, those that the broker kept in the session before all others.
        """
        held, self._held = self._held or [], None
        if len(held) >= _RECEIVE_MAXIMUM:  # there is more where that came from
            now = asyncio.get_running_loop().time()
            self._backlog_until, self._backlog_ends = now + _BACKLOG_PAUSE_S, now + _BACKLOG_S
        for delivery in held:
            self._on_delivery(delivery)
        await self._session.subscribe(topics, qos=1)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Want no more of these topics; the broker's answer is not waited for. Raises LinkError."""
        self._session.unsubscribe(topics)

    async def closed(self) -> Exception:
        """Wait until the session is gone; return why."""
        return await self._session.closed()

    async def close(self) -> None:
        """Say DISCONNECT and close; never raises."""
        await self._session.close()

    def abort(self) -> None:
        """Close without a word: the broker publishes the last will."""
        self._session.abort()

    def _take(self, delivery: Delivery) -> None:
        delivery = replace(delivery, token=self._epoch << _MESSAGE_ID_BITS | delivery.token)
        if self._held is None:
            self._on_delivery(self._marked(delivery))
        elif len(self._held) < _RECEIVE_MAXIMUM:
            self._held.append(replace(delivery, kept=True))
        else:
            log.debug("a message is left in the broker, which sends more than we allowed")

    def _marked(self, delivery: Delivery) -> Delivery:
        """Mark what comes of a backlog that is larger than what the broker may send at once."""
        now = asyncio.get_running_loop().time()
        if now >= self._backlog_until:
            return delivery
        self._backlog_until = min(now + _BACKLOG_PAUSE_S, self._backlog_ends)
        return replace(delivery, kept=True)


class PrintagoMqtt:
    """The way to Printago's broker: `login` tells who we are, which protocol to try first, and the last will.

    A wire that breaks in the middle of a login looks like a broker that hangs up on MQTT 5. Logging in with 3.1.1
    throws the kept session away, commands and all, so one that spoke 5 before is not believed at once, and that the
    broker knows only 3.1.1 is remembered when it was so twice in a row.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        login: Login,
        dialer: Dialer,
    ) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._login = replace(login, manual_ack=True, max_payload_bytes=MAX_PAYLOAD_BYTES)
        self._dialer = dialer
        self._protocol = login.protocol
        self._epochs = itertools.count(1)
        self._spoke_newest = False
        self._refusals = 0

    async def connect(self, on_delivery: Callable[[Delivery], None]) -> PrintagoMqttConnection:
        """Connect and log in with the last will set; falls back to MQTT 3.1.1 where 5 is refused.

        Raises Unreachable, NotAPrinter, IdentityMismatch, AccessDenied, ProtocolRefused, TooManyClients.
        """
        if self._protocol == "3.1.1":
            return await self._connect(on_delivery, "3.1.1")
        try:
            connection = await self._connect(on_delivery, "5")
        except ProtocolRefused as refusal:
            self._refusals += 1
            if self._spoke_newest and self._refusals < _REFUSALS_TO_BELIEVE:
                raise Unreachable(str(refusal)) from refusal
            connection = await self._connect(on_delivery, "3.1.1")
            log.info("%s; going on with 3.1.1", refusal)
            if self._refusals >= _REFUSALS_TO_REMEMBER:
                self._protocol = "3.1.1"
            return connection
        self._spoke_newest, self._refusals = True, 0
        return connection

    async def _connect(self, on_delivery: Callable[[Delivery], None], protocol: Protocol) -> PrintagoMqttConnection:
        login = replace(self._login, protocol=protocol)
        if protocol == "5":
            login = replace(login, session_expiry_s=_SESSION_EXPIRY_S, receive_maximum=_RECEIVE_MAXIMUM)
        sock = await self._dialer.dial(self._host, self._port, self._context)
        endpoint = f"{self._host}:{self._port}"
        return await PrintagoMqttConnection.open(sock, endpoint, login, on_delivery, next(self._epochs))
