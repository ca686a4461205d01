"""Pseudonyms: the same for the same, everywhere, and nothing left that says who or where."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bambu_connector.cli.masking import MIN_CHARACTERS, Masker
from bambu_connector.logs import Redactor
from bambu_connector.secret import Secret

SERIAL = "01P00A000000001"


def masker(*secrets: str) -> Masker:
    return Masker(Redactor(map(Secret, secrets)))


def test_the_same_serial_is_the_same_pseudonym_in_every_spelling() -> None:
    m = masker()
    assert m.alias("serial", SERIAL) == m.text(SERIAL) == m.text("01P…0001") == m.text(SERIAL.lower()) == "01P-…-A1"
    assert m.text("device/01P00A000000001/report") == "device/01P-…-A1/report"
    assert m.text("00M00A000000009") == "00M-…-A2"  # nobody has told of it


def test_addresses_of_one_network_share_its_letter() -> None:
    shown = masker().text("192.168.1.50:8883 192.168.1.51 10.0.0.7 192.168.1.50 fe80::1:2")
    assert shown == "‹address-A1›:8883 ‹address-A2› ‹address-B1› ‹address-A1› ‹address-C1›"


@pytest.mark.parametrize(
    "harmless",
    [
        "127.0.0.1", "0.0.0.0", "::1", "239.255.255.250", "01.08.02.00", "10:30:45", "5.2.0",
        "/usr/lib/python3.11/ssl.py", "bambu/commands",
        "0500-4003", "0300_0100_0001_0001", "3EC18FFF9CFF", "plate_1", "2026-11-22T18:20:00.123Z",
    ],
)  # fmt: skip
def test_what_says_nothing_stays(harmless: str) -> None:
    assert masker().text(f"a {harmless} b") == f"a {harmless} b"


@pytest.mark.parametrize(
    ("text", "personal"),
    [
        ("uploading Annas_Vase.gcode.3mf now", "Vase"),
        ("https://files.example/annas/part.3mf?signature=abc", "annas"),
        ("https://anna:pw@files.example/x", "files.example"),
        ("mail anna@example.org", "anna"),
        ("at 3c:71:bf:01:02:03", "71:bf"),
        (f"sha256:{'ab' * 32}", "abab"),
        ("/home/anna/connector.yaml", "anna"),
        ("File /srv/annas/venv/bambu_connector/cli/main.py", "annas"),
        ("2001:db8::17 port 990", "db8"),
    ],
)
def test_what_gives_itself_away_is_masked(text: str, personal: str) -> None:
    m = masker()
    shown = m.text(text)
    assert personal not in shown
    assert "‹" in shown
    assert m.text(text) == shown == m.text(shown)


def test_a_common_word_as_a_name_does_not_blot_out_the_text() -> None:
    m = masker()
    assert m.alias("id", "left") == "‹id-1›"
    assert m.text("left it to the printer") == "left it to the printer"


def test_a_name_that_is_no_word_of_ours_is_masked_wherever_it_stands() -> None:
    m = masker()
    m.alias("printer", "Anna's P1S")
    m.alias("printer", "Jörg")
    m.alias("id", "xkq")
    assert m.text("Anna's P1S and JÖRG and bambu/xkq/status") == "‹printer-1› and ‹printer-2› and bambu/‹id-1›/status"
    assert m.text(json.dumps({"name": "Jörg"})) == '{"name": "‹printer-2›"}'
    assert m.text(quote("Anna's P1S", safe="")) == "‹printer-1›"
    assert m.text("xkqs are no xkq") == "xkqs are no ‹id-1›"


def test_the_longest_name_wins() -> None:
    m = masker()
    m.alias("printer", "Annika")
    m.alias("printer", "Annika Zwei")
    assert m.text("Annika Zwei, Annika") == "‹printer-2›, ‹printer-1›"


def test_numbers_and_keys_are_masked_like_text() -> None:
    m = masker("24681357")
    m.alias("id", "clx0000001")
    assert m.tree({"clx0000001": [24681357, 1.5, True, None, "24681357"]}) == {
        "‹id-1›": ["[secret]", 1.5, True, None, "[secret]"]
    }


def test_a_leak_is_found() -> None:
    m = masker("24681357")
    m.alias("printer", "Anna's P1S")
    assert m.leak("all is well") is None
    assert m.leak("the code is 24681357") == "a secret"
    assert m.leak("it is anna's p1s") == "what should read ‹printer-1›"


def test_many_names_cost_little() -> None:
    m = masker()
    for number in range(3000):
        m.alias("printer", f"Zebra {number:04d} of Anna")
    text = "nothing here " * 5000 + "Zebra 1234 of Anna"
    assert m.text(text).endswith("‹printer-1235›")


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="‹›…"), min_size=MIN_CHARACTERS)


@given(st.lists(NAMES, min_size=1, max_size=5), st.text(max_size=20), st.text(max_size=20))
def test_no_name_is_left_and_masking_twice_changes_nothing(names: list[str], before: str, after: str) -> None:
    m = masker()
    for name in names:
        m.alias("printer", name)
    shown = m.text(f"{before} {' '.join(names)} {after}")
    assert m.leak(shown) is None
    assert m.text(shown) == shown


SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="‹›…"), min_size=8)


@given(SECRETS, st.integers(0, 2))
def test_no_spelling_of_a_secret_is_left(secret: str, offset: int) -> None:
    assume(secret.strip() == secret)
    raw = secret.encode()
    spellings = [
        secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""), quote_plus(secret), raw.hex(),
        base64.b64encode(raw).decode().rstrip("="), base64.b64encode(b"x" * offset + raw + b"yz").decode(),
    ]  # fmt: skip
    m = masker(secret)
    for spelling in spellings:
        shown = m.text(f"before {spelling} after")
        assert secret not in shown
        assert "[secret]" in shown
        assert m.leak(shown) is None
