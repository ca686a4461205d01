"""What must hold whatever broke: pure judgement over what was sent, answered, and seen at the printers.

Times are seconds of one monotonic clock, which all processes of a machine share.
"""

import enum
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

VISIBLE_S: Final = 5.0
"""So long a print may be active before the service must know: a report's way, on a machine that is busy."""

_TAG: Final = re.compile(r"(?:print|keep)[1-9]\d*(?=-)")
_MOTION: Final = re.compile(r"^(?:G28\b|G[01]\b.*[XYZ])", re.MULTILINE)
_HEAT: Final = re.compile(r"^(?:M104|M109|M140|M190|M141|M191|G[01]\b.*E)", re.MULTILINE)
_MOTION_COMMANDS: Final = frozenset({"back_to_center", "xyz_ctrl", "calibration"})
_HEAT_COMMANDS: Final = frozenset(
    {"set_nozzle_temp", "set_ctt", "set_extrusion_length", "ams_change_filament", "unload_filament", "set_bed_temp"}
)
_STARTS: Final = frozenset({"project_file", "gcode_file"})


class Expect(enum.StrEnum):
    """How many answers a command gets."""

    ONE = "one"
    AT_MOST_ONE = "at most one"  # retained: whether it was also delivered live, the broker decides


class Flaw(enum.StrEnum):
    """What must not happen, ever."""

    LOST_ANSWER = "lost answers"
    DOUBLE_ANSWER = "double answers"
    DOUBLE_START = "double starts"
    REFUSED_YET_STARTED = "starts after a refusal"
    START_WHILE_PRINTING = "starts while a print was active"
    SUCCESS_WITHOUT_START = "successes without a print"
    UNSAFE_WHILE_PRINTING = "moves and heats while printing"
    GHOST_FILE = "ghost files"
    TOUCHED_FILE = "touched files that are not ours"
    LOG = "flaws in the log"
    GROWTH = "growth"
    PROCESS = "ends of the service that nobody asked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A command with an id of its own; `tag` begins the name of its file. Not `acked`: the broker may not have it."""

    command_id: str
    command: str
    printer: str
    at: float
    tag: str | None = None
    acked: bool = True
    expect: Expect = Expect.ONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One message that answers a command."""

    command_id: str
    message_id: str
    kind: str
    at: float
    code: str | None = None
    stage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it reached a printer, and what the printer was doing just then.

    `seen_for` is for how long the active print could have been known to the service (the wires whole, reports coming),
    None where none was active. `pending` is the tag of a start that the printer has taken and not yet begun.
    """

    printer: str
    at: float
    command: str
    text: str = ""
    """The g-code of a `gcode_line`, the file of a start."""
    task_id: str = ""
    state: str = "IDLE"
    seen_for: float | None = None
    pending: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A print that began at a printer."""

    printer: str
    at: float
    title: str
    at_screen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which the service could not know anything: frozen, killed, or being started."""

    began: float
    ended: float


@dataclass(slots=True, kw_only=True)
class Observations:
    """Everything that was seen. `files` are those left at each printer that were not there in the beginning."""

    sent: list[Sent] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    began: list[Began] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    touched: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keep_files: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that must not happen and did; `command_ids` and `printer` lead to the evidence."""

    flaw: Flaw
    text: str
    command_ids: tuple[str, ...] = ()
    printer: str | None = None
    at: float | None = None


def tag_of(name: str) -> str | None:
    """Return the tag with which the name of a file or a print of ours begins; None for somebody else's."""
    found = _TAG.match(name.rpartition("/")[2])
    return found[0] if found else None


def judge(seen: Observations) -> list[Finding]:
    """Return everything that is wrong, in no particular order of weight."""
    facts = _Facts(seen)
    return [
        *_answers(facts),
        *_starts(facts),
        *_while_printing(facts),
        *_files(facts),
    ]


