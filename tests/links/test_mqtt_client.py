import socket

import pytest
from paho.mqtt import client as paho

from bambu_connector.links.mqtt_client import delivery_of, make_client, publish_size
from bambu_connector.links.mqtt_login import Login
from bambu_connector.links.mqtt_stream import TrimmedSocket
from bambu_connector.links.mqtt_trim import PacketTrimmer
from bambu_connector.links.wire import Delivery
from tests.servers.packets import publish


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 100, 127 - 5, 128 - 5, 16_383 - 5, 16_384 - 5, 2_097_151 - 5, 2_097_152 - 5])
@pytest.mark.parametrize("topic", ["t", "über/alles"])
def test_the_size_of_a_message_is_told_to_the_byte(topic: str, size: int, qos: int) -> None:
    whole = publish(topic, bytes(size), mid=1 if qos else None, properties=b"")
    assert publish_size(topic, bytes(size), qos) == len(whole)


def test_a_message_becomes_ours() -> None:
    message = paho.MQTTMessage(7, b"a/topic")
    message.payload, message.qos, message.retain, message.dup = b"x", 1, True, False
    assert delivery_of(message) == Delivery("a/topic", b"x", 1, retain=True, dup=False, token=7)


@pytest.mark.parametrize("topic", [b"", b"\xff", b"a\0b"])
def test_a_message_without_a_topic_is_none(topic: bytes) -> None:
    assert delivery_of(paho.MQTTMessage(7, topic)) is None


@pytest.mark.parametrize(("chosen", "used"), [(0, 30), (10, 10), (65_535, 30)])
def test_a_brokers_keepalive_is_used_only_where_it_is_shorter(chosen: int, used: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = make_client(TrimmedSocket(ours, PacketTrimmer(100, properties=True)), Login(client_id="here"))
        client.keepalive = chosen
        client.ask_at_least_every(30)
        assert client.keepalive == used
        assert client.packets_to_write == 0
