"""The brokers: what a printer's allows, and the plain one."""

import asyncio
import logging
import ssl

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bambu_connector.secret import Secret
from bambu_connector.virtual.broker import PlainBroker
from bambu_connector.virtual.server import VirtualPrinter
from tests.virtual.wires import Client, run, trusting, until


@pytest.mark.parametrize("topic", ["device/{serial}/request", "device/other/report", "device/+/report", "#"])
def test_only_the_reports_of_this_printer_may_be_subscribed_to(topic: str) -> None:
    async def test() -> None:
        async with (
            VirtualPrinter() as printer,
            Client(printer, topic=topic.format(serial=printer.serial)) as client,
        ):
            await client.subscribed()
            assert client.subacks == ["Unspecified error"]

    run(test())


@pytest.mark.parametrize("topic", ["device/{serial}/report", "elsewhere"])
def test_a_publish_to_another_topic_ends_the_connection(topic: str) -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer, Client(printer) as client:
            await client.subscribed()
            client.publish(topic.format(serial=printer.serial), b"{}")
            await until(lambda: client.disconnects == 1)
            assert (printer.requests, client.heard) == ([], [])

    run(test())


def test_mqtt_5_is_told_that_it_is_not_spoken() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer, Client(printer, version=MQTTProtocolVersion.MQTTv5) as client:
            await until(lambda: bool(client.connacks))
            assert client.connacks == ["Unsupported protocol version"]

    run(test())


def test_the_same_client_id_kicks_the_other_client() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer, Client(printer, client_id="same") as first:
            await first.subscribed()
            async with Client(printer, client_id="same") as second:
                await second.subscribed()
                await until(lambda: first.disconnects == 1)
                second.send("info", "get_version")
                await second.reply("info", "get_version")
                assert printer.sessions == 1

    run(test())


def test_only_tls_1_2_is_spoken() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer:
            newer = trusting(printer.authority_file)
            newer.minimum_version = ssl.TLSVersion.TLSv1_3
            for port in printer.ports.values():
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await asyncio.open_connection(printer.host, port, ssl=newer)
                _, writer = await asyncio.open_connection(printer.host, port, ssl=trusting(printer.authority_file))
                assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
                writer.transport.abort()

    run(test())


@pytest.mark.parametrize("nonsense", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\x10\xff\xff\xff\xff\x7f"])
def test_whoever_speaks_no_mqtt_does_no_harm(nonsense: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with PlainBroker("user", Secret("word")) as broker:
            _, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(nonsense)
            writer.write_eof()
            await writer.drain()
            await asyncio.sleep(0)
            writer.close()
            await exchange(broker)

    with caplog.at_level(logging.WARNING):
        run(test())
    assert "Traceback" not in caplog.text


async def exchange(broker: PlainBroker) -> None:
    """Have one client publish to itself."""
    heard: list[bytes] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("user", "word")
    client.on_connect = lambda it, *_: it.subscribe("some/topic", 1)
    client.on_subscribe = lambda it, *_: it.publish("some/topic", b"hello", 1)
    client.on_message = lambda _c, _u, message: heard.append(bytes(message.payload))
    await asyncio.to_thread(client.connect, "127.0.0.1", broker.port)
    client.loop_start()
    await until(lambda: heard == [b"hello"])
    client.disconnect()
    await asyncio.to_thread(client.loop_stop)


def test_a_plain_broker_takes_messages_from_one_client_to_another() -> None:
    async def test() -> None:
        async with PlainBroker("user", Secret("word")) as broker:
            await exchange(broker)
            assert broker.connects == 1
            await until(lambda: broker.sessions_now == 0)

    run(test())


def test_a_plain_broker_keeps_retained_messages_and_publishes_itself() -> None:
    async def test() -> None:
        heard: list[tuple[bytes, bool]] = []
        async with PlainBroker("user", Secret("word")) as broker:
            client = mqtt.Client(CallbackAPIVersion.VERSION2)
            client.username_pw_set("user", "word")
            client.on_connect = lambda it, *_: it.publish("kept", b"old", 1, retain=True)
            client.on_publish = lambda it, *_: it.subscribe("#")
            client.on_message = lambda _c, _u, message: heard.append((bytes(message.payload), message.retain))
            await asyncio.to_thread(client.connect, "127.0.0.1", broker.port)
            client.loop_start()
            await until(lambda: heard == [(b"old", True)])
            await broker.publish("else", b"new")
            await until(lambda: heard[1:] == [(b"new", False)])
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    run(test())


def test_a_plain_broker_refuses_others() -> None:
    async def test() -> None:
        async with PlainBroker("user", Secret("word")) as broker:
            refusals: list[str] = []
            client = mqtt.Client(CallbackAPIVersion.VERSION2)
            client.username_pw_set("user", "guess")
            client.on_connect = lambda _c, _u, _f, reason, _p: refusals.append(str(reason))
            await asyncio.to_thread(client.connect, "127.0.0.1", broker.port)
            client.loop_start()
            await until(lambda: refusals[:1] == ["Not authorized"])
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    run(test())
