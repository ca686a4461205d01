"""The printers' announcements on UDP 2021: SSDP in its looks, with headers of their own (reference 2).

Anybody on the network can send these: they are read strictly, and what they say is a hint, never a proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from bambu_connector.bambu.identity import (
    Connection,
    bound_in,
    connection_in,
    firmware_in,
    model_code_in,
    name_in,
    serial_in,
)
from bambu_connector.bambu.lenient import whole

GROUP: Final = "239.255.255.250"
PORT: Final = 2021
OLD_PORT: Final = 1990
"""Where older firmware announces itself."""

MAX_DATAGRAM_BYTES: Final = 4096  # a real announcement has about 500
_TARGET: Final = "urn:bambulab-com:device:3dprinter:1"
_TARGET_CORE: Final = "bambulab-com:device:3dprinter"
_ALIVE: Final = "ssdp:alive"
_GOODBYE: Final = "ssdp:byebye"
_SIGNALS_DBM: Final = range(-127, 1)  # what a radio can report; anything else is a placeholder
_LONGEST_ADDRESS: Final = len("255.255.255.255")
_ASKED: Final = "M-SEARCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What one printer says of itself. None: it did not say. `signal_dbm` is the strength of its radio in dBm."""

    serial: str
    model_code: str
    host: str
    is_goodbye: bool = False
    name: str | None = None
    signal_dbm: int | None = None
    connection: Connection | None = None
    is_bound: bool | None = None
    firmware: str | None = None
    is_answer: bool = False
    """It was asked for, with M-SEARCH."""


def parse_announcement(datagram: bytes, source: str) -> Announcement | None:
    """Return what a datagram from the address `source` announces, None when that is not a printer. Never raises."""
    if len(datagram) > MAX_DATAGRAM_BYTES:
        return None
    start, headers = _parts(datagram)
    if not start.startswith(("NOTIFY ", "HTTP/1.")):
        return None
    if _TARGET_CORE not in f"{headers.get('nt', '')} {headers.get('st', '')}".lower():
        return None
    serial = serial_in(headers.get("usn"))
    model_code = model_code_in(headers.get("devmodel.bambu.com"))
    host = _host(headers.get("location"), source)
    if serial is None or model_code is None or host is None:
        return None
    connect = headers.get("devconnect.bambu.com")
    return Announcement(
        serial=serial,
        model_code=model_code,
        host=host,
        is_goodbye=headers.get("nts", "").lower() == _GOODBYE,
        name=name_in(headers.get("devname.bambu.com")),
        signal_dbm=_signal(headers.get("devsignal.bambu.com")),
        connection=connection_in(connect),
        is_bound=bound_in(headers.get("devbind.bambu.com"), connect),
        firmware=firmware_in(headers.get("devversion.bambu.com")),
        is_answer=start.startswith("HTTP/1."),
    )


def is_search(datagram: bytes) -> bool:
    """Say whether a datagram asks printers to announce themselves. Never raises."""
    if len(datagram) > MAX_DATAGRAM_BYTES:
        return False
    start, headers = _parts(datagram)
    target = headers.get("st", "").lower()
    return start.startswith(f"{_ASKED} ") and (target == "ssdp:all" or _TARGET_CORE in target)


def search() -> bytes:
    """Return the datagram that asks printers to announce themselves."""
    return _datagram(
        f"{_ASKED} * HTTP/1.1", {"HOST": f"{GROUP}:{PORT}", "MAN": '"ssdp:discover"', "MX": "3", "ST": _TARGET}
    )


def announce(announcement: Announcement) -> bytes:
    """Return what a printer sends to everybody when it comes, every few seconds, and when it goes."""
    told = _GOODBYE if announcement.is_goodbye else _ALIVE
    headers = {"Host": f"{GROUP}:{OLD_PORT}", "Server": "UPnP/1.0", "NT": _TARGET, "NTS": told}
    return _datagram("NOTIFY * HTTP/1.1", headers | _description(announcement))


def answer(announcement: Announcement) -> bytes:
    """Return what a printer sends to the one who asked."""
    headers = {"Server": "UPnP/1.0", "EXT": "", "ST": _TARGET}
    return _datagram("HTTP/1.1 200 OK", headers | _description(announcement))


def _description(announcement: Announcement) -> dict[str, str]:
    each = announcement
    bind = None if each.is_bound is None else "occupied" if each.is_bound else "free"
    known = {
        "Location": each.host,
        "USN": each.serial,
        "Cache-Control": "max-age=1800",
        "DevModel.bambu.com": each.model_code,
        "DevName.bambu.com": name_in(each.name),
        "DevSignal.bambu.com": None if each.signal_dbm is None else str(each.signal_dbm),
        "DevConnect.bambu.com": each.connection,
        "DevBind.bambu.com": bind,
        "Devseclink.bambu.com": "secure",
        "DevVersion.bambu.com": each.firmware,
        "DevCap.bambu.com": "1",
    }
    return {key: value for key, value in known.items() if value is not None}


def _datagram(start: str, headers: Mapping[str, str]) -> bytes:
    lines = [start, *(f"{key}: {value}" for key, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def _parts(datagram: bytes) -> tuple[str, dict[str, str]]:
    """Return the first line and the headers, by their names in lower case; of two with one name the first."""
    start, *lines = datagram.decode("utf-8", errors="replace").split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return start.strip().upper(), headers


def _signal(text: str | None) -> int | None:
    found = whole(text.lower().removesuffix("dbm")) if text else None
    return found if found is not None and found in _SIGNALS_DBM else None


def _host(location: str | None, source: str) -> str | None:
    """Return where the printer is: where it says, unless that is nowhere, or a place that only its own word supports.

    A stranger's datagram must not send us to the internet, or to this machine itself.
    """
    sender = _unicast(source)
    told = _unicast(location)
    if told is None or told == sender:
        return None if sender is None else str(sender)
    outside = told.is_global or (told.is_loopback and not (sender and sender.is_loopback))
    chosen = sender if outside else told
    return None if chosen is None else str(chosen)


def _unicast(text: str | None) -> IPv4Address | None:
    if not text or len(text) > _LONGEST_ADDRESS:
        return None
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return None
    unusable = address.is_multicast or address.is_reserved or address.packed[0] == 0  # 240/4 holds the broadcast
    return None if unusable else address
