"""How a virtual printer tells the network that it is there: announcements, answers to searches, a goodbye.

On this machine others listen on the same port. So nothing here binds 0.0.0.0, which could take away what was sent to
them: one socket has the group's address, one each broadcast address, one the printer's own if it has one for itself,
and announcements and answers leave from another port.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from bambu_connector.bambu.ssdp import GROUP, PORT, Announcement, announce, answer, is_search
from bambu_connector.virtual.faults import Faults

EVERY_S: Final = 5.0
_EVERYBODY: Final = "255.255.255.255"
_LOOPBACK_BITS: Final = 8
_WITH_BROADCAST: Final = 31  # networks with a longer prefix have no broadcast address
_MAIN_LOOPBACK: Final = IPv4Address("127.0.0.1")

log = logging.getLogger(__name__)


def garbage(like: bytes) -> tuple[bytes, ...]:
    """Return datagrams that are no announcements, though some look `like` one."""
    begin, _, rest = like.partition(b"\r\n")
    return (
        b"",
        bytes(64),
        bytes(range(256)),
        begin,
        begin + b"\r\n\r\n",
        like.replace(b"USN: ", b"USN: ../../"),
        like.replace(b"DevModel.bambu.com: ", b"DevModel.bambu.com: \xff\xfe\n"),
        like.replace(b"bambulab-com", b"example-com"),
        b"\xa5\xa5" + rest,
        like + b"X" * 8000,
    )


def places_of(bind: str) -> tuple[IPv4Interface, ...]:
    """Return the addresses, with their networks, that a printer has which listens on `bind`."""
    address = IPv4Address(bind)
    if address.is_loopback:
        return (IPv4Interface((address, _LOOPBACK_BITS)),)
    import psutil

    found = [
        IPv4Interface(f"{each.address}/{each.netmask or '255.255.255.255'}")
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family is socket.AF_INET
    ]
    if address.is_unspecified:
        return tuple(each for each in found if not each.is_loopback) or places_of(str(_MAIN_LOOPBACK))
    return tuple(each for each in found if each.ip == address)


class Announcer:
    """Announces what `describe` says of the printer at an address, `every` so many seconds."""

    def __init__(
        self,
        describe: Callable[[str], Announcement],
        faults: Faults,
        *,
        port: int = PORT,
        every: float = EVERY_S,
    ) -> None:
        self._describe, self._faults = describe, faults
        self._port, self._every = port, every
        self._senders: dict[IPv4Interface, socket.socket] = {}
        self._stack = contextlib.AsyncExitStack()

    async def open(self, bind: str) -> None:
        """Begin to announce, and to hear searches; raises OSError."""
        async with contextlib.AsyncExitStack() as stack:
            places = places_of(bind)
            self._senders = {place: stack.enter_context(_sender(place)) for place in places}
            listeners = _listeners(IPv4Address(bind), places, self._port)
            for listener in listeners:
                stack.callback(listener.close)
            for listener in listeners:
                await self._hear(listener, stack)
            task = asyncio.create_task(self._announce_again_and_again(), name=f"announcements of {bind}")
            stack.push_async_callback(_cancelled, task)
            self._stack = stack.pop_all()
        self.announce()

    async def close(self) -> None:
        """Fall silent, without a goodbye."""
        await self._stack.aclose()
        self._senders = {}

    def announce(self) -> None:
        """Announce the printer now."""
        self._tell(is_goodbye=False)

    def say_goodbye(self) -> None:
        """Tell everybody that the printer goes."""
        self._tell(is_goodbye=True)

    async def _hear(self, listener: socket.socket, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Searches(self._answer), sock=listener)
        stack.callback(transport.close)

    async def _announce_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self.announce()

    def _tell(self, *, is_goodbye: bool) -> None:
        if "not-announced" in self._faults:
            return
        for place, sender in self._senders.items():
            datagram = announce(replace(self._describe(str(place.ip)), is_goodbye=is_goodbye))
            datagrams = garbage(datagram) if "announce-garbage" in self._faults else (datagram,)
            for target in (GROUP, *_broadcast_of(place)):
                for each in datagrams:
                    _send(sender, each, (target, self._port))

    def _answer(self, asker: tuple[str, int]) -> None:
        if "not-announced" in self._faults or not self._senders:
            return
        near = [place for place in self._senders if IPv4Address(asker[0]) in place.network]
        place = near[0] if near else next(iter(self._senders))
        datagram = answer(self._describe(str(place.ip)))
        for each in garbage(datagram) if "announce-garbage" in self._faults else (datagram,):
            _send(self._senders[place], each, asker)


class _Searches(asyncio.DatagramProtocol):
    """Hears who searches."""

    def __init__(self, on_search: Callable[[tuple[str, int]], None]) -> None:
        self._on_search = on_search

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if is_search(data):
            self._on_search(addr)


def _send(sender: socket.socket, datagram: bytes, to: tuple[str, int]) -> None:
    try:
        sender.sendto(datagram, to)
    except OSError as error:  # no route just now: the next announcement may find one
        log.debug("nothing can be sent to %s:%d: %s", *to, error)


def _broadcast_of(place: IPv4Interface) -> tuple[str, ...]:
    return (str(place.network.broadcast_address),) if place.network.prefixlen < _WITH_BROADCAST else ()


def _sender(place: IPv4Interface) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, place.ip.packed)
        sock.bind((str(place.ip), 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _listeners(bind: IPv4Address, places: tuple[IPv4Interface, ...], port: int) -> list[socket.socket]:
    """Return a bound socket for each address to which searches are sent."""
    addresses = {GROUP, _EVERYBODY, *(address for place in places for address in _broadcast_of(place))}
    # Unicast goes to one socket alone, so a printer takes only that of an address which is its own on purpose.
    if not bind.is_unspecified and bind != _MAIN_LOOPBACK:
        addresses.add(str(bind))
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for address in sorted(addresses):
            sock = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.setblocking(False)
            for option in (socket.SO_REUSEADDR, getattr(socket, "SO_REUSEPORT", socket.SO_REUSEADDR)):
                sock.setsockopt(socket.SOL_SOCKET, option, 1)
            sock.bind((address, port))
            if address == GROUP:
                _join(sock, places)
            sockets.append(sock)
        undo.pop_all()
    return sockets


def _join(sock: socket.socket, places: tuple[IPv4Interface, ...]) -> None:
    for place in places:
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + place.ip.packed)
        except OSError as error:  # joined already under another address of this interface, or it has no multicast
            log.debug("the group cannot be joined at %s: %s", place.ip, error)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
