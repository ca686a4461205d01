"""Secrets at rest: encrypted with a key that lies beside them; a copy of the one says nothing without the other.

Against somebody who has both, the machine's owner or whoever takes its card, it does not help.
"""

import base64
import binascii
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bambu_connector import state_file
from bambu_connector.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MAX_FILE_BYTES: Final = 1024


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

    def _ready(self, *, make: bool = True) -> "AESGCM":
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            key = self._read()
            if key is None and not make:
                raise Unsealable(f"{self._path} is gone, and what was sealed with it")
            self._cipher = AESGCM(key or self._make())
        return self._cipher

    def _read(self) -> bytes | None:
        found = state_file.read(self._path, _MAX_FILE_BYTES)
        if found is None:
            return None
        try:
            key = base64.b64decode(found[0].strip(), validate=True)
        except ValueError as error:
            raise ConfigError(f"{self._path} cannot be read: {error}") from error
        if len(key) != _KEY_BYTES:
            raise ConfigError(f"{self._path} is damaged: it does not hold a key. Remove it to begin with a new one.")
        return key

    def _make(self) -> bytes:
        key = secrets.token_bytes(_KEY_BYTES)
        # Its name must survive a power cut, too: what is sealed with a key that is gone is lost.
        _ = state_file.put(self._path, base64.b64encode(key).decode("ascii") + "\n")
        return key
