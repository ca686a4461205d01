import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.bambu.identity import (
    bound_in,
    connection_in,
    firmware_in,
    model_code_in,
    name_in,
    serial_in,
)


@pytest.mark.parametrize("text", ["01P00A000000001", " 01p00a000000001 ", "0123456789", "A" * 20])
def test_a_serial_is_taken_in_upper_case(text: str) -> None:
    assert serial_in(text) == text.strip().upper()


@pytest.mark.parametrize(
    "text", [None, "", "012345678", "A" * 21, "01P00A0000/0001", "01P00A000000001+", "uuid:01P00A0000001", "ıııııııııı"]
)
def test_what_is_no_serial_is_none(text: str | None) -> None:
    assert serial_in(text) is None


@pytest.mark.parametrize("text", ["C12", "BL-P001", "3DPrinter-X1-Carbon", "N1-V2", "O1S_V2"])
def test_a_model_code_is_left_as_it_stands(text: str) -> None:
    assert model_code_in(text) == text


@pytest.mark.parametrize("text", [None, "", " ", "x" * 41, "C12\x1b[2J", "-C12", "C12/+"])
def test_what_is_no_model_code_is_none(text: str | None) -> None:
    assert model_code_in(text) is None


def test_a_firmware_is_a_short_version() -> None:
    assert firmware_in(" 01.08.02.00 ") == "01.08.02.00"
    assert firmware_in("1" * 33) is None
    assert firmware_in("1.2\n3") is None
    assert firmware_in(None) is None


def test_a_name_keeps_what_can_be_printed_and_not_more_than_64_characters() -> None:
    assert name_in("Wörk\r\nshop \x1b[31m🖨") == "Wörkshop [31m🖨"
    assert name_in("x" * 100) == "x" * 64
    assert name_in("\n\u202e\ud800") is None
    assert name_in(None) is None


@pytest.mark.parametrize(
    ("word", "meant"),
    [("lan", "lan"), ("Farm", "lan"), ("CLOUD", "cloud"), ("", None), (None, None), ("occupied", None)],
)
def test_a_farm_is_a_lan(word: str | None, meant: str | None) -> None:
    assert connection_in(word) == meant


def test_a_printer_of_a_farm_is_free_whatever_it_says() -> None:
    assert bound_in("occupied", "farm") is False
    assert bound_in("occupied", "cloud") is True
    assert bound_in("free", None) is False
    assert bound_in("perhaps", "lan") is None
    assert bound_in(None, None) is None


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    for read in (serial_in, model_code_in, firmware_in, name_in):
        found = read(text)
        assert found is None or found.isprintable()
    connection_in(text)
    bound_in(text, text)
