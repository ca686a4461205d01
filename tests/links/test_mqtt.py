import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from bambu_connector.errors import LinkError, Unreachable
from bambu_connector.links import mqtt
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt import MqttConnection
from bambu_connector.links.mqtt_login import Login
from bambu_connector.links.tls import Trust, printer_context
from bambu_connector.links.wire import Delivery
from bambu_connector.virtual.pki import Authority
from tests.servers.mosquitto import Mosquitto
from tests.servers.onlooker import Onlooker
from tests.servers.process import wait_until
from tests.servers.silent import SilentPeer

SERIAL = "01P00A000000001"
CONNACK = b"\x20\x02\x00\x00"


@pytest.fixture(scope="module")
def pem(authority: Authority) -> Path:
    return authority.issue(SERIAL)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


def ignore(delivery: Delivery) -> None:
    pass


@contextlib.asynccontextmanager
async def connected(
    port: int, on_message: Callable[[Delivery], None] = ignore, *, tls: bool = False, keepalive_s: int = 30
) -> AsyncIterator[MqttConnection]:
    dialer = Dialer()
    context = printer_context(Trust(SERIAL)) if tls else None
    sock = await dialer.dial("127.0.0.1", port, context)
    login = Login(client_id="here", keepalive_s=keepalive_s)
    connection = await MqttConnection.open(sock, f"127.0.0.1:{port}", login, on_message)
    try:
        yield connection
    finally:
        await connection.close()
        dialer.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 20))


def publish_packet(topic: str, payload: bytes) -> bytes:
    body = struct.pack("!H", len(topic)) + topic.encode() + payload
    length, sizes = len(body), bytearray()
    while True:
        length, low = divmod(length, 128)
        sizes.append(low | (128 if length else 0))
        if not length:
            return b"\x30" + bytes(sizes) + body


