import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.config.document import parse
from bambu_connector.config.reading import Notes, Section, closing

FILE = Path("/etc/bambu-connector/connector.yaml")


def section(text: str, **environ: str) -> Section:
    return Section(Notes(FILE, environ), parse(text.encode()), "part")


def problems(of: Section) -> list[str]:
    prefix = f"{FILE}:"
    return [sentence.removeprefix(prefix) for _, sentence in of.notes.problems]


def test_a_problem_names_file_line_and_key() -> None:
    part = section("a: 1\nport: abc\n")
    part.integer("port", 1, 1, 9)
    assert part.notes.problems == [(2, f"{FILE}:2: part.port: a whole number belongs here, not `abc`")]


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    part = section("Pasword: x\nhsot: y\nzebra: z\n")
    with closing(part):
        part.text("password")
        part.text("host")
    assert problems(part) == [
        "1: part.Pasword: there is no such key; did you mean `password`?",
        "2: part.hsot: there is no such key; did you mean `host`?",
        "3: part.zebra: there is no such key; what can stand here: password, host",
    ]


@pytest.mark.parametrize("text", ["[1, 2]", "hello"])
def test_a_section_that_is_no_mapping_is_one_problem(text: str) -> None:
    part = section(text)
    with closing(part):
        assert part.required_text("host") == ""
    assert problems(part) == ["1: part: keys with values belong here, such as `key: value`"]


# -- text and the environment ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"${USER_NAME}"', "farm"),
        ('"a${USER_NAME}b${USER_NAME}"', "afarmbfarm"),
        ('"$${USER_NAME}"', "${USER_NAME}"),
        ("$5 and $$5", "$5 and $$5"),
        ("01234567", "01234567"),
        ('"${TRICK}"', "${USER_NAME}"),
    ],
)
def test_text_takes_the_environment_once(written: str, meant: str) -> None:
    part = section(f"key: {written}", USER_NAME="farm", TRICK="${USER_NAME}")
    assert part.text("key") == meant
    assert problems(part) == []


def test_an_environment_variable_that_is_not_set_is_named() -> None:
    part = section("key: ${NOPE}")
    assert part.optional_text("key") is None
    assert "the environment variable NOPE is not set" in problems(part)[0]


@pytest.mark.parametrize("written", ["'${'", "'${}'", "'${a-b}'", "'x${1}'"])
def test_a_broken_reference_says_how_to_write_one(written: str) -> None:
    part = section(f"key: {written}")
    part.text("key")
    assert "`$${`" in problems(part)[0]


@pytest.mark.parametrize("written", ["[a]", "{a: b}", "''", "'  '", '"a\\nb"', '"a\\x1bb"'])
def test_what_is_no_plain_text_is_a_problem(written: str) -> None:
    part = section(f"key: {written}")
    assert part.optional_text("key") is None
    assert len(problems(part)) == 1


def test_absent_and_null_are_the_same() -> None:
    part = section("key:\n")
    assert part.text("key", "usual") == "usual"
    assert part.text("other", "usual") == "usual"
    assert part.says_null("key")
    assert not part.says_null("other")
    assert part.required_text("key") == ""
    assert problems(part) == ["1: part.key: this is missing"]


def test_one_text_stands_for_a_list_of_one() -> None:
    part = section("one: a\nmany: [a, b]\nnone: []\nbad: [a, [b]]")
    assert (part.texts("one"), part.texts("many"), part.texts("none")) == (("a",), ("a", "b"), ())
    assert part.texts("absent") is None
    part.texts("bad")
    assert problems(part) == ["4: part.bad[1]: text belongs here, and there is a list; quotes make text of anything"]


# -- numbers, truth, choices -----------------------------------------------------------------------


@pytest.mark.parametrize(("written", "meant"), [("8", 8), ("+8", 8), ("8.0", 8), ("'8'", 8), ("08", 8), ("8.", 8)])
def test_whole_numbers_can_be_written_in_many_ways(written: str, meant: int) -> None:
    part = section(f"key: {written}")
    assert part.integer("key", 1, 0, 99) == meant
    assert problems(part) == []


@pytest.mark.parametrize(
    "written", ["abc", "1.5", "0x10", "1_000", "٣", ".nan", "9" * 5000, "1e1", "[1]", "true", "--1"]
)
def test_what_is_no_whole_number_is_a_problem(written: str) -> None:
    part = section(f"key: {written}")
    part.integer("key", 1, 0, 99)
    assert len(problems(part)) == 1


