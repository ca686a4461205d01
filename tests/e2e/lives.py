"""One service that is killed again and again, each time in the middle of something, and what must hold afterwards."""

import itertools
import json
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.bench import ROOT, Bench, Printer, Service, Workshop
from tests.e2e.cloud import Message, Tree
from tests.e2e.dies import JOURNAL, Fate
from tests.files import sliced
from tests.servers.process import Child, wait_until

LIVES = Fate()
START, STORE = "printer_control/start_print_bbl", "printer_control/download_gcode"
STOP = "printer_control/stop_print"
TERMINAL = frozenset({"PrintDone", "PrintFailed", "PrintCancelled"})
UNEXPLAINED_S = 3.0
# So often one transfer may be told: it is begun anew where it was broken off. The rest is told once.
_AGAIN = frozenset({"TransferStarted", "TransferDone"})


class MortalService(Service):
    """The service, whose process has a fate."""

    def start(self, fate: Fate = LIVES) -> None:
        number = next(self._runs)
        argv = [sys.executable, "-m", "tests.e2e.dies", fate.text(), *self.argv[3:], "--log-level", "debug", "run"]
        self._child = Child(argv, self.folder / f"run-{number:03}.log", cwd=ROOT)

    def arm(self) -> None:
        """Have the process count from now on."""
        self.child.send_signal(signal.SIGUSR1)
        wait_until("it counts", lambda: "armed" in self.child.text())

    def death(self) -> str:
        """Return how the last process died."""
        found = re.search(r"^dies .*", self.child.text(), re.MULTILINE)
        return found[0] if found else "killed"


@dataclass
class Trial:
    """One command around which the service was killed: what stood before it, and how the service died.

    `file` is how the name of its file begins; `job` is the one that a stop is meant for.
    """

    command: str
    command_id: str
    since: int
    mark: int
    starts: int
    file: str | None = None
    job: "Trial | None" = None
    deaths: list[str] = field(default_factory=list)


