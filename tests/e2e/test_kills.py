"""The process is killed at every step of its journal; the printer counts what it was told, and Printago the answers."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bench import Workshop
from tests.e2e.lives import START, STOP, STORE, Lane, Trial
from tests.files import sliced
from tests.servers.process import as_root, wait_until, workspace

ALL = os.environ.get("KILLS") == "all"
MODELS = ("P1S", "X1C", "A1 mini", "H2D") if ALL else ("P1S",)
CODES = {"P1S": "C12", "X1C": "BL-P001", "A1 mini": "N1", "H2D": "O1D"}
SLOW: dict[str, Any] = {"print_seconds": 1200.0, "faults": ["slow-start=1"]}
ENDLESS: dict[str, Any] = {"print_seconds": 1_000_000.0}
HOME = "movement_control/home"
HOMED = 0b111
AT_MOST = 40
pytestmark = pytest.mark.timeout(900 if ALL else 120)

Act = Callable[[Lane], Trial]


@pytest.fixture
def folder() -> Iterator[Path]:
    with workspace() as folder:
        yield folder


def together(*works: Callable[[], object]) -> None:
    """Do several things at once: each waits most of its time."""
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def numbers(*some: int) -> Sequence[int]:
    """Return which moments are tried: these, or where all are asked for all."""
    return range(1, AT_MOST) if ALL else some


def die_at(lane: Lane, at: str, some: Sequence[int], act: Act, wanted: tuple[str, ...], **reborn: Any) -> int:
    """Kill the service at one moment of a kind after the other, as far as there are such; return how often it died."""
    for count, number in enumerate(some):
        lane.live(at=at, number=number)
        lane.service.arm()
        trial = act(lane)
        died = lane.dies(trial)
        if died:
            lane.live(**reborn)
            lane.settle(trial)
        lane.judge(trial, wanted)
        lane.kill()
        if not died:
            return count
    return len(some)


def start(lane: Lane) -> Trial:
    return lane.job()


def home(lane: Lane) -> None:
    """Have the printer be homed, and the service know it."""
    lane.bench.set(lane.printer, home_flag=lane.printer.virtual.machine.report.get("home_flag") | HOMED)


# -- a start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_start_that_is_killed_at_any_step_is_answered_once_and_begins_one_print(
    folder: Path, workshop: Workshop, model: str
) -> None:
    def kill(name: str, at: str, some: Sequence[int], **options: Any) -> None:
        content = sliced(model_id=CODES[model])
        with Lane(folder, workshop, name, model=model, **options) as lane:
            found = die_at(lane, at, some, lambda lane: lane.job(content=content), ("success", "start_unknown"))
            assert found >= 4
            lane.live()
            last = lane.job(content=content)
            assert lane.settle(last).kind == "success"
            lane.judge(last)
            lane.verdict()

    together(
        lambda: kill("before", "before commit", numbers(1, 2, 3, 5, 7, 8, 9)),
        lambda: kill("after", "after commit", numbers(1, 4, 6, 7, 8), **SLOW),
    )
    if ALL:
        together(
            lambda: kill("after-quick", "after commit", numbers()),
            lambda: kill("before-slow", "before commit", numbers(), **SLOW),
        )


@pytest.mark.parametrize("first", range(1, 12) if ALL else (8,))
def test_a_kill_while_a_kill_is_being_mended_changes_nothing(folder: Path, workshop: Workshop, first: int) -> None:
    with Lane(folder, workshop, f"twice-{first}") as lane:
        for second in numbers(1, 2, 4):
            lane.live(at="after commit", number=first)
            lane.service.arm()
            trial = lane.job()
            assert lane.dies(trial)
            died = lane.live_and_die(
                trial, at="before commit" if len(lane.trials) % 2 else "after commit", number=second
            )
            if died:
                lane.live()
                lane.settle(trial)
            lane.judge(trial, ("success", "start_unknown"))
            lane.kill()
            if not died:
                break
        assert len(lane.trials) > 1
        lane.verdict()


MOMENTS = ("before delivery", "after delivery", "before acknowledgement", "after acknowledgement", "before arrival",
           "after arrival", "before request", "after request")  # fmt: skip


def test_a_kill_around_what_the_wires_carry_costs_nothing_and_doubles_nothing(folder: Path, workshop: Workshop) -> None:
    def kill(*moments: str) -> None:
        with Lane(folder, workshop, f"wires-{moments[0].split()[0]}") as lane:
            for at in moments:
                assert die_at(lane, at, numbers(1), start, ("success", "start_unknown")) >= 1
            lane.verdict()

    together(lambda: kill(*MOMENTS[::2]), lambda: kill(*MOMENTS[1::2]))


def test_a_print_that_ended_while_nobody_looked_is_told_late_and_its_file_goes(
    folder: Path, workshop: Workshop
) -> None:
    with Lane(folder, workshop, "late") as lane:
        lane.live(at="before arrival", number=20)
        trial = lane.job()
        lane.printer.when_ordered("project_file", trial.mark)
        lane.service.child.kill()
        lane.printer.when_state("FINISH")
        lane.live(later_s=60.0)
        assert lane.settle(trial).kind == "success"
        lane.judge(trial)
        (end,) = lane.terminal(trial)
        assert end.data["late"] is True
        lane.verdict()


# -- beside a start --------------------------------------------------------------------------------


def large(lane: Lane) -> Trial:
    return lane.job(content=sliced(extra={"Metadata/large.bin": random.Random(1).randbytes(30_000_000)}))


def is_uploading(lane: Lane, _job: Trial) -> bool:
    return bool(lane.printer.files())


def is_out(lane: Lane, job: Trial) -> bool:
    return "project_file" in lane.ordered(job)


@pytest.mark.parametrize(
    ("name", "begin", "is_ready", "options"),
    [
        ("upload", large, is_uploading, {}),
        ("out", start, is_out, {"faults": ["slow-start=1"]}),
        ("print", start, lambda lane, job: len(lane.printer.starts) > job.starts, {}),
    ],
)
def test_a_stop_that_is_killed_at_any_step_is_answered_once_and_nothing_runs_on(
    folder: Path, workshop: Workshop, name: str, begin: Act, is_ready: Callable[[Lane, Trial], object], options: Any
) -> None:
    def kill(at: str) -> None:
        with Lane(folder, workshop, f"{name}-{at[:6].strip()}", **ENDLESS | options) as lane:
            for number in numbers(1, 2, 4):
                lane.live(at=at, number=number)
                job = begin(lane)
                wait_until("it can be stopped", lambda job=job: is_ready(lane, job))  # type: ignore[misc]
                lane.service.arm()
                stop = lane.stop(job)
                died = lane.dies(stop)
                if died:
                    job.deaths += stop.deaths
                    lane.live()
                    lane.settle(stop)
                    lane.settle(job)
                lane.judge(job, ("cancelled", "success", "start_unknown", "start_failed"))
                lane.judge(stop, ("success", "timeout", "wrong_state"))
                lane.kill()
                if not died:
                    break
            assert len(lane.trials) > 2
            lane.verdict()

    together(lambda: kill("before commit"), lambda: kill("after commit"))


def test_a_download_that_is_killed_at_any_step_lies_on_the_printer_once_and_can_be_started(
    folder: Path, workshop: Workshop
) -> None:
    def kill(at: str) -> None:
        with Lane(folder, workshop, f"store-{at[:6].strip()}") as lane:
            assert die_at(lane, at, numbers(1, 2, 4, 5), lambda lane: lane.job(STORE), ("success",)) >= 2
            lane.live()
            (answer,) = lane.cloud.answers(lane.trials[0].command_id)
            assert lane.printer.files() == {
                each.data["file_name"] for trial in lane.trials for each in lane.cloud.answers(trial.command_id)
            }
            again = lane.begin("printer_control/start_print", {"file_name": answer.data["requested_name"]})
            assert lane.settle(again).kind == "success"
            assert answer.data["file_name"] in lane.printer.files()
            lane.verdict()

    together(lambda: kill("before commit"), lambda: kill("after commit"))


def test_a_movement_is_never_made_twice_whenever_the_service_is_killed(folder: Path, workshop: Workshop) -> None:
    jog = ("movement_control/jog", {"axes": {"x": 1}})
    endings = ("success", "expired", "timeout")

    def kill(name: str, *moments: str) -> None:
        with Lane(folder, workshop, name) as lane:
            lane.live()
            home(lane)
            lane.kill()
            for at in moments:
                assert die_at(lane, at, numbers(1), lambda lane: lane.begin(*jog), endings) >= 1
                if ALL or at.endswith("commit"):
                    assert die_at(lane, at, numbers(1, 2), lambda lane: lane.begin(HOME), endings) >= 1
            lane.verdict()

    together(
        lambda: kill("move-commit", "before commit", "after commit"),
        lambda: kill("move-before", *MOMENTS[::2]),
        lambda: kill("move-after", *MOMENTS[1::2]),
    )


# -- a power cut -----------------------------------------------------------------------------------


def spoil(lane: Lane) -> None:
    """What was written and not synced may be anything after a power cut."""
    for part in (lane.service.state_dir / "downloads").glob("*.part"):
        with part.open("ab") as file:
            file.write(b"\xffgarbage" * 1000)


def test_after_a_power_cut_only_what_was_committed_counts(folder: Path, workshop: Workshop) -> None:
    chance = random.Random(7)

    def cut(name: str, *some: int, **reborn: Any) -> None:
        with Lane(folder, workshop, name) as lane:
            for number in numbers(*some):
                copies = folder / f"{name}-copies-{number}"
                torn = len(lane.trials) % 2 == 0
                fate: dict[str, Any] = {"number": number + 1} if torn else {"delay_s": chance.uniform(0, 0.05)}
                lane.live(at="after commit", copies=str(copies), **{"number": number, **fate})
                lane.service.arm()
                trial = lane.job()
                if not lane.dies(trial):
                    lane.judge(trial)
                    break
                lane.put_back(copies / str(number), torn=_beginning(copies, number, chance) if torn else b"")
                spoil(lane)
                lane.live(**reborn)
                lane.settle(trial)
                lane.judge(trial, ("success", "start_unknown"))
                lane.kill()
            assert len(lane.trials) >= 4
            lane.verdict()

    together(lambda: cut("cut", 1, 2, 6, 7, 8), lambda: cut("cut-boot", 3, 5, 7, 8, boot="another run of the machine"))


def _beginning(copies: Path, number: int, chance: random.Random) -> bytes:
    """Return a part of what the next commit appended: the power went away while it was being written."""
    wals = [(copies / str(each) / "journal.db-wal").read_bytes() for each in (number, number + 1)]
    added = wals[1][len(wals[0]) :]
    return added[: chance.randrange(len(added))] if added else b""


@pytest.mark.parametrize(
    ("name", "reborn"),
    [
        ("old-boot", {"later_s": 1000.0, "boot": "another"}),
        ("unset", {"boot": "another", "clock_is_set": False, "clock_wait_s": 0.5}),
    ],
)
def test_a_job_of_an_age_that_is_too_great_or_not_known_is_not_begun_after_a_restart(
    folder: Path, workshop: Workshop, name: str, reborn: dict[str, Any]
) -> None:
    with Lane(folder, workshop, name) as lane:
        found = die_at(lane, "after commit", numbers(2, 4, 8), start, ("expired", "success", "start_unknown"), **reborn)
        # What died before its command was on disk came again from the broker, and is no older than any other.
        endings = [lane.cloud.answers(each.command_id)[0].code for each in lane.trials[:found]]
        assert "expired" in endings
        lane.verdict()


def test_a_download_that_was_broken_off_by_a_power_cut_goes_on_where_it_was_sure(
    folder: Path, workshop: Workshop
) -> None:
    content = sliced(extra={"Metadata/large.bin": random.Random(2).randbytes(12_000_000)})
    with Lane(folder, workshop, "resumed") as lane:
        lane.live()
        trial = lane.job(content=content, etag='"one"', stall_after=10_000_000)
        slips = lane.service.state_dir / "downloads"
        wait_until("a part is sure", lambda: list(slips.glob("*.part.json")))
        lane.service.child.kill()
        spoil(lane)
        for each in lane.bench.web.files.values():
            each.go_on.set()
        lane.live()
        assert lane.settle(trial).kind == "success"
        lane.judge(trial)
        assert "Range" in lane.bench.web.requests[-1].headers
        lane.verdict()


# -- a disk that fails -----------------------------------------------------------------------------


def test_a_damaged_journal_is_told_once_and_an_old_start_is_not_begun_again(folder: Path, workshop: Workshop) -> None:
    with Lane(folder, workshop, "damaged") as lane:
        lane.live(at="before acknowledgement")
        lane.service.arm()
        trial = lane.job()
        assert lane.dies(trial)  # the broker does not know that the command arrived, and sends it again
        for name in ("journal.db", "journal.db-wal"):
            path = lane.service.state_dir / name
            path.write_bytes(random.Random(3).randbytes(max(path.stat().st_size, 8192)))
        lane.live()
        assert lane.settle(trial).code == "expired"
        lane.judge(trial, ("expired",))
        assert lane.ordered(trial).count("project_file") == 0
        # What an earlier process had started nobody knows: a start waits until the printer would have shown it.
        assert lane.settle(lane.job()).code == "printer_busy"
        wait_until("starts are taken again", lambda: lane.settle(lane.job()).kind == "success", 20)
        lane.judge(lane.trials[-1])
        lane.kill()
        lane.live()
        assert lane.settle(lane.job()).kind == "success"
        assert lane.log_of("the journal was damaged") == 1
        assert len(list(lane.service.state_dir.glob("journal.db.damaged-*"))) >= 1
        lane.verdict()


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder on a disk of its own; the test is skipped where that is not permitted."""
    path = folder / "disk"
    path.mkdir()
    options = f"size=3m,mode=0755,uid={os.getuid()},gid={os.getgid()}"
    done = subprocess.run(
        as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", path), check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")
    yield path
    subprocess.run(as_root("umount", "-l", path), check=True)


