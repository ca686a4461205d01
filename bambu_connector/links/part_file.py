"""A file on its way in, and the slip beside it that lets another process go on with it.

`<target>.part` holds what has come; `<target>.part.json`, the slip, tells what it is and how much of it is known to be
on the disk. After a power cut anything may stand behind that, and so it is cut off. What lies before is trusted only if
it still has the checksum that the slip tells.

The slip says of the URL only a checksum without its query, which may be a key.
"""

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from bambu_connector.links.wire import Downloaded

# Each sync costs an SD card a few blocks: a fast line causes one for so many bytes, a slow one one in so many seconds.
_SYNC_BYTES: Final = 8 * 1024 * 1024
_SYNC_INTERVAL_S: Final = 10.0
_READ_BYTES: Final = 1024 * 1024
_SLIP_BYTES: Final = 4096  # ours are a few hundred
VALIDATOR: Final = re.compile(r"[\x20-\x7e]{1,1024}")  # what can be sent back in a header
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """What is known of a part: which file it is of, what proves that it is still the same, and what is on the disk."""

    url_sha256: str
    validator: str
    total: int | None
    size: int
    sha256: str


class PartFile:
    """A file that grows, the checksums of what is in it, and its slip. All of it blocks; raises OSError."""

    def __init__(self, target: Path, url: str) -> None:
        self.size = 0
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._slip = target.with_name(f"{target.name}.part.json")
        self._new_slip = target.with_name(f"{target.name}.part.json.new")
        self._url_sha256 = _fingerprint(url)
        self._fd: int | None = None
        self._validator: str | None = None
        self._total: int | None = None
        self._synced_bytes = 0
        self._synced_at = time.monotonic()
        self._md5 = hashlib.md5(usedforsecurity=False)  # what the printers want to know
        self._sha256 = hashlib.sha256()

    def open(self) -> Slip | None:
        """Begin; return the slip if a part was found that can be gone on with."""
        slip = self._read_slip()
        # A part that cannot be opened or read is as good as none.
        with suppress(OSError):
            if slip is not None and self._take_up(slip):
                self.describe(slip.validator, slip.total)
                return slip
        self.start_over()
        return None

    def start_over(self) -> None:
        """Begin with an empty file."""
        self._close()
        self._remove()
        self._fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        self.describe(None, None)
        self._forget_content()

    def describe(self, validator: str | None, total: int | None) -> None:
        """Take down what the server says of the file; without a validator nobody can go on with it later."""
        self._validator = validator if validator is not None and VALIDATOR.fullmatch(validator) else None
        self._total = total

    def append(self, data: bytes) -> None:
        """Write, and see to it now and then that what was written is on the disk."""
        assert self._fd is not None
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]
        self._count(data)
        now = time.monotonic()
        if self.size - self._synced_bytes >= _SYNC_BYTES or now - self._synced_at >= _SYNC_INTERVAL_S:
            self._sync(now)

    def finish(self) -> Downloaded:
        """Turn the part into the target, which is whole on the disk when this returns."""
        assert self._fd is not None
        os.fsync(self._fd)
        self._close()
        self._part.replace(self._target)
        self._slip.unlink(missing_ok=True)
        self._sync_folder()
        return Downloaded(self._target, self.size, self._md5.hexdigest(), self._sha256.hexdigest())

    def close(self) -> None:
        """Close, and leave what is there for another process to go on with."""
        self._close()

    def discard(self) -> None:
        """Close, and remove what was not finished, as far as the disk allows it."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self._remove()

    def _remove(self) -> None:
        for path in (self._slip, self._new_slip, self._part):
            path.unlink(missing_ok=True)

    def _read_slip(self) -> Slip | None:
        try:
            with self._slip.open("rb") as file:
                slip = _parse_slip(file.read(_SLIP_BYTES))
        except OSError:
            return None
        return slip if slip is not None and slip.url_sha256 == self._url_sha256 else None

    def _take_up(self, slip: Slip) -> bool:
        """Open the part and cut off what is not known to be on the disk; say whether the rest is what the slip says."""
        self._fd = os.open(self._part, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        if os.fstat(self._fd).st_size < slip.size:
            return False
        os.fchmod(self._fd, _MODE)
        os.ftruncate(self._fd, slip.size)
        self._forget_content()
        while data := os.read(self._fd, _READ_BYTES):
            self._count(data)
        self._synced_bytes = self.size
        return self._sha256.hexdigest() == slip.sha256

    def _forget_content(self) -> None:
        self.size = 0
        self._synced_bytes = 0
        self._synced_at = time.monotonic()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def _count(self, data: bytes) -> None:
        self._md5.update(data)
        self._sha256.update(data)
        self.size += len(data)

    def _sync(self, now: float) -> None:
        """Put the content on the disk, and then a slip that says so; in this order, so that a slip never lies."""
        self._synced_bytes, self._synced_at = self.size, now
        if self._validator is None:
            return
        assert self._fd is not None
        os.fsync(self._fd)
        slip = Slip(
            url_sha256=self._url_sha256,
            validator=self._validator,
            total=self._total,
            size=self.size,
            sha256=self._sha256.hexdigest(),
        )
        fd = os.open(self._new_slip, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(asdict(slip)).encode())
            file.flush()
            os.fsync(fd)
        self._new_slip.replace(self._slip)

    def _sync_folder(self) -> None:
        fd = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # some file systems cannot, and keep a new name in their own way
                os.fsync(fd)
        finally:
            os.close(fd)

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _fingerprint(url: str) -> str:
    """Return the SHA-256 of a URL without its user, query and fragment, which may be secret or differ each time."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return hashlib.sha256(re.sub(r"//[^/]*@", "//", bare).encode("utf-8", "surrogatepass")).hexdigest()


def _parse_slip(raw: bytes) -> Slip | None:
    """Return a slip, or None for anything else; never raises."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != {each.name for each in fields(Slip)}:
        return None
    texts, total, size = [found[key] for key in ("url_sha256", "validator", "sha256")], found["total"], found["size"]
    sizes = [size] if total is None else [size, total]
    if not all(isinstance(each, str) for each in texts) or not all(type(each) is int for each in sizes):
        return None
    if not VALIDATOR.fullmatch(found["validator"]) or not 0 < size <= (size if total is None else total):
        return None
    return Slip(**found)
