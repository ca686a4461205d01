"""The model table: every difference between printers that we act on is a column here.

Facts are from the protocol reference (identity 1.1, capabilities 1.2, signing 4.4, start 9). Where sources
disagree the choice is a column too, and a printer's `quirks:` overrides it (`with_quirks`).
"""

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final


class CameraKind(enum.StrEnum):
    """How a model's camera is reached."""

    JPEG = "jpeg"
    RTSPS = "rtsps"


class ChamberHeat(enum.StrEnum):
    """How a chamber target is set. `GCODE`: a bare M141 (X1E). `ASSISTED`: M145 around it (H2*, X2D)."""

    GCODE = "gcode"
    ASSISTED = "assisted"


class StartUrl(enum.StrEnum):
    """Where `project_file` says the file is; the value is what a quirk names."""

    FTP = "ftp"
    FTP3 = "ftp3"
    SDCARD = "sdcard"
    USB = "usb"

    def of(self, name: str) -> str:
        """Return the URL of a file in the FTPS root."""
        return _START_URLS[self] + name


_START_URLS: Final = {
    StartUrl.FTP: "ftp://",
    StartUrl.FTP3: "ftp:///",
    StartUrl.SDCARD: "file:///sdcard/",
    StartUrl.USB: "file:///media/usb0/",
}


class Model(enum.Enum):
    """The models of the reference; `GENERIC` is a printer that no row knows."""

    X1C = "X1C"
    X1 = "X1"
    X1E = "X1E"
    P1P = "P1P"
    P1S = "P1S"
    P2S = "P2S"
    X2D = "X2D"
    A1_MINI = "A1 mini"
    A1 = "A1"
    A2L = "A2L"
    H2D = "H2D"
    H2D_PRO = "H2D Pro"
    H2S = "H2S"
    H2C = "H2C"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class JogSigns:
    """What a relative move is multiplied with, for each axis."""

    x: int = 1
    y: int = 1
    z: int = 1


BED_SLINGER: Final = JogSigns(y=-1, z=-1)  # the sign belongs to the part that moves: reference 6, from Bambu Studio

Firmware = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What we know of one model: temperatures in °C, lengths in mm, times in s. None: it has none, or nobody knows."""

    code: str
    """What SSDP and sliced files call it; `""` for the generic row."""
    display_name: str
    codes: frozenset[str] = frozenset()
    """Further codes and spellings of the same model."""
    serial_prefix: str | None = None
    camera: CameraKind | None = None
    nozzle_max: int = 300
    bed_max: int = 80
    bed_max_220v: int | None = None
    """The bed's limit where the printer says that it runs on 220 V; None: the same."""
    chamber_max: int | None = None
    chamber_heat: ChamberHeat | None = None
    chamber_sensor: bool = False
    """False also means that `chamber_temper` is a placeholder (P1 and A1 send 5) and is never shown."""
    volume: tuple[int, int, int] | None = None
    nozzles: int = 1
    fans: frozenset[str] = frozenset({"part", "aux", "chamber"})
    work_light: bool = False
    jog_signs: JogSigns = JogSigns()
    can_run: frozenset[str] = frozenset()
    """Model codes of sliced files that run on it besides its own."""
    ams_kind: str = "AMS"
    """What a unit is that does not tell its kind."""
    ams_lite_unit: int | None = None
    """The unit id of an AMS Lite with an id scheme of its own (A2L)."""
    tray_now_is_local: bool = False
    """`tray_now` names only the slot within its unit; `device.extruder.info[].snow` is right."""
    external_slot: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({0: 254}))
    """Extruder id → `ams_id` under which its external spool is loaded."""
    start_url: StartUrl = StartUrl.FTP
    send_md5: bool = True
    vibration_cali: bool = True
    start_timeout: float = 180.0
    """How long a start may take until our job is seen; P1P 01.10 needs up to 135 s, H2D keeps FINISH for 50 s."""
    quiet_after_start: float = 0.0
    """For so long after `project_file` neither `pushall` nor a new session, whatever happens (P1P 01.10: 0500-4003)."""
    pushall_interval: float = 300.0
    """P1 and A1 stall on `pushall`; newer models tolerate more."""
    ftps_protection: str = "P"
    signing_from: Firmware | None = None
    """The first firmware that obeys only signed commands unless Developer Mode is on; None: nobody knows."""
    menu_lan_only: str | None = None
    """The way through the menus on its screen to LAN Only Mode, Developer Mode and the access code; None: not known."""


