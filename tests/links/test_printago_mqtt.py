import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from amqtt.broker import Broker

from bambu_connector.errors import AccessDenied, IdentityMismatch, LinkError, ProtocolRefused, Unreachable
from bambu_connector.links import mqtt
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt_login import Login, Will
from bambu_connector.links.printago_mqtt import PrintagoMqtt
from bambu_connector.links.tls import broker_context
from bambu_connector.links.wire import Delivery
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.servers.mosquitto import Mosquitto
from tests.servers.onlooker import Onlooker
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


# -- TLS -------------------------------------------------------------------------------------------


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
