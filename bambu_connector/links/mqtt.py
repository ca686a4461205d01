"""paho-mqtt in the asyncio loop: one connection, used once, for both sides.

The socket comes connected from `dial`, so paho is touched by the loop's thread only: no thread of its own, no
reconnecting, no queue that outlives the connection. Writing happens at once; the loop watches for writability only
while the peer takes nothing.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bambu_connector.errors import LinkError, MessageRefused, NotAPrinter, ProtocolRefused, Unreachable
from bambu_connector.links.mqtt_client import Client, delivery_of, make_client, publish_size
from bambu_connector.links.mqtt_login import FAILURE, KEEPALIVE_TIMEOUT, Login, connect, hung_up, refusal
from bambu_connector.links.mqtt_stream import TrimmedSocket
from bambu_connector.links.mqtt_trim import BadPacketError, PacketTrimmer
from bambu_connector.links.wire import Delivery

ANSWER_TIMEOUT_S: Final = 10.0  # for CONNACK and SUBACK; amqtt with argon2 passwords needs 0.2 s, a busy P1 up to 5 s
_CLOSE_TIMEOUT_S: Final = 1.0  # for a DISCONNECT that does not fit into the socket's buffer
_MAX_BACKLOG_BYTES: Final = 8 * 1024 * 1024  # a peer that takes nothing for so long is gone, whatever TCP says
_MAX_QUEUED: Final = 20_000  # twice what the service keeps for a broker that was away
_NO_RECEIVE_MAXIMUM: Final = 65_535  # what MQTT 5 says where the broker names none: as many as there are message ids
_MAX_UNWATCHED: Final = 1000  # a peer that withholds PUBACKs: forget them, or memory and message ids run out
_MAX_PACKETS_TO_WRITE: Final = 10_000  # a peer that does not take our answers is not listened to meanwhile
_PACKETS_A_TURN: Final = 200  # a few milliseconds: a peer that floods us leaves time for the others
_MISC_INTERVAL_S: Final = 5.0
_SLOWEST_BYTES_PER_S: Final = 2048  # a bad mobile line


class MqttConnection:
    """One MQTT session on one socket. Everything happens on the loop that opened it."""

    def __init__(
        self, sock: socket.socket, endpoint: str, login: Login, on_message: Callable[[Delivery], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._stream = TrimmedSocket(sock, PacketTrimmer(login.max_payload_bytes, properties=login.protocol == "5"))
        self._fd = sock.fileno()
        self._endpoint = endpoint
        self._login = login
        self._on_message = on_message
        self._client = self._make_client()
        self._connack: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[Exception] = self._loop.create_future()
        self._subscribing: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._publishing: dict[int, asyncio.Future[None]] = {}
        self._queue: deque[tuple[str, bytes, int, bool, asyncio.Future[None]]] = deque()
        self._receive_maximum = _NO_RECEIVE_MAXIMUM
        self._max_packet_bytes: int | None = None
        self._under_way: tuple[int | None, float] = (None, 0.0)
        self._unwatched: set[int] = set()
        self._backlog = 0
        self._writing = False
        self._deaf = self._reading_soon = False
        self._closing = False
        self._why: LinkError | None = None
        self._misc: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls, sock: socket.socket, endpoint: str, login: Login, on_message: Callable[[Delivery], None]
    ) -> Self:
        """Log in over a connected socket (which is ours from now on) and wait for the CONNACK.

        `on_message` is called on the loop; an exception in it ends the connection and is what `closed` returns. It may
        be called before this returns, when the broker has kept messages for a session.

        Raises AccessDenied, ProtocolRefused, TooManyClients, NotAPrinter, Unreachable.
        """
        connection = cls(sock, endpoint, login, on_message)
        try:
            connection._start()
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await connection._connack
        except TimeoutError:
            connection.abort()
            # Brokers that do not know a version may also wait for ever: amqtt does, where it misreads the last will.
            kind = ProtocolRefused if login.protocol == "5" else Unreachable
            raise kind(
                f"{endpoint} does not answer a login with MQTT {login.protocol} within {ANSWER_TIMEOUT_S:g} s"
            ) from None
        except BaseException:
            connection.abort()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether the session is still there, as far as we know."""
        return not self._gone.done()

    # -- what the two sides do ---------------------------------------------------------------------

    async def subscribe(self, topics: Sequence[str], qos: int) -> None:
        """Subscribe and wait for the SUBACK; raises LinkError when a topic is refused or the connection ends."""
        self._require_open()
        if self._login.protocol == "5":
            rc, mid = self._client.subscribe([(topic, SubscribeOptions(qos=qos)) for topic in topics])
        else:
            rc, mid = self._client.subscribe([(topic, qos) for topic in topics])
        self._settle(rc)
        self._require_open()
        if mid is None:
            raise LinkError(f"{self._endpoint}: the subscription could not be sent ({rc!s})")
        answer = self._subscribing[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                codes = await answer
        except TimeoutError:
            raise Unreachable(f"{self._endpoint} does not confirm the subscription") from None
        finally:
            self._subscribing.pop(mid, None)
        if len(codes) != len(topics):
            raise LinkError(f"{self._endpoint} answers {len(codes)} of {len(topics)} subscriptions")
        for topic, code in zip(topics, codes, strict=True):
            if code.value >= FAILURE:
                raise LinkError(f"{self._endpoint} refuses the subscription to {topic}: {code!s}")

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Want no more of these topics; the UNSUBACK is not waited for. Raises LinkError when it is gone."""
        self._require_open()
        rc, _ = self._client.unsubscribe(list(topics))
        self._settle(rc)
        self._require_open()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> asyncio.Future[None]:
        """Publish; the future is done at the PUBACK (QoS 0: at once) and fails with LinkError.

        It fails with MessageRefused where the message is larger than the broker takes, and nothing is sent then.
        Raises LinkError when the connection is gone or far behind.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        if self._max_packet_bytes is not None and publish_size(topic, payload, qos) > self._max_packet_bytes:
            self._require_open()
            _fail(
                done,
                MessageRefused(
                    f"{self._endpoint} takes {self._max_packet_bytes} bytes a message, and this one has {len(payload)}"
                ),
            )
        elif qos == 0:
            self._publish(topic, payload, qos, retain)
            done.set_result(None)
        elif len(self._publishing) < self._receive_maximum:
            self._publishing[self._publish(topic, payload, qos, retain)] = done
        elif len(self._queue) < _MAX_QUEUED:
            self._require_open()
            self._queue.append((topic, payload, qos, retain, done))
        else:
            raise LinkError(f"{self._endpoint} leaves too many messages unacknowledged")
        return done

    def send(self, topic: str, payload: bytes, *, qos: int) -> None:
        """Publish without looking for the PUBACK; never retained. Raises LinkError when the connection is gone."""
        mid = self._publish(topic, payload, qos, retain=False)
        if qos:
            self._unwatched.add(mid)
            if len(self._unwatched) > _MAX_UNWATCHED:
                self._client.drop_out_messages()
                self._unwatched.clear()

    def acknowledge(self, mid: int) -> None:
        """Send the PUBACK for a QoS 1 message (with `manual_ack`); nothing when the connection is gone."""
        if not self._gone.done():
            self._settle(self._client.ack(mid, 1))

    async def closed(self) -> Exception:
        """Wait until the connection is gone; return why."""
        return await asyncio.shield(self._gone)

    async def close(self) -> None:
        """Say DISCONNECT and close; never raises."""
        if self._gone.done():
            return
        self._closing = True
        self._settle(self._client.disconnect())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self.closed()
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the socket without a word, as a crash would."""
        self._end(Unreachable(f"the connection to {self._endpoint} was closed by this side"))

    # -- the driver --------------------------------------------------------------------------------

    def _start(self) -> None:
        rc = connect(self._client, self._endpoint, self._login)
        if self._client.socket() is not None:  # else the peer was gone before CONNECT
            self._loop.add_reader(self._fd, self._readable)
            self._schedule_misc()
        self._settle(rc)

    def _make_client(self) -> Client:
        client = make_client(self._stream, self._login)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_publish_received
        client.on_publish = self._on_puback
        client.on_subscribe = self._on_suback
        client.on_socket_close = self._on_socket_close
        return client

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int:
        self._require_open()
        if self._writing:
            self._backlog += len(payload)
            if self._backlog > _MAX_BACKLOG_BYTES:
                self._backlog = self._client.bytes_to_write  # what was counted before may have gone meanwhile
            if self._backlog > _MAX_BACKLOG_BYTES:
                self._end(Unreachable(f"{self._endpoint} takes nothing any more; {self._backlog} bytes wait"))
        self._require_open()
        info = self._client.publish(topic, payload, qos, retain)
        self._settle(info.rc)
        self._require_open()
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:  # the next message id is still waiting for its PUBACK
            raise LinkError(f"{self._endpoint} leaves too many messages unacknowledged")
        return info.mid

    def _require_open(self) -> None:
        if self._gone.done():
            raise _as_link_error(self._gone.result(), self._endpoint)

    def _readable(self) -> None:
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            for _ in range(_PACKETS_A_TURN):
                if self._gone.done() or self._deaf:
                    return
                rc = self._client.loop_read()
                # One read may hold several packets, and the selector does not fire for what is read already.
                if not self._stream.pending():
                    break
            else:
                self._read_soon()
        except BadPacketError as exc:
            self._end(self._not_mqtt(str(exc)))
        except Exception as exc:  # a bug in a callback; paho's half-read packet is lost with it
            self._end(exc)
            raise
        # A PUBACK is written behind what its message has set off: the printer that is to move need not wait for it.
        self._settle(rc)

    def _read_soon(self) -> None:
        """Go on with what is read already, after the others had their turn."""
        if not self._reading_soon:
            self._reading_soon = True
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._reading_soon = False
        self._readable()

    def _writable(self) -> None:
        self._settle(self._client.loop_write())

    def _schedule_misc(self) -> None:
        # A quarter of the keep-alive: the PINGREQ must leave before the broker's one and a half are over.
        # Asked each time, since a broker of MQTT 5 may have chosen it.
        interval = min(_MISC_INTERVAL_S, self._client.keepalive / 4 or _MISC_INTERVAL_S)
        self._misc = self._loop.call_later(interval, self._on_misc)

    def _on_misc(self) -> None:
        self._schedule_misc()
        packet = self._stream.under_way
        if packet is None or packet != self._under_way[0]:
            self._under_way = packet, self._loop.time()
        elif self._loop.time() - self._under_way[1] > max(2 * self._login.keepalive_s, self._longest_message_s):
            # Behind it nothing gets through, and paho takes every byte for a sign of life.
            self._end(Unreachable(f"{self._endpoint} does not come to the end of a message"))
        self._settle(self._client.loop_misc())

    @property
    def _longest_message_s(self) -> float:
        """For how long the largest message that is taken may be under way, on the slowest line."""
        return self._login.max_payload_bytes / _SLOWEST_BYTES_PER_S

    def _settle(self, rc: MQTTErrorCode) -> None:
        """After each call into paho: note that the connection ended, or watch for what paho waits for."""
        if self._gone.done():
            return
        if self._client.socket() is None:
            self._end(self._why or self._explain(rc))
            return
        wants = self._client.want_write()
        if wants or self._deaf:
            self._listen(self._client.packets_to_write <= _MAX_PACKETS_TO_WRITE)
        if wants and not self._writing:
            self._loop.add_writer(self._fd, self._writable)
        elif self._writing and not wants:
            self._loop.remove_writer(self._fd)
            self._backlog = 0
        self._writing = wants

    def _listen(self, listening: bool) -> None:
        if listening and self._deaf:
            self._loop.add_reader(self._fd, self._readable)
            self._read_soon()
        elif not listening and not self._deaf:
            self._loop.remove_reader(self._fd)
        self._deaf = not listening

    def _end(self, why: Exception) -> None:
        if self._gone.done():
            return
        self._gone.set_result(why)
        if self._misc is not None:
            self._misc.cancel()
        self._unwatch()
        self._stream.close()
        failure = _as_link_error(why, self._endpoint)
        waiters: list[asyncio.Future[Any]] = [
            self._connack,
            *self._subscribing.values(),
            *self._publishing.values(),
            *(entry[-1] for entry in self._queue),
        ]
        for waiting in waiters:
            if not waiting.done():
                _fail(waiting, failure)
        self._publishing.clear()
        self._queue.clear()

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1  # the number may be somebody else's from here on

    def _explain(self, rc: MQTTErrorCode) -> LinkError:
        if self._closing:
            return Unreachable(f"the connection to {self._endpoint} was closed by this side")
        if rc == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            return self._not_mqtt("sends what cannot be read")
        if self._connack.done():
            return Unreachable(f"the connection to {self._endpoint} broke")
        return hung_up(self._stream.alert, self._endpoint, self._login.protocol)

    def _not_mqtt(self, what: str) -> LinkError:
        if self._connack.done():
            return Unreachable(f"{self._endpoint} {what}")
        return NotAPrinter(f"{self._endpoint} answers, but not with MQTT {self._login.protocol}")

    # -- paho's callbacks, on the loop, inside its calls -------------------------------------------

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.value >= FAILURE:
            self._why = refusal(code, self._endpoint, self._login.protocol)
            return
        # A broker that gets more than it can take disconnects; paho cannot be told after CONNECT, so we count.
        self._receive_maximum = getattr(properties, "ReceiveMaximum", _NO_RECEIVE_MAXIMUM)
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        self._client.ask_at_least_every(self._login.keepalive_s)
        if not self._connack.done():
            self._connack.set_result(None)

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        if self._why is not None or self._closing:
            return
        if flags.is_disconnect_packet_from_server:
            self._why = refusal(code, self._endpoint, self._login.protocol)
        elif code.value == KEEPALIVE_TIMEOUT:
            self._why = Unreachable(f"{self._endpoint} has not answered for {2 * self._login.keepalive_s} s")

    def _on_publish_received(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        delivery = delivery_of(message)
        if delivery is None:
            self._client.ack(message.mid, message.qos)  # nothing that we subscribed to; unacknowledged it takes a place
        else:
            self._on_message(delivery)

    def _on_puback(self, _client: Any, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        waiting = self._publishing.pop(mid, None)
        if waiting is None:
            self._unwatched.discard(mid)
            return
        if not waiting.done():
            if code.value >= FAILURE:
                waiting.set_exception(MessageRefused(f"{self._endpoint} refuses a message: {code!s}"))
            else:
                waiting.set_result(None)
        if self._queue:
            topic, payload, qos, retain, done = self._queue.popleft()
            info = self._client.publish(topic, payload, qos, retain)
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._publishing[info.mid] = done
            elif not done.done():
                _fail(done, LinkError(f"{self._endpoint} leaves too many messages unacknowledged"))

    def _on_suback(self, _client: Any, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        waiting = self._subscribing.get(mid)
        if waiting is not None and not waiting.done():
            waiting.set_result(codes)

    def _on_socket_close(self, _client: Any, _data: Any, _sock: Any) -> None:
        self._unwatch()


def _fail(waiting: asyncio.Future[Any], failure: Exception) -> None:
    waiting.set_exception(failure)
    waiting.exception()  # asyncio need not complain where nobody waits for it


def _as_link_error(why: Exception, endpoint: str) -> LinkError:
    if isinstance(why, LinkError):
        return type(why)(*why.args)  # a fresh one for each raise, or tracebacks pile up in it
    return LinkError(f"the connection to {endpoint} was ended by a fault in this program")
