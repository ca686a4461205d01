"""Looking for printers address by address, where their announcements do not get through."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network
from typing import Final

from bambu_connector.errors import LinkError, UsageError
from bambu_connector.links.identify import Identified, Identifier

log = logging.getLogger(__name__)

LARGEST_PREFIX: Final = 16
MAX_ADDRESSES: Final = 1 << (32 - LARGEST_PREFIX)  # a quarter of an hour at the pace below; a house has 254
AT_ONCE: Final = 64  # more would fill the tables of a home router


def networks_of(texts: Iterable[str]) -> tuple[IPv4Network, ...]:
    """Return the ranges that `texts` name (`192.168.1.0/24`, or one address); raises UsageError."""
    found = tuple(_network(text) for text in texts)
    if sum(each.num_addresses for each in found) > MAX_ADDRESSES:
        raise UsageError(
            f"{', '.join(map(str, found))}: that is too much to probe; at most a /{LARGEST_PREFIX} at a time"
        )
    return found


def addresses_of(networks: Iterable[IPv4Network]) -> Iterator[str]:
    """Return the addresses that a device can have there, each once."""
    return iter(dict.fromkeys(str(host) for network in networks for host in network.hosts()))


async def scan(
    networks: Sequence[IPv4Network],
    identifier: Identifier,
    *,
    at_once: int = AT_ONCE,
    passed: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Identified, None]:
    """Yield every printer there, as it is found; `passed` is called for each address that is done.

    Addresses without a printer are passed over in silence. No credential is involved.
    """
    hosts = addresses_of(networks)
    found: asyncio.Queue[Identified | None] = asyncio.Queue()

    async def work() -> None:
        for host in hosts:
            if (printer := await _printer_at(host, identifier)) is not None:
                found.put_nowait(printer)
            passed()

    workers = [asyncio.create_task(work(), name=f"scan {number}") for number in range(at_once)]
    working = asyncio.gather(*workers)
    working.add_done_callback(lambda _: found.put_nowait(None))
    try:
        while (printer := await found.get()) is not None:
            yield printer
        await working
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(working, *workers, return_exceptions=True)


async def _printer_at(host: str, identifier: Identifier) -> Identified | None:
    if not await identifier.listens(host):
        return None
    try:
        return await identifier.identify(host)
    except LinkError as exc:
        log.debug("no printer: %s", exc)
        return None


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text.strip(), strict=False)
    except ValueError:
        raise UsageError(f"{text!r} is no range of IPv4 addresses; one looks like 192.168.1.0/24") from None
