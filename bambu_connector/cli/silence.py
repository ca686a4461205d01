"""Why no printer may have been found here, and what to try next."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bambu_connector.links.interfaces import Interface

SLOWEST_S: Final = 30.0
"""The longest that a printer is silent between two announcements."""

_DISCOVER: Final = "bambu-connector discover"
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
_CONTAINERS: Final = IPv4Network("172.16.0.0/12")  # where Docker and Podman take their bridges' networks from
_VIRTUAL: Final = ("docker", "br-", "veth", "virbr", "podman", "cni", "tun", "wg", "tailscale")
_SMALLEST: Final = 30  # bits; a network for two, and no printers
_LARGEST: Final = 16
_USUAL: Final = tuple(map(IPv4Network, ("192.168.1.0/24", "192.168.2.0/24", "192.168.178.0/24", "10.0.0.0/24")))
_FIREWALLS: Final = {
    "ufw": "sudo ufw allow 2021/udp",
    "firewall-cmd": "sudo firewall-cmd --add-port=2021/udp",
    "nft": "sudo nft insert rule inet filter input udp dport 2021 accept",
}


@dataclass(frozen=True, slots=True)
class Hint:
    """What may be the reason, and the commands to try."""

    sentence: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What there is to know of this machine's place in the network."""

    interfaces: tuple["Interface", ...]
    in_container: bool = False
    firewalls: frozenset[str] = frozenset()
    """The tools for firewalls that are installed."""

    @property
    def outside(self) -> tuple["Interface", ...]:
        """The interfaces that lead somewhere."""
        return tuple(each for each in self.interfaces if not (each.address.is_loopback or each.address.is_link_local))

    @property
    def is_bridged(self) -> bool:
        """Whether every address is such as containers get."""
        return bool(self.outside) and all(each.address in _CONTAINERS for each in self.outside)


def surroundings() -> Surroundings:
    """Look around."""
    from bambu_connector.links.interfaces import interfaces

    return Surroundings(
        interfaces=interfaces(),
        in_container=any(mark.exists() for mark in _CONTAINER_MARKS),
        firewalls=frozenset(tool for tool in _FIREWALLS if shutil.which(tool) or Path("/usr/sbin", tool).exists()),
    )


def hints(
    around: Surroundings, *, scanned: Sequence[IPv4Network], listened_s: float, troubles: Sequence[str]
) -> tuple[Hint, ...]:
    """Return the reasons that apply here, the likeliest first."""
    return tuple(_hints(around, scanned, listened_s, troubles))


def _hints(
    around: Surroundings, scanned: Sequence[IPv4Network], listened_s: float, troubles: Sequence[str]
) -> Iterator[Hint]:
    for trouble in troubles:
        yield Hint(f"{trouble[:1].upper()}{trouble[1:]}.")
    if not around.outside:
        yield Hint(
            "This machine has no network but itself: connect it to the one that the printers are in.", ("ip addr",)
        )
    if (inside := _inside_a_container(around)) is not None:
        yield Hint(inside, ("docker run --network host …",))
    switched_on = (
        "Only a printer that is switched on and connected announces itself, and a minute after that at the latest."
    )
    if listened_s < SLOWEST_S:
        switched_on += f" It does so every 5 to 30 s: {listened_s:.0f} s may have been too short."
    yield Hint(switched_on, (f"{_DISCOVER} --timeout 60",))
    yield Hint(
        "Announcements stay in their own network: printers in another one (a VLAN, a guest Wi-Fi), or behind an access"
        " point that keeps its devices apart, have to be asked address by address.",
        tuple(f"{_DISCOVER} --subnet {each}" for each in _worth_scanning(around, scanned)),
    )
    present = [command for tool, command in _FIREWALLS.items() if tool in around.firewalls]
    yield Hint(
        "A firewall on this machine may keep UDP port 2021 out.",
        tuple(present or (_FIREWALLS["ufw"], _FIREWALLS["nft"])),
    )
    yield Hint(
        "If you know a printer's address (it is on its screen, among the network settings), that is enough.",
        ("bambu-connector pair ADDRESS",),
    )


def _inside_a_container(around: Surroundings) -> str | None:
    addresses = ", ".join(str(each.address) for each in around.outside)
    if around.is_bridged:
        where = "This runs in a container" if around.in_container else "This seems to run in a container"
        return (
            f"{where} with a bridged network (its address is {addresses}), where no announcement gets in:"
            " give it the network of its host."
        )
    if around.in_container:
        return "This runs in a container: unless it has the network of its host, no announcement gets in."
    return None


def _worth_scanning(around: Surroundings, scanned: Sequence[IPv4Network]) -> tuple[IPv4Network, ...]:
    """Return this machine's own networks, else one that is usual; none that was scanned, and none of containers."""
    own = dict.fromkeys(
        _near(each)
        for each in around.outside
        if each.network.prefixlen <= _SMALLEST and not each.name.startswith(_VIRTUAL) and not around.is_bridged
    )
    unknown = [each for each in own if not _covered(each, scanned)]
    usual = [each for each in _USUAL if not _covered(each, (*scanned, *own))]
    return tuple(unknown or usual[:1])


def _near(interface: "Interface") -> IPv4Network:
    """Return its network, or of one that is too large to be asked the part around its own address."""
    if interface.network.prefixlen >= _LARGEST:
        return interface.network
    return IPv4Network((interface.address, 24), strict=False)


def _covered(network: IPv4Network, by: Sequence[IPv4Network]) -> bool:
    return any(network.subnet_of(each) for each in by)
