"""Text that must not be seen."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """A string that cannot be printed, joined, or serialised by accident."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the text. Call this only where it leaves for the wire."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)
