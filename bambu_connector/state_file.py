"""A file with secrets in the state directory: read only when it is what it should be, replaced whole."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bambu_connector.errors import ConfigError

Stamp = tuple[int, int, int, int]
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ROOT: Final = 0
PATIENCE_S: Final = 2.0  # whoever writes is done in milliseconds, on a slow card in some hundred
_LOOK_AGAIN_S: Final = 0.005


def stamp_of(path: Path) -> Stamp | None:
    """Return what changes when the file does; None when there is none, or nobody can tell."""
    try:
        return _stamp(path.lstat())
    except OSError:
        return None


def read(path: Path, limit: int) -> tuple[bytes, Stamp] | None:
    """Return at most `limit` bytes of the file, and its stamp; None when there is none.

    Raises ConfigError when it cannot be read, is no plain file, or others can see it.
    """
    try:  # a pipe would be waited for, perhaps for ever; a link may lead anywhere
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as exc:
        why = "it is a symbolic link; put the file itself there" if exc.errno == errno.ELOOP else exc.strerror
        raise ConfigError(f"{path}: the file cannot be read: {why}") from exc
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path}: the file cannot be read: it is a directory, pipe or device")
        if found.st_mode & _OTHERS:
            raise ConfigError(f"{path} can be read by others: run  chmod 600 {path}")
        if _is_planted(found, path.parent.stat()):
            raise ConfigError(
                f"{path} belongs to another user of this machine, who may have put it there: see to it that only the"
                f" service's user can write in {path.parent}"
            )
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(limit), _stamp(found)
    except OSError as exc:
        raise ConfigError(f"{path}: the file cannot be read: {exc.strerror}") from exc
    finally:
        os.close(descriptor)


def _is_planted(file: os.stat_result, folder: os.stat_result) -> bool:
    """Say whether somebody may have put a file there who has no business in its folder, which anybody can write."""
    return bool(folder.st_mode & stat.S_IWOTH) and file.st_uid not in {os.geteuid(), _ROOT, folder.st_uid}


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the file's folder against others who write; it is made when it is not there. Raises ConfigError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(f"{path}: the file cannot be written: {exc.strerror}") from exc
    try:
        _lock(folder, path)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    """Wait for our turn, but not for ever: whoever can look into the folder can hold it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ConfigError(
                    f"{path}: the file cannot be written: somebody holds a lock on {path.parent}; see to it that only"
                    " the service's user can look into it"
                ) from None
            time.sleep(_LOOK_AGAIN_S)
        except OSError:  # some network file systems cannot
            return
        else:
            return


def put(path: Path, text: str) -> Stamp:
    """Replace the file, which only its owner may see: whatever dies in between, the old or the new text is there.

    Returns the stamp of the new one. Raises ConfigError.
    """
    try:
        return _put(path, text)
    except OSError as exc:
        raise ConfigError(f"{path}: the file cannot be written: {exc.strerror}") from exc


def _put(path: Path, text: str) -> Stamp:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - from a descriptor
            stream.write(text)
            stream.flush()
            if os.geteuid() == _ROOT:  # the service need not run as root, and must be able to read it
                owner = path.parent.stat()
                with contextlib.suppress(OSError):
                    os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(stream.fileno())
            stamp = _stamp(os.fstat(stream.fileno()))
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return stamp


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
