"""What has changed, and what it adds up to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.virtual.report import Report, difference
from tests.virtual.bench import NAME, Bench
from tests.virtual.test_printer import fold

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 1), st.sampled_from(["", "a", "b"]))
LEAVES = st.one_of(SCALARS, st.lists(st.integers(), max_size=2))


def objects_of(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that all have the same keys, as the reports of one printer do."""
    inner: st.SearchStrategy[Any] = objects_of(depth - 1) if depth else LEAVES
    return st.fixed_dictionaries({"one": LEAVES, "two": LEAVES, "inner": inner})


@given(objects_of(1), objects_of(1))
def test_a_difference_merged_into_what_was_gives_what_is(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert repr(fold(before, difference(before, after))) == repr(fold(before, after))


@given(objects_of(1))
def test_nothing_differs_from_itself(fields: dict[str, Any]) -> None:
    assert difference(fields, fields) == {}


REQUESTS = st.sampled_from(
    [
        ("print", {"command": "pause"}),
        ("print", {"command": "resume"}),
        ("print", {"command": "stop"}),
        ("print", {"command": "gcode_line", "param": "M104 S200\nM106 P1 S128\n"}),
        ("print", {"command": "gcode_line", "param": "M84\n"}),
        ("print", {"command": "back_to_center"}),
        ("print", {"command": "print_speed", "param": "4"}),
        ("print", {"command": "skip_objects", "obj_list": [1, 2]}),
        ("print", {"command": "calibration", "option": 7}),
        ("print", {"command": "ams_change_filament", "ams_id": 0, "slot_id": 1, "target": 1, "tar_temp": -1}),
        ("print", {"command": "ams_get_rfid", "ams_id": 0, "slot_id": 2}),
        ("print", {"command": "select_extruder", "extruder_index": 1}),
        ("print", {"command": "project_file"}),
        ("camera", {"command": "ipcam_timelapse", "control": "enable"}),
    ]
)


@pytest.mark.parametrize("model", ["P1S", "H2D"])
@given(history=st.lists(st.tuples(REQUESTS, st.floats(0, 90)), max_size=12))
def test_whatever_happens_the_deltas_add_up_to_the_full_report(
    model: str, history: list[tuple[tuple[str, dict[str, Any]], float]]
) -> None:
    bench = Bench(model, speed=5, faults=["runout=60"])
    bench.send("pushing", "pushall")
    for (group, body), wait in history:
        if body["command"] == "project_file":
            bench.start()
        else:
            bench.request({group: {"sequence_id": "20009", **body}})
        bench.pass_time(wait, tick=10.0)
    bench.send("info", "get_version")  # whatever it is asked, it says what has changed
    folded: dict[str, Any] = {}
    for status in bench.statuses():
        folded = fold(folded, status)
    bench.send("pushing", "pushall")
    last = bench.statuses()[-1]
    assert {**folded, "msg": 0, "sequence_id": ""} == {**last, "msg": 0, "sequence_id": ""}


def test_the_shape_of_a_report_never_changes() -> None:
    report = Report({"known": 1, "inner": {"known": 2}})
    report.put(5, "unknown")
    report.put(5, "inner", "unknown")
    report.put(5, "absent", "unknown")
    report.put(5, "inner", "known")
    assert report.fields == {"known": 1, "inner": {"known": 5}}


def test_what_is_rendered_again_does_not_overwrite_what_was_put_since() -> None:
    report = Report({"warm": 20})
    report.render(25, "warm")
    report.put(99, "warm")
    report.render(25, "warm")
    assert report.get("warm") == 99
    report.render(26, "warm")
    assert report.get("warm") == 26


def test_flag_bits_are_signed_in_numbers_and_hexadecimal_in_text() -> None:
    report = Report({"number": 0, "text": "1AFFF9CFF"})
    report.set_bits(1 << 31 | 1, True, "number")
    assert report.get("number") == 1 - (1 << 31)
    report.set_bits(1 << 31, False, "number")
    assert report.get("number") == 1
    report.set_bits(1 << 29, False, "text")
    assert int(report.get("text"), 16) >> 29 & 1 == 0
    report.set_bits(1, True, "absent")
    assert report.get("absent") is None


def test_a_full_report_takes_everything_as_said() -> None:
    report = Report({"a": 1})
    report.put(2, "a")
    assert report.changes() == {"a": 2}
    report.full(with_msg=True)
    assert report.changes() == {}


def test_the_file_of_the_bench_is_the_one_it_starts() -> None:
    bench = Bench()
    bench.start()
    assert bench.machine.starts[0].file == NAME
