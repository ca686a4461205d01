"""Folding of partial reports: rule by rule, and against a second, slow and plain implementation."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.bambu.fold import ENVELOPE, MAX_KEYS, MAX_PART_BYTES, fold, is_full
from tests import captures
from tests.bambu.reports import JSON_VALUES, Fields, as_delta, h2d, p1s, spoiled, tray, unit

ZERO_TAG = {"tag_uid": "0" * 16, "tray_uuid": "0" * 32}


def folded(base: Fields, **delta: Any) -> Fields:
    result = fold(base, as_delta(**delta))
    assert result is not None
    return result


def units(report: Fields) -> dict[str, Fields]:
    return {each["id"]: each for each in report["ams"]["ams"]}


def trays(report: Fields, number: str = "0") -> dict[str, Fields]:
    return {each["id"]: each for each in units(report)[number]["tray"]}


def as_json(value: object) -> bytes:
    """What tells true from 1 and 1 from 1.0."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


# -- full or partial -------------------------------------------------------------------------------


def test_a_delta_before_any_full_report_is_kept_out() -> None:
    assert fold(None, as_delta(mc_percent=4)) is None


def test_a_full_report_is_the_base() -> None:
    full = p1s()
    assert fold(None, full) is full


def test_a_full_report_replaces_the_base() -> None:
    assert fold(p1s(old=1), p1s(new=2)) == p1s(new=2)


def test_units_and_keys_that_a_full_report_does_not_have_are_gone() -> None:
    base = folded(p1s(), ams={"ams": [unit(1)], "ams_exist_bits": "3"})
    assert fold(base, p1s()) == p1s()


@pytest.mark.parametrize(
    ("report", "full"),
    [
        ({"msg": 0}, True),
        ({"msg": 1, **dict.fromkeys("abc")}, False),
        ({"msg": "0"}, True),
        ({**h2d(), "msg": "1"}, False),
        (h2d(), True),
        (h2d(msg=None), True),
        ({key: value for key, value in h2d().items() if key != "gcode_state"}, False),
        ({key: value for key, value in h2d().items() if key not in ("ams", "nozzle_temper")}, False),
        ({key: value for key, value in h2d().items() if key != "ams"}, True),
        ({"gcode_state": "IDLE", "ams": {}, "nozzle_temper": 1}, False),
    ],
)
def test_msg_decides_and_where_it_is_missing_the_number_of_keys(report: Fields, full: bool) -> None:
    assert is_full(report) is full


@pytest.mark.parametrize(("count", "full"), [(40, False), (41, True)])
def test_more_than_forty_keys_make_a_full_report(count: int, full: bool) -> None:
    report: Fields = {"gcode_state": "IDLE", "ams": {}}
    assert is_full(report | {f"k{number}": 0 for number in range(count - len(report))}) is full


def test_the_full_reports_of_real_printers_are_full() -> None:
    for name, report in captures.captured().items():
        assert is_full(report), name


def test_the_envelope_stays_that_of_the_full_report() -> None:
    result = folded(p1s(sequence_id="17"), mc_percent=4)
    assert {key: result[key] for key in ENVELOPE} == {"command": "push_status", "msg": 0, "sequence_id": "17"}
    assert "msg" not in folded(h2d(), mc_percent=4)


# -- objects and lists -----------------------------------------------------------------------------


def test_objects_are_merged_deep() -> None:
    result = folded(p1s(), ipcam={"timelapse": "enable"}, upgrade_state={"status": "DOWNLOADING"})
    assert result["ipcam"] == p1s()["ipcam"] | {"timelapse": "enable"}
    assert result["upgrade_state"] == p1s()["upgrade_state"] | {"status": "DOWNLOADING"}


@pytest.mark.parametrize(
    "fields",
    [
        {"hms": [{"attr": 1, "code": 2}]},
        {"stg": [2, 14]},
        {"s_obj": [98]},
        {"lights_report": [{"node": "work_light", "mode": "on"}]},
        {"net": {"info": []}},
    ],
)
def test_other_lists_are_replaced_whole(fields: Fields) -> None:
    result = folded(p1s(hms=[{"attr": 7, "code": 7}], stg=[1], s_obj=[5]), **fields)
    for key, value in fields.items():
        assert result[key] == (p1s()["net"] | value if key == "net" else value)


