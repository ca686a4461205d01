"""Downloaded files that are kept for the next printer."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from bambu_connector.printago.orders import Checksum
from bambu_connector.service.cache import FileCache
from tests.simulated import simulated


def checksums(content: bytes) -> tuple[Checksum, Checksum]:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Checksum("md5", md5), Checksum("sha256", hashlib.sha256(content).hexdigest())


class Store:
    """A cache and a place for the files of jobs."""

    def __init__(self, path: Path, max_bytes: int = 100) -> None:
        self.path = path
        self.cache = FileCache(path / "cache", max_bytes)

    def keep(self, content: bytes, *, age: float = 0.0) -> None:
        source = self.path / "job"
        source.write_bytes(content)
        md5, sha256 = checksums(content)
        self.cache.keep(source, md5=md5.digest, sha256=sha256.digest)
        for kept in (self.path / "cache").glob(f"{md5.digest}*"):
            os.utime(kept, (1e9 - age, 1e9 - age))
        source.unlink()

    def has(self, content: bytes) -> bool:
        target = self.path / "taken"
        found = self.cache.take(checksums(content)[0], target)
        assert not found or target.read_bytes() == content
        target.unlink(missing_ok=True)
        return found


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_is_found_by_either_checksum_after_the_jobs_own_has_gone(tmp_path: Path, which: int) -> None:
    store = Store(tmp_path)
    store.keep(b"content")
    target = tmp_path / "taken"
    target.write_text("an older one")
    assert store.cache.take(checksums(b"content")[which], target)
    assert target.read_bytes() == b"content"
    target.unlink()
    assert store.cache.take(checksums(b"content")[which], target)


def test_what_is_not_there_or_has_no_checksum_is_not_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.has(b"content")
    store.keep(b"content")
    assert not store.cache.take(None, tmp_path / "taken")
    assert not store.has(b"other")
    assert not (tmp_path / "taken").exists()


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=10)
    store.keep(b"aaaa", age=30)
    store.keep(b"bbbb", age=20)
    assert store.has(b"aaaa")  # and so it was used last
    store.keep(b"cccc")
    assert [store.has(each) for each in (b"aaaa", b"bbbb", b"cccc")] == [True, False, True]


@pytest.mark.parametrize(("max_bytes", "is_kept"), [(0, False), (6, False), (7, True)])
def test_what_is_too_large_is_not_kept(tmp_path: Path, max_bytes: int, is_kept: bool) -> None:
    store = Store(tmp_path, max_bytes=max_bytes)
    store.keep(b"content")
    assert store.has(b"content") is is_kept


def test_a_damaged_file_can_be_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.keep(b"content")
    store.cache.drop(checksums(b"content")[1])
    assert not store.has(b"content")
    store.cache.drop(checksums(b"content")[1])


@simulated
async def test_jobs_for_the_same_file_take_turns_and_others_do_not_wait(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 1)
    order: list[str] = []

    async def job(name: str, checksum: Checksum | None) -> None:
        async with cache.turn(checksum):
            order.append(f"{name} begins")
            await asyncio.sleep(1)
            order.append(f"{name} ends")

    one, other = checksums(b"one")[0], checksums(b"other")[0]
    await asyncio.gather(job("a", one), job("b", one), job("c", other), job("d", None), job("e", None))
    assert order.index("b begins") > order.index("a ends")
    assert set(order[:4]) == {"a begins", "c begins", "d begins", "e begins"}
