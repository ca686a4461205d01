"""(order, situation) → one request and the evidence that it was obeyed, or a refusal. Touches nothing.

One function for each order: first its guards, then its limits, then its request. The evidence is the contract's
table "When it counts as done".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from bambu_connector.bambu import gcode, request
from bambu_connector.bambu.filament import EXTERNAL, tray_bit
from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.request import Request
from bambu_connector.bambu.view import GcodeState, View
from bambu_connector.errors import (
    FilamentMismatch,
    InvalidParameters,
    NotHomed,
    NotSupported,
    OutOfRange,
    TooCold,
    WrongState,
)
from bambu_connector.printago import orders
from bambu_connector.printago.orders import DirectOrder, SlotRef
from bambu_connector.translate import guards
from bambu_connector.translate.guards import FRESH_S
from bambu_connector.translate.situation import Situation

Predicate = Callable[[View], bool]

STATE_S: Final = 60.0
TARGET_S: Final = 15.0
FIELD_S: Final = 10.0
REPLY_S: Final = 10.0

JOG_MAX_MM: Final = 100.0
Z_MIN_MM: Final = 5.0
JOG_FEED: Final = (1.0, 12000.0)  # mm/min
EXTRUDE_MAX_MM: Final = 100.0
EXTRUDE_FEED: Final = (1.0, 1800.0)
EXTRUDE_FROM_C: Final = 170.0
CHAMBER_MIN_C: Final = 40.0  # below it, and above 0, the printers take it for off
CHANGE_C: Final = 210  # what Bambu Studio changes filament with when nothing better is known
FAN_STEP: Final = 9  # fans that know 16 steps report the nearest one: half a step, in 255ths


@dataclass(frozen=True, slots=True)
class Shown:
    """The report shows it. Where it showed it before, a reply that says success is evidence too."""

    predicate: Predicate
    within: float


@dataclass(frozen=True, slots=True)
class Replied:
    """The reply says success; else, with `probe`, a `get_version` asked after it is answered and no error came."""

    within: float = REPLY_S
    probe: bool = True


Evidence = Shown | Replied


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, how to know that it was obeyed, and how to say it (the past tense, for a person)."""

    request: Request
    evidence: Evidence
    done: str


def plan(order: DirectOrder | orders.StopPrint, now: Situation) -> Plan:
    """Return what the order means on this printer. Raises ConnectorError when it is refused."""
    match order:
        case orders.PausePrint():
            guards.guard_pause(now)
            return Plan(
                request.Pause(), Shown(lambda view: view.state is GcodeState.PAUSE, STATE_S), "The print is paused."
            )
        case orders.ResumePrint():
            guards.guard_resume(now)
            resumed = Shown(lambda view: view.state is GcodeState.RUNNING, STATE_S)
            return Plan(request.Resume(), resumed, "The print goes on.")
        case orders.StopPrint():
            return _stop(now)
        case orders.SetHotend() | orders.SetBed() | orders.SetChamber():
            return _heat(order, now)
        case orders.Jog() | orders.Extrude() | orders.Home():
            return _move(order, now)
        case orders.SetFan() | orders.SetLight() | orders.SetSpeed():
            return _switch(order, now)
        case orders.LoadFilament() | orders.UnloadFilament() | orders.RefreshSlot() | orders.SetSlot():
            return _filament(order, now)
        case orders.Calibrate() | orders.SkipObjects() | orders.ClearError():
            return _maintain(order, now)
        case _:
            assert_never(order)


def _stop(now: Situation) -> Plan:
    view = guards.guard_stop(now)
    if view is None or not view.is_active:
        return Plan(request.Stop(), Replied(STATE_S, probe=False), "The printer took the stop.")
    return Plan(request.Stop(), Shown(lambda after: after.is_inactive, STATE_S), "The print was stopped.")


def _within(value: float, lowest: float, highest: float, what: str, unit: str) -> None:
    if not (math.isfinite(value) and lowest <= value <= highest):
        raise OutOfRange(f"{what} must be between {lowest:g} and {highest:g} {unit}, not {value:g}.")


# -- heat ------------------------------------------------------------------------------------------


