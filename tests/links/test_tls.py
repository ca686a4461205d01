import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError, IdentityMismatch
from bambu_connector.links.tls import (
    PrinterContext,
    PrinterSocket,
    Trust,
    broker_context,
    check_identity,
    printer_context,
)
from bambu_connector.virtual.pki import Authority
from tests.servers.silent import SilentPeer

SERIAL = "01P00A000000001"


def test_the_handshake_is_tls_1_2_and_names_the_serial(authority: Authority) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue(SERIAL))
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with SilentPeer(None) as peer:
        peer._context = context
        raw = socket.create_connection((peer.host, peer.port))
        with printer_context(Trust(SERIAL)).wrap_socket(raw, server_hostname="192.168.1.50") as sock:
            assert sock.version() == "TLSv1.2"
            assert isinstance(sock, PrinterSocket)
            assert sock.fingerprint is not None
    assert names == [SERIAL]


def test_nothing_can_be_sent_before_the_identity_is_proved(authority: Authority) -> None:
    with SilentPeer(authority.issue("somebody else")) as peer:
        raw = socket.create_connection((peer.host, peer.port))
        with printer_context(Trust(SERIAL)).wrap_socket(raw, do_handshake_on_connect=False) as sock:
            for send in (sock.send, sock.sendall, sock.write):
                with pytest.raises(ValueError, match="before the handshake"):
                    send(b"PASS 12345678")
            with pytest.raises(IdentityMismatch):
                sock.do_handshake()
            with pytest.raises((ValueError, OSError)):
                sock.sendall(b"PASS 12345678")
        peer.wait_until_ended()
        assert peer.heard == b""


def test_asyncios_own_tls_is_checked_as_well(authority: Authority) -> None:
    with SilentPeer(authority.issue("somebody else")) as peer:

        async def main() -> None:
            with pytest.raises(IdentityMismatch):
                await asyncio.open_connection(
                    peer.host, peer.port, ssl=printer_context(Trust(SERIAL)), server_hostname=""
                )

        asyncio.run(main())
        peer.wait_until_ended()
        assert peer.heard == b""


def test_a_printers_socket_without_a_printers_context_is_a_bug(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = PrinterSocket
    with SilentPeer(authority.issue(SERIAL)) as peer:
        raw = socket.create_connection((peer.host, peer.port))
        with context.wrap_socket(raw, do_handshake_on_connect=False) as sock, pytest.raises(TypeError):
            sock.do_handshake()


def test_a_printers_context_is_strict_about_versions_and_lax_about_key_usage(authority: Authority) -> None:
    context = printer_context(Trust(SERIAL, ca_file=authority.certificate))
    assert isinstance(context, PrinterContext)
    assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_the_brokers_context_verifies_chain_and_name(authority: Authority) -> None:
    for ca_file in (None, authority.certificate):
        context = broker_context(ca_file, None, None)
        assert context.check_hostname
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_client_certificate_is_taken_with_its_key_in_one_file(authority: Authority) -> None:
    broker_context(None, authority.issue("client"), None)


@pytest.mark.parametrize("which", ["ca_file", "cert_file"])
def test_a_tls_file_that_cannot_be_used_is_named(tmp_path: Path, which: str) -> None:
    bad = tmp_path / "bad.pem"
    for content in (None, "not a certificate"):
        if content is not None:
            bad.write_text(content)
        with pytest.raises(ConfigError, match=r"bad\.pem"):
            broker_context(bad if which == "ca_file" else None, bad if which == "cert_file" else None, None)


def test_a_strangers_name_cannot_write_into_our_log(authority: Authority) -> None:
    name = "01P\r\n\x1b[2J" + "x" * 40
    der = ssl.PEM_cert_to_DER_cert(authority.issue(name).read_text().partition("-----BEGIN RSA")[0])
    with pytest.raises(IdentityMismatch) as caught:
        check_identity(Trust(SERIAL), der)
    assert str(caught.value).isprintable()
    assert "01P???[2Jx" in str(caught.value)
