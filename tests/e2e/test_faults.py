"""Printers that fail, each in its own way: what is told, and what is not done."""

import pytest

from bambu_connector.virtual.faults import FAULTS
from tests.e2e.bench import Bench, Printer
from tests.e2e.cloud import Message
from tests.e2e.conftest import FAULTY, Faulty
from tests.files import sliced
from tests.servers.process import wait_until

QUIET = {"pushall", "start"}


@pytest.fixture
def farm(faulty: Faulty) -> Bench:
    return faulty.bench


def start(bench: Bench, printer: Printer, *, content: bytes | None = None) -> str:
    """Send a start; return its command's id."""
    url = bench.serve(f"{printer.id}.gcode.3mf", content or sliced())
    return bench.send(printer, "printer_control/start_print_bbl", {"url": url})


def when_published(printer: Printer, mark: int = 0) -> None:
    printer.when_ordered("project_file", mark)


def is_told(bench: Bench, printer: Printer, path: str, value: object) -> Message:
    """Wait for a status in which the place `a.b` of the machine has a value."""

    def holds(message: Message) -> bool:
        place: object = message.machine
        for key in path.split("."):
            assert isinstance(place, dict)
            place = place[key]
        return place == value

    return bench.cloud.hear("status", printer.id, holds)


def test_every_fault_has_its_printer_here() -> None:
    later = {"silent", "deaf", "disconnects", "lingering-finish"}
    finding = {"not-announced", "announce-garbage", "detect-garbage", "cloud"}
    trusting = {"foreign-certificate", "new-certificate", "too-many-clients"}
    here = {fault.partition("=")[0] for each in FAULTY.values() for fault in each.get("faults", ())}
    assert here | later | finding | trusting == set(FAULTS)


def test_a_refused_code_is_told_and_not_tried_again_and_again(farm: Bench) -> None:
    printer = farm["wrong-code"]
    status = is_told(farm, printer, "connection_info.has_access_right", False)
    assert status.machine["connection_info"]["is_connected"] is False
    for command in ("movement_control/home", "printer_control/download_gcode"):
        answer = farm.ask(printer, command, {"url": farm.serve("x.3mf", b"x")}).answer
        assert answer.code == "access_denied"
    assert printer.cable is not None
    assert printer.cable.connections == 1
    assert printer.commands() == []


def test_a_printer_that_never_speaks_is_not_ready(farm: Bench) -> None:
    printer = farm["silent"]
    answer = farm.ask(printer, "printer_control/get_status").answer
    current = answer.machine["current"]
    assert (answer.data["report"], current["print_status"], answer.machine["connection_info"]["is_online"]) == (
        None,
        None,
        False,
    )
    answer = farm.ask(printer, "movement_control/home").answer
    assert answer.code in ("not_ready", "printer_offline")  # after a quarter of a minute the session is given up
    assert printer.orders() == []


def test_without_developer_mode_nothing_of_print_is_sent(farm: Bench) -> None:
    printer = farm["signing-told"]
    is_told(farm, printer, "connection_info.developer_mode", False)
    farm.refused("developer_mode_required", printer, "movement_control/home")
    url = farm.serve("unsigned.gcode.3mf", sliced(model_id="BL-P001"))
    farm.refused("developer_mode_required", printer, "printer_control/start_print_bbl", {"url": url})
    farm.succeed(printer, "printer_control/download_gcode", {"url": url})


def test_a_refusal_for_want_of_a_signature_says_what_to_do(farm: Bench) -> None:
    printer = farm["signing-untold"]
    outcome = farm.ask(printer, "movement_control/home")
    assert outcome.answer.code == "developer_mode_required"
    assert "Developer Mode" in outcome.answer.data["error"]
    assert len(outcome.orders) == 1


def test_an_echo_without_a_result_is_not_called_acknowledged(farm: Bench) -> None:
    outcome = farm.succeed(farm["empty-echo"], "movement_control/home")
    assert outcome.answer.data["acknowledged"] is False
    assert len(outcome.orders) == 1