_X1_FAMILY: Final = frozenset({"BL-P001", "BL-P002", "C11", "C12", "C13"})
_DUAL_EXTERNAL: Final = MappingProxyType({0: 255, 1: 254})
_PART_ONLY: Final = frozenset({"part"})
_ALL: Final[Firmware] = (0,)
_LAN_ONLY: Final = "Settings > LAN Only"
_WLAN_LAN_ONLY: Final = "Settings > WLAN > LAN Only Mode"
_H2: Final[dict[str, Any]] = {
    "camera": CameraKind.RTSPS, "nozzle_max": 350, "bed_max": 120, "chamber_max": 65, "chamber_heat": ChamberHeat.ASSISTED,
    "chamber_sensor": True, "tray_now_is_local": True, "pushall_interval": 60.0, "signing_from": _ALL,
    "menu_lan_only": _LAN_ONLY,
}  # fmt: skip
_A_SERIES: Final[dict[str, Any]] = {
    "camera": CameraKind.JPEG,
    "fans": _PART_ONLY,
    "jog_signs": BED_SLINGER,
    "ams_kind": "AMS Lite",
    "menu_lan_only": "Settings > LAN Only Mode",
}

# fmt: off
TRAITS: Final[Mapping[Model, Traits]] = MappingProxyType({
    Model.X1C: Traits(
        code="BL-P001", codes=frozenset({"3DPrinter-X1-Carbon"}), display_name="Bambu Lab X1 Carbon", serial_prefix="00M",
        camera=CameraKind.RTSPS, bed_max=120, bed_max_220v=110, chamber_sensor=True, volume=(256, 256, 256), work_light=True,
        can_run=_X1_FAMILY, pushall_interval=60.0, signing_from=(1, 8, 3, 0), menu_lan_only=_LAN_ONLY),
    Model.X1: Traits(
        code="BL-P002", codes=frozenset({"3DPrinter-X1"}), display_name="Bambu Lab X1", serial_prefix="00W",
        camera=CameraKind.RTSPS, bed_max=120, bed_max_220v=110, chamber_sensor=True, volume=(256, 256, 256), work_light=True,
        can_run=_X1_FAMILY, pushall_interval=60.0, signing_from=(1, 8, 3, 0), menu_lan_only=_LAN_ONLY),
    Model.X1E: Traits(
        code="C13", display_name="Bambu Lab X1E", serial_prefix="03W", camera=CameraKind.RTSPS, nozzle_max=320, bed_max=110,
        chamber_max=60, chamber_heat=ChamberHeat.GCODE, chamber_sensor=True, volume=(256, 256, 256), work_light=True,
        can_run=_X1_FAMILY, pushall_interval=60.0, menu_lan_only=_LAN_ONLY),
    Model.P1P: Traits(
        code="C11", display_name="Bambu Lab P1P", serial_prefix="01S", camera=CameraKind.JPEG, bed_max=100,
        volume=(256, 256, 256), can_run=_X1_FAMILY, quiet_after_start=135.0, signing_from=(1, 8, 2, 0),
        menu_lan_only=_WLAN_LAN_ONLY),
    Model.P1S: Traits(
        code="C12", display_name="Bambu Lab P1S", serial_prefix="01P", camera=CameraKind.JPEG, bed_max=100,
        volume=(256, 256, 256), can_run=_X1_FAMILY, signing_from=(1, 8, 2, 0), menu_lan_only=_WLAN_LAN_ONLY),
    Model.P2S: Traits(
        code="N7", display_name="Bambu Lab P2S", serial_prefix="22E", camera=CameraKind.RTSPS, bed_max=110,
        chamber_sensor=True, volume=(256, 256, 256), tray_now_is_local=True, vibration_cali=False, pushall_interval=60.0,
        external_slot=MappingProxyType({0: 255}), signing_from=_ALL, menu_lan_only=_LAN_ONLY),
    Model.X2D: Traits(
        code="N6", display_name="Bambu Lab X2D", serial_prefix="20P", camera=CameraKind.RTSPS, bed_max=120, chamber_max=65,
        chamber_heat=ChamberHeat.ASSISTED, chamber_sensor=True, volume=(256, 256, 261), nozzles=2, pushall_interval=60.0,
        external_slot=_DUAL_EXTERNAL, signing_from=_ALL),
    Model.A1_MINI: Traits(
        code="N1", display_name="Bambu Lab A1 mini", serial_prefix="030", bed_max=80, volume=(180, 180, 180),
        signing_from=(1, 5, 0, 0), **_A_SERIES),
    Model.A1: Traits(
        code="N2S", display_name="Bambu Lab A1", serial_prefix="039", bed_max=100, volume=(256, 256, 256),
        signing_from=(1, 5, 0, 0), **_A_SERIES),
    Model.A2L: Traits(
        code="N9", display_name="Bambu Lab A2L", serial_prefix="26A", bed_max=80, volume=(330, 320, 325), ams_lite_unit=16,
        tray_now_is_local=True, external_slot=MappingProxyType({0: 255}), signing_from=_ALL,
        **_A_SERIES | {"menu_lan_only": None}),
    Model.H2D: Traits(
        code="O1D", display_name="Bambu Lab H2D", serial_prefix="094", volume=(350, 320, 325), nozzles=2,
        external_slot=_DUAL_EXTERNAL, **_H2 | {"signing_from": (1, 1, 0, 0)}),
    Model.H2D_PRO: Traits(
        code="O1E", codes=frozenset({"O2D"}), display_name="Bambu Lab H2D Pro", volume=(350, 320, 325), nozzles=2,
        external_slot=_DUAL_EXTERNAL, **_H2),
    Model.H2S: Traits(
        code="O1S", display_name="Bambu Lab H2S", serial_prefix="093", volume=(340, 320, 340),
        external_slot=MappingProxyType({0: 255}), **_H2),
    Model.H2C: Traits(
        code="O1C", codes=frozenset({"O1C2"}), display_name="Bambu Lab H2C", serial_prefix="31B", volume=(330, 320, 325), nozzles=2,
        external_slot=_DUAL_EXTERNAL, **_H2),
    Model.GENERIC: Traits(code="", display_name="Bambu Lab printer"),
})
# fmt: on

