"""What is known of printers here, also before there is any connector.yaml: pairing is the first thing people do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bambu_connector.config import Config, PrinterConfig, default, locate
from bambu_connector.config.merging import merged
from bambu_connector.config.places import VARIABLE
from bambu_connector.errors import ConfigError

if TYPE_CHECKING:
    from bambu_connector.cli.main import Settings
    from bambu_connector.registry import Paired


@dataclass(frozen=True, slots=True)
class Records:
    """`written` is what connector.yaml says, `known` what pairing knows, `config` both together."""

    written: Config
    known: "Mapping[str, Paired]"
    config: Config

    def printer(self, serial: str | None) -> PrinterConfig | None:
        """Return what holds for a printer."""
        return next((each for each in self.config.printers if each.serial == serial), None)

    def by_hand(self, serial: str) -> PrinterConfig | None:
        """Return what connector.yaml says of it."""
        return next((each for each in self.written.printers if each.serial == serial), None)


def records(settings: "Settings") -> Records:
    """Return what is known here; without a connector.yaml, unless one was named, what holds without one.

    Raises ConfigError for a file that is there and cannot be used.
    """
    if _there_is_none(settings):
        from bambu_connector.registry import Registry

        written = default(settings.environ)
        known = Registry(written.connector.state_dir).entries()
    else:
        written, known = settings.sources()
    return Records(written, known, merged(written, known))


def _there_is_none(settings: "Settings") -> bool:
    if settings.config_file is not None or settings.environ.get(VARIABLE):
        return False
    try:
        locate(None, settings.environ)
    except ConfigError:
        return True
    return False