def _heat(order: orders.SetHotend | orders.SetBed | orders.SetChamber, now: Situation) -> Plan:
    traits = now.traits
    match order:
        case orders.SetHotend(temperature, tool):
            view = guards.need_stillness(now, paused_is_still=True)
            _need_tool(tool, traits)
            _within(temperature, 0, traits.nozzle_max, "The nozzle's temperature", "°C")
            target = round(temperature)
            lines = gcode.hotend(target, tool=tool if traits.nozzles > 1 else None)
            shown = Shown(lambda after: _nozzle_target(after, tool) == target, TARGET_S)
            return Plan(request.GcodeLine(lines), shown, f"The nozzle's target is {target} °C.")
        case orders.SetBed(temperature):
            view = guards.need_stillness(now, paused_is_still=True)
            limit = traits.bed_max_220v if traits.bed_max_220v and view.mains_220v else traits.bed_max
            _within(temperature, 0, limit, "The bed's temperature", "°C")
            target = round(temperature)
            shown = Shown(lambda after: after.bed.target == target, TARGET_S)
            return Plan(request.GcodeLine(gcode.bed(target)), shown, f"The bed's target is {target} °C.")
        case orders.SetChamber(temperature):
            guards.need_stillness(now, paused_is_still=True)
            if traits.chamber_heat is None or traits.chamber_max is None:
                raise NotSupported(f"{traits.display_name} has no chamber heater.")
            if temperature != 0:
                _within(temperature, CHAMBER_MIN_C, traits.chamber_max, "The chamber's temperature (0 is off)", "°C")
            target = round(temperature)
            shown = Shown(lambda after: after.chamber.target == target, TARGET_S)
            lines = gcode.chamber(target, how=traits.chamber_heat)
            return Plan(request.GcodeLine(lines), shown, f"The chamber's target is {target} °C.")
        case _:
            assert_never(order)


def _need_tool(tool: int, traits: Traits) -> None:
    if not 0 <= tool < traits.nozzles:
        raise OutOfRange(f"{traits.display_name} has no tool {tool}: it has {traits.nozzles}, counted from 0.")


def _nozzle_target(view: View, tool: int) -> int | None:
    return next((nozzle.temperature.target for nozzle in view.nozzles if nozzle.id == tool), None)


# -- movement --------------------------------------------------------------------------------------


def _move(order: orders.Jog | orders.Extrude | orders.Home, now: Situation) -> Plan:
    match order:
        case orders.Home():
            guards.need_stillness(now, paused_is_still=False)
            return Plan(request.GcodeLine(gcode.home()), Replied(), "Homing was taken by the printer.")
        case orders.Jog():
            return _jog(order, now)
        case orders.Extrude():
            return _extrude(order, now)
        case _:
            assert_never(order)


def _jog(order: orders.Jog, now: Situation) -> Plan:
    view = guards.need_stillness(now, paused_is_still=False)
    _within(order.speed, *JOG_FEED, "The speed", "mm/min")
    for axis, value in order.axes.items():
        _check_travel(axis, value, order.relative, now.traits)
    for axis in order.axes:
        homed = getattr(view.homed, axis)
        if not (homed or (homed is None and now.saw_home)):
            raise NotHomed(f"Axis {axis} is not known to be homed: home the printer first.")
    lines = gcode.jog(order.axes, relative=order.relative, feed=round(order.speed), signs=now.traits.jog_signs)
    return Plan(request.GcodeLine(lines), Replied(), "The move was taken by the printer.")


def _check_travel(axis: str, value: float, relative: bool, traits: Traits) -> None:
    if relative:
        _within(value, -JOG_MAX_MM, JOG_MAX_MM, f"A relative move of {axis}", "mm")
        return
    if traits.volume is None:
        raise NotSupported("Absolute moves need a model whose volume is known: set `model` for this printer.")
    lowest = Z_MIN_MM if axis == "z" else 0.0
    _within(value, lowest, dict(zip("xyz", traits.volume, strict=True))[axis], f"The position of {axis}", "mm")


def _extrude(order: orders.Extrude, now: Situation) -> Plan:
    view = guards.need_stillness(now, paused_is_still=True)
    _need_tool(order.tool, now.traits)
    _within(order.amount, -EXTRUDE_MAX_MM, EXTRUDE_MAX_MM, "The amount", "mm")
    _within(order.speed, *EXTRUDE_FEED, "The speed", "mm/min")
    nozzle = next((each for each in view.nozzles if each.id == order.tool), None)
    current = nozzle.temperature.current if nozzle else None
    if current is None or current < EXTRUDE_FROM_C or now.report_age is None or now.report_age > FRESH_S:
        raise TooCold(f"The nozzle is not known to be at {EXTRUDE_FROM_C:.0f} °C or more: heat it first.")
    done = "The filament's move was taken by the printer."
    if now.traits.nozzles == 1:
        return Plan(request.GcodeLine(gcode.extrude(order.amount, feed=round(order.speed))), Replied(), done)
    if order.amount != int(order.amount):
        raise InvalidParameters(f"amount must be whole millimetres on {now.traits.display_name}.")
    return Plan(request.SetExtrusionLength(order.tool, int(order.amount)), Replied(), done)


