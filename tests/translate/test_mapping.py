"""Which slot feeds which filament: the defaults of the contract and the encodings of every family (reference 9.4)."""

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.filament import AmsUnit, Slot, read_external, read_units
from bambu_connector.bambu.models import TRAITS, Model, Traits
from bambu_connector.bambu.project import Filament
from bambu_connector.bambu.request import AmsMapping, AmsSlot
from bambu_connector.errors import FilamentMismatch
from bambu_connector.translate.mapping import map_filaments
from tests.bambu.reports import h2d, p1s
from tests.translate.situations import H2D, P1S

A2L: Final = TRAITS[Model.A2L]
SINGLE: Final = [model for model, traits in TRAITS.items() if traits.nozzles == 1]
DUAL: Final = [model for model, traits in TRAITS.items() if traits.nozzles == 2]
RED, GREEN, BLUE, WHITE = "#FF0000", "#00FF00", "#0000FF", "#FFFFFF"
EMPTY: Final = AmsSlot(255, 255)
OUTSIDE: Final = AmsSlot(255, 0)
LEFT: Final = AmsSlot(254, 0)


def filament(number: int, kind: str = "PLA", color: str = RED, preset: str = "GFA00") -> Filament:
    return Filament(number, kind, color, preset)


def spool(number: int, kind: str = "PLA", color: str = RED, preset: str | None = "GFA00") -> Slot:
    return Slot(number, loaded=True, type=kind, color=color.removeprefix("#") + "FF", info=preset)


def bare(number: int) -> Slot:
    return Slot(number, loaded=False)


def unit(number: int, *slots: Slot, kind: str = "AMS") -> AmsUnit:
    return AmsUnit(number, kind, humidity=None, humidity_percent=None, temp=None, drying=None, slots=slots)


FOUR: Final = (
    spool(0, "PLA", RED, "GFA00"), spool(1, "PETG", GREEN, "GFG00"), spool(2, "PLA", BLUE, "GFA01"), bare(3),
)  # fmt: skip
ONE_AMS: Final = (unit(0, *FOUR),)
PLA: Final = (filament(1),)


def mapped(
    used: Sequence[Filament] = PLA,
    *,
    count: int | None = None,
    units: Sequence[AmsUnit] = ONE_AMS,
    external: Sequence[Slot] = (),
    traits: Traits = P1S,
    use_ams: bool | None = None,
    mapping: Sequence[int] | None = None,
) -> AmsMapping:
    return map_filaments(
        used,
        max([each.id for each in used], default=0) if count is None else count,
        units=units,
        external=external,
        traits=traits,
        use_ams=use_ams,
        mapping=mapping,
    )


def fed(*places: tuple[int, AmsSlot], use_ams: bool = True) -> AmsMapping:
    return AmsMapping(use_ams, tuple(flat for flat, _ in places), tuple(slot for _, slot in places))


def at(ams: int, slot: int) -> tuple[int, AmsSlot]:
    return ams * 4 + slot, AmsSlot(ams, slot)


# -- chosen by us ----------------------------------------------------------------------------------


def test_a_filament_goes_to_the_one_slot_with_its_preset() -> None:
    assert mapped([filament(1, preset="GFA01", color=WHITE)]) == fed(at(0, 2))


def test_a_filament_without_its_preset_goes_to_its_type_and_colour() -> None:
    assert mapped([filament(1, "PETG", GREEN, "GFG99")]) == fed(at(0, 1))


def test_of_several_slots_with_the_preset_the_colour_decides() -> None:
    units = (unit(0, spool(0, color=RED), spool(1, color=BLUE)),)
    assert mapped([filament(1, color=BLUE)], units=units) == fed(at(0, 1))


def test_a_colour_is_compared_without_alpha_and_case() -> None:
    units = (unit(0, Slot(0, loaded=True, type="PLA", color="aabbcc00", info="X")),)
    assert mapped([filament(1, color="#AABBCC")], units=units) == fed(at(0, 0))


@pytest.mark.parametrize(
    "used",
    [
        filament(1, "ABS", RED, "GFB00"),
        filament(1, "PLA", WHITE, "GFA99"),
        filament(1, "PETG", RED, "GFG99"),
    ],
    ids=["other type", "other colour", "type and colour in two slots"],
)
def test_a_filament_that_no_slot_fits_is_a_mismatch_by_name(used: Filament) -> None:
    with pytest.raises(FilamentMismatch, match=r"filament 1 .*\.") as refusal:
        mapped([used])
    assert used.type in str(refusal.value)


