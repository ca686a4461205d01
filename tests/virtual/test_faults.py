"""The faults by name."""

import pytest

from bambu_connector.errors import UsageError
from bambu_connector.virtual.faults import FAULTS, Faults, parse_fault


def test_a_fault_without_a_value_takes_its_default() -> None:
    assert parse_fault("slow-start") == ("slow-start", FAULTS["slow-start"].default)
    assert parse_fault("silent") == ("silent", None)


@pytest.mark.parametrize(("text", "value"), [("slow-start=2.5", 2.5), ("refuse-start=0x05004003", 0x05004003)])
def test_a_fault_with_a_value(text: str, value: float) -> None:
    assert parse_fault(text)[1] == value


@pytest.mark.parametrize("text", ["nope", "silent=1", "slow-start=soon", "slow-start=", ""])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_fault(text)


def test_faults_are_switched_on_and_off() -> None:
    faults = Faults(["silent"])
    faults.add("slow-start=3")
    assert (len(faults), "silent" in faults, faults.value("slow-start")) == (2, True, 3.0)
    faults.discard("silent")
    faults.discard("silent")
    assert list(faults) == ["slow-start"]
    faults.clear()
    assert not faults


def test_every_fault_is_explained() -> None:
    assert all(fault.what for fault in FAULTS.values())
    assert FAULTS["refuse-start"].shown_default == "0x05004004"
    assert (FAULTS["slow-start"].shown_default, FAULTS["silent"].shown_default) == ("20", "")