_BY_CODE: Final = {
    code.upper(): model
    for model, traits in TRAITS.items()
    for code in (traits.code, *traits.codes, model.value, traits.display_name)
    if code and model is not Model.GENERIC
} | {"BAMBU LAB X1-CARBON": Model.X1C, "X1 CARBON": Model.X1C, "A1MINI": Model.A1_MINI, "A1-MINI": Model.A1_MINI}
_BY_PREFIX: Final = {traits.serial_prefix: model for model, traits in TRAITS.items() if traits.serial_prefix}
_BOARDS: Final = {("rv1126", "AP05"): Model.X1C, ("ap", "AP02"): Model.X1E}
_SUB_SERIES: Final = re.compile(r"[-_]V\d+$", re.IGNORECASE)


def model_named(text: str) -> Model | None:
    """Return the model that a person, SSDP or a sliced file calls `text`; None when no row has that name."""
    return _BY_CODE.get(_SUB_SERIES.sub("", text.strip()).upper())


def model_of_serial(serial: str) -> Model:
    """Return the model whose serials begin like this one; GENERIC when none does (X1 and X1C share `00M`)."""
    return _BY_PREFIX.get(serial[:3].upper(), Model.GENERIC)


def model_of_modules(modules: Sequence[Mapping[str, Any]]) -> Model | None:
    """Return the model that the modules of `get_version` tell, None when they do not."""
    for module in modules:
        for key in ("product_name", "project_name"):
            name = module.get(key)
            if isinstance(name, str) and (model := model_named(name)):
                return model
    for module in modules:
        if model := _BOARDS.get((str(module.get("name")), str(module.get("hw_ver")))):
            return model
    return None


_LONGEST_FIRMWARE: Final = 32


def firmware_of(text: str) -> Firmware | None:
    """Parse `01.08.02.00`; None when it is not a version."""
    parts = text.strip().split(".")
    if len(text) > _LONGEST_FIRMWARE:
        return None
    return tuple(int(part) for part in parts) if len(parts) > 1 and all(part.isdecimal() for part in parts) else None


X1PLUS_FIRMWARE: Final = 99  # community firmware: its versions begin there, and it knows no signing


def signing_expected(traits: Traits, firmware: str | None) -> bool | None:
    """Say whether this firmware obeys only signed commands without Developer Mode; None when nobody knows."""
    version = firmware_of(firmware) if firmware else None
    if traits.signing_from is None or version is None:
        return None
    return traits.signing_from <= version < (X1PLUS_FIRMWARE,)


def can_run(traits: Traits, sliced_for: str) -> bool:
    """Say whether a file sliced for the model code `sliced_for` may run on this model."""
    target = model_named(sliced_for)
    if target is None or not traits.code:
        return not traits.code and target is None
    code = TRAITS[target].code
    return code == traits.code or code in traits.can_run


def with_quirks(
    traits: Traits,
    *,
    start_url: str | None = None,
    md5: bool | None = None,
    ftps_protection: str | None = None,
    start_timeout: float | None = None,
    jog_signs: tuple[int, int, int] | None = None,
) -> Traits:
    """Return `traits` with one printer's overrides; None leaves a column as it is."""
    changes: dict[str, Any] = {
        "start_url": StartUrl(start_url) if start_url else None,
        "send_md5": md5,
        "ftps_protection": ftps_protection,
        "start_timeout": start_timeout,
        "jog_signs": JogSigns(*jog_signs) if jog_signs else None,
    }
    return replace(traits, **{key: value for key, value in changes.items() if value is not None})
