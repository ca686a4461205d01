import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bambu_connector.links import part_file
from bambu_connector.links.part_file import PartFile, Slip

URL = "https://files.example.org/a.3mf?X-Signature=very-secret"
FIRST = b"first " * 100
SECOND = b"second " * 100
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)


@pytest.fixture(autouse=True)
def _each_write_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_file, "_SYNC_BYTES", 1)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "job-1"


def slip_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def left_by_a_kill(target: Path, url: str = URL, *, validator: str | None = '"v1"', total: int | None = 5000) -> None:
    """Leave what a process leaves that is killed after its first write was synced and its second was not."""
    part = PartFile(target, url)
    assert part.open() is None
    part.describe(validator, total)
    part.append(FIRST)
    part._validator = None  # what follows is not known to be on the disk
    part.append(SECOND)
    assert part._fd is not None
    os.close(part._fd)


def opened(target: Path, url: str = URL) -> tuple[Slip | None, int]:
    part = PartFile(target, url)
    slip, size = part.open(), part.size
    part.append(b"x")
    part.discard()
    return slip, size


def test_another_process_goes_on_with_what_is_on_the_disk_and_no_more(target: Path) -> None:
    left_by_a_kill(target)
    part = PartFile(target, URL)
    slip = part.open()
    assert slip is not None
    assert (slip.validator, slip.total, slip.size) == ('"v1"', 5000, len(FIRST))
    assert part.size == len(FIRST)
    assert part_of(target).read_bytes() == FIRST
    part.append(b"the rest")
    found = part.finish()
    assert target.read_bytes() == FIRST + b"the rest"
    assert found.path == target
    assert found.size == len(FIRST) + 8
    assert found.md5 == hashlib.md5(FIRST + b"the rest").hexdigest()
    assert found.sha256 == hashlib.sha256(FIRST + b"the rest").hexdigest()
    assert list(target.parent.iterdir()) == [target]


def test_what_was_gone_on_with_can_be_gone_on_with_again(target: Path) -> None:
    left_by_a_kill(target)
    part = PartFile(target, URL)
    assert part.open() is not None
    part.append(SECOND)
    assert opened(target)[1] == len(FIRST + SECOND)
    part.discard()


def test_the_slip_holds_no_url(target: Path) -> None:
    left_by_a_kill(target)
    text = slip_of(target).read_text()
    assert "example" not in text
    assert "secret" not in text
    bare = hashlib.sha256(b"https://files.example.org/a.3mf").hexdigest()
    assert json.loads(text)["url_sha256"] == bare


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.org/a.3mf?X-Signature=another",
        "https://files.example.org/a.3mf",
        "https://user:password@files.example.org/a.3mf#x",
    ],
)
def test_the_same_file_under_a_newly_signed_url_is_gone_on_with(target: Path, url: str) -> None:
    left_by_a_kill(target)
    assert opened(target, url)[1] == len(FIRST)


@pytest.mark.parametrize("url", ["https://files.example.org/b.3mf", "https://example.org/a.3mf", "", "\udcff"])
def test_another_file_is_begun_anew(target: Path, url: str) -> None:
    left_by_a_kill(target)
    assert opened(target, url) == (None, 0)


@pytest.mark.parametrize("validator", [None, '"a\r\nX: b"', '"\u20ac"', '"' + "x" * 2000 + '"'])
def test_without_something_that_proves_the_file_there_is_no_slip(target: Path, validator: str | None) -> None:
    left_by_a_kill(target, validator=validator)
    assert not slip_of(target).exists()
    assert opened(target) == (None, 0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 4000,
        b"9" * 4096,
        b'{"size": 1}',
        b" " * 100_000,
    ],
)
def test_a_slip_that_is_none_is_ignored(target: Path, raw: bytes) -> None:
    left_by_a_kill(target)
    slip_of(target).write_bytes(raw)
    assert opened(target) == (None, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", len(FIRST) + 1),
        ("size", len(FIRST + SECOND) + 1),
        ("size", 0),
        ("size", -1),
        ("size", 1e3),
        ("size", True),
        ("size", None),
        ("size", "600"),
        ("size", 10**30),
        ("total", 1),
        ("total", "5000"),
        ("total", False),
        ("validator", None),
        ("validator", ""),
        ("validator", '"v1"\r\nX: y'),
        ("validator", ["a"]),
        ("url_sha256", None),
        ("url_sha256", "0" * 64),
        ("sha256", "0" * 64),
        ("sha256", 7),
        ("another", 1),
    ],
)
def test_a_slip_that_says_something_wrong_is_ignored(target: Path, field: str, value: object) -> None:
    left_by_a_kill(target)
    slip_of(target).write_text(json.dumps(json.loads(slip_of(target).read_text()) | {field: value}))
    assert opened(target) == (None, 0)


def test_a_size_beyond_all_measure_is_not_believed(target: Path) -> None:
    left_by_a_kill(target, total=None)
    slip_of(target).write_text(json.dumps(json.loads(slip_of(target).read_text()) | {"size": 10**30}))
    assert opened(target) == (None, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=300) | st.dictionaries(st.sampled_from(["size", "total", "validator", "sha256", "x"]), JSON))
