"""The values that cross the wires cannot be changed by whoever gets them."""

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bambu_connector.links.wire import Delivery, Downloaded, StoredFile

Value = StoredFile | Downloaded | Delivery
VALUES: list[Value] = [
    StoredFile("a.gcode.3mf", 5, datetime(2026, 11, 22, tzinfo=UTC)),
    Downloaded(Path("job-1"), 5, "md5", "sha256"),
    Delivery("bambu/commands", b"{}", 1, False, True, 7),
]


def kind(value: Value) -> str:
    return type(value).__name__


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_a_value_cannot_be_changed(value: Value) -> None:
    for each in fields(value):
        with pytest.raises(FrozenInstanceError):
            setattr(value, each.name, None)


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_a_value_has_room_for_nothing_but_its_fields(value: Value) -> None:
    assert not hasattr(value, "__dict__")


def test_values_are_told_apart_by_what_they_say() -> None:
    assert StoredFile("a", 1, None) == StoredFile("a", 1, None)
    assert StoredFile("a", 1, None) != StoredFile("a", 1, datetime(2026, 11, 22, tzinfo=UTC))
    once, again = (Delivery("t", b"{}", 1, False, dup, 7) for dup in (False, True))
    assert once != again
