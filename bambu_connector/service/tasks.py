"""Tasks with names, none of which is lost and none of which dies in silence."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

RESTART_S: Final = 5.0
LONGEST_RESTART_S: Final = 600.0
log = logging.getLogger(__name__)


class Tasks:
    """Every task of the service. A task that must run for ever is started again when a bug ends it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something once; return it, for whoever may want to end it."""
        return self._start(work, name)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def keep(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run something until it is cancelled; after a bug, again."""
        _ = self._start(forever(work, name), name)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a bug ended %s", task.get_name(), exc_info=task.exception())

    async def cancel(self, within: float) -> None:
        """End everything and wait until it has ended, but not longer than `within` seconds."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, hanging = await asyncio.wait(tasks, timeout=within)
            for task in hanging:
                log.warning("%s does not end", task.get_name())


async def forever(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Run something until it is cancelled; after a bug, which is logged, again, less and less often."""
    loop, wait = asyncio.get_running_loop(), 0.0
    while True:
        began = loop.time()
        try:
            await work()
        except Exception:  # the supervisor's: one printer's bug must not take the others down
            lasted = loop.time() - began > LONGEST_RESTART_S
            wait = RESTART_S if lasted else min(max(2 * wait, RESTART_S), LONGEST_RESTART_S)
            log.exception("a bug ended %s; it begins again in %.0f s", name, wait)
        await asyncio.sleep(max(wait, RESTART_S))