class _Facts:
    """The observations, by what they are looked up with."""

    def __init__(self, seen: Observations) -> None:
        self.seen = seen
        self.answers: dict[str, dict[str, Answer]] = defaultdict(dict)
        for answer in sorted(seen.answers, key=lambda each: each.at, reverse=True):
            self.answers[answer.command_id][answer.message_id] = answer  # the first delivery stays
        self.starts: dict[str, list[Request]] = defaultdict(list)
        for request in seen.requests:
            if request.command in _STARTS and (tag := tag_of(request.text)):
                self.starts[tag].append(request)
        self.began: dict[str, list[Began]] = defaultdict(list)
        for began in seen.began:
            if not began.at_screen and (tag := tag_of(began.title)):
                self.began[tag].append(began)
        self.starters = {each.tag: each for each in seen.sent if each.tag and is_start(each.command)}

    def of(self, command_id: str) -> list[Answer]:
        return list(self.answers.get(command_id, {}).values())

    def answered_at(self, tag: str) -> float | None:
        starter = self.starters.get(tag)
        answers = self.of(starter.command_id) if starter else []
        return min((each.at for each in answers), default=None)


def is_start(command: str) -> bool:
    """Say whether a command starts a print."""
    return command in ("printer_control/start_print_bbl", "printer_control/start_print")


def _answers(facts: _Facts) -> Iterator[Finding]:
    for sent in facts.seen.sent:
        answers = facts.of(sent.command_id)
        what = f"{sent.command} {sent.command_id} for {sent.printer}"
        if not answers and sent.acked and sent.expect is Expect.ONE:
            yield Finding(
                flaw=Flaw.LOST_ANSWER,
                text=f"{what} was never answered",
                command_ids=(sent.command_id,),
                printer=sent.printer,
                at=sent.at,
            )
        if len(answers) > 1:
            told = ", ".join(f"{each.kind} {each.code or ''}".strip() for each in answers)
            yield Finding(
                flaw=Flaw.DOUBLE_ANSWER,
                text=f"{what} has {len(answers)} answers: {told}",
                command_ids=(sent.command_id,),
                printer=sent.printer,
                at=sent.at,
            )


def _starts(facts: _Facts) -> Iterator[Finding]:
    for tag, starter in facts.starters.items():
        for flaw, text in _faults_of_a_start(facts, tag or "", starter):
            yield Finding(
                flaw=flaw,
                text=f"{starter.command} {starter.command_id} ({tag}) for {starter.printer}: {text}",
                command_ids=(starter.command_id,),
                printer=starter.printer,
                at=starter.at,
            )
    for tag in facts.starts.keys() - facts.starters.keys():
        first = facts.starts[tag][0]
        text = f"{first.printer} was told to start {first.text}, which no command asked for"
        yield Finding(flaw=Flaw.DOUBLE_START, text=text, printer=first.printer, at=first.at)
    yield from _repeated_numbers(facts.seen.requests)


def _faults_of_a_start(facts: _Facts, tag: str, starter: Sent) -> Iterator[tuple[Flaw, str]]:
    requests, began, answers = facts.starts.get(tag, []), facts.began.get(tag, []), facts.of(starter.command_id)
    if len(requests) > 1:
        yield Flaw.DOUBLE_START, f"the printer was told {len(requests)} times"
    if len(began) > 1:
        yield Flaw.DOUBLE_START, f"the print began {len(began)} times"
    for answer in answers:
        if answer.kind == "success" and len(began) != 1:
            yield Flaw.SUCCESS_WITHOUT_START, f"answered with success, and the print began {len(began)} times"
        if answer.kind == "error" and requests and not _may_have_been_started(answer):
            yield Flaw.REFUSED_YET_STARTED, f"answered with {answer.code} in stage {answer.stage}, and it was started"


def _may_have_been_started(answer: Answer) -> bool:
    return answer.code == "start_unknown" or answer.stage == "start"


