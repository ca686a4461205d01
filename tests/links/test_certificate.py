import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.links.certificate import common_name, fingerprint_of
from bambu_connector.virtual.pki import Authority

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def certificate(*names: x509.NameAttribute[str]) -> x509.Certificate:
    subject = x509.Name(names)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the issuer")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )


def der(*names: x509.NameAttribute[str]) -> bytes:
    return certificate(*names).public_bytes(serialization.Encoding.DER)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16), st.booleans())
def test_the_common_name_is_the_one_that_cryptography_reads(name: str, among_others: bool) -> None:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if among_others:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, "BBL Technologies Co., Ltd"))
        names.append(x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"))
    assert common_name(der(*names)) == name


def test_a_certificate_with_no_name_or_two_names_names_nobody() -> None:
    one, two = (x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("a", "b"))
    assert common_name(der()) is None
    assert common_name(der(one, two)) is None


@given(st.binary(max_size=80))
def test_bytes_that_are_no_certificate_name_nobody(raw: bytes) -> None:
    assert common_name(raw) is None


CERTIFICATE = der(x509.NameAttribute(NameOID.COMMON_NAME, "01P00A000000001"))


@given(st.integers(0, len(CERTIFICATE) - 1), st.integers(0, 255))
def test_a_damaged_certificate_does_no_harm(at: int, value: int) -> None:
    damaged = CERTIFICATE[:at] + bytes([value]) + CERTIFICATE[at + 1 :]
    name = common_name(damaged)
    assert name is None or isinstance(name, str)


@pytest.mark.parametrize("length", range(0, len(CERTIFICATE), 7))
def test_a_certificate_that_was_cut_names_nobody(length: int) -> None:
    assert common_name(CERTIFICATE[:length]) is None


def test_the_fingerprint_is_that_of_openssl(authority: Authority) -> None:
    known = certificate(x509.NameAttribute(NameOID.COMMON_NAME, "a"))
    raw = known.public_bytes(serialization.Encoding.DER)
    assert fingerprint_of(raw) == f"sha256:{known.fingerprint(hashes.SHA256()).hex()}"


def test_a_printers_certificate_names_its_serial(authority: Authority) -> None:
    pem = authority.issue("01P00A000000001").read_text().partition("-----BEGIN RSA")[0]
    assert common_name(ssl.PEM_cert_to_DER_cert(pem)) == "01P00A000000001"
