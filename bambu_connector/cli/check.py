"""`bambu-connector check`: is the configuration right?"""

import click

from bambu_connector.cli.main import Settings


@click.command()
@click.pass_obj
def check(settings: Settings) -> None:
    """Validate the configuration; every mistake is said at once, with file, line and key."""
    config = settings.load()
    for warning in config.warnings:
        click.echo(f"warning: {warning}", err=True)
    if config.printago is None:
        click.echo(f"note: {config.path}: without a section `printago` the command `run` has nobody to serve", err=True)
    for printer in config.printers:
        name = printer.name or printer.serial
        if printer.host is None:
            click.echo(f"note: {name} has no `host`: it is not connected until it has one", err=True)
        if printer.access_code is None:
            click.echo(f"note: {name} has no `access_code`: it is not connected until it has one", err=True)
    count = len(config.printers)
    click.echo(f"{config.path}: valid, {count} printer{'' if count == 1 else 's'}")
