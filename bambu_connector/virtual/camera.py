"""The camera port of a virtual printer: it proves who it is, takes a login, and hangs up without a picture."""

import asyncio
import struct
from typing import Final

from bambu_connector.bambu.models import TRAITS, CameraKind, model_named
from bambu_connector.virtual.logins import Logins
from bambu_connector.virtual.models import VirtualModel

REAL_PORTS: Final = {"camera": 6000, "rtsps": 322}

_AUTH: Final = struct.Struct("<IIII32s32s")
_AUTH_LENGTH: Final = 64
_AUTH_KIND: Final = 0x3000


def wire_of(model: VirtualModel) -> str:
    """Return what the camera port of a model is called: `camera` (single pictures) or `rtsps`."""
    known = model_named(model.code)
    kind = TRAITS[known].camera if known else None
    return "rtsps" if kind is CameraKind.RTSPS else "camera"


class PictureLogin:
    """Serves one client of the port for single pictures: reads its login, counts it, and hangs up."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    async def __call__(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        """Read the login of 80 bytes; raises IncompleteReadError when less comes."""
        length, kind, _, _, user, code = _AUTH.unpack(await reader.readexactly(_AUTH.size))
        if (length, kind) == (_AUTH_LENGTH, _AUTH_KIND):
            self._logins.admits("camera", _text(user), _text(code))


async def hang_up_on_the_first_word(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Serve one client of the RTSPS port: wait for a request, and hang up."""
    await reader.readexactly(1)


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("utf-8", "replace")
