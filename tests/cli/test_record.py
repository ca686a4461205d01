"""`record`: a printer as it speaks, as a folder, through the service or without one."""

import json
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bambu_connector.cli import record as module
from bambu_connector.cli.main import Settings, cli
from bambu_connector.cli.record import refuse_occupied, reserved, write
from bambu_connector.errors import ConnectorError, Internal, UsageError
from tests.e2e.bench import ACCESS_CODE, ROOT, Bench, Printer, Service
from tests.recordings import Recording, load
from tests.servers.process import wait_until

FILES = {"README.md", "about.yaml", "deltas.jsonl", "report.json", "status.json", "version.json"}


def sizes(stdout: str) -> dict[str, int]:
    """Return the files that were listed, with their sizes."""
    rows = [line.split() for line in stdout.splitlines() if " bytes  " in line]
    return {name: int(size.replace(",", "")) for size, _, name in rows}


def checked(folder: Path, printer: Printer) -> Recording:
    """Read a recording of a virtual printer; nothing in it may tell it from another."""
    recording = load(folder)
    assert recording.status_now() == recording.status
    assert recording.about["source"] == "virtual"
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8")
        assert [each for each in (printer.serial, "127.0.0.1", ACCESS_CODE, "16777343") if each in text] == []
    return recording


def test_a_printer_is_recorded_through_the_service_in_its_one_session(shop: Bench, tmp_path: Path) -> None:
    printer, target = shop["left"], tmp_path / "new" / "recording"
    connects, mark = printer.virtual.connects, printer.mark()
    done = shop.service.cli("record", "left", "-o", str(target), "--seconds", "2", "--note", "beside a service")
    assert (done.returncode, done.stderr) == (0, "")
    listed = sizes(done.stdout)
    assert set(listed) >= FILES
    assert listed == {path.name: path.stat().st_size for path in target.iterdir()}
    assert done.stdout.startswith("P1S, a virtual printer, redacted:\n")
    assert "Please look through it" in done.stdout.splitlines()[-1]
    assert checked(target, printer).about["note"] == "beside a service"
    assert printer.virtual.connects == connects
    assert printer.orders(mark) == []


def test_a_printer_is_recorded_without_a_service(lonely: Bench, tmp_path: Path) -> None:
    printer, target = lonely["alone"], tmp_path / "recording"
    target.mkdir()
    mark = printer.mark()
    done = lonely.service.cli("record", "alone", "-o", str(target), "--seconds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert checked(target, printer).about["report"] == "as it came"
    assert printer.orders(mark) == []


def test_a_folder_with_something_in_it_is_refused_before_anything_is_asked(lonely: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    mark = lonely["alone"].mark()
    for target in (tmp_path, tmp_path / "mine.txt"):
        done = lonely.service.cli("record", "alone", "-o", str(target))
        assert (done.returncode, done.stdout) == (2, "")
        assert "is there already" in done.stderr
    assert lonely["alone"].commands(mark) == []
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_wrong_is_said(desk: Service, tmp_path: Path) -> None:
    target = str(tmp_path / "recording")
    assert desk.cli("record", "nobody", "-o", target).returncode == 2
    assert desk.cli("record", "left").returncode == 2
    assert desk.cli("record", "left", "-o", target, "--seconds", "0").returncode == 2
    assert not (tmp_path / "recording").exists()


def test_a_secret_in_a_recording_keeps_it_from_being_written(
    desk: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "farm-password-3Lw"

    def leaking(_config: object, _name: str, _request: Mapping[str, Any]) -> Any:
        yield {"progress": {"stage": "record", "percent": 50}}
        files = {"about.yaml": "source: printer\n", "report.json": json.dumps({"odd": password})}
        yield {"recording": {"source": "printer", "model": "P1S", "files": files}}

    monkeypatch.setattr(module, "_answers", leaking)
    target = tmp_path / "recording"
    arguments = ["--config", str(desk.config_file), "record", "left", "-o", str(target)]
    done = CliRunner().invoke(cli, arguments, obj=Settings())
    assert isinstance(done.exception, Internal)
    assert password not in str(done.exception)
    assert not target.exists()


def test_files_are_written_only_into_the_folder_and_never_over_others(tmp_path: Path) -> None:
    target = tmp_path / "recording"
    write(target, {"../../about.yaml": "a", "report.json": "ä\n"})
    assert {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()} == {
        "about.yaml": "a",
        "report.json": "ä\n",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["recording"]
    with pytest.raises(UsageError):
        write(target, {"report.json": "b"})
    with pytest.raises(UsageError):
        refuse_occupied(target)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectorError):
        write(tmp_path / "file" / "below", {"report.json": "b"})


# -- an early end, and a place that is there beforehand --------------------------------------------


def interrupted(bench: Bench, printer: Printer, target: Path) -> "subprocess.CompletedProcess[str]":
    """Begin to record for a minute, and press Ctrl-C when the versions were asked for."""
    mark = printer.mark()
    argv = [*bench.service.argv, "record", printer.id, "-o", target, "--seconds", "60"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            wait_until("it was asked", lambda: "get_version" in printer.commands(mark))
            time.sleep(1)  # nothing shows from outside that the answer has come
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=15)
        finally:
            running.kill()
    return subprocess.CompletedProcess(argv, running.returncode, out, err)


def test_an_early_end_without_a_service_keeps_what_was_heard(lonely: Bench, tmp_path: Path) -> None:
    printer, target = lonely["alone"], tmp_path / "recording"
    done = interrupted(lonely, printer, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 < checked(target, printer).about["seconds"] < 30
    wait_until("the printer is free", lambda: printer.virtual.sessions == 0)


def test_an_early_end_through_the_service_keeps_what_was_heard(shop: Bench, tmp_path: Path) -> None:
    printer, target = shop["left"], tmp_path / "recording"
    done = interrupted(shop, printer, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 < checked(target, printer).about["seconds"] < 30


@pytest.mark.parametrize("how", ["told", "interrupted"])
def test_an_end_before_anything_was_heard_leaves_nothing_and_says_so(
    desk: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    target = tmp_path / "new" / "recording"

    def ended(_config: object, _name: str, _request: Mapping[str, Any]) -> Any:
        assert target.is_dir()
        if how == "interrupted":
            raise KeyboardInterrupt
        yield {"recording": None}

    monkeypatch.setattr(module, "_answers", ended)
    arguments = ["--config", str(desk.config_file), "record", "left", "-o", str(target)]
    done = CliRunner().invoke(cli, arguments, obj=Settings())
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr.startswith("Nothing was kept")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_asked(lonely: Bench, tmp_path: Path) -> None:
    mark = lonely["alone"].mark()
    done = lonely.service.cli("record", "alone", "-o", "/proc/recording")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/proc/recording cannot be written" in done.stderr
    assert lonely["alone"].commands(mark) == []
    done = lonely.service.cli("record", "alone", "-o", "/dev/full")
    assert (done.returncode, "is there already" in done.stderr) == (2, True)


def test_a_place_is_kept_free_of_what_failed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()

    def fail_in(target: Path) -> None:
        with reserved(target):
            assert target.is_dir()
            raise UsageError("failed")

    for target in (mine, tmp_path / "a" / "b"):
        with pytest.raises(UsageError, match="failed"):
            fail_in(target)
    assert list(tmp_path.iterdir()) == [mine]
    with reserved(tmp_path / "a" / "b"):
        pass
    assert (tmp_path / "a" / "b").is_dir()
