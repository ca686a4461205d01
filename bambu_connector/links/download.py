"""Files by HTTP: streamed into a file with their checksums, and gone on with where a connection or a process broke."""

import asyncio
import email.utils
import errno
import re
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from bambu_connector.errors import DownloadFailed
from bambu_connector.links import pace
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.links.part_file import VALIDATOR, PartFile
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
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# A date proves that a file is the same only if it did not change within the second in which it was sent (RFC 9110).
_DATE_PROVES_AFTER: Final = timedelta(seconds=1)


class HttpDownloader:
    """Fetches files under the rules; one for the process."""

    def __init__(self, rules: DownloadRules, context: ssl.SSLContext | None = None) -> None:
        self._rules = rules
        self._context = context
        # Writing may wait for an SD card, and hashing takes time: neither belongs on the loop. One thread keeps order.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="download")
        self._hands_over = False

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, url: Secret, target: Path, progress: Progress) -> Downloaded:
        """Stream `url` into `target`, which appears only when it is whole and on the disk; raises DownloadFailed.

        Goes on with what an earlier process had fetched. A failure leaves nothing behind, nor does being cancelled
        unless it is to be handed over.
        """
        part = PartFile(target, url.reveal())
        transfer = _Transfer(url.reveal(), self._rules, self._context, part, progress, self._in_thread)
        try:
            await self._in_thread(_import_aiohttp)
            await transfer.run()
            return await self._in_thread(part.finish)
        except OSError as exc:
            if exc.errno in _DISK_FULL:
                raise DownloadFailed(f"{target.name} cannot be kept: the disk of this machine is full") from exc
            raise DownloadFailed(f"{target.name} cannot be written here: {exc.strerror}") from exc
        finally:
            # Shielded, because a second cancellation would leave what the first was to remove.
            await asyncio.shield(self._in_thread(part.close if self._hands_over else part.discard))

    def hand_over(self) -> None:
        """Leave what is not whole from now on for the next process to go on with."""
        self._hands_over = True

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _import_aiohttp() -> None:
    import bambu_connector.links.http_get  # noqa: F401 - a second on a Pi, so not on the loop