def test_an_empty_hms_clears() -> None:
    assert folded(p1s(hms=[{"attr": 7, "code": 7}]), hms=[])["hms"] == []


def test_a_delta_that_does_not_mention_units_keeps_them() -> None:
    result = folded(p1s(), ams={"tray_now": "2"})
    assert result["ams"] == p1s()["ams"] | {"tray_now": "2"}
    assert folded(p1s(), ams={"ams": []}) == p1s()


def test_a_unit_of_a_delta_is_merged_and_others_stay() -> None:
    base = folded(p1s(), ams={"ams": [unit(1)], "ams_exist_bits": "3"})
    result = folded(base, ams={"ams": [{"id": "1", "humidity": "2"}]})
    assert units(result) == {"0": unit(0), "1": unit(1) | {"humidity": "2"}}


def test_ids_are_the_same_as_text_and_as_number() -> None:
    result = folded(p1s(), ams={"ams": [{"id": 0, "humidity": "2", "tray": [{"id": 1, "remain": 3}]}]})
    assert len(result["ams"]["ams"]) == 1
    assert result["ams"]["ams"][0]["tray"][1]["remain"] == 3


@pytest.mark.parametrize(("block", "key"), [("extruder", "info"), ("nozzle", "info"), ("airduct", "parts")])
def test_the_lists_of_the_device_are_merged_by_id(block: str, key: str) -> None:
    before = h2d()["device"][block][key]
    after = folded(h2d(), device={block: {key: [{"id": before[1]["id"], "new": 1}]}})["device"][block][key]
    assert after == [before[0], before[1] | {"new": 1}]


def test_items_without_ids_replace_the_list() -> None:
    assert folded(h2d(), device={"nozzle": {"info": [{"type": "HS00"}]}})["device"]["nozzle"]["info"] == [
        {"type": "HS00"}
    ]


def test_nozzles_keyed_by_number_are_merged_as_objects() -> None:
    base = folded(h2d(), device={"nozzle": {"info": {"0": {"type": "HS01", "wear": 1}}}})
    assert base["device"]["nozzle"]["info"] == {"0": {"type": "HS01", "wear": 1}}
    result = folded(base, device={"nozzle": {"info": {"0": {"wear": 2}}}})
    assert result["device"]["nozzle"]["info"] == {"0": {"type": "HS01", "wear": 2}}


def test_external_spools_are_merged_by_id() -> None:
    result = folded(h2d(), vir_slot=[{"id": "254", "remain": 5}])
    assert result["vir_slot"] == [tray(255), tray(254, remain=5)]
    assert folded(h2d(), vir_slot=[{"id": "254"}])["vir_slot"] == [tray(255), {"id": "254"}]


# -- trays -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bare", [{"id": "1"}, {"id": "1", "state": 10}])
def test_a_bare_tray_has_been_emptied(bare: Fields) -> None:
    result = folded(p1s(), ams={"ams": [{"id": "0", "tray": [bare]}], "tray_exist_bits": "5"})
    assert trays(result) == {"0": tray(0), "1": bare, "2": tray(2, color="112233FF"), "3": {"id": "3"}}


def test_a_tray_with_more_is_merged() -> None:
    result = folded(p1s(), ams={"ams": [{"id": "0", "tray": [{"id": "1", "remain": 12}]}]})
    assert trays(result)["1"] == tray(1, "PETG", "00FF00FF", remain=12)


def test_a_tray_that_is_filled_has_its_filament() -> None:
    result = folded(p1s(), ams={"ams": [{"id": "0", "tray": [tray(3, "ABS")]}], "tray_exist_bits": "f"})
    assert trays(result)["3"] == tray(3, "ABS")


def test_bits_win_over_filament_that_lingers() -> None:
    result = folded(p1s(), ams={"tray_exist_bits": "5"})
    assert trays(result)["1"] == {"id": "1"}
    assert trays(result)["0"] == tray(0)


