"""MQTT brokers for the virtual printer and the demo, on top of amqtt.

amqtt speaks MQTT 3.1.1 only and waits for ever when it is sent anything newer, so the version is looked at before it
gets to see the connection. Its plugins are not used: what they would do is overridden where it happens.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Self

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker, Server
from amqtt.contexts import Action
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.session import Session

from bambu_connector.secret import Secret
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.logins import USER, Logins

_LISTENER: Final = "default"
_PROTOCOL_3_1_1: Final = 4
_CONNACK_WRONG_PROTOCOL: Final = bytes((0x20, 2, 0, 1))
_FIRST_BYTES: Final = 9  # fixed header of at least 2, name of 2 + 4, level of 1
_LONGEST_LENGTH_BYTES: Final = 4
_CONNECT_S: Final = 10.0


def quieten() -> None:
    """Let amqtt and what it uses speak up only where something is wrong."""
    for name in ("amqtt", "transitions", "websockets"):
        logging.getLogger(name).setLevel(logging.ERROR)


class _ReplayingReader(StreamReaderAdapter):  # type: ignore[misc]
    """Hands out bytes that were already read, and then those of the stream."""

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._first = first

    async def read(self, n: int = -1) -> bytes:
        if not self._first:
            return bytes(await super().read(n))
        taken, self._first = (self._first, b"") if n < 0 else (self._first[:n], self._first[n:])
        rest = n - len(taken)
        return taken + (bytes(await super().read(rest)) if rest > 0 else b"")


class _Handler(BrokerProtocolHandler):  # type: ignore[misc]
    """The protocol of one client; can leave out the acknowledgements."""

    withholds_acknowledgements: Callable[[], bool] = staticmethod(lambda: False)

    async def _send_packet(self, packet: object) -> None:
        if not (isinstance(packet, PubackPacket) and self.withholds_acknowledgements()):
            await super()._send_packet(packet)


async def _read_connect(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    """Return the first bytes of a CONNECT, and the version of the protocol that it names."""
    first = await reader.readexactly(2)
    while first[-1] & 0x80 and len(first) <= _LONGEST_LENGTH_BYTES:
        first += await reader.readexactly(1)
    first += await reader.readexactly(2)
    first += await reader.readexactly(int.from_bytes(first[-2:], "big") + 1)
    return first, first[-1]


class PlainBroker(Broker):  # type: ignore[misc]
    """An MQTT 3.1.1 broker in the running loop: one user, no TLS unless a context is given.

    Use it with `async with`; `port` is the one it listens on (0 asks for a free one). A client that wants MQTT 5 is
    told that the version is not spoken here.
    """

    def __init__(
        self, user: str, password: Secret, *, bind: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        quieten()
        super().__init__({"listeners": {_LISTENER: {"type": "tcp", "bind": f"{bind}:{port}"}}, "plugins": {}})
        self.bind, self.port = bind, port
        self.connects = 0
        """How many logins there have been."""
        self._user, self._password, self._tls = user, password, tls
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: dict[str, _Handler] = {}

    async def __aenter__(self) -> Self:
        # bound here, so that an address that cannot be had is an OSError; amqtt would log it and hide it in its own
        connected = partial(self.stream_connected, listener_name=_LISTENER)
        server = await asyncio.start_server(connected, self.bind, self.port, ssl=self._tls, start_serving=False)
        self.port = server.sockets[0].getsockname()[1]
        self._servers[_LISTENER] = Server(_LISTENER, server)
        await self.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.drop_connections()
        await self.shutdown()

    @property
    def sessions_now(self) -> int:
        """How many clients are logged in."""
        return len(self._clients)

    def drop_connections(self) -> None:
        """Break every connection, without a goodbye."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish on behalf of the broker itself, at QoS 0."""
        await self.internal_message_broadcast(topic, payload, 0)

    # -- what a broker may decide -------------------------------------------------------------------

    def accepts(self, user: str | None, password: str | None) -> bool:
        """Say whether somebody may log in."""
        return user == self._user and password == self._password.reveal()

    def allows(self, action: Action, topic: str) -> bool:  # noqa: ARG002 - others do look at it
        """Say whether a client may publish to, subscribe to, or receive from a topic."""
        return True

    def withholds_acknowledgements(self) -> bool:
        """Say whether a PUBACK is left out."""
        return False

    def is_full(self) -> bool:
        """Say whether a client that wants to log in is dropped without a word."""
        return False

    # -- amqtt's own methods ------------------------------------------------------------------------

    async def _start_listeners(self) -> None:
        await self._servers[_LISTENER].instance.start_serving()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        self._writers.add(writer)
        try:
            first, version = await asyncio.wait_for(_read_connect(reader), _CONNECT_S)
            if self.is_full():
                writer.transport.abort()
            elif version == _PROTOCOL_3_1_1:
                replaying = _ReplayingReader(first, reader)
                await self._client_connected(listener_name, replaying, StreamWriterAdapter(writer))
            else:
                writer.write(_CONNACK_WRONG_PROTOCOL)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # a client that goes away, or never speaks, is no news to a broker
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _initialize_client_session(self, *arguments: Any) -> tuple[_Handler, Session]:
        _, session = await super()._initialize_client_session(*arguments)
        handler = _Handler(self.plugins_manager)
        handler.withholds_acknowledgements = self.withholds_acknowledgements
        return handler, session

    async def _authenticate(self, session: Session, _listener: object) -> bool:
        return self.accepts(session.username, session.password)

    async def _topic_filtering(self, _session: Session, topic: str, action: Action) -> bool:
        return self.allows(action, topic)

    async def _client_message_loop(self, client_session: Session, handler: _Handler) -> None:
        self.connects += 1
        before = self._clients.get(client_session.client_id)
        if before is not None:
            await before.handle_connection_closed()  # the same client id kicks the other client
        self._clients[client_session.client_id] = handler
        try:
            await super()._client_message_loop(client_session, handler)
        finally:
            if self._clients.get(client_session.client_id) is handler:
                del self._clients[client_session.client_id]


