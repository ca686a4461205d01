"""The processes of a soak as their owner sees them: the farm, and the service with its figures."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
import yaml

from tests.servers.process import Child
from tests.soak.oracle import Began, Pause, Request, Sample

ROOT: Final = Path(__file__).resolve().parents[2]
_MEGABYTE: Final = 1024 * 1024
_PRINTER: Final = re.compile(r"Soak p\d")
_EXCERPT_LINES: Final = 200

Tree = dict[str, Any]


class FarmProcess:
    """The printers, from the constructor to `close`."""

    def __init__(self, folder: Path, models: Sequence[str], *, speed: float, print_seconds: float) -> None:
        folder.mkdir()
        self._notes = folder / "farm.jsonl"
        with (folder / "farm.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.farm", str(folder), str(speed), str(print_seconds), *models],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        told = self._hear()
        self.ca_file: str = told["ca_file"]
        self.printers: list[Tree] = told["printers"]
        self._figures = psutil.Process(self._process.pid)

    @property
    def cpu_s(self) -> float:
        """CPU time until now."""
        return _cpu(self._figures)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._process.communicate(timeout=10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def do(self, what: str, **how: Any) -> Tree:
        """Have it do something; returns its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **how}) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Tree:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the farm ended; {self._notes.with_name('farm.log')} says why"
        heard: Tree = json.loads(line)
        return heard

    def seen(self) -> Iterator[Request | Began]:
        """Return what the printers wrote down."""
        with self._notes.open() as notes:
            for line in notes:
                for kind, fields in json.loads(line).items():
                    yield Request(**fields) if kind == "request" else Began(**fields)


class Service:
    """`bambu-connector run`, again and again with the same state; all write to one log."""

    def __init__(self, folder: Path, config: Tree) -> None:
        folder.mkdir()
        self.log_file = folder / "service.log"
        self.state_dir = folder / "state"
        self._config = folder / "connector.yaml"
        self._config.touch(0o600)
        config = {**config, "connector": {**config["connector"], "state_dir": str(self.state_dir)}}
        self._config.write_text(yaml.safe_dump(config, sort_keys=False))
        self._child: Child | None = None
        self._figures: psutil.Process | None = None
        self._away_since: float | None = None
        self._cpu_before = self._cpu_now = 0.0
        self.runs = 0
        self.samples: list[Sample] = []
        self.pauses: list[Pause] = []

    @property
    def alive(self) -> bool:
        """Whether it runs (a frozen one does)."""
        return self._child is not None and self._child.alive

    @property
    def cpu_s(self) -> float:
        """CPU time of all runs until now."""
        return self._cpu_before + self._cpu_now

    def start(self) -> None:
        """Run it."""
        self.runs += 1
        argv: list[str | Path] = [sys.executable, "-m", "bambu_connector", "--config", self._config, "run"]
        self._child = Child(argv, self.log_file, cwd=ROOT)
        self._figures = psutil.Process(self._child.pid)
        self._cpu_before, self._cpu_now = self.cpu_s, 0.0

    def is_back(self) -> None:
        """It is connected to Printago again: from now on it is to know what its printers do."""
        if self._away_since is not None:
            self.pauses.append(Pause(began=self._away_since, ended=time.monotonic()))
            self._away_since = None

    def kill(self) -> None:
        """End it as a power cut does."""
        self._leave()
        if self._child is not None:
            self._child.kill()

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self._leave()
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Send SIGSTOP."""
        self._leave()
        if self._child is not None:
            self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        if self._child is not None:
            self._child.send_signal(signal.SIGCONT)
        self.is_back()

    def exit_code(self, within_s: float) -> int | None:
        """Return how it ended; None when it did not in time, and then it is killed."""
        assert self._child is not None
        try:
            return self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return None

    def close(self) -> None:
        """End it in any case."""
        if self._child is not None:
            self._child.kill()

    def _leave(self) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()

    def sample(self) -> None:
        """Take its figures."""
        if self._figures is None or not self.alive:
            return
        with contextlib.suppress(psutil.Error):
            with self._figures.oneshot():
                self._cpu_now = _cpu(self._figures)
                taken = Sample(
                    at=time.monotonic(),
                    rss=self._figures.memory_info().rss / _MEGABYTE,
                    descriptors=self._figures.num_fds(),
                    threads=self._figures.num_threads(),
                )
            self.samples.append(taken)

    # -- its log -----------------------------------------------------------------------------------

    def lines(self) -> int:
        """Return how many lines it wrote."""
        with self.log_file.open("rb") as log:
            return sum(1 for _ in log)

    def flaws(self, secrets: Sequence[str]) -> list[str]:
        """Return what stands in the log and must not: tracebacks, bugs, secrets."""
        wrong = re.compile("|".join(["Traceback", "a bug in", "has a bug", *map(re.escape, secrets)]))
        found: list[str] = []
        with self.log_file.open(encoding="utf-8", errors="replace") as log:
            for number, line in enumerate(log, 1):
                if match := wrong.search(line):
                    found.append(f"line {number}: {match[0]!r} in {line.strip()[:300]}")
        return found

    def about(self, name: str, since: str, until: str) -> list[str]:
        """Return the lines between two moments, as the log writes them, that name a printer or none."""
        with self.log_file.open(encoding="utf-8", errors="replace") as log:
            return [
                line.rstrip("\n")
                for line in log
                if since <= line[: len(since)] <= until and (name in line or not _PRINTER.search(line))
            ][:_EXCERPT_LINES]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
