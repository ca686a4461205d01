import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from amqtt.broker import Broker

from bambu_connector.errors import (
    AccessDenied,
    IdentityMismatch,
    LinkError,
    MessageRefused,
    NotAPrinter,
    ProtocolRefused,
    Unreachable,
)
from bambu_connector.links import mqtt
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt_login import Login, Will
from bambu_connector.links.printago_mqtt import MAX_PAYLOAD_BYTES, PrintagoMqtt
from bambu_connector.links.tls import broker_context
from bambu_connector.links.wire import Delivery
from bambu_connector.printago import commands
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.servers.certificates import HostAuthority
from tests.servers.mosquitto import Mosquitto
from tests.servers.onlooker import Onlooker
from tests.servers.packets import publish
from tests.servers.process import free_port, wait_until
from tests.servers.silent import ScriptedPeer

COMMANDS = "bambu/commands"
WILL = Will("bambu/here/mqtt", b"disconnected")
PASSWORD = "farm-password"
ACL = """user farm
topic read bambu/commands
topic write bambu/+/status
topic write bambu/here/mqtt

user cloud
topic readwrite #
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, users={"farm": PASSWORD, "cloud": "x"}, acl=ACL) as running:
        yield running


@pytest.fixture
def cloud(broker: Mosquitto) -> Iterator[Onlooker]:
    with Onlooker(broker.port, "bambu/+/status", WILL.topic, user="cloud", password="x") as running:
        yield running


@contextlib.asynccontextmanager
async def link_to(
    port: int, protocol: str = "5", password: str = PASSWORD, keepalive_s: int = 30, will: Will | None = WILL
) -> AsyncIterator[PrintagoMqtt]:
    login = Login(
        client_id="here",
        username="farm",
        password=Secret(password),
        protocol="5" if protocol == "5" else "3.1.1",
        keepalive_s=keepalive_s,
        will=will,
    )
    dialer = Dialer()
    try:
        yield PrintagoMqtt(host="127.0.0.1", port=port, context=None, login=login, dialer=dialer)
    finally:
        dialer.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 20))


def ignore(delivery: Delivery) -> None:
    pass


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_commands_come_in_and_messages_go_out(broker: Mosquitto, cloud: Onlooker, protocol: str) -> None:
    async def main() -> None:
        async with link_to(broker.port, protocol) as link:
            deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
            connection = await link.connect(deliveries.put_nowait)
            assert connection.protocol == protocol
            await connection.subscribe([COMMANDS])
            await asyncio.to_thread(cloud.say, COMMANDS, b"jog")
            delivery = await deliveries.get()
            assert (delivery.topic, delivery.payload, delivery.qos) == (COMMANDS, b"jog", 1)
            assert (delivery.retain, delivery.dup) == (False, False)
            connection.acknowledge(delivery)
            await connection.publish("bambu/p/status", b"one", qos=1, retain=False)
            await connection.publish("bambu/p/status", b"two", qos=0, retain=True)
            assert (await asyncio.to_thread(cloud.hear)).payload == b"one"
            assert (await asyncio.to_thread(cloud.hear)).payload == b"two"
            await connection.close()
            assert isinstance(await connection.closed(), LinkError)
            with pytest.raises(LinkError):
                await connection.publish("bambu/p/status", b"three", qos=0, retain=False)

    run(main)


def test_a_retained_command_is_marked(broker: Mosquitto, cloud: Onlooker) -> None:
    cloud.say(COMMANDS, b"old", retain=True)

    async def main() -> None:
        async with link_to(broker.port) as link:
            deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
            connection = await link.connect(deliveries.put_nowait)
            await connection.subscribe([COMMANDS])
            assert (await deliveries.get()).retain
            await connection.close()

    run(main)


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(broker: Mosquitto, cloud: Onlooker) -> None:
    async def main() -> None:
        async with link_to(broker.port) as link:
            deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
            first = await link.connect(deliveries.put_nowait)
            await first.subscribe([COMMANDS])
            await asyncio.to_thread(cloud.say, COMMANDS, b"on disk")
            await asyncio.to_thread(cloud.say, COMMANDS, b"not yet")
            on_disk, not_yet = await deliveries.get(), await deliveries.get()
            first.acknowledge(on_disk)
            first.abort()
            await asyncio.to_thread(cloud.say, COMMANDS, b"meanwhile")

            second = await link.connect(deliveries.put_nowait)
            await asyncio.sleep(0.1)
            assert deliveries.empty(), "nothing may be delivered before the first subscribe"
            await second.subscribe([COMMANDS])
            again, meanwhile = await deliveries.get(), await deliveries.get()
            assert (again.payload, again.dup) == (b"not yet", True)
            assert meanwhile.payload == b"meanwhile"
            second.acknowledge(not_yet)  # of the first session: it must not count here
            second.abort()

            third = await link.connect(deliveries.put_nowait)
            await third.subscribe([COMMANDS])
            for expected in (b"not yet", b"meanwhile"):
                delivery = await deliveries.get()
                assert delivery.payload == expected
                third.acknowledge(delivery)
            await third.close()

            fourth = await link.connect(deliveries.put_nowait)
            await fourth.subscribe([COMMANDS])
            await asyncio.to_thread(cloud.say, COMMANDS, b"last")
            assert (await deliveries.get()).payload == b"last"
            await fourth.close()

    run(main)


def test_the_will_is_published_when_we_die_and_not_when_we_leave(broker: Mosquitto, cloud: Onlooker) -> None:
    async def main() -> None:
        async with link_to(broker.port) as link:
            left = await link.connect(ignore)
            await left.close()
            died = await link.connect(ignore)
            await died.publish("bambu/p/status", b"still here", qos=1, retain=False)
            died.abort()

    run(main)
    assert cloud.hear().payload == b"still here"
    will = cloud.hear()
    assert (will.topic, will.payload) == (WILL.topic, WILL.payload)
    with Onlooker(broker.port, WILL.topic, user="cloud", password="x") as later:
        assert later.hear().retain


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_wrong_password_is_access_denied(broker: Mosquitto, protocol: str) -> None:
    async def main() -> None:
        async with link_to(broker.port, protocol, password="wrong-one") as link:
            with pytest.raises(AccessDenied) as caught:
                await link.connect(ignore)
            assert "wrong-one" not in str(caught.value)

    run(main)


def test_a_message_that_the_acl_forbids_fails_on_mqtt_5(broker: Mosquitto) -> None:
    async def main() -> None:
        async with link_to(broker.port) as link:
            connection = await link.connect(ignore)
            with pytest.raises(LinkError, match="refuses a message"):
                await connection.publish("elsewhere", b"", qos=1, retain=False)
            await connection.publish("bambu/p/status", b"", qos=1, retain=False)
            await connection.close()

    run(main)


def test_more_messages_than_the_broker_takes_at_a_time_all_arrive_in_order(tmp_path: Path) -> None:
    # mosquitto announces a receive maximum of 3 and would hang up at the fourth.
    with (
        Mosquitto(tmp_path, options=["max_inflight_messages 3"]) as broker,
        Onlooker(broker.port, "bambu/+/status") as cloud,
    ):

        async def main() -> None:
            async with link_to(broker.port) as link:
                connection = await link.connect(ignore)
                waiting = [
                    connection.publish("bambu/p/status", b"%d" % number, qos=1, retain=False) for number in range(200)
                ]
                await asyncio.gather(*waiting)
                await connection.close()

        run(main)
        assert [cloud.hear().payload for _ in range(200)] == [b"%d" % number for number in range(200)]


def test_a_broker_that_dies_fails_what_waits(broker: Mosquitto) -> None:
    async def main() -> None:
        async with link_to(broker.port) as link:
            connection = await link.connect(ignore)
            broker.freeze()
            waiting = connection.publish("bambu/p/status", b"", qos=1, retain=False)
            broker.stop()
            with pytest.raises(Unreachable):
                await waiting
            assert isinstance(await connection.closed(), Unreachable)
            connection.acknowledge(Delivery("t", b"", 1, retain=False, dup=False, token=1 << 16 | 1))
            with pytest.raises(Unreachable):
                await link.connect(ignore)

    run(main)


def test_a_broker_that_freezes_is_found_out_by_the_keepalive(broker: Mosquitto) -> None:
    async def main() -> None:
        async with link_to(broker.port, keepalive_s=1) as link:
            connection = await link.connect(ignore)
            broker.freeze()
            assert "has not answered" in str(await connection.closed())

    run(main)


def test_a_quiet_connection_is_kept_by_pings(broker: Mosquitto) -> None:
    async def main() -> None:
        async with link_to(broker.port, keepalive_s=1) as link:
            connection = await link.connect(ignore)
            # Three of them are well past one and a half keep-alives.
            await asyncio.to_thread(wait_until, "three pings", lambda: broker.text().count("Sending PINGRESP") == 3)
            await connection.publish("bambu/p/status", b"", qos=1, retain=False)
            await connection.close()

    run(main)


# -- the version -----------------------------------------------------------------------------------

V3_REFUSES_5 = b"\x20\x02\x00\x01"
V5_REFUSES_5 = b"\x20\x03\x00\x84\x00"


@pytest.mark.parametrize("refusal", [V3_REFUSES_5, V5_REFUSES_5])
def test_a_broker_that_refuses_5_is_asked_with_3_1_1(refusal: bytes) -> None:
    with ScriptedPeer(None, [refusal]) as peer:

        async def main() -> None:
            async with link_to(peer.port) as link:
                with pytest.raises(LinkError):
                    await link.connect(ignore)

        run(main)
        peer.wait_for("both logins", lambda: peer.ended == 2)
        assert peer.heard.count(b"\x00\x04MQTT\x05") == 1
        assert peer.heard.count(b"\x00\x04MQTT\x04") == 1


@pytest.mark.parametrize("will", [WILL, None])  # with one amqtt never answers, without one it hangs up
def test_a_broker_that_knows_only_3_1_1_is_remembered(monkeypatch: pytest.MonkeyPatch, will: Will | None) -> None:
    monkeypatch.setattr(mqtt, "ANSWER_TIMEOUT_S", 0.5)

    async def main() -> None:
        port = free_port()
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        broker = Broker(config)
        await broker.start()
        try:
            async with link_to(port, will=will) as link:
                for _ in range(2):
                    deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
                    connection = await link.connect(deliveries.put_nowait)
                    assert connection.protocol == "3.1.1"
                    await connection.subscribe([COMMANDS])
                    await connection.publish(COMMANDS, b"hello", qos=1, retain=False)
                    connection.acknowledge(await deliveries.get())
                    await connection.close()
        finally:
            await broker.shutdown()

    run(main)


class _Answering:
    """A broker that answers logins, or hangs up on them, one `script` letter each: "5" or "h"; then always."""

    def __init__(self, script: str) -> None:
        self._script = list(script)
        self.versions: list[str] = []
        self.serving: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.current_task())
        newest = b"MQTT\x05" in await reader.read(1000)
        self.versions.append("5" if newest else "3.1.1")
        if not self._script or self._script.pop(0) == "5":
            writer.write(b"\x20\x03\x00\x00\x00" if newest else b"\x20\x02\x00\x00")
            await writer.drain()
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _versions(script: str, attempts: int) -> list[str]:
    broker = _Answering(script)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    async with link_to(server.sockets[0].getsockname()[1]) as link:
        for _ in range(attempts):
            with contextlib.suppress(Unreachable):
                await (await link.connect(ignore)).close()
    await asyncio.gather(*filter(None, broker.serving))
    server.close()
    return broker.versions


def test_a_wire_that_is_cut_in_a_login_does_not_cost_the_kept_session() -> None:
    assert asyncio.run(_versions("5hh", 4)) == ["5"] * 4


def test_a_broker_that_refuses_5_again_and_again_is_believed_though_it_spoke_it() -> None:
    assert asyncio.run(_versions("5hhh", 5)) == ["5", "5", "5", "5", "3.1.1", "3.1.1"]


def test_a_wire_that_is_cut_in_the_first_login_is_not_remembered_for_ever() -> None:
    assert asyncio.run(_versions("h", 3)) == ["5", "3.1.1", "5", "5"]


def test_a_broker_that_hangs_up_on_both_is_unreachable() -> None:
    with ScriptedPeer(None, []) as peer:

        async def main() -> None:
            async with link_to(peer.port) as link:
                with pytest.raises(Unreachable):
                    await link.connect(ignore)

        run(main)


def test_a_broker_without_3_1_1_is_told_as_such() -> None:
    with ScriptedPeer(None, [b"\x20\x02\x00\x01"]) as peer:

        async def main() -> None:
            async with link_to(peer.port, "3.1.1") as link:
                with pytest.raises(LinkError) as caught:
                    await link.connect(ignore)
                assert "MQTT 3.1.1" in str(caught.value)
                assert not isinstance(caught.value, ProtocolRefused)

        run(main)


# -- more than we can take -------------------------------------------------------------------------

GIANT_BYTES = 100_000_000


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_giant_message_is_delivered_cut_and_acknowledged_and_costs_no_memory(
    tmp_path: Path, protocol: str, rss_now: Callable[[], int]
) -> None:
    giant = tmp_path / "giant"
    with giant.open("wb") as file:
        file.truncate(GIANT_BYTES)

    async def main(broker: Mosquitto) -> None:
        def say_both() -> None:
            say(broker, "-f", giant)
            say(broker, "-m", "next")

        async with link_to(broker.port, protocol) as link:
            heard: asyncio.Queue[Delivery] = asyncio.Queue()
            connection = await link.connect(heard.put_nowait)
            await connection.subscribe([COMMANDS])
            before = most = rss_now()
            saying = asyncio.create_task(asyncio.to_thread(say_both))
            for payload in (bytes(MAX_PAYLOAD_BYTES), b"next"):
                while heard.empty():
                    most = max(most, rss_now())
                    await asyncio.sleep(0.01)
                delivery = heard.get_nowait()
                assert delivery.payload == payload
                assert delivery.topic == COMMANDS
                connection.acknowledge(delivery)
            await saying
            assert most - before < 20_000_000
            acknowledged = "Received PUBACK from here"
            await asyncio.to_thread(wait_until, "both PUBACKs", lambda: broker.text().count(acknowledged) == 2)
            await connection.close()

    with Mosquitto(tmp_path) as broker:
        run(lambda: main(broker))


def say(broker: Mosquitto, *what: str | Path) -> None:
    """Publish with QoS 1, in a process of its own: what it keeps in memory is not ours."""
    where = ["-h", broker.host, "-p", str(broker.port), "-V", "5", "-q", "1", "-t", COMMANDS]
    subprocess.run(["mosquitto_pub", *where, *what], check=True, timeout=20)


@pytest.fixture
def rss_now() -> Callable[[], int]:
    process = psutil.Process()
    return lambda: int(process.memory_info().rss)


def test_a_command_with_giant_properties_is_delivered_without_them(tmp_path: Path) -> None:
    async def main(broker: Mosquitto) -> None:
        async with link_to(broker.port) as link:
            heard: asyncio.Queue[Delivery] = asyncio.Queue()
            connection = await link.connect(heard.put_nowait)
            await connection.subscribe([COMMANDS])
            user = (f for number in range(20) for f in ("-D", "publish", "user-property", f"{number}", "x" * 60_000))
            say(broker, "-m", "a command", *user)
            delivery = await heard.get()
            assert delivery.payload == b"a command"
            connection.acknowledge(delivery)
            await asyncio.to_thread(wait_until, "the PUBACK", lambda: "Received PUBACK from here" in broker.text())
            await connection.close()

    with Mosquitto(tmp_path) as broker:
        run(lambda: main(broker))


def test_a_cut_command_is_too_long_for_sure() -> None:
    assert MAX_PAYLOAD_BYTES > commands.MAX_PAYLOAD_BYTES


def test_a_message_beyond_the_brokers_limit_is_refused_and_the_connection_stays(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, options=["max_packet_size 2000"]) as broker:

        async def main() -> None:
            async with link_to(broker.port) as link:
                connection = await link.connect(ignore)
                with pytest.raises(MessageRefused, match="2000 bytes"):
                    await connection.publish("bambu/p/status", bytes(2000), qos=1, retain=False)
                await connection.publish("bambu/p/status", bytes(1900), qos=1, retain=False)
                await connection.close()

        run(main)


def test_what_waits_for_its_acknowledgement_is_never_more_than_we_allowed(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, options=["max_inflight_messages 0"]) as broker, Onlooker(broker.port) as cloud:

        async def main() -> None:
            async with link_to(broker.port) as link:
                heard: asyncio.Queue[Delivery] = asyncio.Queue()
                connection = await link.connect(heard.put_nowait)
                await connection.subscribe([COMMANDS])
                for number in range(250):
                    await asyncio.to_thread(cloud.say, COMMANDS, b"%d" % number)
                await connection.publish("bambu/p/status", b"", qos=1, retain=False)  # everything before it is here
                assert heard.qsize() == 100
                for number in range(250):
                    delivery = await heard.get()
                    assert delivery.payload == b"%d" % number
                    connection.acknowledge(delivery)
                await connection.close()

        run(main)


def test_a_broker_that_sends_more_than_we_allowed_before_we_ask_fills_no_memory() -> None:
    many = b"".join(publish(COMMANDS, bytes(1000), mid=mid, properties=b"") for mid in range(1, 1001))
    with ScriptedPeer(None, [b"\x20\x03\x00\x00\x00" + many + b"\xe0\x00"]) as peer:

        async def main() -> None:
            async with link_to(peer.port) as link:
                heard: list[Delivery] = []
                connection = await link.connect(heard.append)
                await connection._session.closed()
                with pytest.raises(LinkError):
                    await connection.subscribe([COMMANDS])
                assert [each.token & 0xFFFF for each in heard] == list(range(1, 101))

        run(main)


# -- TLS -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def secure_link(port: int, context: ssl.SSLContext, host: str = "127.0.0.1") -> AsyncIterator[PrintagoMqtt]:
    dialer = Dialer()
    login = Login(client_id="here", username="farm", password=Secret(PASSWORD), protocol="5")
    try:
        yield PrintagoMqtt(host=host, port=port, context=context, login=login, dialer=dialer)
    finally:
        dialer.close()


def refusal_of(peer: ScriptedPeer, context: ssl.SSLContext, kind: type[LinkError]) -> str:
    """Connect, expect a failure before a byte of ours is sent, and return its sentence."""
    sentences: list[str] = []

    async def main() -> None:
        async with secure_link(peer.port, context) as link:
            with pytest.raises(kind) as caught:
                await link.connect(ignore)
            sentences.append(str(caught.value))

    run(main)
    peer.wait_until_ended()
    assert peer.heard == b""
    assert str(peer.port) in sentences[0]
    return sentences[0]


def certificate_for(fault: str, folder: Path) -> tuple[Path, Path]:
    """Return the CA file that we trust, and what a broker with such a fault shows."""
    authority, stranger = HostAuthority(folder), HostAuthority(folder, "Stranger")
    match fault:
        case "address":
            pem = authority.issue("broker", address="127.0.0.2")
        case "name":
            pem = authority.issue("broker", address=None, host="broker.example")
        case "expired":
            pem = authority.issue("broker", days=(-30, -1))
        case "future":
            pem = authority.issue("broker", days=(2, 30))
        case "itself":
            pem = authority.issue("broker", signed_by_itself=True)
        case _:
            pem = stranger.issue("broker")
    return authority.certificate, pem


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("address", "not for this address"),
        ("name", "not for this address"),
        ("expired", "must renew it"),
        ("future", "clock"),
        ("itself", "ca_file"),
        ("authority", "ca_file"),
    ],
)
def test_a_broker_that_cannot_prove_who_it_is_gets_no_byte(tmp_path: Path, fault: str, advice: str) -> None:
    ca_file, pem = certificate_for(fault, tmp_path)
    with ScriptedPeer(pem, []) as peer:
        sentence = refusal_of(peer, broker_context(ca_file, None, None), IdentityMismatch)
    assert "not trusted" in sentence
    assert advice in sentence


def test_a_broker_at_another_name_than_its_certificates_gets_no_byte(tmp_path: Path) -> None:
    authority = HostAuthority(tmp_path)
    with ScriptedPeer(authority.issue("broker", address=None, host="broker.example"), []) as peer:

        async def main() -> None:
            async with secure_link(peer.port, broker_context(authority.certificate, None, None), "localhost") as link:
                with pytest.raises(IdentityMismatch, match="for another name: correct the host"):
                    await link.connect(ignore)

        run(main)
        peer.wait_until_ended()
        assert peer.heard == b""


def test_a_ca_file_of_our_own_is_the_only_one_that_counts(tmp_path: Path) -> None:
    authority = HostAuthority(tmp_path)
    with ScriptedPeer(authority.issue("broker"), []) as peer:
        assert "ca_file" in refusal_of(peer, broker_context(None, None, None), IdentityMismatch)


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_broker_with_nothing_newer_than_tls_1_1_gets_no_byte(tmp_path: Path, version: str) -> None:
    authority = HostAuthority(tmp_path)
    with ScriptedPeer(authority.issue("broker"), []) as peer:
        assert peer._context is not None
        peer._context.set_ciphers("ALL:@SECLEVEL=0")
        peer._context.minimum_version = peer._context.maximum_version = ssl.TLSVersion[version]
        sentence = refusal_of(peer, broker_context(authority.certificate, None, None), NotAPrinter)
    assert "older than 1.2" in sentence


@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
def test_a_client_certificate_lets_us_in_and_its_lack_is_told(tmp_path: Path, tls: str) -> None:
    authority = HostAuthority(tmp_path)
    own = authority.issue("client", address=None, host="client")
    pem = authority.issue("broker")
    options = ["require_certificate true", f"cafile {authority.certificate}", f"tls_version {tls}"]
    with Mosquitto(tmp_path, pem=pem, listener_options=options) as broker:

        async def main() -> None:
            async with secure_link(broker.port, broker_context(authority.certificate, own, None)) as link:
                connection = await link.connect(ignore)
                await connection.publish("t", b"", qos=1, retain=False)
                await connection.close()
            async with secure_link(broker.port, broker_context(authority.certificate, None, None)) as link:
                with pytest.raises(LinkError) as caught:
                    await link.connect(ignore)
                assert "ertificate" in str(caught.value)

        run(main)


def test_a_broker_whose_certificate_we_do_not_know_gets_no_password(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with ScriptedPeer(authority.issue("127.0.0.1"), []) as peer:

        async def main() -> None:
            dialer = Dialer()
            for ca_file in (
                None,
                authority.certificate,
            ):  # the second knows the CA, but the name is in no subjectAltName
                link = PrintagoMqtt(
                    host="127.0.0.1",
                    port=peer.port,
                    context=broker_context(ca_file, None, None),
                    login=Login(client_id="here", username="farm", password=Secret(PASSWORD), protocol="5"),
                    dialer=dialer,
                )
                with pytest.raises(IdentityMismatch, match="not trusted"):
                    await link.connect(ignore)
            dialer.close()

        run(main)
        peer.wait_for("both handshakes", lambda: peer.ended == 2)
        assert peer.heard == b""
