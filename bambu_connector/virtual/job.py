"""A print (or a calibration) from its adoption to its end; times are the printer's own seconds, before any speed-up."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bambu_connector.virtual.body import HOMED_BITS, Body
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.filament import EXTERNAL_TRAY_NOW, STATUS_PRINTING, Filaments
from bambu_connector.virtual.models import VirtualModel
from bambu_connector.virtual.project import Files, Start
from bambu_connector.virtual.report import Fields, Report

CANCELLED: Final = 0x0300400C
READ_FAILED: Final = 0x0500C010
RAN_OUT: Final = 0x07008011
ACTIVE: Final = frozenset({"PREPARE", "SLICING", "RUNNING", "PAUSE"})
SPEEDS: Final = {1: 50, 2: 100, 3: 124, 4: 166}

STAGE_PRINTING: Final = 0
STAGE_RAN_OUT: Final = 6
STAGE_PAUSED: Final = 16
_BED_HEATING_HMS: Final = {"attr": 0x03000100, "code": 0x00010001}
_RAN_OUT_HMS: Final = {"attr": 0x07002000, "code": 0x00020001}

_PARSING_S: Final = 8.0
_BED_TEMPERATURES: Final = {"PLA": 55.0, "PETG": 70.0}
_OTHER_BED_TEMPERATURE: Final = 60.0
_LAYER_OF_FULL_FAN: Final = 2


@dataclass(frozen=True, slots=True)
class Rig:
    """What a job works with."""

    model: VirtualModel
    report: Report
    body: Body
    filaments: Filaments
    faults: Faults
    files: Files
    say: Callable[[str], None]

    @property
    def state(self) -> str:
        """The `gcode_state` as it is reported."""
        return str(self.report.get("gcode_state"))

    def show(self, **fields: object) -> None:
        """Set fields of the report."""
        for key, value in fields.items():
            self.report.put(value, key)

    def show_progress(self, percent: int, layer: int, layers: int, minutes: int) -> None:
        """Set every field that tells of progress, the newer mirrors too."""
        self.show(mc_percent=percent, percent=percent, layer_num=layer, total_layer_num=layers)
        self.show(mc_remaining_time=minutes, remain_time=minutes)
        self.report.put(layer, "3D", "layer_num")
        self.report.put(layers, "3D", "total_layer_num")

    def end(self, state: str, **fields: object) -> None:
        """Show that no job is active any more, and let the printer cool down."""
        self.body.cool_down()
        self.filaments.abort()
        self.show(gcode_state=state, stg_cur=self.model.idle_stage, stg=[], mc_print_stage="1", mc_stage=1)
        self.show(print_type="" if self.model.inner_gcode_file else "idle", ams_status=0, **fields)


@dataclass(frozen=True, slots=True)
class Step:
    """One stage before the first layer: lasts `seconds`, and then until `ready`."""

    stage: int
    seconds: float
    ready: Callable[[], bool] = lambda: True


class Job:
    """One print, adopted at once; `advance` carries it on until `over`."""

    def __init__(self, start: Start, rig: Rig, *, layers: int, seconds: float) -> None:
        self.start = start
        self.over = False
        self._rig = rig
        self._layers = layers
        self._seconds = max(seconds, 1.0)
        self._done = 0.0
        self._in_step = 0.0
        self._tray = start.trays[0] if start.trays else EXTERNAL_TRAY_NOW
        self._steps = self._preparation()
        self._adopt()

    def _preparation(self) -> list[Step]:
        rig = self._rig
        spool = rig.filaments.slot(*divmod(self._tray, 4)) or {}
        bed = _BED_TEMPERATURES.get(str(spool.get("tray_type", "")), _OTHER_BED_TEMPERATURE)
        rig.body.bed.aim(bed)
        nozzle = rig.filaments.temperature(self._tray)
        rig.body.nozzle.aim(nozzle)
        steps = [Step(2, _PARSING_S, lambda: rig.body.bed.ready), Step(13, 12.0), Step(7, 1.0, self._nozzle_ready)]
        if rig.filaments.now != self._tray:
            steps.append(Step(4, 20.0))
        steps.append(Step(14, 6.0))
        if self.start.levelling:
            steps.append(Step(1, 40.0))
        return steps

    def _nozzle_ready(self) -> bool:
        return self._rig.body.nozzle.ready

    def _adopt(self) -> None:
        """Show the new job; progress still shows the last one, as real printers do until the first layer."""
        start, rig = self.start, self._rig
        anonymous = start.at_screen or "no-ids" in rig.faults
        inner = f"/data/Metadata/plate_{start.plate}.gcode"
        name = inner if rig.model.inner_gcode_file else start.file
        rig.show(**(dict.fromkeys(start.ids, "0") if anonymous else start.ids))
        rig.show(gcode_state="PREPARE", print_type="local", gcode_file=name, file=name, subtask_name=start.title)
        rig.show(print_error=0, mc_print_stage="2", mc_stage=2, s_obj=[], plate_idx=start.plate, plate_id=start.plate)
        rig.show(mapping=[tray // 4 << 8 | tray % 4 for tray in start.trays], hms=[])
        rig.show(stg=[step.stage for step in self._steps], stg_cur=self._steps[0].stage)
        rig.show(mc_remaining_time=self._minutes_left(), remain_time=self._minutes_left())
        self._show_prepared(0)
        rig.say(f"preparing {start.title}: heating to {rig.body.nozzle.target:.0f}/{rig.body.bed.target:.0f} °C")

    def _show_prepared(self, percent: int) -> None:
        self._rig.show(gcode_file_prepare_percent=str(percent), prepare_per=percent)

    def _minutes_left(self) -> int:
        return math.ceil((self._seconds - self._done) / 60)

    @property
    def layer(self) -> int:
        """The layer that is being printed, from 1; 0 before the first."""
        return min(int(self._done / self._seconds * self._layers) + 1, self._layers) if not self._steps else 0

    def advance(self, seconds: float) -> None:
        """Let time pass; the report's state decides whether anything goes on."""
        if self._rig.state == "PREPARE":
            self._prepare(seconds)
        elif self._rig.state == "RUNNING":
            self._print(seconds)

    def _prepare(self, seconds: float) -> None:
        self._in_step += seconds
        step = self._steps[0]
        if step.stage == 2:
            self._show_prepared(min(round(self._in_step / _PARSING_S * 100), 100))
        if self._in_step < step.seconds or not step.ready():
            return
        self._steps.pop(0)
        self._in_step = 0.0
        if step.stage == 13:
            self._rig.report.set_bits(HOMED_BITS, True, "home_flag")
        if self._steps:
            self._rig.show(stg_cur=self._steps[0].stage)
        else:
            self._begin_layers()

    def _begin_layers(self) -> None:
        rig = self._rig
        if not self.start.at_screen and not self._file_is_there():
            self.over = True
            rig.end("FAILED", print_error=READ_FAILED)
            rig.say(f"{self.start.title} failed: its file is gone")
            return
        rig.filaments.load(self._tray)
        rig.show(gcode_state="RUNNING", stg_cur=STAGE_PRINTING, ams_status=STATUS_PRINTING)
        self._show_prepared(100)
        rig.say(f"printing {self.start.title}: {self._layers} layers")
        self._show_layers()

    def _file_is_there(self) -> bool:
        stream = self._rig.files.open(self.start.file)
        if stream is not None:
            stream.close()
        return stream is not None

    def _show_layers(self) -> None:
        percent = int(self._done / self._seconds * 100)
        self._rig.show_progress(percent, self.layer, self._layers, self._minutes_left())

    def _print(self, seconds: float) -> None:
        rig, before = self._rig, self.layer
        level = int(rig.report.get("spd_lvl") or 2)
        self._done += seconds * SPEEDS.get(level, 100) / 100
        percent = self._done / self._seconds * 100
        if self._done >= self._seconds:
            self._finish()
        elif percent >= (rig.faults.value("fail-print") or math.inf):
            self._fail()
        else:
            self._show_layers()
            if self.layer != before:
                if self.layer == _LAYER_OF_FULL_FAN:
                    rig.body.fans["part"] = 255
                rig.say(f"printing layer {self.layer}/{self._layers}")
            if percent >= (rig.faults.value("runout") or math.inf):
                self._run_out()

    def _finish(self) -> None:
        self.over = True
        self._rig.show_progress(100, self._layers, self._layers, 0)
        self._rig.end("FINISH")
        self._rig.say(f"finished {self.start.title}")

    def _fail(self) -> None:
        self.over = True
        self._rig.end("FAILED", print_error=READ_FAILED, hms=[dict(_BED_HEATING_HMS)])
        self._rig.say(f"{self.start.title} failed")

    def _run_out(self) -> None:
        rig = self._rig
        rig.faults.discard("runout")
        rig.filaments.run_out(self._tray)
        rig.show(gcode_state="PAUSE", stg_cur=STAGE_RAN_OUT, print_error=RAN_OUT, hms=[dict(_RAN_OUT_HMS)])
        rig.say("out of filament")


