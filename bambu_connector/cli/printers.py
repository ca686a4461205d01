"""`bambu-connector printers`: what is configured. Never a secret."""

from typing import TYPE_CHECKING, Any

import click

from bambu_connector.cli.main import Settings
from bambu_connector.cli.output import show_json

if TYPE_CHECKING:
    from bambu_connector.config import Config

Tree = dict[str, Any]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print an array.")
@click.pass_obj
def printers(settings: Settings, as_json: bool) -> None:
    """List the configured printers."""
    config = settings.load()
    rows = printer_rows(config)
    if as_json:
        show_json(rows)
        return
    from rich.table import Table

    from bambu_connector.cli.presenting import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "model", "serial", "id", "address", "access code", "trust"):
        table.add_column(column)
    for row in rows:
        code = "yes" if row["has_access_code"] else "missing"
        table.add_row(row["name"], row["model"], row["serial"], row["id"], row["host"] or "unknown", code, row["trust"])
    console().print(table)


def printer_rows(config: "Config") -> list[Tree]:
    """Return one row for each printer."""
    from bambu_connector.bambu.models import TRAITS
    from bambu_connector.pins import PinStore
    from bambu_connector.service.farm import identity_of

    pins = PinStore(config.connector.state_dir / "printers.yaml")
    rows = []
    for each in config.printers:
        tls = each.tls
        pinned = tls.fingerprint or pins.fingerprint(each.serial)
        trust = (
            "not checked" if not tls.verify else "authority" if tls.ca_file else "pinned" if pinned else "first contact"
        )
        traits = TRAITS[identity_of(each).model]
        rows.append(
            {
                "id": each.id,
                "name": each.name or each.serial,
                "serial": each.serial,
                "model": traits.display_name,
                "model_code": traits.code or None,
                "host": each.host,
                "has_access_code": each.access_code is not None,
                "trust": trust,
                "fingerprint": pinned,
            }
        )
    return rows