def test_what_a_delta_itself_tells_of_a_tray_without_bit_stands_alone() -> None:
    result = folded(
        p1s(), ams={"ams": [{"id": "0", "tray": [{"id": "1", "state": 10, "remain": 0}]}], "tray_exist_bits": "5"}
    )
    assert trays(result)["1"] == {"id": "1", "state": 10, "remain": 0}


def test_bits_that_are_only_repeated_empty_nothing() -> None:
    base = p1s(ams=p1s()["ams"] | {"tray_exist_bits": "5"})
    assert trays(folded(base, ams={"tray_exist_bits": "5", "tray_now": "0"}))["1"] == tray(1, "PETG", "00FF00FF")


def test_filament_does_not_come_back_with_the_bit() -> None:
    emptied = folded(p1s(), ams={"tray_exist_bits": "5"})
    assert trays(folded(emptied, ams={"tray_exist_bits": "7"}))["1"] == {"id": "1"}


def test_the_bits_of_an_ams_that_powers_down_empty_nothing() -> None:
    down = folded(p1s(), ams={"tray_exist_bits": "0", "power_on_flag": False})
    assert trays(down) == trays(p1s())
    assert trays(folded(down, ams={"tray_exist_bits": "5", "power_on_flag": True}))["1"] == {"id": "1"}


def test_all_zero_bits_of_an_ams_with_power_empty_all() -> None:
    result = folded(p1s(), ams={"tray_exist_bits": "0"})
    assert trays(result) == {slot: {"id": slot} for slot in "0123"}


@pytest.mark.parametrize(
    ("number", "bits"), [("1", "ff0f"), ("3", "fff"), ("128", "fffff"), ("129", "1ffff"), ("16", "ffffff")]
)
def test_each_kind_of_unit_has_its_bits(number: str, bits: str) -> None:
    other = unit(number, tray=[tray(0)])
    base = folded(p1s(), ams={"ams": [other]})
    first = {"1": 4, "3": 12, "128": 16, "129": 17, "16": 24}[number]
    cleared = f"{int(bits, 16) & ~(1 << first):x}"
    assert trays(folded(base, ams={"tray_exist_bits": cleared}), number)["0"] == {"id": "0"}
    everything = folded(base, ams={"tray_exist_bits": "fffffffff"})
    assert trays(everything, number)["0"] == tray(0)


def test_a_zeroed_tag_does_not_erase_a_known_one() -> None:
    result = folded(p1s(), ams={"ams": [{"id": "0", "tray": [{"id": "0", "remain": 3, **ZERO_TAG}]}]})
    assert trays(result)["0"] == tray(0, remain=3)


@pytest.mark.parametrize("change", [{"tray_type": "ABS"}, {"tray_color": "000000FF"}])
def test_a_zeroed_tag_counts_when_the_filament_is_another(change: Fields) -> None:
    result = folded(p1s(), ams={"ams": [{"id": "0", "tray": [{"id": "0", **change, **ZERO_TAG}]}]})
    assert trays(result)["0"] == tray(0, **change, **ZERO_TAG)


# -- units that come and go ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "left"),
    [("13", {"0", "1", "128"}), ("11", {"0", "128"}), ("3", {"0", "1"}), ("2", {"1"}), ("10", {"128"}), ("0", set())],
)
def test_bits_remove_units(bits: str, left: set[str]) -> None:
    base = folded(p1s(), ams={"ams": [unit(1), unit(128)], "ams_exist_bits": "13"})
    assert set(units(folded(base, ams={"ams_exist_bits": bits}))) == left


@pytest.mark.parametrize(("bits", "left"), [("10000", {"16"}), ("20", {"16"}), ("0", set())])
def test_a_unit_of_another_kind_goes_only_with_the_last(bits: str, left: set[str]) -> None:
    base = folded(p1s(), ams={"ams": [unit(16)]})
    assert set(units(folded(base, ams={"ams_exist_bits": bits}))) == left


