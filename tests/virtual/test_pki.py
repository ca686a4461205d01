"""The throwaway authority."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from bambu_connector.virtual.pki import Authority


def test_a_certificate_has_the_serial_as_its_name_and_no_other(tmp_path: Path) -> None:
    pem = Authority(tmp_path).issue("01P00A000000001")
    leaf = x509.load_pem_x509_certificate(pem.read_bytes())
    (name,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "01P00A000000001"
    assert len(leaf.extensions) == 0
    assert pem.stat().st_mode & 0o777 == 0o600


def test_the_authority_has_no_key_usage_as_the_real_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    assert [type(extension.value) for extension in certificate.extensions] == [x509.BasicConstraints]
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(authority.certificate)
