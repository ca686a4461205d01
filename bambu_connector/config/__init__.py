"""connector.yaml: found, read, checked, and turned into one frozen `Config`."""

from bambu_connector.config.loading import default, load
from bambu_connector.config.places import locate
from bambu_connector.config.tree import (
    BrokerTls,
    Config,
    Connector,
    Downloads,
    Listen,
    Ports,
    Printago,
    PrinterConfig,
    PrinterTls,
    Quirks,
    Status,
    Storage,
    Topics,
    Web,
)

__all__ = [
    "BrokerTls",
    "Config",
    "Connector",
    "Downloads",
    "Listen",
    "Ports",
    "Printago",
    "PrinterConfig",
    "PrinterTls",
    "Quirks",
    "Status",
    "Storage",
    "Topics",
    "Web",
    "default",
    "load",
    "locate",
]
