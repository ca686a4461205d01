"""Where results go: stdout as it really is, be it full, closed, or with an old encoding."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


# Control characters, separators of lines and paragraphs, marks of direction, what has no width, halves of characters.
_UNFIT: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"
)


class OutputFailed(OSError):
    """What was to be shown cannot be written; `errno` and `strerror` say why."""


class _Descriptor(io.FileIO):
    """A descriptor whose failures are told apart from those of all other files."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write some of `data`; raises OutputFailed."""
        try:
            return super().write(data)
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from error


@contextlib.contextmanager
def guarded_stdout() -> Iterator[None]:
    """Have stdout raise OutputFailed where it cannot be written, and write `?` for what its encoding does not have."""
    before = sys.stdout
    with contextlib.suppress(io.UnsupportedOperation):  # no descriptor behind it, as in a test
        sys.stdout = _guarded(before)
    try:
        yield
    finally:
        sys.stdout = before


def _guarded(stream: TextIO | None) -> io.TextIOWrapper:
    if stream is None:  # whoever started us has closed it
        return Path(os.devnull).open("w", encoding="utf-8", errors="replace")
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.isatty(),
    )


def abandon_stdout() -> None:
    """Let what is still to be written vanish: Python tries once more at the end, and complains."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def legible(text: str) -> str:
    """Return a text that may be a stranger's fit for a terminal: nothing in it moves the cursor or turns lines around.

    Ends of lines stay.
    """
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def show_json(tree: Any) -> None:
    """Print JSON, which is UTF-8 whatever the terminal's encoding is."""
    import orjson

    click.echo(orjson.dumps(tree, option=orjson.OPT_INDENT_2))