@pytest.mark.parametrize("bits", ["", "wrong", 1, None, [], "-1"])
def test_bits_that_cannot_be_read_remove_nothing(bits: object) -> None:
    result = folded(p1s(), ams={"ams_exist_bits": bits, "tray_exist_bits": bits})
    assert units(result) == units(p1s())


# -- values of a wrong type ------------------------------------------------------------------------


def test_a_wrong_type_stands_as_it_was_reported_until_a_good_value_comes() -> None:
    hot = folded(p1s(), nozzle_temper="hot", ipcam=None)
    assert (hot["nozzle_temper"], hot["ipcam"], hot["bed_temper"]) == ("hot", None, 24.0)
    good = folded(hot, nozzle_temper=30.5, ipcam={"timelapse": "enable"})
    assert (good["nozzle_temper"], good["ipcam"]) == (30.5, {"timelapse": "enable"})


@pytest.mark.parametrize("broken", ["broken", None, 3, True, {}, [1], ["x", {"id": "0"}], [{"no": "id"}]])
def test_a_list_of_units_that_was_spoiled_recovers(broken: object) -> None:
    spoilt = folded(p1s(), ams={"ams": broken})
    assert spoilt["ams"]["ams"] == broken
    assert folded(spoilt, ams={"ams": [unit(0)]})["ams"] == p1s()["ams"]
    assert fold(spoilt, p1s()) == p1s()


def test_true_is_not_one_and_one_is_not_one_point_zero() -> None:
    base = p1s(flag=1, block={"flag": 1}, row=[1])
    assert as_json(folded(base, flag=True)["flag"]) == b"true"
    assert as_json(folded(base, block={"flag": True})["block"]) == b'{"flag":true}'
    assert as_json(folded(base, row=[True])["row"]) == b"[true]"
    assert as_json(folded(base, flag=1.0)["flag"]) == b"1.0"
    changed = p1s(flag=True, block={"flag": 1}, row=[1])
    assert fold(base, changed) is changed


# -- sharing ---------------------------------------------------------------------------------------


def test_a_delta_that_says_nothing_new_returns_the_base_itself() -> None:
    base = h2d()
    for delta in (
        as_delta(),
        as_delta(nozzle_temper=25.0, stg=[], wifi_signal="-45dBm"),
        as_delta(ams={"ams": [deepcopy(unit(0, info="1003"))], "ams_exist_bits": "11", "tray_exist_bits": "10007"}),
        as_delta(device={"extruder": {"info": [{"id": 1, "temp": 30}]}}),
        as_delta(hms=[], lights_report=[{"node": "chamber_light", "mode": "on"}]),
    ):
        assert fold(base, delta) is base


def test_a_unit_that_its_own_bits_deny_is_nothing_new() -> None:
    base = p1s()
    assert fold(base, as_delta(ams={"ams": [unit(1)], "ams_exist_bits": "1"})) is base


def test_a_full_report_that_says_nothing_new_returns_the_base_itself() -> None:
    base = p1s()
    assert fold(base, p1s(sequence_id="99")) is base


def test_a_full_report_that_cannot_be_written_as_json_counts_as_new() -> None:
    base, full = p1s(huge=1 << 70), p1s(huge=1 << 70)
    assert fold(base, full) is full


def test_what_a_delta_does_not_touch_is_the_same_object() -> None:
    base = folded(p1s(), ams={"ams": [unit(1)], "ams_exist_bits": "3", "tray_exist_bits": "77"})
    result = folded(base, ams={"ams": [{"id": "1", "tray": [{"id": "2", "remain": 1}]}]}, ipcam={"timelapse": "enable"})
    assert [key for key in base if result[key] is not base[key]] == ["ipcam", "ams"]
    assert units(result)["0"] is units(base)["0"]
    assert trays(result, "1")["1"] is trays(base, "1")["1"]
    assert trays(result, "1")["2"] is not trays(base, "1")["2"]


