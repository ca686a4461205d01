"""A throwaway certificate authority like the printers': no key usage, leaves with CN = serial and no subjectAltName."""

import datetime
import os
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

_COMMON_NAME: Final = "BBL CA"
_KEPT: Final = "authority.pem"
_VERSION_3: Final = bytes.fromhex("a003020102")
_SHA256_WITH_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
_SEQUENCE: Final = 0x30
_BIT_STRING: Final = 0x03


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _made(common_name: str) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = _new_key()
    draft = _draft(_name(common_name), _name(common_name), key)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return key, draft.sign(key, hashes.SHA256())


def _read(kept: Path) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    pem = kept.read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key, x509.load_pem_x509_certificate(pem)


class Authority:
    """Signs certificates into `folder`; `certificate` is its own, in PEM."""

    def __init__(self, folder: Path, common_name: str = _COMMON_NAME, *, kept: Path | None = None) -> None:
        self._key, self._own = _made(common_name) if kept is None else _read(kept)
        (name,) = self._own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        self._folder = folder
        self.certificate = folder / f"{str(name.value).replace(' ', '-')}.crt"
        self.certificate.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    @classmethod
    def kept_in(cls, folder: Path) -> Self:
        """Return the authority whose key is kept in `folder`, a new one where there is none."""
        kept = folder / _KEPT
        if not kept.exists():
            key, own = _made(_COMMON_NAME)
            _write_private(kept, own.public_bytes(serialization.Encoding.PEM) + _key_pem(key))
        return cls(folder, kept=kept)

    def has_signed(self, pem: Path) -> bool:
        """Say whether the (first) certificate in a file is from this authority."""
        try:
            x509.load_pem_x509_certificate(pem.read_bytes()).verify_directly_issued_by(self._own)
        except (InvalidSignature, ValueError):
            return False
        return True

    def issue(self, common_name: str, *, folder: Path | None = None, version: x509.Version = x509.Version.v3) -> Path:
        """Return a PEM file (mode 0600) with a new certificate for `common_name`, followed by its key."""
        key = _new_key()
        leaf = _draft(self._own.subject, _name(common_name), key).sign(self._key, hashes.SHA256())
        if version is x509.Version.v1:
            leaf = self._as_version_1(leaf)
        path = (folder or self._folder) / f"{common_name}-{leaf.serial_number:x}.pem"
        _write_private(path, leaf.public_bytes(serialization.Encoding.PEM) + _key_pem(key))
        return path

    def _as_version_1(self, leaf: x509.Certificate) -> x509.Certificate:
        """Return the same in the oldest form, which has no version; `cryptography` reads it and does not write it."""
        tbs = _element(_SEQUENCE, leaf.tbs_certificate_bytes.partition(_VERSION_3)[2])
        signature = self._key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
        whole = tbs + _SHA256_WITH_RSA + _element(_BIT_STRING, b"\0" + signature)
        return x509.load_der_x509_certificate(_element(_SEQUENCE, whole))


def _draft(issuer: x509.Name, subject: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
    )


def _element(tag: int, content: bytes) -> bytes:
    """Return an element of DER."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    width = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | width)) + length.to_bytes(width, "big") + content
