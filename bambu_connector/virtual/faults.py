"""What a virtual printer can be made to do wrong, by name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bambu_connector.errors import UsageError


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. `default` is its value where none is given; None: it takes no value."""

    what: str
    default: float | None = None
    is_code: bool = False

    @property
    def shown_default(self) -> str:
        """The default as a person would give it, "" where there is none."""
        if self.default is None:
            return ""
        return f"0x{int(self.default):08X}" if self.is_code else f"{self.default:g}"


# fmt: off
FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({
    "wrong-code":       Fault("refuses every access code, on MQTT and on FTPS"),
    "signing-demanded": Fault("Developer Mode is off: print commands are refused with 'mqtt message verify failed'"),
    "empty-echo":       Fault("echoes print commands without a result and does nothing"),
    "silent":           Fault("accepts everything, says nothing"),
    "deaf":             Fault("reports, but every command vanishes"),
    "no-ack":           Fault("does what it is told, and answers questions only"),
    "puback-withheld":  Fault("never acknowledges a publish"),
    "disconnects":      Fault("drops its clients every so many seconds", 10.0),
    "non-utf8":         Fault("puts bytes into its JSON that are not UTF-8"),
    "no-ids":           Fault("reports '0' for the ids of a job"),
    "no-storage":       Fault("has no card: sdcard false, and FTPS answers 553"),
    "flapping-storage": Fault("the storage bits of home_flag come and go; sdcard stays true"),
    "refuse-start":     Fault("refuses project_file with this err_code", float(0x05004004), is_code=True),
    "ignore-start":     Fault("acknowledges project_file and never starts"),
    "slow-start":       Fault("takes so many seconds to adopt a job", 20.0),
    "mute-start":       Fault("says nothing for so many seconds after project_file; a pushall or a new client makes it "
                              "lose the job", 20.0),
    "lingering-finish": Fault("goes on showing FINISH for so many seconds after project_file (at speed 1)", 50.0),
    "screen-start":     Fault("somebody starts another print at the screen when an upload has arrived"),
    "fail-print":       Fault("fails when this much of the print is done (percent)", 50.0),
    "runout":           Fault("runs out of filament when this much of the print is done (percent), once", 50.0),
    "not-announced":    Fault("stays silent on the network: no announcement, no answer to a search, no goodbye"),
    "announce-garbage": Fault("announces what is no announcement, instead of itself"),
    "detect-garbage":   Fault("answers login.detect with what is no answer"),
    "cloud":            Fault("says that it is bound to an account and takes its orders from the cloud"),
    "foreign-certificate": Fault("shows the certificate of another serial, on every port"),
    "new-certificate":  Fault("shows another certificate for its serial, on every port, as after a repair"),
    "too-many-clients": Fault("drops every MQTT client that wants to log in, as when all slots are taken"),
})
# fmt: on


def parse_fault(text: str) -> tuple[str, float | None]:
    """Return name and value of `NAME` or `NAME=VALUE`; numbers may be hexadecimal (0x…).

    Raises:
        UsageError: no such fault, a value where none is taken, or not a number.
    """
    name, equals, given = text.partition("=")
    fault = FAULTS.get(name)
    if fault is None:
        raise UsageError(f"there is no fault {name!r}; known are: {', '.join(FAULTS)}")
    if not equals:
        return name, fault.default
    if fault.default is None:
        raise UsageError(f"the fault {name!r} takes no value")
    try:
        return name, float(int(given, 16)) if given.lower().startswith("0x") else float(given)
    except ValueError as error:
        raise UsageError(f"the fault {name!r} takes a number, not {given!r}") from error


class Faults:
    """The faults that are switched on now, with their values; may be changed while the printer runs."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._active: dict[str, float | None] = {}
        for name in names:
            self.add(name)

    def add(self, text: str) -> None:
        """Switch on `NAME` or `NAME=VALUE`. Raises UsageError."""
        name, value = parse_fault(text)
        self._active[name] = value

    def discard(self, name: str) -> None:
        """Switch a fault off; nothing happens where it was not on."""
        self._active.pop(name, None)

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def value(self, name: str) -> float | None:
        """Return the value of a fault that is on, None where it is off."""
        return self._active.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._active

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._active))

    def __len__(self) -> int:
        return len(self._active)
