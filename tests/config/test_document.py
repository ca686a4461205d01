import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.config.document import MAX_BYTES, MAX_DEPTH, Mapping, Null, Text, Unreadable, parse, plain, shown

Tree = None | str | list["Tree"] | dict[str, "Tree"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
trees: st.SearchStrategy[Tree] = st.recursive(
    st.none() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def read(text: str) -> Tree:
    return plain(parse(text.encode()))


def faults(text: str) -> list[tuple[int, str]]:
    node = parse(text.encode())
    assert isinstance(node, Mapping)
    return node.faults


@pytest.mark.parametrize("written", ["01234567", "030120000000007", "1e5", "yes", "0x10", "12:30", "2026-11-22", "1_0"])
def test_scalars_keep_the_text_that_was_written(written: str) -> None:
    assert read(f"key: {written}") == {"key": written}


@pytest.mark.parametrize("written", ["", "~", "null", "Null", "NULL"])
def test_null_is_null_only_without_quotes(written: str) -> None:
    assert read(f"key: {written}") == {"key": None}
    assert read(f"key: '{written}'") == {"key": written}


def test_every_node_knows_its_line() -> None:
    node = parse(b"# comment\nfirst: 1\nsecond:\n  - a\n")
    assert isinstance(node, Mapping)
    assert node.entries["first"] == (2, Text(2, "1"))
    assert node.entries["second"][0] == 3


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"# only a comment\n", b"---\n", b"\xef\xbb\xbf"])
def test_a_document_without_content_is_null(raw: bytes) -> None:
    assert isinstance(parse(raw), Null)


def test_a_byte_order_mark_is_not_part_of_the_first_key() -> None:
    assert plain(parse(b"\xef\xbb\xbfkey: a\r\n")) == {"key": "a"}


def test_a_key_that_stands_twice_is_a_fault_and_the_first_one_stays() -> None:
    assert read("a: 1\nb: 2\na: 3\n") == {"a": "1", "b": "2"}
    assert faults("a: 1\nb: 2\na: 3\n") == [(3, "`a` stands here twice (first in line 1); keep one")]


@pytest.mark.parametrize("text", ["{a: 1}: 2", "[a]: 2", "? {}\n: 2"])
def test_a_key_that_is_no_text_is_a_fault(text: str) -> None:
    assert faults(text) == [(1, "a key must be text; quote text that begins with { or [")]


def test_a_missing_key_is_a_fault() -> None:
    assert faults("~: value") == [(1, "a key is missing before the colon")]


@pytest.mark.parametrize(
    ("raw", "line", "words"),
    [
        (b"a: 1\nb: [1\n", 3, "not YAML"),
        (b"a: 1\n\tb: 2\n", 2, "begins with a tab"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        ("a: ä".encode("utf-16"), 1, "UTF-8"),
        (b"a: 1\nb: \x01\n", 2, "control character"),
        (b"a: 1\n---\nb: 1\n", 2, "second document"),
        (b"a: !!python/object:os.system x\n", 1, "tag"),
        (b"a:\n- !secret x\n", 2, "tag"),
        (b"a: 1\nb: *nothing\n", 2, "alias"),
        (b"a: &a [*a]\n", 1, "alias"),
        (b"a: " + b"[" * (MAX_DEPTH + 1), 1, "levels deep"),
        (b"[" * 100_000, 1, "levels deep"),
        (b"a: " + b"x" * MAX_BYTES, 1, "larger than"),
    ],
)
def test_what_is_no_document_is_unreadable_with_its_line(raw: bytes, line: int, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(raw)
    assert words in str(caught.value)
    assert caught.value.line == line


def test_an_alias_means_what_its_anchor_holds() -> None:
    assert read("a: &ports {mqtt: 1}\nb: *ports\nc: &n x\nd: *n\n") == {
        "a": {"mqtt": "1"},
        "b": {"mqtt": "1"},
        "c": "x",
        "d": "x",
    }


def test_aliases_cannot_make_a_small_file_huge() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 10)}]" for level in range(1, 12)]
    with pytest.raises(Unreadable, match="fewer aliases"):
        parse("\n".join(lines).encode())


@pytest.mark.parametrize(
    "text", ["password: *hunter2", "password: !hunter2 x", "password: @hunter2", "a: {hunter2, {x"]
)
def test_an_unreadable_document_is_not_quoted_in_the_message(text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(text.encode())
    assert "hunter2" not in str(caught.value)


@given(trees)
def test_what_a_yaml_writer_writes_is_read_back(tree: Tree) -> None:
    assert plain(parse(yaml.safe_dump(tree).encode())) == tree


@given(st.binary(max_size=200) | st.text("{}[]&*!|>-:,#? ab\n\t'\"%", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_unreadable(raw: bytes) -> None:
    with contextlib.suppress(Unreadable):
        plain(parse(raw))


def test_shown_text_is_printable_and_short() -> None:
    assert shown("a\x1b[31m\nb") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b"
    assert len(shown("x" * 1000)) == 40


@pytest.mark.parametrize("text", ["printago:\n\thost: h\n", "printers:\n  - serial: x\n  \tname: y\n"])
def test_a_tab_at_the_beginning_of_a_line_is_named(text: str) -> None:
    with pytest.raises(Unreadable, match="begins with a tab"):
        parse(text.encode())
