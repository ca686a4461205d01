import os
import stat
from pathlib import Path

import pytest

from bambu_connector.errors import ConfigError
from bambu_connector.pins import PinStore

SERIAL = "030120000000007"
OTHER = "01P00A000000001"
PIN = "sha256:" + "ab" * 32
NEW = "sha256:" + "cd" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "printers.yaml"


def test_nothing_is_pinned_before_anything_was_remembered(path: Path) -> None:
    assert PinStore(path).fingerprint(SERIAL) is None
    assert not path.parent.exists()


def test_what_was_remembered_is_there_for_the_next_process(path: Path) -> None:
    store = PinStore(path)
    store.remember(SERIAL, PIN)
    store.remember(OTHER, NEW)
    for each in (store, PinStore(path)):
        assert (each.fingerprint(SERIAL), each.fingerprint(OTHER)) == (PIN, NEW)


def test_a_renewed_certificate_replaces_the_pin(path: Path) -> None:
    PinStore(path).remember(SERIAL, PIN)
    PinStore(path).remember(SERIAL, NEW)
    assert PinStore(path).fingerprint(SERIAL) == NEW


def test_only_the_owner_can_look(path: Path) -> None:
    before = os.umask(0)
    try:
        PinStore(path).remember(SERIAL, PIN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_but_the_file_is_left_in_the_folder(path: Path) -> None:
    store = PinStore(path)
    store.remember(SERIAL, PIN)
    store.remember(SERIAL, NEW)
    assert list(path.parent.iterdir()) == [path]


def test_keys_of_other_versions_are_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f"printers:\n  '{SERIAL}': {{access_code: 'x:0123', since: null}}\n  {OTHER}: {{name: Left}}\n")
    PinStore(path).remember(SERIAL, PIN)
    text = path.read_text()
    for part in ("access_code: x:0123", "since: null", "name: Left", PIN, f"'{SERIAL}':"):
        assert part in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"\x00\x00\x00",
        b"printers: [",
        b"printers: []",
        b"- a",
        b"other: {}",
        b"printers: {A: x}",
        b"printers: {A: {fingerprint: abc}}",
        b"printers: {A: {fingerprint: [abc]}}",
    ],
)
def test_a_damaged_file_is_an_error_and_stays_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = PinStore(path)
    with pytest.raises(ConfigError, match="Repair the file or bring it back from a backup"):
        store.fingerprint(SERIAL)
    with pytest.raises(ConfigError, match="Repair the file"):
        store.remember(SERIAL, PIN)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read_or_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        PinStore(tmp_path).fingerprint(SERIAL)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be"):
        PinStore(tmp_path / "file" / "printers.yaml").remember(SERIAL, PIN)


def test_a_failed_write_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PinStore(path)
    store.remember(SERIAL, PIN)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="No space left on device"):
            store.remember(SERIAL, NEW)
    assert store.fingerprint(SERIAL) == PinStore(path).fingerprint(SERIAL) == PIN
    assert list(path.parent.iterdir()) == [path]


def test_a_pipe_in_the_files_place_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        PinStore(path).fingerprint(SERIAL)
