"""Messages get their time and their id."""

import json

from bambu_connector.errors import NotReady
from bambu_connector.printago.commands import Header
from bambu_connector.printago.messages import Message, MessageType, failure
from bambu_connector.service.voice import Voice
from tests.service.fakes import FakeClock
from tests.simulated import simulated


@simulated
async def test_what_is_said_carries_time_id_and_printer() -> None:
    posted: list[Message] = []
    voice = Voice("left", posted.append, FakeClock())
    voice.say(MessageType.EVENT, {"event": "Connected"})
    voice.say(MessageType.EVENT, {"event": "Connected"})
    first, second = (json.loads(each.payload) for each in posted)
    assert first["printer_id"] == "left"
    assert first["client_type"] == "bambu"
    assert first["timestamp"] == "2026-11-22T00:16:40.000Z"
    assert first["data"] == {"event": "Connected"}
    assert "command" not in first
    assert first["message_id"] != second["message_id"]


@simulated
async def test_an_answer_names_its_command_and_is_not_posted_by_itself() -> None:
    posted: list[Message] = []
    voice = Voice("left", posted.append, FakeClock())
    header = Header(command="movement_control/home", action="home", command_id="c1")
    message = json.loads(voice.answer(header, failure(header, NotReady("no"))).payload)
    assert (message["type"], message["command"], message["command_id"]) == ("error", "movement_control/home", "c1")
    assert posted == []
