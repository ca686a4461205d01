"""What a soak found, as a table, and the evidence for what must not be."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from tests.soak.oracle import Flaw, growth, is_start
from tests.soak.soak import Result

_ALWAYS: Final = (
    Flaw.LOST_ANSWER,
    Flaw.DOUBLE_ANSWER,
    Flaw.DOUBLE_START,
    Flaw.REFUSED_YET_STARTED,
    Flaw.START_WHILE_PRINTING,
    Flaw.SUCCESS_WITHOUT_START,
    Flaw.UNSAFE_WHILE_PRINTING,
    Flaw.GHOST_FILE,
    Flaw.TOUCHED_FILE,
    Flaw.LOG,
    Flaw.GROWTH,
    Flaw.PROCESS,
)


def rendered(result: Result) -> str:
    """Return the figures as a Markdown table."""
    rows = [("what", "figure"), *_rows(result)]
    width = max(len(what) for what, _ in rows)
    lines = [f"| {what:<{width}} | {figure} |" for what, figure in rows]
    lines.insert(1, f"| {'-' * width} | --- |")
    return "\n".join(lines)


def _rows(result: Result) -> Iterable[tuple[str, str]]:
    plan, seen = result.plan, result.seen
    minutes = result.lasted_s / 60
    yield "minutes", f"{minutes:.1f}, quiet after {result.quiet_after_s:.0f} s more"
    yield "printers", str(plan.printers)
    yield "seed", str(plan.seed)
    yield "faults", f"{result.faults.total()}: {_counted(result.faults)}"
    yield "runs of the service", str(result.runs)
    lost = sum(not each.acked for each in seen.sent)
    more = (
        f"{result.repeated} repetitions, {result.unmatched} without a readable id, {lost} that the broker did not take"
    )
    yield "commands", f"{len(seen.sent)}, and {more}"
    first = {each.command_id: each for each in reversed(seen.answers)}.values()
    yield "answers by type", _counted(Counter(each.kind for each in first))
    yield "errors by code", _counted(Counter(each.code or "none" for each in first if each.kind == "error"))
    yield "other messages", _counted(Counter({kind: n for kind, n in result.messages.items() if kind != "status"}))
    asked = sum(is_start(each.command) for each in seen.sent)
    ours = sum(not each.at_screen for each in seen.began)
    yield "starts", f"{asked} asked for, {ours} prints of ours began, {len(seen.began) - ours} at the screen"
    found = Counter(each.flaw for each in result.findings)
    for flaw in _ALWAYS:
        yield f"**{flaw}**", str(found[flaw])
    yield from _figures(result, minutes)


def _figures(result: Result, minutes: float) -> Iterable[tuple[str, str]]:
    sizes = [each.rss for each in result.samples] or [0.0]
    yield "RSS", f"mean {sum(sizes) / len(sizes):.1f} MB, at most {max(sizes):.1f} MB"
    calm = result.calm_samples
    lasted = (calm[-1].at - calm[0].at) / 60 if calm else 0.0
    for what, unit in (("rss", " MB"), ("descriptors", ""), ("threads", "")):
        grown = growth(calm, what)
        told = "too few samples" if grown is None else f"{grown:+.1f}{unit} in {lasted:.1f} min without kills"
        yield f"{what} growth", told
    yield "log lines a minute", f"{result.log_lines / max(minutes, 0.1):.0f}"
    yield "CPU", ", ".join(f"{who} {seconds:.0f} s" for who, seconds in result.cpu_s.items())


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"
