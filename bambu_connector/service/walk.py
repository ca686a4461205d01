"""Taking one step after the other: each is timed, and one whose ground failed is skipped."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from bambu_connector.errors import ConnectorError
from bambu_connector.service.clock import Clock
from bambu_connector.service.findings import Finding

Told = tuple[str, str | None]
"""What a step found when it went well, and, when it is a warning, what to do."""
Look = Callable[[], Awaitable[Told]]


class NotJudged(Exception):
    """A step cannot be judged; the text says why and begins with "because"."""


class Walk:
    """One walk along one way.

    `remedy` tells what to do about a failure, `bars` why all steps behind it are skipped (None: they are not).
    """

    def __init__(
        self,
        clock: Clock,
        remedy: Callable[[str, ConnectorError], str],
        bars: Callable[[str, ConnectorError], str | None],
    ) -> None:
        self._clock = clock
        self._remedy = remedy
        self._bars = bars
        self._barred: str | None = None

    async def along(self, steps: Mapping[str, Look]) -> AsyncIterator[Finding]:
        """Take every step in order; yields what each found."""
        for step, look in steps.items():
            yield await self._take(step, look)

    async def _take(self, step: str, look: Look) -> Finding:
        if self._barred is not None:
            return Finding(step=step, outcome="skipped", seconds=None, told=self._barred)
        began = self._clock.monotonic()
        try:
            told, advice = await look()
        except NotJudged as why:
            return Finding(step=step, outcome="skipped", seconds=None, told=str(why))
        except ConnectorError as error:
            self._barred = self._bars(step, error)
            return Finding.failure(step, error, self._clock.monotonic() - began, self._remedy(step, error))
        return Finding(
            step=step,
            outcome="ok" if advice is None else "warning",
            seconds=self._clock.monotonic() - began,
            told=told,
            advice=advice,
        )
