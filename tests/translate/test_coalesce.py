"""When a status is told: what matters at once, the rest after its interval, and nothing new with the heartbeat."""

import itertools
from collections.abc import Iterable
from copy import deepcopy
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.models import Traits
from bambu_connector.translate.coalesce import Pacer, differs, pressing, visible
from bambu_connector.translate.status import Tree
from tests.bambu.reports import Fields, as_delta, h2d, p1s
from tests.translate.life import Life
from tests.translate.situations import H2D, P1S
from tests.translate.trees import leaves, status

INTERVAL: Final = 1.0
HEARTBEAT: Final = 60.0
# What the service takes for worth a look at once; everything else waits for its turn.
AT_ONCE: Final = ("gcode_state", "print_error", "hms", "fun")


class Teller:
    """What a printer's statuses look like from outside, on a clock of its own."""

    def __init__(self, report: Fields, traits: Traits = P1S) -> None:
        self.pacer = Pacer(min_interval=INTERVAL, heartbeat=HEARTBEAT)
        self.now = 0.0
        self.told: list[tuple[float, Tree]] = []
        self.report = report
        self.traits = traits
        self.looks = 0
        self._look()

    def wait(self, until: float) -> None:
        """Let time go by; whatever becomes due is told."""
        while (due := self.pacer.next_look()) <= until:
            self.now = max(self.now, due)
            self._look()
        self.now = until

    def take(self, delta: Fields, at: float) -> None:
        """A partial report comes."""
        self.wait(at)
        folded = fold(self.report, delta)
        assert folded is not None
        before, self.report = self.report, folded
        if folded is not before:
            self.pacer.note_change()
            if any(before.get(key) != folded.get(key) for key in AT_ONCE):
                self._look()

    def status(self) -> Tree:
        return status(self.report, self.traits)

    def _look(self) -> None:
        self.looks += 1
        assert self.looks < 100_000, "it looks again and again"
        data = self.status()
        if self.pacer.offer(data, self.now):
            self.told.append((self.now, data))

    @property
    def times(self) -> list[float]:
        return [moment for moment, _ in self.told]


def changed(tree: Tree, path: str, value: Any) -> Tree:
    """Return a copy of a status with another value at a path."""
    copy: Any = deepcopy(tree)
    inner, keys = copy, path.split(".")
    for key in keys[:-1]:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[int(keys[-1]) if isinstance(inner, list) else keys[-1]] = value
    return copy  # type: ignore[no-any-return]


# -- an hour of a real one -------------------------------------------------------------------------


def test_an_hour_of_an_idle_printer_costs_one_status_a_heartbeat() -> None:
    noise = Random(1)
    teller = Teller(p1s())
    for second in range(1, 3600):
        delta = as_delta(
            nozzle_temper=round(25 + noise.uniform(-1, 1), 2),
            bed_temper=round(24 + noise.uniform(-1, 1), 2),
            wifi_signal=f"-{noise.randint(40, 60)}dBm",
        )
        teller.take(delta, float(second))
    teller.wait(3600.0 - 1e-6)
    assert 60 <= len(teller.told) <= 66


def test_an_hour_of_a_silent_printer_costs_one_status_a_heartbeat() -> None:
    teller = Teller(p1s())
    teller.wait(3600.0 - 1e-6)
    assert teller.times == [60.0 * number for number in range(60)]


def test_a_running_print_costs_at_most_one_status_an_interval() -> None:
    teller = Teller(p1s(gcode_state="RUNNING", nozzle_target_temper=220, nozzle_temper=220.0))
    for tenth in range(1, 6000):
        teller.take(as_delta(mc_percent=tenth % 100, nozzle_temper=200.0 + tenth % 30), tenth / 10)
    assert 300 <= len(teller.told) <= 601


def test_an_ams_that_feels_the_weather_costs_nothing() -> None:
    teller = Teller(p1s())
    for second in range(1, 59):
        weather = {"id": "0", "humidity": str(1 + second % 5), "temp": str(20 + second % 9)}
        teller.take(as_delta(ams={"ams": [weather]}), float(second))
    assert teller.times == [0.0]


# -- at once, soon, or with the heartbeat ----------------------------------------------------------


def test_the_first_status_goes_at_once() -> None:
    pacer = Pacer(min_interval=INTERVAL, heartbeat=HEARTBEAT)
    assert pacer.next_look() == float("-inf")
    assert pacer.offer(status(p1s()), 0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"gcode_state": "RUNNING"},
        {"print_error": 0x05004003},
        {"hms": [{"attr": 0x03000100, "code": 0x00010001}]},
        {"fun": "3EC1AFFF9CFF"},
    ],
    ids=str,
)
def test_state_and_errors_go_at_once(change: Fields) -> None:
    teller = Teller(p1s())
    teller.take(as_delta(**change), 0.1)
    assert teller.times == [0.0, 0.1]


