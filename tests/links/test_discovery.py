"""Discovery on loopback, with real sockets: printers on addresses of their own, on ports that nobody else uses."""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from bambu_connector.bambu.ssdp import GROUP, Announcement, announce, answer, is_search
from bambu_connector.links.discovery import Discovery
from bambu_connector.links.interfaces import Interface
from tests.logged import logged_here

LOOPBACK = Interface("lo", 1, IPv4Address("127.0.0.1"), IPv4Network("127.0.0.0/8"))
ELSEWHERE = Interface("gone0", 999, IPv4Address("198.51.100.7"), IPv4Network("198.51.100.0/24"))
BROADCAST = "127.255.255.255"


def printer(number: int) -> Announcement:
    return Announcement(
        serial=f"01P00A00000000{number}", model_code="C12", host=f"127.0.0.1{number}", name=f"Printer {number}"
    )


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_udp_port(), free_udp_port()


@contextlib.contextmanager
def mouth(host: str) -> Iterator[socket.socket]:
    """What a printer at `host` speaks with."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.bind((host, 0))
        yield sock


class Ears:
    """Keeps what is heard, and lets a test wait for it."""

    def __init__(self) -> None:
        self.heard: list[Announcement] = []
        self._news = asyncio.Event()

    def hear(self, announcement: Announcement) -> None:
        self.heard.append(announcement)
        self._news.set()

    async def wait_for_anybody(self) -> None:
        async with asyncio.timeout(10):
            await self._news.wait()

    async def wait_for(self, *wanted: Announcement) -> None:
        async with asyncio.timeout(10):
            while not all(each in self.heard for each in wanted):
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def opened(ears: Ears, ports: tuple[int, ...], look: list[Interface] | None = None) -> AsyncIterator[Discovery]:
    places = [LOOPBACK] if look is None else look
    discovery = Discovery(ears.hear, ports, look=lambda: places)
    await discovery.open()
    try:
        yield discovery
    finally:
        discovery.close()


class Answering(asyncio.DatagramProtocol):
    """A printer that answers whoever asks, from its own address."""

    def __init__(self, who: Announcement) -> None:
        self._who = who

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if is_search(data):
            with mouth(self._who.host) as sock:
                sock.sendto(answer(self._who), addr)


@contextlib.asynccontextmanager
async def answering(who: Announcement, where: str, port: int) -> AsyncIterator[None]:
    """Let a printer listen at `where`: the group, a broadcast address, or an address of its own."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((where, port))
    if where == GROUP:
        membership = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Answering(who), sock=sock)
    try:
        yield
    finally:
        transport.close()


@pytest.mark.parametrize("target", [GROUP, BROADCAST, "127.0.0.1"])
def test_announcements_are_heard_on_both_ports_from_printers_at_addresses_of_their_own(
    target: str, ports: tuple[int, int]
) -> None:
    async def main() -> None:
        ears = Ears()
        async with opened(ears, ports) as discovery:
            for number, port in enumerate(ports, 1):
                with mouth(printer(number).host) as sock:
                    sock.sendto(announce(printer(number)), (target, port))
            await ears.wait_for(printer(1), printer(2))
            assert discovery.troubles == ()

    asyncio.run(main())


def test_the_senders_address_counts_where_none_is_told(ports: tuple[int, int]) -> None:
    async def main() -> None:
        ears = Ears()
        async with opened(ears, ports):
            with mouth("127.0.0.77") as sock:
                datagram = announce(printer(1)).replace(b"Location: 127.0.0.11\r\n", b"")
                sock.sendto(datagram, (GROUP, ports[0]))
            await ears.wait_for_anybody()
        assert ears.heard[0].host == "127.0.0.77"

    asyncio.run(main())


def test_two_on_one_machine_hear_the_same(ports: tuple[int, int]) -> None:
    async def main() -> None:
        first, second = Ears(), Ears()
        async with opened(first, ports), opened(second, ports):
            with mouth("127.0.0.11") as sock:
                sock.sendto(announce(printer(1)), (GROUP, ports[0]))
                sock.sendto(announce(printer(2)), (BROADCAST, ports[1]))
            for ears in (first, second):
                await ears.wait_for(printer(1), printer(2))

    asyncio.run(main())


