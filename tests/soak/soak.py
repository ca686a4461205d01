"""One run: everything is started, broken and used for a while, mended, and judged."""

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import psutil

from tests.soak import oracle
from tests.soak.agenda import Agenda
from tests.soak.farm import ACCESS_CODE
from tests.soak.faults import PRINTER_FAULTS, STOP_S, Faults
from tests.soak.oracle import Began, Finding, Flaw, Observations, Sample
from tests.soak.orders import SIGNATURE, Sender, Shop
from tests.soak.printago import PASSWORD, USER, Printago
from tests.soak.processes import FarmProcess, Service

CONNECTOR: Final = "soak"
KEEP_FILES: Final = 3
CALM_SHARE: Final = 1 / 3
"""The last part of a run, in which the service is left alone and its growth is measured."""

QUIET_S: Final = 480.0
"""How long the last answer and the last file may take in all."""
EXPLAINED_S: Final = 330.0
"""How long nothing may move while a file waits to be removed: that of a start without a trace stays for 300 s."""
NEAR_S: Final = 20.0
"""What is shown around a finding."""
STILL_S: Final = 100.0
"""How long nothing may move while an answer is missing: no step of a job waits longer when everything is whole."""

SPEED: Final = 40.0
"""Prints are long enough to be met by faults and short enough that hundreds fit: half a minute from start to end."""
START_TIMEOUT_S: Final = 20
SAMPLE_S: Final = 1.0

RSS_MB: Final = 4.0
"""Growth below this is none: floods enlarge the heap by about 1 MB each for a while, and what is remembered of
commands by 0.25 KB each (10,000 at most). A part of 7 minutes has about 1300 commands, 650 of them between the middles
of its second and last quarter: what keeps 6 KB of each is found in 20 minutes, what keeps 1 KB in two hours."""
DESCRIPTORS: Final = 6
"""The same for descriptors: two wires and a download that happen to be open in one half and not in the other."""
MEASURED_S: Final = 240.0
"""Growth is judged where the calm part is at least so long; in less the process is still warming up."""

_MODELS: Final = ("P1S", "X1C", "A1 mini", "H2D")
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do; a seed gives the same commands and faults again, as far as the machine is as fast."""

    minutes: float
    printers: int
    seed: int
    commands_per_s: float = 1.7
    fault_scale: float = 1.0
    """Stretches the time between faults; 0 for none at all."""
    kills: bool = True
    printer_faults: tuple[str, ...] = PRINTER_FAULTS
    quiet_s: float = QUIET_S
    print_seconds: float = 600.0
    """How long a print takes on a printer that is not hurried; these are, SPEED times."""


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of it."""

    plan: Plan
    seen: Observations
    findings: list[Finding] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    samples: Sequence[Sample] = ()
    calm_samples: Sequence[Sample] = ()
    runs: int = 0
    log_lines: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    unmatched: int = 0
    lasted_s: float = 0.0
    quiet_after_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    folder: Path | None = None


