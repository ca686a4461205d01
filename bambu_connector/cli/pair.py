"""`bambu-connector pair`: from a printer in the network to one of ours; only its access code is asked for."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from bambu_connector.cli.main import Settings
from bambu_connector.cli.output import legible
from bambu_connector.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    from bambu_connector.cli.asking import Person
    from bambu_connector.cli.candidates import Candidate
    from bambu_connector.cli.pair_plan import Located, Plan
    from bambu_connector.cli.without_config import Records
    from bambu_connector.logs import Redactor
    from bambu_connector.secret import Secret

_TRIES: Final = 3
Tree = dict[str, Any]


def _no_code_there(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            "There is no --access-code: what stands on a command line is seen by everybody on this machine, and kept by"
            " the shell. Leave it out and it is asked for, or use --access-code-file FILE (- for standard input)."
        )


@click.command()
@click.argument("target", required=False, metavar="[SERIAL|ADDRESS|NAME]")
@click.option("--host", metavar="H", help="Its address or name in the network; default: found by announcements.")
@click.option("--serial", metavar="S", help="Its serial; default: read from its certificate.")
@click.option("--id", "printer_id", metavar="ID", help="Printago's id for it; default: the serial.")
@click.option("--name", metavar="N", help="What to call it; default: what it is called at its screen.")
@click.option("--access-code-file", "code_file", metavar="F", help="A file with the access code; - is standard input.")
@click.option("--access-code", hidden=True, expose_value=False, callback=_no_code_there)
@click.option("--port", "ports", multiple=True, metavar="NAME=N", help="Of mqtt, ftps, camera, rtsps; for the unusual.")
@click.option("--from", "csv_file", metavar="CSV", help="Pair many: address or serial, access code, name, id a line.")
@click.option("--yes", is_flag=True, help="Trust a certificate that has changed, without being asked.")
@click.pass_obj
def pair(  # noqa: PLR0913 - one for each option
    settings: Settings,
    *,
    target: str | None,
    host: str | None,
    serial: str | None,
    printer_id: str | None,
    name: str | None,
    code_file: str | None,
    ports: tuple[str, ...],
    csv_file: str | None,
    yes: bool,
) -> None:
    """Pair a printer, or choose from those that are found: prove who it is, try everything, and keep it.

    Nothing is stored unless it worked. Run again for the same printer it takes a new access code, a new address, or a
    renewed certificate; one that is known here can be named by its id or name as well.
    """
    from bambu_connector.cli.asking import Person, code_from
    from bambu_connector.cli.candidates import doubts_about, ports_of
    from bambu_connector.cli.pair_plan import known_as
    from bambu_connector.cli.pair_stream import check_that_it_can_be_kept
    from bambu_connector.cli.without_config import records

    given = ports_of(ports)
    about_one = (target, host, serial, printer_id, name, code_file)
    if csv_file is not None:
        if any(each is not None for each in about_one):
            raise UsageError("--from says everything about its printers: leave the other options out.")
        from bambu_connector.cli.pair_many import pair_many

        pair_many(settings, csv_file, given, yes=yes)
        return
    person = Person(yes=yes)
    known = records(settings)
    wanted = _candidate((target and known_as(target, known)) or target, host, serial, printer_id, name)
    if wanted is None and not person.is_there:
        raise UsageError("Without a terminal nobody can choose: name a SERIAL or an ADDRESS, or --from CSV.")
    code = code_from(code_file) if code_file is not None else None
    redactor = settings.configure_logs(known.config, quiet=True)
    redactor.register(code)
    check_that_it_can_be_kept(known.config)
    if wanted is not None and wanted.serial is not None and known.printer(wanted.serial) is None:
        settings.warn(f"{each}." for each in doubts_about(wanted.serial))
    _Pairing(known, given, person, redactor).all([wanted] if wanted else _chosen(known, person, about_one), code)


def _candidate(
    target: str | None, host: str | None, serial: str | None, printer_id: str | None, name: str | None
) -> "Candidate | None":
    """Return who is meant; None when nobody was named. Raises UsageError."""
    from bambu_connector.cli.candidates import Candidate, id_fault, serial_of, target_of

    if target is host is serial is None:
        return None
    if serial is not None and serial_of(serial) is None:
        raise UsageError(f"--serial {serial} is none: a serial has 15 digits and upper-case letters.")
    if printer_id is not None and (fault := id_fault(printer_id)):
        raise UsageError(f"--id {printer_id}: {fault}.")
    try:
        here, there = target_of(target) if target is not None else (None, None)
        _, place = target_of(host) if host is not None else (None, None)
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    given = serial_of(serial) if serial is not None else None
    if (here and given and here != given) or (there and host and there != host):
        raise UsageError(f"{target} and {given or host} are not the same: name one printer.")
    return Candidate(serial=here or given, host=place or host or there, name=name, id=printer_id)


def _chosen(known: "Records", person: "Person", about_one: Sequence[str | None]) -> "Sequence[Candidate]":
    from dataclasses import replace

    from bambu_connector.cli.choosing import choose

    found = choose(known, person)
    *_, printer_id, name, code_file = about_one
    if len(found) > 1 and (printer_id or name or code_file):
        raise UsageError("--id, --name and --access-code-file are for one printer, and several were chosen.")
    return [replace(found[0], id=printer_id, name=name or found[0].name)] if len(found) == 1 else found


class _Pairing:
    """One run of the command, printer by printer."""

    def __init__(self, known: "Records", ports: Mapping[str, int], person: "Person", redactor: "Redactor") -> None:
        self._known = known
        self._ports = ports
        self._person = person
        self._redactor = redactor
        self._are_several = False

    def all(self, candidates: "Sequence[Candidate]", code: "Secret | None") -> None:
        """Pair each; a failure of one of several does not keep the others from it. Raises that of the first."""
        from bambu_connector.cli.asking import Skipped

        self._are_several = len(candidates) > 1
        failures: list[ConnectorError] = []
        paired: list[Candidate] = []
        for each in candidates:
            try:
                self._one(each, code)
                paired.append(each)
            except ConnectorError as error:
                if not self._are_several:
                    raise
                failures.append(error)
                click.echo(f"{each.called} was not paired: {error}", err=True)
            except Skipped:
                click.echo(f"{each.called}: skipped.", err=True)
            except (click.Abort, KeyboardInterrupt):
                if self._are_several:
                    _say_who_is_left(candidates, paired)
                raise
        if failures:
            raise click.exceptions.Exit(failures[0].exit_code)

    def _one(self, candidate: "Candidate", code: "Secret | None") -> None:
        from bambu_connector.cli.pair_plan import plan

        plan_ = plan(candidate, asyncio.run(self._located(candidate)), self._ports, self._known)
        _introduce(plan_)
        if plan_.certificate == "changed":
            self._person.accepts_change(plan_.name, plan_.pinned, plan_.located.fingerprint)
        for left in reversed(range(_TRIES)):
            used = code or self._person.access_code(
                plan_.name, plan_.traits, has_one=plan_.known_code is not None, may_skip=self._are_several
            )
            used = used or plan_.known_code
            assert used is not None, "a person who is asked gives a code, or keeps the one that is known"
            self._redactor.register(used)
            answer = self._tried(plan_, used)
            if "paired" in answer:
                self._tell(answer["paired"], used)
                return
            if answer.get("code") != "access_denied" or code is not None or not self._person.is_there or not left:
                _fail(answer)
            click.echo(str(answer["error"]), err=True)

    async def _located(self, candidate: "Candidate") -> "Located":
        from bambu_connector.cli.locating import Locator

        configured = self._known.printer(candidate.serial)
        if candidate.host is None and (configured is None or configured.host is None):
            click.echo(f"Looking for {candidate.serial}…", err=True)
        async with Locator(self._known, self._ports) as locator:
            return await locator.locate(candidate)

    def _tried(self, plan_: "Plan", code: "Secret") -> Tree:
        from bambu_connector.cli.finding_lines import show
        from bambu_connector.cli.pair_stream import stream
        from bambu_connector.service.findings import Finding

        answer: Tree = {}
        for _, answer in stream(self._known.config, [(plan_.request, code)]):
            if "progress" in answer:
                show(Finding.of(answer["progress"]["finding"]))
        return answer

    def _tell(self, paired: Tree, code: "Secret") -> None:
        from bambu_connector.cli.pair_plan import out_of_date

        what = "paired" if paired["is_new"] else "paired anew"
        known_as = "" if paired["id"] == paired["serial"] else f", and known to Printago as {paired['id']}"
        click.echo(f"{paired['name']} is {what}{known_as}.")
        for sentence in out_of_date(paired, code, self._ports, self._known):
            click.echo(f"note: {sentence}. Correct it there.", err=True)


def _say_who_is_left(candidates: "Sequence[Candidate]", paired: "Sequence[Candidate]") -> None:
    def called(printers: "Sequence[Candidate]") -> str:
        return legible(", ".join(each.called for each in printers)) or "nobody"

    left = [each for each in candidates if each not in paired]
    click.echo(f"\nBroken off. Paired: {called(paired)}. Not paired: {called(left)}.", err=True)


def _introduce(plan_: "Plan") -> None:
    """Say which printer is meant, and what it shows."""
    located = plan_.located
    facts = plan_.traits.display_name
    if plan_.name != located.serial:
        facts += f", {located.serial}"
    click.echo(f"{plan_.name} ({facts}) at {located.host}")
    if plan_.certificate == "new":
        click.echo(f"  certificate {located.fingerprint}, seen for the first time")
    for sentence in plan_.warnings:
        click.echo(legible(f"warning: {sentence}."), err=True)


def _fail(answer: Tree) -> NoReturn:
    from bambu_connector.cli.service_client import ServiceRefused

    raise ServiceRefused(answer)
