"""Files by HTTP: streamed into a file with their checksums, and gone on with where a connection broke."""

import asyncio
import hashlib
import re
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from bambu_connector.errors import DownloadFailed
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.links.wire import Downloaded, Progress
from bambu_connector.secret import Secret

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

_ATTEMPTS: Final = 5
_FIRST_WAIT_S: Final = 0.5  # doubled each time: 7.5 s in all, enough for a server that is being replaced
_WORTH_GOING_ON_BYTES: Final = 1024 * 1024  # an attempt that brought so much does not count
_WRITE_BYTES: Final = 256 * 1024  # one hop to the writing thread for so much
_PROGRESS_INTERVAL_S: Final = 0.2
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class HttpDownloader:
    """Fetches files under the rules; one for the process."""

    def __init__(self, rules: DownloadRules, context: ssl.SSLContext | None = None) -> None:
        self._rules = rules
        self._context = context
        # Writing may wait for an SD card, and hashing takes time: neither belongs on the loop. One thread keeps order.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="download")

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, url: Secret, target: Path, progress: Progress) -> Downloaded:
        """Stream `url` into `target`, which appears only when it is whole; raises DownloadFailed."""
        await asyncio.get_running_loop().run_in_executor(self._thread, _import_aiohttp)
        part = _PartFile(target.with_name(f"{target.name}.part"), self._thread)
        transfer = _Transfer(url.reveal(), self._rules, self._context, part, progress)
        try:
            await part.open()
            await transfer.run()
            return await part.finish(target)
        except OSError as exc:
            raise DownloadFailed(f"{target.name} cannot be written here: {exc.strerror}") from exc
        finally:
            await part.discard()


def _import_aiohttp() -> None:
    import bambu_connector.links.http_get  # noqa: F401 - a second on a Pi, so not on the loop


class _PartFile:
    """A file that grows, and the checksums of what is in it."""

    def __init__(self, path: Path, thread: ThreadPoolExecutor) -> None:
        self.size = 0
        self._path = path
        self._thread = thread
        self._file: BinaryIO | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)  # what the printers want to know
        self._sha256 = hashlib.sha256()

    async def open(self) -> None:
        await self._in_thread(self._open)

    async def append(self, data: bytes) -> None:
        await self._in_thread(lambda: self._append(data))

    async def start_over(self) -> None:
        if self.size:
            await self._in_thread(self._open)

    async def finish(self, target: Path) -> Downloaded:
        await self._in_thread(lambda: self._rename(target))
        return Downloaded(target, self.size, self._md5.hexdigest(), self._sha256.hexdigest())

    async def discard(self) -> None:
        """Close, and remove what was not finished."""
        await self._in_thread(self._remove)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._close()
        self._file = self._path.open("wb", buffering=0)
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._md5.update(data)
        self._sha256.update(data)
        self.size += len(data)

    def _rename(self, target: Path) -> None:
        self._close()
        self._path.replace(target)

    def _remove(self) -> None:
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Transfer:
    """One URL on its way into one file, in as many attempts as it takes."""

    def __init__(
        self, url: str, rules: DownloadRules, context: ssl.SSLContext | None, part: _PartFile, progress: Progress
    ) -> None:
        self._url = url
        self._rules = rules
        self._context = context
        self._part = part
        self._progress = progress
        self._validator: str | None = None
        self._total: int | None = None
        self._told = 0.0

    async def run(self) -> None:
        """Go on until the file is whole; raises DownloadFailed, OSError (of the local file)."""
        from bambu_connector.links.http_get import InterruptedDownload, name_of

        failures, most = 0, 0
        while True:
            try:
                await self._attempt()
                break
            except InterruptedDownload as exc:
                if self._part.size >= most + _WORTH_GOING_ON_BYTES:
                    failures, most = 0, self._part.size
                failures += 1
                if failures == _ATTEMPTS:
                    raise DownloadFailed(f"{exc} ({failures} attempts)") from None
            await asyncio.sleep(_FIRST_WAIT_S * 2 ** (failures - 1))
        if self._part.size == 0:
            raise DownloadFailed(f"{name_of(self._url)}: the file is empty")
        self._progress(self._part.size, self._part.size)

    async def _attempt(self) -> None:
        from bambu_connector.links.http_get import InterruptedDownload, get, name_of

        headers = {}
        if self._part.size and self._validator is not None:
            headers = {"Range": f"bytes={self._part.size}-", "If-Range": self._validator}
        async with get(self._url, headers, self._rules, self._context) as response:
            if not self._goes_on(response):
                await self._part.start_over()
                if response.status != 200:
                    self._validator = None
                    raise InterruptedDownload(f"{name_of(self._url)}: the server goes on at the wrong place")
            length = response.content_length
            self._total = None if length is None else self._part.size + length
            self._require_size(self._total or 0)
            self._validator = _validator(response)
            await self._stream(response)
        if self._total is not None and self._part.size < self._total:
            raise InterruptedDownload(f"{name_of(self._url)}: the connection broke")

    def _goes_on(self, response: "aiohttp.ClientResponse") -> bool:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return response.status == 206 and match is not None and int(match[1]) == self._part.size > 0

    async def _stream(self, response: "aiohttp.ClientResponse") -> None:
        waiting = bytearray()
        try:
            async for data in response.content.iter_any():
                waiting += data
                done = self._part.size + len(waiting)
                self._require_size(done)
                if len(waiting) >= _WRITE_BYTES:
                    await self._part.append(bytes(waiting))
                    waiting.clear()
                self._tell(done)
        finally:
            # What came before the connection broke need not come again.
            if waiting:
                await self._part.append(bytes(waiting))

    def _require_size(self, size: int) -> None:
        if size > self._rules.max_bytes:
            from bambu_connector.links.http_get import name_of

            raise DownloadFailed(
                f"{name_of(self._url)}: larger than {self._rules.max_bytes // 1024**2} MiB (downloads.max_size_mb)"
            )

    def _tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self._told >= _PROGRESS_INTERVAL_S and done != self._total:  # `run` tells the end
            self._told = now
            self._progress(done, self._total)


def _validator(response: "aiohttp.ClientResponse") -> str | None:
    """Return what proves that a file is still the same; a weak ETag does not."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")