class Calibration:
    """A calibration: runs like a print of type `system` that has no layers."""

    def __init__(self, stages: Sequence[tuple[int, float]], rig: Rig) -> None:
        self.over = False
        self._stages = list(stages)
        self._rig = rig
        self._left = self._stages[0][1]
        rig.show_progress(0, 0, 0, 1)
        rig.show(gcode_state="RUNNING", print_type="system", stg_cur=self._stages[0][0], stg=[s for s, _ in stages])
        rig.show(subtask_name="", gcode_file="auto_cali_for_user.gcode", mc_print_stage="2")
        rig.say("calibrating")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if self._rig.state != "RUNNING":
            return
        self._left -= seconds
        if self._left > 0:
            return
        self._stages.pop(0)
        if self._stages:
            stage, self._left = self._stages[0]
            self._rig.show(stg_cur=stage)
        else:
            self.over = True
            self._rig.report.set_bits(HOMED_BITS, True, "home_flag")
            self._rig.show_progress(100, 0, 0, 0)
            self._rig.end("FINISH")
            self._rig.say("calibrated")


def skip_objects(rig: Rig, wanted: Any) -> bool:
    """Add object ids to those that are skipped; return whether they make sense."""
    if not isinstance(wanted, list) or not all(type(each) is int for each in wanted):
        return False
    skipped: list[Fields] = rig.report.get("s_obj") or []
    rig.show(s_obj=[*skipped, *(each for each in wanted if each not in skipped)])
    return True
