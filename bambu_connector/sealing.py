"""Secrets at rest: encrypted with a key that lies beside them; a copy of the one says nothing without the other.

Against somebody who has both, the machine's owner or whoever takes its card, it does not help.
"""

import base64
import binascii
import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bambu_connector.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ROOT: Final = 0


class Unsealable(Exception):
    """What was sealed cannot be read: the key is another one, or the text was changed."""


class Sealer:
    """Seals with the key in `path`, which is made when the first secret is sealed. Both methods may touch the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cipher: AESGCM | None = None

    def seal(self, secret: bytes, about: str) -> str:
        """Return `secret` encrypted, as ASCII text; `about` must be the same when it is opened.

        Raises ConfigError when the key cannot be read, or made.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ready().encrypt(nonce, secret, about.encode())
        return base64.b64encode(nonce + sealed).decode("ascii")

    def open(self, sealed: str, about: str) -> bytes:
        """Return what was sealed. Raises Unsealable; ConfigError when there is a key that cannot be read."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._ready(make=False).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode())
        except (InvalidTag, binascii.Error, ValueError):
            raise Unsealable(f"{self._path.name} is not the key with which this was sealed") from None
        except FileNotFoundError:
            raise Unsealable(f"{self._path} is gone, and what was sealed with it") from None

    def _ready(self, *, make: bool = True) -> "AESGCM":
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            try:
                key = self._read()
            except FileNotFoundError:
                if not make:
                    raise
                key = self._make()
            self._cipher = AESGCM(key)
        return self._cipher

    def _read(self) -> bytes:
        try:
            # A pipe would be waited for, perhaps for ever; a link may lead anywhere.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(self._path, flags), "rb") as file:  # noqa: PTH123 - from a descriptor
                self._check(os.fstat(file.fileno()))
                key = base64.b64decode(file.read(1024).strip(), validate=True)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}") from error
        if len(key) != _KEY_BYTES:
            raise ConfigError(f"{self._path} is damaged: it does not hold a key. Remove it to begin with a new one.")
        return key

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{self._path} cannot be read: it is a directory, pipe or device")
        if found.st_mode & _OTHERS:
            raise ConfigError(f"{self._path} can be read by others: run  chmod 600 {self._path}")
        folder = self._path.parent.stat()
        if folder.st_mode & stat.S_IWOTH and found.st_uid not in {os.geteuid(), _ROOT, folder.st_uid}:
            raise ConfigError(f"{self._path} belongs to another user of this machine, who may have put it there")

    def _make(self) -> bytes:
        key = secrets.token_bytes(_KEY_BYTES)
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.unlink(missing_ok=True)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123 - from a descriptor
                file.write(base64.b64encode(key) + b"\n")
                file.flush()
                if os.geteuid() == _ROOT:  # the service need not run as root, and must be able to read it
                    owner = self._path.parent.stat()
                    with contextlib.suppress(OSError):
                        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                os.fsync(file.fileno())
            new.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from error
        return key


def _sync_folder(folder: Path) -> None:
    """Have the file's name survive a power cut: what is sealed with a key that is gone is lost."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
