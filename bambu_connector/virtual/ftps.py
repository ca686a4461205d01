"""The storage of a virtual printer: implicit FTPS with the commands that real ones know."""

import asyncio
import contextlib
import logging
import os
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import aioftp
from aioftp.common import Connection
from aioftp.server import MemoryUserManager, Server

from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.logins import USER, Logins

FOLDERS: Final = ("cache", "timelapse", "ipcam", "image", "logger")
_NOT_SPOKEN: Final = ("appe", "epsv", "mlsd", "mlst", "rest", "abor")
_FREE_BYTES: Final = 8 * 1024**3
_CLOSE_S: Final = 2.0
_DATA_S: Final = 5.0


class _Doorman(MemoryUserManager):
    """Lets in whom the printer lets in."""

    def __init__(self, root: Path, logins: Logins) -> None:
        super().__init__([aioftp.User(USER, "asked for", base_path=root)])  # the code may change: it is looked up
        self._logins = logins

    async def authenticate(self, user: aioftp.User, password: str) -> bool:
        return self._logins.admits("ftps", user.login, password)


class Storage(Server):
    """Serves `root` to the one user; `on_upload` is called with the path of each file that has arrived."""

    def __init__(
        self, root: Path, logins: Logins, tls: ssl.SSLContext, faults: Faults, on_upload: Callable[[str], None]
    ) -> None:
        logging.getLogger("aioftp").setLevel(logging.CRITICAL)  # it logs a traceback for each client that hangs up
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        super().__init__(_Doorman(root, logins), ssl=tls, welcome_message="ready")
        self._faults, self._on_upload = faults, on_upload
        self.commands_mapping.update(dict.fromkeys(_NOT_SPOKEN, self.unknown))
        self.commands_mapping.update(size=self.size, mdtm=self.mdtm, nlst=self.nlst, avbl=self.avbl)

    async def stor(self, connection: Connection, rest: str | PurePosixPath, mode: str = "wb") -> bool:
        """Store a file, where there is a storage."""
        if "no-storage" in self._faults:
            connection.response("553", "could not create file")
            return True
        before = set(connection.extra_workers)
        answered = bool(await super().stor(connection, rest, mode))
        for transfer in connection.extra_workers - before:
            _, path = self.get_paths(connection, rest)
            transfer.add_done_callback(lambda task, path=path: self._arrived(task, str(path.relative_to("/"))))
        return answered

    def _arrived(self, task: "asyncio.Task[bool]", path: str) -> None:
        if not task.cancelled() and task.exception() is None:
            self._on_upload(path)

    async def unknown(self, connection: Connection, _rest: str) -> bool:
        """Refuse what aioftp speaks and printers do not."""
        connection.response("500", "unknown command")
        return True

    async def build_list_string(self, connection: Connection, path: PurePosixPath) -> str:
        """Return one line of LIST as vsftpd writes it."""
        facts = await connection.path_io.stat(path)
        kind = "drwxrwxrwx" if stat.S_ISDIR(facts.st_mode) else "-rw-rw-rw-"
        changed = self.build_list_mtime(facts.st_mtime)
        return f"{kind} 1 root root {facts.st_size:>12} {changed} {path.name}"

    async def size(self, connection: Connection, rest: str) -> bool:
        """Tell the size of a file."""
        connection.response(*self._fact(connection, rest, lambda facts: str(facts.st_size)))
        return True

    async def mdtm(self, connection: Connection, rest: str) -> bool:
        """Tell when a file was changed."""
        connection.response(*self._fact(connection, rest, _changed))
        return True

    def _fact(self, connection: Connection, rest: str, tell: Callable[[os.stat_result], str]) -> tuple[str, str]:
        if not connection.future.logged.done():
            return "503", "not logged in"
        path, _ = self.get_paths(connection, rest)
        return ("213", tell(path.stat())) if path.is_file() else ("550", "could not get file size")

    async def avbl(self, connection: Connection, _rest: str) -> bool:
        """Tell how much room is left."""
        connection.response("213", "0" if "no-storage" in self._faults else str(_FREE_BYTES))
        return True

    async def nlst(self, connection: Connection, rest: str) -> bool:
        """List bare names, as the P1 does."""
        if not connection.future.logged.done() or not connection.future.passive_server.done():
            connection.response("503", "not logged in, or no PASV before")
            return True
        folder, _ = self.get_paths(connection, rest)
        connection.response("150", "here it comes")
        connection.extra_workers.add(asyncio.create_task(self._send_names(connection, folder)))
        return True

    async def _send_names(self, connection: Connection, folder: Path) -> None:
        stream = await asyncio.wait_for(connection.future.data_connection, _DATA_S)
        del connection.data_connection
        async with stream:
            await stream.write("".join(f"{name}\r\n" for name in _names(folder)).encode())
        connection.response("226", "done")

    def drop_connections(self) -> None:
        """Break every session, without a goodbye."""
        for stream in tuple(self.connections):
            stream.writer.transport.abort()

    async def finish(self) -> None:
        """Stop listening and end every session."""
        for connection in tuple(self.connections.values()):
            if connection.future.passive_server.done():
                connection.passive_server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.close(), _CLOSE_S)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _changed(facts: os.stat_result) -> str:
    return datetime.fromtimestamp(facts.st_mtime, UTC).strftime("%Y%m%d%H%M%S")


class Folder:
    """The same storage, as the machine reads it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, path: str) -> BinaryIO | None:
        """Return the file at `path`, None where there is none."""
        file = (self._root / path).resolve()
        return file.open("rb") if file.is_file() and file.is_relative_to(self._root.resolve()) else None
