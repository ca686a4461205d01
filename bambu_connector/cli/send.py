"""`bambu-connector send`: one command through the same translator, guards and jobs as one from Printago."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from bambu_connector.cli.main import Settings
from bambu_connector.cli.output import show_json
from bambu_connector.cli.parameter_names import warnings

if TYPE_CHECKING:
    from bambu_connector.config import Config

Tree = dict[str, Any]


@click.command()
@click.argument("printer")
@click.argument("command", metavar="TYPE/ACTION")
@click.argument("assignments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="Print the answer's whole envelope.")
@click.pass_obj
def send(settings: Settings, printer: str, command: str, assignments: tuple[str, ...], as_json: bool) -> None:
    """Send one command to PRINTER (its id, serial or name), such as movement_control/jog axes.x=10."""
    kind, slash, action = command.partition("/")
    if not (kind and slash and action):
        raise click.UsageError("Say the command as TYPE/ACTION, such as movement_control/home.")
    config = settings.load()
    settings.configure_logs(config, quiet=True)
    parameters = parameters_of(assignments)
    for warning in warnings(command, parameters):
        click.echo(f"warning: {warning}", err=True)
    message = {"type": kind, "action": action, "parameters": parameters}
    answer = _show_progress(_answers(config, printer, message))
    _print(answer, as_json=as_json)
    if answer["type"] == "error":
        raise click.exceptions.Exit(exit_code_of(str(answer["data"]["code"])))


def parameters_of(assignments: tuple[str, ...]) -> Tree:
    """Return `a.b=1` as nested parameters; a value that is JSON is read as such, everything else is text."""
    import orjson

    found: Tree = {}
    for each in assignments:
        path, equals, text = each.partition("=")
        if not (path and equals):
            raise click.UsageError(f"{each!r} is not KEY=VALUE.")
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = text
        *parents, last = path.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise click.UsageError(f"{path}: {parent} is given twice.")
        if last in place:
            raise click.UsageError(f"{path} is given twice.")
        place[last] = value
    return found


def exit_code_of(code: str) -> int:
    """Return the exit code of an error answer: that of the class that carries the wire code."""
    from bambu_connector.errors import CommandError, LinkError

    for base in (CommandError, LinkError):
        for each in base.__subclasses__():
            if each.code == code:
                return each.exit_code
    return 1


def _answers(config: "Config", name: str, message: Tree) -> Iterator[Tree]:
    from bambu_connector.cli.alone import find_printer, send_alone
    from bambu_connector.cli.service_client import Service
    from bambu_connector.cli.stepping import stepped

    printer = find_printer(config, name)
    service = Service.find(config.connector.state_dir)
    if service is None:
        yield from stepped(send_alone(config, printer, message))
        return
    yield from service.ask({"do": "send", "printer": printer.serial, "message": message})


def _show_progress(answers: Iterator[Tree]) -> Tree:
    """Show a bar on stderr while a job goes on; return the answer."""
    from bambu_connector.cli.presenting import JobBar

    with JobBar() as bar:
        for each in answers:
            if "answer" in each:
                answer: Tree = each["answer"]
                return answer
            bar.show(each["progress"])
    raise AssertionError("a command ended without an answer")


def _print(answer: Tree, *, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    data = answer["data"]
    match answer["type"]:
        case "success":
            click.echo(
                data["local_command_detail"] + ("" if data["acknowledged"] else " (The printer did not confirm it.)")
            )
        case "error":
            click.echo(f"{data['code']}: {data['error']}", err=True)
        case _:
            show_json(data)
