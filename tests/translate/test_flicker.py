"""What changes with nearly every report and makes no status due: `coalesce.is_flicker`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.fold import fold
from bambu_connector.translate.coalesce import differs, is_flicker
from tests.bambu.reports import SCALARS, Fields, as_delta, h2d, p1s, tray
from tests.translate.situations import H2D, P1S
from tests.translate.trees import status

DEGREES = st.floats(-50, 400) | st.integers(0, 500) | st.none() | st.sampled_from(["25.4", "hot", True])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "nozzle_temper": DEGREES,
        "bed_temper": DEGREES,
        "chamber_temper": DEGREES | st.integers(501, 1 << 24),
        "wifi_signal": st.sampled_from(["-45dBm", "-46dBm", ""]),
        "mc_percent": SCALARS,
        "gcode_state": SCALARS,
        "nozzle_target_temper": SCALARS,
    },
)


def flickers(before: Fields, **changes: Any) -> bool:
    delta = as_delta(**changes)
    after = fold(before, delta)
    assert after is not None
    return is_flicker(before, after, delta)


@pytest.mark.parametrize(
    "changes",
    [
        {"nozzle_temper": 25.4},
        {"nozzle_temper": 25.4, "bed_temper": 23.6, "wifi_signal": "-60dBm"},
        {"wifi_signal": ""},
        {"nozzle_temper": 25.0, "mc_percent": 0, "ams": {"tray_now": "255"}},
        {},
    ],
)
def test_tenths_of_degrees_and_the_signal_flicker(changes: Fields) -> None:
    assert flickers(p1s(), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"nozzle_temper": 25.6},
        {"bed_temper": None},
        {"nozzle_temper": 25.4, "mc_percent": 1},
        {"mc_percent": False},
        {"gcode_state": "RUNNING"},
        {"nozzle_target_temper": 200},
        {"ams": {"ams": [{"id": "0", "tray": [tray(0, remain=12)]}]}},
        {"lights_report": []},
        {"something_new": None, "hms": [{"attr": 1, "code": 2}]},
    ],
)
def test_everything_else_can_be_seen(changes: Fields) -> None:
    assert not flickers(p1s(), **changes)


@given(st.lists(CHANGES, max_size=6), st.sampled_from([(p1s(), P1S), (h2d(), H2D)]))
def test_what_flickers_makes_no_status_due(history: list[Fields], printer: tuple[Fields, Any]) -> None:
    report, traits = printer
    for changes in history:
        delta = as_delta(**changes)
        after = fold(report, delta)
        assert after is not None
        if is_flicker(report, after, delta):
            assert not differs(status(report, traits), status(after, traits))
        report = after