def test_a_printer_that_withholds_pubacks_is_obeyed_all_the_same(farm: Bench) -> None:
    printer = farm["puback-withheld"]
    mark = printer.mark()
    sent = [farm.send(printer, "temperature_control/set_bed", {"temperature": 40 + each}) for each in range(30)]
    assert {farm.cloud.answer(each).kind for each in sent} == {"success"}
    assert [body["param"] for _, body in printer.orders(mark)] == [f"M140 S{40 + each}\n" for each in range(30)]


def test_a_print_without_ids_is_known_by_its_name(farm: Bench) -> None:
    printer = farm["no-ids"]
    command_id = start(farm, printer)
    answer = farm.cloud.answer(command_id)
    assert answer.kind == "success", str(answer)
    done = farm.cloud.hear_event(printer.id, "PrintDone")
    assert done.data["job"]["command_id"] == command_id
    assert printer.starts == [answer.data["task_name"]]
    wait_until("the upload is gone", lambda: not printer.files())


def test_without_storage_nothing_is_uploaded(farm: Bench) -> None:
    printer = farm["no-storage"]
    assert is_told(farm, printer, "storage.present", False).machine["state"]["can_print"] is False
    url = farm.serve("nowhere.gcode.3mf", sliced())
    for command in ("start_print_bbl", "download_gcode"):
        farm.refused("storage_missing", printer, f"printer_control/{command}", {"url": url})


def test_storage_bits_that_flap_stop_nothing(farm: Bench) -> None:
    printer = farm["flapping-storage"]
    answer = farm.cloud.answer(start(farm, printer))
    assert answer.kind == "success", str(answer)
    farm.cloud.hear_event(printer.id, "PrintDone")
    told = {each.machine["storage"]["present"] for each in farm.cloud.heard("status", printer.id)}
    assert told <= {True, None}


@pytest.mark.parametrize("name", ["slow-start", "mute-start"])
def test_a_start_that_takes_long_is_waited_for_in_peace(farm: Bench, name: str) -> None:
    printer = farm[name]
    connects, mark = printer.virtual.connects, printer.mark()
    command_id = start(farm, printer)
    when_published(printer)
    busy = farm.ask(printer, "movement_control/home").answer
    assert (busy.code, farm.cloud.answers(command_id)) == ("printer_busy", [])
    answer = farm.cloud.answer(command_id)
    assert answer.kind == "success", str(answer)
    assert printer.starts == [answer.data["task_name"]]
    assert printer.virtual.connects == connects
    assert not QUIET & set(printer.commands(mark))


def test_an_old_finish_that_lingers_is_not_taken_for_the_new_print(farm: Bench) -> None:
    printer = farm["lingering-finish"]
    assert farm.cloud.answer(start(farm, printer)).kind == "success"
    farm.cloud.hear_event(printer.id, "PrintDone")
    printer.fault("lingering-finish=900")  # of the printer's seconds: three of ours
    connects, mark, since = printer.virtual.connects, printer.mark(), farm.cloud.mark()
    command_id = start(farm, printer, content=sliced(seed=2))
    when_published(printer, mark)
    assert printer.state == "FINISH"
    for command, parameters in (
        ("movement_control/jog", {"axes": {"x": 1}}),
        ("movement_control/home", {}),
        ("temperature_control/set_bed", {"temperature": 60}),
        ("printer_control/start_print", {"file_name": "another.3mf"}),
        ("printer_control/start_print_bbl", {"url": farm.serve("another.3mf", sliced())}),
    ):
        assert farm.ask(printer, command, parameters).answer.code == "printer_busy", command
    assert farm.cloud.answers(command_id) == []
    answer = farm.cloud.answer(command_id)
    assert answer.kind == "success", str(answer)
    assert printer.starts[1:] == [answer.data["task_name"]]
    farm.cloud.hear_event(printer.id, "PrintDone", since=since)
    assert printer.virtual.connects == connects
    assert printer.commands(mark) == ["project_file"]


