import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest

from bambu_connector.errors import Unreachable
from bambu_connector.links.dial import Dialer
from bambu_connector.links.tls import PrinterTls, Trust
from bambu_connector.virtual.pki import Authority
from tests.servers.process import free_port
from tests.servers.silent import SilentPeer


def with_dialer(use: Callable[[Dialer], Awaitable[None]], timeout_s: float = 5) -> None:
    async def main() -> None:
        dialer = Dialer(timeout_s)
        try:
            await use(dialer)
        finally:
            dialer.close()

    asyncio.run(main())


def test_a_connection_is_opened_without_a_thread() -> None:
    with SilentPeer(None) as peer:
        threads = threading.active_count()

        async def use(dialer: Dialer) -> None:
            sock = await dialer.dial(peer.host, peer.port, None)
            assert not sock.getblocking()
            assert threading.active_count() <= threads + 1  # the peer's own
            sock.close()

        with_dialer(use)


def test_a_name_is_looked_up() -> None:
    with SilentPeer(None) as peer:

        async def use(dialer: Dialer) -> None:
            (await dialer.dial("localhost", peer.port, None)).close()

        with_dialer(use)


def test_many_dead_hosts_do_not_keep_a_live_one_waiting() -> None:
    # A listener whose queue is full swallows what comes after, as a dead host does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, SilentPeer(None) as peer:
        port = full.getsockname()[1]

        async def use(dialer: Dialer) -> None:
            dead = [asyncio.create_task(dialer.dial("127.0.0.1", port, None)) for _ in range(100)]
            await asyncio.sleep(0)
            sock = await dialer.dial(peer.host, peer.port, None)
            assert sum(not each.done() for each in dead) > 50
            sock.close()
            for each in dead:
                each.cancel()
            for result in await asyncio.gather(*dead, return_exceptions=True):
                if isinstance(result, socket.socket):
                    result.close()

        with_dialer(use)


def test_the_next_address_is_tried_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with SilentPeer(None) as peer:
        dead = free_port()

        async def use(dialer: Dialer) -> None:
            async def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
                return [(socket.AF_INET, (peer.host, dead)), (socket.AF_INET, (peer.host, port))]

            monkeypatch.setattr(dialer, "resolve", resolve)
            (await dialer.dial("anything", peer.port, None)).close()
            with pytest.raises(Unreachable, match="refuses"):
                await dialer.dial("anything", dead, None)

        with_dialer(use)


def test_peers_that_freeze_in_the_handshake_do_not_keep_a_live_one_waiting(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bambu_connector.links.dial._HANDSHAKE_SLOT_S", 0.05)
    with SilentPeer(None) as frozen, SilentPeer(authority.issue("S")) as peer:

        async def use(dialer: Dialer) -> None:
            dead = [
                asyncio.create_task(dialer.dial(frozen.host, frozen.port, PrinterTls(Trust("S")))) for _ in range(40)
            ]
            await asyncio.to_thread(frozen.wait_for, "all of them", lambda: frozen.accepted == 40)
            (await dialer.dial(peer.host, peer.port, PrinterTls(Trust("S")))).close()
            assert not any(each.done() for each in dead)
            for each in dead:
                each.cancel()
            await asyncio.wait(dead)

        with_dialer(use)
