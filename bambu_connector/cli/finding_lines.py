"""How a finding looks in a terminal: a sign, the step, what was found, and beneath it the one thing to do."""

from typing import Final

import click

from bambu_connector.cli.output import legible
from bambu_connector.service.findings import Finding, Outcome

_SIGNS: Final[dict[Outcome, tuple[str, str | None]]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "failed": ("✗", "red"),
    "skipped": ("–", None),
}
_TITLES: Final = {"tcp": "TCP", "developer_mode": "Developer Mode"}  # the others are called what their step is called
_TITLE_WIDTH: Final = 14
_WORTH_TELLING_S: Final = 0.05
_INDENT: Final = "  "


def sign(outcome: Outcome) -> str:
    """Return ✓, !, ✗ or – in its colour; `click.echo` takes the colour out where there is no terminal."""
    shape, colour = _SIGNS[outcome]
    return click.style(shape, fg=colour, bold=colour is not None)


def title(step: str) -> str:
    """Return what people call a step."""
    return _TITLES.get(step, step.replace("_", " ").capitalize())


def finding_lines(finding: Finding) -> tuple[str, ...]:
    """Return the line of a finding, and one with the advice where there is any."""
    seconds = finding.seconds
    took = f" ({seconds:.1f} s)" if seconds is not None and seconds >= _WORTH_TELLING_S else ""
    line = f"{_INDENT}{sign(finding.outcome)} {title(finding.step):<{_TITLE_WIDTH}}  {legible(finding.told)}{took}"
    if finding.advice is None:
        return (line,)
    return line, f"{' ' * (len(_INDENT) + 2 + _TITLE_WIDTH)}  → {legible(finding.advice)}"


def show(finding: Finding) -> None:
    """Print a finding on stdout."""
    for line in finding_lines(finding):
        click.echo(line)
