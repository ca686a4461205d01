import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    IdentityMismatch,
    LinkError,
    Mute,
    NotAPrinter,
    TooManyClients,
    Unreachable,
)
from bambu_connector.links.certificate import fingerprint_of
from bambu_connector.links.dial import Dialer
from bambu_connector.links.printer_mqtt import PrinterMqtt, PrinterMqttConnection
from bambu_connector.links.tls import Trust
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.servers.mosquitto import Mosquitto
from tests.servers.onlooker import Onlooker
from tests.servers.process import free_port
from tests.servers.silent import ScriptedPeer, SilentPeer

SERIAL = "01P00A000000001"
CODE = "12345678"
CONNACK = b"\x20\x02\x00\x00"
ACL = f"""user bblp
topic read device/{SERIAL}/report
topic write device/{SERIAL}/request

user printer
topic readwrite #
"""


def der_of(pem: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.read_text().partition("-----BEGIN RSA")[0])


@pytest.fixture(scope="module")
def pem(authority: Authority) -> Path:
    return authority.issue(SERIAL)


@pytest.fixture
def broker(tmp_path: Path, pem: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, users={"bblp": CODE, "printer": "x"}, acl=ACL, pem=pem) as running:
        yield running


def with_link(
    port: int,
    use: Callable[[PrinterMqtt], Awaitable[None]],
    *,
    serial: str = SERIAL,
    code: str = CODE,
    trust: Trust | None = None,
    timeout_s: float = 5,
) -> None:
    async def main() -> None:
        dialer = Dialer(timeout_s)
        try:
            link = PrinterMqtt(
                serial=serial,
                host="127.0.0.1",
                port=port,
                access_code=Secret(code),
                trust=trust or Trust(serial),
                dialer=dialer,
            )
            await use(link)
        finally:
            dialer.close()

    asyncio.run(main())


def refused(port: int, kind: type[LinkError], **options: object) -> str:
    """Connect, expect to be refused, and return the sentence."""
    sentences: list[str] = []

    async def use(link: PrinterMqtt) -> None:
        with pytest.raises(kind) as caught:
            await link.connect(lambda payload: None)
        assert type(caught.value) is kind
        sentences.append(str(caught.value))

    with_link(port, use, **options)  # type: ignore[arg-type]
    assert CODE not in sentences[0]
    return sentences[0]


def connected(port: int, trust: Trust) -> PrinterMqttConnection:
    made: list[PrinterMqttConnection] = []

    async def use(link: PrinterMqtt) -> None:
        made.append(await link.connect(lambda payload: None))
        await made[0].close()

    with_link(port, use, trust=trust)
    return made[0]


# -- identity --------------------------------------------------------------------------------------


def test_first_contact_needs_only_the_serial_and_tells_the_fingerprint(broker: Mosquitto, pem: Path) -> None:
    connection = connected(broker.port, Trust(SERIAL))
    assert connection.fingerprint == fingerprint_of(der_of(pem))
    assert connection.verified


def test_the_pinned_certificate_is_accepted(broker: Mosquitto, pem: Path) -> None:
    assert connected(broker.port, Trust(SERIAL, fingerprint=fingerprint_of(der_of(pem)).upper())).verified


def test_a_certificate_of_the_ca_is_accepted_whatever_was_pinned(broker: Mosquitto, authority: Authority) -> None:
    assert connected(broker.port, Trust(SERIAL, fingerprint="sha256:00", ca_file=authority.certificate)).verified


def test_without_verification_everybody_is_accepted_and_not_called_verified(broker: Mosquitto) -> None:
    connection = connected(broker.port, Trust("somebody", fingerprint="sha256:00", verify=False))
    assert not connection.verified
    assert connection.fingerprint is not None


def test_another_printers_certificate_gets_not_one_byte(authority: Authority) -> None:
    with SilentPeer(authority.issue("01P00A000000002")) as peer:
        sentence = refused(peer.port, AnotherDevice)
        peer.wait_until_ended()
        assert peer.heard == b""
    assert SERIAL in sentence
    assert "01P00A000000002" in sentence


def test_a_serial_in_other_letters_is_another_printer(authority: Authority) -> None:
    with SilentPeer(authority.issue(SERIAL.lower())) as peer:
        refused(peer.port, AnotherDevice)
        peer.wait_until_ended()
        assert peer.heard == b""


def test_another_certificate_than_the_pinned_one_gets_not_one_byte(authority: Authority, pem: Path) -> None:
    pinned = fingerprint_of(der_of(pem))
    impostor = authority.issue(SERIAL)
    with SilentPeer(impostor) as peer:
        sentence = refused(peer.port, IdentityMismatch, trust=Trust(SERIAL, fingerprint=pinned))
        peer.wait_until_ended()
        assert peer.heard == b""
    assert pinned in sentence
    assert fingerprint_of(der_of(impostor)) in sentence


def test_another_authority_than_the_configured_one_gets_not_one_byte(
    authority: Authority, other_authority: Authority
) -> None:
    with SilentPeer(other_authority.issue(SERIAL)) as peer:
        sentence = refused(peer.port, IdentityMismatch, trust=Trust(SERIAL, ca_file=authority.certificate))
        peer.wait_until_ended()
        assert peer.heard == b""
    assert str(authority.certificate) in sentence


def test_the_authority_does_not_excuse_the_wrong_serial(authority: Authority) -> None:
    with SilentPeer(authority.issue("01P00A000000002")) as peer:
        refused(peer.port, AnotherDevice, trust=Trust(SERIAL, ca_file=authority.certificate))
        peer.wait_until_ended()
        assert peer.heard == b""


