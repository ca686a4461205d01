"""From the command to the end of the print: files, statuses, events."""

import hashlib
from typing import Any

import pytest

from tests.e2e.bench import Bench, Printer
from tests.e2e.cloud import Message, Tree
from tests.files import RED_PLA, gcode, sliced, zipped
from tests.servers.process import wait_until

CODES = ("C12", "BL-P001", "N1", "O1D")
STAGES = ["queued", "download", "verify", "upload", "start", "idle"]


@pytest.fixture
def printer(bench: Bench) -> Printer:
    return bench.printers[0]


def stages(statuses: list[Message]) -> list[str]:
    """Return the stages of jobs in the order in which they were told, repetitions left out."""
    found: list[str] = []
    for each in statuses:
        stage = each.process["job_state"]
        if not found or found[-1] != stage:
            found.append(stage)
    return found


def is_in_order(wanted: list[str], found: list[str]) -> bool:
    """Say whether `wanted` appears in `found`, in that order, with other things in between."""
    rest = iter(found)
    return all(name in rest for name in wanted)


def start(bench: Bench, printer: Printer, content: bytes, **parameters: Any) -> Message:
    """Start a file of the web server's; return the answer, which must be a success."""
    name = f"{hashlib.sha256(content).hexdigest()[:8]}.gcode.3mf"
    url = bench.serve(name, content)
    return bench.succeed(printer, "printer_control/start_print_bbl", {"url": url, **parameters}).answer


@pytest.mark.parametrize("index", range(4), ids=["P1S", "X1C", "A1 mini", "H2D"])
def test_a_print_goes_from_its_url_to_its_end(bench: Bench, index: int) -> None:
    printer, content = bench.printers[index], sliced(seed=index, model_id=CODES[index])
    since, mark, begun = bench.cloud.mark(), printer.mark(), len(printer.starts)
    url = bench.serve(f"Röhre {index}.gcode.3mf".replace(" ", "%20"), content)
    bench.web.files[f"/R%C3%B6hre%20{index}.gcode.3mf"] = bench.web.files[f"/Röhre%20{index}.gcode.3mf"]
    parameters = {"url": url.replace("ö", "%C3%B6"), "job_id": f"job-{index}", "md5": hashlib.md5(content).hexdigest()}
    command_id = bench.send(printer, "printer_control/start_print_bbl", parameters)
    answer = bench.cloud.answer(command_id)
    assert answer.kind == "success", str(answer)
    file, title = answer.data["file_name"], answer.data["task_name"]
    assert (answer.data["requested_name"], answer.data["job_id"]) == (f"Röhre {index}.gcode.3mf", f"job-{index}")
    done = bench.cloud.hear_event(printer.id, "PrintDone", since=since)
    wait_until("our file is gone", lambda: not printer.files())

    ((_, told),) = [each for each in printer.orders(mark) if each[1]["command"] == "project_file"]
    assert (told["file"], told["md5"]) == (file, hashlib.md5(content).hexdigest().upper())
    assert told["task_id"] == told["subtask_id"] == told["project_id"]
    assert 0 < int(told["task_id"]) < 2**31
    assert (told["use_ams"], told["ams_mapping"], told["ams_mapping2"]) == (True, [0], [{"ams_id": 0, "slot_id": 0}])
    assert printer.starts[begun:] == [title]

    statuses = bench.cloud.heard("status", printer.id, since=since)
    assert stages(statuses) == STAGES
    busy = [each.process for each in statuses if each.process["job_state"] != "idle"]
    assert {each["job_id"] for each in busy} == {f"job-{index}"}
    assert [each["job_progress"] for each in busy] == sorted(each["job_progress"] for each in busy)
    assert {each["can_process_job"] for each in busy} == {False}
    printing = [each.machine for each in statuses if each.machine["current"]["print_status"] == "RUNNING"]
    assert {each["current"]["job_id"] for each in printing} == {f"job-{index}"}
    assert {each["current"]["task_name"] for each in printing} == {title}
    assert all(each["state"]["can_pause"] and not each["state"]["can_print"] for each in printing)

    events = bench.cloud.events(printer.id, since=since)
    order = [
        "TransferStarted",
        "TransferDone",
        "PrinterStateChanged",
        "PrintStarted",
        "PrinterStateChanged",
        "PrintDone",
    ]
    assert is_in_order(order, events), events
    assert {events.count(name) for name in ("TransferStarted", "TransferDone", "PrintStarted", "PrintDone")} == {1}
    began = bench.cloud.hear_event(printer.id, "PrintStarted", since=since)
    for event in (began, done):
        assert event.data["job"].items() >= {"job_id": f"job-{index}", "command_id": command_id}.items()
    assert done.data["job"]["percent"] == 100