def test_every_change_of_state_goes_at_once_however_fast_they_follow() -> None:
    teller = Teller(p1s())
    states = ["PREPARE", "RUNNING", "PAUSE", "RUNNING", "FINISH"]
    for number, state in enumerate(states, start=1):
        teller.take(as_delta(gcode_state=state), number / 100)
    told = [data["machines"][0]["current"]["print_status"] for _, data in teller.told]
    assert told == ["IDLE", *states]


def test_the_rest_waits_for_its_interval_and_the_newest_is_told() -> None:
    teller = Teller(p1s())
    for number, level in enumerate([3, 4, 2, 1], start=1):
        teller.take(as_delta(spd_lvl=level), number / 10)
    assert teller.times == [0.0]
    teller.wait(2 * INTERVAL)
    assert len(teller.told) == 2
    moment, data = teller.told[-1]
    assert INTERVAL <= moment <= 2 * INTERVAL
    assert data["machines"][0]["current"]["speed_level"] == 1


def test_what_changes_back_in_time_is_not_told() -> None:
    teller = Teller(p1s())
    teller.take(as_delta(spd_lvl=4), 0.1)
    teller.take(as_delta(spd_lvl=2), 0.2)
    teller.wait(HEARTBEAT - 1)
    assert teller.times == [0.0]


def test_nothing_new_waits_for_the_heartbeat() -> None:
    teller = Teller(p1s())
    teller.wait(HEARTBEAT - 0.001)
    assert teller.times == [0.0]
    teller.wait(HEARTBEAT)
    assert teller.times == [0.0, HEARTBEAT]


def test_the_heartbeat_is_counted_from_the_last_status() -> None:
    teller = Teller(p1s())
    teller.take(as_delta(gcode_state="RUNNING"), 50.0)
    teller.wait(100.0)
    assert teller.times == [0.0, 50.0]
    teller.wait(110.0)
    assert teller.times == [0.0, 50.0, 110.0]


def test_a_new_session_with_printago_is_told_everything_again() -> None:
    teller = Teller(p1s())
    teller.pacer.forget()
    assert teller.pacer.next_look() == float("-inf")
    teller.wait(0.5)
    assert teller.times == [0.0, 0.0]


# -- what a reader would miss ----------------------------------------------------------------------

COLD: Final = status(h2d(device=h2d()["device"] | {
    "extruder": {"state": 2, "info": [{"id": 0, "temp": 25, "snow": 3, "hnow": 0}, {"id": 1, "temp": 30, "hnow": 1}]},
    "ctc": {"info": {"temp": 25}},
}), H2D)  # fmt: skip
WARM: Final = status(h2d(gcode_state="RUNNING"), H2D)
SILENT: Final = ("last_report", "wifi_signal_dbm", "reconnects")


def is_silent(path: str) -> bool:
    weather = path.startswith("machines.0.filament.ams.") and path.rpartition(".")[2] in (
        "humidity", "humidity_percent", "temp",
    )  # fmt: skip
    return weather or path.removeprefix("machines.0.connection_info.") in SILENT


def is_temperature(path: str) -> bool:
    place, _, name = path.removeprefix("machines.0.current.").rpartition(".")
    return (place == "temperatures" and not name.endswith("_target")) or (
        place.startswith("nozzles.") and name == "temp"
    )


ALL: Final = [path for path, _ in leaves(WARM)]
TEMPERATURES: Final = [path for path in ALL if is_temperature(path)]


@pytest.mark.parametrize("path", [path for path in ALL if not is_temperature(path)])
@pytest.mark.parametrize("tree", [COLD, WARM], ids=["cold", "warm"])
def test_every_value_is_worth_a_status_but_those_that_flicker(tree: Tree, path: str) -> None:
    assert differs(tree, changed(tree, path, "another")) is not is_silent(path)
    assert not differs(tree, deepcopy(tree))


@pytest.mark.parametrize("path", TEMPERATURES)
@pytest.mark.parametrize(
    ("tree", "degrees", "due"),
    [(COLD, 0, False), (COLD, 1, False), (COLD, 2, False), (COLD, 3, True), (WARM, 0, False), (WARM, 1, True)],
    ids=["cold 0", "cold 1", "cold 2", "cold 3", "warm 0", "warm 1"],
)
@pytest.mark.parametrize("sign", [1, -1], ids=["up", "down"])
def test_a_temperature_is_worth_a_status_by_how_far_it_is_off(
    path: str, tree: Tree, degrees: int, due: bool, sign: int
) -> None:
    told = changed(tree, path, 100)
    assert differs(told, changed(tree, path, 100 + sign * degrees)) is due


