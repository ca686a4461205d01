"""One process owns a state directory."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bambu_connector.errors import ConfigError, ConnectorError

_NAME: Final = "lock"


class AlreadyRunning(ConnectorError):
    """Another process owns the state directory."""


class StateLock:
    """Owns the state directory as long as it is held; the kernel frees it when the process dies."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(self._folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"The state directory {self._folder} cannot be used: {error.strerror}. Set connector.state_dir to a"
                " folder that this user can write."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            self._file = None
            raise AlreadyRunning(f"Another bambu-connector uses the state directory {self._folder} already.") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
