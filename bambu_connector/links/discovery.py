"""Hearing printers announce themselves, and asking them to (reference 2). Nothing in here can fail for long.

A network that is down, or comes later, is nothing to tell of: every search looks again at what there is.
"""

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from bambu_connector.bambu.ssdp import (
    GROUP,
    MAX_DATAGRAM_BYTES,
    OLD_PORT,
    PORT,
    Announcement,
    parse_announcement,
    search,
)
from bambu_connector.links.interfaces import Interface, interfaces

log = logging.getLogger(__name__)

_AT_ONCE: Final = 64  # datagrams; whoever floods us shall not stop the loop
_ANYWHERE: Final = "0.0.0.0"
_ANY_PORT: Final = 0

Hear = Callable[[Announcement], None]


class Discovery:
    """Listens on `ports` of every interface, and calls `hear` in the loop with whatever printer announces itself.

    `search` asks on the first of the ports. Other programs on this machine may listen there too, so it asks from a
    port of its own: an answer to a shared port goes to one of those who share it.
    """

    def __init__(
        self,
        hear: Hear,
        ports: tuple[int, ...] = (PORT, OLD_PORT),
        *,
        look: Callable[[], Iterable[Interface]] = interfaces,
    ) -> None:
        self._hear = hear
        self._ports = ports
        self._look = look
        self._sockets: dict[int, socket.socket] = {}
        self._troubles: dict[int, str] = {}

    @property
    def troubles(self) -> tuple[str, ...]:
        """What cannot be listened on, one sentence each."""
        return tuple(self._troubles.values())

    async def open(self) -> None:
        """Listen from now on; what cannot be opened is in `troubles`, and is tried again with each search."""
        self._open_missing()
        self._join()

    def close(self) -> None:
        """Hear no more."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets.values():
            loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def search(self, hosts: Iterable[str] = ()) -> None:
        """Ask all printers to announce themselves, and those at `hosts` (IPv4 addresses) directly. Never raises."""
        self._open_missing()
        found = self._join()
        sock = self._sockets.get(_ANY_PORT)
        if sock is None:
            return
        port = self._ports[0]
        for each in found:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _membership(each))
                _ask(sock, GROUP, port)
            if each.broadcast is not None:
                _ask(sock, str(each.broadcast), port)
        for host in hosts:
            if _is_address(host):  # a name would have to be looked up, which blocks
                _ask(sock, host, port)

    def _open_missing(self) -> None:
        for port in (_ANY_PORT, *self._ports):
            if port in self._sockets:
                continue
            try:
                sock = self._sockets[port] = _listening(port)
            except OSError as exc:
                self._troubles[port] = _trouble(port, exc)
                log.debug("%s", self._troubles[port])
                continue
            self._troubles.pop(port, None)
            asyncio.get_running_loop().add_reader(sock, self._receive, sock)

    def _join(self) -> tuple[Interface, ...]:
        found = tuple(self._look())
        for port, sock in self._sockets.items():
            if port == _ANY_PORT:
                continue
            for each in found:
                try:
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(each))
                except OSError as exc:
                    if exc.errno != errno.EADDRINUSE:  # joined before
                        log.debug("no announcements to the group through %s: %s", each.name, exc.strerror)
        return found

    def _receive(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram, (source, _) = sock.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except OSError:  # nothing more, or word that something we sent did not arrive
                return
            announcement = parse_announcement(datagram, source)
            if announcement is None:
                log.debug("%d bytes from %s are no printer's announcement", len(datagram), source)
            else:
                self._hear(announcement)


def _listening(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        if port != _ANY_PORT:  # Bambu Studio on this machine listens there as well
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((_ANYWHERE, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _membership(interface: Interface) -> bytes:
    """Return the kernel's `ip_mreqn`: the group, and through which interface."""
    return struct.pack("@4s4si", socket.inet_aton(GROUP), interface.address.packed, interface.index)


def _ask(sock: socket.socket, host: str, port: int) -> None:
    try:
        sock.sendto(search(), (host, port))
    except OSError as exc:
        log.debug("%s cannot be asked for printers: %s", host, exc.strerror)


def _is_address(host: str) -> bool:
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


def _trouble(port: int, exc: OSError) -> str:
    if port == _ANY_PORT:
        return f"printers cannot be asked to announce themselves: {exc.strerror}"
    if exc.errno == errno.EADDRINUSE:
        return (
            f"UDP port {port} cannot be listened on: another program has it for itself alone"
            f" (`ss -ulpn 'sport = :{port}'` names it)"
        )
    return f"UDP port {port} cannot be listened on: {exc.strerror}"
