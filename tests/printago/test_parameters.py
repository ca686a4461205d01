"""Reading parameters: forgiving about form, strict about meaning, and every refusal names its key."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.errors import InvalidParameters
from bambu_connector.printago.orders import Checksum
from bambu_connector.printago.parameters import Parameters, number, whole
from tests.bambu.reports import JSON_VALUES
from tests.printago.examples import MD5, SHA256, URL

COLORS: Final = {"red": 1, "green": 2}
Reader = Callable[[Parameters, str], object]
OPTIONAL: Final[dict[str, Reader]] = {
    "number": Parameters.number,
    "whole": Parameters.whole,
    "flag": Parameters.flag,
    "text": Parameters.text,
    "choice": lambda given, key: given.choice(key, COLORS),
    "wholes": Parameters.wholes,
    "positive": Parameters.positive,
}
REQUIRED: Final[dict[str, Reader]] = {
    "required_number": Parameters.required_number,
    "required_whole": Parameters.required_whole,
    "required_text": Parameters.required_text,
    "required_choice": lambda given, key: given.required_choice(key, COLORS),
    "mapping": Parameters.mapping,
    "url": Parameters.url,
}
NUMBERS: Final[list[tuple[Any, float]]] = [(0, 0), (1.5, 1.5), ("-2", -2), (" 7.25 ", 7.25), ("1e3", 1000)]
FLAGS: Final[list[tuple[Any, bool]]] = [
    (True, True), (False, False), (1, True), (0, False), ("true", True), ("False", False), ("1", True), ("0", False),
    ("yes", True), ("NO", False), (" on ", True), ("off", False),
]  # fmt: skip


def given_one(value: Any) -> Parameters:
    return Parameters({"key": value})


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("given_", [{}, {"key": None}], ids=["absent", "null"])
def test_what_is_not_given_is_none(name: str, given_: dict[str, Any]) -> None:
    assert OPTIONAL[name](Parameters(given_), "key") is None


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("given_", [{}, {"key": None}], ids=["absent", "null"])
def test_what_must_be_given_is_named_when_it_is_not(name: str, given_: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameters, match=r"\bkey\b"):
        REQUIRED[name](Parameters(given_), "key")


@pytest.mark.parametrize(("value", "read"), NUMBERS)
def test_a_number_may_be_text(value: Any, read: float) -> None:
    assert given_one(value).number("key") == read


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "-Infinity", 10**400, "nan"])
def test_a_number_is_finite(value: Any) -> None:
    with pytest.raises(InvalidParameters, match="key"):
        number("key", value)


@pytest.mark.parametrize(("value", "read"), [(3, 3), (3.0, 3), ("3", 3), ("3.0", 3), (-1, -1)])
def test_a_whole_number_may_be_written_with_a_point(value: Any, read: int) -> None:
    found = given_one(value).whole("key")
    assert (found, type(found)) == (read, int)


@pytest.mark.parametrize("value", [0.5, "1.01", 2.999])
def test_a_fraction_is_not_a_whole_number(value: Any) -> None:
    with pytest.raises(InvalidParameters, match="key must be a whole number"):
        whole("key", value)


@pytest.mark.parametrize(("value", "read"), FLAGS)
def test_a_flag_may_be_a_word_or_a_digit(value: Any, read: bool) -> None:
    assert given_one(value).flag("key") is read


@pytest.mark.parametrize(("value", "read"), [("a b", "a b"), (" a ", "a"), (7, "7"), ("", None), ("  ", None)])
def test_a_text_that_is_empty_counts_as_absent(value: Any, read: str | None) -> None:
    assert given_one(value).text("key") == read


def test_a_text_has_at_most_255_characters() -> None:
    assert given_one("ä" * 255).text("key") == "ä" * 255
    with pytest.raises(InvalidParameters, match="key"):
        given_one("ä" * 256).text("key")


@pytest.mark.parametrize("value", ["red", "RED", " Red "])
def test_a_choice_is_made_in_any_case(value: str) -> None:
    assert given_one(value).choice("key", COLORS) == 1


def test_a_wrong_choice_is_told_the_right_ones() -> None:
    with pytest.raises(InvalidParameters, match="key must be one of red, green"):
        given_one("blue").choice("key", COLORS)


def test_a_list_of_whole_numbers_may_hold_texts() -> None:
    assert given_one([0, "1", 2.0]).wholes("key") == (0, 1, 2)
    assert given_one([]).wholes("key") == ()


def test_a_positive_number_is_at_least_one() -> None:
    assert given_one("1").positive("key") == 1
    with pytest.raises(InvalidParameters, match="key must be at least 1"):
        given_one(0).positive("key")


def test_a_checksum_is_the_stronger_of_those_given() -> None:
    assert Parameters({}).checksum() is None
    assert Parameters({"md5": MD5}).checksum() == Checksum("md5", MD5)
    assert Parameters({"md5": MD5, "sha256": SHA256.upper()}).checksum() == Checksum("sha256", SHA256)


def test_a_checksum_that_is_none_is_refused_beside_a_good_one() -> None:
    with pytest.raises(InvalidParameters, match="md5"):
        Parameters({"md5": "short", "sha256": SHA256}).checksum()


@pytest.mark.parametrize("address", [URL, "http://10.0.0.1:8080/a", "https://[::1]/a", "HTTPS://EXAMPLE.ORG/"])
def test_an_address_is_kept_as_a_secret(address: str) -> None:
    found = given_one(address).url("key")
    assert found.reveal() == address
    assert address not in repr(found)


@given(st.sampled_from(sorted(OPTIONAL.keys() | REQUIRED.keys())), JSON_VALUES)
def test_any_value_is_read_or_refused_by_name(name: str, value: Any) -> None:
    reader = OPTIONAL.get(name) or REQUIRED[name]
    refusals: list[str] = []
    try:
        reader(given_one(value), "key")
    except InvalidParameters as error:
        refusals.append(str(error))
    assert all("key" in sentence for sentence in refusals)


@pytest.mark.parametrize("value", [2**31, -(2**31), 1e300, "1e300"])
def test_a_whole_number_is_one_that_a_printer_can_take(value: Any) -> None:
    with pytest.raises(InvalidParameters, match="key must be a whole number of at most"):
        given_one(value).whole("key")


def test_a_number_is_not_written_as_in_a_program() -> None:
    with pytest.raises(InvalidParameters, match="key must be a number"):
        given_one("1_0").number("key")


@pytest.mark.parametrize("end", ["\r", "\n", "\0", "\x85", "\u2028", "\u2029", "\x1b"])
def test_a_text_has_nothing_that_anybody_takes_for_the_end_of_a_line(end: str) -> None:
    with pytest.raises(InvalidParameters, match="key must be a text"):
        given_one(f"a{end}b").text("key")


def test_of_many_choices_one_name_for_each_is_told() -> None:
    choices = {"auto": 0, "": 0, **{f"hot {number}": 1 for number in range(20)}}
    with pytest.raises(InvalidParameters, match=r"key must be one of auto, hot 0\."):
        given_one("blue").choice("key", choices)
