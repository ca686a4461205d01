"""`bambu-connector unpair`: forget a printer, its access code and its certificate."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import click

from bambu_connector.cli.main import Settings

if TYPE_CHECKING:
    from bambu_connector.config import Config

Tree = dict[str, Any]


@click.command()
@click.argument("printer")
@click.pass_obj
def unpair(settings: Settings, printer: str) -> None:
    """Forget PRINTER (its id, serial or name), its access code and its pinned certificate.

    A print that runs goes on. What stands in connector.yaml stays there.
    """
    from bambu_connector.cli.pair_plan import written_keys
    from bambu_connector.cli.service_client import Service
    from bambu_connector.cli.stepping import stepped
    from bambu_connector.cli.without_config import records

    known = records(settings)
    settings.configure_logs(known.config, quiet=True)
    serial = _serial(printer, known.config, known.known)
    request: Tree = {"do": "unpair", "printer": serial, "written": written_keys(serial, known)}
    service = Service.find(known.config.connector.state_dir)
    answers = stepped(_alone(known.config, request)) if service is None else service.ask(request)
    for answer in answers:
        if "unpaired" in answer:
            _tell(answer["unpaired"], str(known.written.path))


def _serial(printer: str, config: "Config", known: Any) -> str:
    """Return whom a name means; raises UnknownPrinter."""
    from bambu_connector.cli.alone import find_printer
    from bambu_connector.errors import UnknownPrinter

    try:
        return find_printer(config, printer).serial
    except UnknownPrinter:
        if printer in known:  # only its certificate is known
            return printer
        raise


async def _alone(config: "Config", request: Tree) -> AsyncGenerator[Tree, None]:
    from contextlib import aclosing
    from dataclasses import replace

    from bambu_connector.cli.alone import farm_alone
    from bambu_connector.service import pairing

    # Without its access code it is not connected to: nothing is wanted of the printer itself.
    here = tuple(replace(each, access_code=None) for each in config.printers if each.serial == request["printer"])
    async with farm_alone(config, here) as farm, aclosing(pairing.answers(farm, request)) as answers:
        async for each in answers:
            yield each


def _tell(unpaired: Tree, path: str) -> None:
    name = unpaired["name"]
    if not unpaired["stays"]:
        click.echo(f"{name} is unpaired: its access code and its certificate are forgotten.")
    elif not unpaired["was_known"]:
        click.echo(f"{name} stands in {path} alone: remove it there, there is nothing else to forget.")
    else:
        click.echo(f"What pairing knew of {name} is forgotten. Its entry in {path} stays.")
    if unpaired["prints"]:
        click.echo("Its print goes on, and nobody is told how it ends.")
