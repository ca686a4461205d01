"""The impostor hears everything: what it would not notice, no test that trusts it could."""

import ftplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from bambu_connector.bambu.detect import Detected, Frames, parse_reply, request
from bambu_connector.virtual.detect import CIPHERS
from bambu_connector.virtual.pki import Authority
from tests.servers.impostor import Impostor

SERIAL = "01P00A000000001"
CODE = "31415926"
CLAIMS = Detected(serial=SERIAL, model_code="C12")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Authority(tmp_path_factory.mktemp("stranger"), "Stranger").issue("anybody")


@pytest.fixture
def impostor(pem: Path) -> Iterator[Impostor]:
    with Impostor.of_a_printer(pem, claims=CLAIMS) as found:
        yield found


def credulous(ciphers: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def shaken(impostor: Impostor, name: str, ciphers: str | None = None) -> ssl.SSLSocket:
    raw = socket.create_connection((impostor.host, impostor.ports[name]), 5)
    return credulous(ciphers).wrap_socket(raw)


@pytest.mark.parametrize("name", ["mqtt", "ftps", "ftps_data", "camera", "rtsps", "detect_tls"])
def test_what_is_said_within_tls_is_kept(impostor: Impostor, name: str) -> None:
    with shaken(impostor, name) as client:
        client.sendall(f"the code is {CODE}".encode())
    impostor[name].wait_until_left()
    assert (impostor[name].connections, impostor[name].handshakes) == (1, 1)
    assert impostor.heard() == {name: f"the code is {CODE}".encode()}
    assert impostor.knows(CODE)


def test_a_handshake_that_is_broken_off_says_nothing_and_is_not_counted(impostor: Impostor, pem: Path) -> None:
    careful = ssl.create_default_context()
    raw = socket.create_connection((impostor.host, impostor.ports["mqtt"]), 5)
    with pytest.raises(ssl.SSLCertVerificationError), raw:
        careful.wrap_socket(raw, server_hostname=SERIAL)
    impostor["mqtt"].wait_until_left()
    assert (impostor["mqtt"].connections, impostor["mqtt"].handshakes, impostor.heard()) == (1, 0, {})
    assert impostor["mqtt"].raw
    assert not impostor.knows(CODE)


def test_what_comes_in_clear_where_tls_is_due_is_kept_as_well(impostor: Impostor) -> None:
    with socket.create_connection((impostor.host, impostor.ports["mqtt"]), 5) as client:
        client.sendall(CODE.encode())
    impostor["mqtt"].wait_until_left()
    assert impostor.heard() == {}
    assert impostor.knows(CODE)


def test_a_password_in_base64_is_recognised(impostor: Impostor) -> None:
    with shaken(impostor, "rtsps") as client:
        client.sendall(b"DESCRIBE rtsps://x RTSP/1.0\r\nAuthorization: Basic YmJscDozMTQxNTkyNg==\r\n\r\n")
    impostor["rtsps"].wait_until_left()
    assert impostor.knows(CODE)


@pytest.mark.parametrize("name", ["detect", "detect_tls"])
def test_it_claims_to_be_the_printer(impostor: Impostor, name: str) -> None:
    if name == "detect":
        client = socket.create_connection((impostor.host, impostor.ports[name]), 5)
    else:
        client = shaken(impostor, name, CIPHERS)
    with client:
        client.sendall(request())
        (body,) = Frames().feed(client.recv(4096))
    assert parse_reply(body) == CLAIMS
    impostor[name].wait_until_left()
    assert impostor.heard() == {name: request()}


def test_a_login_and_the_data_of_ftps_are_taken(impostor: Impostor) -> None:
    class ImplicitFtps(ftplib.FTP_TLS):
        def come_in(self) -> None:
            self.host, self.sock = impostor.host, shaken(impostor, "ftps")
            self.af = self.sock.family
            self.file = self.sock.makefile("r", encoding=self.encoding)
            self.welcome = self.getresp()

    with ImplicitFtps(context=credulous(), timeout=5) as ftp:
        ftp.come_in()
        ftplib.FTP.login(ftp, "bblp", CODE)
        ftp.prot_p()
        with ftp.transfercmd("STOR a.3mf") as data:
            data.sendall(b"content")
        impostor["ftps_data"].wait_until_left()
    impostor["ftps"].wait_until_left()
    assert impostor["ftps_data"].heard == b"content"
    assert b"PASS 31415926" in impostor["ftps"].heard


def test_control_and_data_may_show_different_certificates(pem: Path, tmp_path: Path) -> None:
    real = Authority(tmp_path).issue(SERIAL)
    with Impostor.of_a_printer(pem, control_pem=real) as impostor:
        shown = {}
        for name in ("ftps", "ftps_data"):
            with shaken(impostor, name) as client:
                shown[name] = client.getpeercert(binary_form=True)
    assert shown["ftps"] != shown["ftps_data"]
    assert shown["ftps"] == ssl.PEM_cert_to_DER_cert(real.read_text().partition("-----BEGIN RSA")[0])
