"""The camera port: an identity, a login that is counted, and the end."""

import asyncio
import ssl
import struct
from pathlib import Path

import pytest

from bambu_connector.secret import Secret
from bambu_connector.virtual.camera import REAL_PORTS, wire_of
from bambu_connector.virtual.logins import Tries
from bambu_connector.virtual.models import MODELS, find_model
from bambu_connector.virtual.server import VirtualPrinter
from tests.virtual.wires import run, trusting

CODE = Secret("12345678")


def login(code: str, user: str = "bblp", kind: int = 0x3000) -> bytes:
    return struct.pack("<IIII32s32s", 0x40, kind, 0, 0, user.encode(), code.encode())


async def told(printer: VirtualPrinter, wire: str, said: bytes, authority: Path) -> bytes:
    """Say something in a verified connection; return what is heard until the other side hangs up."""
    reader, writer = await asyncio.open_connection(printer.host, printer.ports[wire], ssl=trusting(authority))
    writer.write(said)
    try:
        return await reader.read()
    except (ConnectionResetError, ssl.SSLError):
        return b""
    finally:
        writer.transport.abort()


def test_each_model_has_the_camera_of_its_kind() -> None:
    assert {name: wire_of(find_model(name)) for name in MODELS} == {
        "P1S": "camera",
        "X1C": "rtsps",
        "A1 mini": "camera",
        "H2D": "rtsps",
    }
    assert REAL_PORTS == {"camera": 6000, "rtsps": 322}


@pytest.mark.parametrize(
    ("said", "tries"),
    [
        (login("12345678"), Tries(1, 0)),
        (login("87654321"), Tries(0, 1)),
        (login("12345678", user="root"), Tries(0, 1)),
        (login("12345678", kind=0x3001), Tries(0, 0)),
    ],
)
def test_a_login_for_pictures_is_counted_and_hung_up_on(said: bytes, tries: Tries) -> None:
    async def test() -> None:
        async with VirtualPrinter("P1S", access_code=CODE, camera_port=0) as printer:
            assert await told(printer, "camera", said, printer.authority_file) == b""
            assert printer.credentials_seen["camera"] == tries

    run(test())


def test_the_rtsps_port_proves_who_it_is_and_hangs_up_on_the_first_word() -> None:
    async def test() -> None:
        async with VirtualPrinter("X1C", camera_port=0) as printer:
            assert "camera" not in printer.ports
            said = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
            assert await told(printer, "rtsps", said, printer.authority_file) == b""
            assert printer.credentials_seen["camera"] == Tries()

    run(test())
