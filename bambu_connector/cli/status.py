"""`bambu-connector status`: what one printer or all are doing."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from bambu_connector.cli.main import Settings
from bambu_connector.errors import AccessDenied, ConnectorError, IdentityMismatch, PrinterOffline

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bambu_connector.cli.service_client import Service
    from bambu_connector.config import Config, PrinterConfig
    from bambu_connector.service.farm import Unit

WATCH_S: Final = 1.0
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

    def why(self) -> list[str]:
        """Return one line for each printer that is not online."""
        names = {key: data["machines"][0]["connection_info"]["dev_name"] for key, data in self.statuses.items()}
        return [f"{names[key]}: {reason.sentence}" for key, reason in self.reasons.items()]


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
        raise click.ClickException("The configuration has no printers; add one under `printers:`.")
    service = Service.find(config.connector.state_dir)
    looks = _through(service, chosen) if service else _alone(config, chosen)
    single = printer is not None
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


def _through(service: "Service", chosen: tuple["PrinterConfig", ...]) -> Iterator[Look]:
    while True:
        found: Tree = {}
        known: Tree = {}
        for each in chosen:
            answer = next(iter(service.ask({"do": "status", "printer": each.serial})))
            found |= answer["status"]
            known |= answer.get("reasons", {})
        told = {key: Reason(each["error"], each["exit_code"]) for key, each in known.items()}
        yield Look(found, _reasons(found, told))


def _alone(config: "Config", chosen: tuple["PrinterConfig", ...]) -> Iterator[Look]:
    from bambu_connector.cli.stepping import stepped

    return stepped(_looks(config, chosen))


async def _looks(config: "Config", chosen: tuple["PrinterConfig", ...]) -> AsyncIterator[Look]:
    import asyncio

    from bambu_connector.cli.alone import READY_S, farm_alone
    from bambu_connector.service.farm import until_ready

    async with farm_alone(config, chosen) as farm:
        units = farm.units
        results = await asyncio.gather(*(until_ready(unit, READY_S) for unit in units.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ConnectorError):
                raise result
        told = {key: error for key, error in zip(units, results, strict=True) if isinstance(error, ConnectorError)}
        while True:
            yield _look(units, told)
            await asyncio.sleep(WATCH_S)


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
    from bambu_connector.cli.presenting import console, status_table

    console().print(status_table(look.statuses))


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
            live.update(_picture(look), refresh=True)
            time.sleep(WATCH_S)


def _picture(look: Look) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from bambu_connector.cli.presenting import status_table

    return Group(status_table(look.statuses), *map(Text, look.why()))