def test_every_option_of_a_start_reaches_the_printer(bench: Bench, printer: Printer) -> None:
    mark = printer.mark()
    content = sliced(
        seed=20, plates=(1, 2), filaments=((1, "PLA", "#00FF00", "GFL99"), (2, "PETG", "#000000", "GFG99"))
    )
    start(
        bench, printer, content, plate=2, ams_mapping=[1, 2], bed_type="Textured PEI Plate", do_bed_leveling=False,
        do_flow_cali=True, vibration_cali="false", layer_inspect=True, timelapse=1,
    )  # fmt: skip
    ((_, told),) = printer.orders(mark)
    wanted: Tree = {
        "param": "Metadata/plate_2.gcode", "bed_type": "textured_plate", "bed_leveling": False, "flow_cali": True,
        "vibration_cali": False, "layer_inspect": True, "timelapse": True, "use_ams": True, "ams_mapping": [1, 2],
        "ams_mapping2": [{"ams_id": 0, "slot_id": 1}, {"ams_id": 0, "slot_id": 2}],
    }  # fmt: skip
    assert told | wanted == told


@pytest.mark.parametrize("by", ["file_name", "requested_name"])
def test_a_stored_file_is_started_by_either_name_and_stays(bench: Bench, printer: Printer, by: str) -> None:
    since, mark = bench.cloud.mark(), printer.mark()
    url = bench.serve(f"by-{by}.gcode.3mf", sliced(seed=31))
    stored = bench.succeed(printer, "printer_control/download_gcode", {"url": url, "file_name": f"my {by}.3mf"})
    names = stored.answer.data
    assert (stored.orders, names["requested_name"]) == ([], f"my {by}.3mf")
    assert printer.files() == {names["file_name"]}
    bench.cloud.until(
        "every stage of a download",
        lambda: stages(bench.cloud.heard("status", printer.id, since=since)) == [*STAGES[:4], "idle"],
    )
    bench.succeed(printer, "printer_control/start_print", {"file_name": names[by]})
    ((_, request),) = printer.orders(mark)
    assert request["file"] == names["file_name"]
    bench.cloud.hear_event(printer.id, "PrintDone", since=since)
    bench.fence(printer)
    assert printer.files() == {names["file_name"]}
    bench.succeed(printer, "printer_control/delete_file", {"file_name": names["file_name"]})


def test_a_file_that_was_there_is_started_and_stays(bench: Bench, printer: Printer) -> None:
    since, mark = bench.cloud.mark(), printer.mark()
    content = sliced(seed=33)
    printer.put("there.gcode.3mf", content)
    bench.succeed(printer, "printer_control/start_print", {"file_name": "there.gcode.3mf"})
    ((_, told),) = printer.orders(mark)
    assert (told["url"], told["md5"]) == ("ftp://there.gcode.3mf", hashlib.md5(content).hexdigest().upper())
    bench.cloud.hear_event(printer.id, "PrintDone", since=since)
    bench.fence(printer)
    assert printer.files() == {"there.gcode.3mf"}


def test_plain_gcode_is_stored_and_started(bench: Bench, printer: Printer) -> None:
    since, mark = bench.cloud.mark(), printer.mark()
    url = bench.serve("plain.gcode", gcode(3000))
    stored = bench.succeed(printer, "printer_control/download_gcode", {"url": url}).answer.data["file_name"]
    assert stored.endswith(".gcode")
    command_id = bench.send(printer, "printer_control/start_print", {"file_name": stored})
    assert bench.cloud.answer(command_id).kind == "success"
    assert [body["command"] for _, body in printer.orders(mark)] == ["gcode_file"]
    done = bench.cloud.hear_event(printer.id, "PrintDone", since=since)
    assert done.data["job"]["command_id"] == command_id


