"""The configuration while the service runs: read again when one of its files was changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bambu_connector.config import Config
from bambu_connector.errors import ConfigError
from bambu_connector.registry import Registry
from bambu_connector.secret import Secret

_AGAIN: Final = 15  # looks until what could not be read is read again: what was wrong may be none of these files
_Stamp = tuple[int, int, int, int] | None


class Reloader:
    """Says what the configuration is now, when it is another one than before.

    `load` reads all of it, `registry` is the one that the service itself writes, `blot_out` keeps a secret out of logs.
    """

    def __init__(
        self, config: Config, load: Callable[[], Config], registry: Registry, blot_out: Callable[[Secret], None]
    ) -> None:
        self._load = load
        self._registry = registry
        self._blot_out = blot_out
        self._sources = config.sources
        self._held = self._seen = self._look()
        self._problems: tuple[str, ...] = ()
        """Why it could not be read when that was tried last."""
        self._looks = 0
        _ = registry.entries()  # what is in it is known

    def __call__(self, anew: bool = False) -> Config | None:
        """Return the configuration if it was changed (with `anew` in any case), None if not.

        A file is read when two looks in a row have found it the same: an editor may still be writing. Raises
        ConfigError, once for each change; what could not be read is tried again now and then, in silence.
        """
        now = self._look()
        settled, self._seen = now == self._seen, now
        is_news = now != self._held or self._registry.changed_outside()
        self._looks = self._looks + 1 if self._problems else 0
        if not settled or not (is_news or (anew and not self._problems) or self._looks >= _AGAIN):
            return None
        self._held, self._looks = now, 0
        try:
            config = self._read()
        except ConfigError as error:
            told, self._problems = self._problems, error.problems
            if told == error.problems and not is_news:
                return None
            raise
        self._problems = ()
        for secret in config.secrets():
            self._blot_out(secret)
        return config

    def _read(self) -> Config:
        before = dict(zip(self._sources, self._held, strict=True))
        _ = self._registry.entries()
        config = self._load()
        self._sources = config.sources
        # What changes while it is read is found by the next look.
        self._held = self._seen = tuple(before.get(path, _stamp(path)) for path in self._sources)
        return config

    def _look(self) -> tuple[_Stamp, ...]:
        return tuple(map(_stamp, self._sources))


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:  # it is gone for a moment, where an editor puts a new file in its place
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
