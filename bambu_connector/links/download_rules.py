"""Where a URL from outside may lead us, and where not."""

import ipaddress
from dataclasses import dataclass
from typing import Final

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRules:
    """What may be fetched from where: sizes in bytes, times in seconds; without `allowed_hosts` any public host."""

    max_bytes: int
    allow_http: bool = False
    allow_private_addresses: bool = False
    allowed_hosts: tuple[str, ...] = ()
    timeout_s: float = 60.0


def is_public(text: str) -> bool:
    """Say whether an address belongs to the internet at large: not to this machine, this network, or nobody.

    Raises ValueError when it is no address.
    """
    return _is_public(ipaddress.ip_address(text))


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inside = _inside(address)
        if inside is not None:
            return _is_public(inside)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that packets to this one end at, where it is only a wrapping."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour
