"""`bambu-connector status`: what one printer or all are doing."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from bambu_connector.cli.main import PAIRED_ARE_MISSING, Settings
from bambu_connector.cli.output import legible
from bambu_connector.errors import (
    AccessDenied,
    ConfigError,
    ConnectorError,
    IdentityMismatch,
    LinkError,
    PrinterOffline,
    UnknownPrinter,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bambu_connector.cli.service_client import Service
    from bambu_connector.config import Config, PrinterConfig
    from bambu_connector.service.farm import Unit

WATCH_S: Final = 1.0
_REFUSALS: Final = 2  # once may be a printer that is just being switched on
_STRANGER: Final = "not known to the running service"
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a printer is not online."""

    sentence: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment, by the printers' ids."""

    statuses: Tree
    reasons: Mapping[str, Reason]
    strangers: tuple[str, ...] = ()
    """What printers are called that are configured, and not known to the running service."""

    def why(self) -> list[str]:
        """Return one line for each printer that is not online."""
        from bambu_connector.cli.presenting import names_of

        names = names_of(self.statuses)
        lines = [f"{names[key]}: {reason.sentence}" for key, reason in self.reasons.items()]
        return [legible(line) for line in (*lines, *(f"{name}: {_STRANGER}" for name in self.strangers))]


@click.command()
@click.argument("printer", required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the whole status: of one printer its data, of all a mapping."
)
@click.option("--watch", is_flag=True, help="Keep showing it until Ctrl-C.")
@click.pass_obj
def status(settings: Settings, printer: str | None, as_json: bool, watch: bool) -> None:
    """Show the status of PRINTER (its id, serial or name), or of all printers.

    Why a printer is not online is said on stderr; with PRINTER it decides the exit code as well.
    """
    from bambu_connector.cli.alone import find_printer
    from bambu_connector.cli.service_client import Service

    config = settings.load()
    settings.configure_logs(config, quiet=True)
    chosen = (find_printer(config, printer),) if printer else config.printers
    if not chosen:
        if any(PAIRED_ARE_MISSING in each for each in config.warnings):
            raise ConfigError("Which printers there are is not known to this user.")
        raise click.ClickException("There are no printers yet: pair them with `bambu-connector pair`.")
    service = Service.find(config.connector.state_dir)
    single = printer is not None
    if service is None:
        _say_who_is_asked(len(chosen))
    looks = _through(service, chosen, single=single) if service else _alone(config, chosen)
    if watch:
        _watch(looks, single=single, as_json=as_json)
        return
    look = next(looks)
    _print(look, single=single, as_json=as_json)
    for line in look.why():
        click.echo(line, err=True)
    if single and look.reasons:
        raise click.exceptions.Exit(next(iter(look.reasons.values())).exit_code)


# -- looking ---------------------------------------------------------------------------------------


def _through(service: "Service", chosen: tuple["PrinterConfig", ...], *, single: bool) -> Iterator[Look]:
    from bambu_connector.cli.service_client import ServiceRefused

    while True:
        found: Tree = {}
        known: Tree = {}
        strangers: list[str] = []
        for each in chosen:
            name = each.name or each.serial
            try:
                answer = next(iter(service.ask({"do": "status", "printer": each.serial})))
            except ServiceRefused as error:
                if error.code != UnknownPrinter.code:
                    raise
                if single:
                    raise UnknownPrinter(f"{name}: {_STRANGER}.") from error
                strangers.append(name if name == each.serial else f"{name} ({each.serial})")
                continue
            found |= answer["status"]
            known |= answer.get("reasons", {})
        told = {key: Reason(each["error"], each["exit_code"]) for key, each in known.items()}
        yield Look(found, _reasons(found, told), tuple(strangers))


def _say_who_is_asked(count: int) -> None:
    """Say on a terminal why nothing is shown for a while."""
    import sys

    if sys.stderr.isatty():
        click.echo(f"Asking {count} printer{'' if count == 1 else 's'}…", err=True)


