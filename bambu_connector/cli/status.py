"""`bambu-connector status`: what one printer or all are doing."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from bambu_connector.cli.main import Settings
from bambu_connector.errors import ConnectorError

if TYPE_CHECKING:
    from bambu_connector.cli.service_client import Service
    from bambu_connector.config import Config, PrinterConfig

WATCH_S: Final = 1.0
Tree = dict[str, Any]


@click.command()
@click.argument("printer", required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the whole status: of one printer its data, of all a mapping."
)
@click.option("--watch", is_flag=True, help="Keep showing it until Ctrl-C.")
@click.pass_obj
def status(settings: Settings, printer: str | None, as_json: bool, watch: bool) -> None:
    """Show the status of PRINTER (its id, serial or name), or of all printers."""
    from bambu_connector.cli.alone import find_printer
    from bambu_connector.cli.service_client import Service

    config = settings.load()
    settings.configure_logs(config, quiet=True)
    chosen = (find_printer(config, printer),) if printer else config.printers
    if not chosen:
        raise click.ClickException("The configuration has no printers; add one under `printers:`.")
    service = Service.find(config.connector.state_dir)
    looks = _through(service, chosen) if service else _alone(config, chosen, only=printer is not None)
    if not watch:
        _print(next(looks), single=printer is not None, as_json=as_json)
        return
    _watch(looks, single=printer is not None, as_json=as_json)


def _through(service: "Service", chosen: tuple["PrinterConfig", ...]) -> Iterator[Tree]:
    while True:
        found: Tree = {}
        for each in chosen:
            answer = next(iter(service.ask({"do": "status", "printer": each.serial})))
            found |= answer["status"]
        yield found


def _alone(config: "Config", chosen: tuple["PrinterConfig", ...], *, only: bool) -> Iterator[Tree]:
    from bambu_connector.cli.stepping import stepped

    return stepped(_looks(config, chosen, only=only))


async def _looks(config: "Config", chosen: tuple["PrinterConfig", ...], *, only: bool) -> AsyncIterator[Tree]:
    import asyncio

    from bambu_connector.cli.alone import READY_S, farm_alone
    from bambu_connector.service.farm import until_ready

    async with farm_alone(config, chosen) as farm:
        units = farm.units.values()
        results = await asyncio.gather(*(until_ready(unit, READY_S) for unit in units), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and (only or not isinstance(result, ConnectorError)):
                raise result
        while True:
            yield {unit.config.id: unit.printer.status() for unit in units}
            await asyncio.sleep(WATCH_S)


def _print(statuses: Tree, *, single: bool, as_json: bool) -> None:
    if as_json:
        import orjson

        tree = next(iter(statuses.values())) if single else statuses
        click.echo(orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode())
        return
    from bambu_connector.cli.presenting import console, status_table

    console().print(status_table(statuses))


def _watch(looks: Iterator[Tree], *, single: bool, as_json: bool) -> None:
    import time

    if as_json:
        for statuses in looks:
            _print(statuses, single=single, as_json=True)
            time.sleep(WATCH_S)
        return
    from rich.live import Live

    from bambu_connector.cli.presenting import console, status_table

    with Live(console=console(), auto_refresh=False, screen=False) as live:
        for statuses in looks:
            live.update(status_table(statuses), refresh=True)
            time.sleep(WATCH_S)
