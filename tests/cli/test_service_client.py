"""Asking a running service: its answers, its refusals, and its end."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.cli.service_client import Service, ServiceRefused
from bambu_connector.errors import ConnectorError, Unreachable
from bambu_connector.service.control import SOCKET_NAME


@contextmanager
def answering(folder: Path, *answers: Any) -> Iterator[list[Any]]:
    """A service that answers the first question with these objects and hangs up; yields what it was asked."""
    asked: list[Any] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / SOCKET_NAME))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, answers, asked))
        thread.start()
        yield asked
        thread.join(5)


def _serve(listener: socket.socket, answers: Sequence[Any], asked: list[Any]) -> None:
    channel, _ = listener.accept()
    with channel, channel.makefile("rwb") as file:
        asked.append(json.loads(file.readline()))
        for each in answers:
            file.write(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n")


def ask(folder: Path) -> list[Any]:
    service = Service.find(folder)
    assert service is not None
    try:
        return list(service.ask({"do": "status", "printer": None}))
    finally:
        service.close()


def test_without_a_socket_there_is_no_service(tmp_path: Path) -> None:
    assert Service.find(tmp_path) is None


def test_a_socket_that_a_dead_service_left_is_no_service(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
    assert Service.find(tmp_path) is None


@pytest.mark.parametrize(("may_look", "words"), [(True, "A service runs, and"), (False, "Whether a service runs")])
def test_who_may_not_use_the_socket_is_told_what_is_known_of_the_service(
    tmp_path: Path, may_look: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    class Refusing(socket.socket):
        connect = refused

    monkeypatch.setattr(socket, "socket", Refusing)
    monkeypatch.setattr(os, "access", lambda *_arguments: may_look)
    with pytest.raises(ConnectorError, match=f"{words}.*service's user or group"):
        Service.find(tmp_path)


def test_progress_comes_before_the_answer(tmp_path: Path) -> None:
    progress = [{"progress": {"stage": stage, "percent": 1}} for stage in ("download", "upload")]
    with answering(tmp_path, *progress, {"answer": {"type": "success"}}, {"never": "read"}) as asked:
        assert ask(tmp_path) == [*progress, {"answer": {"type": "success"}}]
    assert asked == [{"do": "status", "printer": None}]


def test_a_refusal_carries_its_code_and_its_exit_code(tmp_path: Path) -> None:
    refusal = {"error": "There is no printer x here.", "code": "unknown_printer", "exit_code": 2}
    with answering(tmp_path, refusal), pytest.raises(ServiceRefused, match="no printer x") as error:
        ask(tmp_path)
    assert (error.value.code, error.value.exit_code) == ("unknown_printer", 2)


@pytest.mark.parametrize("answers", [(), ({"progress": {"stage": "upload", "percent": 50}},)], ids=["none", "half"])
def test_a_service_that_ends_before_it_answers_is_told(tmp_path: Path, answers: tuple[Any, ...]) -> None:
    with answering(tmp_path, *answers), pytest.raises(Unreachable, match="ended before it answered") as error:
        ask(tmp_path)
    assert error.value.exit_code == 4


def test_half_an_answer_is_none(tmp_path: Path) -> None:
    with answering(tmp_path, b'{"answer": {"type": "succ'), pytest.raises(Unreachable, match="ended before"):
        ask(tmp_path)


def test_a_service_that_is_gone_at_the_next_question_is_told(tmp_path: Path) -> None:
    with answering(tmp_path, {"status": {}}):
        service = Service.find(tmp_path)
        assert service is not None
        assert list(service.ask({"do": "status"})) == [{"status": {}}]
    for _ in range(2):
        with pytest.raises(Unreachable, match="ended before"):
            list(service.ask({"do": "status"}))
    service.close()


_SQUATTER = """
import os, socket, sys
os.setuid(12345)
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
    listener.bind(sys.argv[1])
    os.chmod(sys.argv[1], 0o666)
    listener.listen()
    print("ready", flush=True)
    channel, _ = listener.accept()
    print(channel.recv(100), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_who_listens_there_is_told_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        squatter = [sys.executable, "-c", _SQUATTER, str(Path(folder) / SOCKET_NAME)]
        with subprocess.Popen(squatter, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with pytest.raises(ConnectorError, match="Another user of this machine listens"):
                Service.find(Path(folder))
            assert process.stdout.readline() == "b''\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_user_whom_the_state_directory_belongs_to_is_the_service() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 12345, 12345)
        squatter = [sys.executable, "-c", _SQUATTER, str(Path(folder) / SOCKET_NAME)]
        with subprocess.Popen(squatter, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            service = Service.find(Path(folder))
            assert service is not None
            service.close()
