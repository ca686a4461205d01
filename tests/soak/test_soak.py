"""A short soak of a small farm: that the whole of it works, and that nothing must-not happens even so."""

import pytest

from tests.soak.faults import SOON_EXPLAINED
from tests.soak.oracle import Flaw
from tests.soak.soak import Plan, Soak
from tests.soak.table import rendered

SMOKE = Plan(
    minutes=0.2,
    printers=2,
    seed=11,
    commands_per_s=4.0,
    fault_scale=0.15,  # most kinds happen at least once
    kills=False,
    printer_faults=SOON_EXPLAINED,
    quiet_s=100.0,
    print_seconds=150.0,
)


@pytest.mark.timeout(180)
def test_a_small_farm_under_faults_loses_nothing_and_does_nothing_twice() -> None:
    with Soak(SMOKE, print) as soak:
        result = soak.run()
        evidence = "".join(map(soak.evidence, result.findings))
    soak.discard()
    print(rendered(result))
    assert result.findings == [], evidence
    assert len(result.seen.sent) > 20
    assert result.seen.requests
    assert result.faults
    assert f"| **{Flaw.LOST_ANSWER}**" in rendered(result)