def test_bits_touch_only_the_tray_they_empty() -> None:
    base = p1s()
    result = folded(base, ams={"tray_exist_bits": "5"})
    assert [slot for slot in "0123" if trays(result)[slot] is not trays(base)[slot]] == ["1"]


# -- properties ------------------------------------------------------------------------------------


def parts(whole: Fields) -> st.SearchStrategy[Fields]:
    """Any selection of an object's items, its `id` always."""
    return st.sets(st.sampled_from(sorted(whole))).map(
        lambda keys: {key: value for key, value in whole.items() if key in keys or key == "id"}
    )


def unique(items: st.SearchStrategy[Fields]) -> st.SearchStrategy[list[Fields]]:
    return st.lists(items, max_size=3, unique_by=lambda item: str(item["id"]))


TRAYS = st.builds(
    tray, st.integers(0, 3), st.sampled_from(["PLA", "PETG"]), st.sampled_from(["FF0000FF", "00FF00FF"])
).flatmap(parts) | st.builds(lambda each: each | ZERO_TAG, st.builds(tray, st.integers(0, 3)))
UNITS = st.fixed_dictionaries(
    {"id": st.sampled_from(["0", "1", "16", "128"])},
    optional={"humidity": st.sampled_from("12345"), "tray": unique(TRAYS), "dry_time": st.integers(0, 3)},
)
HEX = st.sampled_from(["0", "1", "3", "7", "5", "13", "11", "ff", "10007", "1000007", "zz", ""])
AMS = st.fixed_dictionaries(
    {},
    optional={
        "ams": unique(UNITS) | JSON_VALUES,
        "ams_exist_bits": HEX,
        "tray_exist_bits": HEX,
        "tray_now": st.sampled_from(["0", "1", "255"]),
        "power_on_flag": st.booleans(),
    },
)
ITEMS = unique(
    st.fixed_dictionaries({"id": st.integers(0, 2)}, optional={"temp": st.integers(0, 9), "x": st.booleans()})
)
DEVICE = st.fixed_dictionaries(
    {},
    optional={
        "extruder": st.fixed_dictionaries({}, optional={"info": ITEMS, "state": st.integers(0, 3)}),
        "nozzle": st.fixed_dictionaries(
            {}, optional={"info": ITEMS | st.dictionaries(st.sampled_from("01"), JSON_VALUES)}
        ),
        "airduct": st.fixed_dictionaries({}, optional={"parts": ITEMS}),
    },
)
DELTAS = st.fixed_dictionaries(
    {"command": st.just("push_status"), "msg": st.just(1), "sequence_id": st.sampled_from("123")},
    optional={
        "nozzle_temper": st.integers(20, 22) | st.floats(20, 22) | JSON_VALUES,
        "sdcard": st.booleans() | st.integers(0, 1),
        "gcode_state": st.sampled_from(["IDLE", "RUNNING"]),
        "ipcam": st.dictionaries(st.sampled_from(["timelapse", "new"]), JSON_VALUES, max_size=2) | JSON_VALUES,
        "hms": st.lists(st.dictionaries(st.sampled_from(["attr", "code"]), st.integers(0, 2)), max_size=2),
        "ams": AMS | JSON_VALUES,
        "vir_slot": unique(TRAYS) | JSON_VALUES,
        "vt_tray": TRAYS,
        "device": DEVICE,
    },
)
BASES = st.sampled_from([p1s(), h2d(), *(each for each in captures.read().values())])


