"""What is known of printers beyond one process: nothing is lost, nothing is shown, nothing is half."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bambu_connector.config import Ports
from bambu_connector.errors import ConfigError
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret

SERIAL = "030120000000007"
OTHER = "01P00A000000001"
PIN = "sha256:" + "ab" * 32
NEW = "sha256:" + "cd" * 32
CODE = "24681357"
WHOLE = Paired(
    serial=SERIAL,
    fingerprint=PIN,
    host="192.168.1.50",
    access_code=Secret(CODE),
    is_paired=True,
    id="left",
    name="Left P1S",
    model="C12",
    ports=Ports(mqtt=18883, rtsps=10322),
    developer_mode=False,
    firmware="01.08.02.00",
)

texts = st.text(max_size=30)
serials = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=10, max_size=20)
ports = st.integers(1, 65535)
entries = st.builds(
    Paired,
    serial=serials,
    fingerprint=st.none() | st.binary(min_size=32, max_size=32).map(lambda raw: "sha256:" + raw.hex()),
    host=st.none() | st.from_regex(r"[a-z0-9.:-]{1,30}", fullmatch=True),
    access_code=st.none() | st.text(min_size=1, max_size=10).map(Secret),
    id=st.none() | st.from_regex(r"[^\s/+#\x00-\x1f\x7f-\x9f]{1,30}", fullmatch=True),
    name=st.none() | texts,
    model=st.none() | texts,
    ports=st.builds(Ports, ports, ports, ports, ports),
    developer_mode=st.none() | st.booleans(),
    firmware=st.none() | texts,
).map(lambda paired: replace(paired, is_paired=paired.access_code is not None))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "printers.yaml"


def write(path: Path, content: str | bytes) -> None:
    """Write the file as somebody else would."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


# -- what is stored is there -----------------------------------------------------------------------


def test_nothing_is_known_before_anything_was_stored(folder: Path) -> None:
    registry = Registry(folder)
    assert (dict(registry.entries()), registry.warnings(), registry.entry(SERIAL)) == ({}, (), None)
    assert not registry.forget(SERIAL)
    assert not folder.exists()


def test_what_was_stored_is_there_for_this_process_and_the_next(folder: Path) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    registry.learn(OTHER, fingerprint=NEW)
    for each in (registry, Registry(folder)):
        assert dict(each.entries()) == {SERIAL: WHOLE, OTHER: Paired(serial=OTHER, fingerprint=NEW)}
        assert each.warnings() == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(stored=st.lists(entries, min_size=1, max_size=4, unique_by=lambda paired: paired.serial))
def test_whatever_an_entry_says_survives(tmp_path: Path, stored: list[Paired]) -> None:
    registry = Registry(tmp_path)
    for each in list(registry.entries()):
        registry.forget(each)
    for paired in stored:
        registry.store(paired)
    expected = {paired.serial: paired for paired in stored}
    assert dict(registry.entries()) == dict(Registry(tmp_path).entries()) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_survives_as_a_name(tmp_path: Path, name: str) -> None:
    registry = Registry(tmp_path)
    registry.store(replace(WHOLE, name=name))
    found = Registry(tmp_path).entry(SERIAL)
    assert found is not None
    assert found.name == name


def test_half_a_character_in_a_name_costs_that_character_alone(folder: Path) -> None:
    Registry(folder).store(replace(WHOLE, name="Left\udc80 P1S"))
    found = Registry(folder).entry(SERIAL)
    assert found is not None
    assert found.name == "Left? P1S"


def test_an_entry_is_replaced_whole(folder: Path) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    registry.store(Paired(serial=SERIAL, host="192.168.1.51"))
    assert dict(Registry(folder).entries()) == {SERIAL: Paired(serial=SERIAL, host="192.168.1.51")}


def test_what_is_learned_is_added_to_what_is_known(folder: Path) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    registry.learn(SERIAL, fingerprint=NEW, host="h2", developer_mode=True, firmware="2")
    known = replace(WHOLE, fingerprint=NEW, host="h2", developer_mode=True, firmware="2")
    assert Registry(folder).entry(SERIAL) == known


def test_what_is_forgotten_is_gone_and_nothing_else(folder: Path) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    registry.learn(OTHER, host="h")
    assert registry.forget(SERIAL)
    assert not registry.forget(SERIAL)
    assert list(Registry(folder).entries()) == [OTHER]