@pytest.mark.parametrize("path", TEMPERATURES)
def test_a_temperature_that_comes_or_goes_is_worth_a_status(path: str) -> None:
    assert differs(changed(COLD, path, None), changed(COLD, path, 25))
    assert differs(changed(COLD, path, 25), changed(COLD, path, None))
    assert not differs(changed(COLD, path, None), changed(COLD, path, None))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("machines.0.current.temperatures.bed_temp_target", 60),
        ("machines.0.current.temperatures.chamber_temp_target", 45),
        ("machines.0.current.nozzles.1.temp_target", 200),
        ("machines.0.state.is_in_printing", True),
        ("process.job_state", "upload"),
    ],
)
def test_a_heater_with_a_target_or_a_job_makes_degrees_count(path: str, value: object) -> None:
    tree = changed(COLD, path, value)
    bed = "machines.0.current.temperatures.bed_temp"
    assert differs(changed(tree, bed, 24), changed(tree, bed, 25))
    assert not differs(changed(COLD, bed, 24), changed(COLD, bed, 25))


def test_a_slow_drift_is_told_when_it_has_gone_far_enough() -> None:
    teller = Teller(p1s(bed_temper=60.0))
    for second in range(1, 31):
        teller.take(as_delta(bed_temper=60.0 - second * 0.5), float(second))
    told = [data["machines"][0]["current"]["temperatures"]["bed_temp"] for _, data in teller.told]
    assert len(told) <= 7
    assert all(abs(old - new) >= 3 for old, new in itertools.pairwise(told))


@pytest.mark.parametrize(
    "path",
    [
        "machines.0.current.print_status",
        "machines.0.current.print_error",
        "machines.0.health.errors",
        "machines.0.health.warnings",
        "machines.0.connection_info.is_connected",
        "machines.0.connection_info.is_online",
        "machines.0.connection_info.is_connecting",
        "process.job_state",
    ],
)
def test_state_connection_errors_and_the_jobs_stage_press(path: str) -> None:
    assert pressing(COLD) != pressing(changed(COLD, path, "another"))


@pytest.mark.parametrize(
    "path",
    [
        "machines.0.current.print_percent",
        "machines.0.current.curr_layer",
        "machines.0.current.temperatures.bed_temp",
        "machines.0.current.cooling.fan_gear",
        "machines.0.lights.chamber",
        "machines.0.filament.ams.0.slots.0.color",
        "machines.0.connection_info.wifi_signal_dbm",
        "process.job_progress",
    ],
)
def test_what_goes_on_all_the_time_does_not_press(path: str) -> None:
    assert pressing(COLD) == pressing(changed(COLD, path, "another"))


def test_looking_does_not_change_what_is_looked_at() -> None:
    before = deepcopy(WARM)
    visible(WARM), pressing(WARM), differs(COLD, WARM)
    assert before == WARM


# -- whatever happens ------------------------------------------------------------------------------

DELTAS: Final = st.fixed_dictionaries(
    {},
    optional={
        "nozzle_temper": st.sampled_from([25.0, 26.0, 27.4, 28.0, 40.0]),
        "nozzle_target_temper": st.sampled_from([0, 220]),
        "gcode_state": st.sampled_from(["IDLE", "RUNNING", "FINISH"]),
        "mc_percent": st.integers(0, 3),
        "spd_lvl": st.integers(1, 3),
        "print_error": st.sampled_from([0, 0x05004003]),
        "wifi_signal": st.sampled_from(["-40dBm", "-60dBm"]),
    },
)
STEPS: Final = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.4, 0.9, 1.0, 2.5, 61.0]), DELTAS), max_size=25)


def check_rhythm(teller: Teller) -> None:
    for (earlier, before), (later, after) in itertools.pairwise(teller.told):
        gap = round(later - earlier, 6)
        assert gap <= HEARTBEAT, "a heartbeat was left out"
        if gap < INTERVAL:
            assert pressing(before) != pressing(after), "told too soon"
        if gap < HEARTBEAT:
            assert differs(before, after), "nothing new was told"


@given(STEPS)
def test_the_newest_state_is_always_told_and_never_too_often(steps: Iterable[tuple[float, Fields]]) -> None:
    teller, moment = Teller(p1s()), 0.0
    for wait, fields in steps:
        moment += wait
        teller.take(as_delta(**fields), moment)
    teller.wait(moment + 2 * INTERVAL)
    assert not differs(teller.told[-1][1], teller.status())
    teller.wait(moment + 3 * HEARTBEAT)
    assert not differs(teller.told[-1][1], teller.status())
    check_rhythm(teller)


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.3, 1.0, 7.0]))
def test_any_life_of_a_printer_keeps_the_rhythm(seed: int, pace: float) -> None:
    life = Life(seed)
    teller = Teller(deepcopy(life.report))
    for number in range(1, 120):
        teller.take(deepcopy(life.step()), number * pace)
    teller.wait(120 * pace + 2 * INTERVAL)
    check_rhythm(teller)
    assert not differs(teller.told[-1][1], status(life.report))
