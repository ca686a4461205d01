"""`bambu-connector doctor`: where the way to each printer and to Printago ends, and what to do about it."""

import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bambu_connector.cli.main import Settings

if TYPE_CHECKING:
    from bambu_connector.config import Config, PrinterConfig
    from bambu_connector.registry import Paired
    from bambu_connector.service.findings import Finding

Tree = dict[str, Any]
Key = tuple[str, str | None]
_HEADINGS: Final = {"printago": "Printago", "machine": "This computer"}


@click.command()
@click.argument("printer", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print an object with the findings.")
@click.option(
    "--bundle",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a zip for a bug report; nothing secret or personal is in it. The log is in it only where the service"
    " runs under systemd.",
)
@click.option("--yes", is_flag=True, help="Write the bundle without asking.")
@click.pass_obj
def doctor(settings: Settings, printer: str | None, as_json: bool, target: Path | None, yes: bool) -> None:
    """Walk the way to PRINTER (its id, serial or name), or to all printers and to Printago, step by step.

    For each step that fails it says the one thing to do. The exit code is that of the first failure.
    """
    from bambu_connector.cli.alone import find_printer

    if target is not None and not yes and not sys.stdin.isatty():
        raise click.UsageError("Without a terminal nobody can be asked whether the bundle may be written: add --yes.")
    if target is not None:
        from bambu_connector.cli.bundle import refuse_special

        refuse_special(target)
    config = settings.load()
    settings.configure_logs(config, quiet=True)
    chosen = (find_printer(config, printer),) if printer else config.printers
    request = {"do": "doctor", "printer": chosen[0].serial if printer else None, "facts": target is not None}
    facts: dict[str, Tree] = {}
    names: dict[str, str] = {}
    found = _shown(_answers(config, chosen, request), facts, names, silent=as_json)
    if as_json:
        from bambu_connector.cli.output import show_json

        show_json(found)
    failed = _summed_up(found, names, silent=as_json)
    if target is not None:
        _offer(target, config, settings.sources()[1], found, facts, yes=yes)
    if failed is not None:
        raise click.exceptions.Exit(failed.exit_code or 1)


# -- looking ---------------------------------------------------------------------------------------


def _answers(config: "Config", chosen: tuple["PrinterConfig", ...], request: Tree) -> Iterator[Tree]:
    from bambu_connector.cli.service_client import Service
    from bambu_connector.cli.stepping import stepped

    service = Service.find(config.connector.state_dir)
    if service is None:
        return stepped(_alone(config, chosen, request))
    return service.ask(request)


async def _alone(config: "Config", chosen: tuple["PrinterConfig", ...], request: Tree) -> AsyncGenerator[Tree, None]:
    from contextlib import aclosing

    from bambu_connector.cli.alone import farm_alone
    from bambu_connector.service.doctor import answers

    async with farm_alone(config, chosen) as farm, aclosing(answers(farm, request, config=config)) as found:
        async for each in found:
            yield each


# -- showing ---------------------------------------------------------------------------------------


class Blocks:
    """Prints what is found of each subject in one piece, though all of them are looked at at the same time."""

    def __init__(self) -> None:
        self._waiting: list[Key] = []
        self._lines: dict[Key, list[str]] = {}
        self._done: set[Key] = set()

    def plan(self, subjects: list[Tree]) -> None:
        """Take the order of the subjects."""
        self._waiting = [_key(each) for each in subjects]
        self._lines = {_key(each): [click.style(_heading(each), bold=True)] for each in subjects}
        self._print()

    def add(self, news: Tree, lines: tuple[str, ...]) -> None:
        """Take lines of one subject."""
        self._lines[_key(news)].extend(lines)
        self._print()

    def end(self, news: Tree) -> None:
        """There will be no more of a subject."""
        self._done.add(_key(news))
        self._print()

    def _print(self) -> None:
        while self._waiting:
            key = self._waiting[0]
            while self._lines[key]:
                click.echo(self._lines[key].pop(0))
            if key not in self._done:
                return
            del self._waiting[0]


def _key(news: Tree) -> Key:
    return news["subject"], news["id"]


def _heading(news: Tree) -> str:
    name, printer_id = news["name"], news["id"]
    if printer_id is None:
        return _HEADINGS[news["subject"]]
    return f"{name} ({printer_id})" if name != printer_id else str(name)


def _shown(answers: Iterator[Tree], facts: dict[str, Tree], names: dict[str, str], *, silent: bool) -> Tree:
    """Show what is found as it is found; return all of it. `facts` and `names` take what is known of printers."""
    from bambu_connector.cli.finding_lines import finding_lines
    from bambu_connector.service.findings import Finding

    blocks = Blocks()
    for each in answers:
        if "findings" in each:
            found: Tree = each["findings"]
            return found
        match each["progress"]:
            case {"facts": known, "id": printer_id}:
                facts[printer_id] = known
            case _ if silent:
                pass
            case {"plan": subjects}:
                names.update(_names(subjects))
                blocks.plan(subjects)
            case {"finding": None} as news:
                blocks.end(news)
            case {"finding": finding} as news:
                blocks.add(news, finding_lines(Finding.of(finding)))
            case _:
                pass
    raise AssertionError("the doctor ended without findings")


def _names(subjects: list[Tree]) -> dict[str, str]:
    """Return what people call each printer, by id; where several are called the same, with the id."""
    printers = {each["id"]: str(each["name"]) for each in subjects if each["id"] is not None}
    names = list(printers.values())
    return {key: name if names.count(name) == 1 else f"{name} ({key})" for key, name in printers.items()}


def _summed_up(found: Tree, names: Mapping[str, str], *, silent: bool) -> "Finding | None":
    """Say in one line what to do first; return the first failure."""
    from bambu_connector.service.findings import Finding

    printers = [
        (names.get(each, each), finding) for each, findings in found["printers"].items() for finding in findings
    ]
    ours = [(_HEADINGS[subject], each) for subject in ("printago", "machine") for each in found[subject]]
    everything = [(name, Finding.of(each)) for name, each in (*ours, *printers)]
    failed = next(((name, each) for name, each in everything if each.outcome == "failed"), None)
    warnings = sum(each.outcome == "warning" for _, each in everything)
    if not silent:
        click.echo(_in_one_line(failed, warnings))
    return failed[1] if failed else None


def _in_one_line(failed: "tuple[str, Finding] | None", warnings: int) -> str:
    from bambu_connector.cli.finding_lines import title

    if failed is not None:
        name, finding = failed
        return f"First, {name}, {title(finding.step)}: {finding.advice or finding.told}"
    if warnings:
        return f"Everything works; {warnings} {'warning' if warnings == 1 else 'warnings'} to look at."
    return "Everything works."


# -- the bundle ------------------------------------------------------------------------------------


def _offer(
    target: Path,
    config: "Config",
    known: Mapping[str, "Paired"],
    found: Tree,
    facts: Mapping[str, Tree],
    *,
    yes: bool,
) -> None:
    """List what would be in the bundle, ask, and write it. Raises BundleFailed."""
    from bambu_connector.cli.bundle import Bundle, read_log, write

    bundle = Bundle(config, known, found, facts, read_log())
    parts = bundle.parts()
    content = bundle.zipped(parts)
    click.echo(f"\n{target} would hold, with every secret and everything personal taken out:", err=True)
    for part in parts:
        name, *lines = part.described()
        click.echo(f"  {name}", err=True)
        for line in lines:
            click.echo(f"    {line}", err=True)
    question = f"{target} exists. Replace it?" if target.exists() else f"Write it ({len(content)} bytes)?"
    if not yes and not click.confirm(question, err=True):
        click.echo("Nothing was written.", err=True)
        return
    write(target, content)
    click.echo(f"{target} was written; look through it before you post it.", err=True)
