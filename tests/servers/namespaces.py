"""Networks of their own, with the ports and broadcasts of real ones: namespaces of Linux, connected by bridges.

Nothing of it is in the network of this machine. It goes with the `with` block; what a killed process left, whoever
comes next takes away.
"""

import contextlib
import ctypes
import itertools
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.servers.process import wait_until

PREFIX: Final = "bambu-test"
_NAME: Final = re.compile(rf"{PREFIX}-(?P<owner>[0-9]+-[0-9]+)-.+")
_WHERE: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_CABLE: Final = "eth0"
_FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")  # that of the machine where it is read

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def why_impossible() -> str | None:
    """Return why no network can be made here, None when it can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    try:
        with Networks() as networks:
            router = networks.machine("attempt")
            networks.bridge("attempt").plug(router, "10.77.0.1/24")
            router.forward()
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made here: {error.stderr.strip()}"
    except OSError as error:
        if error.filename is None or Path(error.filename) != _FORWARDING:
            raise
        return f"no machine here can be made a router: {error}"
    return None


class Machine:
    """One machine in a network of its own, with nothing but itself in it until it is plugged in."""

    def __init__(self, label: str) -> None:
        self.name = _unique(label)
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *argv: str) -> str:
        """Run `ip` for this machine."""
        return _ip("-n", self.name, *argv)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be on this machine: sockets, threads and processes that begin in the block are there, and stay there."""
        with Path("/proc/thread-self/ns/net").open("rb") as home:
            with (_WHERE / self.name).open("rb") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def move(self, before: str, after: str) -> None:
        """Have another address, as `10.0.0.2/24`. Routes that led through the one before are gone."""
        self.ip("address", "del", before, "dev", _CABLE)
        self.ip("address", "add", after, "broadcast", "+", "dev", _CABLE)

    def forward(self) -> None:
        """Be a router from now on."""
        with self.entered():
            _FORWARDING.write_text("1\n")

    def close(self) -> None:
        _remove(self.name)


class Bridge:
    """What connects machines to a network: everybody hears what anybody tells all."""

    def __init__(self, label: str) -> None:
        self._machine = Machine(label)
        self._sockets = itertools.count(1)
        self._machine.ip("link", "add", "bridge", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
        self._machine.ip("link", "set", "bridge", "up")

    def plug(self, machine: Machine, address: str, *, cable: str = _CABLE, router: str | None = None) -> None:
        """Plug a machine in, with its address as `10.0.0.2/24`; other networks are behind the address `router`."""
        socket = f"socket{next(self._sockets)}"
        self._machine.ip("link", "add", socket, "type", "veth", "peer", "name", cable, "netns", machine.name)
        self._machine.ip("link", "set", socket, "master", "bridge", "up")
        machine.ip("address", "add", str(IPv4Interface(address)), "broadcast", "+", "dev", cable)
        machine.ip("link", "set", cable, "up")
        wait_until(f"{cable} of {machine.name} is connected", lambda: "state UP" in machine.ip("link", "show", cable))
        if router is not None:
            machine.ip("route", "add", "default", "via", router)

    def close(self) -> None:
        self._machine.close()


class Networks:
    """Makes machines and bridges, and takes them away, with every process on them, at the end of the `with` block."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        remove_leftovers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def machine(self, label: str) -> Machine:
        machine = Machine(label)
        self._stack.callback(machine.close)
        return machine

    def bridge(self, label: str) -> Bridge:
        bridge = Bridge(label)
        self._stack.callback(bridge.close)
        return bridge


def remove_leftovers() -> None:
    """Take away what processes left that are no more."""
    for name in names():
        match = _NAME.fullmatch(name)
        if match is not None and not _is_alive(match["owner"]):
            _remove(name)


def names() -> list[str]:
    """Return the names of all network namespaces of this machine that have one."""
    return sorted(path.name for path in _WHERE.iterdir()) if _WHERE.is_dir() else []


def owner_of(pid: int) -> str | None:
    """Return what names a process for ever, as a number is given again; None: there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return f"{pid}-{stat.rpartition(')')[2].split()[19]}"  # when it was started


def _is_alive(owner: str) -> bool:
    return owner_of(int(owner.partition("-")[0])) == owner


def _unique(label: str) -> str:
    return f"{PREFIX}-{owner_of(os.getpid())}-{next(_numbers)}-{label}"


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _remove(name: str) -> None:
    """Take a namespace away with whoever is in it; others may do so at the same time."""
    for pid in map(int, _quietly("netns", "pids", name).split()):
        assert pid != os.getpid(), f"{name} cannot be taken away from inside"
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _quietly("netns", "del", name)


def _ip(*argv: str) -> str:
    return subprocess.run(["ip", *argv], check=True, capture_output=True, text=True).stdout


def _quietly(*argv: str) -> str:
    return subprocess.run(["ip", *argv], check=False, capture_output=True, text=True).stdout
