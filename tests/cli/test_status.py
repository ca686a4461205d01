"""`status`: through the service, and without one."""

import getpass
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
import yaml

from bambu_connector.cli import alone
from bambu_connector.cli.main import main
from bambu_connector.cli.status import Reason, _reasons
from bambu_connector.registry import Paired, Registry
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import ROOT, Bench, Printer, Service, Workshop
from tests.e2e.cloud import Tree
from tests.servers.process import Child, free_port, wait_until, workspace
from tests.servers.silent import SilentPeer


def test_the_table_has_a_row_for_each_printer(shop: Bench) -> None:
    done = shop.service.cli("status")
    assert (done.returncode, done.stderr) == (0, "")
    heading, left, right = done.stdout.splitlines()
    assert heading.split() == "printer model link state progress left nozzle bed job errors".split()
    assert left.split()[:4] == ["Bench", "left", "P1S", "online"]
    assert "X1" in right


def test_json_of_all_is_a_mapping_and_of_one_its_data(shop: Bench) -> None:
    everything = json.loads(shop.service.cli("status", "--json").stdout)
    assert everything.keys() == {"left", "right"}
    for name in ("right", shop["right"].serial, "Bench right"):
        data = json.loads(shop.service.cli("status", name, "--json").stdout)
        assert data["machines"][0]["connection_info"]["dev_id"] == shop["right"].serial
        assert data.keys() == everything["right"].keys() == {"process", "machines"}


def test_the_service_lends_its_session(shop: Bench) -> None:
    before = [each.virtual.connects for each in shop.printers]
    assert shop.service.cli("status").returncode == 0
    assert [each.virtual.connects for each in shop.printers] == before


def test_a_printer_that_is_not_known_ends_with_2(shop: Bench) -> None:
    done = shop.service.cli("status", "nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search("There is no printer .?nobody", done.stderr)
    assert "Bench left" in done.stderr


def test_a_printer_that_the_service_does_not_know_keeps_no_other_from_being_shown(shop: Bench, tmp_path: Path) -> None:
    config = yaml.safe_load(shop.service.config_file.read_text())
    config["connector"]["state_dir"] = str(shop.service.state_dir)
    config["printers"].append({"serial": "030120000000007", "id": "new", "name": "New"})
    other = tmp_path / "other.yaml"
    other.touch(0o600)
    other.write_text(yaml.safe_dump(config))
    argv = [sys.executable, "-m", "bambu_connector", "--config", str(other), "status"]

    def told(*more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*argv, *more], cwd=ROOT, capture_output=True, text=True, timeout=40, check=False)

    done = told()
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert done.stderr == "New (030120000000007): not known to the running service\n"
    done = told("--json")
    assert json.loads(done.stdout).keys() == {"left", "right"}
    assert "not known to the running service" in done.stderr
    done = told("New")
    assert (done.returncode, done.stdout) == (2, "")
    assert "New: not known to the running service." in done.stderr


def test_watching_shows_what_changes_until_ctrl_c(shop: Bench) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*shop.service.argv, "status", "left", "--watch"], cwd=ROOT, stdin=theirs, stdout=theirs,
        stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm", "COLUMNS": "160"}, start_new_session=True,
    ) as running:  # fmt: skip
        os.close(theirs)
        try:
            read_until(ours, "online")
            shop.set(shop["left"], gcode_state="RUNNING", stg_cur=0, mc_percent=37)
            read_until(ours, "37 %")
            running.send_signal(signal.SIGINT)
            read_to_the_end(ours)
            assert running.stderr is not None
            assert b"Traceback" not in running.stderr.read()
            assert running.wait(10) in (0, 130)
        finally:
            running.kill()
            os.close(ours)
            shop.tidy()


def read_until(terminal: int, wanted: str) -> None:
    shown, deadline = "", time.monotonic() + 20
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{wanted!r} is not shown: {shown!r}"
        shown += os.read(terminal, 65536).decode(errors="replace")