@pytest.mark.parametrize("written", [".nan", "nan", "inf", "-.inf", "1e999", "1,5", "ten", "{}", "-1", "11"])
def test_what_is_no_number_in_range_is_a_problem(written: str) -> None:
    part = section(f"key: {written}")
    assert math.isfinite(part.number("key", 1, 0, 10))
    assert len(problems(part)) == 1


@pytest.mark.parametrize(("written", "meant"), [("1", 1.0), (".5", 0.5), ("1.5", 1.5), ("1e1", 10.0), ("0", 0.0)])
def test_numbers_can_be_written_in_many_ways(written: str, meant: float) -> None:
    part = section(f"key: {written}")
    assert part.number("key", 7, 0, 10) == meant
    assert problems(part) == []


def test_a_range_is_told_with_the_problem() -> None:
    part = section("port: 70000")
    part.integer("port", 1, 1, 65535)
    assert problems(part) == ["1: part.port: `70000` is out of range; from 1 to 65535 is possible"]


@pytest.mark.parametrize(
    ("written", "meant"), [("true", True), ("Yes", True), ("ON", True), ("no", False), ("off", False)]
)
def test_truth_has_several_words(written: str, meant: bool) -> None:
    assert section(f"key: {written}").boolean("key", default=not meant) is meant


def test_what_is_neither_true_nor_false_is_a_problem() -> None:
    part = section("key: maybe")
    assert part.boolean("key", default=True) is True
    assert problems(part) == ["1: part.key: true or false belongs here, not `maybe`"]


def test_a_choice_names_its_options() -> None:
    part = section("good: P\nbad: p\n")
    assert part.choice("good", ("P", "C")) == "P"
    assert part.choice("bad", ("P", "C")) is None
    assert problems(part) == ["2: part.bad: `p` is none of the possible values: P, C"]


# -- secrets and files -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_a_secret_file_is_read_without_its_line_end(tmp_path: Path, ending: str) -> None:
    (tmp_path / "code").write_bytes(b" pass word" + ending.encode())
    part = Section(Notes(tmp_path / "connector.yaml", {}), parse(b"code_file: code"), "")
    secret = part.secret("code")
    assert secret is not None
    assert secret.reveal() == " pass word"
    assert problems(part) == []


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff\xfe", b"x" * 100_000])
def test_a_secret_file_without_one_secret_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "code").write_bytes(content)
    part = Section(Notes(tmp_path / "connector.yaml", {}), parse(b"code_file: code"), "")
    assert part.secret("code") is None
    assert len(problems(part)) == 1


@pytest.mark.parametrize("named", ["hunter2", "x" * 300, "/", "~/hunter2"])
def test_a_secret_file_that_is_none_is_a_problem_without_its_text(tmp_path: Path, named: str) -> None:
    part = Section(
        Notes(tmp_path / "connector.yaml", {"HOME": str(tmp_path)}), parse(f"code_file: {named}".encode()), ""
    )
    assert part.secret("code") is None
    assert "there is no such file" in problems(part)[0]
    assert "hunter2" not in problems(part)[0]


def test_a_secret_and_its_file_together_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "code").write_text("a")
    part = Section(Notes(tmp_path / "connector.yaml", {}), parse(b"code: a\ncode_file: code"), "")
    part.secret("code")
    assert "`code` is there as well" in problems(part)[0]


def test_only_a_secret_that_stands_in_the_file_counts_as_written_there() -> None:
    part = section("a: hunter2\nb: ${CODE}\nc: x$${CODE}\n", CODE="hunter2")
    for key in ("a", "b", "c"):
        part.secret(key)
    assert part.notes.secret_lines == [1, 3]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).filter(str.strip))
def test_a_secret_keeps_its_text_and_hides_it(text: str) -> None:
    quoted = text.replace("'", "''").replace("${", "$${")
    secret = section(f"code: '{quoted}'").secret("code")
    assert secret is not None
    assert secret.reveal() == text
    assert repr(secret) == str(secret) == "Secret()"


def test_paths_start_from_the_folder_of_the_file_or_the_home_directory() -> None:
    notes = Notes(FILE, {"HOME": "/home/ada"})
    assert notes.path("ca.pem") == Path("/etc/bambu-connector/ca.pem")
    assert notes.path("/srv/ca.pem") == Path("/srv/ca.pem")
    assert notes.path("~/ca.pem") == Path("/home/ada/ca.pem")


def test_a_list_of_sections_knows_its_places() -> None:
    part = section("list:\n - a\n - b\nnone:\nwrong: {}\n")
    assert [path for _, path in part.items("list")] == ["part.list[0]", "part.list[1]"]
    assert list(part.items("none")) == []
    assert list(part.items("wrong")) == []
    assert "a list belongs here" in problems(part)[0]
