"""What the demo prints, and what it takes for a failure. That it plays is shown by the test of the command."""

import asyncio
from typing import Any

import orjson
import pytest

from bambu_connector.cli.demo_show import DidNotHappen, Stage, summary
from bambu_connector.links.wire import Delivery
from tests.cli.test_presenting import REPORT, status_of
from tests.e2e.cloud import Tree

MESSAGES: dict[str, tuple[Tree, str]] = {
    "a status": (
        {"type": "status", "data": status_of(REPORT)},
        "online, RUNNING, nozzle 220 °C, bed 60 °C, layer 80/200",
    ),
    "an event": ({"type": "event", "data": {"event": "PrintDone"}}, "PrintDone"),
    "a success": (
        {"type": "success", "command": "movement_control/home", "data": {"local_command_detail": "Homed."}},
        "movement_control/home: Homed.",
    ),
    "an error": (
        {"type": "error", "command": "movement_control/jog", "data": {"code": "not_homed", "error": "Home it first."}},
        "movement_control/jog: not_homed: Home it first.",
    ),
    "a pairing": (
        {"type": "pairing", "data": {"outcome": "paired", "dev_name": "Demo", "dev_id": "01P"}},
        "paired Demo (01P)",
    ),
}


@pytest.mark.parametrize(("message", "line"), MESSAGES.values(), ids=MESSAGES.keys())
def test_each_message_has_a_line(message: Tree, line: str) -> None:
    assert summary(message) == line


def delivery(topic: str, payload: Any) -> Delivery:
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Delivery(topic=topic, payload=raw, qos=0, retain=False, dup=False, token=0)


def test_everything_that_passes_is_printed_but_our_own_commands() -> None:
    said: list[str] = []
    stage = Stage(said.append)
    stage._take(delivery("bambu/demo/mqtt", b"connected"))
    stage._take(delivery("bambu/demo-printer/commands", {"type": "movement_control"}))
    stage._take(delivery("bambu/demo-printer/event", MESSAGES["an event"][0]))
    assert said == ["  <- bambu/demo/mqtt: connected", "  <- event    PrintDone"]


def test_a_message_that_came_already_is_found() -> None:
    stage = Stage(lambda line: None)
    stage._take(delivery("bambu/demo-printer/event", MESSAGES["an event"][0]))
    found = asyncio.run(stage.until("the end", lambda each: each["data"].get("event") == "PrintDone"))
    assert found == MESSAGES["an event"][0]


def test_what_does_not_happen_ends_the_demo() -> None:
    stage = Stage(lambda line: None)
    with pytest.raises(DidNotHappen, match="in vain for the end") as error:
        asyncio.run(stage.until("the end", lambda each: True, within=0.05))
    assert error.value.exit_code != 0
