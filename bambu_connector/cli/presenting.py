"""What people see: tables and bars, with rich, which is loaded only when something is shown."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from bambu_connector.cli.output import legible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

Tree = dict[str, Any]
_FILE_WIDTH: Final = 240
_GAP: Final = 2  # between two columns
_LEGIBLE: Final = 12  # narrower no text that is wrapped is made: what is left of words says nothing


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `whole`: nothing in it is wrapped or cut.

    Where there is no room for all columns the one with the highest `rank` goes first, and those with 0 stay.
    """

    heading: str
    whole: bool = False
    rank: int = 0


_COLUMNS: Final = (
    Column("printer", whole=True),
    Column("model", rank=6),
    Column("link", whole=True),
    Column("state"),
    Column("progress", whole=True, rank=2),
    Column("left", whole=True, rank=3),
    Column("nozzle", whole=True, rank=7),
    Column("bed", whole=True, rank=8),
    Column("job", rank=5),
    Column("errors", rank=4),
)


class JobBar:
    """A bar for a job on stderr, that appears with the first progress."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, progress: Tree) -> None:
        """Show the stage and the percent of the whole job."""
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description:>8}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
            screen = Console(stderr=True)
            self._progress = Progress(
                *columns, TimeElapsedColumn(), console=screen, transient=True, disable=not screen.is_terminal
            )
            self._task = self._progress.add_task("job", total=100)
            self._progress.start()
        assert self._task is not None
        self._progress.update(self._task, completed=progress["percent"], description=progress["stage"])


def console() -> "Console":
    """Return where tables go: as wide as the terminal, and without a limit that hurts in a file or a pipe."""
    from rich.console import Console

    # Names come from people and from the network: what looks like rich's markup in them is none.
    return Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else _FILE_WIDTH, markup=False, emoji=False, highlight=False
    )


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> "Table":
    """Return a table with as many of the columns as there is room for."""
    from rich.table import Table
    from rich.text import Text

    kept = _kept(columns, rows, width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index in kept:
        whole = columns[index].whole
        table.add_column(columns[index].heading, no_wrap=whole, overflow="ellipsis" if whole else "fold")
    for row in rows:
        table.add_row(*(Text(legible(row[index])) for index in kept))  # as text: rich has a markup
    return table


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; on a terminal that is too narrow for what stays whole, the terminal wraps the lines."""
    screen = console()
    needed = _width(_kept(columns, rows, screen.width), columns, rows)
    screen.width = max(screen.width, needed)
    screen.print(fitted(columns, rows, screen.width))


def _kept(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the indices of the columns that there is room for."""
    kept = list(range(len(columns)))
    while _width(kept, columns, rows) > width:
        last = max(kept, key=lambda index: columns[index].rank)
        if not columns[last].rank:
            break
        kept.remove(last)
    return kept


def _width(kept: Sequence[int], columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """Return how much room these columns need at least."""
    from rich.cells import cell_len

    total = _GAP * (len(kept) - 1)
    for index in kept:
        column = columns[index]
        widest = max(cell_len(text) for text in (column.heading, *(row[index] for row in rows)))
        total += widest if column.whole else min(widest, max(_LEGIBLE, len(column.heading)))
    return total


def names_of(statuses: Tree) -> dict[str, str]:
    """Return what printers are called, by the keys of the mapping; the serial goes with a name that several have."""
    links = {key: data["machines"][0]["connection_info"] for key, data in statuses.items()}
    counts = Counter(link["dev_name"] for link in links.values())
    return {
        key: f"{link['dev_name']} ({link['dev_id']})" if counts[link["dev_name"]] > 1 else link["dev_name"]
        for key, link in links.items()
    }


def status_table(statuses: Tree, width: int = _FILE_WIDTH) -> "Table":
    """Return one row for each printer of a mapping of statuses, with the columns that there is room for."""
    names = names_of(statuses)
    return fitted(_COLUMNS, [(names[key], *_row(data)) for key, data in statuses.items()], width)


def show_statuses(statuses: Tree) -> None:
    """Print the table of a mapping of statuses."""
    names = names_of(statuses)
    show_table(_COLUMNS, [(names[key], *_row(data)) for key, data in statuses.items()])


def _row(data: Tree) -> tuple[str, ...]:
    machine, process = data["machines"][0], data["process"]
    current, link = machine["current"], machine["connection_info"]
    heat = current["temperatures"]
    job = current["task_name"] if machine["state"]["is_in_printing"] else ""
    if process["job_state"] != "idle":
        job = f"{process['job_state']} {process['job_progress']} %"
    health = machine["health"]
    return (
        machine["hardware"]["dev_display_name"].removeprefix("Bambu Lab "),
        _link(link),
        _text(current["activity"] or current["print_status"]),
        _percent(machine),
        _minutes(current["print_time_left"]) if machine["state"]["is_in_printing"] else "",
        _heat(heat["nozzle_temp"], heat["nozzle_temp_target"]),
        _heat(heat["bed_temp"], heat["bed_temp_target"]),
        _text(job or ""),
        ", ".join(each["code"] for each in (*health["errors"], *health["warnings"])),
    )


def _text(value: str | None) -> str:
    return "?" if value is None else value


def _link(link: Tree) -> str:
    if link["has_access_right"] is False:
        return "code refused"
    if link["verified"] is False and not link["is_connected"]:
        return "not trusted"
    if link["is_online"]:
        return "watched only" if link["developer_mode"] is False else "online"
    if link["is_connected"]:
        return "silent"
    return "connecting" if link["is_connecting"] else "offline"


def _percent(machine: Tree) -> str:
    current = machine["current"]
    if not machine["state"]["is_in_printing"] or current["print_percent"] is None:
        return ""
    layers = f" ({current['curr_layer']}/{current['total_layers']})" if current["total_layers"] else ""
    return f"{current['print_percent']} %{layers}"


def _minutes(seconds: int | None) -> str:
    return "" if seconds is None else f"{seconds // 3600}:{seconds // 60 % 60:02} h"


def _heat(current: int | None, target: int | None) -> str:
    if current is None:
        return "?"
    return f"{current}/{target} °C" if target else f"{current} °C"
