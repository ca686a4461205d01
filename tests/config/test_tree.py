from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from bambu_connector.config.tree import Config, Connector, Printago, PrinterConfig
from bambu_connector.secret import Secret


def test_a_config_knows_all_of_its_secrets() -> None:
    config = Config(
        connector=Connector("shop", Path("/state")),
        printago=Printago(host="h", port=1, tls=None, username="u", password=Secret("password"), client_id="c"),
        printers=(
            PrinterConfig(serial="A", id="a", access_code=Secret("12345678")),
            PrinterConfig(serial="B", id="b"),
        ),
    )
    assert config.secrets() == (Secret("12345678"), Secret("password"))
    assert "12345678" not in repr(config)


def test_a_config_cannot_be_changed() -> None:
    connector = Connector("shop", Path("/state"))
    with pytest.raises(FrozenInstanceError):
        connector.id = "other"  # type: ignore[misc]
