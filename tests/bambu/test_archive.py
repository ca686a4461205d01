"""ZIP archives from strangers: what is refused before anything is read."""

import io
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.bambu.archive import MAX_DIRECTORY_BYTES, MAX_ENTRIES, SMALL_BYTES, Archive
from bambu_connector.errors import FileInvalid
from tests.files import zipped

CENTRAL = b"PK\x01\x02"


def archive(raw: bytes) -> Archive:
    return Archive(io.BytesIO(raw))


def reason(raw: bytes) -> str:
    with pytest.raises(FileInvalid) as refused:
        archive(raw)
    return str(refused.value)


def with_entry(change: Callable[[zipfile.ZipInfo], None], content: bytes = b"x") -> bytes:
    """Return an archive with one entry whose description is changed before it is written."""
    buffer, entry = io.BytesIO(), zipfile.ZipInfo("entry")
    change(entry)
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(entry, content)
    return buffer.getvalue()


def patched(raw: bytes, offset: int, form: str, value: int) -> bytes:
    """Return the archive with a field of its last central entry overwritten."""
    at = raw.rindex(CENTRAL) + offset
    return raw[:at] + struct.pack(form, value) + raw[at + struct.calcsize(form) :]


def bomb(expanded: int) -> bytes:
    """A small archive whose entry unpacks to that many zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made, made.open("zeros", "w") as entry:
        for _ in range(expanded >> 20):
            entry.write(bytes(1 << 20))
    return buffer.getvalue()


def test_a_sound_archive_is_read_by_name() -> None:
    found = archive(zipped({"a": b"1", "Metadata/b.config": b"22", "empty": b""}))
    assert found.names == ("a", "Metadata/b.config", "empty")
    assert (found.size("Metadata/b.config"), found.size("empty"), found.size("c")) == (2, 0, None)
    assert (found.read("Metadata/b.config", 2), found.read("c", 2)) == (b"22", None)


def test_an_entry_larger_than_asked_for_is_refused() -> None:
    with pytest.raises(FileInvalid, match="larger"):
        archive(zipped({"a": b"123"})).read("a", 2)


def test_a_large_entry_comes_in_blocks() -> None:
    content = bytes(range(256)) * 1000
    blocks = list(archive(zipped({"a": content})).blocks("a"))
    assert len(blocks) > 1
    assert b"".join(blocks) == content


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"  <HTML>", "web page"),
        (b'{"error": "gone"}', "no ZIP"),
        (b"G28\nG1 X1\n", "no ZIP"),
        (zipped({"a": b"1" * 500})[:-30], "incomplete"),
        (zipped({}), "damaged"),
    ],
)
def test_what_is_no_archive_is_called_what_it_is(raw: bytes, sentence: str) -> None:
    assert sentence in reason(raw)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up", "a/../../up", "a\\b", "..\\up", "C:/x", "c:x", "a\nb", "tab\t", "a\x7f", "..", "a/.."],
)
def test_names_that_leave_the_archive_are_refused(name: str) -> None:
    assert "name" in reason(zipped({name: b"1"}))


@pytest.mark.parametrize("name", ["..a", "a..b/c", "Auxiliaries/Ünï 図\u202f1.png", "[Content_Types].xml", "ab:c"])
def test_odd_names_that_stay_inside_are_fine(name: str) -> None:
    assert archive(zipped({"first": b"", name: b"1"})).read(name, 1) == b"1"


def test_two_entries_of_one_name_are_refused() -> None:
    raw = zipped({"aaaa": b"1", "aaab": b"2"}).replace(b"aaab", b"aaaa")
    assert "same name" in reason(raw)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = (kind | 0o777) << 16

    assert "link or device" in reason(with_entry(change))


@pytest.mark.parametrize("kind", [0, stat.S_IFREG, stat.S_IFDIR])
def test_files_and_folders_are_fine(kind: int) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = (kind | 0o644) << 16

    assert archive(with_entry(change)).names == ("entry",)


@pytest.mark.parametrize("flag", [0x0001, 0x0040, 0x2000])
def test_encrypted_entries_are_refused(flag: int) -> None:
    assert "encrypted" in reason(patched(zipped({"a": b"1"}), 8, "<H", flag))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack_are_refused(method: int) -> None:
    def change(entry: zipfile.ZipInfo) -> None:
        entry.compress_type = method

    assert "packed" in reason(with_entry(change))


def test_a_bomb_is_refused_by_its_directory() -> None:
    raw = bomb(SMALL_BYTES + (1 << 20))
    assert len(raw) < 1 << 20
    assert "unpack" in reason(raw)


def test_a_bomb_in_many_parts_is_refused() -> None:
    part = bytes(SMALL_BYTES // 4)
    assert "unpack" in reason(zipped({f"part{number}": part for number in range(5)}))


def test_what_packs_well_and_is_small_is_fine() -> None:
    assert archive(bomb(8 << 20)).size("zeros") == 8 << 20


def test_more_than_a_card_can_hold_is_refused() -> None:
    raw = zipped({"a": b"1", "b": b"2"})
    sizes = struct.pack("<2I", 0xFFFF_FFF0, 0xFFFF_FFF0)  # packed and not: the ratio is no reason
    for at in (raw.index(CENTRAL), raw.rindex(CENTRAL)):
        raw = raw[: at + 20] + sizes + raw[at + 28 :]
    assert "unpack" in reason(raw)


def test_an_entry_that_tells_too_small_a_size_is_not_read_beyond_it() -> None:
    raw = patched(zipped({"a": bytes(1 << 20)}), 24, "<I", 10)
    with pytest.raises(FileInvalid, match="damaged"):
        archive(raw).read("a", 100)


def test_a_wrong_checksum_is_found_at_the_end() -> None:
    raw = patched(zipped({"a": b"abc"}), 16, "<I", 1)
    with pytest.raises(FileInvalid, match="damaged"):
        archive(raw).read("a", 100)


def test_overlapping_entries_are_refused() -> None:
    raw = zipped({"a": b"x" * 1000, "b": b"x" * 1000})
    assert "overlap" in reason(patched(raw, 42, "<I", 0))


def test_an_entry_outside_the_file_is_refused() -> None:
    assert "overlap" in reason(patched(zipped({"a": b"1"}), 42, "<I", 1 << 30))


def test_too_many_entries_are_refused() -> None:
    assert f"{MAX_ENTRIES + 1} entries" in reason(zipped({f"{number}": b"" for number in range(MAX_ENTRIES + 1)}))


def test_a_huge_directory_is_refused_before_it_is_read() -> None:
    count = MAX_DIRECTORY_BYTES // 46 + 1
    directory = (CENTRAL + bytes(42)) * count
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), 0, 0)
    assert "directory" in reason(directory + end)


SOUND = zipped({"a": b"1" * 300, "Metadata/b.config": b"22" * 100, "c": b""})


def read_all(raw: bytes) -> None:
    """Read every entry, or be refused."""
    with suppress(FileInvalid):
        found = archive(raw)
        for name in found.names:
            found.read(name, 1000)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=4)), max_size=4),
    st.integers(0, 40),
)
def test_a_damaged_archive_is_refused_or_read_in_little_memory(changes: list[tuple[int, bytes]], cut: int) -> None:
    raw = bytearray(SOUND[: len(SOUND) - cut])
    for at, content in changes:
        raw[at : at + len(content)] = content
    tracemalloc.start()
    read_all(bytes(raw))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