def test_an_active_file_is_not_deleted(bench: Bench, printer: Printer) -> None:
    file = start(bench, printer, sliced(seed=35)).data["file_name"]
    assert bench.ask(printer, "printer_control/delete_file", {"file_name": file}).answer.code == "printer_busy"
    assert printer.files() == {file}


BAD_FILES: dict[str, tuple[str, bytes, Tree]] = {
    "for another model": ("file_invalid", sliced(model_id="N1"), {}),
    "for another nozzle": ("file_invalid", sliced(nozzle="0.8"), {}),
    "not a ZIP": ("file_invalid", b"x" * 500, {}),
    "no g-code in it": ("file_invalid", zipped({"a.txt": b"a"}), {}),
    "g-code that is not what its md5 says": ("file_invalid", sliced(wrong_md5=True), {}),
    "several plates and none named": ("invalid_parameters", sliced(plates=(1, 2)), {}),
    "another checksum": ("file_invalid", sliced(), {"sha256": "0" * 64}),
    "nothing": ("download_failed", b"", {}),
    "a filament that is not there": ("filament_mismatch", sliced(filaments=((1, "ABS", "#123456", "GFB99"),)), {}),
    "an empty slot": ("filament_mismatch", sliced(), {"ams_mapping": [3]}),
    "a slot with another type": ("filament_mismatch", sliced(filaments=(RED_PLA,)), {"ams_mapping": [2]}),
}


@pytest.mark.parametrize(("code", "content", "more"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_does_not_fit_never_reaches_the_printer(
    bench: Bench, printer: Printer, code: str, content: bytes, more: Tree
) -> None:
    since, seen = bench.cloud.mark(), len(printer.virtual.starts)
    url = bench.serve("bad.gcode.3mf", content)
    outcome = bench.refused(code, printer, "printer_control/start_print_bbl", {"url": url, **more})
    assert outcome.answer.data["stage"] in ("download", "verify")
    assert (printer.files(), len(printer.starts)) == (set(), seen)
    assert not {"TransferStarted", "PrintStarted"} & set(bench.cloud.events(printer.id, since=since))


@pytest.mark.parametrize("status", [404, 403])
def test_a_download_that_is_refused_is_told(bench: Bench, printer: Printer, status: int) -> None:
    url = bench.serve("gone.gcode.3mf", b"", "?Signature=abc", statuses=[status])
    outcome = bench.refused("download_failed", printer, "printer_control/start_print_bbl", {"url": url})
    assert str(status) in outcome.answer.data["error"]
    assert "abc" not in outcome.answer.data["error"]


def test_one_start_is_refused_while_another_is_under_way(bench: Bench, printer: Printer) -> None:
    begun = len(printer.starts)
    first, file = bench.stall(printer, seed=40)
    url = bench.serve("second.gcode.3mf", sliced())
    bench.refused("printer_busy", printer, "printer_control/start_print_bbl", {"url": url})
    bench.refused("printer_busy", printer, "printer_control/start_print", {"file_name": "there.3mf"})
    bench.go_on(file)
    assert bench.cloud.answer(first).kind == "success"
    assert len(printer.starts) == begun + 1


def test_downloads_wait_for_each_other(bench: Bench, printer: Printer) -> None:
    first, file = bench.stall(printer, 41, "download_gcode")
    url = bench.serve("two.gcode.3mf", sliced(seed=42))
    second = bench.send(printer, "printer_control/download_gcode", {"url": url})
    bench.fence(printer)
    assert bench.cloud.answers(second) == []
    bench.go_on(file)
    assert [bench.cloud.answer(each).data["requested_name"] for each in (first, second)] == [file, "two.gcode.3mf"]
    assert len(printer.files()) == 2
