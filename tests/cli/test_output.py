"""Results on a full disk, to a reader that went away, to nobody, and to a terminal with an old encoding."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.cli.output import OutputFailed, abandon_stdout, guarded_stdout, legible, show_json
from tests.e2e.bench import ROOT, Service
from tests.e2e.cloud import Tree

NAME = "Lüfter „Größe“ 🖨"


@pytest.fixture
def named(desk: Service, config: Tree) -> Service:
    """A command line whose printer has a name that not every encoding has."""
    desk.write(config | {"printers": [config["printers"][0] | {"name": NAME}]})
    return desk


def ended(service: Service, *argv: str, stdout: Any, encoding: str = "utf-8") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*service.argv, *argv], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, check=False, timeout=40,
        env={**os.environ, "HOME": str(service.folder), "PYTHONIOENCODING": encoding},
    )  # fmt: skip


@pytest.mark.parametrize(
    "argv", [["printers"], ["printers", "--json"], ["check"], ["--help"], ["send", "-h"]], ids=" ".join
)
def test_a_full_disk_is_told_in_a_sentence(named: Service, argv: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = ended(named, *argv, stdout=full)
    assert (done.returncode, done.stderr.decode()) == (
        1, "bambu-connector: The output cannot be written: No space left on device.\n",
    )  # fmt: skip


def test_where_nothing_at_all_can_be_told_it_still_ends(named: Service) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*named.argv, "printers"], cwd=ROOT, stdout=full, stderr=full, check=False, timeout=40)
    assert done.returncode == 1


@pytest.mark.parametrize("argv", [["printers"], ["printers", "--json"], ["check"]], ids=" ".join)
def test_closed_streams_are_nobody_who_listens(named: Service, argv: list[str]) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *(str(part) for part in (*named.argv, *argv))]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, check=False, timeout=40)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_are_shown_as_well_as_the_terminal_can(named: Service, encoding: str) -> None:
    done = ended(named, "printers", stdout=subprocess.PIPE, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert NAME.encode(encoding, "replace") in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_json_is_utf_8_whatever_the_terminal_is(named: Service, encoding: str) -> None:
    done = ended(named, "printers", "--json", stdout=subprocess.PIPE, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode("utf-8"))[0]["name"] == NAME


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_sentences_reach_stderr_in_every_encoding(named: Service, encoding: str) -> None:
    done = ended(named, "status", "nobödy", stdout=subprocess.PIPE, encoding=encoding)
    assert done.returncode == 2
    assert b"There is no printer" in done.stderr
    assert b"Traceback" not in done.stderr


# -- the same, in this process ---------------------------------------------------------------------


def test_a_failure_of_stdout_is_told_from_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full, Path("/dev/full").open("wb", 0) as other:
        monkeypatch.setattr(sys, "stdout", full)
        with guarded_stdout():
            sys.stdout.write("much")
            with pytest.raises(OutputFailed, match="No space left"):
                sys.stdout.flush()
            abandon_stdout()
            sys.stdout.flush()
            with pytest.raises(OSError, match="No space left") as error:
                other.write(b"x")
            assert not isinstance(error.value, OutputFailed)
        assert sys.stdout is full


def test_a_stdout_without_a_descriptor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    with guarded_stdout():
        assert sys.stdout is text


def test_json_is_shown_for_people_to_read(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    show_json({"name": NAME})
    assert capfdbinary.readouterr().out == f'{{\n  "name": "{NAME}"\n}}\n'.encode()


def test_what_a_stranger_says_moves_no_cursor_and_turns_no_line_around() -> None:
    assert legible(NAME) == NAME
    assert legible("one\ntwo, naïve 3\u00a0°C") == "one\ntwo, naïve 3\u00a0°C"
    assert legible("a\x1b[2J\x07\x9b31m\r\u202eb\u2028\ud800") == "a\ufffd[2J\ufffd\ufffd31m\ufffd\ufffdb\ufffd\ufffd"
