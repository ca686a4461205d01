"""An asyncio loop whose clock jumps: whenever nothing can run, it is at once the time of the next timer.

So a deadline of three minutes costs nothing, and a test of it is exact. What must not be used with it are threads:
while one works, time flies.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

BEGINNING: Final = 1_000.0
LONGEST: Final = 20_000.0
_STUCK_S: Final = 5.0  # real seconds that a loop without any timer may wait for a socket


class JumpingSelector(selectors.DefaultSelector):
    """Asks the sockets, and instead of waiting for them moves the clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; when nothing is, let `timeout` seconds have passed."""
        if timeout is None:
            ready = super().select(_STUCK_S)
            assert ready, "everything waits for something that cannot come"
            return ready
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
            assert self.now < BEGINNING + LONGEST, "what the test waits for never came"
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop on simulated time, in seconds from `BEGINNING`."""

    def __init__(self) -> None:
        self._selector_clock = JumpingSelector()
        super().__init__(self._selector_clock)

    def time(self) -> float:
        return self._selector_clock.now


class InlineExecutor(Executor):
    """Does the work at once, in the thread that asks: simulated time stands still meanwhile."""

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as every executor does
            future.set_exception(error)
        return future


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own with simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)


def simulated(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an `async def` test one that pytest runs, on simulated time."""

    @functools.wraps(test)
    def on_simulated_time(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return on_simulated_time


async def until(condition: Callable[[], object], within: float = 60.0, every: float = 0.05) -> None:
    """Let time pass until something is so; fails when it was not in `within` (simulated) seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not condition():
        assert loop.time() < end, f"it did not come to that in {within} s"
        await asyncio.sleep(every)
