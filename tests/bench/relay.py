"""The time through the whole service, on real brokers: a report's to its status, a command's to its request.

The floor hands the same messages on between the same brokers, with nothing between. The two take turns.
"""

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

from tests.bambu.reports import as_delta
from tests.bench.site import Site, is_complete, printer_id, serial
from tests.bench.table import Row, percentile

OURS, FLOOR = 0, 1
WARM_UP = 20
STATES = ("RUNNING", "PAUSE")


class Course:
    """A site with our service and the bare relay on it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = 0
        site.start_ours(site.configuration([OURS]))
        site.until_told([OURS])
        site.start_floor("relay", [FLOOR])
        site.until_told([FLOOR])

    def report(self, number: int, *, full: bool) -> float:
        """Change the state; return the seconds until Printago has it."""
        site = self._site
        state = STATES[self._turn // 2 % 2]
        self._turn += 1
        changes = {"gcode_state": state, "mc_percent": self._turn % 100}
        fields = site.report | changes if full else as_delta(**changes)
        word = f'"{state}"'.encode()
        arrived: list[float] = []

        def told(who: str, payload: bytes) -> None:
            if who == printer_id(number) and is_complete(payload) and word in payload and not arrived:
                arrived.append(perf_counter())

        site.on_told = told
        began = perf_counter()
        site.say(serial(number), fields)
        site.until(f"a status that says {state}", lambda: arrived)
        self._rest()
        return arrived[0] - began

    def command(self, number: int) -> float:
        """Send a command; return the seconds until the printer has its request."""
        site = self._site
        site.requests.clear()
        parameters = {"light": "chamber_light", "state": "on"}
        message: dict[str, Any] = {"type": "light_control", "action": "set_light", "parameters": parameters}
        began = perf_counter()
        site.command(printer_id(number), message)
        site.until("the request", lambda: site.requests)
        taken = perf_counter() - began
        self._rest()
        return taken

    def _rest(self) -> None:
        """Let answers and echoes pass, so that nothing of this turn is in the way of the next."""
        until = perf_counter() + 0.015
        while perf_counter() < until:
            self._site.step(0.005)


def _turns(course: Callable[[int], float], count: int) -> tuple[list[float], list[float]]:
    for number in (OURS, FLOOR) * WARM_UP:
        course(number)
    taken = [(course(OURS), course(FLOOR)) for _ in range(count)]
    return [ours * 1e6 for ours, _ in taken], [floor * 1e6 for _, floor in taken]


def measure(*, quick: bool) -> Iterator[Row]:
    """Yield the rows: reports as a P1 and as an X1 says them, then commands; each at the median and at p99."""
    count = 100 if quick else 500
    for name, model, full in (("P1 delta", "P1S", False), ("X1 full report", "X1C", True)):
        with Site(model) as site:
            course = Course(site)
            yield from _rows(f"{name} to status", _turns(lambda n: course.report(n, full=full), count), 1.15)  # noqa: B023
            if not full:
                yield from _rows("command to request", _turns(course.command, count), 1.3)


def _rows(what: str, taken: tuple[list[float], list[float]], at_most: float) -> Iterator[Row]:
    ours, floor = taken
    yield Row(what=f"{what}, p50", unit="µs", ours=median(ours), floor=median(floor), at_most=at_most)
    yield Row(what=f"{what}, p99", unit="µs", ours=percentile(ours, 99), floor=percentile(floor, 99))