# -- light, air, speed -----------------------------------------------------------------------------


def _switch(order: orders.SetFan | orders.SetLight | orders.SetSpeed, now: Situation) -> Plan:
    match order:
        case orders.SetFan(fan, percent):
            guards.need_print_control(now)
            if fan not in now.traits.fans:
                raise NotSupported(f"{now.traits.display_name} has no {fan} fan.")
            _within(percent, 0, 100, "The fan's speed", "%")
            percent = round(percent)
            speed = round(percent * 255 / 100)
            shown = Shown(lambda after: _fan_shows(after.fan(fan), speed), FIELD_S)
            return Plan(request.GcodeLine(gcode.fan(fan, percent)), shown, f"The {fan} fan is at {percent} %.")
        case orders.SetLight(light, state):
            view = guards.need_report(now)
            if light == "work_light" and not now.traits.work_light and view.light(light) is None:
                raise NotSupported(f"{now.traits.display_name} has no {light}.")
            shown = Shown(lambda after: after.light(light) == state, FIELD_S)
            return Plan(request.LedControl(light, state), shown, f"The {light} is {state}.")
        case orders.SetSpeed(level):
            guards.need_running_or_paused(now)
            shown = Shown(lambda after: after.speed_level == level, FIELD_S)
            return Plan(request.PrintSpeed(level), shown, f"The speed level is {level}.")
        case _:
            assert_never(order)


def _fan_shows(shown: int | None, wanted: int) -> bool:
    return shown is not None and abs(shown - wanted) <= FAN_STEP and (shown == 0 or wanted > 0)


# -- filament --------------------------------------------------------------------------------------

_FilamentOrder = orders.LoadFilament | orders.UnloadFilament | orders.RefreshSlot | orders.SetSlot


def _filament(order: _FilamentOrder, now: Situation) -> Plan:
    match order:
        case orders.LoadFilament():
            view = guards.need_stillness(now, paused_is_still=True)
            return Plan(_load(order, view, now.traits), Replied(), "Loading was taken by the printer.")
        case orders.UnloadFilament():
            view = guards.need_stillness(now, paused_is_still=True)
            return Plan(_unload(order, view, now.traits), Replied(), "Unloading was taken by the printer.")
        case orders.RefreshSlot(slot):
            view = guards.need_print_control(now)
            _need_slot(slot, view)
            if slot.ams_id == EXTERNAL:
                raise NotSupported("An external spool has no tag reader.")
            if view.active_slot is not None:
                raise WrongState("A tag can be read only while no filament is loaded: unload first.")
            return Plan(request.AmsGetRfid(slot.ams_id, slot.slot_id), Replied(), "The slot is being read.")
        case orders.SetSlot():
            view = guards.need_print_control(now)
            _need_slot(order.slot, view)
            return Plan(_describe(order), Replied(), "The slot's filament was told to the printer.")
        case _:
            assert_never(order)


def _need_slot(slot: SlotRef, view: View) -> None:
    if slot.ams_id == EXTERNAL:
        return
    unit = next((each for each in view.ams if each.id == slot.ams_id), None)
    if unit is None:
        raise OutOfRange(f"The printer has no AMS {slot.ams_id}.")
    if slot.slot_id not in {each.id for each in unit.slots}:
        raise OutOfRange(f"AMS {slot.ams_id} has no slot {slot.slot_id}.")


