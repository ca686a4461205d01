"""How a login with MQTT looks: what goes into CONNECT, and what the answers mean."""

import socket
from dataclasses import dataclass
from typing import Final, Literal

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from bambu_connector.errors import AccessDenied, LinkError, ProtocolRefused, TooManyClients, Unreachable
from bambu_connector.secret import Secret

Protocol = Literal["5", "3.1.1"]

# CONNACK and DISCONNECT; paho turns the codes of 3.1.1 into these.
_DENIED: Final = frozenset({134, 135, 138, 140})
_FULL: Final = frozenset({136, 137, 151, 159})
_WRONG_VERSION: Final = 132
KEEPALIVE_TIMEOUT: Final = 141
FAILURE: Final = 128


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we die: QoS 1, retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What goes into CONNECT. With a session expiry (MQTT 5 only) the session is kept, else it starts clean."""

    client_id: str
    username: str | None = None
    password: Secret | None = None
    protocol: Protocol = "3.1.1"
    keepalive_s: int = 30
    session_expiry_s: int = 0
    receive_maximum: int | None = None
    manual_ack: bool = False
    will: Will | None = None


def make_client(sock: socket.socket, login: Login) -> paho.Client:
    """Return paho's client on a connected socket, with all that CONNECT will say."""
    client = _Client(sock, login)
    client.username_pw_set(login.username, login.password.reveal() if login.password else None)
    if login.will is not None:
        client.will_set(login.will.topic, login.will.payload, qos=1, retain=True)
    client.max_inflight_messages_set(0)  # no limit: printers withhold PUBACKs, and paho would stop at 20
    return client


def connect(client: paho.Client, endpoint: str, login: Login) -> MQTTErrorCode:
    """Write CONNECT."""
    host, _, port = endpoint.rpartition(":")
    if login.protocol == "3.1.1":
        return client.connect(host, int(port), login.keepalive_s)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = login.session_expiry_s
    if login.receive_maximum is not None:
        properties.ReceiveMaximum = login.receive_maximum
    return client.connect(
        host, int(port), login.keepalive_s, clean_start=login.session_expiry_s == 0, properties=properties
    )


def refusal(code: ReasonCode, endpoint: str, protocol: str) -> LinkError:
    """Return what a CONNACK or DISCONNECT with such a code means."""
    if code.value in _DENIED:
        return AccessDenied(f"{endpoint} refuses the user name or password: {code!s}")
    if code.value in _FULL:
        return TooManyClients(f"{endpoint} has no room for another client: {code!s}")
    if code.value == _WRONG_VERSION:
        return ProtocolRefused(f"{endpoint} does not speak MQTT {protocol}")
    return Unreachable(f"{endpoint} ends the session: {code!s}")


class _Client(paho.Client):
    """paho's client on a socket that is connected already."""

    def __init__(self, sock: socket.socket, login: Login) -> None:
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

    def _create_socket(self) -> socket.socket:
        return self._connected_socket