def read_to_the_end(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        return  # that is how a terminal ends that nobody holds any more


# -- printers that are not online ------------------------------------------------------------------

EXITS = {"good": 0, "dead": 4, "refusing": 5, "strange": 6}
SENTENCES = {
    "good": "",
    "dead": r"Bench dead: 127\.0\.0\.1:\d+ refuses the connection.*\n",
    "refusing": r"Bench refusing: .*refuses the access code.*\n",
    "strange": r"Bench strange: .*certificate.*\n",
}


@pytest.fixture(scope="module")
def troubled(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A running service whose printers are all offline but one."""
    stranger = Authority(tmp_path_factory.mktemp("stranger")).issue("01P00A999999999")
    with workspace() as folder, SilentPeer(stranger) as impostor:
        printers = [
            Printer(workshop, id="good"),
            Printer(workshop, id="dead", entry={"ports": {"mqtt": free_port()}}),
            Printer(workshop, id="refusing", faults=["wrong-code"]),
            Printer(workshop, id="strange", entry={"ports": {"mqtt": impostor.port}}),
        ]
        with Bench(folder, workshop, printers, connector_id="troubled") as bench:
            yield bench.start(wait_for=printers[:1])


def test_why_a_printer_is_offline_is_told_and_is_the_exit_code(troubled: Bench) -> None:
    for name, code in EXITS.items():
        wait_until(f"{name} was tried", lambda: tried(troubled, name))  # noqa: B023 - waited for at once
        shown, told = (troubled.service.cli("status", name, *options) for options in ([], ["--json"]))
        for done in (shown, told):
            assert done.returncode == code
            assert re.fullmatch(SENTENCES[name], done.stderr), done.stderr
        assert json.loads(told.stdout)["machines"][0]["connection_info"]["is_online"] is (name == "good")


def tried(bench: Bench, name: str) -> bool:
    """Say whether the service knows by now what is the matter with a printer."""
    return re.fullmatch(SENTENCES[name], bench.service.cli("status", name).stderr) is not None


def test_of_all_printers_every_reason_is_told_and_the_table_is_the_result(troubled: Bench) -> None:
    done = troubled.service.cli("status")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1 + len(EXITS))
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        f"Bench {name}" for name in list(EXITS)[1:]
    ]


@pytest.mark.parametrize("name", EXITS)
def test_without_a_service_the_reason_and_the_exit_code_are_the_same(
    troubled: Bench,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alone, "READY_S", 20.0 if name == "good" else 1.0)
    service = Service(tmp_path, troubled.config())
    monkeypatch.setattr(sys, "argv", ["bambu-connector", "--config", str(service.config_file), "status", name])
    with pytest.raises(SystemExit) as ending:
        main()
    out, err = capsys.readouterr()
    assert ending.value.code == EXITS[name]
    assert re.fullmatch(SENTENCES[name], err)
    assert f"Bench {name}" in out.splitlines()[1]


@pytest.mark.parametrize(
    ("link", "sentence", "code"),
    [
        ({"has_access_right": False}, "access code is refused", 5),
        ({"verified": False, "is_connected": False}, "not the one that is trusted", 6),
        ({"is_connected": True}, "says nothing", 4),
        ({}, "not connected yet", 4),
    ],
)
def test_where_a_service_tells_no_reason_the_status_does(link: Tree, sentence: str, code: int) -> None:
    usual = {"is_online": False, "is_connected": False, "has_access_right": None, "verified": None}
    statuses = {"x": {"machines": [{"connection_info": usual | link}]}}
    found = _reasons(statuses, {})["x"]
    assert sentence in found.sentence
    assert found.exit_code == code
    assert _reasons(statuses, {"x": Reason("Known.", 6)}) == {"x": Reason("Known.", 6)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_watching_ends_with_4_and_says_so_when_the_service_stops(
    workshop: Workshop, number: signal.Signals, options: list[str]
) -> None:
    printer = Printer(workshop, id="left")
    with workspace() as folder, Bench(folder, workshop, [printer], connector_id="watched") as bench:
        bench.start()
        argv = [*bench.service.argv, "status", "--watch", *options]
        with Child(argv, folder / "watch.log", cwd=ROOT) as watching:
            wait_until("it is shown", lambda: "left" in watching.text(), 20)
            bench.service.child.send_signal(number)
            bench.service.child.wait(10)
            assert watching.wait(10) == 4
            last = watching.text().splitlines()[-1]
    assert last in (
        "bambu-connector: The service ended before it answered.",
        "bambu-connector: The service is being stopped.",
    )


def test_without_a_service_it_connects_by_itself(lonely: Bench) -> None:
    printer = lonely["alone"]
    before, mark = printer.virtual.connects, printer.mark()
    done = lonely.service.cli("status", "alone", "--json")
    assert done.returncode == 0, done.stderr
    machine = json.loads(done.stdout)["machines"][0]
    assert (machine["connection_info"]["is_online"], machine["current"]["print_status"]) == (True, "IDLE")
    assert printer.virtual.connects == before + 1
    assert printer.orders(mark) == []


def test_an_access_code_needs_no_quotes(lonely: Bench) -> None:
    path = lonely.service.config_file
    before = path.read_text()
    assert "access_code: '01234567'" in before
    path.write_text(before.replace("access_code: '01234567'", "access_code: 01234567"))
    try:
        assert lonely.service.cli("status", "alone").returncode == 0
    finally:
        path.write_text(before)


def test_a_printer_that_refuses_twice_is_not_waited_for_any_longer(
    desk: Service, config: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes are what it would wait for one that is silent: the test ends before that only if it does not."""
    entry = {**config["printers"][0], "host": "127.0.0.1", "ports": {"mqtt": free_port()}}
    desk.write(config | {"printers": [entry]})
    monkeypatch.setattr(alone, "READY_S", 600.0)
    monkeypatch.setattr(sys, "argv", ["bambu-connector", "--config", str(desk.config_file), "status", "left"])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 4
    assert "refuses the connection" in capsys.readouterr().err


def test_on_a_terminal_it_says_who_is_asked(desk: Service) -> None:
    with Screen([*desk.argv, "status"]) as screen:
        screen.when_shown("Asking 2 printers…")


class Screen:
    """A command on a terminal."""

    def __init__(self, argv: Sequence[str | Path]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            argv, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._ours)

    def when_shown(self, text: str) -> None:
        read_until(self._ours, text)


@pytest.mark.parametrize("command", ["status", "unpair", "record"])
def test_who_may_not_see_what_is_paired_is_told_so_and_who_may(
    desk: Service, config: Tree, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write(config | {"printers": []})
    Registry(desk.state_dir).store(Paired(serial="030120000000007", access_code=Secret("1"), is_paired=True))
    usual = os.open

    def refuse(path: str | Path, *arguments: int, **more: int) -> int:
        if Path(path) == desk.state_dir / "printers.yaml":
            raise PermissionError(13, "Permission denied")
        return usual(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    more = {"status": [], "unpair": ["mini"], "record": ["mini", "-o", str(desk.folder / "recorded")]}[command]
    monkeypatch.setattr(sys, "argv", ["bambu-connector", "--config", str(desk.config_file), command, *more])
    with pytest.raises(SystemExit) as ending:
        main()
    err = capsys.readouterr().err
    assert ending.value.code == (3 if command == "status" else 2)
    assert err.count("printers.yaml: the file cannot be read: Permission denied") == 1
    assert f"run this as the user {getpass.getuser()}" in err
    assert "is not known to this user" in err
    assert "no printers yet" not in err
    assert "it has: none" not in err


def test_without_printers_there_is_nothing_to_show(desk: Service, config: Tree) -> None:
    desk.write(config | {"printers": []})
    done = desk.cli("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no printers" in done.stderr
