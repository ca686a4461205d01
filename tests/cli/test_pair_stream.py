"""Asking for pairings of whoever is there to carry them out."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from bambu_connector.cli import pair_stream
from bambu_connector.cli.pair_stream import AT_ONCE, stream
from bambu_connector.config import Config, Connector
from bambu_connector.errors import ConnectorError
from bambu_connector.secret import Secret
from bambu_connector.service.control import SOCKET_NAME
from bambu_connector.service.lock import StateLock
from tests.servers.process import workspace

Tree = dict[str, Any]


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with workspace() as folder:  # the path of a socket must be short
        yield folder


class FakeService:
    """Answers on the control socket: progress, then what `ends` says; counts who is asked at the same time."""

    def __init__(self, state_dir: Path) -> None:
        self.requests: list[Tree] = []
        self.most_at_once = 0
        self._now = 0
        self._path = state_dir / SOCKET_NAME
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_unix_server(self._answer, self._path)
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        self.requests.append(request)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0.05)
        self._now -= 1
        refused: Tree = {"error": "no", "code": "access_denied", "exit_code": 5}
        ends: list[Tree] = [{"progress": {}}, refused if request["serial"] == "bad" else {"paired": {}}]
        for each in ends if request["serial"] != "dies" else []:
            writer.write(json.dumps(each).encode() + b"\n")
        writer.close()


def config_in(state_dir: Path) -> Config:
    return Config(connector=Connector("t", state_dir))


def test_many_are_asked_of_the_service_at_the_same_time_but_not_too_many(state_dir: Path) -> None:
    serials = ["bad", "dies", *map(str, range(20))]
    with FakeService(state_dir) as service:
        requests = [({"do": "pair", "serial": each}, Secret("s3cr3tCd")) for each in serials]
        answers = list(stream(config_in(state_dir), requests))
    ends = {serials[number]: answer for number, answer in answers if "progress" not in answer}
    assert set(ends) == set(serials)
    assert ends["bad"]["code"] == "access_denied"
    assert ends["dies"]["exit_code"] == 4
    assert {each["access_code"] for each in service.requests} == {"s3cr3tCd"}
    assert 1 < service.most_at_once <= AT_ONCE
    assert all("access_code" not in body for body, _ in requests)


def test_one_is_asked_on_the_connection_that_was_found(state_dir: Path) -> None:
    with FakeService(state_dir) as service:
        answers = list(stream(config_in(state_dir), [({"do": "pair", "serial": "x"}, None)]))
    assert [answer for _, answer in answers] == [{"progress": {}}, {"paired": {}}]
    assert service.requests == [{"do": "pair", "serial": "x"}]


def test_alone_each_mistake_is_an_answer_and_a_state_directory_of_somebody_else_an_error(state_dir: Path) -> None:
    requests = [({"do": "pair", "serial": "no serial"}, Secret("12345678")), ({"do": "nonsense"}, None)]
    answers = dict(stream(config_in(state_dir), requests))
    assert answers[0]["exit_code"] == 2
    assert answers[1]["code"] == "internal"
    with StateLock(state_dir), pytest.raises(ConnectorError):
        list(stream(config_in(state_dir), requests))


def test_a_service_that_ends_meanwhile_is_said(state_dir: Path) -> None:
    found = list(pair_stream._asked_anew(state_dir, ({"do": "pair"}, None)))
    assert found[0]["exit_code"] == 4
