"""Typed reading of the filament in a report: AMS units, slots, external spools, what is loaded (reference 7.6)."""

from dataclasses import dataclass
from typing import Final

from bambu_connector.bambu.lenient import Fields, bits, fields, items, number, text, whole
from bambu_connector.bambu.models import Traits

EXTERNAL: Final = 254
"""How an external spool is named in commands and in the status, whatever the printer calls it."""
_HT: Final = 128  # unit ids of AMS HT begin here; one slot each
_LITE_BASE: Final = 24  # where A2L's AMS Lite has its bits in the tray masks
_KINDS: Final = {1: "AMS", 2: "AMS Lite", 3: "AMS 2 Pro", 4: "AMS HT", 5: "AMS Lite"}
_DRYING: Final = range(1, 5)  # drying state of `info`: checking, drying, cooling, stopping
_NOTHING: Final = (65535, 0xFEFF)
_EXTERNAL_SNOW: Final = {0xFF00: 255, 0xFE00: 254}


@dataclass(frozen=True, slots=True)
class Slot:
    """One place for a spool. `loaded` None: not told. Colour is RRGGBBAA, `remaining` percent, temperatures °C."""

    id: int
    loaded: bool | None
    type: str | None = None
    color: str | None = None
    name: str | None = None
    info: str | None = None
    tag_id: str | None = None
    remaining: int | None = None
    nozzle_temp_min: int | None = None
    nozzle_temp_max: int | None = None


@dataclass(frozen=True, slots=True)
class Drying:
    """A unit that dries: minutes left and °C, None where not told."""

    minutes_left: int | None
    temperature: int | None


@dataclass(frozen=True, slots=True)
class AmsUnit:
    """One AMS. `humidity` is the index 1 to 5, 5 is dry; `humidity_percent` relative humidity; `temp` °C."""

    id: int
    kind: str
    humidity: int | None
    humidity_percent: int | None
    temp: float | None
    drying: Drying | None
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class ActiveSlot:
    """The slot that feeds the nozzle; an external spool is `ams_id` and `slot_id` 254."""

    ams_id: int
    slot_id: int


def tray_bit(unit: int, slot: int, traits: Traits) -> int:
    """Return the number of a slot's bit in `tray_exist_bits` and its like."""
    if unit >= _HT:
        return 16 + unit - _HT
    if unit == traits.ams_lite_unit:
        return _LITE_BASE + slot
    return unit * 4 + slot


def read_units(report: Fields, traits: Traits) -> tuple[AmsUnit, ...]:
    """Return the units that the report tells, in its order."""
    ams = fields(report.get("ams"))
    exist = bits(ams.get("tray_exist_bits"))
    units = []
    for each in items(ams.get("ams")):
        number_ = whole(each.get("id"))
        if number_ is not None and number_ >= 0:
            units.append(_unit(number_, each, exist, traits))
    return tuple(units)


def _unit(unit: int, each: Fields, exist: int | None, traits: Traits) -> AmsUnit:
    info = bits(each.get("info"))
    kind = _KINDS.get(info & 0xF) if info is not None else None
    humidity = whole(each.get("humidity"))
    percent = whole(each.get("humidity_raw"))
    temp = number(each.get("temp"))
    slots = []
    for tray in items(each.get("tray")):
        slot = whole(tray.get("id"))
        if slot is not None and slot >= 0:
            there = None if exist is None else bool(exist >> tray_bit(unit, slot, traits) & 1)
            slots.append(read_slot(slot, tray, there))
    return AmsUnit(
        id=unit,
        kind=kind or ("AMS HT" if unit >= _HT else traits.ams_kind),
        humidity=humidity if humidity is not None and 1 <= humidity <= 5 else None,
        humidity_percent=percent if percent is not None and 0 <= percent <= 100 else None,
        # Right after power-up a unit reports nonsense; an AMS Lite has no sensor and says 0.0.
        temp=round(temp, 1) if temp is not None and -20 <= temp <= 100 and temp != 0.0 else None,
        drying=_drying(each, info),
        slots=tuple(slots),
    )


def _drying(each: Fields, info: int | None) -> Drying | None:
    minutes = whole(each.get("dry_time"))
    if not minutes and (info is None or (info >> 4 & 0xF) not in _DRYING):
        return None
    return Drying(minutes, whole(fields(each.get("dry_setting")).get("dry_temperature")))


def read_slot(slot: int, tray: Fields, there: bool | None) -> Slot:
    """Return one tray; `there` is its bit of `tray_exist_bits`, which wins over fields that linger."""
    kind = text(tray.get("tray_type"))
    if there is None:
        there = True if kind else False if tray.keys() <= {"id", "state"} else None
    if there is False:
        return Slot(slot, loaded=False)
    remaining = whole(tray.get("remain"))
    return Slot(
        id=slot,
        loaded=there,
        type=kind,
        color=_color(tray, kind),
        name=text(tray.get("tray_sub_brands")),
        info=text(tray.get("tray_info_idx")),
        tag_id=_tag(tray.get("tag_uid")),
        remaining=remaining if remaining is not None and 0 <= remaining <= 100 else None,
        nozzle_temp_min=whole(tray.get("nozzle_temp_min")),
        nozzle_temp_max=whole(tray.get("nozzle_temp_max")),
    )


def _color(tray: Fields, kind: str | None) -> str | None:
    color = text(tray.get("tray_color"))
    if color is None or len(color) != 8 or (kind is None and color.endswith("00")):
        return None
    return color.upper()


def _tag(value: object) -> str | None:
    tag = text(value)
    return tag if tag and tag.strip("0") else None


def read_external(report: Fields) -> tuple[Slot, ...]:
    """Return the external spools: `vir_slot` where it is sent, else `vt_tray`."""
    trays = items(report.get("vir_slot")) or [fields(report.get("vt_tray"))]
    found = []
    for tray in trays:
        slot = whole(tray.get("id"))
        if slot is not None:
            found.append(read_slot(slot, tray, there=None))
    return tuple(found)


def read_active(report: Fields, traits: Traits) -> ActiveSlot | None:
    """Return the slot that feeds the nozzle, None when none does or nobody said."""
    extruder = fields(fields(report.get("device")).get("extruder"))
    state = whole(extruder.get("state"))
    heads = items(extruder.get("info"))
    if heads and (traits.tray_now_is_local or len(heads) > 1):
        current = 0 if state is None else state >> 4 & 0xF
        return next((_snow(head.get("snow")) for head in heads if whole(head.get("id")) == current), None)
    now = whole(fields(report.get("ams")).get("tray_now"))
    if now is None or now == 255 or now < 0:
        return None
    if now == EXTERNAL:
        return ActiveSlot(EXTERNAL, EXTERNAL)
    if now >= _HT:
        return ActiveSlot(now, 0)
    if traits.ams_lite_unit is not None and traits.tray_now_is_local:
        return ActiveSlot(traits.ams_lite_unit, now)
    return ActiveSlot(*divmod(now, 4))


def _snow(value: object) -> ActiveSlot | None:
    snow = whole(value)
    if snow is None or snow in _NOTHING or snow < 0:
        return None
    if snow in _EXTERNAL_SNOW:
        return ActiveSlot(EXTERNAL, EXTERNAL)
    return ActiveSlot(snow >> 8, snow & 0xFF)