def _repeated_numbers(requests: Iterable[Request]) -> Iterator[Finding]:
    """The same task at the same printer twice is the same start twice, whatever its file is called."""
    seen: dict[tuple[str, str], Request] = {}
    for request in requests:
        if request.command != "project_file" or not tag_of(request.text):
            continue
        key = (request.printer, request.task_id)
        if key in seen:
            text = f"{request.printer} got task {request.task_id} twice: {seen[key].text} and {request.text}"
            yield Finding(flaw=Flaw.DOUBLE_START, text=text, printer=request.printer, at=request.at)
        seen[key] = request


def _while_printing(facts: _Facts) -> Iterator[Finding]:
    for request in facts.seen.requests:
        is_start_ = request.command in _STARTS
        if not is_start_ and not _is_unsafe(request):
            continue
        why = _what_stood_against(facts, request, starting=is_start_)
        if why is None:
            continue
        flaw = Flaw.START_WHILE_PRINTING if is_start_ else Flaw.UNSAFE_WHILE_PRINTING
        text = f"{request.printer} got {request.command} {request.text.strip()!r} while {why}"
        yield Finding(flaw=flaw, text=text, printer=request.printer, at=request.at)


def _is_unsafe(request: Request) -> bool:
    """Say whether a request moves or heats; what a paused print allows is not asked here."""
    paused = request.state == "PAUSE"
    if request.command == "gcode_line":
        return bool(_MOTION.search(request.text)) or (not paused and bool(_HEAT.search(request.text)))
    return request.command in _MOTION_COMMANDS or (not paused and request.command in _HEAT_COMMANDS)


def _what_stood_against(facts: _Facts, request: Request, *, starting: bool) -> str | None:
    """Return what the printer was doing, if the service could know and had to hold back."""
    if request.pending is not None and not starting:
        answered = facts.answered_at(request.pending)
        if answered is None or answered > request.at:
            return f"our start of {request.pending} was out"
    if request.seen_for is None:
        return None
    known_since = request.at - request.seen_for
    for pause in facts.seen.pauses:
        if pause.began <= request.at:
            known_since = max(known_since, min(pause.ended, request.at))
    known = request.at - known_since
    return f"a print was active ({request.state}), known for {known:.1f} s" if known > VISIBLE_S else None


def _files(facts: _Facts) -> Iterator[Finding]:
    stores = {each.tag: each for each in facts.seen.sent if each.command == "printer_control/download_gcode"}
    for printer, names in facts.seen.files.items():
        kept = [name for name in names if (tag_of(name) or "").startswith("keep")]
        for name in names:
            why = "is not to be kept" if name not in kept else _why_not_kept(facts, stores.get(tag_of(name)))
            if why:
                yield Finding(flaw=Flaw.GHOST_FILE, text=f"{name} on {printer} {why}", printer=printer)
        if len(kept) > facts.seen.keep_files:
            text = f"{printer} keeps {len(kept)} files, and {facts.seen.keep_files} were asked for"
            yield Finding(flaw=Flaw.GHOST_FILE, text=text, printer=printer)
    for printer, names in facts.seen.touched.items():
        for name in names:
            text = f"{name} on {printer} is not ours, and was changed or removed"
            yield Finding(flaw=Flaw.TOUCHED_FILE, text=text, printer=printer)


def _why_not_kept(facts: _Facts, store: Sent | None) -> str | None:
    if store is None:
        return "was never asked for"
    failed = [each.code for each in facts.of(store.command_id) if each.kind == "error"]
    return f"is of a download that ended in {failed[0]}" if failed else None


# -- figures ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the service's process was like at a moment; memory in MB."""

    at: float
    rss: float
    descriptors: int
    threads: int


def growth(samples: Sequence[Sample], what: str) -> float | None:
    """Return by how much the middle of the last quarter lies above that of the second; None for too few samples.

    In the first one a process fills what is bounded: replies it waits for, commands it remembers, a heap for floods.
    """
    quarter = len(samples) // 4
    if quarter < 2:
        return None
    first, last = (
        sorted(getattr(each, what) for each in part) for part in (samples[quarter : 2 * quarter], samples[-quarter:])
    )
    return float(last[len(last) // 2] - first[len(first) // 2])