def test_nothing_is_written_when_nothing_new_was_learned(folder: Path, path: Path) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    inode = path.stat().st_ino
    for each in (registry, Registry(folder)):
        each.learn(SERIAL, fingerprint=PIN, host=WHOLE.host, developer_mode=False, firmware=WHOLE.firmware)
        each.learn(SERIAL)
        each.learn(OTHER)
        each.store(WHOLE)
    assert path.stat().st_ino == inode
    registry.learn(SERIAL, developer_mode=True)
    assert path.stat().st_ino != inode


@pytest.mark.parametrize("serial", ["", "short", "01p00a000000001", "01P00A000000001\n", "01P00A/000000001"])
def test_what_is_no_serial_is_not_stored(folder: Path, serial: str) -> None:
    registry = Registry(folder)
    with pytest.raises(ConfigError, match="no serial"):
        registry.store(Paired(serial=serial))
    with pytest.raises(ConfigError, match="no serial"):
        registry.learn(serial, host="h")
    assert not folder.exists()


@pytest.mark.parametrize(
    "wrong", [{"id": "a/b"}, {"id": " "}, {"host": "a b"}, {"fingerprint": "abc"}, {"ports": Ports(mqtt=0)}], ids=str
)
def test_what_could_not_be_read_again_is_not_written(folder: Path, path: Path, wrong: dict[str, object]) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="cannot be stored"):
        registry.store(replace(WHOLE, **wrong))  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert registry.entry(SERIAL) == WHOLE


# -- only the owner can look -----------------------------------------------------------------------


def test_only_the_owner_can_look(folder: Path, path: Path) -> None:
    before = os.umask(0)
    try:
        Registry(folder).store(WHOLE)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (folder, path, folder / "secret.key")]
    assert modes == [0o700, 0o600, 0o600]


def test_a_code_stands_nowhere_in_clear(folder: Path, path: Path) -> None:
    Registry(folder).store(WHOLE)
    assert "access_code: sealed:" in path.read_text()
    assert not [each for each in folder.iterdir() if CODE.encode() in each.read_bytes()]
    assert CODE not in repr(Registry(folder).entries())


