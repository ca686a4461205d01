"""paho's client as we use it: on a socket that is connected already, and its messages as ours."""

from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bambu_connector.links.mqtt_login import Login
from bambu_connector.links.mqtt_stream import TrimmedSocket
from bambu_connector.links.wire import Delivery


class Client(paho.Client):
    """paho's client on a socket that is connected already."""

    def __init__(self, sock: TrimmedSocket, login: Login) -> None:
        newest = login.protocol == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=login.client_id,
            clean_session=None if newest else True,
            protocol=MQTTProtocolVersion.MQTTv5 if newest else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=login.manual_ack,
        )
        self._connected_socket = sock

    @property
    def packets_to_write(self) -> int:
        """How many packets the peer has not taken yet."""
        return len(self._out_packet)

    @property
    def bytes_to_write(self) -> int:
        """How many bytes the peer has not taken yet."""
        return sum(packet["to_process"] for packet in self._out_packet)

    def ask_at_least_every(self, seconds: int) -> None:
        """Use no longer keep-alive than this, whatever the broker chose: it may even have switched it off."""
        self._keepalive = min(self._keepalive or seconds, seconds)

    def _create_socket(self) -> Any:
        return self._connected_socket


def make_client(sock: TrimmedSocket, login: Login) -> Client:
    """Return paho's client on a connected socket, with all that CONNECT will say."""
    client = Client(sock, login)
    client.username_pw_set(login.username, login.password.reveal() if login.password else None)
    if login.will is not None:
        client.will_set(login.will.topic, login.will.payload, qos=1, retain=True)
    client.max_inflight_messages_set(0)  # no limit: printers withhold PUBACKs, and paho would stop at 20
    return client


def publish_size(topic: str, payload: bytes, qos: int) -> int:
    """Return how long a PUBLISH of MQTT 5 without properties is, in bytes."""
    body = 2 + len(topic.encode()) + (2 if qos else 0) + 1 + len(payload)
    return 1 + max(1, (body.bit_length() + 6) // 7) + body


def delivery_of(message: paho.MQTTMessage) -> Delivery | None:
    """Return a message as ours; None where its topic is none: no UTF-8, with a NUL, an alias that we never allowed."""
    try:
        topic = message.topic
    except UnicodeDecodeError:
        return None
    if not topic or "\0" in topic:
        return None
    return Delivery(
        topic=topic,
        payload=bytes(message.payload),
        qos=message.qos,
        retain=message.retain,
        dup=message.dup,
        token=message.mid,
    )
