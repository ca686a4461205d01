"""`bambu-connector demo`: the whole system on one machine, with a simulated printer."""

import click

from bambu_connector.cli.main import Settings

_INSTALL = "The demo needs two more packages: pip install 'bambu-connector[virtual]'"


@click.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Show a print from Printago's command to its end: a broker, a virtual printer and the service, all in here."""
    import asyncio

    try:
        from bambu_connector.cli.demo_show import Ended, Show
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("amqtt", "aioftp"):
            raise
        raise click.ClickException(_INSTALL) from error

    settings.configure_logs(quiet=True)
    try:
        asyncio.run(Show(click.echo).run())
    except KeyboardInterrupt:
        raise Ended from None
