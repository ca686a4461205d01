"""More than one: printers of which some are dead, and connectors that share a broker."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.bench import Bench, Printer, Workshop
from tests.e2e.cloud import Cloud, Tree
from tests.files import sliced
from tests.servers.process import free_port, wait_until, workspace
from tests.servers.silent import SilentPeer


@pytest.fixture(scope="module")
def mixed(workshop: Workshop) -> Iterator[Bench]:
    """One printer that works, one at whose address nobody listens, and one that accepts and never answers."""
    with workspace() as folder, SilentPeer(None) as peer:
        printers = [
            Printer(workshop, id="good"),
            Printer(workshop, id="gone", entry={"ports": {"mqtt": free_port()}}),
            Printer(workshop, id="frozen", entry={"ports": {"mqtt": peer.port}}),
        ]
        with Bench(folder, workshop, printers, connector_id="mixed") as bench:
            bench.start(wait_for=printers[:1])
            wait_until("the frozen printer's address is tried", lambda: peer.accepted > 0)
            yield bench


@pytest.mark.parametrize("name", ["gone", "frozen"])
def test_a_dead_printer_is_told_to_be_offline_at_once(mixed: Bench, name: str) -> None:
    printer = mixed[name]
    status = mixed.cloud.hear("status", name)
    link = status.machine["connection_info"]
    assert (link["is_connected"], link["is_online"], link["last_report"]) == (False, False, None)
    assert status.machine["current"]["print_status"] is None
    url = mixed.serve("never.gcode.3mf", sliced())
    before = len(mixed.web.requests)
    for command in ("movement_control/home", "printer_control/pause_print", "printer_control/stop_print"):
        assert mixed.ask(printer, command, timeout_s=3).answer.code == "printer_offline"
    answer = mixed.ask(printer, "printer_control/start_print_bbl", {"url": url}, timeout_s=3).answer
    assert answer.code == "printer_offline"
    assert (mixed.web.requests[before:], printer.commands()) == ([], [])
    answer = mixed.ask(printer, "printer_control/get_status", timeout_s=3).answer
    assert (answer.kind, answer.data["report"]) == ("status", None)


def test_a_dead_printer_does_not_hold_up_the_others(mixed: Bench) -> None:
    waiting = mixed.cloud.mark()
    for each in range(20):
        mixed.succeed(mixed["good"], "temperature_control/set_bed", {"temperature": 40 + each}, timeout_s=2)
    # All of that went by while one attempt to connect to the frozen printer was still waiting for its answer.
    tried = [each for each in mixed.cloud.heard("status", "frozen", since=waiting) if each.machine["connection_info"]]
    assert all(each.machine["connection_info"]["is_connected"] is False for each in tried)
    command_id = mixed.send(mixed["good"], "printer_control/start_print_bbl", {"url": mixed.serve("g.3mf", sliced())})
    assert mixed.cloud.answer(command_id).kind == "success"
    mixed.cloud.hear_event("good", "PrintDone")


def test_a_message_without_a_printer_belongs_to_nobody_where_there_are_several(mixed: Bench) -> None:
    body = {"type": "movement_control", "action": "home", "parameters": {}, "command_id": "whose"}
    mixed.cloud.publish("bambu/commands", body)
    answer = mixed.cloud.answer("whose")
    assert (answer.printer_id, answer.code) == ("mixed", "invalid_message")


# -- two connectors on one broker ------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(workshop: Workshop) -> Iterator[list[Bench]]:
    with workspace() as folder, Cloud(folder) as cloud, ExitStack() as stack:
        benches = [
            Bench(folder, workshop, [Printer(workshop, id=f"{name}-p1s")], connector_id=name, cloud=cloud,
                  printago={"exclusive": False})
            for name in ("left", "right")
        ]  # fmt: skip
        for bench in benches:
            stack.enter_context(bench).start()
        yield benches
        wrong = benches[0].unanswered()
        assert not wrong, wrong


def shared(pair: list[Bench], command_id: str, **more: object) -> None:
    """Send `home` on the topic that both read."""
    body: Tree = {"type": "movement_control", "action": "home", "parameters": {}, "command_id": command_id}
    pair[0].cloud.publish("bambu/commands", body | more)


def when_both_have_read(pair: list[Bench]) -> None:
    """Wait until both connectors have taken everything that was sent on the shared topic."""
    for number, bench in enumerate(pair):
        command_id = f"fence-{bench.connector_id}-{bench.cloud.mark()}-{number}"
        shared(pair, command_id, printer_id=bench.printers[0].id)
        bench.cloud.answer(command_id)


@pytest.mark.parametrize("name", ["id", "serial"])
@pytest.mark.parametrize("side", [0, 1], ids=["left", "right"])
def test_each_connector_answers_only_for_its_own(pair: list[Bench], side: int, name: str) -> None:
    cloud, printers = pair[0].cloud, [bench.printers[0] for bench in pair]
    marks = [each.mark() for each in printers]
    command_id = f"own-{side}-{name}"
    shared(pair, command_id, printer_id=getattr(printers[side], name))
    assert cloud.answer(command_id).printer_id == printers[side].id
    assert [len(each.orders(mark)) for each, mark in zip(printers, marks, strict=True)] == [side == 0, side == 1]
    when_both_have_read(pair)
    assert len(cloud.answers(command_id)) == 1


def test_a_shared_command_for_nobody_is_ignored_by_both(pair: list[Bench]) -> None:
    cloud = pair[0].cloud
    marks = [bench.printers[0].mark() for bench in pair]
    since = cloud.mark()
    shared(pair, "nobody")
    shared(pair, "stranger", printer_id="a-third-connectors")
    when_both_have_read(pair)
    assert cloud.answers("nobody") == cloud.answers("stranger") == []
    assert cloud.heard("error", since=since) == []
    for bench, mark in zip(pair, marks, strict=True):
        assert len(bench.printers[0].orders(mark)) == 1  # the fence


def test_their_own_topics_need_no_printer_id(pair: list[Bench]) -> None:
    for bench in pair:
        bench.succeed(bench.printers[0], "movement_control/home")


def test_one_connector_ends_and_the_other_goes_on(pair: list[Bench]) -> None:
    left, right = pair
    since = left.cloud.mark()
    assert left.service.stop() == 0
    assert left.cloud.availability("left")[-1] == "disconnected"
    assert left.cloud.availability("right") == ["connected"]
    right.succeed(right.printers[0], "movement_control/home")
    assert left.cloud.heard("error", since=since) == []
