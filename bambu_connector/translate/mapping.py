"""Which slot feeds which filament of a file: the one function that makes `use_ams`, `ams_mapping` and `ams_mapping2`.

Rules: reference 9.4, and the defaults of the contract. Everything is checked against what lies in the slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.filament import EXTERNAL, AmsUnit, Slot
from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.project import Filament
from bambu_connector.bambu.request import AmsMapping, AmsSlot
from bambu_connector.errors import FilamentMismatch

UNUSED: Final = -1
_EXTERNAL_TRAYS: Final = (254, 255)
_HT: Final = 128
_NO_SLOT: Final = AmsSlot(255, 255)


@dataclass(frozen=True, slots=True)
class _Place:
    unit: int
    slot: Slot
    traits: Traits

    @property
    def flat(self) -> int:
        if self.unit >= _HT:
            return self.unit
        return self.slot.id if self.unit == self.traits.ams_lite_unit else self.unit * 4 + self.slot.id

    @property
    def text(self) -> str:
        return f"slot {self.slot.id} of AMS {self.unit}"


def map_filaments(
    used: Sequence[Filament],
    count: int,
    *,
    units: Sequence[AmsUnit],
    external: Sequence[Slot],
    traits: Traits,
    use_ams: bool | None,
    mapping: Sequence[int] | None,
) -> AmsMapping:
    """Return what `project_file` is told. `used` are the plate's filaments, `count` those of the whole project.

    Raises FilamentMismatch, with the filament and what is wrong.
    """
    if use_ams and not units:
        raise FilamentMismatch("use_ams is asked for, and the printer has no AMS.")
    places = [_Place(unit.id, slot, traits) for unit in units for slot in unit.slots]
    if mapping is not None and all(_asked(mapping, each) in _EXTERNAL_TRAYS for each in used):
        told = _told(used, count, {each.id: _given(each, mapping, places, external, traits) for each in used})
        return AmsMapping() if traits.nozzles == 1 else told
    if use_ams is False or (not units and _asks_for_no_slot(used, mapping)):
        return AmsMapping()
    if mapping is None:
        chosen = {each.id: _choose(each, places) for each in used}
        _need_distinct(used, chosen)
        return _told(used, count, {key: (place.flat, _slot_of(place)) for key, place in chosen.items()})
    return _told(used, count, {each.id: _given(each, mapping, places, external, traits) for each in used})


def _asks_for_no_slot(used: Sequence[Filament], mapping: Sequence[int] | None) -> bool:
    return mapping is None or all(_asked(mapping, each) == UNUSED for each in used)


def _told(used: Sequence[Filament], count: int, chosen: dict[int, tuple[int, AmsSlot]]) -> AmsMapping:
    for each in used:
        if not each.tray_info_idx and chosen[each.id][0] != UNUSED:
            raise FilamentMismatch(
                f"Filament {each.id} has no tray_info_idx, so the printer would ignore its AMS: slice the file again."
            )
    length = max([count, *(each.id for each in used)])
    entries = [chosen.get(number, (UNUSED, _NO_SLOT)) for number in range(1, length + 1)]
    use_ams = not used or any(flat != UNUSED for flat, _ in entries)
    return AmsMapping(use_ams, tuple(flat for flat, _ in entries), tuple(slot for _, slot in entries))


def _slot_of(place: _Place) -> AmsSlot:
    return AmsSlot(place.unit, 0 if place.unit >= _HT else place.slot.id)


def _choose(filament: Filament, places: Sequence[_Place]) -> _Place:
    loaded = [place for place in places if place.slot.loaded]
    same_preset = [each for each in loaded if filament.tray_info_idx and each.slot.info == filament.tray_info_idx]
    if len(same_preset) == 1:
        return same_preset[0]
    look = _rgb(filament.color)
    same_look = [each for each in loaded if each.slot.type == filament.type and look and _rgb(each.slot.color) == look]
    if len(same_look) == 1:
        return same_look[0]
    several = same_preset or same_look
    wanted = f"filament {filament.id} ({filament.type} {filament.color}, {filament.tray_info_idx or 'no preset'})"
    if several:
        where = " and ".join(each.text for each in several)
        raise FilamentMismatch(f"More than one slot would do for {wanted}: {where}. Say which with ams_mapping.")
    raise FilamentMismatch(f"No loaded slot fits {wanted}: load it, or say with ams_mapping what to use.")


def _need_distinct(used: Sequence[Filament], chosen: dict[int, _Place]) -> None:
    taken: dict[str, Filament] = {}
    for each in used:
        other = taken.setdefault(chosen[each.id].text, each)
        if _rgb(other.color) != _rgb(each.color):
            raise FilamentMismatch(
                f"Filaments {other.id} and {each.id} have different colours and both fit only"
                f" {chosen[each.id].text}: load the other one, or say with ams_mapping what to use."
            )


def _rgb(color: str | None) -> str | None:
    return color.removeprefix("#").upper()[:6] if color else None


def _asked(mapping: Sequence[int], filament: Filament) -> int:
    return mapping[filament.id - 1] if filament.id <= len(mapping) else UNUSED


def _given(
    filament: Filament, mapping: Sequence[int], places: Sequence[_Place], external: Sequence[Slot], traits: Traits
) -> tuple[int, AmsSlot]:
    asked = _asked(mapping, filament)
    if asked == UNUSED:
        raise FilamentMismatch(
            f"ams_mapping says nothing for filament {filament.id} ({filament.type}), which the plate uses."
        )
    if asked in _EXTERNAL_TRAYS:
        _need_external(filament, external)
        left = traits.nozzles > 1 and asked == EXTERNAL
        return UNUSED, AmsSlot(254 if left else 255, 0)
    place = next((each for each in places if each.flat == asked), None)
    if place is None:
        raise FilamentMismatch(
            f"ams_mapping sends filament {filament.id} to slot {asked}, which the printer does not have."
        )
    if not place.slot.loaded:
        raise FilamentMismatch(f"ams_mapping sends filament {filament.id} to {place.text}, which is empty.")
    if place.slot.type != filament.type:
        raise FilamentMismatch(
            f"Filament {filament.id} is {filament.type}, and {place.text} holds {place.slot.type or 'a stranger'}."
        )
    return place.flat, _slot_of(place)


def _need_external(filament: Filament, external: Sequence[Slot]) -> None:
    types = {slot.type for slot in external if slot.type}
    if types and filament.type not in types:
        raise FilamentMismatch(
            f"Filament {filament.id} is {filament.type}, and the external spool is {' and '.join(sorted(types))}."
        )
