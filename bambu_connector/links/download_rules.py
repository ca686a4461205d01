"""Where a URL from outside may lead us, and where not."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

_DEFAULT_PORTS: Final = frozenset({80, 443})
_FIRST_ORDINARY_PORT: Final = 1024

# A name as it is met in the wild (object stores have underscores), and what is no name but a number.
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII | re.IGNORECASE)
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII | re.IGNORECASE)
_LONGEST_NAME: Final = 253

# Our own tables, because what `is_global` says differs between versions of Python.
_NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this host on this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by a provider's customers; one cloud has its metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host, as seen from the machines on it
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; one cloud has its metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, which is no more
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")  # all that was ever given out; whatever lies outside is special
_NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # the public one; the local one, 64:ff9b:1::/48, is not
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


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


def canonical_host(host: str) -> str:
    """Return a host as it is connected to: every spelling of a number becomes the plain address.

    `host` is ASCII and without brackets. Raises ValueError for what is neither an address nor a name.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone is not one of the internet")
        return str(ipaddress.IPv6Address(host))
    name = host.removesuffix(".")
    if _ENDS_IN_NUMBER.fullmatch(name):
        try:
            return str(ipaddress.IPv4Address(socket.inet_aton(name)))
        except OSError:
            raise ValueError("neither an address nor a name") from None
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError("not a host name")
    return host.lower()


def is_ordinary_port(port: int) -> bool:
    """Say whether web servers listen there: on 80 and 443, and where no privileged service of another kind can be."""
    return port in _DEFAULT_PORTS or port >= _FIRST_ORDINARY_PORT


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in each for each in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    inside = _inside(address)
    if inside is not None and not _is_public(inside):
        return False
    if address.ipv4_mapped is not None or address in _NAT64:
        return True
    return address in _UNICAST_6 and not any(address in each for each in _NOT_PUBLIC_6)


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that packets to this one end at, where it is only a wrapping."""
    number = int(address)
    if address in _NAT64 or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