class Lane:
    """A cloud, a printer and a service with many lives, from the constructor to the end of the `with` block."""

    def __init__(self, folder: Path, workshop: Workshop, name: str, **options: Any) -> None:
        self.name = name
        self._stack = ExitStack()
        usual: Tree = {"speed": 600.0, "print_seconds": 300.0, "entry": {"quirks": {"start_timeout": 3}}}
        self.printer = Printer(workshop, **usual | options)
        self.bench = Bench(folder, workshop, [self.printer], connector_id=name)
        self._names = (f"{name}-{number}.gcode.3mf" for number in itertools.count(1))
        self.service = MortalService(self.bench.service.folder, self.bench.config())
        self.bench.service = self.service
        self._stack.callback(self.service.close)
        self.cloud = self.bench.cloud
        self.trials: list[Trial] = []
        self.flaws: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self.bench.__exit__(kind, exc, trace)

    # -- lives -------------------------------------------------------------------------------------

    def live(self, **fate: Any) -> None:
        """Begin a life; returns when the service is connected to both sides."""
        since = self.cloud.mark()
        self.service.start(Fate(unexplained_s=UNEXPLAINED_S, **fate))
        self.bench.when_available(since=since)
        self.bench.when_ready(self.printer, since=since)

    def live_and_die(self, trial: Trial, **fate: Any) -> bool:
        """Begin a life that counts from its beginning; returns as `dies` does."""
        self.service.start(Fate(unexplained_s=UNEXPLAINED_S, counts=True, **fate))
        return self.dies(trial)

    def kill(self) -> None:
        """End a life at once, and have the printer forget its last print: an old end may linger after a start."""
        self.service.child.kill()
        if self.printer.state in ("FINISH", "FAILED"):
            self.printer.change(gcode_state="IDLE")

    def begin(self, command: str, parameters: Tree | None = None, **extra: Any) -> Trial:
        """Send a command that is judged in the end."""
        trial = Trial(command, "", self.cloud.mark(), self.printer.mark(), len(self.printer.starts))
        trial.command_id = self.bench.send(self.printer, command, parameters, **extra)
        self.trials.append(trial)
        return trial

    def job(self, command: str = START, content: bytes = b"", **how: Any) -> Trial:
        """Send a job with a file of its own."""
        name = next(self._names)
        trial = self.begin(command, {"url": self.bench.serve(name, content or sliced(), **how)})
        trial.file = name.partition(".")[0]
        return trial

    def stop(self, job: Trial) -> Trial:
        """Send a stop for a job."""
        trial = self.begin(STOP)
        trial.job = job
        return trial

    def dies(self, trial: Trial, timeout_s: float = 20.0) -> bool:
        """Wait until the service is dead; False when the command was answered and all became quiet instead."""
        deadline = time.monotonic() + timeout_s
        while self.service.alive:
            assert time.monotonic() < deadline, f"neither dead nor quiet after {trial.command}\n{self._tail()}"
            if self.cloud.answers(trial.command_id) and self._has_ended(trial) and self._is_tidy():
                time.sleep(1.3)  # what is written late is written within a second
                break
            time.sleep(0.05)
        died = not self.service.alive
        if died:
            trial.deaths.append(self.service.death())
        return died

    def _tail(self) -> str:
        return self.service.log()[-6000:]

    # -- what must hold ----------------------------------------------------------------------------

    def settle(self, trial: Trial, timeout_s: float = 30.0) -> Message:
        """Wait until a command has its answer and nothing goes on any more; return the answer."""
        try:
            answer = self.cloud.answer(trial.command_id, timeout_s)
            if answer.code == "start_unknown":
                self.bench.refused("printer_busy", self.printer, START, {"url": self.bench.serve("no.3mf", sliced())})
            wait_until("the print has ended", lambda: self._has_ended(trial), timeout_s)
            wait_until("nothing lies about", self._is_tidy, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{trial}\n{error}\n{self._tail()}") from error
        return answer

    def _has_ended(self, trial: Trial) -> bool:
        if len(self.printer.starts) == trial.starts:
            return True
        # A start that failed because its print ended at once has told its end.
        failed = any(each.code == "start_failed" for each in self.cloud.answers(trial.command_id))
        return bool(self.terminal(trial)) or (failed and self.printer.state == "FAILED")

    def _is_tidy(self) -> bool:
        kept = self.printer.files() - {each for each in self.printer.files() if self._is_kept(each)}
        return not kept and not self.downloads()

    def _is_kept(self, name: str) -> bool:
        return any(
            answer.data.get("file_name") == name
            for trial in self.trials
            if trial.command == STORE
            for answer in self.cloud.answers(trial.command_id)
        )

    def downloads(self) -> list[str]:
        """Return what lies in the folder of downloads."""
        folder = self.service.state_dir / "downloads"
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []

    def events(self, trial: Trial) -> list[Message]:
        """Return the events since a trial, each message once."""
        heard = self.cloud.heard("event", self.printer.id, since=trial.since)
        return list({each.fields["message_id"]: each for each in heard}.values())

    def terminal(self, trial: Trial) -> list[Message]:
        """Return the events that ended the print of a trial."""
        return [each for each in self.events(trial) if each.data["event"] in TERMINAL and _is_of(each, trial)]

    def ordered(self, trial: Trial, until: int | None = None) -> list[str]:
        """Return the commands that reached the printer since a trial, up to a mark."""
        return self.printer.commands(trial.mark)[: None if until is None else until - trial.mark]

    def judge(self, trial: Trial, wanted: Sequence[str] = ("success",)) -> None:
        """Note what is wrong with a trial that has settled; `wanted` are the ways in which its answer may end."""
        answers = self.cloud.answers(trial.command_id)
        ending = answers[0].code or answers[0].kind if answers else None
        ordered = self.ordered(trial)
        begun = len(self.printer.starts) - trial.starts
        ended = [str(each.data["event"]) for each in self.terminal(trial)]
        began = [each for each in self.events(trial) if each.data["event"] == "PrintStarted" and _is_of(each, trial)]
        told = Counter(json.dumps(each.data, sort_keys=True) for each in self.events(trial))
        moves = ordered.count("gcode_line")
        checks = {
            f"one answer, not {len(answers)}": len(answers) == 1,
            f"it ends in {'/'.join(wanted)}, not {ending}": ending in wanted,
            f"one request to start at most, not {ordered.count('project_file')}": ordered.count("project_file") <= 1,
            f"one print at most, not {begun}": begun <= 1,
            "a print where success was told": begun == 1 or ending != "success" or trial.command != START,
            "no print where a failure was told": begun == 0
            or trial.job
            or ending in ("success", "cancelled", "start_failed"),
            f"one end for a print, not {ended}": trial.job
            or len(ended) == begun
            or (ending == "start_failed" and not ended),
            "a print begins once": bool(trial.job) or len(began) <= begun,
            "no movement twice": moves <= 1,
        }
        wrong = [what for what, holds in checks.items() if not holds]
        wrong += [
            f"told {count} times: {data}"
            for data, count in told.items()
            if count > (1 + len(trial.deaths) if json.loads(data)["event"] in _AGAIN else 1)
        ]
        self.flaws += [f"{each} — {trial}" for each in wrong]

    def verdict(self) -> None:
        """Fail with everything that was noted."""
        assert not self.flaws, "\n".join(self.flaws)

    # -- the disk ----------------------------------------------------------------------------------

    def put_back(self, copy: Path, *, torn: bytes = b"") -> None:
        """Have the journal be as a power cut leaves it: a copy, and perhaps the beginning of what was being written."""
        state = self.service.state_dir
        for name in (*JOURNAL, "journal.db-shm"):
            (state / name).unlink(missing_ok=True)
        for name in JOURNAL:
            if (copy / name).exists():
                shutil.copyfile(copy / name, state / name)
        with (state / JOURNAL[1]).open("ab") as file:
            file.write(torn)

    def log_of(self, sentence: str) -> int:
        """Return how many lines of the log say something."""
        return self.service.log().count(sentence)


def _is_of(event: Message, trial: Trial) -> bool:
    """Say whether an event is about the print of a trial: by its command, or else by its file."""
    job, trial = event.data.get("job") or {}, trial.job or trial
    if "command_id" in job:
        return bool(job["command_id"] == trial.command_id)
    return trial.file is not None and str(job.get("file")).rpartition("-")[0] == trial.file
