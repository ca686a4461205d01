"""`bambu-connector virtual-printer`: a simulated printer to try things on."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bambu_connector.errors import UsageError
from bambu_connector.secret import Secret

if TYPE_CHECKING:
    from bambu_connector.virtual.server import VirtualPrinter

_INSTALL = "The virtual printer needs two more packages: pip install 'bambu-connector[virtual]'"


@click.command("virtual-printer")
@click.option("--model", default="P1S", show_default=True, help="P1S, X1C, A1 mini or H2D.")
@click.option("--serial", help="Its serial. Default: a random one of the model's.")
@click.option("--access-code", help="Its access code. Default: a random one.")
@click.option(
    "--access-code-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its access code."
)
@click.option("--bind", default="127.0.0.1", show_default=True, help="The IPv4 address to listen on.")
@click.option("--mqtt-port", type=click.IntRange(0, 65535), default=0, help="Default: a free one; real ones use 8883.")
@click.option("--ftps-port", type=click.IntRange(0, 65535), default=0, help="Default: a free one; real ones use 990.")
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="How much faster than a real one it heats and prints.",
)
@click.option("--fault", "faults", metavar="NAME[=VALUE]", multiple=True, help="Something that it does wrong.")
@click.option("--list-faults", is_flag=True, help="List what it can do wrong, and exit.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its certificate and files stay. Default: a temporary folder.",
)
def virtual_printer(  # noqa: PLR0913, PLR0917 - one argument for each option
    model: str,
    serial: str | None,
    access_code: str | None,
    access_code_file: Path | None,
    bind: str,
    mqtt_port: int,
    ftps_port: int,
    speed: float,
    faults: tuple[str, ...],
    list_faults: bool,
    state_dir: Path | None,
) -> None:
    """Simulate a printer: its MQTT broker, its storage, and prints that heat, run and finish.

    Once it is ready, the entry for `printers:` in connector.yaml is printed; then one line for each thing that
    happens, until it is interrupted.
    """
    import asyncio

    if list_faults:
        _print_faults()
        return
    if access_code and access_code_file:
        raise click.UsageError("--access-code and --access-code-file exclude each other")
    if access_code_file:
        access_code = access_code_file.read_text(encoding="utf-8").strip()
    try:
        from bambu_connector.virtual.server import VirtualPrinter
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("amqtt", "aioftp"):
            raise
        raise click.ClickException(_INSTALL) from error
    try:
        printer = VirtualPrinter(
            model,
            serial=serial,
            access_code=Secret(access_code) if access_code else None,
            bind=bind,
            mqtt_port=mqtt_port,
            ftps_port=ftps_port,
            speed=speed,
            faults=faults,
            state_dir=state_dir,
            on_news=lambda sentence: click.echo(sentence, err=True),
        )
    except (UsageError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    try:
        asyncio.run(_serve(printer))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {bind}: {os.strerror(error.errno or 0)}") from error


def _print_faults() -> None:
    from bambu_connector.virtual.faults import FAULTS

    width = max(map(len, FAULTS)) + 2
    for name, fault in FAULTS.items():
        click.echo(f"{name:<{width}}{fault.what}{fault.shown_default and f' (default {fault.shown_default})'}")


async def _serve(printer: "VirtualPrinter") -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with printer:
        click.echo(_entry(printer), nl=False)
        click.echo(f"ready: {printer.model.name} {printer.serial}; stop it with Ctrl-C", err=True)
        await stop.wait()
    click.echo("stopped", err=True)


def _entry(printer: "VirtualPrinter") -> str:
    """Return the printer as an entry of `printers:` in connector.yaml."""
    import yaml

    entry = {
        "serial": printer.serial,
        "name": f"Virtual {printer.model.name}",
        "model": printer.model.name,
        "host": printer.host,
        "access_code": printer.access_code.reveal(),
        "ports": dict(printer.ports),
        "tls": {"ca_file": str(printer.authority_file.resolve())},
    }
    text: str = yaml.safe_dump({"printers": [entry]}, sort_keys=False, allow_unicode=True)
    return text
