"""The socket through which the command line asks a running service."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.errors import AccessDenied
from bambu_connector.service.control import SOCKET_NAME, Control
from tests.service.bench import START, URL, Bench, bench
from tests.service.fakes import FakePrinter, FakeUplink
from tests.simulated import simulated

Fields = dict[str, Any]


class Client:
    """The command line's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: object) -> list[Fields]:
        """Send a request; return all answers to it."""
        line = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.writer.write(line + b"\n")
        found: list[Fields] = []
        while not found or "progress" in found[-1]:
            answer = await self.reader.readline()
            assert answer, "the service hung up"
            found.append(json.loads(answer))
        return found


@asynccontextmanager
async def service(path: Path, *serials: str) -> AsyncIterator[tuple[Bench, Client]]:
    printers = [FakePrinter(serial=serial) for serial in serials or ("01P00A000000001",)]
    async with bench(path, printers=printers) as b:
        control = Control(b.farm, FakeUplink())
        await control.start(path)
        client = await connect(path)
        try:
            yield b, client
        finally:
            client.writer.close()
            await asyncio.sleep(0.1)
            await control.stop(path)


async def connect(path: Path) -> Client:
    return Client(*await asyncio.open_unix_connection(path / SOCKET_NAME))


def message(command: str, **parameters: object) -> Fields:
    kind, action = command.split("/")
    return {"type": kind, "action": action, "parameters": parameters}


@simulated
async def test_the_socket_is_for_its_owner_and_group_alone(tmp_path: Path) -> None:
    async with service(tmp_path):
        assert stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode) == 0o660


@simulated
async def test_a_socket_that_a_dead_service_left_is_replaced_and_goes_with_the_service(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("a corpse")
    async with service(tmp_path) as (_, client):
        assert "status" in (await client.ask({"do": "status", "printer": None}))[0]
    assert not (tmp_path / SOCKET_NAME).exists()


@simulated
async def test_why_a_printer_is_not_connected_is_told_beside_its_status(tmp_path: Path) -> None:
    one, other = "01P00A000000001", "01P00A000000002"
    async with service(tmp_path, one, other) as (b, client):
        assert (await client.ask({"do": "status", "printer": None}))[0]["reasons"] == {}
        b.farm.units[other].printer.session_closed(AccessDenied("The code is refused."))
        (every,) = await client.ask({"do": "status", "printer": None})
        assert every["reasons"] == {
            other: {"error": "The code is refused.", "code": "access_denied", "exit_code": 5},
        }
        (single,) = await client.ask({"do": "status", "printer": one})
        assert single["reasons"] == {}


@simulated
async def test_status_tells_one_printer_or_all(tmp_path: Path) -> None:
    one, other = "01P00A000000001", "01P00A000000002"
    async with service(tmp_path, one, other) as (_, client):
        (every,) = await client.ask({"do": "status", "printer": None})
        (single,) = await client.ask({"do": "status", "printer": other})
        assert set(every["status"]) == {one, other}
        assert set(single["status"]) == {other}
        assert single["status"][other]["machines"][0]["current"]["print_status"] == "IDLE"


@simulated
async def test_send_carries_out_a_command_and_tells_its_answer(tmp_path: Path) -> None:
    async with service(tmp_path) as (b, client):
        (said,) = await client.ask(
            {"do": "send", "printer": b.printer.serial, "message": message("movement_control/home")}
        )
        assert said["answer"]["type"] == "success"
        assert said["answer"]["command"] == "movement_control/home"
        assert len(b.printer.acts) == 1


@simulated
async def test_send_tells_the_progress_of_a_job_before_its_answer(tmp_path: Path) -> None:
    async with service(tmp_path) as (b, client):
        b.printer.faults.add("slow-start=20")
        said = await client.ask({"do": "send", "printer": b.printer.serial, "message": message(START, url=URL)})
        assert len(said) > 1
        assert said[-2]["progress"]["stage"] == "start"
        assert said[-1]["answer"]["type"] == "success"


@simulated
async def test_a_refusal_of_the_printer_is_an_answer(tmp_path: Path) -> None:
    async with service(tmp_path) as (b, client):
        (said,) = await client.ask(
            {"do": "send", "printer": b.printer.serial, "message": message("printer_control/stop_print")}
        )
        assert said["answer"]["data"]["code"] == "wrong_state"


@pytest.mark.parametrize(
    ("request_", "code", "exit_code"),
    [
        ({"do": "status", "printer": "nobody"}, "unknown_printer", 2),
        ({"do": "send", "printer": "nobody", "message": {}}, "unknown_printer", 2),
        ({"do": "dance"}, "internal", 1),
        ({"do": "send", "printer": "01P00A000000001", "message": []}, "internal", 1),
        (b"no JSON", "internal", 1),
        (b"[]", "internal", 1),
    ],
)
@simulated
async def test_what_is_asked_wrongly_is_an_error_and_the_next_question_is_answered(
    tmp_path: Path, request_: object, code: str, exit_code: int
) -> None:
    async with service(tmp_path) as (_, client):
        (said,) = await client.ask(request_)
        assert (said["code"], said["exit_code"]) == (code, exit_code)
        assert said["error"]
        assert "status" in (await client.ask({"do": "status", "printer": None}))[0]


@simulated
async def test_while_the_service_stops_whoever_is_connected_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        control = Control(b.farm, FakeUplink())
        await control.start(tmp_path)
        client = await connect(tmp_path)
        assert "status" in (await client.ask({"do": "status", "printer": None}))[0]
        await control.stop(tmp_path)
        (refused,) = await client.ask({"do": "send", "printer": b.printer.serial, "message": message(START, url=URL)})
        assert refused["code"] == "printer_offline"
        assert "stopped" in refused["error"]
        client.writer.close()
        await asyncio.sleep(0.1)
        assert b.stage == "idle"


@simulated
async def test_two_clients_are_served_at_once(tmp_path: Path) -> None:
    async with service(tmp_path) as (b, client):
        other = await connect(tmp_path)
        b.printer.faults.add("deaf")
        home = {"do": "send", "printer": b.printer.serial, "message": message("movement_control/home")}
        waiting = asyncio.create_task(client.ask(home))
        assert "status" in (await other.ask({"do": "status", "printer": None}))[0]
        assert not waiting.done()
        assert (await waiting)[-1]["answer"]["data"]["code"] == "timeout"
        other.writer.close()


@simulated
async def test_a_client_that_hangs_up_ends_nothing(tmp_path: Path) -> None:
    async with service(tmp_path) as (b, client):
        client.writer.write(
            json.dumps({"do": "send", "printer": b.printer.serial, "message": message(START, url=URL)}).encode() + b"\n"
        )
        await client.writer.drain()
        client.writer.close()
        await asyncio.sleep(20)
        assert len(b.printer.starts) == 1
        other = await connect(tmp_path)
        assert "status" in (await other.ask({"do": "status", "printer": None}))[0]
        other.writer.close()


@simulated
async def test_a_line_without_an_end_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async with service(tmp_path) as (_, client):
        client.writer.write(b"x" * (5 * 1024 * 1024))
        with suppress(ConnectionError):
            assert await client.reader.read() == b""


@simulated
async def test_a_bug_hangs_up_instead_of_leaving_the_client_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(tmp_path) as (b, client):
        monkeypatch.setattr(b.unit.printer, "status", lambda: 1 / 0)
        client.writer.write(b'{"do": "status", "printer": null}\n')
        async with asyncio.timeout(5):
            assert await client.reader.read() == b""
