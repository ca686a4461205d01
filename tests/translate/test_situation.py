"""A situation is a value: what the guards saw cannot change under them."""

from dataclasses import FrozenInstanceError

import pytest

from bambu_connector.translate.situation import Situation
from tests.translate.situations import P1S, situation


def test_a_situation_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        situation().start_out = True  # type: ignore[misc]


def test_what_is_not_known_allows_nothing_by_itself() -> None:
    now = Situation(traits=P1S, connected=False, view=None)
    assert (now.report_age, now.link_error, now.developer_mode) == (None, None, None)
    assert not any((now.saw_home, now.job_under_way, now.start_out, now.start_unexplained))
