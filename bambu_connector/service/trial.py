"""Trying a printer's files: one look at the root, one small file there and gone again."""

import asyncio
import secrets
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, TypeVar

from bambu_connector.errors import (
    AccessDenied,
    ConnectorError,
    IdentityMismatch,
    StorageMissing,
    TimedOut,
    UploadFailed,
)
from bambu_connector.service.ports import PrinterStorage
from bambu_connector.service.shelf import Shelf

LIST_S: Final = 60.0  # an H2D takes more than 30 s for one reply
UPLOAD_S: Final = 90.0
_CONTENT: Final = b"bambu-connector tries whether files arrive here. This one can be deleted.\n"
_NAME_BYTES: Final = 4
T = TypeVar("T")


async def count_files(shelf: Shelf) -> int:
    """Return how many files are in the root of the storage. Raises LinkError, TimedOut."""
    async with shelf.turn:
        return len(await _within(LIST_S, shelf.storage.list_folder("/")))


async def try_upload(shelf: Shelf, folder: Path) -> None:
    """Store a small file, made in `folder`, and remove it; what cannot be removed at once is, later, by the shelf.

    Raises UploadFailed, StorageMissing, StorageFull, TimedOut, LinkError.
    """
    name = f"bambu-connector-test-{secrets.token_hex(_NAME_BYTES)}.txt"
    async with shelf.turn:
        storage = shelf.storage
        try:
            await _within(UPLOAD_S, _put(storage, name, folder))
        except (StorageMissing, AccessDenied, IdentityMismatch):
            raise  # nothing can be there
        except BaseException:
            shelf.doom(name)
            raise
        try:
            await _within(LIST_S, storage.remove(name))
        except BaseException as error:
            shelf.doom(name)
            if not isinstance(error, ConnectorError):
                raise
            raise UploadFailed(
                f"the test file {name} arrived, and could not be removed again yet, which will be tried again: {error}"
            ) from error


async def _put(storage: PrinterStorage, name: str, folder: Path) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="trial-") as source:
            source.write(_CONTENT)
            source.flush()
            await storage.put(Path(source.name), name, lambda _done, _total: None)
    except OSError as error:
        raise UploadFailed(f"no file can be written on this computer to try with: {error.strerror}") from error


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise TimedOut(f"the file service did not answer within {seconds:.0f} s") from None
