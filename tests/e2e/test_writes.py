"""What the service and the commands do to the machine: they write below the state directory, and start nothing.

`strace` sees every system call, also of libraries and threads, where a hook in Python sees Python's.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.bench import ROOT, Bench, Printer, Service, Workshop
from tests.e2e.cloud import Cloud
from tests.files import sliced
from tests.servers.process import Child, descendants, wait_until, workspace

# Everything that makes, changes or takes away a name, or opens a file; what makes a process.
CALLS: Final = (
    "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "unlink,unlinkat,rmdir,truncate,chmod,fchmodat,chown,lchown,fchownat,utimensat,setxattr,bind,"
    "fork,vfork,clone,clone3,execve,execveat"
)
_CALL: Final = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+|\?)")
_PATH: Final = re.compile(r'(?:(AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
_WRITES: Final = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
_HARMLESS: Final = re.compile(r"/dev/(null|full|tty|pts/\d+)|/proc/self/.*")


def strace(log: Path, argv: Sequence[str | Path]) -> list[str | Path]:
    """Return a command that notes the system calls of another one; `-y` shows what a descriptor stands for."""
    return ["strace", "-f", "-y", "-qq", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", log, *argv]


def calls(log: Path) -> Iterator[tuple[str, str]]:
    """Return name and arguments of every call that succeeded; a call that another one interrupted is put together."""
    unfinished: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text.removesuffix("<unfinished ...>").rstrip()
            continue
        if (resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text)) is not None:
            text = unfinished.pop(pid, "") + resumed[1]
        if (match := _CALL.match(text)) is not None and not match[3].startswith("-"):
            yield match[1], match[2]


def written(log: Path, folder: Path) -> set[str]:
    """Return every path that was made, changed, taken away or opened for writing; relative ones as from `folder`."""
    found: set[str] = set()
    for name, arguments in calls(log):
        if name in ("fork", "vfork", "clone", "clone3", "execve", "execveat"):
            continue
        if name in ("open", "openat", "openat2") and not _WRITES.search(arguments):
            continue
        if name == "bind" and "sun_path" not in arguments:
            continue
        for _, base, path in _PATH.findall(arguments):
            found.add(os.path.normpath(Path(base or folder) / path))
    return found


def children(log: Path) -> list[str]:
    """Return what was started: the first line is the command itself, threads do not count."""
    started = [f"{name}({arguments}" for name, arguments in calls(log) if "CLONE_THREAD" not in arguments]
    return [each for each in started if re.match(r"v?fork|clone|exec", each)][1:]


def foreign(paths: set[str], *allowed: Path) -> list[str]:
    """Return the paths outside of the folders that may be written."""
    return sorted(
        path
        for path in paths
        if not _HARMLESS.fullmatch(path) and not any(Path(path).is_relative_to(each) for each in allowed)
    )


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a working directory's and a temporary folder that nobody has written; Python keeps its bytecode."""
    for name, folder in (("HOME", "home"), ("TMPDIR", "tmp"), ("XDG_STATE_HOME", "xdg"), ("XDG_CACHE_HOME", "xdg")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return tmp_path


def test_the_service_writes_below_its_state_directory_and_starts_nothing(workshop: Workshop, clean: Path) -> None:
    log = clean / "calls"
    with workspace() as folder, Cloud(folder) as cloud:
        printers = [Printer(workshop, id="left", cable=True), Printer(workshop, id="lost", faults=["wrong-code"])]
        with Bench(folder, workshop, printers, cloud=cloud, connector_id="traced") as bench:
            service = bench.service
            argv = strace(log, [*service.argv, "--log-level", "debug", "run"])
            service._child = Child(argv, service.folder / "run-0.log", cwd=ROOT)
            bench.when_available()
            bench.when_ready(printers[0])
            work(bench)
            family = descendants(service.child.pid)
            os.kill(family[0], signal.SIGTERM)
            assert service.child.wait(20) == 0
            state = service.state_dir
            paths = written(log, ROOT)
            assert foreign(paths, state) == []
            assert children(log) == []
            assert family[1:] == []
            assert str(state / "control.sock") in paths, "the calls that were looked at are too few"
            assert any(path.startswith(str(state / "downloads")) for path in paths)
    assert [str(path) for name in ("home", "tmp", "xdg") for path in (clean / name).rglob("*")] == []


def work(bench: Bench) -> None:
    """Do what writes: a download, one that fails, a doctor's file, a pinned printer, a session that breaks."""
    left = bench["left"]
    url = bench.serve("..%2F..%2Fup.gcode.3mf", sliced(seed=90))
    bench.succeed(left, "printer_control/start_print_bbl", {"url": url, "file_name": "../../../tmp/evil.gcode.3mf"})
    bench.cloud.hear_event("left", "PrintDone", timeout_s=40)
    bad = bench.serve("bad.gcode.3mf", b"no zip")
    assert bench.ask(left, "printer_control/download_gcode", {"url": bad, "file_name": "/etc/x"}).answer.kind == "error"
    found = json.loads(bench.service.cli("doctor", "left", "--json").stdout)["printers"]["left"]
    assert [each["outcome"] for each in found if each["step"] == "upload"] == ["ok"], found
    assert left.cable is not None
    since = bench.cloud.mark()
    left.cable.unplug()
    left.cable.plug()
    bench.when_ready(left, since=since)


COMMANDS: Final = (
    ("status",),
    ("status", "alone", "--json"),
    ("send", "alone", "movement_control/home"),
    ("printers", "--json"),
    ("check",),
    ("discover", "--timeout", "1", "--json"),
    ("--help",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_writes_below_the_state_directory_and_starts_nothing(
    alone: Service, clean: Path, command: tuple[str, ...]
) -> None:
    log = clean / "calls"
    done = subprocess.run(
        [str(part) for part in strace(log, [*alone.argv, *command])],
        cwd=clean / "home", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert foreign(written(log, clean / "home"), alone.state_dir) == []
    assert children(log) == []
    assert [str(path) for name in ("home", "tmp", "xdg") for path in (clean / name).rglob("*")] == []


@pytest.fixture(scope="module")
def alone(workshop: Workshop) -> Iterator[Service]:
    """The command line with one printer that no service looks after, and that is pinned at the first contact."""
    printer = Printer(workshop, id="alone", entry={"tls": None})
    with workspace() as folder, Bench(folder, workshop, [printer], connector_id="alone") as bench:
        yield bench.service


def test_a_write_elsewhere_would_be_found(tmp_path: Path) -> None:
    state, log = tmp_path / "state", tmp_path / "calls"
    state.mkdir()
    (tmp_path / "kept").touch()
    program = (
        "import os, pathlib, socket, sqlite3, subprocess\n"
        "pathlib.Path('state/inside').touch()\n"
        "pathlib.Path('opened').write_text('x')\n"
        "pathlib.Path('state/inside').rename('moved')\n"
        "pathlib.Path('kept').read_text()\n"
        "os.chmod('kept', 0o600)\n"
        "sqlite3.connect('state/../base').execute('create table t (x)')\n"
        "socket.socket(socket.AF_UNIX).bind('bound')\n"
        "os.mkdir(f'{os.getcwd()}/made')\n"
        "fd = os.open('.', os.O_RDONLY); os.close(os.open('beside', os.O_CREAT | os.O_WRONLY, dir_fd=fd))\n"
        "subprocess.run(['true'])\n"
    )
    with Child(strace(log, [sys.executable, "-c", program]), tmp_path / "output", cwd=tmp_path) as child:
        wait_until("the program has ended", lambda: not child.alive, 20)
        assert child.wait() == 0, child.text()
    names = ("base", "base-journal", "beside", "bound", "kept", "made", "moved", "opened")
    assert foreign(written(log, tmp_path), state) == [str(tmp_path / name) for name in names]
    assert any("true" in each for each in children(log))
