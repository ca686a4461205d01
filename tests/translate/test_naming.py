"""Names on a printer: ours, plain, short, and never the same twice."""

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.translate.naming import file_name, is_gcode, print_name, stem

MAX_BYTES: Final = 100
PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NUMBERS: Final = st.integers(1, 2**31 - 1)


@pytest.mark.parametrize(
    ("requested", "name"),
    [
        ("bracket.gcode.3mf", "bracket-2s"),
        ("bracket.3mf", "bracket-2s"),
        ("Bracket.GCODE.3MF", "Bracket-2s"),
        ("bracket", "bracket-2s"),
        ("my part (v2).3mf", "my-part-v2-2s"),
        ("Häkchen für Tür.3mf", "Hakchen-fur-Tur-2s"),
        ("../../etc/passwd", "etc-passwd-2s"),
        ("..", "print-2s"),
        ("", "print-2s"),
        ("支架.3mf", "print-2s"),
        (".hidden.gcode", "hidden-2s"),
        ("-rf.3mf", "rf-2s"),
        ("x" * 300 + ".3mf", "x" * 40 + "-2s"),
    ],
)
def test_a_name_stays_readable(requested: str, name: str) -> None:
    assert print_name(requested, 100) == name
    assert file_name(requested, 100) == f"{name}.gcode.3mf"
    assert file_name(requested, 100, plain_gcode=True) == f"{name}.gcode"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.gcode.3mf", "a"), ("a.3mf", "a"), ("a.gcode", "a"), ("a.GCODE", "a"), ("a.3mf.zip", "a.3mf.zip"), ("a", "a")],
)
def test_only_the_endings_of_sliced_files_are_cut_off(name: str, expected: str) -> None:
    assert stem(name) == expected


@pytest.mark.parametrize(
    ("name", "plain"), [("a.gcode", True), ("A.GCODE", True), ("a.gcode.3mf", False), ("a", False)]
)
def test_plain_g_code_is_told_by_its_ending(name: str, plain: bool) -> None:
    assert is_gcode(name) is plain


@given(st.text(max_size=300), NUMBERS, st.booleans())
def test_every_name_is_safe_on_every_card(requested: str, number: int, plain: bool) -> None:
    name = file_name(requested, number, plain_gcode=plain)
    assert PLAIN.fullmatch(name), name
    assert len(name.encode()) <= MAX_BYTES
    assert name.endswith(".gcode" if plain else ".gcode.3mf")
    assert is_gcode(name) is plain


@given(st.text(max_size=60), st.text(max_size=60), NUMBERS, NUMBERS)
def test_no_two_jobs_ever_share_a_name(one: str, other: str, first: int, second: int) -> None:
    assert (print_name(one, first).lower() == print_name(other, second).lower()) <= (first == second)


@given(st.text(max_size=60), NUMBERS)
def test_the_same_job_has_the_same_name_again(requested: str, number: int) -> None:
    assert print_name(requested, number) == print_name(requested, number)
    assert stem(file_name(requested, number)) == print_name(requested, number)
