import asyncio
import contextlib
import itertools
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.errors import LinkError, MessageRefused, Unreachable
from bambu_connector.links import mqtt
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt import MqttConnection
from bambu_connector.links.mqtt_login import Login, Protocol
from bambu_connector.links.tls import Trust, printer_context
from bambu_connector.links.wire import Delivery
from bambu_connector.virtual.pki import Authority
from tests.servers.mosquitto import Mosquitto
from tests.servers.onlooker import Onlooker
from tests.servers.packets import packet, publish
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
    packets = b"".join(publish("t", b"%d" % number) for number in range(500))
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


# -- peers that are broken, or hostile -------------------------------------------------------------

CONNACK_5 = b"\x20\x03\x00\x00\x00"


@contextlib.asynccontextmanager
async def wired(
    greeting: bytes,
    on_message: Callable[[Delivery], None] = ignore,
    *,
    protocol: Protocol = "3.1.1",
    manual_ack: bool = False,
    keepalive_s: int = 30,
) -> AsyncIterator[tuple[MqttConnection, socket.socket]]:
    """A connection to a peer that is played by the test, which has said `greeting` already."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        theirs.setblocking(False)
        theirs.sendall(greeting)
        login = Login(client_id="here", protocol=protocol, keepalive_s=keepalive_s, manual_ack=manual_ack)
        connection = await MqttConnection.open(ours, "peer:1", login, on_message)
        try:
            yield connection, theirs
        finally:
            connection.abort()


def taken(theirs: socket.socket) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return theirs.recv(1_000_000)
    return b""


async def until(probe: Callable[[], object]) -> None:
    while not probe():  # noqa: ASYNC110 - what it waits for is on the other side of a socket
        await asyncio.sleep(0.005)


def test_a_peer_that_is_gone_before_we_say_a_word_is_unreachable() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        ours.setblocking(False)
        with pytest.raises(Unreachable, match="hangs up"):
            await MqttConnection.open(ours, "peer:1", Login(client_id="here"), ignore)

    run(main)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@given(data=st.data())
def test_whatever_a_peer_says_ends_with_one_of_our_errors(protocol: Protocol, data: st.DataObject) -> None:
    types = st.integers(0, 15).map(lambda kind: kind << 4)
    packets = st.builds(lambda kind, flags, body: packet(kind | flags, body), types, st.integers(0, 15), st.binary())
    said = b"".join(data.draw(st.lists(packets | st.binary(max_size=20), max_size=6)))

    async def main() -> None:
        async with wired(CONNACK if protocol == "3.1.1" else CONNACK_5, protocol=protocol) as (connection, theirs):
            waiting = connection.publish("t", b"", qos=1, retain=False)
            theirs.sendall(said)
            theirs.shutdown(socket.SHUT_WR)
            reason = await connection.closed()
            assert isinstance(reason, LinkError)
            assert str(reason).startswith(("peer:1 ", "the connection to peer:1 "))
            await asyncio.wait([waiting])

    run(main)


@pytest.mark.parametrize(
    "said", [b"\x30\xff\xff\xff\xff\x01", packet(0x34, b"\0\1t\0\1"), packet(0x90, bytes(3_000_000))]
)
def test_what_is_no_mqtt_ends_the_connection_with_a_sentence(said: bytes) -> None:
    async def main() -> None:
        async with wired(CONNACK) as (connection, theirs):
            theirs.send(said)
            reason = await connection.closed()
            assert type(reason) is Unreachable
            assert "peer:1" in str(reason)

    run(main)


def test_a_topic_that_is_none_is_put_aside_and_acknowledged() -> None:
    alias = b"\x23\x00\x01"
    said = [
        publish(b"\xff\xfe", b"no UTF-8", mid=1, properties=b""),
        publish("a\0b", b"NUL", mid=2, properties=b""),
        publish("", b"an alias that we never allowed", mid=3, properties=alias),
        publish("t", b"good", mid=4, properties=b""),
    ]

    async def main() -> None:
        heard: asyncio.Queue[Delivery] = asyncio.Queue()
        async with wired(CONNACK_5, heard.put_nowait, protocol="5", manual_ack=True) as (connection, theirs):
            taken(theirs)
            theirs.sendall(b"".join(said))
            assert (await heard.get()).payload == b"good"
            assert heard.empty()
            connection.acknowledge(4)
            sent = b""
            while b"\x00\x04" not in sent:
                sent += taken(theirs)
                await asyncio.sleep(0)
            assert sent == b"".join(b"\x40\x02\x00" + bytes([mid]) for mid in (1, 2, 3, 4))

    run(main)


def test_a_suback_with_too_few_answers_is_no_subscription() -> None:
    async def main() -> None:
        async with wired(CONNACK) as (connection, theirs):
            asked = asyncio.create_task(connection.subscribe(["a", "b"], qos=0))
            await until(lambda: b"\x00\x01b" in taken(theirs))
            theirs.sendall(b"\x90\x03\x00\x01\x00")
            with pytest.raises(LinkError, match="1 of 2"):
                await asked

    run(main)


def test_pubacks_for_messages_that_we_never_sent_change_nothing() -> None:
    async def main() -> None:
        async with wired(CONNACK) as (connection, theirs):
            waiting = connection.publish("t", b"", qos=1, retain=False)
            theirs.sendall(b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in (0, 2, 3, 65_535)))
            theirs.sendall(b"\x40\x02\x00\x01" * 2)
            await waiting
            assert connection.is_open

    run(main)


def test_a_peer_that_floods_us_and_reads_no_answer_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_MAX_PACKETS_TO_WRITE", 500)
    flood_of = publish("t", b"", mid=7) * 1000

    async def main() -> None:
        async with wired(CONNACK, keepalive_s=1) as (connection, theirs):
            while connection.is_open:
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    theirs.send(flood_of)
                await asyncio.sleep(0)
                assert connection._client.packets_to_write < 1000
            assert "has not answered" in str(await connection.closed())

    run(main)


def test_a_peer_that_reads_its_answers_late_is_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_MAX_PACKETS_TO_WRITE", 10)
    heard = 0

    def count(delivery: Delivery) -> None:
        nonlocal heard
        heard += 1

    async def main() -> None:
        async with wired(CONNACK, count) as (connection, theirs):
            theirs.sendall(publish("t", b"", mid=7) * 3000)
            await until(lambda: connection._deaf)
            assert heard < 3000
            await until(lambda: (taken(theirs), heard == 3000)[1])
            await until(lambda: (taken(theirs), not connection._deaf)[1])

    run(main)


def test_a_flood_of_messages_leaves_time_for_the_others_and_nothing_behind() -> None:
    heard = 0
    turns: list[int] = []

    def count(delivery: Delivery) -> None:
        nonlocal heard
        heard += 1

    async def main() -> None:
        async with wired(CONNACK, count) as (connection, theirs):
            chunk = publish("t", b"", mid=7) * 1000
            left = memoryview(chunk * 30)
            while heard < 30_000:
                assert connection.is_open, await connection.closed()
                with contextlib.suppress(BlockingIOError):
                    left = left[theirs.send(left[:50_000]) :]
                taken(theirs)
                turns.append(heard)
                await asyncio.sleep(0)
            assert connection.is_open
            assert not connection._client._in_messages
            await until(lambda: (taken(theirs), not connection._client.packets_to_write)[1])

    run(main)
    most = max(after - before for before, after in itertools.pairwise(turns))
    assert most <= 3 * mqtt._PACKETS_A_TURN, "the loop's other tasks have to wait for a flood"


@pytest.mark.parametrize("drips", [True, False])
def test_a_message_that_never_comes_to_its_end_is_found_out(drips: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_MISC_INTERVAL_S", 0.05)
    monkeypatch.setattr(mqtt, "_SLOWEST_BYTES_PER_S", 1 << 20)

    async def main() -> None:
        async with wired(CONNACK, keepalive_s=1) as (connection, theirs):
            theirs.sendall(b"\x30\xff\xff\xff\x7f\x00\x01t")
            began = time.monotonic()
            while connection.is_open:
                with contextlib.suppress(LinkError):
                    connection.send("t", b"we talk, so that paho sees no reason to ask", qos=0)
                if drips:
                    with contextlib.suppress(OSError):
                        theirs.send(b"x")
                taken(theirs)
                await asyncio.sleep(0.02)
                assert time.monotonic() - began < 15
            assert isinstance(await connection.closed(), Unreachable)

    run(main)


def test_a_keepalive_that_the_broker_switched_off_is_kept_all_the_same() -> None:
    off = b"\x20\x06\x00\x00\x03\x13\x00\x00"

    async def main() -> None:
        async with wired(off, protocol="5", keepalive_s=1) as (connection, _):
            assert "has not answered" in str(await connection.closed())

    run(main)


def test_a_message_beyond_what_the_broker_takes_is_refused_by_us() -> None:
    takes_100 = b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x64"

    async def main() -> None:
        async with wired(takes_100, protocol="5") as (connection, theirs):
            taken(theirs)
            for qos, fits in ((0, 94), (1, 92)):
                with pytest.raises(MessageRefused, match="100 bytes"):
                    await connection.publish("t", bytes(fits + 1), qos=qos, retain=False)
                assert taken(theirs) == b""
                _ = connection.publish("t", bytes(fits), qos=qos, retain=False)
                assert len(taken(theirs)) == 100

    run(main)
