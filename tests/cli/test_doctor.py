"""`doctor`: through the service, without one, and what it puts into a bug report."""

import io
import json
import os
import pty
import re
import select
import stat
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.cli.doctor import Blocks, _in_one_line, _names
from bambu_connector.cli.finding_lines import title
from bambu_connector.service.findings import Finding
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import ACCESS_CODE, ROOT, Bench, Printer, Service, Workshop
from tests.e2e.cloud import PASSWORD, Tree
from tests.servers.process import free_port, wait_until, workspace
from tests.servers.silent import SilentPeer

STEPS = ["name", "tcp", "identity", "login", "reports", "files", "upload", "storage", "camera", "developer_mode"]


@pytest.fixture(scope="module")
def clinic(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A running service with a printer that is whole, and others that are not."""
    stranger = Authority(tmp_path_factory.mktemp("stranger")).issue("01P00A999999999")
    with SilentPeer(stranger) as peer, workspace() as folder:
        printers = [
            Printer(workshop, id="whole", camera_port=0),
            Printer(workshop, id="dead", entry={"ports": {"mqtt": free_port()}}),
            Printer(workshop, id="refusing", faults=["wrong-code"]),
            Printer(workshop, id="strange", entry={"ports": {"mqtt": peer.port}}),
            Printer(workshop, id="cardless", faults=["no-storage"], camera_port=0),
        ]
        bench = Bench(folder, workshop, printers, connector_id="clinic")
        try:
            bench.start(wait_for=[bench["whole"], bench["cardless"]])
            yield bench
            assert peer.heard == b""
        finally:
            bench.service.close()
            bench.cloud.__exit__(None, None, None)
            bench.web.__exit__(None, None, None)
            for each in printers:
                each.close()


def found(done: "subprocess.CompletedProcess[str]", printer: str) -> dict[str, Tree]:
    """Return the findings of one printer, by step."""
    findings = json.loads(done.stdout)["printers"][printer]
    assert [each["step"] for each in findings] == STEPS
    return {each["step"]: each for each in findings}


# -- through the service ---------------------------------------------------------------------------


def test_a_printer_in_order_passes_and_sees_no_further_session(clinic: Bench) -> None:
    printer = clinic["whole"]
    connects, mark, messages = printer.virtual.connects, printer.mark(), clinic.cloud.mark()
    done = clinic.service.cli("doctor", "whole", "--json")
    steps = found(done, "whole")
    assert {step: each["outcome"] for step, each in steps.items()} == dict.fromkeys(STEPS, "ok"), done.stdout
    assert done.returncode == 0
    assert printer.virtual.connects == connects
    assert printer.orders(mark) == []
    assert printer.files() == set()
    assert not [each for each in clinic.cloud.messages[messages:] if each.topic.endswith("/mqtt")]


@pytest.mark.parametrize(
    ("printer", "step", "exit_code", "code", "advice"),
    [
        ("dead", "tcp", 4, "printer_offline", "discover"),
        ("strange", "identity", 6, "identity_mismatch", "pair"),
        ("refusing", "login", 5, "access_denied", "access code"),
        ("cardless", "upload", 1, "storage_missing", "card"),
    ],
)
def test_each_failure_is_told_where_it_is_with_what_to_do(
    clinic: Bench, printer: str, step: str, exit_code: int, code: str, advice: str
) -> None:
    done = clinic.service.cli("doctor", printer, "--json")
    steps = found(done, printer)
    first = next(each for each in steps.values() if each["outcome"] == "failed")
    assert (first["step"], first["code"], first["exit_code"]) == (step, code, exit_code)
    assert advice in first["advice"]
    assert done.returncode == exit_code
    if step in ("tcp", "identity", "login"):
        behind = STEPS[STEPS.index(step) + 1 :]
        assert {steps[each]["outcome"] for each in behind} == {"skipped"}


def test_all_are_looked_at_and_printago_beside_them(clinic: Bench) -> None:
    done = clinic.service.cli("doctor", "--json")
    tree = json.loads(done.stdout)
    assert tree.keys() == {"printago", "machine", "printers"}
    assert list(tree["printers"]) == ["whole", "dead", "refusing", "strange", "cardless"]
    assert [each["step"] for each in tree["printago"]] == ["name", "tcp", "identity", "login", "subscription"]
    assert {each["outcome"] for each in tree["printago"]} == {"ok", "skipped"}
    assert [each["step"] for each in tree["machine"]] == ["clock"]
    assert done.returncode == 4


def test_people_get_a_block_for_each_and_what_to_do_first(clinic: Bench) -> None:
    done = clinic.service.cli("doctor")
    blocks = re.findall(r"^(?! )(.+)$", done.stdout, re.MULTILINE)
    assert blocks[:-1] == [
        "Printago", "This computer",
        *(f"Bench {each} ({each})" for each in ("whole", "dead", "refusing", "strange", "cardless")),
    ]  # fmt: skip
    assert blocks[-1].startswith("First, Bench dead, TCP: ")
    assert "  ✓ Login" in done.stdout
    assert re.search(r"  ✗ TCP .*refuses.*\n +→ ", done.stdout)
    assert "  – Files           because nobody answers there" in done.stdout
    assert ACCESS_CODE not in done.stdout + done.stderr


def test_a_printer_that_is_not_known_ends_with_2(clinic: Bench) -> None:
    done = clinic.service.cli("doctor", "nobody")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_printer_that_prints_is_given_no_file(clinic: Bench) -> None:
    printer = clinic["whole"]
    clinic.set(printer, gcode_state="RUNNING")
    try:
        steps = found(clinic.service.cli("doctor", "whole", "--json"), "whole")
        assert steps["upload"]["told"] == "because it is printing"
    finally:
        clinic.set(printer, gcode_state="IDLE")


# -- without a service -----------------------------------------------------------------------------


def test_alone_it_logs_in_beside_the_services_client_id_and_leaves_nothing(lonely: Bench) -> None:
    mark = lonely.cloud.mark()
    before = len(lonely.cloud.broker.text())
    done = lonely.service.cli("doctor", "--json")
    tree = json.loads(done.stdout)
    outcomes = {each["step"]: each["outcome"] for each in tree["printago"]}
    assert outcomes == {"name": "ok", "tcp": "ok", "identity": "skipped", "login": "ok", "subscription": "ok"}
    steps = found(done, "alone")
    assert {step: steps[step]["outcome"] for step in STEPS if step != "camera"} == dict.fromkeys(
        [each for each in STEPS if each != "camera"], "ok"
    )
    log = lonely.cloud.broker.text()[before:]
    assert set(re.findall(r"as (bambu-connector-lonely[\w-]*)", log)) == set(
        re.findall(r"bambu-connector-lonely-doctor-\w+", log)
    )
    assert lonely.cloud.messages[mark:] == []
    assert lonely["alone"].files() == set()
    wait_until("the printer is free", lambda: lonely["alone"].virtual.sessions == 0)


def test_alone_a_wrong_password_is_told_as_such(workshop: Workshop) -> None:
    with workspace() as folder, Bench(folder, workshop, [], connector_id="wrong") as bench:
        config = bench.config()
        config["printago"]["password"] = "another-password"
        bench.service.write(config)
        done = bench.service.cli("doctor")
    assert done.returncode == 5
    assert "printago.password" in done.stdout.splitlines()[-1]
    assert "another-password" not in done.stdout + done.stderr


def test_without_anything_configured_there_is_still_this_computer(desk: Service, config: Tree) -> None:
    del config["printago"], config["printers"]
    desk.write(config)
    done = desk.cli("doctor", "--json")
    tree = json.loads(done.stdout)
    assert (done.returncode, tree["printers"], len(tree["machine"])) == (0, {}, 1)


# -- the bundle ------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def test_a_bundle_is_listed_and_written_and_has_nothing_that_is_secret_or_personal(
    clinic: Bench, tmp_path: Path
) -> None:
    target = tmp_path / "bug.zip"
    done = clinic.service.cli("doctor", "--json", "--bundle", str(target), "--yes")
    assert json.loads(done.stdout)["printers"].keys() == {each.id for each in clinic.printers}
    files = read(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    for name, text in files.items():
        assert f"{name}, {len(text.encode())} bytes" in done.stderr
        for personal in (ACCESS_CODE, PASSWORD, *(each.serial for each in clinic.printers), "Bench whole", "clinic"):
            assert personal not in text, (name, personal)
    assert sum(name.startswith("printer-") for name in files) == 5
    assert any(each["name"] == "ota" for each in json.loads(files["printer-1.json"])["modules"])
    assert json.loads(files["database.json"])["version"]


def test_without_a_terminal_a_bundle_needs_yes(clinic: Bench, tmp_path: Path) -> None:
    done = clinic.service.cli("doctor", "whole", "--bundle", str(tmp_path / "bug.zip"))
    assert (done.returncode, "--yes" in done.stderr, list(tmp_path.iterdir())) == (2, True, [])


def test_a_bundle_never_takes_the_place_of_what_is_no_file(clinic: Bench, tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    mark = clinic["whole"].mark()
    for target in (pipe, link):
        done = clinic.service.cli("doctor", "whole", "--bundle", str(target), "--yes")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "is no ordinary file" in done.stderr
    assert (stat.S_ISFIFO(pipe.lstat().st_mode), link.is_symlink()) == (True, True)
    assert clinic["whole"].commands(mark) == []


def test_its_help_says_when_there_is_a_log_in_the_bundle(desk: Service) -> None:
    assert "only where the service runs under systemd" in " ".join(desk.cli("doctor", "--help").stdout.split())


def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(clinic: Bench, tmp_path: Path) -> None:
    target = tmp_path / "bug.zip"
    shown = answered(clinic.service, ["doctor", "whole", "--bundle", str(target)], "n\n", "[y/N]")
    assert "configuration.yaml" in shown
    assert "Nothing was written" in shown
    assert not target.exists()
    target.write_text("old")
    shown = answered(clinic.service, ["doctor", "whole", "--bundle", str(target)], "y\n", "[y/N]")
    assert "Replace it?" in shown
    assert read(target)


def answered(service: Service, argv: list[str], answer: str, question: str) -> str:
    """Run a command on a terminal, answer its question, and return all that it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*service.argv, *argv], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as running:
        os.close(theirs)
        try:
            shown, deadline, asked = "", time.monotonic() + 20, False
            while time.monotonic() < deadline:
                ready, _, _ = select.select([ours], [], [], 0.5)
                if ready:
                    try:
                        shown += os.read(ours, 65536).decode(errors="replace")
                    except OSError:  # that is how a terminal ends that nobody holds any more
                        break
                if question in shown and not asked:
                    os.write(ours, answer.encode())
                    asked = True
            assert running.wait(10) == 0, shown
            return shown
        finally:
            running.kill()
            os.close(ours)


