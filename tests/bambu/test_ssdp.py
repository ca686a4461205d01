from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.ssdp import Announcement, announce, answer, is_search, parse_announcement, search

SOURCE = "192.0.2.40"
REAL = b"""NOTIFY * HTTP/1.1\r
Host: 239.255.255.250:1990\r
Server: UPnP/1.0\r
Location: 192.0.2.40\r
NT: urn:bambulab-com:device:3dprinter:1\r
NTS: ssdp:alive\r
USN: 01P00A000000001\r
Cache-Control: max-age=1800\r
DevModel.bambu.com: C12\r
DevName.bambu.com: Workshop\r
DevSignal.bambu.com: -53\r
DevConnect.bambu.com: lan\r
DevBind.bambu.com: free\r
Devseclink.bambu.com: secure\r
DevInf.bambu.com: wlan0\r
DevVersion.bambu.com: 01.08.02.00\r
DevCap.bambu.com: 1\r
\r
"""
WORKSHOP = Announcement(
    serial="01P00A000000001",
    model_code="C12",
    host=SOURCE,
    name="Workshop",
    signal_dbm=-53,
    connection="lan",
    is_bound=False,
    firmware="01.08.02.00",
)

announcements = st.builds(
    Announcement,
    serial=st.from_regex(r"[0-9A-Z]{10,20}", fullmatch=True),
    model_code=st.sampled_from(["C12", "BL-P001", "3DPrinter-X1-Carbon", "N1-V2"]),
    host=st.just("192.168.7.9"),
    is_goodbye=st.booleans(),
    name=st.none() | st.text("aäß🖨:-", min_size=1, max_size=64),
    signal_dbm=st.none() | st.integers(-127, 0),
    connection=st.sampled_from([None, "lan", "cloud"]),
    is_bound=st.none() | st.booleans(),
    firmware=st.none() | st.just("01.08.02.00"),
)


def parsed(datagram: bytes, source: str = SOURCE) -> Announcement:
    found = parse_announcement(datagram, source)
    assert found is not None
    return found


def changed(header: bytes, value: bytes | None) -> bytes:
    """Return the real datagram with another value of one header, or without it."""
    lines = [line for line in REAL.split(b"\r\n") if not line.startswith(header + b":")]
    return b"\r\n".join(lines if value is None else [lines[0], header + b": " + value, *lines[1:]])


def test_an_announcement_is_read() -> None:
    assert parsed(REAL) == WORKSHOP


def test_the_names_of_headers_may_be_in_any_case_and_lines_may_end_bare() -> None:
    start, _, rest = REAL.partition(b"\r\n")
    lines = [name.upper() + b":" + value for name, _, value in (line.partition(b":") for line in rest.split(b"\r\n"))]
    assert parsed(b"\n".join([start, *lines])) == WORKSHOP


def test_only_serial_model_and_target_are_needed() -> None:
    needed = (
        b"NOTIFY * HTTP/1.1",
        b"NT: bambulab-com:device:3dprinter",
        b"USN: 01p00a000000001",
        b"DevModel.bambu.com: C12",
    )
    least = b"\r\n".join(needed)
    assert parsed(least) == Announcement(serial="01P00A000000001", model_code="C12", host=SOURCE)


@pytest.mark.parametrize("header", [b"USN", b"DevModel.bambu.com", b"NT"])
def test_without_serial_model_or_target_it_is_no_printer(header: bytes) -> None:
    assert parse_announcement(changed(header, None), SOURCE) is None


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"USN", b"uuid:01P00A000000001"),
        (b"USN", b"01P00A/../../etc"),
        (b"USN", b"1" * 21),
        (b"DevModel.bambu.com", b"\x1b[2J"),
        (b"NT", b"urn:schemas-upnp-org:device:InternetGatewayDevice:1"),
    ],
)
def test_what_does_not_look_as_a_printer_is_none(header: bytes, value: bytes) -> None:
    assert parse_announcement(changed(header, value), SOURCE) is None


def test_an_answer_is_known_as_one() -> None:
    assert parsed(answer(WORKSHOP)) == replace(WORKSHOP, is_answer=True)


def test_a_goodbye_is_known_as_one() -> None:
    assert parsed(announce(replace(WORKSHOP, is_goodbye=True))) == replace(WORKSHOP, is_goodbye=True)


def test_a_farm_is_a_free_printer_on_the_lan() -> None:
    datagram = changed(b"DevConnect.bambu.com", b"farm").replace(b"free", b"occupied")
    assert (parsed(datagram).connection, parsed(datagram).is_bound) == ("lan", False)


def test_the_suffix_of_a_sub_series_stays() -> None:
    assert parsed(changed(b"DevModel.bambu.com", b"N1_V2")).model_code == "N1_V2"


