"""An asynchronous iterator, one step at a time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bambu_connector.cli.stepping import stepped

history: list[str] = []


async def counting(count: int) -> AsyncIterator[int]:
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield number
        if count < 0:
            raise ValueError(count)
    finally:
        await asyncio.sleep(0)
        history.append("closed")


@pytest.fixture(autouse=True)
def fresh_history() -> None:
    history.clear()


def test_every_item_comes_and_the_iterator_is_closed() -> None:
    assert list(stepped(counting(3))) == [0, 1, 2]
    assert history == ["closed"]


def test_whoever_wants_no_more_closes_it_in_its_own_loop() -> None:
    steps = stepped(counting(3))
    assert next(steps) == 0
    steps.close()  # type: ignore[attr-defined]  # a generator is what it is
    assert history == ["closed"]


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="-1"):
        list(stepped(counting(-1)))
    assert history == ["closed"]


class Bare:
    """An iterator that cannot be closed."""

    def __aiter__(self) -> "Bare":
        return self

    async def __anext__(self) -> int:
        raise StopAsyncIteration


def test_an_iterator_that_cannot_be_closed_is_fine() -> None:
    assert list(stepped(Bare())) == []
