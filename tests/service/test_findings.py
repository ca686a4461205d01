"""What a step found, as the socket and `--json` carry it."""

import json

import pytest

from bambu_connector.errors import AccessDenied
from bambu_connector.service.findings import Finding


def test_a_finding_survives_json() -> None:
    found = Finding(step="tcp", outcome="warning", seconds=0.25, told="It is slow.", advice="Move it nearer.")
    assert Finding.of(json.loads(json.dumps(found.body()))) == found


def test_a_failure_carries_what_its_error_means_to_printago_and_to_a_shell() -> None:
    found = Finding.failure("login", AccessDenied("The code is refused."), 1.5, "Read it again.")
    assert (found.outcome, found.code, found.exit_code) == ("failed", "access_denied", 5)
    assert (found.told, found.advice) == ("The code is refused.", "Read it again.")


@pytest.mark.parametrize(
    "body", [{}, {"step": "tcp", "outcome": "good"}, {"step": "tcp", "outcome": "ok"}, {"step": 7, "outcome": "ok"}]
)
def test_what_is_no_finding_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no finding"):
        Finding.of(body)
