"""A ZIP archive from a stranger, judged by its directory before anything in it is believed.

Nothing is ever extracted: entries are read by the exact names we look for, in blocks, up to a limit.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, Final

from bambu_connector.errors import FileInvalid

MAX_ENTRIES: Final = 2000  # a plate has about ten entries, a project with many parts some hundred
MAX_DIRECTORY_BYTES: Final = (
    1 << 20
)  # bounds what zipfile reads at once, before it can be asked how many entries there are
MAX_EXPANDED_BYTES: Final = 4 << 30  # what a FAT32 card can hold in one file
MAX_RATIO: Final = 100  # g-code packs 3 to 10 times, never a hundred
SMALL_BYTES: Final = 64 << 20  # what is smaller than this may pack as well as it likes
BLOCK_BYTES: Final = 1 << 16

_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, struct.error,
    EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip
"""What zipfile raises on archives that are damaged, or damaged on purpose."""

_LOCAL_HEADER_BYTES: Final = 30
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000  # plain, strong, masked directory
_READABLE_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # what 3MF allows
_STRANGE: Final = re.compile(r"^[A-Za-z]:|[\\\x00-\x1f\x7f]")  # a drive, a backslash, a control character
_ORDINARY: Final = frozenset({0, stat.S_IFREG, stat.S_IFDIR})


class _Reader:
    """The file as zipfile may see it: no huge reads, no positions that do not exist."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            size = max(0, self.size - self._file.tell())
        if size > MAX_DIRECTORY_BYTES:
            raise FileInvalid("The archive's directory is larger than that of any print file.")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = {0: 0, 1: self._file.tell(), 2: self.size}[whence]
        if not 0 <= start + offset <= self.size:
            raise zipfile.BadZipFile("position outside the file")
        return self._file.seek(start + offset)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class Archive:
    """A judged ZIP. Raises FileInvalid, with a sentence that says what is wrong, here and while reading."""

    def __init__(self, file: BinaryIO) -> None:
        reader = _Reader(file)
        try:
            self._zip = zipfile.ZipFile(reader)
        except _DAMAGE as exc:
            raise FileInvalid(_not_an_archive(file)) from exc
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise FileInvalid(f"The archive has {len(entries)} entries; no print file has more than {MAX_ENTRIES}.")
        for entry in entries:
            _judge(entry)
        _judge_sizes(entries)
        _judge_places(entries, reader.size)
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise FileInvalid("The archive has two entries of the same name.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all entries, in the directory's order."""
        return tuple(self._entries)

    def size(self, name: str) -> int | None:
        """The size in bytes that the directory tells, None when there is no such entry."""
        entry = self._entries.get(name)
        return None if entry is None else entry.file_size

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a small entry whole, None when there is no such entry; more than `limit` bytes are refused."""
        size = self.size(name)
        if size is None:
            return None
        if size > limit:
            raise FileInvalid(f"{name} in the archive is larger than that of any print file.")
        return b"".join(self.blocks(name))

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield an entry's content block by block; at its end its checksum has been compared."""
        try:
            with self._zip.open(self._entries[name]) as stream:
                while block := stream.read(BLOCK_BYTES):
                    yield block
        except _DAMAGE as exc:
            raise FileInvalid(f"{name} in the archive is damaged.") from exc


def _not_an_archive(file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(64).lstrip().lower()
    if not head:
        return "The file is empty."
    if head.startswith((b"<!doctype", b"<html")):
        return "The file is a web page, not a 3MF."
    if head.startswith(b"pk"):
        return "The file is damaged or incomplete: it begins like a 3MF and its directory cannot be read."
    return "The file is not a 3MF: it is no ZIP archive."


def _judge(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or _STRANGE.search(name):
        raise FileInvalid(f"The archive has an entry with a name that no print file has: {name[:100]!a}.")
    if entry.flag_bits & _ENCRYPTED:
        raise FileInvalid("The archive is encrypted.")
    if stat.S_IFMT(entry.external_attr >> 16) not in _ORDINARY:
        raise FileInvalid(f"The archive has an entry that is a link or device, not a file: {name[:100]!a}.")
    if entry.compress_type not in _READABLE_METHODS:
        raise FileInvalid("The archive is packed in a way that printers cannot read.")


def _judge_sizes(entries: list[zipfile.ZipInfo]) -> None:
    expanded, packed = sum(each.file_size for each in entries), sum(each.compress_size for each in entries)
    sizes = [(each.file_size, each.compress_size) for each in entries]
    if expanded > MAX_EXPANDED_BYTES or any(
        whole > SMALL_BYTES and whole > MAX_RATIO * small for whole, small in [*sizes, (expanded, packed)]
    ):
        raise FileInvalid(f"The archive would unpack to {expanded >> 20} MiB, which no print file does.")


def _judge_places(entries: list[zipfile.ZipInfo], file_size: int) -> None:
    """Refuse entries that share bytes: how a small archive unpacks to much while each of its ratios is modest."""
    spans = sorted(
        (each.header_offset, each.header_offset + _LOCAL_HEADER_BYTES + len(each.orig_filename) + each.compress_size)
        for each in entries
    )
    outside = any(start < 0 or end > file_size for start, end in spans)
    if outside or any(start < end for (_, end), (start, _) in pairwise(spans)):
        raise FileInvalid("The archive is damaged, or made to deceive: its entries overlap.")
