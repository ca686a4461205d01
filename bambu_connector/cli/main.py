"""The command line: options that all commands share, and the one place where errors become exit codes."""

import contextlib
import errno
import importlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from bambu_connector.cli.output import OutputFailed, abandon_stdout, guarded_stdout, legible
from bambu_connector.errors import ConfigError, ConnectorError

if TYPE_CHECKING:
    from bambu_connector.config import Config
    from bambu_connector.logs import Redactor
    from bambu_connector.registry import Paired

_COMMANDS: Final[Mapping[str, str]] = {  # what `--help` says of each, without importing it
    "discover": "Find the printers in the network.",
    "pair": "Pair printers: only their access codes are asked for.",
    "unpair": "Forget a printer.",
    "run": "Run the service until SIGTERM or Ctrl-C.",
    "status": "Show what one printer or all are doing.",
    "send": "Send one command to a printer.",
    "printers": "List the configured printers.",
    "check": "Validate the configuration.",
    "doctor": "Find out what does not work, and what to do.",
    "record": "Record what a printer says, for the support of its model.",
    "virtual-printer": "Simulate a printer to try things on.",
    "demo": "Show a whole print, on this machine alone.",
}
_INTERRUPTED: Final = 130
PAIRED_ARE_MISSING: Final = "printers that are only paired are missing here"
"""A part of the warning that this user may not see which printers are paired."""


@dataclass(slots=True)
class Settings:
    """What the options before the command say."""

    config_file: Path | None = None
    log_level: str = "info"
    log_format: Literal["text", "json"] = "text"
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _warned: set[str] = field(default_factory=set, init=False)

    def load(self) -> "Config":
        """Return the configuration, with the printers that are paired; raises ConfigError."""
        from bambu_connector.config.merging import merged

        return merged(*self.sources())

    @property
    def names_a_file(self) -> bool:
        """Whether a configuration was named: then it must be there."""
        from bambu_connector.config.places import VARIABLE

        return self.config_file is not None or bool(self.environ.get(VARIABLE))

    def sources(self, *, needs_file: bool = True) -> "tuple[Config, Mapping[str, Paired]]":
        """Return what connector.yaml says, with the warnings about both files, and what pairing knows, by serial.

        Without a connector.yaml, where none was named: the defaults, if printers are paired or `needs_file` is not so.
        """
        from bambu_connector.registry import Registry

        written = self._written(needs_file=needs_file)
        registry = Registry(written.connector.state_dir)
        try:
            known, warnings = registry.entries(), registry.warnings()
        except ConfigError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            # The service's group may use its socket, and not look into its files.
            owner = owner_of(written.connector.state_dir)
            known, warnings = {}, (f"{error}; {PAIRED_ARE_MISSING}. To see them, run this as {owner}",)
        return replace(written, warnings=(*written.warnings, *warnings)), known

    def _written(self, *, needs_file: bool) -> "Config":
        from bambu_connector.config import default, load, locate
        from bambu_connector.config.merging import REGISTRY_FILE

        try:
            path = locate(self.config_file, self.environ)
        except ConfigError:
            here = default(self.environ)
            is_enough = not needs_file or (here.connector.state_dir / REGISTRY_FILE).exists()
            if self.names_a_file or not is_enough:
                raise
            return here
        return load(path, self.environ)

    def warn(self, warnings: Iterable[str]) -> None:
        """Print each of these warnings on stderr, unless it stands there already."""
        for each in warnings:
            if each not in self._warned:
                self._warned.add(each)
                click.echo(legible(f"warning: {each}"), err=True)

    def require_file(self) -> None:
        """Raise ConfigError when there is no connector.yaml, with the places where it was looked for."""
        from bambu_connector.config import locate

        locate(self.config_file, self.environ)

    def configure_logs(self, config: "Config | None" = None, *, quiet: bool = False) -> "Redactor":
        """Send the log to stderr, every secret of the configuration blotted out; `quiet` for commands with a result.

        Those commands also warn of printers that this user may not see.
        """
        from bambu_connector.logs import Redactor, configure

        if quiet and config is not None:
            self.warn(each for each in config.warnings if PAIRED_ARE_MISSING in each)
        redactor = Redactor(config.secrets() if config else ())
        level = "error" if quiet and self.log_level == "info" else self.log_level
        return configure(level, self.log_format, redactor=redactor)


def owner_of(folder: Path) -> str:
    """Return who a folder belongs to, as it is said to a person."""
    try:
        user = folder.stat().st_uid
    except OSError:
        return "the user that the service runs as"
    name = user_name(user)
    return f"the user {name}" if name is not None else f"the user with the number {user}"


def user_name(number: int) -> str | None:
    """Return what a user is called, None where nobody says."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return None


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
    type=click.Path(path_type=Path, readable=False),  # that it cannot be read is said as what else is wrong with it
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
        click.echo(f"bambu-connector: {legible(str(error))}", err=True)
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
