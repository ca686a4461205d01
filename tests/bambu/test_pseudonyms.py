"""What stands in the place of something that names somebody: in its shape, one for each, and never the thing itself."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.pseudonyms import Pseudonyms
from bambu_connector.bambu.vocabulary import Says


def pseudonyms(*taken: str) -> Pseudonyms:
    return Pseudonyms(lambda text: text in taken)


@pytest.mark.parametrize(
    ("says", "text", "expected"),
    [
        (Says.SERIAL, "01P00A123456789", "01P000000000001"),
        (Says.HARDWARE, "AC:DE:48:00:11:22", "02:00:00:00:00:01"),
        (Says.HARDWARE, "ac-de-48-00-11-2f", "02-00-00-00-00-01"),
        (Says.NETWORK, "Home of Anna", "network-1"),
        (Says.NAME, "bracket", "name-1"),
        (Says.NUMBER, "715417865", "100000001"),
        (Says.NUMBER, "7", "1"),
        (Says.NUMBER, "deadbeef", "00000001"),
        (Says.NUMBER, "US43316b7bee07ba", "U000000000000001"),
        (Says.TAG, "6D0A51F7C2B34E1F", "0000000000000001"),
        (Says.TAG, "6d0a51f7-c2b3-4e1f-9c3a-7788d1e2f301", "00000000-0000-0000-0000-000000000001"),
        (Says.TOKEN, "abcdefghij", "x000000001"),
    ],
)
def test_a_pseudonym_has_the_shape_of_what_it_stands_for(says: Says, text: str, expected: str) -> None:
    assert pseudonyms().of(says, text) == expected


def test_the_same_thing_has_the_same_pseudonym_and_another_thing_another() -> None:
    found = pseudonyms()
    assert found.of(Says.SERIAL, "01P00A123456789") == found.of(Says.SERIAL, "01P00A123456789")
    assert found.of(Says.SERIAL, "01P00A123456788") == "01P000000000002"


def test_a_pseudonym_is_never_what_somebody_has() -> None:
    assert pseudonyms("01P000000000001").of(Says.SERIAL, "01P00A123456789") == "01P000000000002"
    assert pseudonyms().of(Says.NAME, "name-1") == "name-2"


def test_addresses_are_those_of_documentation() -> None:
    found = pseudonyms()
    made = [found.address(f"10.0.{n // 250}.{n % 250 + 1}") for n in range(600)]
    assert made[0] == "192.0.2.1"
    assert len(set(made)) == 600
    assert {each.rpartition(".")[0] for each in made} == {"192.0.2", "198.51.100", "203.0.113"}
    assert pseudonyms().address("fe80::1234") == "2001:db8::1"
    assert found.mail("Anna@home.example") == found.mail("anna@home.example") == "person-1@example.org"


@given(st.lists(st.from_regex(re.compile(r"[0-9]{1,12}", re.ASCII), fullmatch=True), unique=True, max_size=30))
def test_numbers_stay_numbers_and_apart(numbers: list[str]) -> None:
    found = pseudonyms()
    made = [found.of(Says.NUMBER, number) for number in numbers]
    assert len(set(made)) == len(numbers)
    assert all(each.isdecimal() and int(each) for each in made)
