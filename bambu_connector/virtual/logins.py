"""Who is let in by a virtual printer, and how often anybody tried."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bambu_connector.secret import Secret
from bambu_connector.virtual.faults import Faults

USER: Final = "bblp"
WIRES: Final = ("mqtt", "ftps", "camera")


@dataclass(frozen=True, slots=True)
class Tries:
    """How often somebody was let in on one wire, and how often refused."""

    right: int = 0
    wrong: int = 0


class Logins:
    """The one user and the access code, which may be changed at any time; `seen` counts the tries on each wire."""

    def __init__(self, code: Secret, faults: Faults) -> None:
        self.code = code
        self._faults = faults
        self._seen = dict.fromkeys(WIRES, Tries())

    @property
    def seen(self) -> Mapping[str, Tries]:
        """How many credentials have come, on `mqtt`, `ftps` and `camera`."""
        return MappingProxyType(dict(self._seen))

    def admits(self, wire: str, user: str | None, password: str | None) -> bool:
        """Say whether somebody may log in, and count it."""
        is_right = "wrong-code" not in self._faults and (user, password) == (USER, self.code.reveal())
        before = self._seen[wire]
        self._seen[wire] = Tries(before.right + is_right, before.wrong + (not is_right))
        return is_right
