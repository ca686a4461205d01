"""Child processes of the tests: started, waited for, frozen, and always gone in the end."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


def wait_until(what: str, probe: Callable[[], T], timeout_s: float = 10.0) -> T:
    """Return the first truthy value of `probe`; fail with `what` when none comes in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.01)
    return value


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 0.5).close()
    except OSError:
        return False
    return True


def as_root(*argv: str | Path) -> list[str]:
    """Return the command as root runs it: through sudo where we are somebody else (in CI, for instance)."""
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *(str(part) for part in argv)]


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A folder that servers under other users may walk through (pytest's own are closed to them)."""
    path = Path(tempfile.mkdtemp(prefix="bambu-connector-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        subprocess.run(as_root("rm", "-rf", path), check=False)
        shutil.rmtree(path, ignore_errors=True)


class Child:
    """One process whose output goes to a file; it and all that it forked end with the `with` block."""

    def __init__(self, argv: Sequence[str | Path], log: Path, *, root: bool = False, cwd: Path | None = None) -> None:
        self.log = log
        self._name = Path(argv[0]).name
        self._root = root
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                as_root(*argv) if root else [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=cwd,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def text(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it forked."""
        for pid in [*descendants(self.pid), self.pid]:
            self._send(pid, number)

    def cut(self) -> int:
        """Kill what it forked (a server's sessions), not itself; return how many that were."""
        family = [self.pid, *descendants(self.pid)]
        server = next(pid for pid in family if _name(pid) == self._name)  # the first may be sudo
        sessions = descendants(server)
        for pid in sessions:
            self._send(pid, signal.SIGKILL)
        return len(sessions)

    def wait(self, timeout_s: float = 10.0) -> int:
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        if self.alive:
            self.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def _send(self, pid: int, number: signal.Signals) -> None:
        if self._root and os.geteuid() != 0:
            subprocess.run(as_root("kill", f"-{number.value}", str(pid)), check=False, capture_output=True)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def start_server(start: Callable[[], Child], host: str, port: int) -> Child:
    """Start a server and wait until it listens; again when it ends at once, for a free port may be gone by then."""
    child = start()
    for _ in range(5):
        wait_until(f"a server on {host}:{port}", lambda: not child.alive or listening(host, port))  # noqa: B023
        if child.alive:
            return child
        time.sleep(0.2)
        child = start()
    raise AssertionError(f"the server for {host}:{port} ends at once: {child.text()}")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Return the processes that `pid` and its children forked, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        for child in sorted(children.get(queue.pop(), [])):
            found.append(child)
            queue.append(child)
    return found
