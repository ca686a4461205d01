"""How long a report takes from bytes to folded state, against the least that it can cost: `python -m tests.bench.fold`.

The floor is orjson and a plain deep merge that knows none of the rules. Medians of interleaved rounds.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import orjson

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.report import PushStatus, parse_report
from tests import captures
from tests.bambu.reports import as_delta, h2d, p1s, tray

ROUNDS = 61
Fields = dict[str, Any]

DELTA = as_delta(
    nozzle_temper=219.5,
    bed_temper=59.9,
    wifi_signal="-51dBm",
    mc_percent=41,
    mc_remaining_time=33,
    layer_num=81,
    cooling_fan_speed="12",
    big_fan1_speed="3",
    heatbreak_fan_speed="15",
    fan_gear=187,
    stg_cur=0,
    gcode_file_prepare_percent="0",
)
AMS_DELTA = as_delta(ams={"ams": [{"id": "0", "humidity": "3", "tray": [tray(1, remain=12)]}], "tray_now": "1"})


def plain_merge(old: Fields, new: Fields) -> Fields:
    """The floor: what every implementation does at the least."""
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        merged[key] = plain_merge(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return merged


def ours(base: Fields, raw: bytes) -> Fields | None:
    """Bytes to folded state as the service does it."""
    report = parse_report(raw)
    assert isinstance(report, PushStatus)
    return fold(base, report.fields)


def floor(base: Fields, raw: bytes) -> Fields:
    """Bytes to merged state."""
    return plain_merge(base, orjson.loads(raw)["print"])


def microseconds(work: Callable[[Fields, bytes], object], base: Fields, raw: bytes, count: int) -> float:
    """Return how long one call takes, of `count`."""
    began = time.perf_counter()
    for _ in range(count):
        work(base, raw)
    return (time.perf_counter() - began) / count * 1e6


def compare(name: str, base: Fields, raw: bytes, goal: float | None) -> None:
    """Print one line: both medians, their ratio, the goal."""
    count = max(20, 200_000 // len(raw))
    rounds = [(microseconds(ours, base, raw, count), microseconds(floor, base, raw, count)) for _ in range(ROUNDS)]
    mine, least = (statistics.median(column) for column in zip(*rounds, strict=True))
    aim = f"goal {goal}" if goal else ""
    print(f"{name:<34} {len(raw):>6} B {mine:>8.2f} µs, floor {least:>7.2f} µs, ratio {mine / least:.2f} {aim}")


def main() -> None:
    """Measure what there is: invented reports, and those of real printers where they lie beside the project."""
    real = {name: {"command": "push_status"} | report for name, report in captures.read().items()}
    bases = {"P1S": p1s(), "H2D": h2d()} | real
    compare("delta on P1S", bases["P1S"], orjson.dumps({"print": DELTA}), 1.3)
    compare("delta on a real A1", bases.get("A1", p1s()), orjson.dumps({"print": DELTA}), 1.3)
    compare("delta of one tray", bases["P1S"], orjson.dumps({"print": AMS_DELTA}), None)
    for name, base in bases.items():
        raw = orjson.dumps({"print": base})
        compare(f"full {name}, nothing new", base, raw, 1.2)
        compare(f"full {name}, after a change", base | {"nozzle_temper": 1.5}, raw, 1.2)


if __name__ == "__main__":
    main()