@pytest.mark.parametrize(
    ("told", "meant"), [(b"-53", -53), (b"-53dBm", -53), (b"0", 0), (b"99", None), (b"strong", None), (b"-1e9", None)]
)
def test_a_signal_is_what_a_radio_can_report(told: bytes, meant: int | None) -> None:
    assert parsed(changed(b"DevSignal.bambu.com", told)).signal_dbm == meant


def test_a_name_is_printable_and_short() -> None:
    assert parsed(changed(b"DevName.bambu.com", b"\x1b[31mred" + b"x" * 100)).name == "[31mred" + "x" * 57
    assert parsed(changed(b"DevName.bambu.com", "Größe".encode())).name == "Größe"


# -- where it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "source", "host"),
    [
        (b"192.168.1.5", "192.168.1.5", "192.168.1.5"),
        (b"192.168.1.5", "172.17.0.1", "192.168.1.5"),  # a relay or a translated address
        (None, "192.168.1.5", "192.168.1.5"),
        (b"http://192.168.1.9/desc.xml", "192.168.1.5", "192.168.1.5"),
        (b"printer.example.org", "192.168.1.5", "192.168.1.5"),
        (b"fe80::1", "192.168.1.5", "192.168.1.5"),
        (b"239.255.255.250", "192.168.1.5", "192.168.1.5"),
        (b"0.0.0.0", "192.168.1.5", "192.168.1.5"),
        (b"255.255.255.255", "192.168.1.5", "192.168.1.5"),
        (b"8.8.8.8", "192.168.1.5", "192.168.1.5"),  # a stranger sends us nowhere
        (b"8.8.8.8", "8.8.8.8", "8.8.8.8"),
        (b"127.0.0.1", "192.168.1.5", "192.168.1.5"),
        (b"127.0.0.3", "127.0.0.2", "127.0.0.3"),
        (b"192.168.1.5", "not an address", "192.168.1.5"),
    ],
)
def test_its_address_is_what_it_says_where_that_can_be(location: bytes | None, source: str, host: str) -> None:
    assert parsed(changed(b"Location", location), source).host == host


@pytest.mark.parametrize("location", [None, b"8.8.8.8", b"239.255.255.250"])
def test_without_any_address_it_is_of_no_use(location: bytes | None) -> None:
    assert parse_announcement(changed(b"Location", location), "::1") is None


# -- asking, and the round trip --------------------------------------------------------------------


def test_a_search_is_known_and_is_no_announcement() -> None:
    assert search().startswith(b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:2021\r\n")
    assert search().endswith(b"\r\nST: urn:bambulab-com:device:3dprinter:1\r\n\r\n")
    assert is_search(search())
    assert parse_announcement(search(), SOURCE) is None
    assert not is_search(REAL)
    assert is_search(b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n")
    assert not is_search(b"M-SEARCH * HTTP/1.1\r\nST: upnp:rootdevice\r\n\r\n")


def test_a_search_that_names_a_printer_announces_none() -> None:
    assert parse_announcement(REAL.replace(b"NOTIFY *", b"M-SEARCH *"), SOURCE) is None


@given(announcements)
def test_what_we_announce_is_what_we_read(announcement: Announcement) -> None:
    expected = replace(announcement, name=announcement.name)
    assert parsed(announce(announcement)) == expected
    assert parsed(answer(announcement)) == replace(expected, is_goodbye=False, is_answer=True)


def test_a_name_cannot_add_a_header_to_what_we_announce() -> None:
    datagram = announce(replace(WORKSHOP, name="Work\r\nUSN: 00000000000000"))
    assert parsed(datagram).serial == WORKSHOP.serial
    assert b"\r\nUSN: 0000" not in datagram


# -- whatever comes --------------------------------------------------------------------------------


def test_a_datagram_that_is_too_large_is_not_looked_at() -> None:
    assert parse_announcement(REAL + b" " * 4096, SOURCE) is None
    assert not is_search(search() + b" " * 4096)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_no_bytes_make_it_raise(datagram: bytes, source: str) -> None:
    for begin in (b"", b"NOTIFY * HTTP/1.1\r\nNT: bambulab-com:device:3dprinter\r\n"):
        parse_announcement(begin + datagram, source)
        is_search(begin + datagram)


@given(st.data())
def test_a_damaged_announcement_is_read_or_ignored(data: st.DataObject) -> None:
    damaged = bytearray(REAL)
    for at in data.draw(st.lists(st.integers(0, len(REAL) - 1), min_size=1, max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    found = parse_announcement(bytes(damaged), SOURCE)
    assert found is None or (found.serial.isalnum() and (found.name or "x").isprintable())
