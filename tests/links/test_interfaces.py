from ipaddress import IPv4Address, IPv4Network

import pytest

from bambu_connector.links.interfaces import Interface, interfaces


def test_loopback_is_one_of_them_with_the_address_that_reaches_all_of_it() -> None:
    (loopback,) = [each for each in interfaces() if each.address == IPv4Address("127.0.0.1")]
    assert loopback.index > 0
    assert loopback.network == IPv4Network("127.0.0.0/8")
    assert loopback.broadcast == IPv4Address("127.255.255.255")


@pytest.mark.parametrize("prefix", [31, 32])
def test_a_network_of_one_or_two_addresses_has_no_broadcast(prefix: int) -> None:
    network = IPv4Network(("192.0.2.2", prefix), strict=False)
    assert Interface("wg0", 7, IPv4Address("192.0.2.2"), network).broadcast is None


def test_a_system_that_does_not_tell_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("not today")

    monkeypatch.setattr("psutil.net_if_addrs", refuse)
    assert interfaces() == ()