def test_with_a_full_disk_starts_are_refused_and_all_else_goes_on_until_there_is_room(
    folder: Path, workshop: Workshop, small_disk: Path
) -> None:
    with Lane(folder, workshop, "full") as lane:
        lane.service.state_dir = small_disk / "state"
        lane.service.write(lane.bench.config())
        lane.live()
        bench, printer = lane.bench, lane.printer
        home(lane)
        filling = small_disk / "filling"
        with filling.open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
        url = bench.serve("full.gcode.3mf", sliced())
        bench.ask(printer, "movement_control/jog", {"axes": {"x": 1}})  # the first to notice
        wait_until("it is told", lambda: lane.log_of("the journal cannot be written"))
        refused = bench.ask(printer, START, {"url": url})
        assert (refused.answer.kind, refused.answer.code) == ("error", "internal")
        assert refused.orders == []
        bench.succeed(printer, "movement_control/jog", {"axes": {"x": 1}})
        assert bench.ask(printer, "printer_control/get_status").answer.kind == "status"
        assert bench.ask(printer, STOP).answer.code == "wrong_state"
        filling.unlink()
        wait_until("it is written again", lambda: lane.log_of("the journal can be written again"), 15)
        trial = lane.job()
        assert lane.settle(trial).kind == "success"
        lane.judge(trial)
        assert lane.log_of("the journal cannot be written: ") == 1
        lane.verdict()
