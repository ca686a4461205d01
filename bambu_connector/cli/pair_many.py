"""`pair --from CSV`: many printers at the same time, a result a line."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bambu_connector.cli.candidates import Candidate, from_csv
from bambu_connector.cli.finding_lines import finding_lines, sign
from bambu_connector.cli.locating import Locator
from bambu_connector.cli.output import legible
from bambu_connector.cli.pair_plan import Plan, out_of_date, plan
from bambu_connector.cli.pair_stream import AT_ONCE, Request, check_that_it_can_be_kept, stream
from bambu_connector.cli.stepping import stepped
from bambu_connector.cli.without_config import Records, records
from bambu_connector.errors import ConnectorError, IdentityMismatch, UsageError
from bambu_connector.service.findings import Finding

if TYPE_CHECKING:
    from bambu_connector.cli.main import Settings

_MAX_BYTES: Final = 4 * 1024 * 1024  # thousands of printers
Tree = dict[str, Any]


def pair_many(settings: "Settings", source: str, ports: Mapping[str, int], *, yes: bool) -> None:
    """Pair every printer of a CSV. Ends with the exit code of the first that failed, in the order of the file.

    Raises UsageError with every mistake of the file, before anybody is contacted.
    """
    candidates = from_csv(_read(source), "standard input" if source == "-" else source)
    known = records(settings)
    redactor = settings.configure_logs(known.config, quiet=True)
    check_that_it_can_be_kept(known.config)
    for each in candidates:
        redactor.register(each.access_code)
    _Batch(candidates, known, ports, yes=yes).run()


def _read(source: str) -> bytes:
    try:
        if source == "-":
            return sys.stdin.buffer.read(_MAX_BYTES)
        with Path(source).open("rb") as stream_:
            return stream_.read(_MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{source}: the file cannot be read: {error.strerror}.") from error


class _Batch:
    """The printers of one file, on their way. Two lines may turn out to be one printer: the second fails."""

    def __init__(self, candidates: Sequence[Candidate], known: Records, ports: Mapping[str, int], *, yes: bool) -> None:
        self._candidates = candidates
        self._known = known
        self._ports = ports
        self._yes = yes
        self._plans: list[Plan] = []
        self._failed: dict[int, int] = {}
        """The exit codes, by line."""
        self._warnings: dict[int, list[Finding]] = {}

    def run(self) -> None:
        """Find, prove and pair them all, and sum it up."""
        for candidate, found in stepped(self._located()):
            if isinstance(found, ConnectorError):
                self._fail(candidate, str(found), found.exit_code)
            else:
                self._plans.append(found)
        if self._plans:
            self._pair()
        self._sum_up()

    async def _located(self) -> AsyncGenerator[tuple[Candidate, Plan | ConnectorError], None]:
        """Yield who is where, as it is found out."""
        places = asyncio.Semaphore(AT_ONCE)
        async with Locator(self._known, self._ports) as locator:

            async def locate(candidate: Candidate) -> tuple[Candidate, Plan | ConnectorError]:
                try:
                    async with places:
                        located = await locator.locate(candidate)
                    return candidate, plan(candidate, located, self._ports, self._known)
                except ConnectorError as error:
                    return candidate, error

            tasks = [asyncio.create_task(locate(each)) for each in self._candidates]
            try:
                for task in asyncio.as_completed(tasks):
                    candidate, found = await task
                    yield candidate, self._accepted(found)
            finally:
                for each in tasks:
                    each.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _accepted(self, found: Plan | ConnectorError) -> Plan | ConnectorError:
        if isinstance(found, ConnectorError):
            return found
        serial = found.located.serial
        twin = next((each for each in self._plans if each.located.serial == serial), None)
        if twin is not None:
            return UsageError(f"This is {serial}, which line {twin.candidate.line} names already.")
        if found.certificate == "changed" and not self._yes:
            return IdentityMismatch(
                f"The certificate of {found.name} has changed: it was {found.pinned}, and now it is"
                f" {found.located.fingerprint}. After a repair or a factory reset that is right: pair {serial} by"
                " itself, or add --yes."
            )
        return found

    def _pair(self) -> None:
        requests: list[Request] = [(each.request, each.candidate.access_code) for each in self._plans]
        for number, answer in stream(self._known.config, requests):
            plan_ = self._plans[number]
            if "progress" in answer:
                finding = Finding.of(answer["progress"]["finding"])
                if finding.outcome == "warning":
                    self._warnings.setdefault(number, []).append(finding)
            elif "paired" in answer:
                self._tell(plan_, answer["paired"], self._warnings.get(number, []))
            else:
                self._fail(plan_.candidate, str(answer["error"]), int(answer.get("exit_code", 1)))

    def _tell(self, plan_: Plan, paired: Tree, warnings: Sequence[Finding]) -> None:
        what = "paired" if paired["is_new"] else "paired anew"
        click.echo(
            f"{sign('ok')} line {plan_.candidate.line}: {paired['name']} ({paired['model']}, {paired['serial']})"
            f" at {paired['host']} is {what}"
        )
        for sentence in plan_.warnings:
            click.echo(legible(f"    note: {sentence}."))
        for each in warnings:
            for line in finding_lines(each):
                click.echo(f"  {line}")
        code = plan_.candidate.access_code
        assert code is not None, "a line without one is a mistake"
        for sentence in out_of_date(paired, code, self._ports, self._known):
            click.echo(f"    note: {sentence}. Correct it there.")

    def _fail(self, candidate: Candidate, sentence: str, exit_code: int) -> None:
        assert candidate.line is not None, "it came from a file"
        self._failed[candidate.line] = exit_code
        click.echo(f"{sign('failed')} line {candidate.line}: {candidate.called}: {sentence}")

    def _sum_up(self) -> None:
        count = len(self._candidates)
        click.echo(f"{count - len(self._failed)} of {count} are paired.")
        if not self._failed:
            return
        lines = sorted(self._failed)
        called = {each.line: each.called for each in self._candidates}
        named = ", ".join(f"line {line} ({called[line]})" for line in lines)
        click.echo(f"Not paired: {named}. Run it again when they are put right: the others stay as they are.", err=True)
        raise click.exceptions.Exit(self._failed[lines[0]] or 1)
