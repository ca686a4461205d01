"""Situations of a printer for the tests: one that allows everything, and ways to spoil it."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

import bambu_connector.virtual
from bambu_connector.bambu.models import TRAITS, Model, Traits
from bambu_connector.bambu.view import View
from bambu_connector.errors import AccessDenied, IdentityMismatch, TooManyClients, Unreachable
from bambu_connector.printago import orders
from bambu_connector.printago.orders import DirectOrder, SlotRef
from bambu_connector.translate.situation import Situation
from tests.bambu.reports import Fields, h2d, p1s, spoiled

P1S: Final = TRAITS[Model.P1S]
X1E: Final = TRAITS[Model.X1E]
H2D: Final = TRAITS[Model.H2D]
UNTOLD: Final = "untold"
"""A state that stands for a report without `gcode_state`."""
STATES: Final = ("IDLE", "PREPARE", "SLICING", "RUNNING", "PAUSE", "FINISH", "FAILED", "INIT", "UNKNOWN", "", UNTOLD)
INACTIVE: Final = frozenset({"IDLE", "FINISH", "FAILED"})
ACTIVE: Final = frozenset({"PREPARE", "SLICING", "RUNNING", "PAUSE"})
UNKNOWN: Final = frozenset(STATES) - INACTIVE - ACTIVE
DEVELOPER_MODE_OFF: Final = "3EC1AFFF9CFF"
DEVELOPER_MODE_ON: Final = "3EC18FFF9CFF"


@cache
def _virtual(name: str) -> Fields:
    found: Fields = json.loads(
        (Path(bambu_connector.virtual.__file__).parent / "reports" / f"{name}.json").read_bytes()
    )
    return found


def virtual(name: str) -> Fields:
    """Return the full report that a virtual printer begins with."""
    report: Fields = json.loads(json.dumps(_virtual(name)["push_status"]))
    return report


def ready(**changes: Any) -> Fields:
    """A report of an idle, homed P1S with a hot nozzle, filament at the head and an error to clear: all is allowed."""
    return p1s(**{"nozzle_temper": 220.0, "hw_switch_state": 1, "print_error": 0x07008011} | changes)


def in_state(state: str, **changes: Any) -> Fields:
    """The same in a `gcode_state`."""
    report = ready(gcode_state=state, **changes)
    if state == UNTOLD:
        del report["gcode_state"]
    return report


def situation(report: Fields | None = None, traits: Traits = P1S, **changes: Any) -> Situation:
    """Return a situation that allows whatever the report allows."""
    view = View(ready() if report is None else report, traits)
    now = Situation(traits=traits, connected=True, view=view, developer_mode=view.developer_mode, report_age=1.0)
    return replace(now, **changes)


def on(now: Situation, traits: Traits) -> Situation:
    """Return the same situation of another model."""
    return replace(now, traits=traits, view=None if now.view is None else View(now.view.report, traits))


# -- one order of each kind, and the machines that can carry it out ---------------------------------

# fmt: off
DIRECT: Final[dict[str, tuple[DirectOrder | orders.StopPrint, Traits]]] = {
    "pause_print": (orders.PausePrint(), P1S),
    "resume_print": (orders.ResumePrint(), P1S),
    "stop_print": (orders.StopPrint(), P1S),
    "set_hotend": (orders.SetHotend(200), P1S),
    "set_bed": (orders.SetBed(60), P1S),
    "set_chamber": (orders.SetChamber(45), X1E),
    "jog": (orders.Jog({"x": 1.0}), P1S),
    "extrude": (orders.Extrude(5), P1S),
    "home": (orders.Home(), P1S),
    "set_fan": (orders.SetFan("part", 50), P1S),
    "set_light": (orders.SetLight("chamber_light", "off"), P1S),
    "set_speed": (orders.SetSpeed(3), P1S),
    "load": (orders.LoadFilament(SlotRef(0, 1)), P1S),
    "unload": (orders.UnloadFilament(), P1S),
    "refresh_slot": (orders.RefreshSlot(SlotRef(0, 2)), P1S),
    "set_slot": (orders.SetSlot(slot=SlotRef(0, 3), type="PETG", color="336699FF", nozzle_temp_min=230,
                                nozzle_temp_max=260), P1S),
    "calibrate": (orders.Calibrate(bed_level=True), P1S),
    "skip_objects": (orders.SkipObjects((98,)), P1S),
    "clear_error": (orders.ClearError(), P1S),
}
# fmt: on
MOVES_OR_HEATS: Final = frozenset(
    {"jog", "home", "extrude", "set_hotend", "set_bed", "set_chamber", "calibrate", "load", "unload"}
)
MOVING: Final = (
    orders.Jog | orders.Home | orders.Extrude | orders.SetHotend | orders.SetBed | orders.SetChamber
    | orders.Calibrate | orders.LoadFilament | orders.UnloadFilament
)  # fmt: skip

# -- any order in any situation ---------------------------------------------------------------------

_NUMBERS: Final = st.floats() | st.integers(-1000, 13000).map(float) | st.sampled_from([0.0, 170.0, 100.0, 300.0])
_TOOLS: Final = st.integers(-1, 3)
_SLOTS: Final = st.builds(SlotRef, st.integers(-1, 4) | st.sampled_from([16, 128, 254]), st.integers(-1, 4))
ANY_ORDER: Final[st.SearchStrategy[DirectOrder | orders.StopPrint]] = st.one_of(
    st.sampled_from([order for order, _ in DIRECT.values()]),
    st.builds(orders.SetHotend, _NUMBERS, _TOOLS),
    st.builds(orders.SetBed, _NUMBERS),
    st.builds(orders.SetChamber, _NUMBERS),
    st.builds(orders.Jog, st.dictionaries(st.sampled_from("xyz"), _NUMBERS, min_size=1), st.booleans(), _NUMBERS),
    st.builds(orders.Extrude, _NUMBERS, _NUMBERS, _TOOLS),
    st.builds(orders.SetFan, st.sampled_from(["part", "aux", "chamber"]), _NUMBERS),
    st.builds(
        orders.SetLight, st.sampled_from(["chamber_light", "work_light"]), st.sampled_from(["on", "off", "flashing"])
    ),
    st.builds(orders.LoadFilament, _SLOTS, st.none() | _NUMBERS, _TOOLS),
    st.builds(orders.UnloadFilament, st.none() | _NUMBERS, _TOOLS),
    st.builds(orders.RefreshSlot, _SLOTS),
)
_LINK_ERRORS: Final = (AccessDenied, IdentityMismatch, Unreachable, TooManyClients)


@st.composite
def any_report(draw: st.DrawFn) -> Fields:
    """A report of some printer in some state, perhaps with nonsense in some places."""
    report = draw(st.sampled_from([ready, h2d]))()
    report["gcode_state"] = draw(st.sampled_from(STATES))
    report["home_flag"] = draw(st.sampled_from([0x107, 0x106, 0, -1]))
    report["fun"] = draw(st.sampled_from([None, DEVELOPER_MODE_ON, DEVELOPER_MODE_ON, DEVELOPER_MODE_OFF]))
    return draw(spoiled(report)) if draw(st.booleans()) else report


@st.composite
def any_situation(draw: st.DrawFn, /, **fixed: Any) -> Situation:
    """Any situation; `fixed` are the fields that it must have."""
    traits = TRAITS[draw(st.sampled_from(Model))]
    found = Situation(
        traits=traits,
        developer_mode=draw(st.sampled_from([None, True, False])),
        connected=draw(st.sampled_from([True, True, True, False])),
        view=draw(st.none() | any_report().map(lambda report: View(report, traits))),
        link_error=draw(
            st.none() | st.sampled_from(_LINK_ERRORS).map(lambda kind: kind("The connection could not be made."))
        ),
        report_age=draw(st.none() | st.floats(0, 100)),
        saw_home=draw(st.booleans()),
        job_under_way=draw(st.booleans()),
        start_out=draw(st.booleans()),
        start_unexplained=draw(st.booleans()),
    )
    return replace(found, **fixed)
