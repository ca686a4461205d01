"""`bambu-connector printers`: what is configured, and what is paired. Never a secret."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bambu_connector.cli.main import Settings
from bambu_connector.cli.output import show_json

if TYPE_CHECKING:
    from bambu_connector.config import Config, PrinterConfig
    from bambu_connector.registry import Paired

Tree = dict[str, Any]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an array.")
@click.pass_obj
def printers(settings: Settings, as_json: bool) -> None:
    """List the printers of connector.yaml and those that are paired."""
    written, known = settings.sources()
    settings.warn(written.warnings)
    rows = printer_rows(written, known)
    if as_json:
        show_json(rows)
        return
    _show(rows, known)


def _show(rows: "Sequence[Tree]", known: "Mapping[str, Paired]") -> None:
    from bambu_connector.cli.presenting import Column, show_table

    columns = {
        "name": Column("name", whole=True),
        "model": Column("model", rank=4),
        "serial": Column("serial", whole=True),
        "id": Column("id", whole=True, rank=2),
        "address": Column("address", whole=True),
        "code": Column("access code", rank=1),
        "trust": Column("trust", rank=5),
        "mode": Column("developer mode", rank=3),
        "from": Column("from", rank=6),
    }
    cells = [
        {
            "name": row["name"],
            "model": row["model"].removeprefix("Bambu Lab "),
            "serial": row["serial"],
            "id": row["id"] if row["id"] != row["serial"] else "",
            "address": row["host"] or "unknown",
            "code": "yes" if row["has_access_code"] else "missing",
            "trust": row["trust"],
            "mode": _mode(row, known.get(row["serial"])),
            "from": row["source"],
        }
        for row in rows
    ]
    if not any(each["id"] for each in cells):
        del columns["id"]
    show_table(tuple(columns.values()), [tuple(each[key] for key in columns) for each in cells])


def _mode(row: Tree, known: "Paired | None") -> str:
    """Return whether Developer Mode is on, or needed at all."""
    from bambu_connector.bambu.models import TRAITS, model_named, model_of_serial, signing_expected

    if row["developer_mode"] is not None:
        return "on" if row["developer_mode"] else "off"
    traits = TRAITS[model_named(row["model_code"] or "") or model_of_serial(row["serial"])]
    is_needed = signing_expected(traits, known.firmware if known else None)
    return "not needed" if is_needed is False else "unknown"


def printer_rows(written: "Config", known: Mapping[str, "Paired"]) -> list[Tree]:
    """Return one row for each printer of connector.yaml or of those that are paired. Raises ConfigError."""
    from bambu_connector.config.merging import merged
    from bambu_connector.registry import Paired

    by_hand = {each.serial for each in written.printers}
    return [
        _row(each, known.get(each.serial, Paired(serial=each.serial)), is_written=each.serial in by_hand)
        for each in merged(written, known).printers
    ]


def _row(printer: "PrinterConfig", known: "Paired", *, is_written: bool) -> Tree:
    from bambu_connector.bambu.models import TRAITS
    from bambu_connector.service.farm import identity_of

    tls = printer.tls
    pinned = tls.fingerprint or known.fingerprint
    trust = "not checked" if not tls.verify else "authority" if tls.ca_file else "pinned" if pinned else "first contact"
    traits = TRAITS[identity_of(printer).model]
    return {
        "id": printer.id,
        "name": printer.name or printer.serial,
        "serial": printer.serial,
        "model": traits.display_name,
        "model_code": traits.code or None,
        "host": printer.host,
        "has_access_code": printer.access_code is not None,
        "trust": trust,
        "fingerprint": pinned,
        "paired": known.is_paired,
        "developer_mode": known.developer_mode,
        "source": "paired" if not is_written else "both" if known.is_paired else "connector.yaml",
    }
