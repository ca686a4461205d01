"""The g-code lines for what has no request of its own (reference 6). Numbers are checked before they come here."""

from collections.abc import Mapping
from typing import Final

from bambu_connector.bambu.models import ChamberHeat, JogSigns

Z_MAX_FEED: Final = 900  # mm/min; what Bambu Studio uses for Z, and slow enough for every bed
_FLAPS_SHUT_C: Final = 40  # what is warmer needs them shut, as Bambu Studio does it
_FANS: Final[Mapping[str, int]] = {"part": 1, "aux": 2, "chamber": 3}


def _number(value: float) -> str:
    return f"{value:.1f}"


def jog(axes: Mapping[str, float], *, relative: bool, feed: int, signs: JogSigns) -> tuple[str, ...]:
    """One move of all `axes` (mm) with `feed` in mm/min; soft endstops on, reference mode saved and restored.

    `signs` turn relative moves around where the bed carries the axis; absolute ones mean the machine's coordinates.
    """
    if "z" in axes:
        feed = min(feed, Z_MAX_FEED)
    turned = {axis: value * (getattr(signs, axis) if relative else 1) for axis, value in axes.items()}
    words = " ".join(f"{axis.upper()}{_number(turned[axis])}" for axis in "xyz" if axis in turned)
    return (
        "M211 S",
        "M211 X1 Y1 Z1",
        "M1002 push_ref_mode",
        "G91" if relative else "G90",
        f"G1 {words} F{feed}",
        "M1002 pop_ref_mode",
        "M211 R",
    )


def extrude(amount: float, *, feed: int) -> tuple[str, ...]:
    """Move `amount` mm of filament (negative retracts) with `feed` in mm/min."""
    return ("M83", f"G0 E{_number(amount)} F{feed}")


def home() -> tuple[str, ...]:
    """Home all axes; homing Z alone can hit the bed (H2, X1)."""
    return ("G28",)


def hotend(target: int, *, tool: int | None) -> tuple[str, ...]:
    """Set the nozzle target in °C; `tool` only on machines with two nozzles."""
    return (f"M104 S{target}" if tool is None else f"M104 S{target} T{tool}",)


def bed(target: int) -> tuple[str, ...]:
    """Set the bed target in °C."""
    return (f"M140 S{target}",)


def chamber(target: int, *, how: ChamberHeat) -> tuple[str, ...]:
    """Set the chamber target in °C; H2* and X2D want their flaps told, before heating and after cooling."""
    match how:
        case ChamberHeat.GCODE:
            return (f"M141 S{target}",)
        case ChamberHeat.ASSISTED:
            return ("M145 P1", f"M141 S{target}") if target > _FLAPS_SHUT_C else (f"M141 S{target}", "M145 P0")


def fan(name: str, percent: int) -> tuple[str, ...]:
    """Set a fan (`part`, `aux`, `chamber`) to `percent`."""
    return (f"M106 P{_FANS[name]} S{round(percent * 255 / 100)}",)
