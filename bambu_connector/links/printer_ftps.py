"""The files of one printer, through ftputil in threads: stored whole or not at all, and cancelled at once."""

import asyncio
import contextlib
import ftplib
import functools
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from bambu_connector.errors import AccessDenied, ConnectorError, FileInvalid, Unreachable, UploadFailed
from bambu_connector.links.dial import Address, Dialer, connect_error
from bambu_connector.links.file_names import check_folder, check_name, check_new_name
from bambu_connector.links.ftps_errors import (
    FAULTS,
    code_of,
    explained,
    original,
    session_error,
    upload_error,
    words_of,
)
from bambu_connector.links.ftps_session import FtpsSession, Protection, Wires, WiresCutError
from bambu_connector.links.listing import parse_listing
from bambu_connector.links.tls import Trust
from bambu_connector.links.wire import Progress, StoredFile
from bambu_connector.secret import Secret

T = TypeVar("T")

_USER: Final = "bblp"
_BLOCK_BYTES: Final = 64 * 1024  # 1.6 to 2 times as fast as ftputil's 8 KiB; more adds little and coarsens the progress
_MIN_DEADLINE_S: Final = 600.0
# Farms see 75 to 160 KB/s, a P1 at its worst 50; half of that is a transfer that will not end.
_SLOWEST_BYTES_PER_S: Final = 25_000
# For everything but the content, which is a few replies: an H2D takes more than 30 s for one. What a peer can do with
# a byte every now and then ends here.
_ERRAND_S: Final = 180.0
_PROGRESS_INTERVAL_S: Final = 0.2
_CLEAN_UP_S: Final = 4.0  # a service that stops has 10 s in all
_ERRANDS: Final = 8  # a frozen file service holds one for a while


class FtpsPool:
    """The threads for all printers: one for each transfer at a time, and a few for what is quick."""

    def __init__(self, transfers: int) -> None:
        self.transfers: Executor = ThreadPoolExecutor(transfers, thread_name_prefix="transfer")
        self.errands: Executor = ThreadPoolExecutor(_ERRANDS, thread_name_prefix="errand")

    def close(self) -> None:
        """Let the threads go; call it when nothing is under way."""
        self.transfers.shutdown(wait=False, cancel_futures=True)
        self.errands.shutdown(wait=False, cancel_futures=True)


