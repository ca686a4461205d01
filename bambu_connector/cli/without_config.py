"""What is known of printers here, also before there is any connector.yaml: pairing is the first thing people do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bambu_connector.config import Config, PrinterConfig
from bambu_connector.config.merging import merged

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
    written, known = settings.sources(needs_file=False)
    return Records(written, known, merged(written, known))
