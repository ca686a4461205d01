"""Tasks that are not lost and do not die in silence."""

import asyncio
import logging
from contextlib import suppress
from itertools import pairwise

import pytest

from bambu_connector.service.tasks import RESTART_S, Tasks
from tests.simulated import simulated


@simulated
async def test_a_bug_ends_a_task_and_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ZeroDivisionError("a bug")

    tasks = Tasks()
    task = tasks.run(work(), "the washing-up")
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert [(each.levelno, each.message) for each in caplog.records] == [(logging.ERROR, "a bug ended the washing-up")]


@simulated
async def test_what_must_run_for_ever_begins_again_after_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[float] = []

    async def work() -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) < 3:
            raise ZeroDivisionError("a bug")
        await asyncio.sleep(1000)

    tasks = Tasks()
    tasks.keep(work, "the heating")
    await asyncio.sleep(30)
    assert [after - before for before, after in pairwise(begun)] == [RESTART_S, 2 * RESTART_S]
    assert caplog.text.count("a bug ended the heating") == 2
    await tasks.cancel(1.0)


@simulated
async def test_cancelling_ends_everything_and_waits_until_it_has_ended() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            ended.append(name)

    tasks = Tasks()
    tasks.keep(lambda: work("kept"), "kept")
    _ = tasks.run(work("once"), "once")
    await asyncio.sleep(1)
    await tasks.cancel(5.0)
    assert sorted(ended) == ["kept", "once"]
    await tasks.cancel(5.0)


@simulated
async def test_what_does_not_end_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    enough = asyncio.Event()

    async def work() -> None:
        while not enough.is_set():
            with suppress(asyncio.CancelledError):
                await enough.wait()

    tasks = Tasks()
    _ = tasks.run(work(), "the neighbour")
    await asyncio.sleep(1)
    began = asyncio.get_running_loop().time()
    await tasks.cancel(2.0)
    assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
    assert "the neighbour does not end" in caplog.text
    enough.set()


@simulated
async def test_whoever_cancels_from_within_is_not_waited_for() -> None:
    tasks = Tasks()
    task = tasks.run(tasks.cancel(5.0), "the end")
    async with asyncio.timeout(1):
        await task