def _load(order: orders.LoadFilament, view: View, traits: Traits) -> Request:
    _need_tool(order.tool, traits)
    _need_slot(order.slot, view)
    target = -1
    if order.temperature is not None:
        _within(order.temperature, EXTRUDE_FROM_C, traits.nozzle_max, "The temperature", "°C")
        target = round(order.temperature)
    extruder = order.tool if traits.nozzles > 1 else None
    slot = order.slot
    if slot.ams_id == EXTERNAL:
        return _load_external(order.tool, None if order.temperature is None else target, view, traits)
    for unit_ in view.ams:
        for each in unit_.slots:
            if (unit_.id, each.id) == (slot.ams_id, slot.slot_id) and each.loaded is False:
                raise FilamentMismatch(f"Slot {slot.slot_id} of AMS {slot.ams_id} is empty.")
    tray = slot.ams_id if slot.ams_id >= 128 else tray_bit(slot.ams_id, slot.slot_id, traits)
    return request.AmsChangeFilament(
        ams_id=slot.ams_id, slot_id=slot.slot_id, target=tray, tar_temp=target, extruder_id=extruder
    )


def _load_external(tool: int, wanted: int | None, view: View, traits: Traits) -> Request:
    """Unlike that of an AMS, the temperatures of an external spool are told by whoever loads it (reference 5.3)."""
    unit = traits.external_slot.get(tool, EXTERNAL)
    spool = next((each for each in view.external if each.id == unit), None)
    target = wanted
    if target is None and spool and spool.nozzle_temp_min and spool.nozzle_temp_max:
        target = (spool.nozzle_temp_min + spool.nozzle_temp_max) // 2  # what Bambu Studio takes
    if target is None or not EXTRUDE_FROM_C <= target <= traits.nozzle_max:
        target = CHANGE_C
    nozzle = next((each for each in view.nozzles if each.id == tool), None)
    known = nozzle.temperature.current if nozzle else None
    current = target if known is None else round(known)
    if traits.nozzles == 1:
        return request.AmsChangeFilament(
            ams_id=255, slot_id=EXTERNAL, target=EXTERNAL, curr_temp=current, tar_temp=target
        )
    return request.AmsChangeFilament(
        ams_id=unit, slot_id=0, target=unit, curr_temp=current, tar_temp=target, extruder_id=tool
    )


def _unload(order: orders.UnloadFilament, view: View, traits: Traits) -> Request:
    _need_tool(order.tool, traits)
    active = view.active_slot
    if active is None and view.filament_at_head is False:
        raise WrongState("No filament is loaded.")
    target = CHANGE_C
    if order.temperature is not None:
        _within(order.temperature, EXTRUDE_FROM_C, traits.nozzle_max, "The temperature", "°C")
        target = round(order.temperature)
    nozzle = view.active_nozzle
    current = nozzle.temperature.current if nozzle else None
    source = active.ams_id if active else 255
    return request.AmsChangeFilament(
        ams_id=traits.external_slot.get(order.tool, EXTERNAL) if source == EXTERNAL else source,
        slot_id=255,
        target=255,
        curr_temp=target if current is None else round(current),
        tar_temp=target,
        extruder_id=order.tool if traits.nozzles > 1 else None,
    )


def _describe(order: orders.SetSlot) -> Request:
    external = order.slot.ams_id == EXTERNAL
    return request.AmsFilamentSetting(
        ams_id=255 if external else order.slot.ams_id,
        slot_id=0 if external else order.slot.slot_id,
        tray_id=EXTERNAL if external else order.slot.slot_id,
        tray_info_idx=order.tray_info_idx,
        tray_type=order.type,
        tray_color=order.color,
        nozzle_temp_min=order.nozzle_temp_min,
        nozzle_temp_max=order.nozzle_temp_max,
    )


# -- the rest --------------------------------------------------------------------------------------


def _maintain(order: orders.Calibrate | orders.SkipObjects | orders.ClearError, now: Situation) -> Plan:
    match order:
        case orders.Calibrate():
            guards.need_stillness(now, paused_is_still=False)
            option = sum(bit for name, bit in request.CALIBRATION_BITS.items() if getattr(order, name))
            return Plan(request.Calibration(option), Replied(), "The calibration was taken by the printer.")
        case orders.SkipObjects(objects):
            guards.need_running_or_paused(now)
            return Plan(request.SkipObjects(objects), Replied(), "The printer leaves the objects out.")
        case orders.ClearError():
            view = guards.need_print_control(now)
            error = view.print_error
            if not error:
                raise WrongState("There is no error to clear.")
            cleared = Shown(lambda after: not after.print_error, FIELD_S)
            subtask = view.identity.subtask_id or "0"
            return Plan(request.CleanPrintError(error, subtask), cleared, "The error was cleared.")
        case _:
            assert_never(order)
