"""Certificates for servers on this machine, as ordinary hosts have them, and such as nobody should accept."""

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def local_certificate(folder: Path) -> tuple[Path, Path]:
    """Return the file of an authority's certificate, and that of a certificate for 127.0.0.1 with its key."""
    authority = HostAuthority(folder)
    return authority.certificate, authority.issue("broker")


class HostAuthority:
    """Signs certificates for hosts into `folder`; `certificate` is its own, in PEM."""

    def __init__(self, folder: Path, name: str = "Tests") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        ca = _draft(name, name, self._key.public_key(), -1, 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = folder / f"{name}-ca.crt"
        self.certificate.write_bytes(ca.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        file_name: str,
        *,
        address: str | None = "127.0.0.1",
        host: str | None = None,
        days: tuple[int, int] = (-1, 30),
        signed_by_itself: bool = False,
    ) -> Path:
        """Return a PEM file (0600) with a certificate and its key, valid from and to so many days from today."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = "localhost" if signed_by_itself else self._name
        names: list[x509.GeneralName] = []
        if address is not None:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        if host is not None:
            names.append(x509.DNSName(host))
        leaf = _draft(issuer, "localhost", key.public_key(), *days).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        signed = leaf.sign(key if signed_by_itself else self._key, hashes.SHA256())
        pem = self._folder / f"{file_name}.pem"
        with os.fdopen(os.open(pem, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(signed.public_bytes(serialization.Encoding.PEM))
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
        return pem


def _draft(
    issuer: str, subject: str, key: ec.EllipticCurvePublicKey, first_day: int, last_day: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=first_day))
        .not_valid_after(now + datetime.timedelta(days=last_day))
    )
