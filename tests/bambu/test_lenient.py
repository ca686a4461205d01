"""Reading of single values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu import lenient
from tests.bambu.reports import JSON_VALUES


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (3, 3),
        (2.6, 3),
        ("40", 40),
        ("-1", -1),
        ("2.4", 2),
        (" 7 ", 7),
        (2**53, 2**53),
        (2**53 + 1, None),
        (-(2**63), None),
        ("1e300", None),
        (1e300, None),
        (True, None),
        ("", None),
        ("x", None),
        ("nan", None),
        ("1e999", None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_a_whole_number_comes_in_many_forms(value: object, read: int | None) -> None:
    assert lenient.whole(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (3, 3.0),
        (2.6, 2.6),
        ("22.7", 22.7),
        (False, None),
        ("inf", None),
        (math.nan, None),
        (10**400, None),
        (1e300, None),
        ("-1e17", None),
        ("warm", None),
        (None, None),
    ],
)
def test_a_number_is_finite_or_nothing(value: object, read: float | None) -> None:
    assert lenient.number(value) == read


@pytest.mark.parametrize(("value", "read"), [("a", "a"), ("", None), (1, None), (None, None)])
def test_a_text_is_not_empty(value: object, read: str | None) -> None:
    assert lenient.text(value) == read


@pytest.mark.parametrize(
    ("value", "read"), [("enable", True), ("disable", False), ("maybe", None), (True, None), ([], None)]
)
def test_a_switch_is_one_of_two_words(value: object, read: bool | None) -> None:
    assert lenient.switched(value) is read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("f", 15),
        ("3EC1AFFF9CFF", 0x3EC1AFFF9CFF),
        ("", None),
        ("xyz", None),
        (15, None),
        (None, None),
        ("-1", None),
        ("f" * 65, None),
    ],
)
def test_bits_are_hexadecimal_text(value: object, read: int | None) -> None:
    assert lenient.bits(value) == read


@pytest.mark.parametrize(("value", "read"), [({"a": 1}, {"a": 1}), ([1], {}), (None, {}), ("x", {})])
def test_what_is_no_object_has_no_fields(value: object, read: object) -> None:
    assert lenient.fields(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ([{"id": 0}, 3, {"id": 1}], [{"id": 0}, {"id": 1}]),
        ({"0": {"id": 0}, "x": 1}, [{"id": 0}]),
        ("x", []),
        (None, []),
    ],
)
def test_items_are_the_objects_of_a_list_or_of_a_keyed_one(value: object, read: object) -> None:
    assert lenient.items(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (220 << 16 | 219, (219, 220)),
        (23, (23, 0)),
        (str(60 << 16 | 59), (59, 60)),
        (-1, None),
        (1 << 32, None),
        ("x", None),
        (None, None),
    ],
)
def test_a_packed_temperature_is_current_and_target(value: object, read: tuple[int, int] | None) -> None:
    assert lenient.unpacked(value) == read


@given(JSON_VALUES | st.integers() | st.floats())
def test_any_value_is_read_or_nothing(value: object) -> None:
    assert lenient.whole(value) is None or isinstance(lenient.whole(value), int)
    number = lenient.number(value)
    assert number is None or math.isfinite(number)
    assert lenient.text(value) != ""
    lenient.bits(value), lenient.fields(value), lenient.items(value), lenient.switched(value), lenient.unpacked(value)
