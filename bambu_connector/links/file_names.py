"""Which names for files and folders may cross the wire to a printer, in either direction."""

import re
from typing import Final

from bambu_connector.errors import FileInvalid

_MAX_NAME_BYTES: Final = 255  # of FAT, exFAT and ext4
_MAX_FOLDER_BYTES: Final = 1024
_SHOWN: Final = 60  # characters of a bad name in a sentence

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # a line break in a name would be a command of its own
_SEPARATOR: Final = re.compile(r"[/\\]")  # no printer's file system can have either in a name


def is_one_name(name: str) -> bool:
    """Whether this names a file in a folder, and not a way to somewhere else."""
    return name not in ("", ".", "..") and not _SEPARATOR.search(name) and not _CONTROL.search(name)


def check_new_name(name: str) -> None:
    """Raise FileInvalid unless a file of ours may be put on a printer under this name."""
    check_name(name)
    if name.startswith("-"):
        raise _invalid(name, "begins with a dash, which servers take for an option")


def check_name(name: str) -> None:
    """Raise FileInvalid unless a printer's file may be called by this name."""
    if not is_one_name(name):
        raise _invalid(name, "is not a name for a file on the printer")
    _check_length(name, _MAX_NAME_BYTES)


def check_folder(folder: str) -> None:
    """Raise FileInvalid unless this may be a folder on the printer, from its root ("/" is the root itself)."""
    if not folder.startswith("/") or _CONTROL.search(folder) or "\\" in folder:
        raise _invalid(folder, "is not a folder on the printer")
    if any(part in (".", "..") for part in folder.split("/")):
        raise _invalid(folder, "leads out of the folder that it names")
    _check_length(folder, _MAX_FOLDER_BYTES)


def _check_length(name: str, limit: int) -> None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON can spell it
        raise _invalid(name, "cannot be written in UTF-8") from None
    if length > limit:
        raise _invalid(name, f"is longer than {limit} bytes")


def _invalid(name: str, why: str) -> FileInvalid:
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    return FileInvalid(f"{shown!r} {why}")
