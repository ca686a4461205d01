"""`pair --from CSV`: each printer for itself, and a file with mistakes contacts nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bambu_connector.secret import Secret
from tests.cli.pairing_bench import Box, box
from tests.e2e.bench import ACCESS_CODE, Workshop


@pytest.fixture
def home(workshop: Workshop, tmp_path: Path) -> Iterator[Box]:
    with box(workshop, tmp_path) as made:
        yield made


def csv(home: Box, *lines: str) -> str:
    """Write a CSV, and return its name."""
    path = home.home / "box.csv"
    path.write_text("\n".join(("address or serial;access code;name;id", *lines)), encoding="utf-8-sig")
    return str(path)


def test_one_wrong_code_fails_alone_and_a_rerun_with_the_right_one_is_all_it_needs(home: Box) -> None:
    printers = [home.printer() for _ in range(3)]
    good = [f"{each.virtual.host};{ACCESS_CODE};Printer {index};p{index}" for index, each in enumerate(printers)]
    done = home.pair("--from", csv(home, good[0], good[1].replace(ACCESS_CODE, "87654321"), good[2]), code=5)
    assert "2 of 3 are paired." in done.stdout
    assert "✗ line 3: Printer 1: " in done.stdout
    assert "refuses the access code" in done.stdout
    assert done.stdout.count("✓ line") == 2
    assert "line 3 (Printer 1)" in done.stderr
    assert "87654321" not in done.stdout + done.stderr
    stored = [home.paired(each) for each in printers]
    assert [each and (each.id, each.access_code) for each in stored] == [
        ("p0", Secret(ACCESS_CODE)), None, ("p2", Secret(ACCESS_CODE)),
    ]  # fmt: skip
    again = home.pair("--from", csv(home, *good))
    assert "3 of 3 are paired." in again.stdout
    assert again.stdout.count("paired anew") == 2


def test_mistakes_are_said_at_once_and_nobody_is_contacted(home: Box) -> None:
    printer = home.printer()
    file = csv(home, f"{printer.virtual.host};{ACCESS_CODE};A;a/b", "10.0.0.1;;B", "not an address;12345678")
    done = home.pair("--from", file, code=2)
    assert [line.rpartition("box.csv:")[2].partition(":")[0] for line in done.stderr.splitlines()] == ["2", "3", "4"]
    assert done.stdout == ""
    assert printer.virtual.connects == 0


def test_two_lines_that_are_one_printer_pair_it_once(home: Box) -> None:
    printer = home.printer()
    home.pair("--from", csv(home, f"{printer.virtual.host};{ACCESS_CODE}"))
    file = csv(home, f"{printer.virtual.host};{ACCESS_CODE}", f"{printer.serial};{ACCESS_CODE}")
    done = home.pair("--from", file, code=2)
    assert "1 of 2 are paired." in done.stdout
    assert "names already" in done.stdout


def test_a_changed_certificate_fails_its_line_unless_yes_is_said(home: Box) -> None:
    printer, other = home.printer(), home.printer()
    lines = [f"{each.virtual.host};{ACCESS_CODE}" for each in (printer, other)]
    home.pair("--from", csv(home, *lines))
    home.workshop.run(printer.virtual.change_certificate())
    seen = printer.virtual.credentials_seen
    done = home.pair("--from", csv(home, *lines), code=6)
    assert "1 of 2 are paired." in done.stdout
    assert "--yes" in done.stdout
    assert printer.virtual.credentials_seen == seen
    home.pair("--from", csv(home, *lines), "--yes")


def test_a_name_that_another_printer_has_already_is_noted(home: Box) -> None:
    first, second = home.printer(), home.printer()
    home.pair("--from", csv(home, f"{first.virtual.host};{ACCESS_CODE};Twin"))
    done = home.pair("--from", csv(home, f"{second.virtual.host};{ACCESS_CODE};Twin"))
    assert f"note: {first.serial} is called Twin as well" in done.stdout


def test_a_file_that_is_not_there_is_wrong_usage(home: Box) -> None:
    assert "cannot be read" in home.pair("--from", "nowhere.csv", code=2).stderr


def test_standard_input_is_a_dash(home: Box) -> None:
    printer = home.printer()
    done = home.pair("--from", "-", stdin=f"{printer.virtual.host},{ACCESS_CODE},Left\n")
    assert "1 of 1 are paired." in done.stdout