@pytest.mark.parametrize("where", [GROUP, BROADCAST])
def test_a_search_is_answered(where: str, ports: tuple[int, int]) -> None:
    async def main() -> None:
        ears = Ears()
        async with opened(ears, ports) as discovery, answering(printer(1), where, ports[0]):
            discovery.search()
            await ears.wait_for_anybody()
        assert ears.heard[0].serial == printer(1).serial
        assert ears.heard[0].is_answer

    asyncio.run(main())


def test_a_printer_is_asked_directly_where_nothing_else_reaches_it(ports: tuple[int, int]) -> None:
    async def main() -> None:
        ears = Ears()
        async with opened(ears, ports, look=[]) as discovery, answering(printer(1), "127.0.0.11", ports[0]):
            discovery.search(["a-name-that-would-have-to-be-looked-up", "127.0.0.11"])
            await ears.wait_for_anybody()
        assert ears.heard[0].is_answer

    asyncio.run(main())


def test_an_interface_that_comes_later_is_joined_with_the_next_search(ports: tuple[int, int]) -> None:
    async def main() -> None:
        ears = Ears()
        there: list[Interface] = []
        group_only = (ports[0],)
        async with opened(ears, group_only, look=there) as discovery:
            with mouth("127.0.0.11") as sock:
                there.append(LOOPBACK)
                discovery.search()
                discovery.search()  # joined twice is joined once
                sock.sendto(announce(printer(1)), (GROUP, ports[0]))
                await ears.wait_for(printer(1))

    asyncio.run(main())


def test_a_network_that_is_not_there_is_nothing_to_tell_of(
    ports: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        ears = Ears()
        async with opened(ears, ports, look=[ELSEWHERE, LOOPBACK]) as discovery:
            discovery.search(["240.0.0.1"])
            with mouth("127.0.0.11") as sock:
                sock.sendto(announce(printer(1)), (GROUP, ports[0]))
            await ears.wait_for(printer(1))
            assert discovery.troubles == ()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert logged_here(caplog) == []


def test_garbage_is_ignored_without_a_word_above_debug(
    ports: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    good = announce(printer(1))
    garbage = [b"", b"\0" * 100, os.urandom(1200), good[:60], good.replace(b"USN", b"USS"), good + b" " * 8000]

    async def main() -> None:
        ears = Ears()
        async with opened(ears, ports):
            with mouth("127.0.0.11") as sock:
                for each in garbage * 3:
                    sock.sendto(each, (BROADCAST, ports[0]))
                sock.sendto(good, (BROADCAST, ports[0]))
            await ears.wait_for(printer(1))
        assert ears.heard == [printer(1)]

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert logged_here(caplog) == []


def test_a_port_that_somebody_has_for_himself_is_told_and_the_other_one_works(ports: tuple[int, int]) -> None:
    async def main() -> None:
        ears = Ears()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as selfish:
            selfish.bind(("0.0.0.0", ports[0]))
            async with opened(ears, ports) as discovery:
                (trouble,) = discovery.troubles
                assert trouble.startswith(f"UDP port {ports[0]} cannot be listened on: another program has it")
                with mouth("127.0.0.11") as sock:
                    sock.sendto(announce(printer(1)), (GROUP, ports[1]))
                    await ears.wait_for(printer(1))
                    selfish.close()
                    discovery.search()
                    assert discovery.troubles == ()
                    sock.sendto(announce(printer(2)), (GROUP, ports[0]))
                    await ears.wait_for(printer(2))

    asyncio.run(main())


def test_after_closing_nothing_is_heard_and_the_ports_are_free(ports: tuple[int, int]) -> None:
    async def main() -> None:
        ears = Ears()
        async with opened(ears, ports):
            pass
        for port in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
                alone.bind(("0.0.0.0", port))

    asyncio.run(main())