# In the middle of this file: silent for more than 10 s, and not yet for so long that the session is given up.
def test_a_start_that_waits_for_a_fresh_report_is_dropped_by_a_stop(faulty: Faulty) -> None:
    bench, printer = faulty.bench, faulty.bench["stale-stop"]
    faulty.when_stale()
    command_id = start(bench, printer)
    bench.cloud.hear("status", printer.id, lambda each: each.process["job_state"] == "start")
    stop = bench.ask(printer, "printer_control/stop_print")
    assert (stop.answer.kind, stop.orders) == ("success", [])
    answer = bench.cloud.answer(command_id)
    assert (answer.code, answer.data["stage"]) == ("cancelled", "start")
    assert printer.files() == set()


def test_heat_that_was_reported_long_ago_does_not_let_filament_move(faulty: Faulty) -> None:
    bench, printer = faulty.bench, faulty.bench["stale"]
    faulty.when_stale()
    assert bench.ask(printer, "movement_control/extrude", {"amount": 5}).answer.code == "too_cold"


def test_a_printer_that_drops_its_clients_is_connected_again(farm: Bench) -> None:
    printer = farm["disconnects"]
    connects = printer.virtual.connects
    command_id = start(farm, printer)
    assert farm.cloud.answer(command_id).kind == "success"
    printer.fault("disconnects=0.2")
    wait_until("it has dropped us", lambda: printer.virtual.sessions == 0)
    printer.virtual.faults.discard("disconnects")
    wait_until("it is connected again", lambda: printer.virtual.connects > connects)
    is_told(farm, printer, "connection_info.reconnects", 1)
    done = farm.cloud.hear_event(printer.id, "PrintDone")
    assert done.data["job"]["command_id"] == command_id
    events = farm.cloud.events(printer.id)
    assert [events.count(name) for name in ("PrintStarted", "PrintDone", "Connected", "Disconnected")] == [1, 1, 1, 0]
    farm.succeed(printer, "movement_control/home")


def test_a_print_that_ended_while_nobody_looked_is_told_late_and_once(farm: Bench) -> None:
    printer = farm["late"]
    assert printer.cable is not None
    command_id = start(farm, printer)
    assert farm.cloud.answer(command_id).kind == "success"
    farm.cloud.hear_event(printer.id, "PrintStarted")
    printer.cable.unplug()
    printer.when_state("FINISH")
    printer.cable.plug()
    done = farm.cloud.hear_event(printer.id, "PrintDone")
    assert done.data["late"] is True
    assert done.data["job"]["command_id"] == command_id
    wait_until("the upload is gone", lambda: not printer.files())
    assert farm.cloud.events(printer.id).count("PrintDone") == 1


def test_a_print_that_began_at_the_screen_meanwhile_is_left_alone(farm: Bench) -> None:
    printer = farm["screen-start"]
    answer = farm.cloud.answer(start(farm, printer))
    assert (answer.code, answer.data["stage"]) == ("printer_busy", "start")
    farm.fence(printer)
    assert [body["command"] for _, body in printer.orders()] == ["ledctrl"]
    assert [each.at_screen for each in printer.virtual.starts] == [True]
    wait_until("the upload is gone", lambda: not printer.files())


def test_a_print_that_began_at_the_screen_instead_of_ours_is_not_ours(farm: Bench) -> None:
    printer = farm["screen-start-meanwhile"]
    command_id = start(farm, printer)
    when_published(printer)
    printer.start_at_screen()
    answer = farm.cloud.answer(command_id)
    assert (answer.code, answer.data["stage"]) == ("printer_busy", "start")
    assert printer.starts == ["Somebody else's"]
    assert "stop" not in printer.commands()
    done = farm.cloud.hear_event(printer.id, "PrintDone")
    assert "command_id" not in done.data["job"]
    wait_until("the upload is gone", lambda: not printer.files())


