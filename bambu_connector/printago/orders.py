"""What Printago can ask for, as values: one frozen class for each action of the contract's command tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from bambu_connector.secret import Secret


@dataclass(frozen=True, slots=True)
class Order:
    """Base of all. `max_age` is how old, in seconds, it may be when it is carried out; None: it never expires."""

    max_age: ClassVar[float | None] = 15 * 60


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the downloaded file must hash to; `algorithm` is `md5` or `sha256`, `digest` lower-case hex."""

    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """The options of a start; None is the contract's default."""

    plate: int | None = None
    use_ams: bool | None = None
    ams_mapping: tuple[int, ...] | None = None
    bed_type: str | None = None
    do_bed_leveling: bool | None = None
    do_flow_cali: bool | None = None
    vibration_cali: bool | None = None
    layer_inspect: bool | None = None
    timelapse: bool | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPrintBbl(Order):
    """Download, check, upload, start. The URL is a secret: its query signs the download."""

    url: Secret
    file_name: str | None = None
    checksum: Checksum | None = None
    options: StartOptions = field(default_factory=StartOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadGcode(Order):
    """Download, check, upload."""

    url: Secret
    file_name: str | None = None
    checksum: Checksum | None = None
    plate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPrint(Order):
    """Start a file that is on the printer's storage."""

    file_name: str
    options: StartOptions = field(default_factory=StartOptions)


@dataclass(frozen=True, slots=True)
class PausePrint(Order):
    """Pause."""

    max_age = None


@dataclass(frozen=True, slots=True)
class ResumePrint(Order):
    """Resume."""


@dataclass(frozen=True, slots=True)
class StopPrint(Order):
    """Stop the print or the job."""

    max_age = None


@dataclass(frozen=True, slots=True)
class GetStatus(Order):
    """Answer with a status that has the whole report."""


_QUICK: Final = 30.0  # movement, heat and air: what was meant half a minute ago is not meant now


@dataclass(frozen=True, slots=True)
class SetHotend(Order):
    """Nozzle target in °C."""

    max_age = _QUICK
    temperature: float
    tool: int = 0


@dataclass(frozen=True, slots=True)
class SetBed(Order):
    """Bed target in °C."""

    max_age = _QUICK
    temperature: float


@dataclass(frozen=True, slots=True)
class SetChamber(Order):
    """Chamber target in °C."""

    max_age = _QUICK
    temperature: float


@dataclass(frozen=True, slots=True)
class Jog(Order):
    """One move: axis → mm; speed in mm/min."""

    max_age = _QUICK
    axes: Mapping[str, float]
    relative: bool = True
    speed: float = 3000


@dataclass(frozen=True, slots=True)
class Extrude(Order):
    """Move `amount` mm of filament at `speed` mm/min."""

    max_age = _QUICK
    amount: float
    speed: float = 900
    tool: int = 0


@dataclass(frozen=True, slots=True)
class Home(Order):
    """Home all axes."""

    max_age = _QUICK


@dataclass(frozen=True, slots=True)
class CameraOrder(Order):
    """One of the camera's actions."""

    action: str


@dataclass(frozen=True, slots=True)
class SetFan(Order):
    """Fan (`part`, `aux`, `chamber`) to percent."""

    max_age = _QUICK
    fan: str
    percent: float


@dataclass(frozen=True, slots=True)
class SetLight(Order):
    """A light to `on`, `off`, `flashing`."""

    light: str
    state: str


@dataclass(frozen=True, slots=True)
class SetSpeed(Order):
    """Speed level, 1 silent to 4 ludicrous."""

    level: int


@dataclass(frozen=True, slots=True)
class SlotRef:
    """A filament slot; `slot_id` 254 is the external spool (of extruder `tool`)."""

    ams_id: int
    slot_id: int


@dataclass(frozen=True, slots=True)
class LoadFilament(Order):
    """Load from a slot; a temperature of None lets the printer decide."""

    slot: SlotRef
    temperature: float | None = None
    tool: int = 0


@dataclass(frozen=True, slots=True)
class UnloadFilament(Order):
    """Unload what is loaded."""

    temperature: float | None = None
    tool: int = 0


@dataclass(frozen=True, slots=True)
class RefreshSlot(Order):
    """Read a slot's tag again."""

    slot: SlotRef


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSlot(Order):
    """Tell the printer what lies in a slot; colour RRGGBBAA."""

    slot: SlotRef
    type: str
    color: str
    nozzle_temp_min: int
    nozzle_temp_max: int
    tray_info_idx: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrate(Order):
    """What to calibrate."""

    bed_level: bool = False
    vibration: bool = False
    motor_noise: bool = False
    lidar: bool = False


@dataclass(frozen=True, slots=True)
class SkipObjects(Order):
    """Leave out objects of the running print."""

    objects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClearError(Order):
    """Clear the sticky error."""


@dataclass(frozen=True, slots=True)
class ListFiles(Order):
    """List a folder of the storage; `/` is the root."""

    folder: str = "/"


@dataclass(frozen=True, slots=True)
class DeleteFile(Order):
    """Delete a file of the storage's root."""

    file_name: str


JobOrder = StartPrintBbl | DownloadGcode | StartPrint
"""What takes minutes and is carried through as a job."""
FileOrder = ListFiles | DeleteFile
"""What goes over FTPS."""
DirectOrder = (
    PausePrint | ResumePrint | SetHotend | SetBed | SetChamber | Jog | Extrude | Home | SetFan | SetLight | SetSpeed
    | LoadFilament | UnloadFilament | RefreshSlot | SetSlot | Calibrate | SkipObjects | ClearError
)  # fmt: skip
"""What is one request to the printer and its evidence."""
AnyOrder = JobOrder | FileOrder | DirectOrder | StopPrint | GetStatus | CameraOrder
"""The closed set."""