class Soak:
    """Everything that is needed for one run, in a `with` block; `say` is told what happens."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self._say = plan, say
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix=f"soak-{plan.seed}-"))
        self.folder.chmod(0o755)
        self._agenda = Agenda()
        self._began = self._calm_from = time.monotonic()
        self._cpu_began = _own_cpu()

    def __enter__(self) -> Self:
        models = [_MODELS[n % len(_MODELS)] for n in range(self.plan.printers)]
        self._farm = FarmProcess(self.folder / "farm", models, speed=SPEED, print_seconds=self.plan.print_seconds)
        self._stack.callback(self._farm.close)
        self._shop = Shop(models)
        self._stack.callback(self._shop.close)
        self._printago = Printago(self.folder / "printago", CONNECTOR)
        self._stack.callback(self._printago.close)
        self._service = Service(self.folder / "service", self._config())
        self._stack.callback(self._service.close)
        self._printago.secrets = tuple(each.encode() for each in self._secrets)
        self._sender = Sender(
            self._printago, self._shop, self._farm.printers, random.Random(f"{self.plan.seed} sender")
        )
        self._faults = Faults(
            self._agenda,
            random.Random(f"{self.plan.seed} faults"),
            service=self._service,
            printago=self._printago,
            farm=self._farm,
            shop=self._shop,
            sender=self._sender,
            names=self.plan.printer_faults,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def timeline(self) -> str:
        """Return what was broken when."""
        return "".join(f"{_clock(at)} ({at:.1f}) {what}\n" for at, what in self._faults.timeline)

    def discard(self) -> None:
        """Remove everything that was written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _secrets(self) -> tuple[str, ...]:
        return (PASSWORD, ACCESS_CODE, SIGNATURE)

    def _config(self) -> Tree:
        return {
            "connector": {"id": CONNECTOR},
            "printago": {
                "host": "127.0.0.1",
                "port": self._printago.broker.port,
                "tls": False,
                "username": USER,
                "password": PASSWORD,
            },
            "status": {"min_interval": 1.0, "heartbeat": 30},
            "storage": {"keep_files": KEEP_FILES},
            "downloads": {"allow_http": True, "allow_private_addresses": True, "timeout": 5},
            "web": {"listen": None},
            "printers": [
                {
                    "serial": each["serial"],
                    "id": each["id"],
                    "name": f"Soak {each['id']}",
                    "host": "127.0.0.1",
                    "access_code": ACCESS_CODE,
                    "ports": each["ports"],
                    "quirks": {"start_timeout": START_TIMEOUT_S},
                    "tls": {"ca_file": self._farm.ca_file},
                }
                for each in self._farm.printers
            ],
        }

    # -- the run -----------------------------------------------------------------------------------

    def run(self) -> Result:
        """Do it all; takes the minutes of the plan and what it needs to become quiet."""
        self._faults.start_service()
        self._agenda.run(1.0)
        while not self._printago.available:
            self._agenda.run(0.2)
        self._began = time.monotonic()
        self._agenda.after(0, self._sample)
        self._agenda.after(0, self._send)
        seconds = self.plan.minutes * 60
        if self.plan.fault_scale:
            self._faults.spares_the_process = not self.plan.kills
            self._faults.begin(self.plan.fault_scale)
        self._live(seconds * (1 - CALM_SHARE))
        self._faults.spares_the_process = True
        self._calm_from = time.monotonic()
        self._live(seconds * CALM_SHARE)
        lasted = time.monotonic() - self._began
        quiet = self._become_quiet()
        return self._judged(lasted, quiet)

    def _live(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._agenda.run(min(left, 30.0))
            self._tell()

    def _tell(self) -> None:
        last = self._service.samples[-1] if self._service.samples else None
        figures = f", {last.rss:.0f} MB, {last.descriptors} descriptors" if last else ""
        minutes = (time.monotonic() - self._began) / 60
        waiting = len(self._printago.unanswered())
        self._say(
            f"{minutes:5.1f} min: {len(self._printago.sent)} commands, {waiting} wait for their answer, "
            f"{sum(self._faults.counted.values())} faults, run {self._service.runs}{figures}"
        )

    def _need_the_service(self) -> None:
        if not self._faults.is_at_the_service and not self._service.alive:
            text = f"run {self._service.runs} of the service ended by itself"
            self._faults.findings.append(Finding(flaw=Flaw.PROCESS, text=text, at=time.monotonic()))
            self._faults.start_service()

    def _sample(self) -> None:
        self._service.sample()
        self._need_the_service()
        self._agenda.after(SAMPLE_S, self._sample)

    def _send(self) -> None:
        if self._printago.is_connected:
            self._sender.send()
        self._agenda.after(self._sender.pause(self.plan.commands_per_s), self._send)

    # -- the end -----------------------------------------------------------------------------------

    def _become_quiet(self) -> float:
        """Mend everything and wait until nothing is under way; returns how long that took."""
        began = time.monotonic()
        self._agenda.clear()
        self._faults.mend_all()
        if self._faults.is_at_the_service:
            self._service.kill()  # whatever it was: an orderly beginning is needed
            self._faults.start_service()
        before: object = None
        changed = began
        while (now := time.monotonic()) - began < self.plan.quiet_s:
            self._agenda.run(2.0)
            self._farm.do("calm")
            look = self._farm.do("look")
            ghosts = [each.text for each in oracle.judge(self._observations(look)) if each.flaw is Flaw.GHOST_FILE]
            missing = self._printago.unanswered()
            if self._printago.is_connected and not (missing or ghosts or look["busy"]):
                self._say(f"quiet after {now - began:.0f} s")
                break
            state = (missing, ghosts, look["busy"])
            if state != before:
                before, changed = state, now
            elif now - changed > (EXPLAINED_S if ghosts else STILL_S):
                self._say(f"nothing moves any more: {len(missing)} answers and {len(ghosts)} files are waited for")
                break
        return time.monotonic() - began

    def _observations(self, look: Tree) -> Observations:
        sent, answers = self._printago.observed()
        notes = list(self._farm.seen())
        return Observations(
            sent=sent,
            answers=answers,
            requests=[each for each in notes if not isinstance(each, Began)],
            began=[each for each in notes if isinstance(each, Began)],
            pauses=self._service.pauses,
            files=look["files"],
            touched=look["touched"],
            keep_files=KEEP_FILES,
        )

    def _judged(self, lasted: float, quiet: float) -> Result:
        seen = self._observations(self._farm.do("look"))
        calm = [each for each in self._service.samples if self._calm_from <= each.at <= self._began + lasted]
        cpu = {"service": self._service.cpu_s, "farm": self._farm.cpu_s, "the rest": _own_cpu() - self._cpu_began}
        self._end()
        findings = [*oracle.judge(seen), *self._faults.findings, *self._log_flaws(), *_growth(calm)]
        return Result(
            plan=self.plan,
            seen=seen,
            findings=findings,
            faults=self._faults.counted,
            samples=self._service.samples,
            calm_samples=calm,
            runs=self._service.runs,
            log_lines=self._service.lines(),
            messages=Counter(self._printago.kinds),
            repeated=self._sender.repeated,
            unmatched=self._sender.broken,
            lasted_s=lasted,
            quiet_after_s=quiet,
            cpu_s=cpu,
            folder=self.folder,
        )

    def _end(self) -> None:
        """Stop the service as it should be stopped."""
        self._service.ask_to_stop()
        asked = time.monotonic()
        while self._service.alive and time.monotonic() - asked < STOP_S:
            self._agenda.run(0.1)
        self._faults.judge_the_end()

    def _log_flaws(self) -> list[Finding]:
        found = [*self._service.flaws(self._secrets), *self._printago.leaks]
        return [Finding(flaw=Flaw.LOG, text=each) for each in found]

    def evidence(self, finding: Finding) -> str:
        """Return everything that is known about a finding."""
        lines = [f"# {finding.flaw}: {finding.text}", f"seed {self.plan.seed}"]
        for command_id in finding.command_ids:
            topic, payload = self._printago.payloads[command_id]
            lines += [f"{command_id}: {self._printago.sent[command_id]}", f"{topic} {payload.decode(errors='replace')}"]
            answers = (each for each in self._printago.answers if each.command_id == command_id)
            lines += [f"  {_clock(each.at)} {each}" for each in answers]
        tags = {self._printago.sent[command_id].tag for command_id in finding.command_ids} - {None}
        for note in self._farm.seen():
            name = note.title if isinstance(note, Began) else note.text
            near = finding.at is not None and note.printer == finding.printer and abs(note.at - finding.at) < NEAR_S
            if oracle.tag_of(name) in tags or near:
                lines.append(f"  {_clock(note.at)} at the printer: {note}")
        if finding.at is not None:
            lines += self._around(finding.at, finding.printer or "")
        return "\n".join([*lines, "", ""])

    def _around(self, at: float, printer: str) -> list[str]:
        """Return what was broken around a moment, and what the service wrote."""
        others = {each["id"] for each in self._farm.printers} - {printer}
        broken = [
            f"  {_clock(when)} {what}"
            for when, what in self._faults.timeline
            if -NEAR_S < when - at < 2 * NEAR_S and others.isdisjoint(what.split())
        ]
        log = self._service.about(f"{printer}[", _clock(at - NEAR_S), _clock(at + 2 * NEAR_S))
        return ["what was broken:", *broken, "the service's log:", *log]


def _clock(at: float) -> str:
    """Return a moment as the service's log writes it."""
    moment = datetime.now(UTC) + timedelta(seconds=at - time.monotonic())
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _growth(calm: Sequence[Sample]) -> list[Finding]:
    if not calm or calm[-1].at - calm[0].at < MEASURED_S:
        return []
    found = []
    for what, limit in (("rss", RSS_MB), ("descriptors", float(DESCRIPTORS))):
        grown = oracle.growth(calm, what)
        if grown is not None and grown > limit:
            found.append(Finding(flaw=Flaw.GROWTH, text=f"{what} grew by {grown:.1f}, and {limit:g} is noise"))
    return found


def _own_cpu() -> float:
    """Return the CPU time of this process and of the broker, which is a child of it."""
    own = psutil.Process()
    times = own.cpu_times()
    return float(times.user + times.system)
