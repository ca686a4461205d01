"""Waiting for something that a report, a reply or the end of a session may bring."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from bambu_connector.errors import ConnectorError

T = TypeVar("T")


class Waiters:
    """Questions that are asked again whenever something has happened."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[Any], Callable[[], Any]] = {}

    def pulse(self) -> None:
        """Something has happened: ask every question again."""
        for future, probe in list(self._waiting.items()):
            if future.done():
                continue
            try:
                answer = probe()
            except ConnectorError as error:
                future.set_exception(error)
                continue
            if answer is not None:
                future.set_result(answer)

    async def until(self, probe: Callable[[], T | None], within: float) -> T | None:
        """Return the first answer that is not None; None after `within` seconds. What `probe` raises is raised."""
        answer = probe()
        if answer is not None:
            return answer
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[future] = probe
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            return probe()
        finally:
            del self._waiting[future]
