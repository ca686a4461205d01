"""Many printers in one process: memory, threads, CPU, and how long it takes until each has a status.

The floor is paho in one loop, which tells the first report of each printer and then only listens. Both live on the same
brokers at the same time and get the same deltas: one a second from each printer, as a printing P1 says them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from tests.bambu.reports import as_delta
from tests.bench.site import Measured, Site, serial
from tests.bench.table import Row

FEW, SOME, MANY, CROWD = 10, 50, 200, 500
HEAVY = ("cv2", "numpy")
_BARE = "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One process with so many printers."""

    megabytes: float
    threads: int
    cpu_ms: float
    """For 1000 deltas."""
    connected_s: float
    """From its start until each printer has a status."""
    statuses: float
    """A second, of both processes together; the floor says none."""
    heavy: tuple[str, ...]


def as_printing(number: int, second: int) -> dict[str, Any]:
    """Return what a P1 says every second: heat and signal that flicker; every ten seconds it prints on."""
    jitter = (number * 7 + second * 13) % 7 / 10
    fields: dict[str, Any] = {"nozzle_temper": 219.7 + jitter, "bed_temper": 59.8 + jitter / 2}
    fields["wifi_signal"] = f"-{50 + (number + second) % 5}dBm"
    if (number + second) % 10 == 0:
        fields |= {"mc_percent": second % 100, "layer_num": second, "mc_remaining_time": 100 - second % 100}
    return as_delta(**fields)


def run(site: Site, count: int, seconds: int) -> tuple[Figures, Figures]:
    """Run both with `count` printers; return ours and the floor's."""
    numbers = range(count)
    began = monotonic()
    ours = site.start_ours(site.configuration(numbers, verify=False))
    site.until_told(numbers)
    connected = monotonic() - began
    began = monotonic()
    floor = site.start_floor("listen", numbers, _BARE)
    site.until_told(numbers, _BARE)
    bare_connected = monotonic() - began
    _print_on(site, count, 3)  # what is made once is made now
    before = (ours.cpu_s, floor.cpu_s, site.statuses)
    _print_on(site, count, seconds)
    spent = (ours.cpu_s - before[0], floor.cpu_s - before[1])
    statuses = (site.statuses - before[2]) / seconds
    thousands = count * seconds / 1000
    figures = (
        _figures(ours, spent[0] / thousands, connected, statuses),
        _figures(floor, spent[1] / thousands, bare_connected, 0.0),
    )
    ours.kill()
    floor.kill()
    return figures


def _figures(process: Measured, cpu_s: float, connected_s: float, statuses: float) -> Figures:
    return Figures(
        megabytes=process.kilobytes / 1024,
        threads=process.threads,
        cpu_ms=cpu_s * 1000,
        connected_s=connected_s,
        statuses=statuses,
        heavy=tuple(process.has_loaded(*HEAVY)),
    )


def _print_on(site: Site, count: int, seconds: int) -> None:
    began = monotonic()
    for turn in range(count * seconds):
        second, number = divmod(turn, count)
        site.say(serial(number), as_printing(number, second))
        while (wait := began + turn / count - monotonic()) > 0:
            site.step(wait)


def measure(*, quick: bool) -> Iterator[Row]:
    """Yield the rows of goals for many printers."""
    seconds = 10 if quick else 30
    found = {}
    for count in (FEW, SOME, MANY, CROWD):
        with Site("P1S") as site:
            found[count] = run(site, count, seconds)
    ours, floor = found[MANY]
    few, some = found[FEW], found[SOME]
    each = [
        (many.megabytes - fewer.megabytes) * 1024 / (MANY - SOME) for many, fewer in zip(found[MANY], some, strict=True)
    ]
    note = f"{ours.megabytes:.0f} MB with {MANY}"
    yield Row(what="memory for each further printer", unit="KB", ours=each[0], floor=each[1], limit=70, note=note)
    what = f"threads with {MANY} printers"
    yield Row(what=what, unit="", ours=ours.threads, floor=floor.threads, limit=12)
    note = f"{ours.statuses:.0f} statuses a second"
    yield Row(what="CPU for 1000 deltas", unit="ms", ours=ours.cpu_ms, floor=floor.cpu_ms, at_most=1.3, note=note)
    what = f"start to {MANY} printers with a status"
    yield Row(what=what, unit="s", ours=ours.connected_s, floor=floor.connected_s, at_most=2.0)
    crowd, listening = found[CROWD]
    what = f"memory with {CROWD} printers"
    yield Row(what=what, unit="MB", ours=crowd.megabytes, floor=listening.megabytes, limit=120)
    what = f"CPU of {CROWD} printers, of one core"
    share = [each.cpu_ms * CROWD / 1000 / 10 for each in (crowd, listening)]  # a delta a second each; ms a second to %
    yield Row(what=what, unit="%", ours=share[0], floor=share[1], limit=25)
    note = f"loaded: {', '.join(few[0].heavy) or 'neither cv2 nor numpy'}"
    what = f"memory with {FEW} printers"
    yield Row(what=what, unit="MB", ours=few[0].megabytes, floor=few[1].megabytes, limit=45, note=note)
