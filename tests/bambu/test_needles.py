"""What must not be found: in any spelling, and nothing by mere chance."""

import json

import pytest

from bambu_connector.bambu.needles import Known, Needles, is_address
from bambu_connector.bambu.vocabulary import Says
from bambu_connector.secret import Secret

KNOWN = Known(
    serials=("01P00A123456789",),
    hosts=("192.168.1.50", "left.home"),
    names=('Anna "the" one', "Otto", "P1S", "abc"),
    secrets=(Secret("2468135A"), Secret("k3yz")),
)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("x01p00a123456789y", {Says.SERIAL}),
        ("at 192.168.1.50:8883", {Says.ADDRESS}),
        ("http://LEFT.HOME/", {Says.ADDRESS}),
        ('anna "the" ONE', {Says.NAME}),
        (json.dumps('Anna "the" one'), {Says.NAME}),
        ("for otto.", {Says.NAME}),
        ("password:2468135a1", {Says.TOKEN}),
        ("the_k3yz_is", {Says.TOKEN}),
        ("otto: k3yz", {Says.NAME, Says.TOKEN}),
    ],
)
def test_what_somebody_has_is_found_in_any_spelling(text: str, kinds: set[Says]) -> None:
    needles = Needles(KNOWN)
    assert needles.are_in(text)
    assert set(needles.kinds_in(text)) == kinds


@pytest.mark.parametrize(
    "text", ["ottoman", "192.168.1.5", "192.168.1.501", "1192.168.1.50", "192.168.1.50.1", "P1S", "abc", "ak3yz", ""]
)
def test_what_only_looks_alike_is_not_found(text: str) -> None:
    needles = Needles(KNOWN)
    assert not needles.are_in(text)
    assert not needles.kinds_in(text)


def test_an_address_is_known_as_a_number_in_either_order() -> None:
    assert Needles(KNOWN).addresses == {0x3201A8C0: "192.168.1.50", 0xC0A80132: "192.168.1.50"}
    assert Needles(Known(hosts=("0.0.0.7",))).addresses == {7 << 24: "0.0.0.7"}


def test_what_is_added_is_looked_for_once_it_is_prepared() -> None:
    needles = Needles()
    needles.add("00600A000000013", Says.SERIAL)
    assert not needles.are_in("00600A000000013")
    needles.prepare()
    assert needles.are_in("00600A000000013")
    assert needles.whose("00600a000000013") == (Says.SERIAL, "00600A000000013")
    assert needles.whose("something") is None


def test_an_address_is_nothing_else() -> None:
    assert is_address("10.0.0.1")
    assert is_address("fe80::1")
    assert not is_address("01.08.02.00")
    assert not is_address("printer.home")
