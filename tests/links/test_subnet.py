"""Scanning loopback: several printers at addresses of their own, and what is none among them."""

import asyncio
import contextlib
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from bambu_connector.errors import UsageError
from bambu_connector.links.dial import Dialer
from bambu_connector.links.identify import Identified, Identifier, ProbePorts
from bambu_connector.links.subnet import addresses_of, networks_of, scan
from bambu_connector.virtual.pki import Authority
from tests.logged import logged_here
from tests.servers.process import free_port
from tests.servers.silent import SilentPeer


@contextlib.contextmanager
def peers_at(port: int, named: dict[str, str | None], authority: Authority) -> Iterator[list[SilentPeer]]:
    """Let a silent peer with a certificate for that name (None: no TLS) listen at each address."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                SilentPeer(authority.issue(name), host=host, port=port)
                if name
                else SilentPeer(None, greeting=b"220 smtp.example.org\r\n", host=host, port=port)
            )
            for host, name in named.items()
        ]


async def found_in(networks: list[str], port: int) -> list[Identified]:
    dialer = Dialer(5.0)
    try:
        identifier = Identifier(dialer, ProbePorts(port, free_port(), free_port()))
        return [each async for each in scan(networks_of(networks), identifier)]
    finally:
        dialer.close()


def test_every_printer_of_the_ranges_is_found_and_everything_else_passed_over(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    named = {
        "127.0.3.1": "01P00A000000001",
        "127.0.3.2": "localhost",
        "127.0.3.3": None,
        "127.0.3.6": "01P00A000000006",
        "127.0.3.9": "01P00A000000009",
    }
    with peers_at(port, named, authority) as peers, caplog.at_level("INFO"):
        found = asyncio.run(found_in(["127.0.3.0/29", "127.0.3.9"], port))
        for peer in peers:
            peer.wait_until_ended()
        with_tls = [peer for peer, name in zip(peers, named.values(), strict=True) if name]
        assert [peer.heard for peer in with_tls] == [b""] * 4
    assert {each.host: each.serial for each in found} == {
        host: name for host, name in named.items() if name and name != "localhost"
    }
    assert logged_here(caplog) == []


def test_no_more_than_so_many_addresses_are_asked_at_once() -> None:
    class Counting:
        now = most = 0

        async def listens(self, host: str) -> bool:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return False

    counting = Counting()
    done: list[None] = []

    async def main() -> None:
        networks = networks_of(["10.0.0.0/24"])
        async for _ in scan(networks, counting, at_once=7, passed=lambda: done.append(None)):  # type: ignore[arg-type]
            raise AssertionError("nobody is there")

    asyncio.run(main())
    assert counting.most == 7
    assert len(done) == 254


def test_a_printer_is_told_before_the_rest_has_been_asked() -> None:
    class FirstOnly:
        """Nobody but the first address ever answers."""

        async def listens(self, host: str) -> bool:
            if host != "10.0.0.1":
                await asyncio.Event().wait()
            return True

        async def identify(self, host: str) -> Identified:
            return Identified(host=host, serial="01P00A000000001", fingerprint=None, detected=None)

    async def main() -> None:
        scanning = scan(networks_of(["10.0.0.0/24"]), FirstOnly())  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            assert (await anext(scanning)).host == "10.0.0.1"
        await scanning.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_fault_of_ours_is_not_taken_for_an_empty_network() -> None:
    class Broken:
        async def listens(self, host: str) -> bool:
            raise KeyError(host)

    async def main() -> None:
        async for _ in scan(networks_of(["10.0.0.0/24"]), Broken()):  # type: ignore[arg-type]
            raise AssertionError("nobody is there")

    with pytest.raises(KeyError):
        asyncio.run(main())


def test_network_and_broadcast_address_are_not_asked_and_none_is_asked_twice() -> None:
    assert list(addresses_of(networks_of(["10.0.0.5/30", "10.0.0.6", "10.0.0.8/31"]))) == [
        "10.0.0.5",
        "10.0.0.6",
        "10.0.0.8",
        "10.0.0.9",
    ]


def test_the_largest_range_is_a_16() -> None:
    assert networks_of(["10.1.0.0/16"]) == (IPv4Network("10.1.0.0/16"),)
    for too_much in (["10.0.0.0/15"], ["10.1.0.0/16", "10.2.0.0/24"]):
        with pytest.raises(UsageError, match="at most a /16"):
            networks_of(too_much)


@pytest.mark.parametrize("text", ["", "printer", "192.168.1.0/33", "fd00::/64", "192.168.1.0-255"])
def test_what_is_no_range_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="no range of IPv4 addresses"):
        networks_of([text])
