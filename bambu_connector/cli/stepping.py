"""Running an asynchronous iterator from code that is not asynchronous, one item at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

T = TypeVar("T")


def stepped(items: AsyncIterator[T]) -> Iterator[T]:
    """Yield every item; the iterator is closed in its own loop at the end, also when nobody wants the rest."""
    with asyncio.Runner() as runner:
        try:
            while True:
                try:
                    yield runner.run(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                runner.run(close())


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)
