"""Partial reports folded into the last full one (reference 8).

The result is the printer's report as it stands: a value of a type that nobody can read stands there as it was
reported, and the next good one takes its place. The envelope (`command`, `msg`, `sequence_id`) stays that of the
full report, so that a delta which says nothing new returns the very same object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any, Final

import orjson

from bambu_connector.bambu.lenient import bits
from bambu_connector.bambu.report import Fields

ENVELOPE: Final = ("command", "msg", "sequence_id")
# X1 and H2D send full reports without `msg`: more keys than this make one (OctoEverywhere's figure).
FULL_KEYS: Final = 40
# What deltas can make of a report: 512 parts of 32 KiB, whatever a printer invents. Real ones have at most 98, and the
# largest (the trays of four AMS units) has 7 KiB. Texts and full reports are bounded where they are read.
MAX_KEYS: Final = 512
MAX_PART_BYTES: Final = 32 * 1024
_REDUCED_TRAY: Final = frozenset({"id", "state"})
_MISSING: Final = object()
_TAG_KEYS: Final = ("tag_uid", "tray_uuid")


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one place in the report is merged; what has no rule is merged as JSON is: objects deep, lists whole."""

    children: Mapping[str, "_Rule"] = field(default_factory=dict)
    """Rules for the keys of an object; of a list that is merged by id, for the keys of each item."""
    by_id: bool = False
    trays: bool = False
    """The items are trays: a bare one is an emptied one, and a zeroed tag does not erase a known one."""


_PLAIN: Final = _Rule()
_ITEMS: Final = _Rule(by_id=True)
_TRAYS: Final = _Rule(by_id=True, trays=True)
_AMS: Final = _Rule({"ams": _Rule({"tray": _TRAYS}, by_id=True)})
_DEVICE: Final = _Rule(
    {name: _Rule({key: _ITEMS}) for name, key in (("extruder", "info"), ("nozzle", "info"), ("airduct", "parts"))}
)
_REPORT: Final = {"ams": _AMS, "vir_slot": _TRAYS, "device": _DEVICE}


def fold(base: Fields | None, delta: Fields) -> Fields | None:
    """Return the report after `delta`; None as long as no full report has come.

    Costs what the delta costs: every part that the delta does not change is the same object in the result, and if it
    changes nothing the result is `base`. A full report is taken as it is. Neither argument is changed.

    What deltas add is bounded: a part that becomes larger than `MAX_PART_BYTES` is forgotten (None) and begins anew
    with what is told of it next, and to a report of `MAX_KEYS` parts no other ones are added.
    """
    if delta.get("msg") != 1 and is_full(delta):
        return base if base is not None and _says_the_same(base, delta) else delta
    if base is None:
        return None
    told = delta.get("ams")
    return _fold_ams(base, delta, told) if type(told) is dict else _merge_report(base, delta)


def is_full(report: Fields) -> bool:
    """Say whether `report` tells the whole state and not only what changed."""
    kind = report.get("msg")
    if kind in (1, "1"):
        return False
    if kind in (0, "0"):
        return True
    return len(report) > FULL_KEYS and "gcode_state" in report and ("ams" in report or "nozzle_temper" in report)


def _says_the_same(base: Fields, full: Fields) -> bool:
    told = full | {key: base[key] for key in ENVELOPE if key in base}
    try:  # as fast as `==`, which takes True for 1 and 1.0
        return orjson.dumps(told) == orjson.dumps(base)
    except TypeError:  # what did not come from `parse_report` need not be fit for JSON
        return False


def _merge_report(base: Fields, delta: Fields) -> Fields:
    """Merge the outermost object: the same as `_merge`, in the order that is fastest for many keys in few changes."""
    merged = base | delta
    for key, value in delta.items():
        kind = type(value)
        if kind is dict or kind is list:
            merged[key] = _merge_part(base.get(key), value, _REPORT.get(key, _PLAIN))
    if len(merged) > MAX_KEYS:
        merged = {key: value for key, value in merged.items() if key in base}
    for key in ENVELOPE:
        if key in base:
            merged[key] = base[key]
        else:
            merged.pop(key, None)
    return base if merged == base and _says_nothing_new(merged, base, delta) else merged


def _merge_part(old: Any, new: Any, rule: _Rule) -> Any:
    merged = _merge_value(old, new, rule)
    return merged if merged is old or _fits(merged) else None


def _fits(part: Any) -> bool:
    try:
        return len(orjson.dumps(part)) <= MAX_PART_BYTES
    except TypeError:  # as above
        return True


def _says_nothing_new(merged: Fields, base: Fields, delta: Fields) -> bool:
    """Judge a merged report that Python calls equal to its base: it takes `True` for 1 and 1.0."""
    for key in delta.keys() & merged.keys():
        value, before = merged[key], base[key]
        kind = type(value)
        if kind is not type(before) or (kind in (dict, list) and value is not before):
            return False
    return True


def _merge(old: Fields, new: Fields, rule: _Rule) -> Fields:
    changes: Fields = {}
    for key, value in new.items():
        before = old.get(key, _MISSING)
        kind = type(value)
        if kind is dict or kind is list:
            merged = _merge_value(before, value, rule.children.get(key, _PLAIN))
            if merged is not before:
                changes[key] = merged
        elif value != before or kind is not type(before):
            changes[key] = value
    return old | changes if changes else old