class Talker(SilentPeer):
    """Accepts the login, then sends `packets` in one write, and takes what comes without ever answering."""

    def __init__(self, pem: Path | None, packets: bytes = b"", *, takes: bool = True) -> None:
        self._packets = packets
        self._takes = takes
        super().__init__(pem)

    def talk(self, stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall(CONNACK + self._packets)
        if not self._takes:
            self.wait_for("the client to go", lambda: self._client_is_gone(stream))
            return
        while data := stream.recv(65536):
            self.heard += data

    @staticmethod
    def _client_is_gone(stream: socket.socket) -> bool:
        state = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state != 1  # ESTABLISHED


def test_several_packets_in_one_tls_record_all_arrive_at_once(pem: Path) -> None:
    packets = b"".join(publish_packet("t", b"%d" % number) for number in range(500))
    with Talker(pem, packets) as peer:

        async def main() -> None:
            deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
            async with connected(peer.port, deliveries.put_nowait, tls=True):
                got = [(await asyncio.wait_for(deliveries.get(), 5)).payload for _ in range(500)]
            assert got == [b"%d" % number for number in range(500)]

        run(main)


def test_a_message_of_many_tls_records_arrives_whole(broker: Mosquitto, tmp_path: Path, pem: Path) -> None:
    large = bytes(range(256)) * 4000
    with Mosquitto(tmp_path, pem=pem) as tls, Onlooker(tls.port, tls=True) as other:

        async def main() -> None:
            deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
            async with connected(tls.port, deliveries.put_nowait, tls=True) as connection:
                await connection.subscribe(["t"], qos=0)
                await asyncio.to_thread(other.say, "t", large)
                assert (await deliveries.get()).payload == large
                await connection.publish("t", large, qos=1, retain=False)
                assert (await deliveries.get()).payload == large

        run(main)


def test_withheld_pubacks_do_not_hold_up_what_comes_after() -> None:
    with Talker(None) as peer:

        async def main() -> None:
            async with connected(peer.port) as connection:
                for number in range(101):
                    connection.send("t", b"message %03d" % number, qos=1)
                await asyncio.to_thread(peer.wait_for, "the last one", lambda: b"message 100" in peer.heard)

        run(main)
        assert peer.heard.count(b"message ") == 101


def test_withheld_pubacks_do_not_fill_the_memory() -> None:
    with Talker(None) as peer:

        async def main() -> None:
            async with connected(peer.port) as connection:
                for _ in range(70_000):  # more than there are message ids
                    connection.send("t", b"", qos=1)
                    if not _ % 1000:
                        await asyncio.sleep(0)
                assert len(connection._client._out_messages) <= 1001

        run(main)


def test_a_peer_that_takes_nothing_ends_the_connection_before_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_MAX_BACKLOG_BYTES", 1_000_000)
    with Talker(None, takes=False) as peer:

        async def main() -> None:
            async with connected(peer.port) as connection:
                with pytest.raises(Unreachable, match="takes nothing"):
                    await flood(connection)
                assert "takes nothing" in str(await connection.closed())

        run(main)


async def flood(connection: MqttConnection) -> None:
    for _ in range(1000):
        await connection.publish("t", bytes(100_000), qos=0, retain=False)


def test_a_bug_in_the_callback_ends_the_connection_loudly(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    def broken(delivery: Delivery) -> None:
        raise KeyError("a bug")

    async def main() -> None:
        async with connected(broker.port, broken) as connection:
            await connection.subscribe(["t"], qos=1)
            waiting = connection.publish("t", b"", qos=1, retain=False)
            reason = await asyncio.wait_for(connection.closed(), 5)
            assert isinstance(reason, KeyError)
            with contextlib.suppress(LinkError):
                await waiting
            with pytest.raises(LinkError, match="fault in this program"):
                connection.send("t", b"", qos=0)

    with caplog.at_level(logging.ERROR, "asyncio"):
        run(main)
    assert any(record.exc_info and isinstance(record.exc_info[1], KeyError) for record in caplog.records)


def test_a_connection_may_be_closed_from_its_own_callback(broker: Mosquitto) -> None:
    async def main() -> None:
        box: list[MqttConnection] = []
        async with connected(broker.port, lambda delivery: box[0].abort()) as connection:
            box.append(connection)
            await connection.subscribe(["t"], qos=1)
            await asyncio.wait({connection.publish("t", b"", qos=1, retain=False)})
            assert "this side" in str(await connection.closed())

    run(main)


def test_messages_may_be_published_from_the_callback(broker: Mosquitto) -> None:
    async def main() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        box: list[MqttConnection] = []

        def answer(delivery: Delivery) -> None:
            heard.put_nowait(delivery.payload)
            if delivery.payload == b"question":
                box[0].send("t", b"answer", qos=1)

        async with connected(broker.port, answer) as connection:
            box.append(connection)
            await connection.subscribe(["t"], qos=1)
            connection.send("t", b"question", qos=1)
            assert [await heard.get(), await heard.get()] == [b"question", b"answer"]

    run(main)


@pytest.mark.parametrize("tls", [False, True])
def test_a_cancelled_connect_leaves_no_session_behind(pem: Path, tls: bool) -> None:
    # This peer shakes hands and never answers CONNECT.
    with SilentPeer(pem if tls else None) as peer:

        async def main() -> None:
            connecting = asyncio.create_task(stay_connected(peer.port, tls=tls))
            await asyncio.to_thread(peer.wait_for, "CONNECT", lambda: b"MQTT" in peer.heard)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await asyncio.to_thread(peer.wait_until_ended)

        run(main)


async def stay_connected(port: int, *, tls: bool) -> None:
    async with connected(port, tls=tls) as connection:
        await connection.closed()


def test_a_connect_cancelled_in_the_handshake_closes_the_socket() -> None:
    with SilentPeer(None) as peer:  # never answers the ClientHello

        async def main() -> None:
            connecting = asyncio.create_task(stay_connected(peer.port, tls=True))
            await asyncio.to_thread(peer.wait_for, "ClientHello", lambda: peer.heard != b"")
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await asyncio.to_thread(peer.wait_until_ended)

        run(main)


def test_closing_says_disconnect(broker: Mosquitto) -> None:
    async def main() -> None:
        async with connected(broker.port):
            pass
        await asyncio.to_thread(wait_until, "DISCONNECT", lambda: "Received DISCONNECT from here" in broker.text())

    run(main)


def test_a_connection_taken_over_by_its_own_name_tells_that_it_broke(broker: Mosquitto) -> None:
    async def main() -> None:
        async with connected(broker.port) as first, connected(broker.port) as second:
            assert isinstance(await first.closed(), Unreachable)
            assert second.is_open
            with pytest.raises(Unreachable):
                await first.subscribe(["t"], qos=0)

    run(main)


def test_the_loop_is_never_busy_while_nothing_happens(broker: Mosquitto) -> None:
    async def main() -> None:
        async with connected(broker.port) as connection:
            connection.send("t", b"", qos=1)
            turns = 0
            loop = asyncio.get_running_loop()
            selector = loop._selector  # type: ignore[attr-defined]
            select = selector.select

            def counting(timeout: float | None = None) -> object:
                nonlocal turns
                turns += 1
                return select(timeout)

            selector.select = counting
            await asyncio.sleep(0.2)
            selector.select = select
            assert turns < 10

    run(main)


def test_small_messages_are_not_held_back_by_nagle(broker: Mosquitto) -> None:
    async def main() -> None:
        async with connected(broker.port) as connection:
            assert connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(main)
