"""Each row of the contract's table on stopping: both answers, how often a print began, and no file left."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.bench import Bench, Printer
from tests.e2e.cloud import Message
from tests.e2e.conftest import Faulty
from tests.files import sliced
from tests.servers.process import wait_until


@pytest.fixture
def farm(faulty: Faulty) -> Bench:
    return faulty.bench


@pytest.fixture
def printer(bench: Bench) -> Iterator[Printer]:
    """The shared P1S; nothing may be left on it, whatever the row."""
    printer = bench.printers[0]
    yield printer
    wait_until("nothing is left on the printer", lambda: not printer.files())


def stop(bench: Bench, printer: Printer) -> str:
    return bench.send(printer, "printer_control/stop_print")


def start(bench: Bench, printer: Printer) -> str:
    """Send a start; return its command's id once it is published."""
    mark = printer.mark()
    url = bench.serve(f"{printer.id}.gcode.3mf", sliced())
    command_id = bench.send(printer, "printer_control/start_print_bbl", {"url": url})
    wait_until(
        "the start is published, or refused",
        lambda: "project_file" in printer.commands(mark) or bench.cloud.answers(command_id),
        20,
    )
    assert [str(each) for each in bench.cloud.answers(command_id) if each.kind == "error"] == []
    return command_id


def is_cancelled(answer: Message, stage: str) -> bool:
    return (answer.code, answer.data["stage"]) == ("cancelled", stage)


def test_a_download_is_broken_off(bench: Bench, printer: Printer) -> None:
    mark, begun = printer.mark(), len(printer.starts)
    job, _ = bench.stall(printer, 50)
    assert bench.cloud.answer(stop(bench, printer)).kind == "success"
    assert is_cancelled(bench.cloud.answer(job), "download")
    assert (printer.orders(mark), len(printer.starts)) == ([], begun)
    again, file = bench.stall(printer, 51)  # the way is free again
    bench.go_on(file)
    assert bench.cloud.answer(again).kind == "success"
    assert bench.cloud.answer(stop(bench, printer)).kind == "success"


def test_what_waits_behind_a_download_is_stopped_with_it(bench: Bench, printer: Printer) -> None:
    first, _ = bench.stall(printer, 52, "download_gcode")
    url = bench.serve("behind.gcode.3mf", sliced())
    second = bench.send(printer, "printer_control/download_gcode", {"url": url})
    bench.fence(printer)
    assert bench.cloud.answer(stop(bench, printer)).kind == "success"
    assert is_cancelled(bench.cloud.answer(first), "download")
    assert is_cancelled(bench.cloud.answer(second), "queued")
    assert not [each for each in bench.web.requests if "behind" in each.path]
    assert bench.ask(printer, "printer_control/stop_print").answer.code == "wrong_state"


def test_an_upload_is_broken_off_and_what_was_written_goes(bench: Bench, printer: Printer) -> None:
    since, mark, begun = bench.cloud.mark(), printer.mark(), len(printer.starts)
    content = sliced(extra={"Metadata/large.bin": os.urandom(24_000_000)})
    job = bench.send(printer, "printer_control/start_print_bbl", {"url": bench.serve("large.gcode.3mf", content)})
    wait_until("a part is on the printer", lambda: any(printer.files()))
    with bench.workshop.frozen():
        stopped = stop(bench, printer)
        assert is_cancelled(bench.cloud.answer(job), "upload")
    assert bench.cloud.answer(stopped).kind == "success"
    assert printer.files() == set()
    transfer = [name for name in bench.cloud.events(printer.id, since=since) if name.startswith("Transfer")]
    assert transfer == ["TransferStarted", "TransferFailed"]
    assert (printer.orders(mark), len(printer.starts)) == ([], begun)


@pytest.mark.parametrize("state", ["PREPARE", "RUNNING", "PAUSE"])
def test_anybodys_print_is_stopped(bench: Bench, printer: Printer, state: str) -> None:
    since = bench.cloud.mark()
    bench.set(printer, gcode_state=state)
    outcome = bench.succeed(printer, "printer_control/stop_print")
    assert [body["command"] for _, body in outcome.orders] == ["stop"]
    assert printer.state == "FAILED"
    bench.cloud.hear_event(printer.id, "PrintCancelled", since=since)
    assert "PrintFailed" not in bench.cloud.events(printer.id, since=since)