class _Job:
    """What a thread needs to know of the coroutine that waits for it."""

    def __init__(self, addresses: list[Address], progress: Progress | None) -> None:
        self.addresses = addresses
        self.wires = Wires()
        self.too_late: ConnectorError | None = None
        """Why the wires were cut, when it was because the time that was allowed is over."""
        self._loop = asyncio.get_running_loop()
        self._progress = progress
        self._told = 0.0
        self._done = 0
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, done: int, total: int | None) -> None:
        self._done = done
        now = time.monotonic()
        if self._progress is not None and (done == total or now - self._told >= _PROGRESS_INTERVAL_S):
            self._told = now
            self._loop.call_soon_threadsafe(self._progress, done, total)

    def allow(self, seconds: float, late: Callable[[int], ConnectorError]) -> None:
        """Cut the wires in so many seconds, unless more are allowed before; to be called from the thread.

        `late` makes the error of it from the number of bytes that were moved.
        """
        self._loop.call_soon_threadsafe(self._set_timer, seconds, late)

    def end(self) -> None:
        """Note, on the loop, that nothing is under way any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, seconds: float, late: Callable[[int], ConnectorError]) -> None:
        self.end()
        self._timer = self._loop.call_later(seconds, self._expire, late)

    def _expire(self, late: Callable[[int], ConnectorError]) -> None:
        self.too_late = late(self._done)
        self.wires.cut()

    def wires_for_cleaning_up(self) -> Wires:
        """Return wires that are cut by themselves, and not when the coroutine is cancelled."""
        wires = Wires()
        self._loop.call_soon_threadsafe(self._loop.call_later, _CLEAN_UP_S, wires.cut)
        return wires


class PrinterFtps:
    """The files of one printer. Each call opens a session, works and closes it; cancelling one breaks its connection.

    Raises AccessDenied, IdentityMismatch, NotAPrinter, Unreachable, and what the methods name.
    """

    def __init__(
        self,
        *,
        serial: str,
        host: str,
        port: int,
        access_code: Secret,
        trust: Trust,
        dialer: Dialer,
        pool: FtpsPool,
        protection: Protection = "P",
    ) -> None:
        self._serial = serial
        self._host = host
        self._port = port
        self._access_code = access_code
        self._trust = trust
        self._dialer = dialer
        self._pool = pool
        self._protection = protection

    # -- the coroutines ----------------------------------------------------------------------------

    async def put(self, source: Path, name: str, progress: Progress) -> None:
        """Store `source` as `name`; return only when the printer says that it holds every byte.

        What came of an upload that failed or was cancelled is removed, as far as the printer lets us in a few seconds.

        Raises StorageMissing, StorageFull, UploadFailed.
        """
        check_new_name(name)
        await self._run(self._pool.transfers, functools.partial(self._put, source, name), progress)

    async def fetch(self, name: str, target: Path, progress: Progress, max_bytes: int) -> None:
        """Copy a file from the printer to `target`; FileInvalid when it is not there or too large."""
        check_name(name)
        await self._run(self._pool.transfers, functools.partial(self._fetch, name, target, max_bytes), progress)

    async def remove(self, name: str) -> bool:
        """Delete; False when there was no such file. Raises UploadFailed when the printer will not."""
        check_name(name)
        return await self._run(self._pool.errands, functools.partial(self._remove, name))

    async def size(self, name: str) -> int | None:
        """Return the file's size in bytes, None when there is no such file."""
        check_name(name)
        return await self._run(self._pool.errands, functools.partial(self._size, name))

    async def list_folder(self, folder: str) -> tuple[StoredFile, ...]:
        """Return the regular files in `folder` (`"/"` is the root); none where there is no such folder."""
        check_folder(folder)
        return await self._run(self._pool.errands, functools.partial(self._list_folder, folder))

    async def _run(self, executor: Executor, work: Callable[[_Job], T], progress: Progress | None = None) -> T:
        try:
            addresses = await self._dialer.resolve(self._host, self._port)
        except OSError as exc:
            raise connect_error(exc, self._host, self._port) from exc
        job = _Job(addresses, progress)
        thread = executor.submit(work, job)
        waiting = asyncio.wrap_future(thread)
        try:
            return await asyncio.shield(waiting)
        except (ConnectorError, WiresCutError, *FAULTS):
            if job.too_late is None:
                raise
            raise job.too_late from None
        except asyncio.CancelledError:
            job.wires.cut()
            thread.cancel()  # where it has not begun
            while not waiting.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([waiting])
            if not waiting.cancelled():
                waiting.exception()  # what it died of was our doing
            raise
        finally:
            job.end()

    # -- in a thread -------------------------------------------------------------------------------

    def _put(self, source: Path, name: str, job: _Job) -> None:
        size = source.stat().st_size
        session = self._new_session(job.wires)
        try:
            with self._entered(session, job), _ftp_host(session) as remote:
                self._store(session, remote, source, size, name, job)
                job.allow(_ERRAND_S, self._dawdles)
                if session.lastresp.startswith("2"):
                    self._compare(session, name, size)
                    return
            # No 226 (ftputil swallows 426, 450 and 451): only a fresh session tells for sure what is stored.
            with self._visit(job.wires, job) as fresh:
                self._compare(fresh, name, size)
        except BaseException:
            job.wires.cut()
            if session.storing:
                self._clean_up(name, job)
            raise

    def _store(self, session: FtpsSession, remote: Any, source: Path, size: int, name: str, job: _Job) -> None:
        job.allow(_time_for(size), lambda done: UploadFailed(f"{name}: too slow, after {done} of {size} bytes"))
        done = 0
        problem: ConnectorError | None = None
        block = memoryview(bytearray(_BLOCK_BYTES))
        try:
            with source.open("rb", buffering=0) as local, remote.open(name, "wb") as file:
                try:
                    while count := local.readinto(block):
                        file.write(block[:count])
                        done += count
                        job.tell(done, size)
                except OSError as exc:
                    problem = upload_error(explained(exc, session), name, done, size)
                    job.wires.cut()  # closing the file would wait for the printer
        except FAULTS as exc:
            cause = explained(original(exc), session)
            # All sent, and no answer: what is stored decides, not the answer.
            if problem is None and (done < size or isinstance(cause, ftplib.Error)):
                problem = upload_error(cause, name, done, size)
        if problem is not None:
            raise problem

    def _compare(self, session: FtpsSession, name: str, size: int) -> None:
        try:
            stored = _stored_size(session, name)
        except FAULTS as exc:
            raise UploadFailed(f"{name}: sent, but the printer does not tell what it stored ({words_of(exc)})") from exc
        if stored != size:
            raise UploadFailed(f"{name}: the printer holds {stored or 0} of {size} bytes")

    def _clean_up(self, name: str, job: _Job) -> None:
        wires = job.wires_for_cleaning_up()
        with contextlib.suppress(*FAULTS, ConnectorError, WiresCutError), self._visit(wires, job) as session:
            session.delete(name)

    def _fetch(self, name: str, target: Path, max_bytes: int, job: _Job) -> None:
        session = self._new_session(job.wires)
        with self._entered(session, job):
            size = _stored_size(session, name)
            if size is None:
                raise FileInvalid(f"{name} is not on the printer's storage")
            if size > max_bytes:
                raise FileInvalid(f"{name} has {size} bytes, more than the {max_bytes} that are allowed")
            try:
                done = self._retrieve(session, name, target, size, job)
                if done > size:
                    raise Unreachable(f"{name}: the printer sends more than the {size} bytes that it announced")
                if done < size:
                    raise Unreachable(f"{name}: the printer ended the transfer after {done} of {size} bytes")
            except BaseException:
                job.wires.cut()
                target.unlink(missing_ok=True)
                raise

    def _retrieve(self, session: FtpsSession, name: str, target: Path, size: int, job: _Job) -> int:
        job.allow(_time_for(size), lambda done: Unreachable(f"{name}: too slow, after {done} of {size} bytes"))
        done = 0
        with _ftp_host(session) as remote, target.open("wb") as local, remote.open(name, "rb") as file:
            while done <= size and (data := file.read(_BLOCK_BYTES)):
                local.write(data)
                done += len(data)
                job.tell(done, size)
            if done > size:
                job.wires.cut()  # closing the file would wait for the rest
        return done

    def _remove(self, name: str, job: _Job) -> bool:
        with self._visit(job.wires, job) as session:
            try:
                session.delete(name)
            except ftplib.error_perm as exc:
                if _stored_size(session, name) is None:
                    return False
                raise UploadFailed(f"{name}: the printer does not remove it: {words_of(exc)}") from exc
            return True

    def _size(self, name: str, job: _Job) -> int | None:
        with self._visit(job.wires, job) as session:
            return _stored_size(session, name)

    def _list_folder(self, folder: str, job: _Job) -> tuple[StoredFile, ...]:
        with self._visit(job.wires, job) as session:
            try:
                session.cwd(folder)
            except ftplib.error_perm:
                return ()
            return parse_listing(session.listing(), datetime.now(UTC))

    # -- sessions ----------------------------------------------------------------------------------

    def _new_session(self, wires: Wires) -> FtpsSession:
        return FtpsSession(self._trust, self._protection, wires)

    @contextlib.contextmanager
    def _visit(self, wires: Wires, job: _Job) -> Iterator[FtpsSession]:
        session = self._new_session(wires)
        with self._entered(session, job):
            yield session

    @contextlib.contextmanager
    def _entered(self, session: FtpsSession, job: _Job) -> Iterator[None]:
        """Log in, and turn whatever goes wrong inside into our errors."""
        job.allow(_ERRAND_S, self._dawdles)
        try:
            self._open(session, job)
            self._enter(session)
            yield
        except FAULTS as exc:
            raise session_error(self._host, original(exc)) from exc
        finally:
            session.close()

    def _dawdles(self, _done: int) -> ConnectorError:
        return Unreachable(f"the file service of {self._host} did not come to an end in {_ERRAND_S:g} s")

    def _open(self, session: FtpsSession, job: _Job) -> None:
        try:
            session.open(self._host, job.addresses)
        except ConnectionRefusedError as exc:
            raise Unreachable(
                f"{self._host}:{self._port} refuses the connection: the printer is starting, has no storage, or has "
                "switched its file service off"
            ) from exc
        except OSError as exc:
            raise connect_error(exc, self._host, self._port) from exc

    def _enter(self, session: FtpsSession) -> None:
        try:
            session.enter(_USER, self._access_code)
        except ftplib.error_perm as exc:
            if code_of(exc) == 530:
                raise AccessDenied(
                    f"{self._serial} at {self._host} refuses the access code for its files: "
                    "it is wrong or was changed on the printer"
                ) from exc
            raise


def _stored_size(session: FtpsSession, name: str) -> int | None:
    try:
        return session.size(name)
    except ftplib.error_perm as exc:
        if code_of(exc) == 550:
            return None
    except (ftplib.Error, ValueError):
        pass
    return next((file.size for file in parse_listing(session.listing(), datetime.now(UTC)) if file.name == name), None)


def _ftp_host(session: FtpsSession) -> Any:
    # ftputil opens another session for each file; ours serves both, since printers have few.
    return _ftputil().FTPHost(session_factory=lambda: session)


@functools.cache
def _ftputil() -> Any:
    # It warns when it is imported, about an encoding that we set ourselves.
    warnings.filterwarnings("ignore", message="In ftputil 6.0.0", category=DeprecationWarning)
    import ftputil

    return ftputil


def _time_for(size: int) -> float:
    return max(_MIN_DEADLINE_S, size / _SLOWEST_BYTES_PER_S)
