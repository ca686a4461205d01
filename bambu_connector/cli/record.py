"""`bambu-connector record`: what a printer says, as a folder that can be given away."""

import asyncio
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from bambu_connector.cli.main import Settings
from bambu_connector.errors import ConnectorError, Internal, UsageError

if TYPE_CHECKING:
    from bambu_connector.config import Config, PrinterConfig

_INTERRUPTED: Final = 130
Tree = dict[str, Any]


@click.command()
@click.argument("printer")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="A folder that is empty or does not exist yet.",
)
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=60, show_default=True, help="How long to listen to it."
)
@click.option("--note", default="", metavar="TEXT", help="What it was doing, or what is odd about it.")
@click.pass_obj
def record(settings: Settings, printer: str, folder: Path, seconds: float, note: str) -> None:
    """Record what PRINTER (its id, serial or name) says, for the support of its model.

    Serials, addresses, names and everything else that tells printers and people apart is replaced. Nothing is sent to
    the printer but two questions: for a full report, and for its versions. Ctrl-C ends it early and keeps what was
    heard.
    """
    config = settings.load()
    settings.configure_logs(config, quiet=True)
    with reserved(folder):
        recording = _recorded(config, printer, {"do": "record", "seconds": seconds, "note": note})
        _keep(recording, folder, config)


def _recorded(config: "Config", printer: str, request: Tree) -> Tree:
    """Return the recording, also one that Ctrl-C ended early; raises Exit when that was too early."""
    try:
        recording = _show_progress(_answers(config, printer, request))
    except KeyboardInterrupt:
        click.echo("Nothing was kept.", err=True)
        raise click.exceptions.Exit(_INTERRUPTED) from None
    if recording is None:
        click.echo("Nothing was kept: the printer had not told its state and its versions yet.", err=True)
        raise click.exceptions.Exit(_INTERRUPTED)
    return recording


def _keep(recording: Tree, folder: Path, config: "Config") -> None:
    """List the files and write them."""
    from bambu_connector.service.recording import has_secret

    files: Mapping[str, str] = recording["files"]
    if has_secret(files, config.secrets()):
        raise Internal("A secret of the configuration is in the recording, so it is not written. Please report this.")
    kind = "a virtual printer" if recording["source"] == "virtual" else "a real printer"
    click.echo(f"{recording['model']}, {kind}, redacted:")
    for name, text in files.items():
        click.echo(f"  {len(text.encode()):>9,} bytes  {name}")
    write(folder, files)
    click.echo(f"Written to {folder}. Please look through it before you give it to anybody.")


def refuse_occupied(folder: Path) -> None:
    """Raise UsageError unless `folder` is an empty one, or not there at all."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is there already: name a new folder, or an empty one.")
    except OSError as error:
        raise ConnectorError(f"{folder} cannot be looked into: {error.strerror}.") from error


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Make the folder, and remove it again when the block fails; raises UsageError, and ConnectorError without one.

    It is tried before the printer is listened to: an hour's recording should have a place.
    """
    refuse_occupied(folder)
    fresh = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConnectorError(f"{folder} cannot be written: {error.strerror}.") from error
        yield
    except BaseException:
        with suppress(OSError):  # somebody has put something into it
            for each in fresh:
                each.rmdir()
        raise


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files; raises ConnectorError when that cannot be, and UsageError when there are some by now."""
    refuse_occupied(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with (folder / Path(name).name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConnectorError(f"{folder} cannot be written: {error.strerror}.") from error


def _answers(config: "Config", name: str, request: Tree) -> Iterator[Tree]:
    from bambu_connector.cli.alone import find_printer
    from bambu_connector.cli.service_client import Service
    from bambu_connector.cli.stepping import stepped

    printer = find_printer(config, name)
    service = Service.find(config.connector.state_dir)
    if service is None:
        yield from stepped(_record_alone(config, printer, request))
        return
    name = secrets.token_hex(16)
    with closing(service), on_interrupt(lambda: _end_in_service(config, name)):
        yield from service.ask({**request, "printer": printer.serial, "id": name})


def _end_in_service(config: "Config", name: str) -> None:
    """Ask on a connection of its own, for the service reads no further request while it answers one."""
    from bambu_connector.cli.service_client import Service

    service = Service.find(config.connector.state_dir)
    if service is None:
        raise KeyboardInterrupt
    with closing(service):
        for answer in service.ask({"do": "record", "end": name}):
            if not answer.get("ended"):  # it has not begun
                raise KeyboardInterrupt


@contextmanager
def on_interrupt(end: Callable[[], None]) -> Iterator[None]:
    """Call `end` at the first Ctrl-C in the block; a second one interrupts."""
    before = signal.getsignal(signal.SIGINT)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        end()

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _record_alone(config: "Config", printer: "PrinterConfig", request: Tree) -> AsyncIterator[Tree]:
    from bambu_connector.cli.alone import farm_alone
    from bambu_connector.service.recording import answers

    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, ended.set)
    try:
        async with farm_alone(config, (printer,)) as farm:
            async for each in answers(farm, {**request, "printer": printer.serial}, owner=config, ended=ended):
                yield each
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _show_progress(answers: Iterator[Tree]) -> Tree | None:
    """Show a bar on stderr while it is recorded; return the recording, None when it was ended before there was any."""
    from bambu_connector.cli.presenting import JobBar

    with JobBar() as bar:
        for each in answers:
            if "recording" in each:
                recording: Tree | None = each["recording"]
                return recording
            bar.show(each["progress"])
    raise AssertionError("a recording ended without an answer")
