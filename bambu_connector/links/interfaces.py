"""The IPv4 networks that this machine stands in, as they are now: they come and go with cables and access points."""

import logging
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

log = logging.getLogger(__name__)

_WITHOUT_BROADCAST: Final = 31  # bits; a network of one or two addresses has none to spare


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address of this machine. `index` is the kernel's number of the interface that has it."""

    name: str
    index: int
    address: IPv4Address
    network: IPv4Network

    @property
    def broadcast(self) -> IPv4Address | None:
        """The address that reaches everybody there, None where the network has none."""
        return None if self.network.prefixlen >= _WITHOUT_BROADCAST else self.network.broadcast_address


def interfaces() -> tuple[Interface, ...]:
    """Return every IPv4 address of this machine, loopback included; none when the system does not tell."""
    import psutil

    found = []
    try:
        for name, addresses in psutil.net_if_addrs().items():
            for each in addresses:
                if each.family is socket.AF_INET:
                    network = IPv4Network((each.address, each.netmask or "255.255.255.255"), strict=False)
                    found.append(Interface(name, socket.if_nametoindex(name), IPv4Address(each.address), network))
    except OSError as exc:  # one that goes at this very moment is no interface either; the next look tells
        log.debug("the interfaces cannot be listed: %s", exc)
    return tuple(found)
