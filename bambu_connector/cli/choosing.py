"""Choosing from the printers that announce themselves and are not paired yet."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import click

from bambu_connector.cli.asking import Person
from bambu_connector.cli.candidates import Candidate
from bambu_connector.cli.locating import HEARD_S, listening
from bambu_connector.cli.sightings import Ours, Sightings
from bambu_connector.cli.without_config import Records
from bambu_connector.errors import Unreachable

FIRST_LOOK_S: Final = 6.0  # the pace of an announcement, and the answers to a search come sooner
_STEP_S: Final = 0.25
_WORDS: Final = {"lan": "LAN", "cloud": "cloud"}
Tree = dict[str, Any]


def choose(records: Records, person: Person) -> tuple[Candidate, ...]:
    """Listen, show what is not paired, and return what is chosen. Raises Unreachable when nothing was found."""
    sightings = Sightings()
    while True:
        click.echo("Listening for printers…", err=True)
        asyncio.run(_listen(sightings, records))
        rows = not_paired(sightings, records)
        if not rows:
            count = len(sightings.rows(Ours()))
            if count:
                click.echo(f"{count} printers announce themselves, and all of them are paired already.", err=True)
            else:
                click.echo(f"No printer announced itself in {HEARD_S:.0f} s.", err=True)
            if not person.wants_to_look_again():
                raise Unreachable(
                    "Nothing was chosen. `bambu-connector discover` says why none may be found; with its address (on"
                    " its screen) a printer is paired with `bambu-connector pair ADDRESS`."
                )
            continue
        _show(rows)
        for note in sightings.contested():
            click.echo(f"note: {note}", err=True)
        indices = person.chooses(len(rows))
        if indices is not None:
            return tuple(_candidate(rows[index], records) for index in indices)


async def _listen(sightings: Sightings, records: Records) -> None:
    """Listen a while; longer as long as nothing that is not paired was heard."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with listening(sightings.hear):
        while loop.time() - began < HEARD_S:
            await asyncio.sleep(_STEP_S)
            if loop.time() - began >= FIRST_LOOK_S and not_paired(sightings, records):
                return


def not_paired(sightings: Sightings, records: Records) -> list[Tree]:
    """Return the rows of what was heard and has no access code here."""
    ours = Ours(
        paired=frozenset(each.serial for each in records.config.printers if each.access_code is not None),
        names={each.serial: each.name for each in records.config.printers},
    )
    return [row for row in sightings.rows(ours) if not row["paired"]]


def _candidate(row: Tree, records: Records) -> Candidate:
    """Return who is meant, with the name that it announces unless its owner has given it one here."""
    configured = records.printer(row["serial"])
    name = None if configured is not None and configured.name else row["name"]
    return Candidate(
        serial=row["serial"], host=row["host"], name=name, connection=row["connection"], firmware=row["firmware"]
    )


def _show(rows: Sequence[Tree]) -> None:
    from bambu_connector.cli.presenting import Column, show_table

    columns = (
        Column("", whole=True),
        Column("name", whole=True),
        Column("model", rank=2),
        Column("serial", whole=True),
        Column("address", whole=True),
        Column("connection", rank=1),
    )
    cells = [
        (
            str(number),
            row["name"] or "?",
            row["model"].removeprefix("Bambu Lab "),
            row["serial"],
            row["host"],
            _WORDS.get(row["connection"], "?"),
        )
        for number, row in enumerate(rows, 1)
    ]
    show_table(columns, cells)