class PrinterBroker(PlainBroker):
    """The broker inside a printer: clients may subscribe to its reports and publish requests, and nothing else."""

    def __init__(
        self,
        serial: str,
        logins: Logins,
        on_request: Callable[[bytes], Awaitable[None]],
        *,
        on_login: Callable[[], None],
        faults: Faults,
        tls: ssl.SSLContext,
        bind: str,
        port: int,
    ) -> None:
        super().__init__(USER, logins.code, bind=bind, port=port, tls=tls)
        self._logins = logins
        self._report_topic, self._request_topic = f"device/{serial}/report", f"device/{serial}/request"
        self._on_request, self._on_login, self._faults = on_request, on_login, faults

    async def report(self, payload: bytes) -> None:
        """Publish on the report topic."""
        await self.publish(self._report_topic, payload)

    def accepts(self, user: str | None, password: str | None) -> bool:
        return self._logins.admits("mqtt", user, password)

    def allows(self, action: Action, topic: str) -> bool:
        return topic == (self._request_topic if action is Action.PUBLISH else self._report_topic)

    def withholds_acknowledgements(self) -> bool:
        return "puback-withheld" in self._faults

    def is_full(self) -> bool:
        return "too-many-clients" in self._faults

    async def _client_message_loop(self, client_session: Session, handler: _Handler) -> None:
        self._on_login()
        await super()._client_message_loop(client_session, handler)

    async def _handle_message_delivery(
        self, _client_session: Session, _handler: _Handler, wait_deliver: "asyncio.Future[Any]"
    ) -> bool:
        message = wait_deliver.result()
        if message is None or not self.allows(Action.PUBLISH, message.topic):
            return message is None
        await self._on_request(bytes(message.data))
        return True
