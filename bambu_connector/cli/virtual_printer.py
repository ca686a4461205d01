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


_PORT = click.IntRange(0, 65535)


@click.command("virtual-printer")
@click.option("--model", default="P1S", show_default=True, help="P1S, X1C, A1 mini or H2D.")
@click.option("--serial", help="Its serial. Default: a random one of the model's.")
@click.option("--name", help="What its owner calls it. Default: Virtual and the model.")
@click.option("--access-code", help="Its access code. Default: a random one.")
@click.option(
    "--access-code-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its access code."
)
@click.option(
    "--bind",
    default="127.0.0.1",
    show_default=True,
    help="The IPv4 address to listen on. Each of 127.0.0.2, 127.0.0.3 … can be a printer of its own.",
)
@click.option("--real-ports", is_flag=True, help="Listen where real ones do: 8883, 990, 3000, 3002, and 6000 or 322.")
@click.option("--mqtt-port", type=_PORT, help="Default: a free one; real ones use 8883.")
@click.option("--ftps-port", type=_PORT, help="Default: a free one; real ones use 990.")
@click.option("--detect-port", type=_PORT, help="Default: a free one; real ones use 3000.")
@click.option("--detect-tls-port", type=_PORT, help="Default: a free one; real ones use 3002.")
@click.option("--camera-port", type=_PORT, help="Default: a free one; real ones use 6000 or 322.")
@click.option("--announce/--no-announce", default=True, help="Whether it tells the network that it is there.")
@click.option(
    "--announce-every",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds between announcements.",
)
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
    name: str | None,
    access_code: str | None,
    access_code_file: Path | None,
    bind: str,
    real_ports: bool,
    mqtt_port: int | None,
    ftps_port: int | None,
    detect_port: int | None,
    detect_tls_port: int | None,
    camera_port: int | None,
    announce: bool,
    announce_every: float,
    speed: float,
    faults: tuple[str, ...],
    list_faults: bool,
    state_dir: Path | None,
) -> None:
    """Simulate a printer: its MQTT broker, its storage, and prints that heat, run and finish.

    Once it is ready, its item for the list `printers:` in connector.yaml is printed; then one line for each thing that
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
        usual = _usual_ports(model, are_real=real_ports)
        printer = VirtualPrinter(
            model,
            serial=serial,
            access_code=Secret(access_code) if access_code else None,
            name=name,
            bind=bind,
            mqtt_port=usual["mqtt"] if mqtt_port is None else mqtt_port,
            ftps_port=usual["ftps"] if ftps_port is None else ftps_port,
            detect_port=usual["detect"] if detect_port is None else detect_port,
            detect_tls_port=usual["detect_tls"] if detect_tls_port is None else detect_tls_port,
            camera_port=usual["camera"] if camera_port is None else camera_port,
            announces=announce,
            announce_every=announce_every,
            speed=speed,
            faults=faults,
            state_dir=state_dir,
            on_news=lambda sentence: click.echo(sentence, err=True),
        )
    except (UsageError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    keeps = state_dir is not None
    try:
        asyncio.run(_serve(printer, keeps=keeps, announces=announce))
    except OSError as error:
        raise click.ClickException(_cannot_listen(bind, error)) from error


def _usual_ports(model: str, *, are_real: bool) -> dict[str, int]:
    """Return the port of each service where none is given; 0 is a free one. Raises UsageError."""
    from bambu_connector.bambu.detect import PLAIN_PORT, TLS_PORT
    from bambu_connector.virtual.camera import REAL_PORTS, wire_of
    from bambu_connector.virtual.models import find_model

    camera = REAL_PORTS[wire_of(find_model(model))]
    real = {"mqtt": 8883, "ftps": 990, "detect": PLAIN_PORT, "detect_tls": TLS_PORT, "camera": camera}
    return real if are_real else dict.fromkeys(real, 0)


def _cannot_listen(bind: str, error: OSError) -> str:
    told = f"cannot listen on {bind}: {os.strerror(error.errno or 0)}"
    if isinstance(error, PermissionError):
        told += "; ports below 1024, such as 990 and 322, are for root, or for who has the capability net_bind_service"
    return told


def _print_faults() -> None:
    from bambu_connector.virtual.faults import FAULTS

    width = max(map(len, FAULTS)) + 2
    for name, fault in FAULTS.items():
        click.echo(f"{name:<{width}}{fault.what}{fault.shown_default and f' (default {fault.shown_default})'}")


async def _serve(printer: "VirtualPrinter", *, keeps: bool, announces: bool) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with printer:
        click.echo(_item(printer, keeps=keeps), nl=False)
        click.echo(_way_in(printer, announces=announces), err=True)
        click.echo(f"ready: {printer.model.name} {printer.serial}; stop it with Ctrl-C", err=True)
        await stop.wait()
    click.echo("stopped", err=True)


def _item(printer: "VirtualPrinter", *, keeps: bool) -> str:
    """Return the printer as an item of the list `printers:` in connector.yaml.

    The file of its authority is named only when it stays: without it the certificate is pinned at first contact.
    """
    import yaml

    item: dict[str, object] = {
        "serial": printer.serial,
        "name": printer.name,
        "model": printer.model.name,
        "host": printer.host,
        "access_code": printer.access_code.reveal(),
    }
    if ports := _unusual_ports(printer):
        item["ports"] = ports
    if keeps:
        item["tls"] = {"ca_file": str(printer.authority_file.resolve())}
    text: str = yaml.safe_dump([item], sort_keys=False, allow_unicode=True)
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))


def _unusual_ports(printer: "VirtualPrinter") -> dict[str, int]:
    """Return the ports that a configuration has to name."""
    from dataclasses import asdict

    from bambu_connector.config.tree import Ports

    usual = asdict(Ports())
    return {wire: port for wire, port in printer.ports.items() if usual.get(wire, port) != port}


def _way_in(printer: "VirtualPrinter", *, announces: bool) -> str:
    """Return the sentence that says what to do with the item, and how to do without."""
    ports = "".join(f" --port {wire}={port}" for wire, port in _unusual_ports(printer).items())
    paste = "put this under `printers:` in connector.yaml"
    if announces:
        return f"{paste}, or let `bambu-connector pair {printer.serial}{ports}` find it"
    return f"{paste}, or add it with `bambu-connector pair {printer.host} --serial {printer.serial}{ports}`"
