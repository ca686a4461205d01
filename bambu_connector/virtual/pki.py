"""A throwaway certificate authority like the printers': no key usage, leaves with CN = serial and no subjectAltName."""

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


class Authority:
    """Signs certificates into `folder`; `certificate` is its own, in PEM."""

    def __init__(self, folder: Path, common_name: str = "BBL CA") -> None:
        self._folder = folder
        self._issuer = _name(common_name)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        draft = self._draft(self._issuer, self._key)
        draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = folder / f"{common_name.replace(' ', '-')}.crt"
        self.certificate.write_bytes(draft.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _draft(self, subject: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=3650))
        )

    def issue(self, common_name: str) -> Path:
        """Return a PEM file (mode 0600) with a new certificate for `common_name`, followed by its key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = self._draft(_name(common_name), key).sign(self._key, hashes.SHA256())
        path = self._folder / f"{common_name}-{certificate.serial_number:x}.pem"
        _write_private(
            path,
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ),
        )
        return path
