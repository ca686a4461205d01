"""The filament of a virtual printer: its AMS, its external spools, and what is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bambu_connector.virtual.report import Fields, Report

SLOTS: Final = 4
EXTERNAL: Final = (254, 255)
NONE_LOADED: Final = 255
CHANGE_S: Final = 60.0
RFID_S: Final = 15.0
EXTERNAL_TRAY_NOW: Final = 254

_STATUS_CHANGING: Final = 0x0100
_STATUS_READING: Final = 0x0200
STATUS_PRINTING: Final = 768
_SNOW_EXTERNAL: Final = 0xFF00
_SNOW_NONE: Final = 0xFFFF
# (share of the change that is over, sub-step): heating, pulling back, feeding, purging
_SUB_STEPS: Final = ((0.0, 2), (0.3, 4), (0.5, 3), (0.8, 7))
_DEFAULT_TEMPERATURE: Final = 220.0


@dataclass(slots=True)
class Change:
    """A change of filament (or the reading of a tag) under way; `target` as in `tray_now`."""

    target: int
    left: float
    reading: bool = False


class Filaments:
    """Reads and writes the AMS part of a report."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.under_way: Change | None = None

    @property
    def fitted(self) -> bool:
        """Whether there is an AMS at all."""
        return bool(self._report.items("ams", "ams"))

    @property
    def now(self) -> int:
        """What is loaded, as `tray_now` says it."""
        return int(self._report.get("ams", "tray_now") or NONE_LOADED)

    def slot(self, ams_id: int, slot_id: int) -> Fields | None:
        """Return one tray of an AMS, None where there is none."""
        for unit in self._report.items("ams", "ams"):
            if unit["id"] == str(ams_id):
                return next((tray for tray in unit["tray"] if tray["id"] == str(slot_id)), None)
        return None

    def external(self, tray_id: int) -> Fields | None:
        """Return an external spool: 254 or 255 (the only one answers to both)."""
        spools = [*self._report.items("vir_slot")]
        spool = self._report.get("vt_tray")
        if isinstance(spool, dict):
            spools.append(spool)
        named = [each for each in spools if each["id"] == str(tray_id)]
        return named[0] if named else (spools[0] if spools and tray_id in EXTERNAL else None)

    def is_loaded(self, ams_id: int, slot_id: int) -> bool:
        """Whether a known spool is in a slot."""
        return bool((self.slot(ams_id, slot_id) or {}).get("tray_type"))

    def temperature(self, tray: int) -> float:
        """Return a printing temperature (°C) for what is in a tray, as `tray_now` counts."""
        spool = self.external(tray) if tray in EXTERNAL else self.slot(*divmod(tray, SLOTS))
        low, high = (float((spool or {}).get(f"nozzle_temp_{end}", 0) or 0) for end in ("min", "max"))
        return (low + high) / 2 + 10 if high else _DEFAULT_TEMPERATURE

    def begin_change(self, target: int) -> None:
        """Begin to load `target` (or unload, 255); takes CHANGE_S."""
        self.under_way = Change(target, CHANGE_S)
        self._report.put(str(target), "ams", "tray_tar")
        self._show_step(2)

    def begin_reading(self, ams_id: int, slot_id: int) -> None:
        """Begin to read the tag of a spool; takes RFID_S."""
        self.under_way = Change(NONE_LOADED, RFID_S, reading=True)
        self._report.put(_STATUS_READING, "ams_status")
        self._report.put(f"{1 << (ams_id * SLOTS + slot_id):x}", "ams", "tray_reading_bits")

    def abort(self) -> None:
        """Forget a change that is under way."""
        if self.under_way is not None:
            self.under_way = None
            self._report.put(0, "ams_status")
            self._report.put(str(self.now), "ams", "tray_tar")
            self._report.put("0", "ams", "tray_reading_bits")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        change = self.under_way
        if change is None:
            return
        change.left -= seconds
        if change.left > 0:
            if not change.reading:
                done = 1 - change.left / CHANGE_S
                self._show_step(max((step for step in _SUB_STEPS if step[0] <= done), default=_SUB_STEPS[0])[1])
            return
        self.under_way = None
        self._report.put(0, "ams_status")
        self._report.put("0", "ams", "tray_reading_bits")
        if not change.reading:
            self.load(change.target)

    def load(self, target: int) -> None:
        """Have `target` (as `tray_now`) in the nozzle from now on."""
        self._report.put(str(self.now), "ams", "tray_pre")
        self._report.put(str(target), "ams", "tray_now")
        self._report.put(str(target), "ams", "tray_tar")
        self._report.put(0 if target == NONE_LOADED else 1, "hw_switch_state")
        for extruder in self._report.items("device", "extruder", "info")[:1]:
            extruder.update(spre=extruder["snow"], snow=_snow(target), star=_snow(target))

    def run_out(self, tray: int) -> None:
        """Nothing is left of a spool: its tray is empty from now on."""
        spool = self.slot(*divmod(tray, SLOTS))
        if spool is not None:
            for key in set(spool) - {"id"}:
                del spool[key]
            self._set_exists(tray, False)

    def set_tray(self, request: Mapping[str, Any]) -> bool:
        """Write what `ams_filament_setting` says into its tray; return whether there is a spool to describe."""
        ams_id = int(request.get("ams_id", 0))
        slot_id = int(request.get("slot_id", request.get("tray_id", 0)))
        tray = self.external(ams_id) if ams_id in EXTERNAL else self.slot(ams_id, slot_id)
        if tray is None or len(tray) == 1:
            return False
        for key in ("tray_info_idx", "tray_color", "tray_type"):
            tray[key] = str(request.get(key, tray.get(key, "")))
        for key in ("nozzle_temp_min", "nozzle_temp_max"):
            tray[key] = str(request.get(key, tray.get(key, "0")))
        tray.update(cols=[tray["tray_color"]], tray_sub_brands="", tag_uid="0" * 16, tray_uuid="0" * 32, remain=-1)
        return True

    def dry(self, ams_id: int, hours: float) -> bool:
        """Show drying for so many hours (0: stop); return whether this unit can dry."""
        for unit in self._report.items("ams", "ams"):
            if unit["id"] == str(ams_id) and "dry_time" in unit:
                unit["dry_time"] = round(hours * 60)
                return True
        return False

    def _set_exists(self, tray: int, on: bool) -> None:
        for field in ("tray_exist_bits", "tray_is_bbl_bits", "tray_read_done_bits"):
            bits = int(self._report.get("ams", field) or "0", 16)
            self._report.put(f"{bits | 1 << tray if on else bits & ~(1 << tray):x}", "ams", field)

    def _show_step(self, step: int) -> None:
        self._report.put(_STATUS_CHANGING | step, "ams_status")


def _snow(tray: int) -> int:
    """Return a tray in the numbers of `device.extruder.info[].snow`."""
    if tray == NONE_LOADED:
        return _SNOW_NONE
    if tray == EXTERNAL_TRAY_NOW:
        return _SNOW_EXTERNAL
    ams_id, slot_id = divmod(tray, SLOTS)
    return ams_id << 8 | slot_id