class Plain:
    """The rules once more, slowly: everything is copied, nothing is shared, each rule is a pass of its own."""

    BY_ID = (
        "ams.ams",
        "ams.ams.tray",
        "vir_slot",
        "device.extruder.info",
        "device.nozzle.info",
        "device.airduct.parts",
    )
    TRAYS = ("ams.ams.tray", "vir_slot")

    def fold(self, base: Fields, delta: Fields) -> Fields:
        base, delta = deepcopy(base), {key: value for key, value in deepcopy(delta).items() if key not in ENVELOPE}
        result: Fields = self.merge(base, delta, "")
        told, ams = delta.get("ams"), result.get("ams")
        if isinstance(told, dict) and isinstance(ams, dict) and isinstance(ams.get("ams"), list):
            before = base["ams"].get("tray_exist_bits") if isinstance(base.get("ams"), dict) else None
            self.remove_units(ams, self.hex(told.get("ams_exist_bits")))
            if told.get("tray_exist_bits") != before:
                self.empty_trays(ams, told, self.hex(told.get("tray_exist_bits")))
        return result

    def merge(self, old: Any, new: Any, path: str) -> Any:
        if isinstance(old, dict) and isinstance(new, dict):
            return old | {
                key: self.merge(old[key], value, f"{path}.{key}".strip(".")) if key in old else value
                for key, value in new.items()
            }
        if path in self.BY_ID and self.have_ids(old) and self.have_ids(new):
            items = {str(item["id"]): item for item in old}
            for item in new:
                key = str(item["id"])
                items[key] = self.item(items[key], item, path) if key in items else item
            return list(items.values())
        return new

    def item(self, old: Fields, new: Fields, path: str) -> Fields:
        if path not in self.TRAYS:
            return dict(self.merge(old, new, path))
        if set(new) <= {"id", "state"}:
            return new
        merged = dict(self.merge(old, new, path))
        if all(old.get(key) == merged.get(key) for key in ("tray_type", "tray_color")):
            for key in ("tag_uid", "tray_uuid"):
                if key in old and set(str(merged[key])) <= {"0"}:
                    merged[key] = old[key]
        return merged

    @staticmethod
    def have_ids(value: object) -> bool:
        return isinstance(value, list) and all(isinstance(item, dict) and "id" in item for item in value)

    @staticmethod
    def hex(value: object) -> int | None:
        try:
            return int(value, 16) if isinstance(value, str) else None
        except ValueError:
            return None

    @staticmethod
    def remove_units(ams: Fields, exist: int | None) -> None:
        def stays(item: Any) -> bool:
            name = str(item.get("id")) if isinstance(item, dict) else ""
            bit = {"0": 0, "1": 1, "2": 2, "3": 3, "128": 4}.get(name)
            return exist != 0 if bit is None else exist is None or bool(exist >> bit & 1)

        ams["ams"] = [item for item in ams["ams"] if stays(item)]

    @staticmethod
    def empty_trays(ams: Fields, told: Fields, exist: int | None) -> None:
        if exist is None or (exist == 0 and told.get("power_on_flag") is False):
            return
        listed = told.get("ams")
        said = {
            (each.get("id"), slot.get("id")): slot
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, dict) and isinstance(each.get("tray"), list)
            for slot in each["tray"]
        }
        for each in ams["ams"]:
            name = str(each.get("id")) if isinstance(each, dict) else ""
            first = {"0": 0, "1": 4, "2": 8, "3": 12, "16": 24, "128": 16}.get(name)
            if first is None or not isinstance(each.get("tray"), list):
                continue
            for place, slot in enumerate(each["tray"]):
                if not exist >> (first + int(slot["id"])) & 1:
                    rest = {key: value for key, value in slot.items() if key in ("id", "state")}
                    each["tray"][place] = said.get((each["id"], slot["id"]), rest)


@settings(max_examples=300)
@given(BASES, st.lists(DELTAS, max_size=4))
def test_folding_agrees_with_the_plain_implementation(base: Fields, history: list[Fields]) -> None:
    result, plain = base, base
    for delta in history:
        result, plain = fold(result, delta) or {}, Plain().fold(plain, delta)
        assert as_json(result) == as_json(plain)


@given(BASES, DELTAS)
def test_neither_argument_is_changed(base: Fields, delta: Fields) -> None:
    before = as_json(base), as_json(delta)
    fold(base, delta)
    assert (as_json(base), as_json(delta)) == before


@settings(max_examples=300)
@given(BASES, st.lists(DELTAS, max_size=3), DELTAS)
def test_the_same_delta_again_says_nothing_new(base: Fields, history: list[Fields], delta: Fields) -> None:
    for each in history:
        base = fold(base, each) or {}
    once = fold(base, delta)
    assert fold(once, delta) is once


