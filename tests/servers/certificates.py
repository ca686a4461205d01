"""A certificate for a server on this machine, as an ordinary host has one."""

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
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Tests", "localhost"))

    def draft(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
        )

    ca = draft(issuer, authority_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = draft(subject, key.public_key()).add_extension(names, critical=False)
    ca_file, pem = folder / "broker-ca.crt", folder / "broker.pem"
    ca_file.write_bytes(ca.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    with os.fdopen(os.open(pem, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(leaf.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return ca_file, pem
