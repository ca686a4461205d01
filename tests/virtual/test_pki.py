"""The throwaway authority, whose certificates are like those of real printers."""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from bambu_connector.links.certificate import common_name
from bambu_connector.links.dial import Dialer
from bambu_connector.links.tls import PrinterSocket, PrinterTls, Trust
from bambu_connector.virtual.listener import Listener
from bambu_connector.virtual.pki import Authority
from tests.virtual.wires import run

SERIAL = "01P00A000000001"
VERSIONS = [x509.Version.v1, x509.Version.v3]


async def wait_for_the_end(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_has_the_serial_as_its_name_and_no_other(authority: Authority, version: x509.Version) -> None:
    pem = authority.issue(SERIAL, version=version)
    leaf = x509.load_pem_x509_certificate(pem.read_bytes())
    (name,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert (name.value, leaf.version, len(leaf.subject)) == (SERIAL, version, 1)
    assert len(leaf.extensions) == 0
    assert authority.has_signed(pem)
    assert pem.stat().st_mode & 0o777 == 0o600


def test_the_authority_has_no_key_usage_as_the_real_one(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    assert [type(extension.value) for extension in certificate.extensions] == [x509.BasicConstraints]
    assert isinstance(certificate.public_key(), rsa.RSAPublicKey)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(authority.certificate)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("is_named", [True, False], ids=["by its authority", "by its name"])
def test_a_client_of_printers_trusts_it(authority: Authority, version: x509.Version, is_named: bool) -> None:
    async def test() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue(SERIAL, version=version))
        listener = Listener(wait_for_the_end)
        dialer = Dialer()
        try:
            port = await listener.open("127.0.0.1", 0, context)
            trust = Trust(SERIAL, ca_file=authority.certificate if is_named else None)
            sock = await dialer.dial("127.0.0.1", port, PrinterTls(trust))
            with sock:
                assert isinstance(sock, PrinterSocket)
                assert common_name(sock.getpeercert(binary_form=True) or b"") == SERIAL
        finally:
            await listener.close()
            dialer.close()

    run(test())


def test_an_authority_that_is_kept_is_the_same_again(tmp_path: Path) -> None:
    first = Authority.kept_in(tmp_path)
    own = first.certificate.read_bytes()
    first.certificate.unlink()
    again = Authority.kept_in(tmp_path)
    assert again.certificate.read_bytes() == own
    assert again.has_signed(first.issue(SERIAL))
    assert first.has_signed(again.issue(SERIAL))
    assert (tmp_path / "authority.pem").stat().st_mode & 0o777 == 0o600


def test_what_somebody_else_has_signed_is_told_apart(authority: Authority, tmp_path: Path) -> None:
    assert not authority.has_signed(Authority(tmp_path).issue(SERIAL))
    assert not authority.has_signed(Authority(tmp_path, "Stranger").issue(SERIAL))
    (tmp_path / "none.pem").write_text("no certificate")
    assert not authority.has_signed(tmp_path / "none.pem")
