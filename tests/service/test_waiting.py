"""Waiting for something that happens elsewhere."""

import asyncio

import pytest

from bambu_connector.errors import PrinterError
from bambu_connector.service.waiting import Waiters
from tests.simulated import simulated


class Box:
    """What is waited for."""

    def __init__(self) -> None:
        self.waiters = Waiters()
        self.value: int | None = None
        self.error: Exception | None = None

    def probe(self) -> int | None:
        if self.error is not None:
            raise self.error
        return self.value

    async def until(self, within: float) -> int | None:
        return await self.waiters.until(self.probe, within)


@simulated
async def test_an_answer_that_is_there_is_not_waited_for() -> None:
    box = Box()
    box.value = 0
    assert await box.until(0.0) == 0


@simulated
async def test_an_answer_is_taken_at_the_pulse_that_brings_it() -> None:
    box = Box()
    waiting = [asyncio.create_task(box.until(10.0)) for _ in range(2)]
    await asyncio.sleep(1)
    box.waiters.pulse()
    box.value = 7
    await asyncio.sleep(1)
    assert not any(each.done() for each in waiting)
    box.waiters.pulse()
    box.waiters.pulse()
    assert await asyncio.gather(*waiting) == [7, 7]


@simulated
async def test_without_an_answer_there_is_none_when_the_time_is_over() -> None:
    began = asyncio.get_running_loop().time()
    assert await Box().until(10.0) is None
    assert asyncio.get_running_loop().time() - began == pytest.approx(10.0)


@simulated
async def test_the_question_is_asked_once_more_when_the_time_is_over() -> None:
    box = Box()
    waiting = asyncio.create_task(box.until(10.0))
    await asyncio.sleep(5)
    box.value = 7
    assert await waiting == 7


@simulated
async def test_what_the_question_raises_is_raised_to_whoever_waits_and_to_nobody_else() -> None:
    box, other = Box(), Box()
    other.waiters = box.waiters
    waiting, patient = asyncio.create_task(box.until(10.0)), asyncio.create_task(other.until(10.0))
    await asyncio.sleep(1)
    box.error = PrinterError("no")
    box.waiters.pulse()
    with pytest.raises(PrinterError):
        await waiting
    assert await patient is None


@simulated
async def test_whoever_stops_waiting_is_not_asked_again() -> None:
    box = Box()
    waiting = asyncio.create_task(box.until(10.0))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait({waiting})
    box.error = PrinterError("nobody is there to hear it")
    box.waiters.pulse()
    assert waiting.cancelled()