def test_an_unreadable_ca_file_is_told_by_name(broker: Mosquitto, tmp_path: Path) -> None:
    assert "no-such.pem" in refused(
        broker.port, IdentityMismatch, trust=Trust(SERIAL, ca_file=tmp_path / "no-such.pem")
    )


# -- who is there ----------------------------------------------------------------------------------


def test_nobody_there_is_unreachable_and_named() -> None:
    port = free_port()
    assert f"127.0.0.1:{port}" in refused(port, Unreachable)


def test_a_server_without_tls_is_not_a_printer() -> None:
    with SilentPeer(None, greeting=b"HTTP/1.0 400 Bad Request\r\n\r\n") as peer:
        assert f"127.0.0.1:{peer.port}" in refused(peer.port, NotAPrinter)


def test_a_plain_broker_is_not_a_printer(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as plain:
        refused(plain.port, NotAPrinter)


def test_a_tls_server_that_speaks_no_mqtt_is_not_a_printer(pem: Path) -> None:
    with SilentPeer(pem, greeting=b"HTTP/1.1 400 Bad Request\r\n" + b"Server: a web server\r\n" * 10) as peer:
        refused(peer.port, NotAPrinter)


def test_a_host_that_accepts_and_says_nothing_is_unreachable() -> None:
    with SilentPeer(None) as peer:
        refused(peer.port, Unreachable, timeout_s=0.3)


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    async def main() -> None:
        dialer = Dialer()
        try:
            with pytest.raises(Unreachable, match=r"nobody\.invalid"):
                await dialer.dial("nobody.invalid", 8883, None)
            with pytest.raises(Unreachable, match="resolved"):
                await dialer.dial("a..b", 8883, None)
        finally:
            dialer.close()

    asyncio.run(main())


def test_a_wrong_access_code_is_access_denied(broker: Mosquitto) -> None:
    sentence = refused(broker.port, AccessDenied, code="87654321")
    assert SERIAL in sentence
    assert "87654321" not in sentence


def test_a_broker_that_refuses_the_subscription_is_mute(pem: Path) -> None:
    with ScriptedPeer(pem, [CONNACK, b"\x90\x03\x00\x01\x80"]) as peer:
        assert "serial" in refused(peer.port, Mute)


def test_a_printer_that_hangs_up_at_the_subscription_is_mute(pem: Path) -> None:
    with ScriptedPeer(pem, [CONNACK]) as peer:
        assert SERIAL in refused(peer.port, Mute)


def test_a_printer_that_hangs_up_at_the_login_has_no_place_left(pem: Path) -> None:
    with ScriptedPeer(pem, []) as peer:
        refused(peer.port, TooManyClients)


def test_a_printer_without_a_free_slot_has_too_many_clients(pem: Path) -> None:
    with ScriptedPeer(pem, [b"\x20\x02\x00\x03"]) as peer:
        refused(peer.port, TooManyClients)


# -- the session -----------------------------------------------------------------------------------


def test_reports_come_in_and_requests_go_out_unretained(broker: Mosquitto) -> None:
    async def use(link: PrinterMqtt) -> None:
        reports: asyncio.Queue[bytes] = asyncio.Queue()
        connection = await link.connect(reports.put_nowait)
        with Onlooker(broker.port, "#", user="printer", password="x", tls=True) as printer:
            printer.say(f"device/{SERIAL}/report", b'{"print": {}}', qos=0)
            assert await asyncio.wait_for(reports.get(), 5) == b'{"print": {}}'
            await asyncio.to_thread(printer.hear)
            connection.send(b'{"pushing": {}}')
            connection.send(b'{"info": {}}', qos=0)
            first, second = await asyncio.to_thread(printer.hear), await asyncio.to_thread(printer.hear)
        assert (first.topic, first.payload, first.retain) == (f"device/{SERIAL}/request", b'{"pushing": {}}', False)
        assert second.payload == b'{"info": {}}'
        await connection.close()
        assert isinstance(await connection.closed(), LinkError)
        with pytest.raises(LinkError):
            connection.send(b"{}")

    with_link(broker.port, use)
    # Subscribing to the requests makes some printers hang up.
    assert re.findall(r"^\d+: bambu-connector-\w+ (\d) (\S+)$", broker.text(), re.MULTILINE) == [
        ("0", f"device/{SERIAL}/report")
    ]


def test_a_giant_report_is_ignored_even_where_its_beginning_can_be_read(broker: Mosquitto) -> None:
    giant = b'{"print": {"command": "push_status"}}'.ljust(3_000_000)

    async def use(link: PrinterMqtt) -> None:
        reports: asyncio.Queue[bytes] = asyncio.Queue()
        connection = await link.connect(reports.put_nowait)
        with Onlooker(broker.port, user="printer", password="x", tls=True) as printer:
            for payload in (giant, b'{"print": {}}'):
                await asyncio.to_thread(printer.say, f"device/{SERIAL}/report", payload)
        assert await asyncio.wait_for(reports.get(), 5) == b'{"print": {}}'
        assert reports.empty()
        await connection.close()

    with_link(broker.port, use)


def test_every_attempt_has_a_client_id_of_its_own(broker: Mosquitto) -> None:
    async def use(link: PrinterMqtt) -> None:
        connections = [await link.connect(lambda payload: None) for _ in range(2)]
        for connection in connections:
            connection.send(b"{}")  # the first was not kicked out by the second
            await connection.close()

    with_link(broker.port, use)
