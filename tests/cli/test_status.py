"""`status`: through the service, and without one."""

import json
import os
import pty
import select
import signal
import subprocess
import time

from tests.e2e.bench import ROOT, Bench, Service
from tests.e2e.cloud import Tree


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
    assert "There is no printer nobody" in done.stderr
    assert "Bench left" in done.stderr


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


def test_without_printers_there_is_nothing_to_show(desk: Service, config: Tree) -> None:
    desk.write(config | {"printers": []})
    done = desk.cli("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no printers" in done.stderr
