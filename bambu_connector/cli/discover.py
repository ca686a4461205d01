"""`bambu-connector discover`: which printers are there? Nobody is told a secret to find out."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, Final

import click

from bambu_connector.cli.main import Settings
from bambu_connector.cli.output import show_json
from bambu_connector.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from bambu_connector.cli.presenting import Column
    from bambu_connector.cli.sightings import Ours, Sightings
    from bambu_connector.links.discovery import Discovery

SEARCH_S: Final = 3.0
REFRESH_S: Final = 0.5
Tree = dict[str, Any]
_WORDS: Final = {True: "yes", False: "no", None: "?"}


@dataclass(slots=True)
class Progress:
    """How far the search is: seconds listened, and addresses probed."""

    timeout_s: float
    addresses: int
    began: float = field(default_factory=time.monotonic)
    probed: int = 0

    @property
    def listened_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def one_more(self) -> None:
        """One more address was probed."""
        self.probed += 1

    def __str__(self) -> str:
        left = max(0.0, self.timeout_s - self.listened_s)
        told = [f"listening for {left:.0f} s more"] if left else []
        if self.probed < self.addresses:
            told.append(f"{self.probed} of {self.addresses} addresses probed")
        return f"{', '.join(told) or 'ready'}; Ctrl-C ends it"


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds to listen. Printers announce themselves every 5 to 30 s.",
)
@click.option(
    "--subnet",
    "subnets",
    multiple=True,
    metavar="CIDR",
    help="Also ask each address of a range who it is, such as 192.168.1.0/24. Can be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print an array.")
@click.pass_obj
def discover(settings: Settings, timeout: float, subnets: tuple[str, ...], as_json: bool) -> None:
    """Find the printers in the network, paired or not.

    Listens for their announcements and asks for them; with --subnet also probes addresses, for at least as long as
    that takes. Ctrl-C ends it early and shows what was found.
    """
    from bambu_connector.cli.sightings import Sightings, known
    from bambu_connector.links.subnet import addresses_of, networks_of

    _refuse_a_network_without_size(subnets)
    networks = networks_of(subnets)
    config, ours = known(settings)
    settings.configure_logs(config, quiet=True)
    sightings = Sightings()
    progress = Progress(timeout, sum(1 for _ in addresses_of(networks)))
    with _live(sightings, ours, progress, wanted=not as_json) as refresh:
        troubles = asyncio.run(_look(sightings, networks, progress, refresh))
    rows = sightings.rows(ours)
    if as_json:
        show_json(rows)
    elif rows:
        _print(rows)
    if rows:
        for note in (*troubles, *sightings.contested()):
            click.echo(f"note: {note}", err=True)
    else:
        _say_why(networks, progress, troubles)


def _refuse_a_network_without_size(subnets: Sequence[str]) -> None:
    """Raise UsageError for `192.168.1.0`, which would be one address that nobody can have."""
    for text in subnets:
        if text.strip().endswith(".0") and "/" not in text:
            raise UsageError(f"--subnet {text}: for all addresses of this network write {text.strip()}/24.")


# -- looking ---------------------------------------------------------------------------------------


async def _look(
    sightings: "Sightings", networks: Sequence[IPv4Network], progress: Progress, refresh: Callable[[], None]
) -> tuple[str, ...]:
    """Look until the time is over and every address was probed, or Ctrl-C; return what got in the way."""
    from bambu_connector.links.discovery import Discovery

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, ended.set)
    discovery = Discovery(sightings.hear)
    await discovery.open()

    async def through() -> None:
        await asyncio.gather(asyncio.sleep(progress.timeout_s), _probe(sightings, networks, progress))

    tasks = [asyncio.create_task(each) for each in (through(), _ask(discovery), _show(refresh))]
    for task in tasks:
        task.add_done_callback(lambda _: ended.set())
    try:
        await ended.wait()
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        discovery.close()
        loop.remove_signal_handler(signal.SIGINT)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return discovery.troubles


async def _ask(discovery: "Discovery") -> None:
    while True:
        discovery.search()
        await asyncio.sleep(SEARCH_S)


async def _show(refresh: Callable[[], None]) -> None:
    while True:
        refresh()
        await asyncio.sleep(REFRESH_S)


async def _probe(sightings: "Sightings", networks: Sequence[IPv4Network], progress: Progress) -> None:
    if not networks:
        return
    from bambu_connector.links.dial import Dialer
    from bambu_connector.links.identify import Identifier
    from bambu_connector.links.subnet import scan

    with contextlib.closing(Dialer()) as dialer:
        scanning = scan(networks, Identifier(dialer), passed=progress.one_more)
        async with contextlib.aclosing(scanning):
            async for each in scanning:
                sightings.probed(each)


# -- showing ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _live(sightings: "Sightings", ours: "Ours", progress: Progress, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """Keep a table on the terminal for as long as the block lasts; elsewhere say nothing, or how long it takes."""
    if not wanted or not sys.stdout.isatty():
        if sys.stderr.isatty():
            click.echo(f"{progress}.", err=True)
        yield lambda: None
        return
    from rich.live import Live

    from bambu_connector.cli.presenting import console

    with Live(console=console(), auto_refresh=False, transient=True) as live:
        yield lambda: live.update(_table(sightings.rows(ours), live.console.width, str(progress)), refresh=True)


def _print(rows: Sequence[Tree]) -> None:
    from bambu_connector.cli.presenting import show_table

    show_table(_columns(), _cells(rows))


def _table(rows: Sequence[Tree], width: int, caption: str) -> "Table":
    from bambu_connector.cli.presenting import fitted

    table = fitted(_columns(), _cells(rows), width)
    table.caption, table.caption_justify = caption, "left"
    return table


def _columns() -> "tuple[Column, ...]":
    from bambu_connector.cli.presenting import Column

    return (
        Column("name", whole=True),
        Column("model", rank=3),
        Column("serial", whole=True),
        Column("address", whole=True),
        Column("signal", whole=True, rank=6),
        Column("connection", rank=4),
        Column("firmware", whole=True, rank=5),
        Column("paired", rank=1),
        Column("controllable", rank=2),
    )


def _cells(rows: Sequence[Tree]) -> list[tuple[str, ...]]:
    from bambu_connector.cli.sightings import controllable

    return [
        (
            row["name"] or "?",
            row["model"].removeprefix("Bambu Lab "),
            row["serial"],
            row["host"],
            "?" if row["signal_dbm"] is None else f"{row['signal_dbm']} dBm",
            {"lan": "LAN", "cloud": "cloud"}.get(row["connection"], "?"),
            row["firmware"] or "?",
            _WORDS[row["paired"]],
            _WORDS[controllable(row)],
        )
        for row in rows
    ]


def _say_why(networks: Sequence[IPv4Network], progress: Progress, troubles: Sequence[str]) -> None:
    from bambu_connector.cli.silence import hints, surroundings

    click.echo(
        f"No printer was found in {progress.listened_s:.0f} s. What may be the reason, and what to try:", err=True
    )
    for hint in hints(surroundings(), scanned=networks, listened_s=progress.listened_s, troubles=troubles):
        click.echo(f"\n- {hint.sentence}", err=True)
        for command in hint.commands:
            click.echo(f"    {command}", err=True)