@pytest.mark.parametrize("name", ["printers.yaml", "secret.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_see_is_refused_with_what_to_do(folder: Path, name: str, mode: int) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    (folder / name).chmod(mode)
    for work in (Registry(folder).entries, lambda: Registry(folder).learn(SERIAL, host="h2")):
        with pytest.raises(ConfigError) as told:
            work()
        assert str(told.value) == f"{folder / name} can be read by others: run  chmod 600 {folder / name}"
    (folder / name).chmod(0o600)
    assert Registry(folder).entry(SERIAL) == WHOLE


def test_a_code_in_clear_is_understood_and_sealed_when_the_file_is_written_next(folder: Path, path: Path) -> None:
    write(path, f'printers:\n  "{SERIAL}": {{access_code: {CODE}}}\n  {OTHER}: {{access_code: "0123"}}\n')
    registry = Registry(folder)
    before = dict(registry.entries())
    assert before[SERIAL] == Paired(serial=SERIAL, access_code=Secret(CODE), is_paired=True)
    registry.learn(OTHER, host="h")
    assert CODE not in path.read_text()
    assert "0123" not in path.read_text().replace("'030120000000007'", "")
    after = Registry(folder).entries()
    assert after[SERIAL] == before[SERIAL]
    assert after[OTHER].access_code == Secret("0123")


def test_a_sealed_code_stays_as_it_is_until_it_changes(folder: Path) -> None:
    def sealed() -> str:
        text: str = yaml.safe_load((folder / "printers.yaml").read_text())["printers"][SERIAL]["access_code"]
        return text

    registry = Registry(folder)
    registry.store(WHOLE)
    first = sealed()
    registry.store(replace(WHOLE, host="h2"))
    assert sealed() == first
    registry.store(replace(WHOLE, access_code=Secret("87654321")))
    assert sealed() != first


def lose_key(key: Path) -> None:
    key.unlink()


def replace_key(key: Path) -> None:
    key.unlink()
    Registry(key.parent).store(Paired(serial=OTHER, access_code=Secret("x"), is_paired=True))
    Registry(key.parent).forget(OTHER)


@pytest.mark.parametrize("harm", [lose_key, replace_key])
def test_a_code_that_cannot_be_opened_is_a_warning_and_is_kept(
    folder: Path, path: Path, harm: Callable[[Path], None]
) -> None:
    Registry(folder).store(WHOLE)
    harm(folder / "secret.key")
    registry = Registry(folder)
    assert registry.entry(SERIAL) == replace(WHOLE, access_code=None)
    (warning,) = registry.warnings()
    assert "the access code of Left P1S cannot be opened" in warning
    assert f"bambu-connector pair {SERIAL}" in warning
    standing = path.read_text().partition("sealed:")[2].split()[0]
    registry.learn(SERIAL, host="h2")
    registry.store(replace(WHOLE, access_code=None, host="h3"))
    assert standing in path.read_text()
    registry.store(WHOLE)
    assert (registry.warnings(), Registry(folder).entry(SERIAL)) == ((), WHOLE)


@pytest.mark.parametrize("code", ["sealed:", "sealed:AAAA", "sealed:ÄÖ", "sealed:" + "QUFB" * 20])
def test_a_sealed_code_that_is_none_is_a_warning(folder: Path, path: Path, code: str) -> None:
    Registry(folder).store(WHOLE)
    write(path, f"printers: {{{OTHER}: {{access_code: '{code}'}}}}")
    registry = Registry(folder)
    assert registry.entry(OTHER) == Paired(serial=OTHER, is_paired=True)
    assert len(registry.warnings()) == 1


def test_a_code_is_not_opened_for_another_printer(folder: Path, path: Path) -> None:
    Registry(folder).store(WHOLE)
    write(path, path.read_text().replace(SERIAL, OTHER))
    assert Registry(folder).entry(OTHER) == replace(WHOLE, serial=OTHER, access_code=None)


# -- other hands -----------------------------------------------------------------------------------


def test_a_file_of_the_earlier_version_is_understood(folder: Path, path: Path) -> None:
    write(path, f"# Written by bambu-connector\nprinters:\n  '{SERIAL}':\n    fingerprint: {PIN}\n")
    assert dict(Registry(folder).entries()) == {SERIAL: Paired(serial=SERIAL, fingerprint=PIN)}


def test_keys_of_other_versions_are_kept(folder: Path, path: Path) -> None:
    write(
        path,
        "version: 7\nnotes: [a, {b: null}]\nprinters:\n"
        f"  '{SERIAL}': {{since: null, ports: {{web: '80', mqtt: '1'}}}}\n"
        f"  {OTHER}: {{name: Left, colour: {{of: case}}}}\n",
    )
    registry = Registry(folder)
    registry.learn(SERIAL, fingerprint=PIN)
    registry.store(Paired(serial=OTHER, host="h"))
    found = yaml.safe_load(path.read_text())
    assert (found["version"], found["notes"]) == ("7", ["a", {"b": None}])
    assert found["printers"][SERIAL] == {"since": None, "ports": {"web": "80", "mqtt": 1}, "fingerprint": PIN}
    assert found["printers"][OTHER] == {"host": "h", "colour": {"of": "case"}}


def test_what_others_write_is_noticed_and_read(folder: Path, path: Path) -> None:
    registry = Registry(folder)
    assert not registry.changed_outside()
    registry.store(WHOLE)
    assert not registry.changed_outside()
    Registry(folder).learn(OTHER, host="h")
    assert registry.changed_outside()
    assert list(registry.entries()) == [SERIAL, OTHER]
    assert not registry.changed_outside()
    write(path, f"printers: {{{OTHER}: {{host: elsewhere}}}}")
    assert registry.changed_outside()
    assert dict(registry.entries()) == {OTHER: Paired(serial=OTHER, host="elsewhere")}
    path.unlink()
    assert registry.changed_outside()
    assert not registry.entries()
    assert not registry.changed_outside()


def test_what_others_wrote_stays_news_until_all_of_it_was_asked_for(folder: Path) -> None:
    registry = Registry(folder)
    registry.entries()
    Registry(folder).store(WHOLE)
    assert registry.entry(SERIAL) == WHOLE
    assert registry.changed_outside()
    registry.learn(OTHER, host="h")
    assert registry.changed_outside()
    registry.entries()
    assert not registry.changed_outside()


def test_a_damaged_file_is_news_once_and_again_when_it_is_repaired(folder: Path, path: Path) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    sound = path.read_bytes()
    write(path, b"printers: [")
    for _ in range(2):
        with pytest.raises(ConfigError):
            registry.entries()
        assert not registry.changed_outside()
        with pytest.raises(ConfigError):
            registry.entry(SERIAL)
        assert not registry.changed_outside()
    write(path, sound)
    assert registry.changed_outside()
    assert registry.entry(SERIAL) == WHOLE


def test_a_write_loses_nothing_of_what_others_wrote(folder: Path) -> None:
    mine, theirs = Registry(folder), Registry(folder)
    mine.store(WHOLE)
    theirs.learn(SERIAL, host="theirs")
    mine.learn(OTHER, host="mine")
    theirs.learn(SERIAL, firmware="2")
    mine.forget(OTHER)
    assert dict(Registry(folder).entries()) == {SERIAL: replace(WHOLE, host="theirs", firmware="2")}


def test_many_at_once_lose_nothing(folder: Path) -> None:
    def work(number: int) -> None:
        registry = Registry(folder)
        for step in range(5):
            registry.learn(f"01P00A00000{number}{step}", host=f"h{number}{step}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(Registry(folder).entries()) == 20


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"\x00\x00\x00",
        b"\xff\xfe",
        b"printers: [",
        b"printers: []",
        b"printers:\n",
        b"- a",
        b"other: {}",
        b"printers: {}\nprinters: {}",
        b"printers: {01P00A000000001: {name: a, name: b}}",
        b"printers: {01P00A000000001: {}, 01P00A000000001: {}}",
        b"printers: {01P00A000000001: {later: [{a: 1, a: 2}]}}",
        b"printers: {A: {}}",
        b"printers: {01P00A000000001: x}",
        b"printers: {01P00A000000001: [a]}",
        b"printers: {01P00A000000001: {fingerprint: abc}}",
        b"printers: {01P00A000000001: {fingerprint: [abc]}}",
        b"printers: {01P00A000000001: {host: a b}}",
        b"printers: {01P00A000000001: {host: [1]}}",
        b"printers: {01P00A000000001: {id: a/b}}",
        b"printers: {01P00A000000001: {id: ' '}}",
        b"printers: {01P00A000000001: {name: {a: b}}}",
        b"printers: {01P00A000000001: {access_code: [hidden]}}",
        b"printers: {01P00A000000001: {access_code: ''}}",
        b"printers: {01P00A000000001: {access_code: hidden, ports: 1}}",
        b"printers: {01P00A000000001: {ports: {mqtt: 0}}}",
        b"printers: {01P00A000000001: {ports: {mqtt: 65536}}}",
        b"printers: {01P00A000000001: {ports: {mqtt: [1]}}}",
        b"printers: {01P00A000000001: {developer_mode: perhaps}}",
        b"printers: {}\n#" + b"x" * 2 * 1024 * 1024,
    ],
    ids=lambda content: repr(content[:60]),
)
def test_a_damaged_file_is_one_sentence_and_stays_as_it_is(folder: Path, path: Path, content: bytes) -> None:
    write(path, content)
    registry = Registry(folder)
    for work in (
        registry.entries,
        registry.warnings,
        lambda: registry.entry(SERIAL),
        lambda: registry.store(WHOLE),
        lambda: registry.learn(SERIAL, fingerprint=PIN),
        lambda: registry.forget(SERIAL),
    ):
        with pytest.raises(ConfigError, match="Repair the file or bring it back from a backup") as told:
            work()
        assert str(told.value).startswith(f"{path}:1: ") or str(told.value).startswith(f"{path}:2: ")
        assert "\n" not in str(told.value)
        assert "hidden" not in str(told.value)
    assert path.read_bytes() == content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.binary(max_size=60)
    | st.text("{}[]:,-&*!|>'\"% \nnaprites0123", max_size=60).map(lambda text: b"printers:\n " + text.encode())
)
def test_whatever_stands_in_the_file_there_is_no_crash(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "printers.yaml", content)
    try:
        Registry(tmp_path).entries()
    except ConfigError:
        assert (tmp_path / "printers.yaml").read_bytes() == content


