"""When statuses are told; what they say is shown elsewhere."""

import asyncio
from typing import Any

from bambu_connector.service.statuses import Statuses
from bambu_connector.translate.coalesce import Pacer
from tests.service.fakes import FakeClock
from tests.simulated import simulated
from tests.translate.trees import status


class Told:
    """A printer's statuses, and what was told of them."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = status({})
        self.said: list[dict[str, Any]] = []
        self.statuses = Statuses(
            Pacer(min_interval=1.0, heartbeat=60.0), FakeClock(), lambda: self.tree, self.said.append
        )


@simulated
async def test_nothing_is_told_before_the_beginning_nor_after_the_end() -> None:
    told = Told()
    told.statuses.changed(pressing=True)
    assert told.said == []
    told.statuses.begin()
    assert len(told.said) == 1
    told.statuses.end()
    told.statuses.changed(pressing=True)
    await asyncio.sleep(200)
    assert len(told.said) == 1


@simulated
async def test_a_change_that_does_not_press_waits_for_the_interval_and_one_that_presses_does_not() -> None:
    told = Told()
    told.statuses.begin()
    told.tree = status({"gcode_state": "IDLE", "mc_percent": 7})
    told.statuses.changed(pressing=False)
    assert len(told.said) == 1
    await asyncio.sleep(1.5)
    assert len(told.said) == 2
    told.tree = status({"gcode_state": "RUNNING"})
    told.statuses.changed(pressing=True)
    assert told.said[-1] is told.tree


@simulated
async def test_where_nothing_changes_there_is_a_heartbeat_alone() -> None:
    told = Told()
    told.statuses.begin()
    for _ in range(600):
        await asyncio.sleep(1)
        told.statuses.changed(pressing=False)
    assert 10 <= len(told.said) <= 12


@simulated
async def test_saying_it_again_says_it_although_nothing_has_changed() -> None:
    told = Told()
    told.statuses.begin()
    told.statuses.say_again()
    assert len(told.said) == 2
