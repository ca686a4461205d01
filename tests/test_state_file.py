"""A file with secrets: never half, never for others, never somewhere else."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from bambu_connector import state_file
from bambu_connector.errors import ConfigError
from bambu_connector.registry import Paired, Registry
from bambu_connector.state_file import alone, put, read, stamp_of

ROOT: Final = Path(__file__).parents[1]
SERIAL: Final = "030120000000007"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "printers.yaml"


def test_what_was_put_is_read_and_has_the_stamp_that_was_returned(path: Path) -> None:
    stamp = put(path, "Gerät\n")
    assert read(path, 100) == ("Gerät\n".encode(), stamp)
    assert stamp_of(path) == stamp
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert put(path, "Gerät\n") != stamp


def test_no_more_is_read_than_was_asked_for(path: Path) -> None:
    put(path, "x" * 100)
    found = read(path, 10)
    assert found is not None
    assert found[0] == b"x" * 10


def test_a_file_that_is_not_there_is_none(path: Path) -> None:
    assert (read(path, 10), stamp_of(path)) == (None, None)


def test_a_link_is_replaced_by_nobody_and_followed_by_nobody(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("secret")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symbolic link; put the file itself there"):
        read(path, 10)


def test_what_a_writer_that_died_left_does_not_hinder_the_next(path: Path, tmp_path: Path) -> None:
    (tmp_path / ".printers.yaml.new").write_text("ha")
    put(path, "whole")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_leaves_what_was_there(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        put(path, "new")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_whom_the_folder_belongs(path: Path, tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 23456)
    put(path, "text")
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_another_user_put_there_is_not_believed(path: Path, tmp_path: Path) -> None:
    put(path, "trust: me")
    os.chown(path, 12345, 12345)
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="belongs to another user"):
        read(path, 10)
    os.chown(tmp_path, 12345, 12345)  # the service's user
    assert read(path, 5) == (b"trust", stamp_of(path))
    os.chown(tmp_path, 0, 12345)
    tmp_path.chmod(0o770)
    assert read(path, 5) == (b"trust", stamp_of(path))


def test_only_one_writes_at_a_time(path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with alone(path):
            order.append("second")

    other = threading.Thread(target=second)
    with alone(path):
        other.start()
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def test_somebody_who_holds_the_folder_for_ever_is_not_waited_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody who can look into it can do so."""
    monkeypatch.setattr(state_file, "PATIENCE_S", 0.05)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH)
        with pytest.raises(ConfigError, match="holds a lock"), alone(path):
            pass
    finally:
        os.close(folder)
    with alone(path):
        pass


KILLED = """
import os, signal, sys
from pathlib import Path
from bambu_connector.registry import Registry
number, calls = int(sys.argv[2]), 0
def hook(name, arguments):
    global calls
    if name in {"open", "os.rename", "os.remove"} and str(Path(sys.argv[1])) in str(arguments[0]):
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
Registry(Path(sys.argv[1])).learn("030120000000007", host="new")
"""


def test_whoever_is_killed_while_writing_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """It is killed at each of its steps in turn."""
    known = Paired(serial=SERIAL, host="old", name="Left")
    Registry(tmp_path).store(known)
    found = []
    for number in range(1, 20):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(number)], check=False, cwd=ROOT)
        after = Registry(tmp_path).entry(SERIAL)
        assert after is not None
        assert replace(after, host="old") == known
        found.append((after.host, done.returncode))
        if done.returncode == 0 or after.host == "new":
            break
    assert set(found) == {("old", -9), ("new", -9)}
