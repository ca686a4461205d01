"""Text that must not be seen."""

from typing import Any, NoReturn, Self

_SHOWN = "Secret()"


class Secret:
    """A string that cannot be printed, joined, or serialised by accident.

    Not a dataclass: `dataclasses.asdict`, `match` and what encodes dataclasses would take the text out of one.
    """

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text. Call this only where it leaves for the wire."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return _SHOWN

    def __format__(self, how: str) -> str:
        return format(_SHOWN, how)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("A secret does not change.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("A secret does not change.")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("A secret cannot be serialised.")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__getstate__()