def test_a_filament_that_several_slots_fit_is_a_mismatch_that_names_them() -> None:
    units = (unit(0, spool(0), spool(1), bare(2)), unit(1, bare(0)))
    with pytest.raises(FilamentMismatch, match=r"slot 0 of AMS 0 and slot 1 of AMS 0.*ams_mapping"):
        mapped(units=units)


def test_an_empty_slot_fits_nothing_whatever_lingers_in_it() -> None:
    lingering = Slot(0, loaded=False, type="PLA", color="FF0000FF", info="GFA00")
    with pytest.raises(FilamentMismatch):
        mapped(units=(unit(0, lingering),))


def test_a_slot_of_which_nothing_is_told_fits_nothing() -> None:
    with pytest.raises(FilamentMismatch):
        mapped(units=(unit(0, Slot(0, loaded=None, type="PLA", color="FF0000FF", info="GFA00")),))


def test_a_filament_without_a_preset_cannot_come_from_an_ams() -> None:
    with pytest.raises(FilamentMismatch, match="tray_info_idx"):
        mapped([filament(1, preset="")])


def test_two_filaments_of_different_colours_do_not_share_a_slot() -> None:
    with pytest.raises(FilamentMismatch, match="1 and 2"):
        mapped([filament(1), filament(2, color=GREEN)])


def test_two_filaments_that_are_the_same_may_share_a_slot() -> None:
    assert mapped([filament(1), filament(2)]) == fed(at(0, 0), at(0, 0))


# -- the encodings ---------------------------------------------------------------------------------


def test_the_index_is_the_projects_filament_and_what_is_unused_says_so() -> None:
    used = [filament(1), filament(3, preset="GFA01", color=BLUE)]
    assert mapped(used, count=4) == fed(at(0, 0), (-1, EMPTY), at(0, 2), (-1, EMPTY))


def test_a_plate_that_begins_with_a_later_filament_keeps_its_index() -> None:
    assert mapped([filament(3)], count=3) == fed((-1, EMPTY), (-1, EMPTY), at(0, 0))


@pytest.mark.parametrize("number", range(4))
def test_the_slots_of_several_ams_are_counted_on(number: int) -> None:
    units = tuple(unit(each, bare(0), spool(1, preset=f"GFA0{each}")) for each in range(4))
    assert mapped([filament(1, preset=f"GFA0{number}")], units=units) == fed(at(number, 1))


@pytest.mark.parametrize("number", [128, 131])
def test_an_ams_ht_is_its_own_number(number: int) -> None:
    units = (*ONE_AMS, unit(number, spool(0, "PA-CF", WHITE, "GFN00"), kind="AMS HT"))
    expected = fed((number, AmsSlot(number, 0)))
    used = [filament(1, "PA-CF", WHITE, "GFN00")]
    assert mapped(used, units=units) == expected
    assert mapped(used, units=units, mapping=[number]) == expected


@pytest.mark.parametrize("mapping", [None, [2]])
def test_the_ams_lite_of_an_a2l_has_local_slots_and_unit_16(mapping: list[int] | None) -> None:
    units = (unit(16, *FOUR, kind="AMS Lite"),)
    used = [filament(1, preset="GFA01", color=BLUE)]
    assert mapped(used, units=units, traits=A2L, mapping=mapping) == fed((2, AmsSlot(16, 2)))


def test_an_ams_of_an_a2l_is_counted_as_everywhere() -> None:
    units = (unit(1, *FOUR),)
    assert mapped(units=units, traits=A2L) == fed(at(1, 0))


@pytest.mark.parametrize("model", [model for model in Model if model is not Model.A2L])
def test_an_ams_is_encoded_alike_in_every_family(model: Model) -> None:
    units = (unit(0, *FOUR), unit(1, spool(0, "ASA", WHITE, "GFB01")))
    used = [filament(1), filament(2, "ASA", WHITE, "GFB01")]
    assert mapped(used, units=units, traits=TRAITS[model]) == fed(at(0, 0), at(1, 0))


