"""The virtual printer as a pure state machine: requests and time in, messages out, nothing touched.

It is real printers' habits that count here: what they refuse and how, in what order a print goes through its
stages, and that most models say only what has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from bambu_connector.virtual.body import HOMED_BITS, Body
from bambu_connector.virtual.commands import HANDLERS, Answer, done, refused
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.filament import Filaments
from bambu_connector.virtual.gcode import Interpreter
from bambu_connector.virtual.job import ACTIVE, CANCELLED, Calibration, Job, Rig
from bambu_connector.virtual.models import Style, VirtualModel, load_start
from bambu_connector.virtual.project import BUSY, CANNOT_PARSE, Files, Refused, Start, examine
from bambu_connector.virtual.report import Fields, Report

REPORT_INTERVAL_S: Final = 1.0
CHATTER_S: Final = 4.0  # an idle printer still says something now and then
CANCEL_NOTE_S: Final = 1.0  # how long a stopped print shows 0300-400C
SIGNATURE_MISSING: Final = 84033543
DEFAULT_LAYERS: Final = 20
DEFAULT_PRINT_S: Final = 600.0
_STEP_S: Final = 1.0
_STEPS_AT_MOST: Final = 200  # a tick may cover hours; then the steps grow instead of their number
_STORAGE_BITS: Final = 0b11 << 8
_STORAGE_NORMAL: Final = 0b01 << 8
_AUX_STORAGE_NORMAL: Final = 0b01 << 12
_SIGNATURE_BIT: Final = 1 << 29
# By this module a recording of it can be told from one of a real printer.
_NO_REAL_PRINTER: Final = MappingProxyType(
    {"name": "virtual", "project_name": "", "sw_ver": "00.00.00.00", "hw_ver": "VIRTUAL", "sn": "", "flag": 0}
)


@dataclass(frozen=True, slots=True)
class Started:
    """One print that has begun; `at` is the time that the machine was told."""

    file: str
    title: str
    ids: Mapping[str, str]
    at: float
    at_screen: bool


class Machine:
    """One printer. `now` is in seconds of a monotonic clock; `speed` is how much faster it heats and prints.

    Times that a fault is given, and the intervals of its reports, are in real seconds whatever the speed.
    """

    def __init__(
        self,
        model: VirtualModel,
        serial: str,
        files: Files,
        faults: Faults,
        *,
        now: float,
        speed: float = 1.0,
        layers: int | None = None,
        print_seconds: float | None = None,
    ) -> None:
        fields, modules = load_start(model)
        report = Report(fields)
        body = Body(model, nozzles=len(report.items("device", "extruder", "info")) or 1)
        self.model = model
        self.serial = serial
        self.faults = faults
        self.speed = speed
        self.requests: list[Fields] = []
        self.starts: list[Started] = []
        self.news: list[str] = []
        self.rig = Rig(model, report, body, Filaments(report), faults, files, self.news.append)
        self.interpreter = Interpreter(body)
        self.job: Job | Calibration | None = None
        self.pushing = True
        self.version: list[Fields] = [
            {**module, "sn": str(module["sn"]).replace("{serial}", serial)} for module in (*modules, _NO_REAL_PRINTER)
        ]
        self._layers, self._print_seconds = layers, print_seconds
        self._now = self._last_said = now
        self._pending: tuple[float, Start] | None = None
        self._note_until: float | None = None
        self._shown_faults: frozenset[str] = frozenset()
        self._said_state: tuple[object, ...] = self._state_of_things()

    # -- in and out --------------------------------------------------------------------------------

    def handle(self, request: Mapping[str, Any], now: float) -> list[Fields]:
        """Take one message of the request topic; return what is to be published, in order."""
        self.requests.append(dict(request))
        messages = self.advance(now)
        if "deaf" in self.faults:
            return messages
        for group, body in request.items():
            if isinstance(body, dict):
                messages += self._answer(group, body)
        return self._unless_mute([*messages, *self._say_changes()])

    def tick(self, now: float) -> list[Fields]:
        """Let time pass; return what is to be published."""
        messages = self.advance(now)
        waited = now - self._last_said
        if self.pushing and waited >= REPORT_INTERVAL_S:
            messages += self._say_changes()
        if self.pushing and waited >= CHATTER_S and not messages:
            messages = self._chatter()
        return self._unless_mute(messages)

    def change(self, fields: Mapping[str, Any], now: float) -> list[Fields]:
        """Have fields of the report be what a test wants them to be; return what is to be published."""
        messages = self.advance(now)
        _merge(self.report.fields, fields)
        for name, heater in (("nozzle", self.rig.body.nozzle), ("bed", self.rig.body.bed)):
            heater.current = float(fields.get(f"{name}_temper", heater.current))
            heater.target = float(fields.get(f"{name}_target_temper", heater.target))
        if fields.get("gcode_state", "RUNNING") not in ACTIVE:
            self.job = None
        return self._unless_mute([*messages, *self._say_changes()])

    def start_at_screen(self, title: str, now: float) -> list[Fields]:
        """Have somebody start a print at the screen; nothing happens while the printer is busy."""
        messages = self.advance(now)
        if self.rig.state not in ACTIVE:
            ids = dict.fromkeys(("project_id", "profile_id", "task_id", "subtask_id"), "0")
            self._adopt(Start(file=f"{title}.gcode.3mf", title=title, ids=ids, at_screen=True))
        return self._unless_mute([*messages, *self._say_changes()])

    @property
    def report(self) -> Report:
        """What it would report in full."""
        return self.rig.report

    @property
    def busy(self) -> bool:
        """Whether a print is active."""
        return self.rig.state in ACTIVE

    # -- time --------------------------------------------------------------------------------------

    def advance(self, now: float) -> list[Fields]:
        """Bring everything up to `now`; return a message for each change of state on the way."""
        seconds = max(now - self._now, 0.0) * self.speed
        self._now = max(now, self._now)
        self._show_faults()
        self._forget_the_cancelling()
        messages = self._adopt_what_waits()
        step = max(_STEP_S, seconds / _STEPS_AT_MOST)
        while seconds > 0:
            self._step(min(step, seconds))
            seconds -= step
            if self._state_of_things() != self._said_state:
                messages += self._say_changes()
        return messages

    def _step(self, seconds: float) -> None:
        if self.rig.body.advance(seconds):
            self.report.set_bits(HOMED_BITS, True, "home_flag")
            self.news.append("homed")
        self.rig.filaments.advance(seconds)
        if self.job is not None:
            self.job.advance(seconds)
            if self.job.over:
                self.job = None

    def _adopt_what_waits(self) -> list[Fields]:
        if self._pending is None or self._now < self._pending[0]:
            return []
        start = self._pending[1]
        self._pending = None
        if self.busy:
            return []
        self._adopt(start)
        return self._say_changes()

    def _adopt(self, start: Start) -> None:
        layers = self._layers or start.layers or DEFAULT_LAYERS
        seconds = self._print_seconds or start.seconds or DEFAULT_PRINT_S
        self.starts.append(Started(start.file, start.title, start.ids, self._now, start.at_screen))
        self.job = Job(start, self.rig, layers=layers, seconds=seconds)

    def _forget_the_cancelling(self) -> None:
        if self._note_until is not None and self._now >= self._note_until:
            self._note_until = None
            if self.report.get("print_error") == CANCELLED:
                self.rig.show(print_error=0)

    # -- faults ------------------------------------------------------------------------------------

    def _show_faults(self) -> None:
        active = frozenset(self.faults)
        for name in active ^ self._shown_faults:
            if name == "signing-demanded":
                self.report.set_bits(_SIGNATURE_BIT, name in active, "fun")
            elif name == "no-storage":
                self._show_storage(name not in active)
                self.rig.show(sdcard=name not in active)
            elif name == "flapping-storage":
                self._show_storage(True)
        self._shown_faults = active
        if "flapping-storage" in active:
            self._show_storage(int(self._now) % 2 == 0)

    def _show_storage(self, present: bool) -> None:
        self.report.set_bits(_STORAGE_BITS, False, "home_flag")
        self.report.set_bits(_STORAGE_NORMAL, present, "home_flag")
        self.report.set_bits(_AUX_STORAGE_NORMAL, present, "aux")

    @property
    def _mute(self) -> bool:
        return "silent" in self.faults or ("mute-start" in self.faults and self._pending is not None)

    def _unless_mute(self, messages: list[Fields]) -> list[Fields]:
        return [] if self._mute else messages

    def disturb(self) -> None:
        """Ask for everything, or connect anew: some firmware loses the job that it is parsing."""
        if "mute-start" in self.faults and self._pending is not None:
            self._pending = None
            self.rig.show(print_error=CANNOT_PARSE)

    # -- answers -----------------------------------------------------------------------------------

    def _answer(self, group: str, body: Fields) -> list[Fields]:
        command = str(body.get("command", "name" if group == "update" else ""))
        if group == "pushing":
            return self._push(command)
        if group == "info":
            return [{"info": {**body, "module": self.version, "result": "success", "reason": ""}}]
        if group == "print" and "signing-demanded" in self.faults:
            return self._reply(group, body, refused("mqtt message verify failed", SIGNATURE_MISSING, "failed"))
        if group == "print" and "empty-echo" in self.faults:
            return [{group: dict(body)}]
        handler = HANDLERS.get((group, command))
        answer = handler(self, body) if handler else refused("unknown command")
        if "no-ack" in self.faults and command != "extrusion_cali_get":
            return []
        return self._reply(group, body, answer)

    def _reply(self, group: str, body: Fields, answer: Answer) -> list[Fields]:
        fields = dict(answer)
        if self.model.style is Style.WHOLE:
            fields["result"] = str(fields["result"]).upper()
        return [{group: {**body, **fields}}]

    def _push(self, command: str) -> list[Fields]:
        if command == "pushall":
            self.disturb()
            return self._say_everything()
        self.pushing = command != "stop"
        return []

    # -- reports -----------------------------------------------------------------------------------

    def _state_of_things(self) -> tuple[object, ...]:
        return tuple(self.report.get(key) for key in ("gcode_state", "stg_cur", "print_error"))

    def _say_everything(self) -> list[Fields]:
        self.rig.body.render(self.report)
        self._last_said, self._said_state = self._now, self._state_of_things()
        return [self.report.full(with_msg=self.model.style is Style.DELTAS)]

    def _say_changes(self) -> list[Fields]:
        if self._mute:
            return []
        self.rig.body.render(self.report)
        self._said_state = self._state_of_things()
        if not self.report.changes():
            return []
        if self.model.style is Style.WHOLE:
            return self._say_everything()
        self._last_said = self._now
        return [self.report.delta()]

    def _chatter(self) -> list[Fields]:
        """Say that the radio is a bit better, or worse, than before."""
        decibels = int(str(self.report.get("wifi_signal")).removesuffix("dBm"))
        self.rig.show(wifi_signal=f"{decibels + (1 if decibels % 2 else -1)}dBm")
        return self._say_changes()

    # -- starting and stopping, called by the handlers ------------------------------------------------

    def start_project(self, body: Fields) -> Answer:
        """Answer `project_file`."""
        code = self.faults.value("refuse-start")
        if code is not None:
            return refused("refused", int(code))
        if self.busy or self._pending is not None:
            if self.model.dies_when_told_to_start:
                self.stop()
            return refused("busy", BUSY)
        try:
            if "no-storage" in self.faults:
                raise Refused(CANNOT_PARSE, "no storage")
            start = examine(body, self.rig.files, self.model, self.rig.filaments)
        except Refused as refusal:
            self.rig.show(print_error=refusal.code)
            return refused(refusal.reason, refusal.code)
        return self.accept(start)

    def accept(self, start: Start) -> Answer:
        """Take a print that was examined: adopt it at once, or when the faults say so."""
        if "ignore-start" not in self.faults:
            lingering = (self.faults.value("lingering-finish") or 0.0) / self.speed
            delay = max(self.faults.value("slow-start") or 0.0, self.faults.value("mute-start") or 0.0, lingering)
            if delay:
                self._pending = (self._now + delay, start)
            else:
                self._adopt(start)
        return done()

    def stop(self) -> bool:
        """End what is active, as cancelled; return whether anything was."""
        if not self.busy:
            return False
        self.job = None
        self.rig.end("FAILED", print_error=CANCELLED, mc_percent=0, percent=0, layer_num=0)
        self._note_until = self._now + CANCEL_NOTE_S
        self.news.append("stopped")
        return True


def _merge(into: Fields, fields: Mapping[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(into.get(key), dict) and isinstance(value, Mapping):
            _merge(into[key], value)
        else:
            into[key] = value
