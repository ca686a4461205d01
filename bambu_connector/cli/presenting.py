"""What people see: tables and bars, with rich, which is loaded only when something is shown."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

Tree = dict[str, Any]
_FILE_WIDTH: Final = 240
_COLUMNS: Final = ("printer", "model", "link", "state", "progress", "left", "nozzle", "bed", "job", "errors")


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

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def status_table(statuses: Tree) -> "Table":
    """Return one row for each printer of a mapping of statuses."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, no_wrap=column in ("link", "progress", "left", "nozzle", "bed"))
    for data in statuses.values():
        table.add_row(*_row(data))
    return table


def _row(data: Tree) -> tuple[str, ...]:
    machine, process = data["machines"][0], data["process"]
    current, link = machine["current"], machine["connection_info"]
    heat = current["temperatures"]
    job = current["task_name"] if machine["state"]["is_in_printing"] else ""
    if process["job_state"] != "idle":
        job = f"{process['job_state']} {process['job_progress']} %"
    health = machine["health"]
    return (
        link["dev_name"],
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
        return "online"
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
