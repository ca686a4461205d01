"""What systemd is told."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bambu_connector.service.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return an address for NOTIFY_SOCKET and the socket that hears what is sent there."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address if request.param == "path" else f"\0{tmp_path}")
        listener.setblocking(False)
        yield address, listener


def test_fields_are_sent_as_lines(systemd: tuple[str, socket.socket]) -> None:
    address, listener = systemd
    Notifier({"NOTIFY_SOCKET": address}).say(READY=1, STATUS="2 printers")
    assert listener.recv(1000) == b"READY=1\nSTATUS=2 printers"


def test_without_a_socket_nothing_is_sent() -> None:
    Notifier({}).say(READY=1)


def test_a_socket_where_nobody_listens_does_no_harm(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).say(READY=1)


@pytest.mark.parametrize(
    ("environment", "expected"), [({"WATCHDOG_USEC": "30000000"}, 15.0), ({}, None), ({"WATCHDOG_USEC": "x"}, None)]
)
def test_the_watchdog_is_told_twice_in_its_time(environment: dict[str, str], expected: float | None) -> None:
    assert Notifier(environment).watchdog_s == expected
