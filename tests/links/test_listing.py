from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.links.listing import parse_listing
from bambu_connector.links.wire import StoredFile

NOW = datetime(2025, 6, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        (
            "-rw-rw-rw- 1 root root 12345 Jan 02 10:11 name with spaces",
            StoredFile("name with spaces", 12345, datetime(2025, 1, 2, 10, 11, tzinfo=UTC)),
        ),
        (
            "-rw-r--r--    1 103      106             7 Dec 31 23:59  leading",
            StoredFile(" leading", 7, datetime(2024, 12, 31, 23, 59, tzinfo=UTC)),
        ),
        ("-rw------- 1 a b 0 feb  9  2020 a.3mf", StoredFile("a.3mf", 0, datetime(2020, 2, 9, tzinfo=UTC))),
        (
            "-rw-rw-rw- 1 root root 5 Jun 16 11:00 tomorrow",
            StoredFile("tomorrow", 5, datetime(2025, 6, 16, 11, 0, tzinfo=UTC)),
        ),
        ("-rw-rw-rw- 1 root root 5 Feb 29 11:00 leap", StoredFile("leap", 5, None)),
        ("-rw-rw-rw- 1 root root 5 1月 02 10:11 chinese", StoredFile("chinese", 5, None)),
        ("-rw-rw-rw- 1 root root 5 Jan 77 2020 odd", StoredFile("odd", 5, None)),
    ],
)
def test_a_line_becomes_a_file(line: str, file: StoredFile) -> None:
    assert parse_listing(f"{line}\r\n", NOW) == (file,)


@pytest.mark.parametrize(
    "line",
    ["", "total 12", "drwxrwxrwx 2 root root 4096 Jan 02 10:11 cache", "lrwxrwxrwx 1 r r 4 Jan 02 2020 a -> b", "????"],
)
def test_what_is_no_regular_file_is_left_out(line: str) -> None:
    assert parse_listing(f"{line}\r\n-rw-rw-rw- 1 r r 1 Jan 02 2020 a\r\n", NOW)[0].name == "a"
    assert len(parse_listing(f"{line}\r\n-rw-rw-rw- 1 r r 1 Jan 02 2020 a\r\n", NOW)) == 1


@given(st.text())
def test_a_listing_of_anything_does_no_harm(text: str) -> None:
    assert isinstance(parse_listing(text, NOW), tuple)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc/passwd", "a\\b", "a\0b", "a\rb", "\x1b[31mred", "a\x85b"])
def test_a_name_that_leads_to_somewhere_else_is_left_out(name: str) -> None:
    assert parse_listing(f"-rw-rw-rw- 1 root root 5 Jan 02 2024 {name}\r\n", NOW) == ()


@pytest.mark.parametrize(
    ("size", "month", "day", "when"),
    [
        ("9" * 5000, "Jan", "02", "2024"),
        ("1" * 30, "Jan", "02", "2024"),
        ("5", "Jan", "9" * 5000, "2024"),
        ("5", "Jan", "02", "9" * 30),
        ("5", "Jan", "02", f"{'9' * 30}:00"),
        ("5", "Jan", "02", "::::"),
        ("٥", "Jan", "02", "2024"),
    ],
)
def test_numbers_beyond_all_measure_are_survived(size: str, month: str, day: str, when: str) -> None:
    files = parse_listing(f"-rw-rw-rw- 1 root root {size} {month} {day} {when} a", NOW)
    assert files in ((), (StoredFile("a", 5, None),))


@given(st.lists(st.text(st.sampled_from("-rwx 0123456789JanFebroot:\0\r\t/.\\üé"), max_size=80)))
def test_whatever_looks_like_a_listing_gives_only_names_without_a_way(lines: list[str]) -> None:
    for file in parse_listing("\n".join(f"-rw-rw-rw- 1 r r 5 Jan 02 2024 {line}" for line in lines), NOW):
        assert "/" not in file.name
        assert file.name not in ("", ".", "..")
        assert not any(ord(each) < 32 for each in file.name)
