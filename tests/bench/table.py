"""What a benchmark found, as rows of one table: ours, the floor of the same run, their ratio, and the goal."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. The goal is `at_most` times the floor, or `limit` in the row's own unit; neither: only told."""

    what: str
    unit: str
    ours: float
    floor: float | None = None
    at_most: float | None = None
    limit: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours in floors; None without a floor."""
        return self.ours / self.floor if self.floor else None

    @property
    def verdict(self) -> str:
        """`yes` or `no`; empty where there is no goal."""
        met = []
        if self.at_most is not None and self.ratio is not None:
            met.append(self.ratio <= self.at_most)
        if self.limit is not None:
            met.append(self.ours <= self.limit)
        return "" if not met else "yes" if all(met) else "no"


def rendered(rows: Iterable[Row]) -> str:
    """Return the rows as a table for a terminal."""
    lines = [("what", "ours", "floor", "ratio", "goal", "met", ""), *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    goals = []
    if row.at_most is not None:
        goals.append(f"{row.at_most:g} ×")
    if row.limit is not None:
        goals.append(f"{row.limit:g} {row.unit}")
    return (
        row.what,
        f"{_figure(row.ours)} {row.unit}",
        "" if row.floor is None else f"{_figure(row.floor)} {row.unit}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        ", ".join(goals),
        row.verdict,
        row.note,
    )


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{line[0]:<{widths[0]}}"]
    cells += [f"{cell:>{width}}" for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
    return "  ".join([*cells, line[-1]]).rstrip()


def interleaved(works: Sequence[Callable[[], object]], *, rounds: int, count: int) -> list[float]:
    """Return the median of µs a call for each of `works`, which take turns, so that a busy moment meets them all."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(taken, works, strict=True):
            began = perf_counter()
            for _ in range(count):
                work()
            times.append((perf_counter() - began) / count * 1e6)
    return [statistics.median(times) for times in taken]


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the value that `percent` of the values do not exceed."""
    found = sorted(values)
    return found[min(len(found) - 1, len(found) * percent // 100)]
