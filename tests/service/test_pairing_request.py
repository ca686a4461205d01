"""What comes through the socket is checked, and no sentence quotes the access code."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.config import Ports, PrinterConfig, PrinterTls
from bambu_connector.errors import IdentityMismatch, UsageError
from bambu_connector.secret import Secret
from bambu_connector.service.pairing_request import PairRequest

Tree = dict[str, Any]
SERIAL = "01P00A000000042"
PIN = f"sha256:{'ab' * 32}"
OTHER_PIN = f"sha256:{'cd' * 32}"


def request(**more: Any) -> Tree:
    usual = {"serial": SERIAL, "host": "192.0.2.9", "access_code": "s3cr3tCd", "fingerprint": PIN}
    return usual | more


def test_the_access_code_is_taken_out_of_the_request_at_once() -> None:
    asked = request()
    wish = PairRequest.of(asked)
    assert "access_code" not in asked
    assert wish.access_code == Secret("s3cr3tCd")
    assert "s3cr3tCd" not in repr(wish)


@pytest.mark.parametrize(
    "wrong",
    [
        {"serial": "lower"}, {"serial": None}, {"serial": 7}, {"host": None}, {"host": "a b"}, {"host": "u@h"},
        {"access_code": None}, {"access_code": ""}, {"access_code": "s3cr3t d"}, {"access_code": "s3cr3t" * 20},
        {"fingerprint": "sha256:x"}, {"id": "a/b"}, {"id": "a\nb"}, {"name": "a\x00b"}, {"model": "Anycubic"},
        {"ports": {"http": 80}}, {"ports": {"mqtt": "8883"}}, {"ports": {"mqtt": 0}}, {"ports": [1]},
        {"ports": {"mqtt": True}},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused(wrong: Tree) -> None:
    with pytest.raises(UsageError) as error:
        PairRequest.of(request(**wrong))
    assert "s3cr3t" not in str(error.value)


@given(st.dictionaries(st.sampled_from([*request(), "id", "ports", "model"]), st.text() | st.integers() | st.none()))
def test_anything_is_read_or_refused(more: Tree) -> None:
    try:
        wish = PairRequest.of(request(**more))
    except UsageError:
        return
    assert wish.serial
    assert wish.access_code


def test_what_is_tried_is_what_was_asked_for_over_what_is_known() -> None:
    base = PrinterConfig(serial=SERIAL, id="left", name="Left", host="192.0.2.1", ports=Ports(ftps=1990))
    tried = PairRequest.of(request(id="other", model="P1S", ports={"mqtt": 18883})).tried(base, None)
    assert (tried.id, tried.name, tried.host, tried.model) == ("left", "Left", "192.0.2.9", "P1S")
    assert tried.ports == Ports(mqtt=18883, ftps=1990)
    assert tried.tls == PrinterTls(fingerprint=PIN)


@pytest.mark.parametrize("shown", [PIN, None])
def test_a_pin_that_holds_already_changes_nothing(shown: str | None) -> None:
    base = PrinterConfig(serial=SERIAL, id=SERIAL)
    assert PairRequest.of(request(fingerprint=shown)).tried(base, PIN).tls == PrinterTls()


def test_another_certificate_that_was_accepted_goes_before_the_pin() -> None:
    base = PrinterConfig(serial=SERIAL, id=SERIAL)
    wish = PairRequest.of(request(fingerprint=OTHER_PIN, replaces=PIN))
    assert wish.tried(base, PIN).tls == PrinterTls(fingerprint=OTHER_PIN)


@pytest.mark.parametrize("replaces", [None, OTHER_PIN])
def test_another_certificate_that_nobody_was_asked_about_is_not_told_the_code(replaces: str | None) -> None:
    """Who asks may not be able to read which one is trusted, and would take this for the first contact."""
    wish = PairRequest.of(request(fingerprint=OTHER_PIN, replaces=replaces))
    for base in (PrinterTls(), PrinterTls(fingerprint=PIN)):
        with pytest.raises(IdentityMismatch, match=f"it was {PIN}, and now it is {OTHER_PIN}"):
            wish.tried(PrinterConfig(serial=SERIAL, id=SERIAL, tls=base), PIN)


def test_a_host_may_have_letters_of_every_alphabet() -> None:
    assert PairRequest.of(request(host="drucker-küche.local", name="Küche 🖨", id="küche")).host == "drucker-küche.local"


@pytest.mark.parametrize("key", ["name", "host", "id"])
@pytest.mark.parametrize("mark", ["\x9b31m", "\u2028"])
def test_what_would_move_a_cursor_is_refused(key: str, mark: str) -> None:
    with pytest.raises(UsageError, match=f"`{key}`"):
        PairRequest.of(request(**{key: f"a{mark}b"}))


def test_who_says_nothing_of_the_certificate_is_told_no_code() -> None:
    with pytest.raises(UsageError, match="fingerprint is missing"):
        PairRequest.of(request(fingerprint=None)).tried(PrinterConfig(serial=SERIAL, id=SERIAL), None)


def test_an_unchecked_printer_stays_one() -> None:
    base = PrinterConfig(serial=SERIAL, id=SERIAL, tls=PrinterTls(verify=False))
    assert PairRequest.of(request(fingerprint=None)).tried(base, None).tls == base.tls