def test_what_a_printer_reports_can_be_mapped() -> None:
    report = p1s()
    units, external = read_units(report, P1S), read_external(report)
    petg = filament(1, "PETG", "#00FF00", "GFG99")
    assert mapped([petg], units=units, external=external) == fed(at(0, 1))
    report = h2d()
    units, external = read_units(report, H2D), read_external(report)
    used = [filament(1, "PETG", GREEN, "GFG99"), filament(2, "PA-CF", RED, "GFN99")]
    assert mapped(used, units=units, external=external, traits=H2D) == fed(at(0, 1), (128, AmsSlot(128, 0)))


# -- without an AMS --------------------------------------------------------------------------------

NOTHING: Final = AmsMapping(use_ams=False, flat=(), slots=())


@pytest.mark.parametrize("model", SINGLE)
@pytest.mark.parametrize("use_ams", [None, False])
def test_without_an_ams_nothing_is_mapped(model: Model, use_ams: bool | None) -> None:
    assert mapped(units=(), traits=TRAITS[model], use_ams=use_ams) == NOTHING


def test_an_ams_that_is_asked_for_must_be_there() -> None:
    with pytest.raises(FilamentMismatch, match="no AMS"):
        mapped(units=(), use_ams=True)


def test_an_ams_that_is_not_wanted_is_not_used() -> None:
    assert mapped(use_ams=False) == NOTHING
    assert mapped([filament(1, "ABS", WHITE, "")], use_ams=False) == NOTHING


def test_a_slot_that_is_asked_for_must_be_there_also_without_an_ams() -> None:
    with pytest.raises(FilamentMismatch, match="slot 0"):
        mapped(units=(), mapping=[0])


@pytest.mark.parametrize("mapping", [[254], [255], []])
@pytest.mark.parametrize("model", SINGLE)
def test_without_an_ams_the_external_spool_may_be_asked_for(model: Model, mapping: list[int]) -> None:
    assert mapped(units=(), traits=TRAITS[model], mapping=mapping) == NOTHING


# -- asked for -------------------------------------------------------------------------------------


def test_what_is_asked_for_is_done() -> None:
    assert mapped(mapping=[2]) == fed(at(0, 2))
    assert mapped(mapping=[2], use_ams=True) == fed(at(0, 2))


def test_what_is_asked_for_need_not_have_the_preset_or_colour() -> None:
    assert mapped([filament(1, "PLA", WHITE, "GFL99")], mapping=[0]) == fed(at(0, 0))


def test_what_is_said_of_filaments_that_are_not_used_is_ignored() -> None:
    assert mapped([filament(2)], count=3, mapping=[99, 0, 77]) == fed((-1, EMPTY), at(0, 0), (-1, EMPTY))


def test_a_list_that_is_longer_than_the_project_is_cut() -> None:
    assert mapped(mapping=[0, 1, 2, 3]) == fed(at(0, 0))


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ([3], "empty"),
        ([1], "PETG"),
        ([4], "does not have"),
        ([99], "does not have"),
        ([-1], "says nothing"),
        ([], "says nothing"),
        ([-7], "does not have"),
    ],
)
def test_what_is_asked_for_must_be_loaded_with_the_right_type(mapping: list[int], why: str) -> None:
    with pytest.raises(FilamentMismatch, match=why):
        mapped(mapping=mapping)


def test_a_slot_of_an_unknown_type_is_not_the_right_one() -> None:
    with pytest.raises(FilamentMismatch, match="slot 0 of AMS 0"):
        mapped(units=(unit(0, Slot(0, loaded=True)),), mapping=[0])


def test_a_filament_without_a_preset_cannot_be_asked_from_an_ams() -> None:
    with pytest.raises(FilamentMismatch, match="tray_info_idx"):
        mapped([filament(1, preset="")], mapping=[0])


# -- external spools -------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", [[254], [255]])
@pytest.mark.parametrize("model", SINGLE)
def test_a_print_from_the_external_spool_alone_does_not_use_the_ams(model: Model, mapping: list[int]) -> None:
    assert mapped(traits=TRAITS[model], mapping=mapping) == NOTHING


@pytest.mark.parametrize("mapping", [[0, 254], [0, 255]])
def test_the_external_spool_beside_an_ams_is_minus_one(mapping: list[int]) -> None:
    used = [filament(1), filament(2, "TPU", WHITE)]
    assert mapped(used, mapping=mapping) == fed(at(0, 0), (-1, OUTSIDE))


