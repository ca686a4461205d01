"""The g-code lines that a client may send, carried out on a body."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from bambu_connector.virtual.body import FANS, Body

_WORD: Final = re.compile(r"([A-Z])\s*(-?\d+(?:\.\d*)?)?")
_AXES: Final = ("X", "Y", "Z")

Words = dict[str, float | None]


class Interpreter:
    """Carries out lines, one after the other; G90 and G91 stay from one call to the next.

    An extrusion counts as a distance, whatever M82 and M83 say: clients send M83 first.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._relative = False
        self._saved_modes: list[bool] = []
        self.lost_position = False
        """Set by M18 and M84; whoever acts on it clears it."""
        self.rfid_wanted: int | None = None
        """Set by `M620 R<tray>`; whoever acts on it clears it."""

    def run(self, text: str) -> None:
        """Carry out every line of `text`; what is not known is ignored, as printers do."""
        for line in text.upper().split("\n"):
            code, _, rest = line.partition(";")[0].strip().partition(" ")
            action = self._actions.get(code)
            if action is not None:
                action(self, {letter: float(value) if value else None for letter, value in _WORD.findall(rest)})
            elif code == "M1002":
                self._reference_mode(rest.strip())

    def _reference_mode(self, word: str) -> None:
        if word == "PUSH_REF_MODE":
            self._saved_modes.append(self._relative)
        elif word == "POP_REF_MODE" and self._saved_modes:
            self._relative = self._saved_modes.pop()

    def _nozzle(self, words: Words) -> None:
        tool = int(words.get("T") or 0) if "T" in words else self._body.active_nozzle
        if 0 <= tool < len(self._body.nozzles):
            self._body.nozzles[tool].aim(words.get("S") or 0.0)

    def _bed(self, words: Words) -> None:
        self._body.bed.aim(words.get("S") or 0.0)

    def _chamber(self, words: Words) -> None:
        self._body.chamber.aim(words.get("S") or 0.0)

    def _airduct(self, words: Words) -> None:
        self._body.airduct_mode = int(words.get("P") or 0)

    def _fan(self, words: Words) -> None:
        number = int(words.get("P") or 1)
        if 1 <= number <= len(FANS) and FANS[number - 1] in self._body.fans:
            self._body.fans[FANS[number - 1]] = min(max(int(words.get("S") or 0), 0), 255)

    def _move(self, words: Words) -> None:
        for axis in _AXES:
            distance = words.get(axis)
            if distance is not None:
                self._body.move(axis, distance, relative=self._relative)
        extrusion = words.get("E")
        if extrusion is not None:
            self._body.extrude(extrusion)

    def _home(self, _words: Words) -> None:
        self._body.home()

    def _motors_off(self, _words: Words) -> None:
        self.lost_position = True

    def _absolute_moves(self, _words: Words) -> None:
        self._relative = False

    def _relative_moves(self, _words: Words) -> None:
        self._relative = True

    def _ams(self, words: Words) -> None:
        tray = words.get("R")
        if tray is not None:
            self.rfid_wanted = int(tray)

    _actions: ClassVar[Mapping[str, Callable[["Interpreter", Words], None]]] = MappingProxyType(
        {
            "M104": _nozzle,
            "M109": _nozzle,
            "M140": _bed,
            "M190": _bed,
            "M141": _chamber,
            "M191": _chamber,
            "M145": _airduct,
            "M106": _fan,
            "M107": _fan,
            "G0": _move,
            "G1": _move,
            "G28": _home,
            "G90": _absolute_moves,
            "G91": _relative_moves,
            "M18": _motors_off,
            "M84": _motors_off,
            "M620": _ams,
        }
    )
