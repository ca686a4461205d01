"""The zip for a public bug report: complete, and without a word that is secret or personal."""

import base64
import io
import json
import os
import sqlite3
import stat
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.cli.bundle import (
    Bundle,
    BundleFailed,
    Part,
    journal_counts,
    read_log,
    refuse_special,
    versions,
    write,
)
from bambu_connector.config import Config
from bambu_connector.errors import UsageError
from bambu_connector.secret import Secret
from tests.cli.test_personal_fields import CONFIG, KNOWN, REPORT, SERIAL

Tree = dict[str, Any]
FOUND: Tree = {
    "printago": [{"step": "tcp", "outcome": "failed", "told": "broker.annas-farm.example:8883 does not answer"}],
    "machine": [],
    "printers": {"clx0000000077": [{"step": "login", "outcome": "ok", "told": f"{SERIAL} at 192.168.77.5"}]},
}
FACTS: dict[str, Tree] = {
    "clx0000000077": {
        "serial": SERIAL,
        "report": REPORT,
        "modules": [{"name": "ota", "sn": SERIAL, "sw_ver": "01.08.02.00"}],
    }
}
LOG = (
    '2026-11-22T18:20:00.123Z INFO  Anna\'s Left[01P…0077]: PrintStarted file="Vase for Anna.3mf"\n'
    "2026-11-22T18:20:01.123Z WARN  connecting to 192.168.77.5:8883, code 24681357\n"
    '{"time":"2026-11-22T18:20:02Z","level":"info","message":"hello \\"Anna Smith\\" at 192.168.77.5"}\n'
)
PERSONAL = ("anna", "0077", "192.168", "smith", "vase", "715417867", "fritz", "/srv")


def bundled(config: Config = CONFIG, log: str | None = LOG, found: Tree = FOUND) -> Bundle:
    return Bundle(config, KNOWN, found, FACTS, log)


def unpacked(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def spellings(secret: str) -> list[str]:
    raw = secret.encode()
    return [
        secret, quote(secret), quote(secret, safe=""), quote_plus(secret), raw.hex(), repr(secret)[1:-1],
        json.dumps(secret)[1:-1], base64.b64encode(raw).decode().rstrip("="),
        base64.b64encode(b"bblp:" + raw).decode(),
    ]  # fmt: skip


def test_everything_that_helps_is_in_it() -> None:
    b = bundled()
    files = unpacked(b.zipped(b.parts()))
    assert list(files) == [
        "versions.json", "configuration.yaml", "printers.yaml", "findings.json", "printer-1.json", "database.json",
        "log.txt",
    ]  # fmt: skip
    assert json.loads(files["versions.json"])["libraries"]["paho-mqtt"]
    assert yaml.safe_load(files["configuration.yaml"])["printers"][0]["model"] == "P1S"
    assert json.loads(files["printer-1.json"])["modules"][0]["sw_ver"] == "01.08.02.00"
    assert json.loads(files["findings.json"])["printago"][0]["outcome"] == "failed"
    assert "WARN  connecting to ‹address-" in files["log.txt"]


def test_the_same_thing_has_the_same_pseudonym_in_every_file() -> None:
    b = bundled()
    files = unpacked(b.zipped(b.parts()))
    serial, address = b.masker.alias("serial", SERIAL), b.masker.alias("address", "192.168.77.5")
    assert serial.startswith("01P-…-A")
    for name in ("configuration.yaml", "printers.yaml", "findings.json", "printer-1.json", "log.txt"):
        assert serial in files[name], name
    for name in ("configuration.yaml", "findings.json", "log.txt"):
        assert address in files[name], name


def test_nothing_personal_is_in_it() -> None:
    b = bundled()
    for name, text in unpacked(b.zipped(b.parts())).items():
        for personal in (*PERSONAL, "24681357", "farm-password"):
            assert personal not in text.lower(), (name, personal)


CODES = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=["Cs", "Cc"]), min_size=8)


@settings(max_examples=20)  # each one masks and packs a whole bundle
@given(CODES, CODES)
def test_no_secret_of_the_configuration_is_in_it_in_any_spelling(code: str, password: str) -> None:
    assert CONFIG.printago is not None
    config = replace(
        CONFIG,
        printago=replace(CONFIG.printago, password=Secret(password)),
        printers=(replace(CONFIG.printers[0], access_code=Secret(code)),),
    )
    told = [{"step": "login", "outcome": "failed", "told": " ".join(spellings(each))} for each in (code, password)]
    b = bundled(config, LOG + "\n".join(spellings(code)), FOUND | {"machine": told})
    files = unpacked(b.zipped(b.parts()))
    for secret in (code, password):
        for spelling in spellings(secret):
            assert not [name for name, text in files.items() if spelling in text], spelling