@pytest.mark.parametrize("model", DUAL)
@pytest.mark.parametrize(("asked", "place"), [(255, OUTSIDE), (254, LEFT)], ids=["right", "left"])
@pytest.mark.parametrize("units", [(), ONE_AMS], ids=["without an AMS", "with an AMS"])
@pytest.mark.parametrize("use_ams", [None, False])
def test_two_nozzles_have_an_external_spool_each(
    model: Model, asked: int, place: AmsSlot, units: Sequence[AmsUnit], use_ams: bool | None
) -> None:
    found = mapped(traits=TRAITS[model], units=units, mapping=[asked], use_ams=use_ams)
    assert found == fed((-1, place), use_ams=False)


def test_two_external_spools_and_an_ams_can_print_together() -> None:
    used = [filament(1), filament(2), filament(3)]
    found = mapped(used, traits=H2D, mapping=[254, 0, 255])
    assert found == fed((-1, LEFT), at(0, 0), (-1, OUTSIDE))


def test_an_external_spool_of_another_type_is_a_mismatch() -> None:
    with pytest.raises(FilamentMismatch, match="TPU"):
        mapped(mapping=[254], external=[spool(254, "TPU", WHITE)])


@pytest.mark.parametrize("spool_", [spool(254, "PLA", WHITE, None), Slot(254, loaded=None)])
def test_an_external_spool_of_the_right_or_no_known_type_will_do(spool_: Slot) -> None:
    assert mapped(mapping=[254], external=[spool_]) == NOTHING


def test_an_external_spool_needs_no_preset() -> None:
    used = [filament(1, preset="")]
    assert mapped(used, mapping=[254]) == NOTHING
    assert mapped(used, mapping=[254], traits=H2D) == fed((-1, LEFT), use_ams=False)


# -- whatever is loaded ----------------------------------------------------------------------------

KINDS: Final = st.sampled_from(["PLA", "PETG", ""])
COLORS: Final = st.sampled_from([RED, GREEN, BLUE])
PRESETS: Final = st.sampled_from(["GFA00", "GFG00", ""])
SLOTS: Final = st.builds(
    Slot,
    st.integers(0, 3),
    loaded=st.sampled_from([True, True, False, None]),
    type=KINDS.map(lambda kind: kind or None),
    color=COLORS.map(lambda color: color[1:] + "FF"),
    info=PRESETS.map(lambda preset: preset or None),
)
UNITS: Final = st.lists(
    st.builds(
        lambda number, slots: unit(number, *slots),
        st.sampled_from([0, 1, 16, 128]),
        st.lists(SLOTS, max_size=4, unique_by=lambda slot: slot.id),
    ),
    max_size=3,
    unique_by=lambda each: each.id,
)
USED: Final = st.lists(
    st.builds(Filament, st.integers(1, 5), KINDS, COLORS, PRESETS), max_size=3, unique_by=lambda each: each.id
)


@given(
    USED, st.integers(0, 6), UNITS, st.sampled_from(Model), st.sampled_from([None, True, False]),
    st.none() | st.lists(st.integers(-2, 260), max_size=5),
)  # fmt: skip
def test_any_filaments_are_mapped_whole_or_refused(
    used: list[Filament],
    count: int,
    units: list[AmsUnit],
    model: Model,
    use_ams: bool | None,
    mapping: list[int] | None,
) -> None:
    try:
        found = mapped(used, count=count, units=units, traits=TRAITS[model], use_ams=use_ams, mapping=mapping)
    except FilamentMismatch:
        return
    assert len(found.flat) == len(found.slots)
    if not found.flat:
        assert not found.use_ams or not used
        return
    assert len(found.flat) == max([count, *(each.id for each in used)])
    assert found.use_ams or all(flat == -1 for flat in found.flat)
    loaded = {(each.id, slot.id) for each in units for slot in each.slots if slot.loaded}
    for number, (flat, slot) in enumerate(zip(found.flat, found.slots, strict=True), start=1):
        is_used = number in {each.id for each in used}
        assert is_used is (slot != EMPTY)
        assert flat not in (254, 255), "a printer takes that for a slot: 0700-8012"
        assert (flat == -1) is (slot in (EMPTY, OUTSIDE, LEFT))
        assert flat == -1 or (slot.ams_id, slot.slot_id) in loaded or slot.ams_id >= 128
