import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.links.download_rules import is_public


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address", ["::", "::1", "fec0::1", "fe80::1%lo", "::7f00:1", "192.0.2.1", "198.18.0.1", "2001:db8::1"]
)
def test_this_machine_this_network_and_nobody_are_not(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_does_not_become_public_by_being_wrapped(address: ipaddress.IPv4Address) -> None:
    wrappings = (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80))),
    )
    for wrapped in wrappings:
        assert is_public(wrapped) == is_public(str(address))


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="address"):
        is_public("localhost")
