"""`bambu-connector check`: is the configuration right?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bambu_connector.cli.main import Settings

if TYPE_CHECKING:
    from bambu_connector.config import Config


@click.command()
@click.pass_obj
def check(settings: Settings) -> None:
    """Validate the configuration; every mistake is said at once, with file, line and key."""
    from bambu_connector.config.merging import merged, overridden

    settings.require_file()
    written, known = settings.sources()
    config = merged(written, known)
    for warning in config.warnings:
        click.echo(f"warning: {warning}", err=True)
    for note in (*_missing(config), *overridden(written, known)):
        click.echo(f"note: {note}", err=True)
    count, paired = len(config.printers), len(config.printers) - len(written.printers)
    told = f"{count} printer{'' if count == 1 else 's'}" + (f", {paired} of them only paired" if paired else "")
    click.echo(f"{config.path}: valid, {told}")


def _missing(config: "Config") -> Iterator[str]:
    if config.printago is None:
        yield f"{config.path}: without a section `printago` the command `run` has nobody to serve"
    for printer in config.printers:
        name = printer.name or printer.serial
        if printer.host is None:
            yield f"{name} has no `host`: it is found by its announcements, which come only from its own network"
        if printer.access_code is None:
            yield (
                f"{name} has no `access_code` that can be used: it waits to be paired, with  "
                f"bambu-connector pair {printer.serial}"
            )
