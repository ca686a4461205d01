"""The command line: options that all commands share, and the one place where errors become exit codes."""

import contextlib
import errno
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from bambu_connector.cli.output import OutputFailed, abandon_stdout, guarded_stdout
from bambu_connector.errors import ConnectorError

if TYPE_CHECKING:
    from bambu_connector.config import Config
    from bambu_connector.logs import Redactor

_COMMANDS: Final[Mapping[str, str]] = {  # what `--help` says of each, without importing it
    "run": "Run the service until SIGTERM or Ctrl-C.",
    "status": "Show what one printer or all are doing.",
    "send": "Send one command to a printer.",
    "printers": "List the configured printers.",
    "check": "Validate the configuration.",
    "virtual-printer": "Simulate a printer to try things on.",
    "demo": "Show a whole print, on this machine alone.",
}
_INTERRUPTED: Final = 130


@dataclass(slots=True)
class Settings:
    """What the options before the command say."""

    config_file: Path | None = None
    log_level: str = "info"
    log_format: Literal["text", "json"] = "text"
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def load(self) -> "Config":
        """Return the configuration; raises ConfigError."""
        from bambu_connector.config import load, locate

        return load(locate(self.config_file, self.environ), self.environ)

    def configure_logs(self, config: "Config | None" = None, *, quiet: bool = False) -> "Redactor":
        """Send the log to stderr, every secret of the configuration blotted out; `quiet` for commands with a result."""
        from bambu_connector.logs import Redactor, configure

        redactor = Redactor(config.secrets() if config else ())
        level = "error" if quiet and self.log_level == "info" else self.log_level
        return configure(level, self.log_format, redactor=redactor)


class LateGroup(click.Group):
    """A group whose commands are imported when they are asked for: `--help` and `run` load no more than they need."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of the README."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: Any = getattr(importlib.import_module(f"bambu_connector.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="connector.yaml; default: looked for.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.version_option(package_name="bambu-connector")
@click.pass_context
def cli(ctx: click.Context, config_file: Path | None, log_level: str, log_format: Literal["text", "json"]) -> None:
    """Bambu Lab printers in LAN-only mode, in the hands of Printago."""
    ctx.obj = Settings(config_file, log_level, log_format)


def main() -> None:
    """Run the command line; ends the process."""
    with guarded_stdout(), accidents_are_logged():
        sys.exit(_ended())


def _ended() -> int:
    """Run the command and return the exit code."""
    try:
        code = cli(standalone_mode=False)  # what a command ends with; click hands the code of its Exit on like this
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except OutputFailed as error:
        abandon_stdout()
        if error.errno != errno.EPIPE:  # a reader that went away does not want to know
            click.echo(f"bambu-connector: The output cannot be written: {error.strerror}.", err=True)
        return 1
    except ConnectorError as error:
        click.echo(f"bambu-connector: {error}", err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - Python would print it, with whatever secret is in its text
        return _accident(error)
    return code if isinstance(code, int) else 0


def _accident(error: BaseException) -> int:
    """Log what nobody expected, secrets taken out; return the exit code."""
    import logging

    if not logging.getLogger().handlers:  # it happened before the configuration was read
        Settings().configure_logs()
    logging.getLogger(__name__).critical("this should not have happened: please report it", exc_info=error)
    return 1


@contextlib.contextmanager
def accidents_are_logged() -> Iterator[None]:
    """Send what goes wrong in threads and destructors to the log, which takes the secrets out."""
    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda found: None if found.exc_value is None else _told(found.exc_value)
    sys.unraisablehook = lambda found: None if found.exc_value is None else _told(found.exc_value)
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before


def _told(error: BaseException) -> None:
    _accident(error)
