"""The body of a virtual printer: what is warm, what turns, where the head is."""

from dataclasses import dataclass
from typing import Final

from bambu_connector.virtual.models import VirtualModel
from bambu_connector.virtual.report import Report

AMBIENT: Final = 25.0
HOMING_S: Final = 20.0
HOMED_BITS: Final = 0b111
COLD_BELOW: Final = 170.0  # °C; filament does not move below it

FANS: Final = ("part", "aux", "chamber")
_FAN_FIELDS: Final = ("cooling_fan_speed", "big_fan1_speed", "big_fan2_speed")
_FULL_SPEED: Final = 255
_HEATBREAK_FROM: Final = 50.0  # °C; the hotend's own fan runs from here on


def packed(heater: "Heater") -> int:
    """Return target and current temperature in one number, as newer models report them."""
    return round(heater.target) << 16 | round(heater.current)


@dataclass(slots=True)
class Heater:
    """Something with a temperature; `rise` and `fall` in °C a second, `limit` in °C."""

    rise: float
    fall: float
    limit: float
    current: float = AMBIENT
    target: float = 0.0

    def aim(self, target: float) -> None:
        """Take a target; what is beyond the limit is clamped, as firmware does."""
        self.target = min(max(target, 0.0), self.limit)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        goal = max(self.target, AMBIENT)
        if self.current < goal:
            self.current = min(goal, self.current + self.rise * seconds)
        else:
            self.current = max(goal, self.current - self.fall * seconds)

    @property
    def ready(self) -> bool:
        """Whether it is as warm as it shall be."""
        return self.current >= self.target - 1.0


class Body:
    """Heaters, fans and axes; temperatures in °C, positions in mm, fans 0–255."""

    def __init__(self, model: VirtualModel, nozzles: int) -> None:
        self.nozzles = [Heater(rise=3.0, fall=1.0, limit=model.nozzle_max) for _ in range(nozzles)]
        self.active_nozzle = 0
        self.bed = Heater(rise=0.8, fall=0.1, limit=model.bed_max)
        self.chamber = Heater(rise=0.2, fall=0.05, limit=model.chamber_max)
        self.fans = dict.fromkeys(model.fans, 0)
        self.airduct_mode = 0
        self.position = {"X": 0.0, "Y": 0.0, "Z": 0.0}
        self.extruded = 0.0
        self.homing_left: float | None = None

    @property
    def nozzle(self) -> Heater:
        """The nozzle in use."""
        return self.nozzles[self.active_nozzle]

    def home(self) -> None:
        """Begin to home all axes; takes HOMING_S."""
        self.homing_left = HOMING_S

    def move(self, axis: str, to: float, *, relative: bool) -> None:
        """Move an axis at once; how long it takes is not simulated."""
        self.position[axis] = self.position[axis] + to if relative else to

    def extrude(self, millimetres: float) -> None:
        """Move filament, if the nozzle is warm enough."""
        if self.nozzle.current >= COLD_BELOW:
            self.extruded += millimetres

    def cool_down(self) -> None:
        """All heaters and fans off."""
        for heater in (*self.nozzles, self.bed, self.chamber):
            heater.target = 0.0
        self.fans = dict.fromkeys(self.fans, 0)

    def advance(self, seconds: float) -> bool:
        """Let time pass; return whether homing has just ended."""
        for heater in (*self.nozzles, self.bed, self.chamber):
            heater.advance(seconds)
        if self.homing_left is None:
            return False
        self.homing_left -= seconds
        if self.homing_left > 0:
            return False
        self.homing_left = None
        self.position = {"X": 0.0, "Y": 0.0, "Z": 0.0}
        return True

    def render(self, report: Report) -> None:
        """Write temperatures and fans where this model reports them."""
        report.render(round(self.nozzle.current, 2), "nozzle_temper")
        report.render(round(self.nozzle.target), "nozzle_target_temper")
        report.render(round(self.bed.current, 2), "bed_temper")
        report.render(round(self.bed.target), "bed_target_temper")
        report.render(packed(self.bed), "device", "bed", "info", "temp")
        report.render(packed(self.bed), "device", "bed_temp")
        report.render(packed(self.chamber), "device", "ctc", "info", "temp")
        report.render(packed(self.chamber), "info", "temp")
        report.render(round(self.chamber.target), "ctt")
        if self.chamber.limit:
            report.render(round(self.chamber.current), "chamber_temper")
        for extruder in report.items("device", "extruder", "info"):
            extruder["temp"] = packed(self.nozzles[extruder["id"]])
        self._render_fans(report)

    def _render_fans(self, report: Report) -> None:
        gear = 0
        for place, (fan, field) in enumerate(zip(FANS, _FAN_FIELDS, strict=True)):
            speed = self.fans.get(fan, 0)
            gear |= speed << 8 * place
            report.render(str(round(speed * 15 / _FULL_SPEED)), field)
        report.render(gear, "fan_gear")
        report.render("15" if self.nozzle.current >= _HEATBREAK_FROM else "0", "heatbreak_fan_speed")
        report.render(self.airduct_mode, "device", "airduct", "modeCur")
        percents = {place << 4: self.fans.get(fan, 0) * 100 // _FULL_SPEED for place, fan in enumerate(FANS, start=1)}
        for part in report.items("device", "airduct", "parts"):
            part["state"] = percents.get(part["id"], part["state"])