@given(BASES, st.lists(DELTAS, max_size=4))
def test_folding_never_unlearns_a_field(base: Fields, history: list[Fields]) -> None:
    result = base
    for delta in history:
        result = fold(result, delta) or {}
    assert result.keys() >= base.keys()


@given(BASES, DELTAS)
def test_whatever_is_equal_afterwards_is_the_same_object(base: Fields, delta: Fields) -> None:
    result = fold(base, delta) or {}
    for key in base.keys() - delta.keys():
        assert result[key] is base[key]
    for key in base.keys() & delta.keys():
        if isinstance(base[key], dict | list) and as_json(result[key]) == as_json(base[key]):
            assert result[key] is base[key]


@given(st.sampled_from([p1s(), h2d()]).flatmap(spoiled), st.sampled_from([p1s(), h2d()]).flatmap(spoiled), JSON_VALUES)
def test_any_values_anywhere_are_folded(base: Fields, report: Fields, msg: object) -> None:
    for delta in (report | {"msg": 1}, report | {"msg": msg}, report):
        result = fold(base, delta)
        assert result is not None
        orjson.dumps(result)
        assert fold(result, delta) == result


# -- however much a printer says -------------------------------------------------------------------


@pytest.mark.parametrize(
    "invented",
    [
        lambda number: {f"key {number} {place}": "x" * 100 for place in range(20)},
        lambda number: {"ipcam": {f"key {number}": {"deep": "x" * 100}}},
        lambda number: {"device": {"nozzle": {"info": [{"id": number, "type": "x" * 100}]}}},
        lambda number: {"ams": {"ams": [{"id": str(number), "tray": [tray(0)]}]}},
        lambda number: {"vir_slot": [{"id": str(number), "tray_type": "x" * 100}]},
        lambda number: {"net": [{"a": number}] * 10 * number},
    ],
    ids=["keys", "inner keys", "items", "units", "spools", "lists"],
)
def test_what_a_printer_invents_for_ever_does_not_grow_for_ever(invented: Callable[[int], Fields]) -> None:
    report, largest = p1s(), 0
    for number in range(600):
        report = folded(report, **invented(number), mc_percent=number % 100)
        largest = max(largest, *(len(orjson.dumps(part)) for part in report.values()))
        assert report["mc_percent"] == number % 100, "what is known is told all the while"
    assert largest <= MAX_PART_BYTES
    assert len(report) <= MAX_KEYS
    assert fold(report, p1s(sequence_id="99")) == p1s(sequence_id="99")


def test_a_part_that_became_too_large_is_unknown_and_begins_anew() -> None:
    report = folded(p1s(), ipcam={"much": "x" * MAX_PART_BYTES})
    assert report["ipcam"] is None
    assert folded(report, ipcam={"timelapse": "enable"})["ipcam"] == {"timelapse": "enable"}


def test_units_that_became_too_many_are_unknown_whatever_their_bits_say() -> None:
    many = [unit(number) for number in range(400)]
    report = folded(p1s(), ams={"ams": many, "tray_exist_bits": "ffff"})
    assert report["ams"] is None
    assert folded(report, ams={"ams": [unit(0)]})["ams"] == {"ams": [unit(0)]}


def test_units_of_a_report_that_is_full_of_other_things_are_left_out() -> None:
    report = {key: value for key, value in p1s().items() if key != "ams"} | {f"key {n}": n for n in range(MAX_KEYS)}
    assert "ams" not in folded(report, ams={"ams": [unit(0)], "tray_exist_bits": "1"})


@given(st.sampled_from([p1s(), h2d()]).flatmap(spoiled), st.lists(DELTAS, max_size=3), st.sampled_from([p1s(), h2d()]))
def test_a_full_report_after_any_garbage_is_the_state(base: Fields, history: list[Fields], full: Fields) -> None:
    result: Fields | None = base
    for delta in history:
        result = fold(result, delta)
    full = {"msg": 0, **full}
    assert {**(fold(result, full) or {}), "sequence_id": ""} == {**full, "sequence_id": ""}
