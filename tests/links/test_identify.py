"""Who is at an address: real TLS on loopback, with a peer that keeps every byte it is told."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from bambu_connector.bambu.detect import Detected, Frames, NotAFrame, is_request, reply
from bambu_connector.errors import NotAPrinter, Unreachable
from bambu_connector.links.certificate import fingerprint_of
from bambu_connector.links.dial import Dialer
from bambu_connector.links.identify import Identified, Identifier, ProbePorts
from bambu_connector.virtual.pki import Authority
from tests.logged import logged_here
from tests.servers.process import free_port
from tests.servers.silent import ScriptedPeer, SilentPeer

T = TypeVar("T")

SERIAL = "01P00A000000001"
DETECTED = Detected(serial=SERIAL, model_code="C12", name="Workshop", firmware="01.08.02.00", connection="lan")


class DetectPeer(SilentPeer):
    """Answers `login.detect` as a printer does; `ciphers` is all that it offers."""

    def __init__(self, pem: Path | None, detected: Detected = DETECTED, ciphers: str | None = None) -> None:
        self._reply = reply(detected)
        super().__init__(pem)
        if self._context is not None and ciphers is not None:
            self._context.maximum_version = ssl.TLSVersion.TLSv1_2
            self._context.set_ciphers(ciphers)

    def talk(self, stream: socket.socket) -> None:
        frames = Frames()
        while data := stream.recv(16):
            self.hear(data)
            try:
                asked = [body for body in frames.feed(data) if is_request(body)]
            except NotAFrame:
                return
            if asked:
                for at in range(0, len(self._reply), 7):  # cut, as a slow network cuts it
                    stream.sendall(self._reply[at : at + 7])
                return


def with_identifier(
    use: Callable[[Identifier], Awaitable[T]],
    *,
    mqtt: int | None = None,
    detect: int | None = None,
    detect_tls: int | None = None,
    detect_timeout_s: float = 5.0,
) -> T:
    """Ask these ports; the others are closed."""
    ports = ProbePorts(mqtt or free_port(), detect or free_port(), detect_tls or free_port())

    async def main() -> T:
        dialer = Dialer(5.0)
        try:
            return await use(Identifier(dialer, ports, detect_timeout_s=detect_timeout_s))
        finally:
            dialer.close()

    return asyncio.run(main())


async def identified(identifier: Identifier) -> Identified:
    return await identifier.identify("127.0.0.1")


def fingerprint(pem: Path) -> str:
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(pem.read_text().partition("-----BEGIN RSA")[0]))


@pytest.fixture(scope="module")
def pem(authority: Authority) -> Path:
    return authority.issue(SERIAL)


def test_the_certificate_tells_serial_and_fingerprint_and_nothing_is_said_after_the_handshake(pem: Path) -> None:
    with SilentPeer(pem) as broker:
        found = with_identifier(identified, mqtt=broker.port)
        broker.wait_until_ended()
        assert broker.heard == b""
    assert found == Identified(host="127.0.0.1", serial=SERIAL, fingerprint=fingerprint(pem), detected=None)


def test_what_a_printer_says_of_itself_is_asked_in_clear(pem: Path) -> None:
    with SilentPeer(pem) as broker, DetectPeer(None) as plain:
        found = with_identifier(identified, mqtt=broker.port, detect=plain.port)
    assert found.detected == DETECTED


@pytest.mark.parametrize("ciphers", [None, "AES256-GCM-SHA384", "AES128-GCM-SHA256"])
def test_what_a_printer_says_of_itself_is_asked_through_tls_however_old_its_ciphers(
    pem: Path, ciphers: str | None
) -> None:
    with SilentPeer(pem) as broker, DetectPeer(pem, ciphers=ciphers) as secure:
        found = with_identifier(identified, mqtt=broker.port, detect_tls=secure.port)
    assert found.detected == DETECTED


def test_a_port_that_never_answers_keeps_nobody_waiting_where_the_other_one_does(pem: Path) -> None:
    with SilentPeer(pem) as broker, SilentPeer(None) as mute, DetectPeer(pem) as secure:

        async def use(identifier: Identifier) -> Identified:
            async with asyncio.timeout(10):
                return await identified(identifier)

        found = with_identifier(use, mqtt=broker.port, detect=mute.port, detect_tls=secure.port, detect_timeout_s=60)
    assert found.detected == DETECTED


def test_ports_that_never_answer_are_given_up(pem: Path) -> None:
    with SilentPeer(pem) as broker, SilentPeer(None) as plain, SilentPeer(None) as secure:
        found = with_identifier(
            identified, mqtt=broker.port, detect=plain.port, detect_tls=secure.port, detect_timeout_s=0.2
        )
    assert found.serial == SERIAL
    assert found.detected is None


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xa5\xa5\xff\xff",
        b"\xa5\xa5\x08\x00{}\xa7\xa7",
        os.urandom(512),
        b"",
    ],
)
def test_nonsense_from_the_detect_port_spoils_nothing(
    pem: Path, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with SilentPeer(pem) as broker, ScriptedPeer(None, [answer]) as strange, caplog.at_level("INFO"):
        found = with_identifier(identified, mqtt=broker.port, detect=strange.port, detect_timeout_s=1.0)
    assert (found.serial, found.detected) == (SERIAL, None)
    assert logged_here(caplog) == []


def test_a_device_that_contradicts_its_certificate_is_no_printer(pem: Path) -> None:
    other = Detected(serial="01P00A000000002", model_code="C12")
    with (
        SilentPeer(pem) as broker,
        DetectPeer(None, other) as plain,
        pytest.raises(NotAPrinter, match=f"certificate is for {SERIAL}, and it says that it is 01P00A000000002"),
    ):
        with_identifier(identified, mqtt=broker.port, detect=plain.port)


@pytest.mark.parametrize("name", ["localhost", "mqtt.example.org", "01p00a000000001", "x" * 64])
def test_a_certificate_without_a_serial_is_no_printers(authority: Authority, name: str) -> None:
    with SilentPeer(authority.issue(name)) as broker, pytest.raises(NotAPrinter, match=f"for {name}, which is no"):
        with_identifier(identified, mqtt=broker.port)


def test_a_server_without_tls_is_no_printer() -> None:
    with SilentPeer(None, greeting=b"220 smtp.example.org\r\n") as server, pytest.raises(NotAPrinter):
        with_identifier(identified, mqtt=server.port)


def test_where_nobody_listens_it_is_unreachable() -> None:
    with DetectPeer(None) as plain, pytest.raises(Unreachable, match="refuses the connection"):
        with_identifier(identified, detect=plain.port)


def test_the_broker_of_a_printer_whose_session_is_held_can_be_left_alone(pem: Path) -> None:
    with SilentPeer(pem) as broker, DetectPeer(None) as plain:
        found = with_identifier(
            lambda identifier: identifier.identify("127.0.0.1", with_certificate=False),
            mqtt=broker.port,
            detect=plain.port,
        )
        assert broker.accepted == 0
    assert found == Identified(host="127.0.0.1", serial=SERIAL, fingerprint=None, detected=DETECTED)


def test_without_certificate_and_detect_nobody_is_there() -> None:
    with pytest.raises(Unreachable, match="answers neither on port"):
        with_identifier(lambda identifier: identifier.identify("127.0.0.1", with_certificate=False))


def test_a_name_is_looked_up(pem: Path) -> None:
    with SilentPeer(pem) as broker:
        found = with_identifier(lambda identifier: identifier.identify("localhost"), mqtt=broker.port)
    assert (found.host, found.serial) == ("localhost", SERIAL)


def test_whether_somebody_listens_is_told_without_a_word(pem: Path) -> None:
    with SilentPeer(pem) as broker:
        assert with_identifier(lambda identifier: identifier.listens("127.0.0.1"), mqtt=broker.port)
        broker.wait_until_ended()
        assert broker.heard == b""
    assert not with_identifier(lambda identifier: identifier.listens("127.0.0.1"))