@pytest.mark.parametrize(
    ("name", "code"), [("refuse-start", "printer_busy"), ("refuse-start-unreadable", "start_failed")]
)
def test_a_start_that_is_refused_is_told_and_cleared_away(farm: Bench, name: str, code: str) -> None:
    printer = farm[name]
    answer = farm.cloud.answer(start(farm, printer))
    assert (answer.code, answer.data["stage"]) == (code, "start")
    assert printer.starts == []
    wait_until("the upload is gone", lambda: not printer.files())
    printer.virtual.faults.clear()
    again = farm.cloud.answer(start(farm, printer, content=sliced(seed=3)))
    assert again.kind == "success", str(again)


def test_a_start_without_effect_is_unknown_and_bars_the_next(farm: Bench) -> None:
    printer = farm["ignore-start"]
    answer = farm.cloud.answer(start(farm, printer))
    assert (answer.code, answer.data["stage"]) == ("start_unknown", "start")
    url = farm.serve("next.gcode.3mf", sliced(seed=4))
    farm.refused("printer_busy", printer, "printer_control/start_print_bbl", {"url": url})
    farm.succeed(printer, "movement_control/home")
    assert printer.commands().count("project_file") == 1


def test_a_print_that_fails_says_why(farm: Bench) -> None:
    printer = farm["fail-print"]
    command_id = start(farm, printer)
    assert farm.cloud.answer(command_id).kind == "success"
    failed = farm.cloud.hear_event(printer.id, "PrintFailed")
    assert failed.data["job"]["command_id"] == command_id
    assert failed.data["print_error"] == "0500-C010"
    told = farm.cloud.hear("error", printer.id)  # it answers nothing: the start was answered long before
    assert (told.code, told.data["job_id"], "command" in told.fields) == ("printer_error", command_id, False)
    status = is_told(farm, printer, "current.print_error", "0500-C010")
    health = [entry["code"] for entries in status.machine["health"].values() for entry in entries]
    assert "0300-0100-0001-0001" in health
    assert set(farm.cloud.events(printer.id)) >= {"Error", "PrintFailed"}
    wait_until("the upload is gone", lambda: not printer.files())
    farm.succeed(printer, "printer_control/clear_error")
    farm.cloud.hear_event(printer.id, "ErrorCleared")


def test_a_runout_pauses_and_the_print_can_go_on(farm: Bench) -> None:
    printer = farm["runout"]
    assert farm.cloud.answer(start(farm, printer)).kind == "success"
    farm.cloud.hear_event(printer.id, "FilamentRunout")
    farm.cloud.hear_event(printer.id, "PrintPaused")
    farm.succeed(printer, "printer_control/resume_print")
    farm.cloud.hear_event(printer.id, "PrintResumed")
    farm.cloud.hear_event(printer.id, "PrintDone")
    assert farm.cloud.events(printer.id).count("FilamentRunout") == 1
    wait_until("the upload is gone", lambda: not printer.files())


def test_a_printer_that_never_acknowledges_is_believed_by_what_it_shows(farm: Bench) -> None:
    printer = farm["no-ack"]
    home = farm.send(printer, "movement_control/home")
    # A stop goes before everything else and does not wait for what is being done.
    assert farm.ask(printer, "printer_control/stop_print").answer.code == "wrong_state"
    assert farm.cloud.answers(home) == []
    answer = farm.cloud.answer(start(farm, printer))
    assert (answer.kind, answer.data["acknowledged"]) == ("success", False)
    assert farm.cloud.answer(home).data["acknowledged"] is False
    assert printer.commands().count("gcode_line") == 1


def test_bytes_that_are_not_utf8_are_survived(farm: Bench) -> None:
    printer = farm["non-utf8"]
    farm.succeed(printer, "temperature_control/set_bed", {"temperature": 50})
    assert farm.cloud.answer(start(farm, printer)).kind == "success"
    done = farm.cloud.hear_event(printer.id, "PrintDone")
    assert done.data["job"]["percent"] == 100