def _alone(config: "Config", chosen: tuple["PrinterConfig", ...]) -> Iterator[Look]:
    from bambu_connector.cli.stepping import stepped

    return stepped(_looks(config, chosen))


async def _looks(config: "Config", chosen: tuple["PrinterConfig", ...]) -> AsyncIterator[Look]:
    import asyncio

    from bambu_connector.cli.alone import READY_S, farm_alone

    async with farm_alone(config, chosen) as farm:
        units = farm.units
        results = await asyncio.gather(*(_ready(unit, READY_S) for unit in units.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ConnectorError):
                raise result
        told = {key: error for key, error in zip(units, results, strict=True) if isinstance(error, ConnectorError)}
        while True:
            yield _look(units, told)
            await asyncio.sleep(WATCH_S)


async def _ready(unit: "Unit", within: float) -> None:
    """Wait until a printer has told its state; raises why it did not. One that refuses twice is not waited for."""
    import asyncio

    from bambu_connector.service.farm import until_ready

    refusals: list[LinkError] = []

    def refused() -> None:
        error = unit.printer.link_error
        if isinstance(error, LinkError) and isinstance(error.__cause__, ConnectionRefusedError):
            if not any(error is each for each in refusals):
                refusals.append(error)
            if len(refusals) >= _REFUSALS:
                raise error

    ready = asyncio.create_task(until_ready(unit, within))
    refusing = asyncio.create_task(unit.printer.waiters.until(refused, within))
    try:
        done, _ = await asyncio.wait((ready, refusing), return_when=asyncio.FIRST_COMPLETED)
        await (ready if ready in done else refusing)
        await ready
    finally:
        for each in (ready, refusing):
            each.cancel()
        await asyncio.gather(ready, refusing, return_exceptions=True)


def _look(units: Mapping[str, "Unit"], told: Mapping[str, ConnectorError]) -> Look:
    """Look at printers that are ours; `told` is what was said of them in the beginning."""
    errors = {key: unit.printer.link_error or told.get(key) for key, unit in units.items()}
    known = {key: Reason(str(error), error.exit_code) for key, error in errors.items() if error}
    statuses = {key: unit.printer.status() for key, unit in units.items()}
    return Look(statuses, _reasons(statuses, known))


def _reasons(statuses: Tree, known: Mapping[str, Reason]) -> dict[str, Reason]:
    """Return why each printer that is not online is not, in words of our own where nobody has told."""
    links = {key: data["machines"][0]["connection_info"] for key, data in statuses.items()}
    return {key: known.get(key) or _guess(link) for key, link in links.items() if not link["is_online"]}


def _guess(link: Tree) -> Reason:
    if link["has_access_right"] is False:
        return Reason("The access code is refused.", AccessDenied.exit_code)
    if link["verified"] is False and not link["is_connected"]:
        return Reason("Its certificate is not the one that is trusted.", IdentityMismatch.exit_code)
    silent = "It is connected and says nothing."
    return Reason(silent if link["is_connected"] else "It is not connected yet.", PrinterOffline.exit_code)


# -- showing ---------------------------------------------------------------------------------------


def _print(look: Look, *, single: bool, as_json: bool) -> None:
    if as_json:
        from bambu_connector.cli.output import show_json

        show_json(next(iter(look.statuses.values())) if single else look.statuses)
        return
    from bambu_connector.cli.presenting import show_statuses

    show_statuses(look.statuses)


def _watch(looks: Iterator[Look], *, single: bool, as_json: bool) -> None:
    import sys
    import time

    if as_json or not sys.stdout.isatty():  # a file or a pipe gets one picture after the other
        for look in looks:
            _print(look, single=single, as_json=as_json)
            time.sleep(WATCH_S)
        return
    from rich.live import Live

    from bambu_connector.cli.presenting import console

    with Live(console=console(), auto_refresh=False, screen=False) as live:
        for look in looks:
            live.update(_picture(look, live.console.width), refresh=True)
            time.sleep(WATCH_S)


def _picture(look: Look, width: int) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from bambu_connector.cli.presenting import status_table

    return Group(status_table(look.statuses, width), *map(Text, look.why()))
