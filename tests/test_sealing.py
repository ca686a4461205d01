"""Secrets at rest: nobody reads them without the key, and no other text passes for them."""

import base64
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bambu_connector.errors import ConfigError
from bambu_connector.sealing import Sealer, Unsealable

SECRET = b'{"url":"https://files.example/part.3mf?signature=hidden"}'
ABOUT = "00000000000000000017"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret.key"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(secret=st.binary(max_size=300), about=st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_what_was_sealed_is_opened_by_this_process_and_the_next(path: Path, secret: bytes, about: str) -> None:
    sealed = Sealer(path).seal(secret, about)
    assert sealed.isascii()
    assert Sealer(path).open(sealed, about) == secret


def test_the_secret_is_nowhere_in_what_is_stored(path: Path) -> None:
    sealed = Sealer(path).seal(SECRET, ABOUT)
    stored = [sealed.encode(), base64.b64decode(sealed), *(each.read_bytes() for each in path.parent.iterdir())]
    assert not [each for each in stored if b"hidden" in each or base64.b64encode(SECRET)[:12] in each]


def test_the_same_secret_is_never_sealed_alike(path: Path) -> None:
    sealer = Sealer(path)
    assert len({sealer.seal(SECRET, ABOUT) for _ in range(20)}) == 20


def test_it_is_not_opened_as_something_else(path: Path) -> None:
    sealer = Sealer(path)
    sealed = sealer.seal(SECRET, ABOUT)
    with pytest.raises(Unsealable):
        sealer.open(sealed, "00000000000000000018")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(bit=st.integers(0, 8 * (len(SECRET) + 28) - 1))
def test_a_flipped_bit_is_noticed(path: Path, bit: int) -> None:
    sealer = Sealer(path)
    raw = bytearray(base64.b64decode(sealer.seal(SECRET, ABOUT)))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unsealable):
        sealer.open(base64.b64encode(raw).decode(), ABOUT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(sealed=st.one_of(st.text(), st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode())))
def test_whatever_else_is_given_is_not_opened(path: Path, sealed: str) -> None:
    sealer = Sealer(path)
    sealer.seal(SECRET, ABOUT)
    with pytest.raises(Unsealable):
        sealer.open(sealed, ABOUT)


def test_another_key_does_not_open_it_and_the_sentence_does_not_tell_it(path: Path, tmp_path: Path) -> None:
    sealed = Sealer(path).seal(SECRET, ABOUT)
    other = Sealer(tmp_path / "other.key")
    other.seal(SECRET, ABOUT)
    with pytest.raises(Unsealable) as told:
        other.open(sealed, ABOUT)
    assert path.read_text().strip() not in str(told.value)
    assert sealed not in str(told.value)


def test_the_key_is_only_ours_and_is_made_once(path: Path) -> None:
    old = os.umask(0)
    try:
        Sealer(path).seal(SECRET, ABOUT)
    finally:
        os.umask(old)
    key = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    Sealer(path).seal(SECRET, ABOUT)
    assert path.read_bytes() == key


def test_a_key_that_was_being_made_when_the_power_went_is_made_anew(path: Path) -> None:
    path.with_name("secret.key.new").write_text("half a k")
    sealed = Sealer(path).seal(SECRET, ABOUT)
    assert Sealer(path).open(sealed, ABOUT) == SECRET


def test_until_the_key_is_whole_it_does_not_have_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="No space left"):
        Sealer(path).seal(SECRET, ABOUT)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_not_used_and_the_sentence_says_what_to_do(path: Path, mode: int) -> None:
    sealed = Sealer(path).seal(SECRET, ABOUT)
    path.chmod(mode)
    for work in (lambda: Sealer(path).seal(SECRET, ABOUT), lambda: Sealer(path).open(sealed, ABOUT)):
        with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
            work()


@pytest.mark.parametrize("content", [b"", b"AAAA\n", b"\xff\xfe", b"no key at all", b"A" * 2000])
def test_a_damaged_key_is_a_clear_mistake_and_is_not_overwritten(path: Path, content: bytes) -> None:
    sealed = Sealer(path).seal(SECRET, ABOUT)
    path.write_bytes(content)
    for work in (lambda: Sealer(path).seal(SECRET, ABOUT), lambda: Sealer(path).open(sealed, ABOUT)):
        with pytest.raises(ConfigError, match=str(path)):
            work()
    assert path.read_bytes() == content


def test_without_its_key_nothing_is_opened_and_no_other_is_made(path: Path) -> None:
    sealed = Sealer(path).seal(SECRET, ABOUT)
    path.unlink()
    with pytest.raises(Unsealable, match="is gone"):
        Sealer(path).open(sealed, ABOUT)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_that_root_makes_belongs_to_whom_the_folder_belongs(path: Path, tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 23456)
    Sealer(path).seal(SECRET, ABOUT)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_that_another_user_put_there_is_not_used(path: Path) -> None:
    Sealer(path).seal(SECRET, ABOUT)
    os.chown(path, 12345, 12345)
    path.parent.chmod(0o777)
    with pytest.raises(ConfigError, match="belongs to another user"):
        Sealer(path).seal(SECRET, ABOUT)


def test_a_link_in_the_place_of_the_key_is_not_followed(path: Path, tmp_path: Path) -> None:
    Sealer(tmp_path / "other.key").seal(SECRET, ABOUT)
    path.symlink_to(tmp_path / "other.key")
    with pytest.raises(ConfigError, match="cannot be read"):
        Sealer(path).seal(SECRET, ABOUT)


@pytest.mark.timeout(10)
def test_a_pipe_in_the_place_of_the_key_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="cannot be read"):
        Sealer(path).seal(SECRET, ABOUT)


def test_a_folder_in_the_place_of_the_key_is_a_clear_mistake(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        Sealer(path).seal(SECRET, ABOUT)


def test_a_folder_that_is_gone_is_a_clear_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        Sealer(tmp_path / "gone" / "secret.key").seal(SECRET, ABOUT)
