"""The person at the terminal, who is asked for what only a person knows; where there is none, that is said."""

import sys
from pathlib import Path
from stat import S_IROTH
from typing import Final

import click

from bambu_connector.bambu.menus import network_page
from bambu_connector.bambu.models import Traits
from bambu_connector.cli.candidates import chosen, code_fault, code_in
from bambu_connector.errors import IdentityMismatch, UsageError
from bambu_connector.secret import Secret

_MAX_BYTES: Final = 4096


class Skipped(Exception):
    """The person has no access code for this one of several printers, and goes on to the next."""


class Person:
    """Whoever sits in front of the terminal, if anybody does. `yes`: a changed certificate is accepted unseen."""

    def __init__(self, *, yes: bool = False) -> None:
        self._yes = yes

    @property
    def is_there(self) -> bool:
        """Whether anybody can be asked."""
        return sys.stdin is not None and sys.stdin.isatty()

    def access_code(self, name: str, traits: Traits, *, has_one: bool, may_skip: bool = False) -> Secret | None:
        """Ask for an access code without echo; None: the one that is known.

        Raises UsageError without a terminal, and Skipped when nothing was typed where that may be.
        """
        if not self.is_there:
            if has_one:
                return None
            raise UsageError(
                f"The access code of {name} is missing, and without a terminal nobody can be asked for it: name a file"
                " with --access-code-file, or - for standard input."
            )
        keeps = "; Enter for the one that is known" if has_one else "; Enter to skip it" if may_skip else ""
        question = f"Access code of {name} ({network_page(traits)}{keeps})"
        while True:
            text = code_in(click.prompt(question, hide_input=True, err=True, default="", show_default=False))
            if not text and has_one:
                return None
            if not text and may_skip:
                raise Skipped
            fault = code_fault(text)
            if fault is None:
                return Secret(text)
            click.echo(f"That cannot be it: {fault}.", err=True)

    def accepts_change(self, name: str, pinned: str | None, shown: str | None) -> None:
        """Show that a certificate has changed, and ask; raises IdentityMismatch unless it is accepted."""
        click.echo(
            f"The certificate of {name} has changed.\n  trusted until now  {pinned}\n  shown now          {shown}\n"
            "After a repair or a factory reset that is right. If there was none, somebody may be in between, and would"
            " get the access code.",
            err=True,
        )
        if self._yes:
            return
        if not self.is_there:
            raise IdentityMismatch(
                f"The certificate of {name} has changed, and without a terminal nobody can say whether that is right:"
                " add --yes if it is."
            )
        if not click.confirm("Trust the new one?", default=False, err=True):
            raise IdentityMismatch(f"{name} stays as it was: its new certificate was not accepted.")

    def chooses(self, count: int) -> tuple[int, ...] | None:
        """Ask which lines of a table are meant, counted from 0; None: look again."""
        while True:
            text = click.prompt(
                "Which ones? Numbers such as 1,3-5, or all; Enter to look again",
                err=True,
                default="",
                show_default=False,
            ).strip()
            if not text:
                return None
            try:
                return chosen(text, count)
            except ValueError as error:
                click.echo(f"{str(error).capitalize()}.", err=True)

    def wants_to_look_again(self) -> bool:
        """Ask whether to go on looking."""
        return bool(click.confirm("Look again?", default=True, err=True))


def code_from(source: str) -> Secret:
    """Return the access code in the first line of a file, or of standard input for `-`. Raises UsageError."""
    try:
        if source == "-":
            raw = sys.stdin.buffer.readline(_MAX_BYTES)
        else:
            with Path(source).open("rb") as stream:
                raw = stream.readline(_MAX_BYTES)
            if Path(source).stat().st_mode & S_IROTH:
                click.echo(f"warning: others on this machine can read {source}: chmod 600 it", err=True)
    except OSError as error:
        raise UsageError(f"{source}: the access code cannot be read: {error.strerror}.") from error
    text = code_in(raw.decode("utf-8-sig", "replace"))
    fault = code_fault(text)
    if fault is not None:
        where = "standard input" if source == "-" else source
        raise UsageError(f"{where}: {fault} (its first line is read).")
    return Secret(text)
