"""`login.detect` as a client asks it."""

import asyncio

import pytest

from bambu_connector.bambu.detect import Detected, Frames, NotAFrame, frame, parse_reply, request
from bambu_connector.virtual.detect import GARBAGE, Answering
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.listener import Listener
from tests.virtual.wires import run

SELF = Detected(serial="01P00A000000001", model_code="C12", name="Workshop", connection="lan", is_bound=False)


async def told(port: int, *pieces: bytes) -> bytes:
    """Return all that is said to what is sent, until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    if not pieces:
        writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.transport.abort()


def with_port(faults: Faults | None = None) -> tuple[Listener, Faults]:
    faults = faults or Faults()
    return Listener(Answering(lambda: SELF, faults)), faults


@pytest.mark.parametrize(
    "pieces",
    [(request(),), (request()[:3], request()[3:]), (frame(b'{"login": {"command": "other"}}'), request())],
    ids=["whole", "cut", "after something else"],
)
def test_who_asks_is_told_and_hung_up_on(pieces: tuple[bytes, ...]) -> None:
    async def test() -> None:
        listener, _ = with_port()
        port = await listener.open("127.0.0.1", 0)
        (body,) = Frames().feed(await told(port, *pieces))
        assert parse_reply(body) == SELF
        await listener.close()

    run(test())


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\xa5\xa5\x00\x00", b"\xa5\xa5\xff\xff" * 10])
def test_what_is_no_frame_is_hung_up_on(nonsense: bytes) -> None:
    async def test() -> None:
        listener, _ = with_port()
        port = await listener.open("127.0.0.1", 0)
        assert await told(port, nonsense) == b""
        await listener.close()

    run(test())


def test_a_client_that_asks_nothing_is_told_nothing() -> None:
    async def test() -> None:
        listener, _ = with_port()
        port = await listener.open("127.0.0.1", 0)
        assert await told(port) == b""
        await listener.close()

    run(test())


def test_the_fault_answers_with_one_garbage_after_the_other() -> None:
    async def test() -> None:
        listener, faults = with_port(Faults(["detect-garbage"]))
        port = await listener.open("127.0.0.1", 0)
        assert [await told(port, request()) for _ in GARBAGE] == list(GARBAGE)
        faults.clear()
        assert parse_reply(Frames().feed(await told(port, request()))[0]) == SELF
        await listener.close()

    run(test())


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_garbage_is_no_answer(garbage: bytes) -> None:
    try:
        bodies = Frames().feed(garbage)
    except NotAFrame:
        return
    assert [parse_reply(body) for body in bodies] in ([], [None])
