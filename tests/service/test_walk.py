"""One step after the other."""

from bambu_connector.errors import ConnectorError, Unreachable
from bambu_connector.service.findings import Finding
from bambu_connector.service.walk import Look, NotJudged, Told, Walk
from tests.service.bench import pass_time
from tests.service.fakes import FakeClock
from tests.simulated import simulated


def told(*answer: str) -> Look:
    async def look() -> Told:
        await pass_time(2.0)
        return answer[0], (answer[1] if len(answer) > 1 else None)

    return look


def failing(error: Exception) -> Look:
    async def look() -> Told:
        raise error

    return look


async def walked(steps: dict[str, Look], bars: dict[str, str] | None = None) -> list[Finding]:
    def remedy(step: str, error: ConnectorError) -> str:
        return f"mend {step}: {error}"

    walk = Walk(FakeClock(), remedy, lambda step, _error: (bars or {}).get(step))
    return [each async for each in walk.along(steps)]


@simulated
async def test_what_goes_well_is_told_with_its_time() -> None:
    (found,) = await walked({"name": told("it is there")})
    assert found == Finding(step="name", outcome="ok", seconds=2.0, told="it is there")


@simulated
async def test_what_has_advice_is_a_warning() -> None:
    (found,) = await walked({"name": told("it is slow", "push it")})
    assert (found.outcome, found.advice) == ("warning", "push it")


@simulated
async def test_a_failure_carries_its_remedy_and_the_codes_of_its_error() -> None:
    (found,) = await walked({"tcp": failing(Unreachable("nobody"))})
    assert (found.outcome, found.told, found.advice) == ("failed", "nobody", "mend tcp: nobody")
    assert (found.code, found.exit_code) == (Unreachable.code, Unreachable.exit_code)


@simulated
async def test_what_stands_on_a_failed_step_is_skipped_for_that_reason() -> None:
    steps = {"tcp": failing(Unreachable("nobody")), "login": told("never asked"), "files": told("nor this")}
    found = await walked(steps, {"tcp": "because nobody answers"})
    assert [(each.outcome, each.told) for each in found[1:]] == [("skipped", "because nobody answers")] * 2


@simulated
async def test_a_failure_that_bars_nothing_lets_the_next_step_be_taken() -> None:
    found = await walked({"upload": failing(Unreachable("broken")), "camera": told("fine")})
    assert [each.outcome for each in found] == ["failed", "ok"]


@simulated
async def test_a_step_that_cannot_be_judged_is_skipped_alone() -> None:
    found = await walked({"upload": failing(NotJudged("because it is printing")), "camera": told("fine")})
    assert [(each.outcome, each.told) for each in found] == [("skipped", "because it is printing"), ("ok", "fine")]
