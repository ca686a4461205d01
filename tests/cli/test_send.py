"""`send`: one command from the command line, through the service or without one."""

import json
import re
from collections.abc import Callable
from typing import Any

import click
import pytest

from bambu_connector.cli import alone
from bambu_connector.cli.main import cli
from bambu_connector.cli.send import exit_code_of, parameters_of
from bambu_connector.errors import ConnectorError
from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import Bench, Printer, Service, Workshop
from tests.e2e.cloud import Tree
from tests.e2e.envelope import CODES
from tests.files import sliced
from tests.servers.process import free_port, wait_until, workspace
from tests.servers.silent import SilentPeer


@pytest.mark.parametrize(
    ("assignments", "parameters"),
    [
        ((), {}),
        (("temperature=60",), {"temperature": 60}),
        (("axes.x=10", "axes.y=-2.5", "relative=false"), {"axes": {"x": 10, "y": -2.5}, "relative": False}),
        (
            ("ams_mapping=[0,-1]", 'tags={"a": 1}', "none=null"),
            {"ams_mapping": [0, -1], "tags": {"a": 1}, "none": None},
        ),
        (("file_name=a b.3mf", "url=https://x/y?a=b=c"), {"file_name": "a b.3mf", "url": "https://x/y?a=b=c"}),
        (("name=007", "empty="), {"name": "007", "empty": ""}),
    ],
    ids=str,
)
def test_assignments_become_parameters(assignments: tuple[str, ...], parameters: Tree) -> None:
    assert parameters_of(assignments) == parameters


