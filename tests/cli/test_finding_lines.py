"""Findings in a terminal."""

from typing import get_args

import click
import pytest

from bambu_connector.cli.finding_lines import finding_lines, show, sign, title
from bambu_connector.service.findings import Finding, Outcome


def finding(outcome: Outcome = "ok", **more: object) -> Finding:
    """Return a finding."""
    usual: dict[str, object] = {"step": "identity", "seconds": None, "told": "it is itself"}
    return Finding(outcome=outcome, **usual | more)  # type: ignore[arg-type]


def plain(found: Finding) -> list[str]:
    """Return the lines without colours."""
    return [click.unstyle(line) for line in finding_lines(found)]


def test_every_outcome_has_a_sign_of_its_own() -> None:
    assert len({click.unstyle(sign(each)) for each in get_args(Outcome)}) == 4


def test_a_line_says_the_step_and_what_was_found() -> None:
    assert plain(finding()) == ["  ✓ Identity        it is itself"]


def test_what_took_a_while_says_how_long_and_what_took_no_time_does_not() -> None:
    assert plain(finding(seconds=1.26)) == ["  ✓ Identity        it is itself (1.3 s)"]
    assert plain(finding(seconds=0.01)) == ["  ✓ Identity        it is itself"]


def test_advice_stands_beneath_what_it_is_about() -> None:
    first, second = plain(finding("failed", advice="do this"))
    assert second.index("→") == first.index("it is itself")
    assert second.endswith("→ do this")


@pytest.mark.parametrize(
    ("step", "words"), [("tcp", "TCP"), ("developer_mode", "Developer Mode"), ("test_upload", "Test upload")]
)
def test_a_step_is_called_what_people_call_it(step: str, words: str) -> None:
    assert title(step) == words


def test_findings_are_results_and_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    show(finding("warning", advice="look"))
    shown = capsys.readouterr()
    assert click.unstyle(shown.out).splitlines() == plain(finding("warning", advice="look"))
    assert shown.err == ""


def test_what_a_printer_says_does_not_move_the_cursor() -> None:
    lines = plain(finding("warning", told="\x9bfirmware 1", advice="to \u202edo\x07"))
    assert "".join(lines).isprintable()
