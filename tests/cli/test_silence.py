"""Why nothing was found: what is said fits to where this runs."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from bambu_connector.cli.silence import Hint, Surroundings, hints, surroundings
from bambu_connector.links.interfaces import Interface

LOOPBACK = ("lo", "127.0.0.1/8")
LAN = ("eth0", "192.168.7.20/24")


def around(*places: tuple[str, str], in_container: bool = False, firewalls: str = "") -> Surroundings:
    interfaces = tuple(
        Interface(name, number, IPv4Address(text.partition("/")[0]), IPv4Network(text, strict=False))
        for number, (name, text) in enumerate(places, 1)
    )
    return Surroundings(interfaces=interfaces, in_container=in_container, firewalls=frozenset(firewalls.split()))


def said(where: Surroundings, *scanned: str, listened_s: float = 30.0, troubles: tuple[str, ...] = ()) -> list[Hint]:
    return list(hints(where, scanned=tuple(map(IPv4Network, scanned)), listened_s=listened_s, troubles=troubles))


def commands(where: Surroundings, *scanned: str) -> list[str]:
    return [command for hint in said(where, *scanned) for command in hint.commands]


def to_scan(where: Surroundings, *scanned: str) -> list[str]:
    return [each.rpartition(" ")[2] for each in commands(where, *scanned) if "--subnet" in each]


def sentences(found: list[Hint]) -> str:
    return "\n".join(hint.sentence for hint in found)


def test_every_reason_comes_with_a_command() -> None:
    found = said(around(LOOPBACK, LAN))
    assert len(found) == 4
    assert all(hint.commands for hint in found)
    assert found[-1].commands == ("bambu-connector pair ADDRESS",)


def test_this_machines_own_network_is_the_example() -> None:
    assert to_scan(around(LOOPBACK, LAN)) == ["192.168.7.0/24"]


def test_what_was_scanned_is_not_suggested_again() -> None:
    where = around(LOOPBACK, LAN, ("wlan0", "192.168.8.3/24"))
    assert to_scan(where, "192.168.7.0/24") == ["192.168.8.0/24"]
    assert to_scan(where, "192.168.0.0/16") == ["10.0.0.0/24"]


def test_a_network_that_is_too_large_is_suggested_around_this_machine() -> None:
    assert to_scan(around(LOOPBACK, ("eth0", "10.1.2.3/8"))) == ["10.1.2.0/24"]


@pytest.mark.parametrize("place", [("docker0", "172.17.0.1/16"), ("wg0", "10.9.0.2/24"), ("eth1", "192.0.2.1/31")])
def test_networks_where_no_printer_can_be_are_not_suggested(place: tuple[str, str]) -> None:
    assert to_scan(around(LOOPBACK, LAN, place)) == ["192.168.7.0/24"]


def test_a_bridged_container_is_told_with_the_way_out() -> None:
    found = said(around(LOOPBACK, ("eth0", "172.17.0.2/16"), in_container=True))
    assert "runs in a container with a bridged network (its address is 172.17.0.2)" in found[0].sentence
    assert found[0].commands == ("docker run --network host …",)
    assert to_scan(around(LOOPBACK, ("eth0", "172.17.0.2/16"), in_container=True)) == ["192.168.1.0/24"]


def test_a_machine_that_looks_as_a_bridged_container_is_suspected() -> None:
    assert "seems to run in a container" in said(around(LOOPBACK, ("eth0", "172.17.0.2/16")))[0].sentence


def test_a_container_elsewhere_is_asked_about_its_network() -> None:
    assert "unless it has the network of its host" in said(around(LOOPBACK, LAN, in_container=True))[0].sentence


def test_a_machine_in_a_lan_is_told_nothing_about_containers() -> None:
    assert "container" not in sentences(said(around(LOOPBACK, LAN, ("docker0", "172.17.0.1/16"))))


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ("ufw nft", {"sudo ufw allow 2021/udp", "sudo nft insert rule inet filter input udp dport 2021 accept"}),
        ("firewall-cmd", {"sudo firewall-cmd --add-port=2021/udp"}),
        ("", {"sudo ufw allow 2021/udp", "sudo nft insert rule inet filter input udp dport 2021 accept"}),
    ],
)
def test_the_firewall_is_opened_with_the_tool_that_is_there(installed: str, expected: set[str]) -> None:
    found = commands(around(LOOPBACK, LAN, firewalls=installed))
    assert {each for each in found if each.startswith("sudo")} == expected


def test_what_got_in_the_way_is_said_first() -> None:
    found = said(around(LOOPBACK, LAN), troubles=("uDP port 2021 cannot be listened on",))
    assert found[0] == Hint("UDP port 2021 cannot be listened on.")


def test_a_machine_without_a_network_is_told_so() -> None:
    assert "no network but itself" in said(around(LOOPBACK))[0].sentence


def test_to_listen_shortly_may_be_the_reason() -> None:
    assert "5 s may have been too short" in sentences(said(around(LOOPBACK, LAN), listened_s=5.0))
    assert "too short" not in sentences(said(around(LOOPBACK, LAN), listened_s=30.0))


def test_looking_around_finds_the_loopback() -> None:
    assert any(each.address.is_loopback for each in surroundings().interfaces)
