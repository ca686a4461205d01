"""What only a person knows: asked for at a terminal, read from a file, and never shown."""

import io
from pathlib import Path

import click
import pytest

from bambu_connector.bambu.models import TRAITS, Model
from bambu_connector.cli.asking import Person, Skipped, code_from
from bambu_connector.errors import IdentityMismatch, UsageError
from bambu_connector.secret import Secret

P1S = TRAITS[Model.P1S]


class AtTerminal(Person):
    """Somebody who is there."""

    @property
    def is_there(self) -> bool:
        return True


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str | bool]:
    """What is typed, in order; `asked` questions are checked by their options."""
    typed: list[str | bool] = []

    def prompt(text: str, **options: object) -> str:
        if "Access code" in text:
            assert options["hide_input"] is True
        assert options["err"] is True
        return str(typed.pop(0))

    def confirm(_text: str, **options: object) -> bool:
        assert options["err"] is True
        return bool(typed.pop(0))

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(click, "confirm", confirm)
    return typed


def test_a_code_that_cannot_be_one_is_asked_for_again_without_showing_it(
    answers: list[str | bool], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["", "1234567", "0123 567", "01234567"]
    assert AtTerminal().access_code("Left", P1S, has_one=False) == Secret("01234567")
    shown = capsys.readouterr().err
    assert shown.count("That cannot be it") == 3
    assert "1234567" not in shown


def test_what_is_wrong_with_a_typed_code_is_said_without_what_a_spreadsheet_does(
    answers: list[str | bool], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["1234567", "01P00A000000001", "01234567"]
    AtTerminal().access_code("Left", P1S, has_one=False)
    shown = capsys.readouterr().err
    assert "only 7 digits of 8." in shown
    assert "spreadsheet" not in shown
    assert "columns" not in shown


def test_a_code_may_be_typed_in_groups_as_screens_show_it(answers: list[str | bool], tmp_path: Path) -> None:
    answers += [" 2222 2222 "]
    assert AtTerminal().access_code("Left", P1S, has_one=False) == Secret("22222222")
    file = tmp_path / "code"
    file.touch(0o600)
    file.write_bytes("3333\u00a04444\n".encode())
    assert code_from(str(file)) == Secret("33334444")


def test_enter_skips_one_of_several_printers_and_keeps_the_code_of_one_that_has_one(
    answers: list[str | bool],
) -> None:
    answers += ["", ""]
    with pytest.raises(Skipped):
        AtTerminal().access_code("Left", P1S, has_one=False, may_skip=True)
    assert AtTerminal().access_code("Left", P1S, has_one=True, may_skip=True) is None


def test_enter_keeps_the_code_that_is_known(answers: list[str | bool]) -> None:
    answers += [""]
    assert AtTerminal().access_code("Left", P1S, has_one=True) is None


def test_without_a_terminal_the_known_code_is_used_or_its_lack_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert Person().access_code("Left", P1S, has_one=True) is None
    with pytest.raises(UsageError, match="--access-code-file"):
        Person().access_code("Left", P1S, has_one=False)


@pytest.mark.parametrize("accepted", [True, False])
def test_a_changed_certificate_shows_both_and_is_asked_about(
    answers: list[str | bool], accepted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    answers += [accepted]
    if accepted:
        AtTerminal().accepts_change("Left", "sha256:old", "sha256:new")
    else:
        with pytest.raises(IdentityMismatch, match="not accepted"):
            AtTerminal().accepts_change("Left", "sha256:old", "sha256:new")
    shown = capsys.readouterr().err
    assert "sha256:old" in shown
    assert "sha256:new" in shown


def test_yes_accepts_a_changed_certificate_and_nobody_there_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    Person(yes=True).accepts_change("Left", "sha256:old", "sha256:new")
    with pytest.raises(IdentityMismatch, match="--yes"):
        Person().accepts_change("Left", "sha256:old", "sha256:new")


def test_a_choice_is_asked_for_until_it_is_one(answers: list[str | bool], capsys: pytest.CaptureFixture[str]) -> None:
    answers += ["9", "x", "2,1", ""]
    person = AtTerminal()
    assert person.chooses(3) == (1, 0)
    assert capsys.readouterr().err.count("\n") == 2
    assert person.chooses(3) is None


def test_the_first_line_of_a_file_is_the_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "code"
    file.touch(0o600)
    file.write_bytes(b"\xef\xbb\xbf 01234567 \r\nand a remark\n")
    assert code_from(str(file)) == Secret("01234567")
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    assert code_from(str(file)) == Secret("01234567")
    assert "chmod 600" in capsys.readouterr().err


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"01234567\n89")))
    assert code_from("-") == Secret("01234567")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read"), (b"", "missing"), ("s3cr3täxy\n".encode(), "character")]
)
def test_a_file_without_a_code_says_why_and_quotes_nothing(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "code"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=why) as error:
        code_from(str(file))
    assert "s3cr3t" not in str(error.value)
