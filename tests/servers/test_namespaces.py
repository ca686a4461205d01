"""Networks of the tests come and go without a trace."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.servers.namespaces import Networks, names, owner_of, why_impossible
from tests.servers.process import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
IS_KILLED: Final = """
import os, signal, subprocess
from tests.servers.namespaces import Machine
machine = Machine("left-behind")
with machine.entered():
    inmate = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(machine.name, inmate.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def where_it_is_possible() -> None:
    if (reason := why_impossible()) is not None:
        pytest.skip(reason)


def home() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


class Boom(Exception):
    """What goes wrong in a test."""


def test_machines_on_a_bridge_reach_each_other_and_this_one_does_not() -> None:
    with Networks() as networks:
        bridge, one, other = networks.bridge("b"), networks.machine("one"), networks.machine("other")
        bridge.plug(one, "10.77.0.2/24")
        bridge.plug(other, "10.77.0.3/24")
        with one.entered(), socket.create_server(("10.77.0.2", 990)) as server, other.entered():
            socket.create_connection(server.getsockname(), 5).close()
        with pytest.raises(OSError, match="assign requested address"):
            socket.create_server(("10.77.0.2", 0))


def test_nothing_is_left_when_a_test_fails() -> None:
    before = home()
    inmates: list[subprocess.Popen[bytes]] = []

    def fail() -> None:
        with Networks() as networks:
            bridge, machine = networks.bridge("b"), networks.machine("one")
            bridge.plug(machine, "10.77.0.2/24")
            assert machine.name in names()
            with machine.entered():
                inmates.append(subprocess.Popen(["sleep", "600"]))
                assert home() != before
                raise Boom

    with pytest.raises(Boom):
        fail()
    assert inmates[0].wait(10) == -signal.SIGKILL
    assert not [name for name in names() if f"-{owner_of(os.getpid())}-" in name]
    assert home() == before


def test_what_a_killed_process_left_goes_with_the_next_start_and_what_others_have_stays() -> None:
    with Networks() as ours:
        machine = ours.machine("ours")
        killed = subprocess.run(
            [sys.executable, "-c", IS_KILLED], cwd=ROOT, check=False, capture_output=True, text=True, timeout=30
        )
        name, inmate = killed.stdout.split()
        assert name in names()
        assert owner_of(int(inmate)) is not None
        with Networks():
            assert name not in names()
            assert machine.name in names()
        wait_until("the process in it is gone", lambda: not is_running(int(inmate)))


def is_running(pid: int) -> bool:
    """Say whether a process is there, and is more than a number that nobody has asked for yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
