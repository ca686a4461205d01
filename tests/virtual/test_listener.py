"""Ports that serve each client with a coroutine."""

import asyncio

import pytest

from bambu_connector.virtual.listener import Listener
from tests.logged import logged_here
from tests.virtual.wires import run, until


async def echo_a_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readuntil(b"\n"))
    await writer.drain()


def test_the_end_of_serving_is_the_end_of_the_connection() -> None:
    async def test() -> None:
        listener = Listener(echo_a_line)
        port = await listener.open("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: listener.clients == 1)
        writer.write(b"hello\n")
        assert await reader.read() == b"hello\n"
        await until(lambda: listener.clients == 0)
        writer.close()
        await listener.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    run(test())


@pytest.mark.parametrize("how", ["drop", "close"])
def test_open_connections_are_broken(how: str) -> None:
    async def test() -> None:
        listener = Listener(echo_a_line)
        port = await listener.open("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: listener.clients == 1)
        if how == "drop":
            listener.drop_connections()
        else:
            await listener.close()
        assert await reader.read() == b""
        writer.transport.abort()
        await until(lambda: listener.clients == 0)
        await listener.close()

    run(test())


def test_a_client_that_goes_away_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        listener = Listener(echo_a_line)
        port = await listener.open("127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"no end of line")
        writer.close()
        await writer.wait_closed()
        await until(lambda: listener.clients == 0)
        await listener.close()

    run(test())
    assert logged_here(caplog) == []
