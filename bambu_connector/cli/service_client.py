"""Asking a running service through its socket."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import orjson

from bambu_connector.errors import ConnectorError, Unreachable
from bambu_connector.service.control import SOCKET_NAME

_CONNECT_S: Final = 5.0
_ROOT: Final = 0
_CREDENTIALS: Final = struct.Struct("3i")  # the kernel's `ucred`: process, user, group
_ENDED: Final = "The service ended before it answered."
Tree = dict[str, Any]


class ServiceRefused(ConnectorError):
    """The service answered with an error; it carries the code and the exit code of that error."""

    def __init__(self, answer: Tree) -> None:
        super().__init__(str(answer.get("error")))
        self.code = str(answer.get("code"))  # type: ignore[misc]  # it speaks for an error of the service
        self.exit_code = int(answer.get("exit_code", 1))  # type: ignore[misc]


class Service:
    """A connection to the running service."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._file = channel.makefile("rwb")

    @classmethod
    def find(cls, state_dir: Path) -> Self | None:
        """Return a connection to the service that owns the state directory; None when none runs."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(_CONNECT_S)
        try:
            channel.connect(str(state_dir / SOCKET_NAME))
        except PermissionError as error:
            channel.close()
            if not os.access(state_dir, os.X_OK):
                raise ConnectorError(
                    f"Whether a service runs is not known, because this user may not look into {state_dir}: use the"
                    " service's user or group."
                ) from error
            raise ConnectorError(
                f"A service runs, and this user may not use its socket in {state_dir}: use the service's user or group."
            ) from error
        except OSError:
            channel.close()
            return None  # nobody answers there; whether the directory can be used is for the lock to say
        if not _is_entitled(channel, state_dir):
            channel.close()
            raise ConnectorError(
                f"Another user of this machine listens at {state_dir / SOCKET_NAME}, and is not told anything: see to"
                f" it that only the service's user can write in {state_dir}."
            )
        channel.settimeout(None)
        return cls(channel)

    def ask(self, request: Tree) -> Iterator[Tree]:
        """Send a request; yield every answer up to the last. Raises ServiceRefused, or Unreachable when it ends."""
        try:
            self._file.write(orjson.dumps(request) + b"\n")
            self._file.flush()
            while (line := self._file.readline()).endswith(b"\n"):
                answer: Tree = orjson.loads(line)
                if "error" in answer and "code" in answer:
                    raise ServiceRefused(answer)
                yield answer
                if "progress" not in answer:
                    return
        except OSError as error:
            raise Unreachable(_ENDED) from error
        raise Unreachable(_ENDED)

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):  # what could not be sent is written once more
            self._file.close()
        self._channel.close()


def _is_entitled(channel: socket.socket, state_dir: Path) -> bool:
    """Say whether who listens may be told access codes: ourselves, root, or whom the state directory belongs to."""
    raw = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(raw)
    try:
        return user in {os.geteuid(), _ROOT, state_dir.stat().st_uid}
    except OSError:
        return False
