"""How long a report takes from bytes to folded state, against the least that it can cost.

The floor is orjson and a plain deep merge that knows none of the rules. Medians of interleaved rounds.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.report import PushStatus, parse_report
from tests import captures
from tests.bambu.reports import as_delta, h2d, p1s, tray
from tests.bench.table import Row, interleaved

ROUNDS = 61
QUICK_ROUNDS = 15
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


def compare(name: str, base: Fields, raw: bytes, *, at_most: float | None, quick: bool) -> Row:
    """Measure both."""
    count = max(20, 200_000 // len(raw))
    mine, least = interleaved(
        [lambda: ours(base, raw), lambda: floor(base, raw)], rounds=QUICK_ROUNDS if quick else ROUNDS, count=count
    )
    return Row(what=f"fold {name}", unit="µs", ours=mine, floor=least, at_most=at_most, note=f"{len(raw)} B")


def measure(*, quick: bool) -> Iterator[Row]:
    """Measure what there is: invented reports, and those of real printers where they lie beside the project."""
    real = {f"real {name}": {"command": "push_status"} | report for name, report in captures.read().items()}
    bases = {"P1S": p1s(), "H2D": h2d()} | real
    raw = orjson.dumps({"print": DELTA})
    yield compare("delta on P1S", bases["P1S"], raw, at_most=1.3, quick=quick)
    yield compare("delta on a real A1", bases.get("real A1", p1s()), raw, at_most=1.3, quick=quick)
    yield compare("delta of one tray", bases["P1S"], orjson.dumps({"print": AMS_DELTA}), at_most=None, quick=quick)
    for name, base in bases.items():
        raw = orjson.dumps({"print": base})
        yield compare(f"full {name}, nothing new", base, raw, at_most=1.2, quick=quick)
        yield compare(f"full {name}, after a change", base | {"nozzle_temper": 1.5}, raw, at_most=1.2, quick=quick)