def test_no_slip_makes_it_fail(target: Path, damage: bytes | dict[str, Any]) -> None:
    left_by_a_kill(target)
    slip = slip_of(target)
    if isinstance(damage, dict):
        damage = json.dumps(json.loads(slip.read_text()) | damage).encode()
    slip.write_bytes(damage)
    assert opened(target)[1] in (0, len(FIRST))


def test_a_part_whose_content_changed_is_begun_anew(target: Path) -> None:
    left_by_a_kill(target)
    with part_of(target).open("r+b") as file:
        file.seek(100)
        file.write(b"\0" * 8)
    assert opened(target) == (None, 0)


def test_a_part_that_is_shorter_than_it_should_be_is_begun_anew(target: Path) -> None:
    left_by_a_kill(target)
    os.truncate(part_of(target), len(FIRST) - 1)
    assert opened(target) == (None, 0)


@pytest.mark.parametrize("missing", [slip_of, part_of])
def test_one_without_the_other_is_begun_anew(target: Path, missing: Callable[[Path], Path]) -> None:
    left_by_a_kill(target)
    missing(target).unlink()
    assert opened(target) == (None, 0)


def test_a_link_in_place_of_the_part_is_not_followed(target: Path) -> None:
    left_by_a_kill(target)
    elsewhere = target.parent / "elsewhere"
    part_of(target).rename(elsewhere)
    part_of(target).symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert opened(target) == (None, 0)
    assert elsewhere.read_bytes() == before


def test_nobody_else_may_read_any_of_it(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        left_by_a_kill(target)
        assert {stat.S_IMODE(path.stat().st_mode) for path in target.parent.iterdir()} == {0o600}
        part_of(target).chmod(0o644)
        part = PartFile(target, URL)
        assert part.open() is not None
        assert stat.S_IMODE(part_of(target).stat().st_mode) == 0o600
        part.finish()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_content_is_on_the_disk_before_the_slip_says_so_and_before_the_file_has_its_name(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{fd}').readlink().name}")
        sync(fd)

    def rename(path: Path, to: Path) -> Path:
        done.append(f"{path.name} becomes {to.name}")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    part = PartFile(target, URL)
    part.open()
    part.describe('"v1"', None)
    part.append(FIRST)
    assert done == ["sync job-1.part", "sync job-1.part.json.new", "job-1.part.json.new becomes job-1.part.json"]
    done.clear()
    part.finish()
    assert done == ["sync job-1.part", "job-1.part becomes job-1", f"sync {target.parent.name}"]


def test_a_card_is_not_worn_out_by_small_writes(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_file, "_SYNC_BYTES", 1000)
    monkeypatch.setattr(part_file, "_SYNC_INTERVAL_S", 3600.0)
    part = PartFile(target, URL)
    part.open()
    part.describe('"v1"', None)
    for _ in range(9):
        part.append(b"x" * 111)
    assert not slip_of(target).exists()
    part.append(b"x")
    assert json.loads(slip_of(target).read_text())["size"] == 1000
    part.append(b"x" * 999)
    assert json.loads(slip_of(target).read_text())["size"] == 1000
    part.discard()


def test_what_was_found_on_the_disk_is_not_synced_again(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_kill(target)
    monkeypatch.setattr(part_file, "_SYNC_BYTES", 100)
    monkeypatch.setattr(part_file, "_SYNC_INTERVAL_S", 3600.0)
    part = PartFile(target, URL)
    part.open()
    part.append(b"x" * 99)
    assert json.loads(slip_of(target).read_text())["size"] == len(FIRST)
    part.discard()


def test_a_slow_line_is_synced_by_the_clock(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_file, "_SYNC_BYTES", 1000)
    monkeypatch.setattr(part_file, "_SYNC_INTERVAL_S", 0.0)
    part = PartFile(target, URL)
    part.open()
    part.describe('"v1"', None)
    part.append(b"x")
    assert json.loads(slip_of(target).read_text())["size"] == 1
    part.discard()


def test_starting_over_forgets_what_was_known(target: Path) -> None:
    left_by_a_kill(target)
    part = PartFile(target, URL)
    assert part.open() is not None
    part.start_over()
    assert not slip_of(target).exists()
    part.append(b"anew")
    assert not slip_of(target).exists()
    assert part.finish().sha256 == hashlib.sha256(b"anew").hexdigest()


def test_a_disk_that_refuses_to_remove_anything_is_left_as_it_is(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_kill(target)
    part = PartFile(target, URL)
    part.open()

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink)
        part.discard()
    assert opened(target)[1] == len(FIRST)


def test_discarding_leaves_nothing(target: Path) -> None:
    left_by_a_kill(target)
    part = PartFile(target, URL)
    part.open()
    part.discard()
    part.discard()
    assert list(target.parent.iterdir()) == []