def test_what_was_missed_is_found_in_the_finished_zip_and_nothing_is_written() -> None:
    b = bundled()
    with pytest.raises(BundleFailed, match=r"a secret still stands in extra\.txt"):
        b.zipped((*b.parts(), Part("extra.txt", "", "the code is 24681357")))
    with pytest.raises(BundleFailed, match=r"01P-…-A1 still stands in extra\.txt") as caught:
        b.zipped((*b.parts(), Part("extra.txt", "", f"the printer is {SERIAL}")))
    assert SERIAL not in str(caught.value)


def test_a_part_tells_its_size_and_what_was_masked() -> None:
    part = Part("log.txt", "the log", "01P-…-A1 at ‹address-A1›, ‹address-A2›: [secret]")
    name, holds, masked = part.described()
    assert (name, holds) == (f"log.txt, {len(part.text.encode())} bytes", "the log")
    assert masked == "masked: address 2×, secret 1×, serial 1×"
    assert Part("a", "", "plain").described()[2] == "masked: nothing to mask"


def test_without_a_log_that_is_said() -> None:
    b = bundled(log=None)
    assert "no journal of systemd" in unpacked(b.zipped(b.parts()))["log.txt"]


# -- what is collected -----------------------------------------------------------------------------


def test_versions_name_python_and_the_libraries() -> None:
    found = versions()
    assert found["python"].startswith("3.")
    assert found["libraries"]["click"]


def test_the_journal_is_counted_and_not_read(tmp_path: Path) -> None:
    assert journal_counts(tmp_path)["error"] == "there is none"
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("CREATE TABLE records (kind TEXT, key TEXT, body BLOB)")
    database.execute("CREATE TABLE commands (number INTEGER)")
    records = [("job", "1", b"x"), ("job", "2", b""), ("file", "3", b"")]
    database.executemany("INSERT INTO records VALUES (?, ?, ?)", records)
    database.commit()
    database.close()
    found = journal_counts(tmp_path)
    assert (found["records"], found["commands"]) == ({"job": 2, "file": 1}, 0)
    (tmp_path / "journal.db").write_bytes(b"no database at all, and longer than a header needs to be" * 20)
    assert journal_counts(tmp_path)["error"] == "DatabaseError"


def journalctl(folder: Path, script: str) -> None:
    program = folder / "journalctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo a line", "a line\n"), ("echo '-- No entries --'", None), ("exit 1", None), ("true", None)],
)
def test_the_log_comes_from_the_journal_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: str | None
) -> None:
    journalctl(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert read_log() == expected


def test_a_computer_without_systemd_has_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_log() is None


# -- the file --------------------------------------------------------------------------------------


def test_the_file_is_its_owners_alone_and_whole(tmp_path: Path) -> None:
    target = tmp_path / "bug.zip"
    target.write_bytes(b"old")
    target.chmod(0o666)
    write(target, b"new")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["bug.zip"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleFailed, match=r"nowhere/bug\.zip cannot be written: No such file"):
        write(tmp_path / "nowhere" / "bug.zip", b"new")


def test_what_is_left_of_a_file_that_could_not_be_finished_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleFailed, match="No space left"):
        write(tmp_path / "bug.zip", b"new")
    assert list(tmp_path.iterdir()) == []


def test_only_a_file_is_replaced_never_a_device_a_pipe_a_folder_or_a_link_to_one(tmp_path: Path) -> None:
    pipe, link, device = tmp_path / "pipe", tmp_path / "link", tmp_path / "device"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    device.symlink_to("/dev/full")
    before = sorted(tmp_path.iterdir())
    for target in (pipe, link, device, tmp_path):
        with pytest.raises(UsageError, match="no ordinary file"):
            write(target, b"new")
    with pytest.raises(UsageError):
        refuse_special(Path("/dev/full"))
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert link.is_symlink()


def test_a_place_below_a_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleFailed, match="cannot be written"):
        refuse_special(tmp_path / "file" / "bug.zip")
    refuse_special(tmp_path / "file")
    refuse_special(tmp_path / "new")
