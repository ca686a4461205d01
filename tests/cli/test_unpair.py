"""`unpair`: what pairing knew is forgotten; what stands in connector.yaml stays."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret
from tests.cli.pairing_bench import Box, box
from tests.e2e.bench import Workshop

SERIAL = "01P00A000000042"
PIN = f"sha256:{'ab' * 32}"


@pytest.fixture
def home(workshop: Workshop, tmp_path: Path) -> Iterator[Box]:
    with box(workshop, tmp_path) as made:
        yield made


def pair(home: Box) -> None:
    """Have a printer stored, as pairing does."""
    paired = Paired(
        serial=SERIAL, id="left", name="Left", host="192.0.2.9", access_code=Secret("12345678"), is_paired=True,
        fingerprint=PIN,
    )  # fmt: skip
    Registry(home.state_dir).store(paired)


def write(home: Box, **entry: str) -> None:
    """Have a connector.yaml with this printer."""
    config = {
        "connector": {"id": "t", "state_dir": str(home.state_dir)},
        "printers": [{"serial": SERIAL, **entry}],
    }
    path = Path(home.home, "connector.yaml")
    path.touch(0o600)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("name", ["left", "Left", SERIAL])
def test_a_printer_is_forgotten_by_any_of_its_names_without_being_contacted(home: Box, name: str) -> None:
    pair(home)
    done = home.run("unpair", name)
    assert done.stdout == "Left is unpaired: its access code and its certificate are forgotten.\n"
    assert Registry(home.state_dir).entries() == {}


def test_what_connector_yaml_has_stays_and_that_is_said(home: Box) -> None:
    pair(home)
    write(home, name="Mine")
    done = home.run("unpair", "Mine")
    assert "Its entry in" in done.stdout
    assert Registry(home.state_dir).entries() == {}


def test_a_printer_of_connector_yaml_alone_has_nothing_to_forget(home: Box) -> None:
    write(home, name="Mine")
    assert "remove it there" in home.run("unpair", "Mine").stdout


def test_a_pin_alone_is_forgotten_as_well(home: Box) -> None:
    Registry(home.state_dir).learn(SERIAL, fingerprint=PIN)
    home.run("unpair", SERIAL)
    assert Registry(home.state_dir).entries() == {}


def test_who_is_not_known_is_wrong_usage(home: Box) -> None:
    assert "no printer" in home.run("unpair", "nobody", code=2).stderr