@pytest.mark.parametrize(("name", "state"), [("stop-preparing", "PREPARE"), ("stop-running", "RUNNING")])
def test_our_print_is_stopped_and_its_file_goes(farm: Bench, name: str, state: str) -> None:
    printer = farm[name]
    job = start(farm, printer)
    assert farm.cloud.answer(job).kind == "success"
    printer.when_state(state)
    farm.cloud.hear("status", printer.id, lambda each: each.machine["current"]["print_status"] == state)
    assert farm.cloud.answer(stop(farm, printer)).kind == "success"
    cancelled = farm.cloud.hear_event(printer.id, "PrintCancelled")
    assert cancelled.data["job"]["command_id"] == job
    wait_until("the upload is gone", lambda: not printer.files())
    assert len(printer.starts) == 1


def test_a_print_is_what_is_stopped_where_a_download_runs_beside_it(farm: Bench) -> None:
    printer = farm["stop-running"]
    printer.start_at_screen()
    farm.cloud.hear("status", printer.id, lambda each: each.machine["current"]["task_name"] == "Somebody else's")
    job, file = farm.stall(printer, 53, "download_gcode")
    assert farm.cloud.answer(stop(farm, printer)).kind == "success"
    assert printer.state == "FAILED"
    assert farm.cloud.answers(job) == []
    farm.go_on(file)
    stored = farm.cloud.answer(job).data["file_name"]
    assert printer.files() == {stored}


def test_a_start_that_is_out_is_stopped_when_it_is_seen(farm: Bench) -> None:
    printer = farm["stop-slow-start"]
    job = start(farm, printer)
    first, second = stop(farm, printer), stop(farm, printer)
    printer.when_ordered("stop")
    assert [farm.cloud.answers(each) for each in (job, first, second)] == [[], [], []]
    assert is_cancelled(farm.cloud.answer(job), "start")
    assert [farm.cloud.answer(each).kind for each in (first, second)] == ["success", "success"]
    assert (len(printer.starts), printer.state) == (1, "FAILED")
    assert printer.commands().count("project_file") == 1
    assert printer.commands().count("stop") >= 3  # one for each stop, and one when the print was seen
    wait_until("the upload is gone", lambda: not printer.files())


def test_a_stopped_start_that_never_shows_is_unknown(farm: Bench) -> None:
    printer = farm["stop-ignored-start"]
    job = start(farm, printer)
    stopped = stop(farm, printer)
    assert farm.cloud.answer(stopped).code == "timeout"
    answer = farm.cloud.answer(job)
    assert (answer.code, answer.data["stage"]) == ("start_unknown", "start")
    assert (printer.starts, printer.commands().count("stop")) == ([], 1)


def test_a_state_that_is_not_known_is_stopped_by_the_reply(bench: Bench, printer: Printer) -> None:
    bench.set(printer, gcode_state="MYSTERY")
    outcome = bench.ask(printer, "printer_control/stop_print")
    assert [body["command"] for _, body in outcome.orders] == ["stop"]
    assert outcome.answer.code == "printer_error"  # this printer says that there is nothing to stop


def test_what_had_not_begun_is_stopped_without_the_printer(farm: Bench) -> None:
    printer = farm["stop-offline"]
    assert printer.cable is not None
    job, _ = farm.stall(printer, 54)
    since = farm.cloud.mark()
    printer.cable.unplug()
    farm.cloud.hear("status", printer.id, is_disconnected, since=since)
    assert farm.cloud.answer(stop(farm, printer)).kind == "success"
    assert is_cancelled(farm.cloud.answer(job), "download")
    assert farm.ask(printer, "printer_control/stop_print").answer.code == "printer_offline"
    assert (printer.starts, printer.files(), printer.orders()) == ([], set(), [])
    since = farm.cloud.mark()
    printer.cable.plug()
    farm.cloud.hear("status", printer.id, would_start, since=since)  # the next test starts a print on it


def would_start(message: Message) -> bool:
    return message.machine["state"]["can_print"] is True


def is_disconnected(message: Message) -> bool:
    return message.machine["connection_info"]["is_connected"] is False


def test_a_start_that_is_out_goes_on_where_a_stop_cannot_reach_the_printer(farm: Bench) -> None:
    printer = farm["stop-offline"]
    assert printer.cable is not None
    job = start(farm, printer)
    since = farm.cloud.mark()
    printer.cable.unplug()
    farm.cloud.hear("status", printer.id, is_disconnected, since=since)
    assert farm.ask(printer, "printer_control/stop_print").answer.code == "printer_offline"
    printer.cable.plug()
    assert farm.cloud.answer(job).kind == "success"
    assert (len(printer.starts), printer.commands().count("stop")) == (1, 0)


def test_a_stop_of_nothing_does_nothing(bench: Bench, printer: Printer) -> None:
    bench.refused("wrong_state", printer, "printer_control/stop_print")
