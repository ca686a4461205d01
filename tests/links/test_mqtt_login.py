import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from bambu_connector.errors import AccessDenied, HungUp, LinkError, ProtocolRefused, TooManyClients, Unreachable
from bambu_connector.links.mqtt_login import Login, hung_up, refusal
from bambu_connector.secret import Secret


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (132, ProtocolRefused),
        (134, AccessDenied),
        (135, AccessDenied),
        (136, TooManyClients),
        (137, TooManyClients),
        (151, TooManyClients),
        (128, Unreachable),
        (133, Unreachable),
    ],
)
def test_a_refused_login_is_told_by_its_code_and_names_the_broker(code: int, kind: type[LinkError]) -> None:
    error = refusal(ReasonCode(PacketTypes.CONNACK, identifier=code), "broker:8883", "5")
    assert type(error) is kind
    assert "broker:8883" in str(error)


def test_only_a_refused_password_is_not_tried_again() -> None:
    for code in (128, 132, 133, 136, 151):
        assert refusal(ReasonCode(PacketTypes.CONNACK, identifier=code), "b", "5").retryable
    assert not refusal(ReasonCode(PacketTypes.CONNACK, identifier=135), "b", "5").retryable


def test_a_second_connector_of_the_same_name_is_told_as_the_cause() -> None:
    error = refusal(ReasonCode(PacketTypes.DISCONNECT, identifier=142), "broker:8883", "5")
    assert type(error) is Unreachable
    assert "second connector" in str(error)


def test_a_login_can_be_printed_without_its_password() -> None:
    assert "hunter2" not in repr(Login(client_id="here", password=Secret("hunter2")))


@pytest.mark.parametrize(
    ("alert", "protocol", "kind"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "5", AccessDenied),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "3.1.1", AccessDenied),
        ("UNEXPECTED_EOF_WHILE_READING", "3.1.1", HungUp),
        (None, "3.1.1", HungUp),
        (None, "5", ProtocolRefused),
    ],
)
def test_hanging_up_on_a_login_means_what_tls_says_of_it(
    alert: str | None, protocol: str, kind: type[LinkError]
) -> None:
    error = hung_up(alert, "broker:8883", protocol)
    assert type(error) is kind
    assert "broker:8883" in str(error)
