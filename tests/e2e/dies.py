"""The command line as a process with a fate: it dies at a chosen moment, or lives under another clock.

`python -m tests.e2e.dies FATE …` with what `Fate.text` wrote and then the arguments of `bambu-connector`. It counts the
moments from SIGUSR1 on (or from its beginning), and then kills itself: nobody hears of what it had begun.
"""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

JOURNAL = ("journal.db", "journal.db-wal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What is to become of a process. `at` is `before` or `after` and a name of `_MOMENTS`; None: it lives.

    It dies `delay_s` after the moment, at the latest before the next one of its kind. `counts` has it count from its
    beginning. `copies` is a folder that gets a copy of the journal as each commit leaves it on the disk.

    `later_s` is by how much its clocks are ahead, `boot` the name of the machine's run, `clock_is_set` whether its
    clock follows a time server. `unexplained_s` and `clock_wait_s` shorten what else takes minutes.
    """

    at: str | None = None
    number: int = 1
    delay_s: float | None = None
    counts: bool = False
    copies: str | None = None
    later_s: float = 0.0
    boot: str | None = None
    clock_is_set: bool = True
    unexplained_s: float | None = None
    clock_wait_s: float | None = None

    def text(self) -> str:
        """Return it as one argument."""
        return json.dumps(asdict(self))


class _Reaper:
    """Counts the moments, and ends the process at the right one."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._when, _, self._what = (fate.at or " ").partition(" ")
        self._counts = fate.counts
        self._count = 0
        self._lock = threading.Lock()

    def arm(self, *_signal: object) -> None:
        self._counts = True
        os.write(2, b"armed\n")

    def watch(self, name: str, owner: Any, method: str) -> None:
        """Have the calls of a method be moments."""
        original: Callable[..., Any] = getattr(owner, method)

        def called(this: Any, *given: Any, **named: Any) -> Any:
            counts = self._counts and name == self._what
            if counts:
                self._before(given)
            result = original(this, *given, **named)
            if counts:
                self._after(this, given)
            return result

        setattr(owner, method, called)

    def _before(self, given: tuple[Any, ...]) -> None:
        with self._lock:
            self._count += 1
            if self._count >= self._fate.number + (self._when == "after"):
                self._die(given)

    def _after(self, store: Any, given: tuple[Any, ...]) -> None:
        if self._fate.copies is not None:
            _copy(store.path.parent, Path(self._fate.copies) / str(self._count))
        if self._count != self._fate.number or self._when != "after":
            return
        if self._fate.delay_s is None:
            self._die(given)
        threading.Timer(self._fate.delay_s or 0.0, self._die, (given,)).start()

    def _die(self, given: tuple[Any, ...]) -> None:
        os.write(2, f"dies {self._when} {self._what} {self._fate.number}: {_described(given)}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def _described(given: tuple[Any, ...]) -> str:
    records = getattr(given[0], "records", None) if given else None
    if records is None:
        return ""
    kinds = sorted(f"{'+' if body else '-'}{kind}" for (kind, _), body in records.items())
    return " ".join([*kinds, f"{len(given[0].commands)} commands"])


def _copy(source: Path, target: Path) -> None:
    """Copy the journal: called by the one who writes it, so it is whole."""
    target.mkdir(parents=True, exist_ok=True)
    for name in JOURNAL:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def _moments(reaper: _Reaper) -> None:
    from bambu_connector.links.printago_mqtt import PrintagoMqttConnection
    from bambu_connector.service.dispatcher import Dispatcher
    from bambu_connector.service.outbox import Outbox
    from bambu_connector.service.printer import Printer
    from bambu_connector.service.store import SqliteStore

    reaper.watch("commit", SqliteStore, "commit")
    reaper.watch("delivery", Dispatcher, "deliver")
    reaper.watch("acknowledgement", PrintagoMqttConnection, "acknowledge")
    reaper.watch("arrival", Outbox, "_arrived")
    reaper.watch("request", Printer, "send")


def _turn_clocks(fate: Fate) -> None:
    from bambu_connector.service import clock, job_steps, starts

    system: Any = clock.SystemClock
    wall, since_boot, boot = system.wall, system.since_boot, system.boot
    system.wall = lambda this: wall(this) + fate.later_s
    system.since_boot = lambda this: since_boot(this) + fate.later_s
    system.boot = lambda this: fate.boot or boot(this)
    system.wall_is_sure = lambda _this: fate.clock_is_set
    if fate.unexplained_s is not None:
        starts.UNEXPLAINED_S = fate.unexplained_s  # type: ignore[misc]
    if fate.clock_wait_s is not None:
        job_steps.CLOCK_WAIT_S = fate.clock_wait_s  # type: ignore[misc]


def main() -> None:
    """Run the command line under a fate."""
    fate = Fate(**json.loads(sys.argv.pop(1)))
    reaper = _Reaper(fate)
    signal.signal(signal.SIGUSR1, reaper.arm)
    _moments(reaper)
    _turn_clocks(fate)
    from bambu_connector.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
