"""The report of a virtual printer: what it would say in full, and what has changed since it last said something."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

Fields = dict[str, Any]
"""The JSON of one `push_status` (or a part of it)."""

_ENVELOPE: Final = ("command", "msg", "sequence_id")
_MISSING: Final = object()


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Fields:
    """Return what to deep-merge into `before` to get `after`; lists are replaced whole."""
    changes: Fields = {}
    for key, value in after.items():
        old = before.get(key, _MISSING)
        if isinstance(old, dict) and isinstance(value, dict):
            inner = difference(old, value)
            if inner:
                changes[key] = inner
        elif old != value or type(old) is not type(value):
            changes[key] = deepcopy(value)
    return changes


class Report:
    """The fields as they are now, and as they were when they were last published."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields: Fields = {key: deepcopy(value) for key, value in fields.items() if key not in _ENVELOPE}
        self._published: Fields = deepcopy(self.fields)
        self._rendered: dict[tuple[str, ...], object] = {}
        self._count = 0

    def put(self, value: object, *path: str) -> None:
        """Set the field at `path`, but only where this model has it: the shape of a report never changes."""
        holder: Any = self.fields
        for key in path[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and path[-1] in holder:
            holder[path[-1]] = value

    def render(self, value: object, *path: str) -> None:
        """Like `put`, but only when `value` is another than at the last call, so that what a test has put stays."""
        if path not in self._rendered or self._rendered[path] != value:
            self._rendered[path] = value
            self.put(value, *path)

    def items(self, *path: str) -> list[Fields]:
        """Return the objects of the list at `path`, to be changed in place; none where this model has no such list."""
        found = self.get(*path)
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def get(self, *path: str) -> Any:
        """Return the field at `path`, None where this model has none."""
        value: Any = self.fields
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def set_bits(self, mask: int, on: bool, *path: str) -> None:
        """Set or clear bits of a flag field: a (signed 32-bit) number or a string of hexadecimal digits."""
        old = self.get(*path)
        if isinstance(old, str):
            number = int(old, 16)
            self.put(f"{number | mask if on else number & ~mask:X}", *path)
        elif isinstance(old, int):
            number = (old | mask if on else old & ~mask) & 0xFFFFFFFF
            # home_flag is signed, and models that use bit 31 say a negative number
            self.put(number - (1 << 32) if number >> 31 else number, *path)

    def full(self, *, with_msg: bool) -> Fields:
        """Return the whole report as one message, and take it as published."""
        self._published = deepcopy(self.fields)
        return self._wrap({**deepcopy(self.fields), **({"msg": 0} if with_msg else {})})

    def changes(self) -> Fields:
        """Return what has changed since it was last published."""
        return difference(self._published, self.fields)

    def delta(self, extra: Mapping[str, Any] | None = None) -> Fields:
        """Return what has changed as one message, and take it as published; `extra` goes along in any case."""
        changes = self.changes()
        self._published = deepcopy(self.fields)
        return self._wrap({**(extra or {}), **changes, "msg": 1})

    def _wrap(self, fields: Fields) -> Fields:
        self._count += 1
        return {"print": {**fields, "command": "push_status", "sequence_id": str(self._count)}}