# -- what people see -------------------------------------------------------------------------------


def subject(name: str) -> Tree:
    return {"subject": "printers", "id": name, "name": name}


def test_blocks_stay_whole_though_all_is_told_at_the_same_time(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = Blocks()
    blocks.plan([subject("a"), subject("b"), subject("c")])
    blocks.add(subject("b"), ("b1",))
    blocks.add(subject("a"), ("a1",))
    assert capsys.readouterr().out.split() == ["a", "a1"]
    blocks.end(subject("b"))
    blocks.add(subject("c"), ("c1",))
    blocks.add(subject("a"), ("a2",))
    assert capsys.readouterr().out.split() == ["a2"]
    blocks.end(subject("a"))
    assert capsys.readouterr().out.split() == ["b", "b1", "c", "c1"]


def test_the_last_line_says_what_to_do_first() -> None:
    finding: Any = Finding(step="tcp", outcome="failed", seconds=1.0, told="nobody answers", advice="Switch it on.")
    assert _in_one_line(("left", finding), 3) == f"First, left, {title('tcp')}: Switch it on."
    assert _in_one_line(None, 0) == "Everything works."
    assert _in_one_line(None, 1) == "Everything works; 1 warning to look at."


def test_a_printer_is_called_by_its_name_and_by_its_id_only_where_two_share_one() -> None:
    heads: list[Tree] = [
        {"subject": "machine", "id": None, "name": None},
        {"subject": "printers", "id": "01P00A000000001", "name": "Left"},
        {"subject": "printers", "id": "01P00A000000002", "name": "Twin"},
        {"subject": "printers", "id": "01P00A000000003", "name": "Twin"},
    ]
    assert _names(heads) == {
        "01P00A000000001": "Left",
        "01P00A000000002": "Twin (01P00A000000002)",
        "01P00A000000003": "Twin (01P00A000000003)",
    }
