"""Who is let in, and what is counted."""

import pytest

from bambu_connector.secret import Secret
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.logins import USER, WIRES, Logins, Tries


@pytest.mark.parametrize("wire", WIRES)
def test_every_try_is_counted_on_its_wire(wire: str) -> None:
    logins = Logins(Secret("12345678"), Faults())
    assert logins.admits(wire, USER, "12345678")
    assert not logins.admits(wire, USER, "00000000")
    assert not logins.admits(wire, "root", "12345678")
    assert not logins.admits(wire, None, None)
    assert logins.seen == {each: Tries(1, 3) if each == wire else Tries() for each in WIRES}


def test_a_changed_code_counts_at_once() -> None:
    logins = Logins(Secret("12345678"), Faults())
    logins.code = Secret("87654321")
    assert not logins.admits("mqtt", USER, "12345678")
    assert logins.admits("mqtt", USER, "87654321")


def test_the_fault_refuses_the_right_code() -> None:
    faults = Faults(["wrong-code"])
    logins = Logins(Secret("12345678"), faults)
    assert not logins.admits("ftps", USER, "12345678")
    assert logins.seen["ftps"] == Tries(0, 1)


def test_what_was_seen_is_what_it_was_then() -> None:
    logins = Logins(Secret("12345678"), Faults())
    before = logins.seen
    logins.admits("mqtt", USER, "12345678")
    assert before["mqtt"] == Tries()
