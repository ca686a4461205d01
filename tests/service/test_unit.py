"""One printer with all that belongs to it: what a change costs, and how it ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.models import Model
from bambu_connector.config import PrinterTls
from bambu_connector.config.tree import Ports
from bambu_connector.errors import AccessDenied
from bambu_connector.secret import Secret
from bambu_connector.service.unit import at, identity_of, missing_of
from tests.service.bench import bench, pass_time, printer_config
from tests.simulated import simulated, until

SERIAL = "01P00A000000001"
PIN = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "change",
    [
        {"access_code": Secret("87654321")},
        {"ports": Ports(mqtt=18883)},
        {"tls": PrinterTls(fingerprint=PIN)},
        {"host": "192.0.2.200"},
    ],
    ids=str,
)
@simulated
async def test_what_a_session_is_made_with_makes_it_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    async with bench(tmp_path) as b:
        b.unit.change(replace(b.unit.config, **change))
        await until(lambda: [each.is_open for each in b.printer.connections] == [False, True], within=5)
        _, used = b.wires.asked[-1]
        assert all(getattr(used, key) == value for key, value in change.items())


@simulated
async def test_the_address_at_which_it_is_connected_already_is_no_change(tmp_path: Path) -> None:
    async with bench(tmp_path, host=None, ready=False) as b:
        await until(lambda: b.wires.heard.is_open)
        b.wires.heard.announce(b.printer.serial, "192.0.2.7")
        await b.until_ready()
        b.unit.change(replace(b.unit.config, host="192.0.2.7"))
        await pass_time(60)
        assert [each.is_open for each in b.printer.connections] == [True]


@simulated
async def test_an_explicit_pin_that_becomes_the_remembered_one_is_no_change(tmp_path: Path) -> None:
    async with bench(tmp_path, tls=PrinterTls(fingerprint=PIN)) as b:
        b.unit.change(replace(b.unit.config, tls=PrinterTls()))
        await pass_time(60)
        assert [each.is_open for each in b.printer.connections] == [True]


@simulated
async def test_a_new_code_ends_the_wait_after_a_refused_one(tmp_path: Path) -> None:
    async with bench(tmp_path, ready=False) as b:
        b.printer.refusals = [AccessDenied("wrong code")]
        await until(lambda: b.unit.printer.link_error)
        b.unit.change(replace(b.unit.config, access_code=Secret("87654321")))
        await until(lambda: b.printer.is_connected, within=1)


def test_a_printer_without_a_code_misses_it_and_one_without_an_address_misses_nothing() -> None:
    missing = missing_of(printer_config(SERIAL, access_code=None))
    assert missing is not None
    assert f"bambu-connector pair {SERIAL}" in str(missing)
    assert missing_of(printer_config(SERIAL, host=None)) is None


def test_its_model_is_the_configured_one_else_that_of_its_serial() -> None:
    assert identity_of(printer_config(SERIAL)).model is Model.P1S
    named = identity_of(printer_config(SERIAL, model="A1 mini"))
    assert (named.model, named.model_is_given) == (Model.A1_MINI, True)


def test_where_it_is_stands_in_for_what_is_configured() -> None:
    config = printer_config(SERIAL)
    assert at(config, config.host) is config
    assert at(config, "192.0.2.9").host == "192.0.2.9"