def make_link(path: Path) -> None:
    target = path.with_name("elsewhere")
    write(target, "printers: {}")
    path.symlink_to(target)


@pytest.mark.parametrize("make", [make_link, os.mkfifo, Path.mkdir])
def test_what_is_no_plain_file_is_not_waited_for_and_not_replaced(
    folder: Path, path: Path, make: Callable[[Path], None]
) -> None:
    folder.mkdir(mode=0o700)
    make(path)
    before = path.lstat()
    for work in (Registry(folder).entries, lambda: Registry(folder).learn(SERIAL, host="h")):
        with pytest.raises(ConfigError, match="the file cannot be read: it is a "):
            work()
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be"):
        Registry(tmp_path / "file").store(WHOLE)


def test_more_than_can_be_read_again_is_not_written(folder: Path, path: Path) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="cannot be stored: the file is larger"):
        registry.store(replace(WHOLE, name="x" * 2 * 1024 * 1024))
    assert path.read_bytes() == before


def test_a_failed_write_leaves_the_old_file_and_no_other(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(folder)
    registry.store(WHOLE)
    before = sorted(folder.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="No space left on device"):
            registry.learn(SERIAL, host="h2")
    assert registry.entry(SERIAL) == Registry(folder).entry(SERIAL) == WHOLE
    assert sorted(folder.iterdir()) == before
