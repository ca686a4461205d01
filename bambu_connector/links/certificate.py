"""What we read from a certificate: who it names, and its fingerprint.

The common name is dug out of the DER by hand: `ssl` decodes only certificates that it has verified itself, and
`cryptography.x509` costs 10 MB of memory and 65 ms of the loop for this one field.
"""

import hashlib
from typing import Final

_COMMON_NAME: Final = b"\x55\x04\x03"  # 2.5.4.3
_EXPLICIT_VERSION: Final = 0xA0
_ENCODINGS: Final = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be"}


def fingerprint_of(der: bytes) -> str:
    """Return `sha256:<hex>` of a certificate in DER, as it is pinned."""
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def common_name(der: bytes) -> str | None:
    """Return the subject's common name; None where there is none, more than one, or no certificate. Never raises."""
    try:
        names = _subject_names(der)
    except (IndexError, ValueError):
        return None
    return names[0] if len(names) == 1 else None


def _subject_names(der: bytes) -> list[str]:
    certificate = _parts(der)[0][1]
    to_be_signed = _parts(_parts(certificate)[0][1])
    # version (absent in v1), serial number, signature algorithm, issuer, validity, subject
    subject = to_be_signed[5 if to_be_signed[0][0] == _EXPLICIT_VERSION else 4][1]
    names: list[str] = []
    for _, relative_name in _parts(subject):
        for _, attribute in _parts(relative_name):
            (_, kind), (tag, value) = _parts(attribute)
            if kind == _COMMON_NAME:
                names.append(value.decode(_ENCODINGS.get(tag, "ascii")))
    return names


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each element that lies side by side in `der`."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            width = length & 0x7F
            length = int.from_bytes(der[at : at + width], "big")
            at += width
        if at + length > len(der):
            raise ValueError("an element is longer than what holds it")
        found.append((tag, der[at : at + length]))
        at += length
    return found