def _merge_value(old: Any, new: Any, rule: _Rule) -> Any:
    """Return an object or list merged into what stood there; `old` itself when that changes nothing."""
    if type(old) is not type(new):
        return new
    if type(new) is dict:
        return _merge(old, new, rule)
    if rule.by_id and _all_have_ids(new) and _all_have_ids(old):
        return _merge_by_id(old, new, rule)
    return old if _same(old, new) else new


def _all_have_ids(items: list[Any]) -> bool:
    return all(type(item) is dict and "id" in item for item in items)


def _merge_by_id(old: list[Fields], new: list[Fields], rule: _Rule) -> list[Fields]:
    """Merge items by `id`, which is `"0"` on one model and `0` on another; those that are not mentioned stay."""
    merged = old.copy()
    places = {str(item["id"]): place for place, item in enumerate(old)}
    for item in new:
        place = places.setdefault(str(item["id"]), len(merged))
        if place == len(merged):
            merged.append(item)
        elif rule.trays:
            merged[place] = _merge_tray(merged[place], item)
        else:
            merged[place] = _merge(merged[place], item, rule)
    return old if _same_objects(merged, old) else merged


def _same_objects(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))


def _merge_tray(old: Fields, new: Fields) -> Fields:
    if new.keys() <= _REDUCED_TRAY:
        return old if _same(old, new) else new
    merged = _merge(old, new, _PLAIN)
    if merged is old or any(old.get(key) != merged.get(key) for key in ("tray_type", "tray_color")):
        return merged
    known = {key: old[key] for key in _TAG_KEYS if key in old and _is_zero(merged[key])}
    return _merge(old, new | known, _PLAIN) if known else merged


def _is_zero(tag: object) -> bool:
    return not str(tag).strip("0")


def _same(one: object, other: object) -> bool:
    """Equality as JSON means it: true is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


# -- what the AMS bits say -------------------------------------------------------------------------


def _fold_ams(base: Fields, delta: Fields, told: Fields) -> Fields:
    """Merge a delta that speaks of the AMS (`told`), without the units and fillings that its bits say are not there."""
    unit_bits, tray_bits = bits(told.get("ams_exist_bits")), _changed_tray_bits(base.get("ams"), told)
    if unit_bits is not None and isinstance(told.get("ams"), list):
        delta = delta | {"ams": told | {"ams": _existing(told["ams"], unit_bits)}}
    merged = _merge_report(base, delta)
    ams = merged.get("ams")
    if not isinstance(ams, dict) or not isinstance(units := ams.get("ams"), list):
        return merged
    kept = units if unit_bits is None else _existing(units, unit_bits)
    if tray_bits is not None:
        told_trays = {_number(unit): _by_number(unit.get("tray")) for unit in _by_number(told.get("ams")).values()}
        kept = [_empty_trays(unit, tray_bits, told_trays.get(_number(unit), {})) for unit in kept]
    return merged if _same_objects(kept, units) else merged | {"ams": ams | {"ams": kept}}


def _existing(units: list[Any], exist_bits: int) -> list[Any]:
    return [unit for unit in units if _unit_exists(unit, exist_bits)]


def _changed_tray_bits(before: object, told: Fields) -> int | None:
    """Return the tray bits if this delta changes them; what they only repeat was obeyed before.

    An AMS that powers down sends all zeros while its spools stay where they are.
    """
    text = told.get("tray_exist_bits")
    if isinstance(before, dict) and before.get("tray_exist_bits") == text:
        return None
    found = bits(text)
    return None if found == 0 and told.get("power_on_flag") is False else found


def _number(item: object) -> int | None:
    """The id of a unit or tray, None when there is none that counts."""
    text = str(item.get("id")) if isinstance(item, dict) else ""
    return int(text) if text.isdecimal() and len(text) < 5 else None


def _by_number(items: object) -> dict[int | None, Fields]:
    return {_number(item): item for item in items if isinstance(item, dict)} if isinstance(items, list) else {}


def _unit_exists(unit: object, exist_bits: int) -> bool:
    """Units 0 to 3 have their own bit, HT units (128 and up) those from 4; of others only all-zero bits tell."""
    match _number(unit):
        case int(number) if number >= 128:
            return bool(exist_bits >> (4 + number - 128) & 1)
        case int(number) if number < 4:
            return bool(exist_bits >> number & 1)
        case _:
            return exist_bits != 0


def _tray_bit(unit: int, slot: int) -> int | None:
    if unit >= 128:
        return 16 + unit - 128
    if unit == 16:  # the A2L's AMS Lite
        return 24 + slot
    return unit * 4 + slot if unit < 4 else None


def _empty_trays(unit: Any, exist_bits: int, told: Mapping[int | None, Fields]) -> Any:
    """Forget what lingers in trays without a bit; what this delta itself says of them (`told`) stands."""
    number, trays = _number(unit), unit.get("tray") if isinstance(unit, dict) else None
    if number is None or not isinstance(trays, list):
        return unit
    kept = [told.get(_number(tray), _reduced(tray)) if _is_empty(number, tray, exist_bits) else tray for tray in trays]
    return unit if _same(kept, trays) else unit | {"tray": kept}


def _is_empty(unit: int, tray: object, exist_bits: int) -> bool:
    slot = _number(tray)
    bit = None if slot is None else _tray_bit(unit, slot)
    return bit is not None and not exist_bits >> bit & 1


def _reduced(tray: Fields) -> Fields:
    return tray if tray.keys() <= _REDUCED_TRAY else {key: tray[key] for key in ("id", "state") if key in tray}