@pytest.mark.parametrize("assignments", [("x",), ("=1",), ("a=1", "a.b=2")], ids=str)
def test_what_is_no_assignment_is_wrong_usage(assignments: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        parameters_of(assignments)


@pytest.mark.parametrize(
    "assignments",
    [("a=1", "a=2"), ("a=1", "a=1"), ("a.b=1", "a=2"), ("a.b=1", "a.c=2", "a.b=3"), ('a={"b": 1}', "a.b=2")],
    ids=str,
)
def test_a_key_that_is_given_twice_is_wrong_usage(assignments: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError, match="is given twice"):
        parameters_of(assignments)


def test_a_key_that_is_given_twice_does_nothing_to_the_printer(shop: Bench) -> None:
    mark = shop["left"].mark()
    done = shop.service.cli("send", "left", "temperature_control/set_bed", "temperature=40", "temperature=60")
    assert (done.returncode, done.stdout) == (2, "")
    assert "temperature is given twice" in done.stderr
    assert shop["left"].orders(mark) == []


def test_a_parameter_that_is_not_known_is_warned_of_and_ignored(shop: Bench) -> None:
    done = shop.service.cli("send", "left", "temperature_control/set_bed", "temperature=40", "temprature=60")
    assert (done.returncode, done.stdout) == (0, "The bed's target is 40 °C.\n")
    assert done.stderr == (
        "warning: temperature_control/set_bed has no parameter 'temprature', so it is ignored;"
        " did you mean 'temperature'?\n"
    )


def test_every_code_has_its_exit_code() -> None:
    by_code = {
        2: {"invalid_message", "unknown_command", "invalid_parameters", "unknown_printer"},
        4: {"printer_offline", "timeout"},
        5: {"access_denied"},
        6: {"identity_mismatch"},
    }
    special = {code: number for number, codes in by_code.items() for code in codes}
    assert {code: exit_code_of(code) for code in CODES} == {code: special.get(code, 1) for code in CODES}


# -- beside a service ------------------------------------------------------------------------------


def stripped(envelope: Tree) -> Tree:
    """Return an answer without what differs from one command to the next."""
    return {key: value for key, value in envelope.items() if key not in ("message_id", "timestamp", "command_id")}


@pytest.mark.parametrize(
    ("command", "assignments", "exit_code"),
    [
        ("movement_control/home", [], 0),
        ("temperature_control/set_bed", ["temperature=60"], 0),
        ("printer_control/pause_print", [], 1),
        ("camera_control/snapshot", [], 1),
        ("movement_control/jog", ["axes.x=1000"], 1),
        ("movement_control/jog", ["axes={}"], 2),
        ("movement_control/fly", [], 2),
        ("printer_control/list_files", [], 0),
    ],
    ids=str,
)
def test_the_answer_is_the_one_that_the_topic_would_give(
    shop: Bench, command: str, assignments: list[str], exit_code: int
) -> None:
    printer = shop["left"]
    connects = printer.virtual.connects
    through_topic = shop.ask(printer, command, parameters_of(tuple(assignments)))
    mark, heard = printer.mark(), shop.cloud.mark()
    done = shop.service.cli("send", "left", command, *assignments, "--json")
    assert (done.returncode, done.stderr) == (exit_code, "")
    assert stripped(json.loads(done.stdout)) == stripped(through_topic.answer.fields)
    bodies = [
        [body | {"sequence_id": ""} for _, body in orders] for orders in (printer.orders(mark), through_topic.orders)
    ]
    assert bodies[0] == bodies[1]
    assert printer.virtual.connects == connects
    assert [each for each in shop.cloud.messages[heard:] if "command" in each.fields] == []


def test_get_status_answers_with_the_report(shop: Bench) -> None:
    done = shop.service.cli("send", shop["right"].serial, "printer_control/get_status", "--json")
    envelope = json.loads(done.stdout)
    assert (done.returncode, envelope["type"]) == (0, "status")
    assert envelope["data"]["report"]["gcode_state"] == "IDLE"


def test_people_are_told_one_sentence(shop: Bench) -> None:
    done = shop.service.cli("send", "left", "movement_control/home")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Homing was taken by the printer.\n", "")
    done = shop.service.cli("send", "left", "printer_control/pause_print")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "wrong_state: No print is running: the printer's state is idle.\n"


def test_a_job_is_waited_for(shop: Bench) -> None:
    printer = shop["left"]
    url = shop.serve("sent.gcode.3mf", sliced(seed=80))
    done = shop.service.cli("send", "left", "printer_control/start_print_bbl", f"url={url}", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["task_name"] == printer.starts[-1]
    shop.cloud.hear_event("left", "PrintDone")
    wait_until("the upload is gone", lambda: not printer.files())


def test_a_printer_that_is_not_known_ends_with_2(shop: Bench) -> None:
    done = shop.service.cli("send", "nobody", "movement_control/home")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search("There is no printer .?nobody", done.stderr)


# -- without a service -----------------------------------------------------------------------------


def test_without_a_service_it_is_carried_out_all_the_same(lonely: Bench) -> None:
    printer = lonely["alone"]
    mark = printer.mark()
    done = lonely.service.cli("send", "alone", "movement_control/home", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["type"], answer["printer_id"], answer["data"]["acknowledged"]) == ("success", "alone", True)
    assert [body["param"] for _, body in printer.orders(mark)] == ["G28\n"]
    assert printer.virtual.sessions == 0


def test_without_a_service_a_job_goes_to_its_end(lonely: Bench) -> None:
    printer = lonely["alone"]
    url = lonely.serve("alone.gcode.3mf", sliced(seed=81))
    done = lonely.service.cli("send", "alone", "printer_control/download_gcode", f"url={url}", "--json")
    assert done.returncode == 0, done.stderr
    assert printer.files() == {json.loads(done.stdout)["data"]["file_name"]}
    bad = lonely.serve("bad.gcode.3mf", b"nothing of the kind")
    done = lonely.service.cli("send", "alone", "printer_control/download_gcode", f"url={bad}")
    assert done.returncode == 1
    assert done.stderr.startswith("file_invalid: ")


Exit = Callable[..., tuple[int, str]]


@pytest.fixture
def sent(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sends `home` to a printer whose entry has these keys, in this process and with little patience."""
    monkeypatch.setattr(alone, "READY_S", 1.0)
    made: list[Printer] = []
    with workspace() as folder:

        def sent(faults: tuple[str, ...] = (), **entry: Any) -> tuple[int, str]:
            printer = Printer(workshop, id="odd", entry=entry, faults=faults)
            made.append(printer)
            config = {"connector": {"id": "odd"}, "printers": [printer.entry()], "web": {"listen": None}}
            service = Service(folder / f"odd{len(made)}", config)
            argv = ["--config", str(service.config_file), "send", "odd", "movement_control/home"]
            with pytest.raises(ConnectorError) as ending:
                cli(argv, standalone_mode=False)
            assert printer.orders() == []
            return ending.value.exit_code, str(ending.value)

        yield sent
        for printer in made:
            printer.close()


def test_nobody_listens_ends_with_4(sent: Exit) -> None:
    code, sentence = sent(ports={"mqtt": free_port()})
    assert code == 4
    assert "refuse" in sentence or "reach" in sentence


def test_a_printer_that_says_nothing_ends_with_4(sent: Exit) -> None:
    code, _ = sent(faults=("silent",))
    assert code == 4


def test_a_refused_code_ends_with_5(sent: Exit) -> None:
    code, sentence = sent(faults=("wrong-code",))
    assert code == 5
    assert "access code" in sentence


def test_a_stranger_ends_with_6_and_hears_nothing(sent: Exit, tmp_path: Any) -> None:
    with SilentPeer(Authority(tmp_path).issue("01P00A999999999")) as stranger:
        code, sentence = sent(ports={"mqtt": stranger.port}, tls=None)
        stranger.wait_until_ended()
        assert stranger.heard == b""
    assert code == 6
    assert "certificate" in sentence
