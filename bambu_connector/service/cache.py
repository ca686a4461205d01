"""Files that were downloaded, kept for the next printer: one download for many. Found by their checksum only."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from bambu_connector.printago.orders import Checksum


class FileCache:
    """A folder of files named by their hashes; the least recently used go first.

    The methods touch only names and times of files, not their content. `max_bytes` 0 keeps nothing.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._tidy = threading.Lock()  # two threads of `files` may keep at once
        self._turns: WeakValueDictionary[Checksum, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, checksum: Checksum | None) -> AsyncIterator[None]:
        """Let one job at a time fetch a file of this checksum: the next one finds it here."""
        if checksum is None:
            yield
            return
        lock = self._turns.get(checksum) or asyncio.Lock()
        self._turns[checksum] = lock
        async with lock:
            yield

    def take(self, checksum: Checksum | None, target: Path) -> bool:
        """Give the file of this checksum a second name, `target`; False when it is not here."""
        found = self._find(checksum) if checksum else None
        if found is None:
            return False
        target.unlink(missing_ok=True)
        os.link(found, target)
        os.utime(found)
        return True

    def _find(self, checksum: Checksum) -> Path | None:
        pattern = {"md5": f"{checksum.digest}-*", "sha256": f"*-{checksum.digest}"}[checksum.algorithm]
        return next(iter(self._folder.glob(pattern)), None)

    def drop(self, checksum: Checksum) -> None:
        """Forget a file: it is damaged."""
        found = self._find(checksum)
        if found is not None:
            found.unlink(missing_ok=True)

    def keep(self, path: Path, *, md5: str, sha256: str) -> None:
        """Give a file a second name, after its hashes; what is too much in all goes."""
        if path.stat().st_size > self._max_bytes:
            return
        with self._tidy:
            self._keep(path, f"{md5}-{sha256}")

    def _keep(self, path: Path, name: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = self._folder / name
        kept.unlink(missing_ok=True)
        os.link(path, kept)
        os.utime(kept)
        files = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)
        room = self._max_bytes
        for each in files:
            room -= each.stat().st_size
            if room < 0:
                each.unlink()