class _Transfer:
    """One URL on its way into one file, in as many attempts as it takes."""

    def __init__(
        self,
        url: str,
        rules: DownloadRules,
        context: ssl.SSLContext | None,
        part: PartFile,
        progress: Progress,
        in_thread: "_Door",
    ) -> None:
        self._url = url
        self._rules = rules
        self._context = context
        self._part = part
        self._progress = progress
        self._in_thread = in_thread
        self._validator: str | None = None
        self._total: int | None = None
        self._told = 0.0

    async def run(self) -> None:
        """Go on until the file is whole; raises DownloadFailed, OSError (of the local file)."""
        slip = await self._in_thread(self._part.open)
        if slip is not None:
            self._validator, self._total = slip.validator, slip.total
            self._require_size(slip.size)
        limit_s = pace.longest_s(self._rules.max_bytes)
        deadline = asyncio.timeout(limit_s)
        try:
            async with deadline:
                await self._fetch()
        except TimeoutError:
            if not deadline.expired():  # one of the local file's, which is an OSError as others
                raise
            raise DownloadFailed(f"{self._name}: not done after {limit_s / 3600:.1f} hours") from None
        if self._part.size == 0:
            raise DownloadFailed(f"{self._name}: the file is empty")
        self._progress(self._part.size, self._part.size)

    async def _fetch(self) -> None:
        from bambu_connector.links.checked_http import HttpInterrupted

        failures, most = 0, self._part.size
        while self._part.size == 0 or self._part.size != self._total:
            try:
                await self._attempt()
                return
            except HttpInterrupted as exc:
                if self._part.size >= most + _WORTH_GOING_ON_BYTES:
                    failures, most = 0, self._part.size
                failures += 1
                if failures == _ATTEMPTS:
                    raise DownloadFailed(f"{exc} ({failures} attempts)") from None
            await asyncio.sleep(_FIRST_WAIT_S * 2 ** (failures - 1))

    async def _attempt(self) -> None:
        from bambu_connector.links.checked_http import HttpInterrupted
        from bambu_connector.links.http_get import get

        headers = {}
        if self._part.size and self._validator is not None:
            headers = {"Range": f"bytes={self._part.size}-", "If-Range": self._validator}
        async with get(self._url, headers, self._rules, self._context) as response:
            if self._goes_on(response):
                self._total = self._total_of(response)
            else:
                await self._start_over()
                if response.status != 200:
                    raise HttpInterrupted(f"{self._name}: the server goes on at the wrong place")
                self._validator, self._total = _validator(response), response.content_length
            self._require_size(self._total or 0)
            self._part.describe(self._validator, self._total)
            await self._stream(response)
        if self._total is not None and self._part.size < self._total:
            raise HttpInterrupted(f"{self._name}: the connection broke")
        if self._total is not None and self._part.size > self._total:
            await self._start_over()
            raise HttpInterrupted(f"{self._name}: the server sends more than there is")

    async def _start_over(self) -> None:
        if self._part.size:
            await self._in_thread(self._part.start_over)
        self._validator = self._total = None

    def _goes_on(self, response: "aiohttp.ClientResponse") -> bool:
        """Say whether the answer is the rest of the very file whose beginning is here."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status != 206 or match is None or self._validator is None:
            return False
        header = "ETag" if self._validator.startswith('"') else "Last-Modified"
        return (
            int(match[1]) == self._part.size > 0
            and response.headers.get(header, self._validator) == self._validator
            and (self._total is None or match[2] in ("*", str(self._total)))
        )

    def _total_of(self, response: "aiohttp.ClientResponse") -> int | None:
        """Return the size of the file of which the answer is the rest, or a part of the rest."""
        match = _CONTENT_RANGE.fullmatch(response.headers["Content-Range"])
        if self._total is not None or match is None:
            return self._total
        if match[2] != "*":
            return int(match[2])
        return None if response.content_length is None else self._part.size + response.content_length

    async def _stream(self, response: "aiohttp.ClientResponse") -> None:
        from bambu_connector.links.checked_http import HttpInterrupted

        waiting = bytearray()
        speed = pace.Pace(time.monotonic(), max(pace.WINDOW_S, 2 * self._rules.timeout_s))
        try:
            async for data in response.content.iter_any():
                waiting += data
                done = self._part.size + len(waiting)
                self._require_size(done)
                if speed.is_too_slow(len(data), time.monotonic()):
                    raise HttpInterrupted(
                        f"{self._name}: the server sends less than {pace.FLOOR_BYTES_PER_S // 1024} KiB/s"
                    )
                if len(waiting) >= _WRITE_BYTES:
                    await self._append(waiting)
                self._tell(done)
        finally:
            # What came before the connection broke need not come again.
            if waiting:
                await self._append(waiting)

    async def _append(self, waiting: bytearray) -> None:
        data = bytes(waiting)
        waiting.clear()
        await self._in_thread(lambda: self._part.append(data))

    def _require_size(self, size: int) -> None:
        if size > self._rules.max_bytes:
            raise DownloadFailed(
                f"{self._name}: larger than {self._rules.max_bytes // 1024**2} MiB (downloads.max_size_mb)"
            )

    def _tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self._told >= _PROGRESS_INTERVAL_S and done != self._total:  # `run` tells the end
            self._told = now
            self._progress(done, self._total)

    @property
    def _name(self) -> str:
        from bambu_connector.links.checked_http import name_of

        return name_of(self._url)


class _Door(Protocol):
    """The way into the thread that works on the file."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


def _validator(response: "aiohttp.ClientResponse") -> str | None:
    """Return what proves that a file is still the same; a weak ETag does not, nor does a date of just now."""
    tag = response.headers.get("ETag", "")
    if tag.startswith('"') and VALIDATOR.fullmatch(tag):
        return tag
    modified, sent = response.headers.get("Last-Modified", ""), response.headers.get("Date", "")
    if not VALIDATOR.fullmatch(modified):
        return None
    try:
        age = email.utils.parsedate_to_datetime(sent) - email.utils.parsedate_to_datetime(modified)
    except (ValueError, TypeError, OverflowError):  # no date, or one with and one without a time zone
        return None
    return modified if age >= _DATE_PROVES_AFTER else None
