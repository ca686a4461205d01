"""Typed reading of a folded report. None: the printer has not told it, or not readably; never zero, never idle."""

import enum
from dataclasses import dataclass, field
from typing import Final, Self

from bambu_connector.bambu.filament import ActiveSlot, AmsUnit, Slot, read_active, read_external, read_units
from bambu_connector.bambu.health import print_error_code, read_print_error
from bambu_connector.bambu.lenient import Fields, bits, fields, items, number, switched, text, unpacked, whole
from bambu_connector.bambu.models import CameraKind, Traits


class OpenStrEnum(enum.StrEnum):
    """A string enum that keeps values it has never heard of."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = "UNRECOGNISED", value
        return member


class GcodeState(OpenStrEnum):
    """`gcode_state` (reference 7.2)."""

    IDLE = "IDLE"
    PREPARE = "PREPARE"
    SLICING = "SLICING"
    RUNNING = "RUNNING"
    PAUSE = "PAUSE"
    FINISH = "FINISH"
    FAILED = "FAILED"


PREPARING: Final = frozenset({GcodeState.PREPARE, GcodeState.SLICING})
ACTIVE: Final = PREPARING | {GcodeState.RUNNING, GcodeState.PAUSE}
INACTIVE: Final = frozenset({GcodeState.IDLE, GcodeState.FINISH, GcodeState.FAILED})

_SIGNING_BIT: Final = 29  # of `fun`: set means that Developer Mode is off
_STORAGE_SHIFT: Final = {"home_flag": 8, "aux": 12}
_UPGRADING: Final = frozenset({"DOWNLOADING", "FLASHING"})
_UPGRADE_IN_PROGRESS: Final = 2
_PACKED_FROM: Final = 500  # a `chamber_temper` above it is packed


@dataclass(frozen=True, slots=True)
class Temperature:
    """Current and target in °C."""

    current: float | None
    target: int | None


@dataclass(frozen=True, slots=True)
class Nozzle:
    """One hot end; ids as the printer counts extruders (0 right or only, 1 left)."""

    id: int
    temperature: Temperature
    diameter: float | None
    type: str | None


@dataclass(frozen=True, slots=True)
class Homed:
    """Which axes know where they are."""

    x: bool | None
    y: bool | None
    z: bool | None


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """What tells one print from another, as reported; ids that are empty or "0" are None."""

    subtask_id: str | None
    task_id: str | None
    job_id: str | None
    name: str | None
    file: str | None


def _identifier(value: object) -> str | None:
    found = str(value) if type(value) is int else text(value)
    return None if found in (None, "0") else found


@dataclass(frozen=True, slots=True)
class View:
    """One folded report (empty when there is none), read with the traits of its model."""

    report: Fields
    traits: Traits

    state: GcodeState | None = field(init=False, repr=False, compare=False)
    """What the printer is doing; None when it did not say. Read once, since nearly everything asks for it."""

    def __post_init__(self) -> None:
        found = text(self.report.get("gcode_state"))
        object.__setattr__(self, "state", None if found is None else GcodeState(found))

    # -- the print -----------------------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """A print is preparing, running or paused."""
        return self.state in ACTIVE

    @property
    def is_inactive(self) -> bool:
        """The printer says that no print is active; an unknown state is neither."""
        return self.state in INACTIVE

    @property
    def identity(self) -> JobIdentity:
        """What the print is, or the last one was."""
        report = self.report
        return JobIdentity(
            _identifier(report.get("subtask_id")),
            _identifier(report.get("task_id")),
            _identifier(report.get("job_id")),
            text(report.get("subtask_name")),
            text(report.get("gcode_file")),
        )

    @property
    def percent(self) -> int | None:
        """Progress; 0 while preparing, when the printer still shows the last job's."""
        found = whole(self.report.get("mc_percent"))
        if found and self.state in PREPARING:
            return 0
        return found if found is None or 0 <= found <= 100 else None

    @property
    def seconds_left(self) -> int | None:
        """The reported minutes, in seconds."""
        minutes = whole(self.report.get("mc_remaining_time"))
        return None if minutes is None or minutes < 0 else minutes * 60

    @property
    def layer(self) -> int | None:
        """The layer that is printed; 0 while preparing, when the printer still shows the last job's."""
        found = self._layer("layer_num")
        return 0 if found and self.state in PREPARING else found

    @property
    def total_layers(self) -> int | None:
        """How many there are."""
        return self._layer("total_layer_num")

    def _layer(self, key: str) -> int | None:
        found = whole(self.report.get(key))
        return whole(fields(self.report.get("3D")).get(key)) if found is None else found

    @property
    def prepare_percent(self) -> int | None:
        """How far the printer is with reading the file."""
        found = whole(self.report.get("gcode_file_prepare_percent"))
        return found if found is None or 0 <= found <= 100 else None

    @property
    def stage(self) -> int | None:
        """`stg_cur`; meaningful only while a print is active."""
        return whole(self.report.get("stg_cur"))

    @property
    def speed_level(self) -> int | None:
        """1 silent to 4 ludicrous."""
        return whole(self.report.get("spd_lvl"))

    @property
    def skipped_objects(self) -> list[int] | None:
        """The objects that are left out."""
        found = self.report.get("s_obj")
        return [each for each in found if type(each) is int] if isinstance(found, list) else None

    @property
    def print_error(self) -> int | None:
        """`print_error` as a number, 0 for none."""
        return read_print_error(self.report)

    @property
    def print_error_text(self) -> str | None:
        """`"0500-4003"`, None when there is none."""
        return print_error_code(self.print_error) if self.print_error else None

    @property
    def is_calibration(self) -> bool:
        """What runs is the printer's own (a calibration), not a print."""
        return self.report.get("print_type") == "system"

    # -- heat and air --------------------------------------------------------------------------

    @property
    def nozzles(self) -> tuple[Nozzle, ...]:
        """All hot ends that are told; of a machine with one, from the plain fields."""
        device = fields(self.report.get("device"))
        heads = items(fields(device.get("extruder")).get("info"))
        fitted = {whole(each.get("id")): each for each in items(fields(device.get("nozzle")).get("info"))}
        if len(heads) > 1:
            return tuple(self._head(head, fitted) for head in heads if whole(head.get("id")) is not None)
        single = fitted.get(0, {})
        diameter = number(self.report.get("nozzle_diameter"))
        return (
            Nozzle(
                0,
                self._single_nozzle(heads),
                number(single.get("diameter")) if diameter is None else diameter,
                text(self.report.get("nozzle_type")) or text(single.get("type")),
            ),
        )

    @staticmethod
    def _head(head: Fields, fitted: dict[int | None, Fields]) -> Nozzle:
        number_ = whole(head.get("id")) or 0
        temperature = unpacked(head.get("temp")) or (None, None)
        hot_end = whole(head.get("hnow"))
        nozzle = fitted.get(number_ if hot_end is None else hot_end, {})
        return Nozzle(number_, Temperature(*temperature), number(nozzle.get("diameter")), text(nozzle.get("type")))

    def _single_nozzle(self, heads: list[Fields]) -> Temperature:
        current, target = number(self.report.get("nozzle_temper")), whole(self.report.get("nozzle_target_temper"))
        packed = unpacked(heads[0].get("temp")) if heads else None
        if packed and current is None:
            return Temperature(*packed)
        return Temperature(current, target)

    @property
    def active_nozzle(self) -> Nozzle | None:
        """The hot end in use; of two, the one that `device.extruder.state` names, else the first."""
        return self.active_of(self.nozzles)

    def active_of(self, nozzles: tuple[Nozzle, ...]) -> Nozzle | None:
        """Return the one in use of `nozzles`, which are this view's."""
        state = whole(fields(fields(self.report.get("device")).get("extruder")).get("state"))
        current = 0 if state is None or len(nozzles) == 1 else state >> 4 & 0xF
        return next((each for each in nozzles if each.id == current), nozzles[0] if nozzles else None)

    @property
    def bed(self) -> Temperature:
        """The heated bed."""
        current, target = number(self.report.get("bed_temper")), whole(self.report.get("bed_target_temper"))
        if current is None:
            device = fields(self.report.get("device"))
            packed = unpacked(fields(fields(device.get("bed")).get("info")).get("temp"))
            if packed:
                return Temperature(*packed)
        return Temperature(current, target)

    @property
    def chamber(self) -> Temperature:
        """The chamber, where there is a sensor; a target only where there is a heater."""
        ctc = fields(fields(fields(self.report.get("device")).get("ctc")).get("info"))
        packed = unpacked(ctc.get("temp"))
        plain = number(self.report.get("chamber_temper")) if self.traits.chamber_sensor else None
        if packed is None and plain is not None and plain > _PACKED_FROM:
            packed = unpacked(int(plain))
        found = Temperature(*packed) if packed else Temperature(plain, whole(self.report.get("ctt")))
        return found if self.traits.chamber_heat else Temperature(found.current, None)

    @property
    def has_heat(self) -> bool:
        """Some heater has a target above 0."""
        targets = [nozzle.temperature.target for nozzle in self.nozzles]
        return any((*targets, self.bed.target, self.chamber.target))

    def fan(self, name: str) -> int | None:
        """The speed of `part`, `aux`, `chamber` or `heatbreak`, 0 to 255."""
        gear = whole(self.report.get("fan_gear"))
        shift = {"part": 0, "aux": 8, "chamber": 16}.get(name)
        if gear is not None and gear >= 0 and shift is not None:
            return gear >> shift & 0xFF
        step = whole(self.report.get(_FAN_FIELDS[name]))
        return None if step is None or not 0 <= step <= 15 else round(step * 255 / 15)

    def light(self, node: str) -> str | None:
        """`on`, `off` or `flashing`."""
        for each in items(self.report.get("lights_report")):
            if each.get("node") == node:
                return text(each.get("mode"))
        return None

    # -- the machine ---------------------------------------------------------------------------

    @property
    def homed(self) -> Homed:
        """The homed axes; a flag of 0 tells nothing (reference 6)."""
        found = whole(self.report.get("home_flag"))
        if not found:
            return Homed(None, None, None)
        return Homed(bool(found & 1), bool(found & 2), bool(found & 4))

    @property
    def storage_present(self) -> bool | None:
        """False only when everything that speaks of storage says so: single bits flap."""
        found: list[bool] = []
        home, aux = whole(self.report.get("home_flag")), bits(self.report.get("aux"))
        if home is not None:
            found.append(bool(home >> _STORAGE_SHIFT["home_flag"] & 3))
        if aux is not None:
            found.append(bool(aux >> _STORAGE_SHIFT["aux"] & 3))
        card = self.report.get("sdcard")
        if isinstance(card, bool):
            found.append(card)
        elif isinstance(card, str):
            found.append(card.startswith("HAS_"))
        return any(found) if found else None

    @property
    def developer_mode(self) -> bool | None:
        """Whether unsigned commands are obeyed, from bit 29 of `fun`; None on firmware that does not say."""
        fun = bits(self.report.get("fun"))
        return None if fun is None else not fun >> _SIGNING_BIT & 1

    @property
    def mains_220v(self) -> bool:
        """The printer says that it runs on 220 V, which limits the bed of some models."""
        return bool((whole(self.report.get("home_flag")) or 0) >> 3 & 1 or (bits(self.report.get("fun")) or 0) >> 2 & 1)

    @property
    def is_upgrading(self) -> bool:
        """A firmware upgrade is running."""
        upgrade = fields(self.report.get("upgrade_state"))
        return whole(upgrade.get("dis_state")) == _UPGRADE_IN_PROGRESS or text(upgrade.get("status")) in _UPGRADING

    @property
    def wifi_dbm(self) -> int | None:
        """The signal in dBm."""
        found = text(self.report.get("wifi_signal"))
        return whole(found.removesuffix("dBm")) if found else None

    @property
    def camera_kind(self) -> CameraKind | None:
        """By model; a printer that no row knows proves an RTSPS camera by its address."""
        if self.traits.camera or not text(fields(self.report.get("ipcam")).get("rtsp_url")):
            return self.traits.camera
        return CameraKind.RTSPS

    @property
    def camera_available(self) -> bool | None:
        """Whether there is a camera to look through (an RTSPS one must be switched on at the printer)."""
        ipcam = fields(self.report.get("ipcam"))
        if self.camera_kind is CameraKind.RTSPS:
            url = text(ipcam.get("rtsp_url"))
            return None if url is None else url != "disable"
        fitted = text(ipcam.get("ipcam_dev"))
        return None if fitted is None else fitted == "1"

    @property
    def live_view_is_off(self) -> bool | None:
        """Whether LAN Only Liveview is switched off at the printer (reference 11.2)."""
        ipcam = fields(self.report.get("ipcam"))
        local = text(fields(ipcam.get("liveview")).get("local"))
        if local is None and self.camera_available is None:
            return None
        return local == "disabled" or (self.camera_kind is CameraKind.RTSPS and self.camera_available is False)

    @property
    def camera_recording(self) -> bool | None:
        """`ipcam_record`."""
        return switched(fields(self.report.get("ipcam")).get("ipcam_record"))

    @property
    def timelapse(self) -> bool | None:
        """`timelapse`."""
        return switched(fields(self.report.get("ipcam")).get("timelapse"))

    # -- filament ------------------------------------------------------------------------------

    @property
    def ams(self) -> tuple[AmsUnit, ...]:
        """The AMS units."""
        return read_units(self.report, self.traits)

    @property
    def external(self) -> tuple[Slot, ...]:
        """The external spools."""
        return read_external(self.report)

    @property
    def active_slot(self) -> ActiveSlot | None:
        """The slot that feeds the nozzle."""
        return read_active(self.report, self.traits)

    @property
    def filament_at_head(self) -> bool | None:
        """Whether filament is at the tool-head."""
        found = whole(self.report.get("hw_switch_state"))
        return None if found is None else bool(found)


_FAN_FIELDS: Final[dict[str, str]] = {
    "part": "cooling_fan_speed",
    "aux": "big_fan1_speed",
    "chamber": "big_fan2_speed",
    "heatbreak": "heatbreak_fan_speed",
}
