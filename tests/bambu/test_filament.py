"""AMS units, slots, external spools, and which of them feeds the nozzle."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.filament import (
    EXTERNAL,
    ActiveSlot,
    AmsUnit,
    Drying,
    Slot,
    read_active,
    read_external,
    read_slot,
    read_units,
    tray_bit,
)
from bambu_connector.bambu.models import TRAITS, Model
from tests import captures
from tests.bambu.reports import Fields, h2d, p1s, spoiled, tray, unit

P1S = TRAITS[Model.P1S]
A1 = TRAITS[Model.A1]
A2L = TRAITS[Model.A2L]
H2D = TRAITS[Model.H2D]


def ams(**changes: Any) -> Fields:
    return p1s(ams=p1s()["ams"] | changes)


def only_unit(**changes: Any) -> AmsUnit:
    (found,) = read_units(ams(ams=[unit(0, **changes)]), P1S)
    return found


# -- units -----------------------------------------------------------------------------------------


def test_a_unit_is_told_with_its_slots() -> None:
    (found,) = read_units(p1s(), P1S)
    assert (found.id, found.kind, found.humidity, found.humidity_percent, found.temp) == (0, "AMS", 4, None, 22.7)
    assert found.drying is None
    assert [(slot.id, slot.loaded, slot.type) for slot in found.slots] == [
        (0, True, "PLA"),
        (1, True, "PETG"),
        (2, True, "PLA"),
        (3, False, None),
    ]


@pytest.mark.parametrize("number", [-1, "-1"])
def test_units_and_slots_with_negative_numbers_are_none(number: object) -> None:
    assert read_units(ams(ams=[unit(0) | {"id": number}]), P1S) == ()
    assert [slot.id for slot in only_unit(tray=[tray(0) | {"id": number}, tray(1)]).slots] == [1]


def test_without_an_ams_there_are_no_units() -> None:
    assert read_units(p1s(ams={"ams_exist_bits": "0"}), P1S) == ()
    assert read_units({}, P1S) == ()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"info": "1001"}, "AMS"),
        ({"info": "1002"}, "AMS Lite"),
        ({"info": "1003"}, "AMS 2 Pro"),
        ({"info": "2004"}, "AMS HT"),
        ({"info": "5"}, "AMS Lite"),
        ({"info": "f"}, "AMS"),
        ({"id": "128"}, "AMS HT"),
        ({}, "AMS"),
    ],
)
def test_a_unit_has_a_kind(changes: Fields, kind: str) -> None:
    assert only_unit(**changes).kind == kind


def test_a_unit_of_an_a_series_that_does_not_tell_its_kind_is_a_lite() -> None:
    assert read_units(p1s(), A1)[0].kind == "AMS Lite"


@pytest.mark.parametrize(
    ("changes", "humidity", "percent"),
    [
        ({"humidity": "5"}, 5, None),
        ({"humidity": "0"}, None, None),
        ({"humidity": "9"}, None, None),
        ({"humidity": "3", "humidity_raw": "31"}, 3, 31),
        ({"humidity_raw": "255"}, 4, None),
    ],
)
def test_humidity_that_cannot_be_is_unknown(changes: Fields, humidity: int | None, percent: int | None) -> None:
    found = only_unit(**changes)
    assert (found.humidity, found.humidity_percent) == (humidity, percent)


@pytest.mark.parametrize(
    ("told", "temp"), [("27.44", 27.4), (30, 30.0), ("0.0", None), ("-40", None), ("180", None), ("x", None)]
)
def test_a_temperature_that_cannot_be_is_unknown(told: object, temp: float | None) -> None:
    assert only_unit(temp=told).temp == temp


@pytest.mark.parametrize(
    ("changes", "drying"),
    [
        ({"dry_time": 0}, None),
        ({"dry_time": 90}, Drying(90, None)),
        ({"dry_time": 90, "dry_setting": {"dry_temperature": 55}}, Drying(90, 55)),
        ({"info": "1003"}, None),
        ({"info": "1023"}, Drying(None, None)),
        ({"info": "1053"}, None),
    ],
)
def test_a_unit_that_dries_says_how_long(changes: Fields, drying: Drying | None) -> None:
    assert only_unit(**changes).drying == drying


# -- slots -----------------------------------------------------------------------------------------


def test_a_loaded_slot_is_told_whole() -> None:
    assert read_slot(1, tray(1), there=True) == Slot(
        id=1,
        loaded=True,
        type="PLA",
        color="FF0000FF",
        name="PLA Basic",
        info="GFA00",
        tag_id="A0B1C2D3E4F50607",
        remaining=80,
        nozzle_temp_min=190,
        nozzle_temp_max=230,
    )


@pytest.mark.parametrize(
    ("changes", "there", "loaded"),
    [({}, False, False), ({}, None, True), ({"tray_type": ""}, None, None), ({"tray_type": ""}, True, True)],
)
def test_the_bit_says_whether_a_slot_is_loaded_else_its_type(
    changes: Fields, there: bool | None, loaded: bool | None
) -> None:
    found = read_slot(0, tray(0, **changes), there)
    assert found.loaded is loaded
    assert (found.type is None) == (loaded is not True or not changes.get("tray_type", "PLA"))


@pytest.mark.parametrize("bare", [{"id": "0"}, {"id": "0", "state": 10}])
def test_a_bare_tray_is_empty(bare: Fields) -> None:
    assert read_slot(0, bare, there=None) == Slot(0, loaded=False)


def test_filament_that_lingers_in_an_empty_slot_is_not_told() -> None:
    (found,) = read_units(ams(tray_exist_bits="5"), P1S)
    assert found.slots[1] == Slot(1, loaded=False)


@pytest.mark.parametrize(
    ("changes", "color"),
    [
        ({}, "FF0000FF"),
        ({"tray_color": "ff0000aa"}, "FF0000AA"),
        ({"tray_color": "00000000"}, "00000000"),
        ({"tray_color": "00000000", "tray_type": ""}, None),
        ({"tray_color": "FF0000"}, None),
        ({"tray_color": 7}, None),
    ],
)
def test_a_colour_is_eight_digits(changes: Fields, color: str | None) -> None:
    assert read_slot(0, tray(0, **changes), there=True).color == color


@pytest.mark.parametrize(("told", "remaining"), [(0, 0), (100, 100), (-1, None), (101, None), ("55", 55), (None, None)])
def test_what_remains_is_a_percentage_or_unknown(told: object, remaining: int | None) -> None:
    assert read_slot(0, tray(0, remain=told), there=True).remaining == remaining


def test_a_tag_of_zeros_is_none() -> None:
    assert read_slot(0, tray(0, tag_uid="0" * 16), there=True).tag_id is None


@pytest.mark.parametrize(
    ("number", "slot", "traits", "bit"),
    [(0, 0, P1S, 0), (1, 2, P1S, 6), (3, 3, P1S, 15), (128, 0, P1S, 16), (131, 0, P1S, 19), (16, 2, A2L, 26)],
)
def test_each_slot_has_its_bit(number: int, slot: int, traits: Any, bit: int) -> None:
    assert tray_bit(number, slot, traits) == bit


# -- external spools -------------------------------------------------------------------------------


def test_external_spools_are_told_by_either_field() -> None:
    assert [(slot.id, slot.type) for slot in read_external(p1s())] == [(254, "TPU")]
    assert [slot.id for slot in read_external(h2d())] == [255, 254]
    assert [slot.id for slot in read_external(p1s(vir_slot=[tray(255)]))] == [255]
    assert read_external({}) == ()


# -- what is loaded --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "active"),
    [
        ("255", None),
        ("254", ActiveSlot(EXTERNAL, EXTERNAL)),
        ("0", ActiveSlot(0, 0)),
        ("6", ActiveSlot(1, 2)),
        ("129", ActiveSlot(129, 0)),
        (3, ActiveSlot(0, 3)),
        ("x", None),
        ("-1", None),
        (None, None),
    ],
)
def test_tray_now_names_the_slot(now: object, active: ActiveSlot | None) -> None:
    assert read_active(ams(tray_now=now), P1S) == active


@pytest.mark.parametrize(
    ("snow", "active"),
    [
        (259, ActiveSlot(1, 3)),
        (128 << 8, ActiveSlot(128, 0)),
        (65535, None),
        (0xFEFF, None),
        (0xFF00, ActiveSlot(EXTERNAL, EXTERNAL)),
        (0xFE00, ActiveSlot(EXTERNAL, EXTERNAL)),
        ("x", None),
        (None, None),
    ],
)
def test_snow_names_the_slot_where_tray_now_is_local(snow: object, active: ActiveSlot | None) -> None:
    report = h2d(device={"extruder": {"state": 2, "info": [{"id": 0, "snow": snow}, {"id": 1, "snow": 5}]}})
    assert read_active(report, H2D) == active


def test_of_two_extruders_the_one_in_use_counts() -> None:
    heads = [{"id": 0, "snow": 1}, {"id": 1, "snow": 259}]
    assert read_active(h2d(device={"extruder": {"state": 0x12, "info": heads}}), H2D) == ActiveSlot(1, 3)
    assert read_active(h2d(device={"extruder": {"state": 0xF2, "info": heads}}), H2D) is None


def test_the_lite_of_an_a2l_counts_its_own_slots() -> None:
    assert read_active(ams(tray_now="2"), A2L) == ActiveSlot(16, 2)


# -- anything --------------------------------------------------------------------------------------


def test_the_units_of_real_printers_are_read() -> None:
    units = {name: read_units(report, P1S) for name, report in captures.captured().items()}
    assert {name: [each.id for each in found] for name, found in units.items()} == {
        "A1": [0],
        "H2D": [0, 1],
        "P1P": [0],
        "P1PNOAMS": [],
        "P2S": [0],
        "X1CMULTIAMS": [0, 1, 2, 128],
    }
    assert [slot.loaded for slot in units["X1CMULTIAMS"][2].slots] == [False, True, True, True]
    assert [slot.type for slot in units["X1CMULTIAMS"][3].slots] == ["PA-CF"]


@given(st.sampled_from([p1s(), h2d()]).flatmap(spoiled), st.sampled_from([P1S, A2L, H2D]))
def test_any_values_are_read(report: Fields, traits: Any) -> None:
    for each in read_units(report, traits):
        assert isinstance(each.id, int)
    read_external(report)
    read_active(report, traits)
