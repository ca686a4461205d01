from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.errors import FileInvalid
from bambu_connector.links.file_names import check_folder, check_name, check_new_name, is_one_name


@pytest.mark.parametrize("name", ["a.gcode.3mf", " leading", "two  spaces", "ümlaut 计.3mf", "a" * 255, "..a", "a-b"])
def test_ordinary_names_pass(name: str) -> None:
    check_name(name)
    assert is_one_name(name)


def test_a_name_with_a_dash_in_front_is_a_files_name_and_none_that_we_give() -> None:
    check_name("-holiday.3mf")
    with pytest.raises(FileInvalid, match="dash"):
        check_new_name("-holiday.3mf")


@pytest.mark.parametrize("folder", ["/", "/cache", "/model/a b", "/timelapse/"])
def test_ordinary_folders_pass(folder: str) -> None:
    check_folder(folder)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "not a name"),
        (".", "not a name"),
        ("..", "not a name"),
        ("/etc/passwd", "not a name"),
        ("a/b", "not a name"),
        ("a\\b", "not a name"),
        ("a\r\nDELE b", "not a name"),
        ("a\0", "not a name"),
        ("a\x85b", "not a name"),
        ("\x1b[2J", "not a name"),
        ("-rf", "dash"),
        ("a" * 256, "longer than 255"),
        ("ü" * 128, "longer than 255"),
        ("\ud800.3mf", "UTF-8"),
    ],
)
def test_a_bad_name_is_refused_with_a_sentence_that_is_one_line(name: str, why: str) -> None:
    with pytest.raises(FileInvalid, match=why) as caught:
        check_new_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "folder", ["", "cache", "/../etc", "/a/..", "/./a", "/a\nb", "/a\\b", "/" + "a" * 1024, "/\udc00"]
)
def test_a_bad_folder_is_refused(folder: str) -> None:
    with pytest.raises(FileInvalid) as caught:
        check_folder(folder)
    assert str(caught.value).isprintable()


def refused(check: Callable[[str], None], name: str) -> bool:
    try:
        check(name)
    except FileInvalid:
        return True
    return False


nasty = st.text(st.sampled_from("a.-/\\\r\n\0\x7f\x85ü\ud800 "), max_size=12) | st.text(max_size=300)


@given(nasty)
def test_what_passes_is_one_argument_of_one_command(name: str) -> None:
    if refused(check_name, name):
        return
    sent = name.encode()
    assert 0 < len(sent) <= 255
    assert not {*b"\r\n\0/\\"} & {*sent}
    assert name not in (".", "..")
    assert is_one_name(name)


@given(nasty)
def test_a_folder_that_passes_stays_where_it_says(folder: str) -> None:
    if refused(check_folder, folder):
        return
    assert folder.startswith("/")
    assert not {*b"\r\n\0"} & {*folder.encode()}
    assert ".." not in folder.split("/")
