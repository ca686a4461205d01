"""How a login with MQTT looks: what goes into CONNECT, and what the answers mean."""

from dataclasses import dataclass
from typing import Final, Literal

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from bambu_connector.errors import AccessDenied, HungUp, LinkError, ProtocolRefused, TooManyClients, Unreachable
from bambu_connector.secret import Secret

Protocol = Literal["5", "3.1.1"]

# CONNACK and DISCONNECT; paho turns the codes of 3.1.1 into these.
_DENIED: Final = frozenset({134, 135, 138, 140})
_FULL: Final = frozenset({136, 137, 151, 159})
_WRONG_VERSION: Final = 132
_TAKEN_OVER: Final = 142
KEEPALIVE_TIMEOUT: Final = 141
FAILURE: Final = 128

# A full report has 11 to 60 KB, and the longest answer on record a few hundred; what a thousand printers may send at
# once should still fit into the memory of a small computer.
MAX_PAYLOAD_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we die: QoS 1, retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What goes into CONNECT. With a session expiry (MQTT 5 only) the session is kept, else it starts clean.

    A message that comes in with a payload beyond `max_payload_bytes` is delivered with so many bytes of it.
    """

    client_id: str
    username: str | None = None
    password: Secret | None = None
    protocol: Protocol = "3.1.1"
    keepalive_s: int = 30
    session_expiry_s: int = 0
    receive_maximum: int | None = None
    manual_ack: bool = False
    will: Will | None = None
    max_payload_bytes: int = MAX_PAYLOAD_BYTES


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


def hung_up(alert: str | None, endpoint: str, protocol: str) -> LinkError:
    """Return what it means that the connection ended before the CONNACK; `alert` is what TLS gave as its reason."""
    if alert is not None and "CERTIFICATE" in alert:  # with TLS 1.3 a server looks at it after our handshake
        return AccessDenied(
            f"{endpoint} does not accept the client certificate, or wants one that it was not shown ({alert}): "
            "see cert_file and key_file in printago.tls"
        )
    if protocol == "5":
        # That is how amqtt answers a CONNECT of a version that it does not know.
        return ProtocolRefused(f"{endpoint} hangs up on a login with MQTT 5")
    return HungUp(f"{endpoint} hangs up without answering the login")


def refusal(code: ReasonCode, endpoint: str, protocol: str) -> LinkError:
    """Return what a CONNACK or DISCONNECT with such a code means."""
    if code.value in _DENIED:
        return AccessDenied(f"{endpoint} refuses the user name or password: {code!s}")
    if code.value in _FULL:
        return TooManyClients(f"{endpoint} has no room for another client: {code!s}")
    if code.value == _WRONG_VERSION:
        return ProtocolRefused(f"{endpoint} does not speak MQTT {protocol}")
    if code.value == _TAKEN_OVER:
        return Unreachable(
            f"another client logged in at {endpoint} with our client id, which ends our session: does a second "
            "connector run with the same `id` or `client_id`?"
        )
    return Unreachable(f"{endpoint} ends the session: {code!s}")
