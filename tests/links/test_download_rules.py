import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.links.download_rules import canonical_host, is_ordinary_port, is_public

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:200::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::",
        "2606:4700::5efe:808:808",
    ],
)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        # nobody, this machine
        "0.0.0.0",
        "0.255.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "::",
        "::1",
        # private networks, and a provider's
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        # link-local
        "169.254.0.1",
        "fe80::1",
        "fe80::1%lo",
        "2606:4700::1111%lo",
        # what clouds answer questions about a machine at
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        # everybody
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "240.0.0.1",
        "ff02::1",
        "ff0e::1",
        # assigned to no machine
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "192.88.99.1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "5f00::1",
        "4000::1",
        # wrapped
        "::7f00:1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "64:ff9b:1:ffff::a00:1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "2001::1",
        "2001:0:808:808::f7f7:f7f7",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fe80::5efe:10.0.0.1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:192.168.0.1",
    ],
)
def test_this_machine_this_network_and_nobody_are_not(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_does_not_become_public_by_being_wrapped(address: ipaddress.IPv4Address) -> None:
    wrappings = (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80))),
        f"2606:4700::5efe:{address}",
    )
    for wrapped in wrappings:
        assert is_public(wrapped) == is_public(str(address))


@given(st.ip_addresses(v=4))
def test_what_the_standard_library_calls_private_is_not_public(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(str(address))


@given(st.ip_addresses(v=6))
def test_what_the_standard_library_calls_private_is_not_public_in_ipv6(address: ipaddress.IPv6Address) -> None:
    unwrapped = address.ipv4_mapped is None and address not in NAT64 and address not in SIX_TO_FOUR
    if unwrapped and (not address.is_global or address.is_multicast or address.is_reserved):
        assert not is_public(str(address))


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="address"):
        is_public("localhost")


# -- spellings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.1.", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("0000000000000177.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F.0.0.0x1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0xa9.0xfe.0xa9.0xfe", "169.254.169.254"),
        ("169.16689662", "169.254.169.254"),
        ("0", "0.0.0.0"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("FE80::1", "fe80::1"),
    ],
)
def test_every_spelling_of_a_number_is_one_address(spelling: str, address: str) -> None:
    assert canonical_host(spelling) == address


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "..",
        "example.org..",
        ".example.org",
        "a..b",
        "1.2.3.4.5",
        "256.0.0.1",
        "1.2.3.08",
        "4294967296",
        "0x100000000",
        "0x",
        "example.1",
        "example.0x1",
        "127.0.0.1 x",
        "exa mple.org",
        "%31%32%37.0.0.1",
        "ex%61mple.org",
        "fe80::1%25lo",
        "fe80::1%lo",
        "::ffff:127.1",
        ":::1",
        "12345::1",
        "v1.a:b",
        "１２７.0.0.1",
        "exämple.org",
        "a" * 64 + ".org",
        "a." * 127 + "org",
        "a\nb",
    ],
)
def test_what_is_neither_address_nor_name_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        canonical_host(host)


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("Files.Example.ORG", "files.example.org"),
        ("example.org.", "example.org."),
        ("my_bucket.example.org", "my_bucket.example.org"),
        ("1password.com", "1password.com"),
        ("0x7f.example.org", "0x7f.example.org"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("localhost", "localhost"),
    ],
)
def test_a_name_stays_a_name(host: str, canonical: str) -> None:
    assert canonical_host(host) == canonical


@pytest.mark.parametrize("port", [80, 443, 1024, 8080, 9000, 65535])
def test_web_servers_are_where_they_usually_are(port: int) -> None:
    assert is_ordinary_port(port)


@pytest.mark.parametrize("port", [0, 1, 21, 22, 23, 25, 79, 81, 110, 143, 445, 990, 1023])
def test_other_services_are_not_spoken_to(port: int) -> None:
    assert not is_ordinary_port(port)
