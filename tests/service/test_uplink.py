"""The connection to Printago: availability, subscriptions, acknowledgements, and coming back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bambu_connector.errors import AccessDenied, LinkError, Unreachable
from bambu_connector.links.wire import Delivery
from bambu_connector.printago.messages import Message, MessageType
from bambu_connector.printago.topics import Routes
from bambu_connector.service.outbox import Outbox
from bambu_connector.service.ports import PrintagoConnection
from bambu_connector.service.uplink import Uplink
from tests.service.fakes import FakeClock, FakePrintago, fake_journal
from tests.simulated import simulated, until

AVAILABILITY = "bambu/bench/mqtt"
COMMANDS = "bambu/commands"


class Station:
    """An uplink that runs, and what it took."""

    def __init__(self, folder: Path) -> None:
        self.broker = FakePrintago()
        self.journal = fake_journal(folder, FakeClock())
        self.outbox = Outbox(lambda printer_id, kind: f"bambu/{printer_id}/{kind}", self.journal)
        self.acknowledge_at_once = True
        self.to_acknowledge: list[Callable[[], None]] = []
        self.taken: list[bytes] = []
        self.failure: Exception | None = None
        self.connected: list[PrintagoConnection] = []
        self.uplink = Uplink(
            self.broker,
            self.outbox,
            routes=Routes(frozenset({COMMANDS}), {"bambu/left/commands": "left"}),
            availability=AVAILABILITY,
            deliver=self.take,
            on_connected=self.connected.append,
            first_contact=self.first_contact,
            clock=FakeClock(),
        )

    async def first_contact(self) -> None:
        """Every printer has been tried."""
        assert not self.availability or self.broker.connections[1:], "commands may come before the printers were tried"

    def take(self, delivery: Delivery, acknowledge: Callable[[], None]) -> None:
        assert not self.broker.connections[-1].acknowledged or self.taken
        if self.failure is not None:
            raise self.failure
        self.taken.append(delivery.payload)
        if self.acknowledge_at_once:
            acknowledge()
        else:
            self.to_acknowledge.append(acknowledge)

    async def post(self, kind: MessageType, payload: bytes) -> None:
        """Post a message, and wait until it is on disk."""
        self.outbox.post(Message(type=kind, printer_id="left", payload=payload))
        await self.journal.secure()

    @property
    def availability(self) -> list[bytes]:
        return [each.payload for each in self.broker.on(AVAILABILITY)]


@asynccontextmanager
async def station(folder: Path, *, up: bool = True) -> AsyncIterator[Station]:
    result = Station(folder)
    running = asyncio.create_task(result.uplink.run())
    if up:
        await until(lambda: result.connected and result.availability[-1:] == [b"connected"])
    try:
        yield result
    finally:
        running.cancel()
        await asyncio.wait({running})


@simulated
async def test_a_session_tells_connected_and_subscribes_to_every_command_topic_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with station(tmp_path, up=False) as s:
        await s.post(MessageType.SUCCESS, b"answer")
        await until(lambda: s.connected)
        assert [each.payload for each in s.broker.published] == [b"connected", b"answer"]
        assert s.broker.published[0].retain
        assert s.broker.published[0].qos == 1
        assert s.broker.connections[0].topics == [COMMANDS, "bambu/left/commands"]
        assert s.uplink.is_connected


@simulated
async def test_a_command_is_acknowledged_after_it_was_taken(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        delivery = s.broker.send(COMMANDS, b"one")
        assert s.taken == [b"one"]
        assert s.broker.connections[0].acknowledged == [delivery]


@simulated
async def test_a_command_is_not_acknowledged_before_it_is_safe(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        s.acknowledge_at_once = False
        delivery = s.broker.send(COMMANDS, b"one")
        await asyncio.sleep(5)
        assert s.taken == [b"one"]
        assert s.broker.connections[0].acknowledged == []
        s.to_acknowledge.pop()()
        assert s.broker.connections[0].acknowledged == [delivery]


@simulated
async def test_a_command_that_is_safe_too_late_is_not_acknowledged_on_another_session(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        s.acknowledge_at_once = False
        s.broker.send(COMMANDS, b"one")
        s.broker.drop()
        await until(lambda: len(s.connected) == 2)
        s.to_acknowledge.pop()()
        assert s.broker.connections[1].acknowledged == []  # its packet ids are its own


@simulated
async def test_a_command_that_was_not_taken_is_not_acknowledged(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        s.failure = ZeroDivisionError("a bug")
        with pytest.raises(ZeroDivisionError):
            s.broker.send(COMMANDS, b"one")
        assert s.broker.connections[0].acknowledged == []


@simulated
async def test_commands_that_the_broker_kept_for_us_are_taken_and_acknowledged(tmp_path: Path) -> None:
    async with station(tmp_path, up=False) as s:
        early = s.broker.delivery(COMMANDS, b"kept")
        s.broker.early.append(early)
        await until(lambda: s.connected)
        assert s.taken == [b"kept"]
        assert s.broker.connections[0].acknowledged == [early]


@simulated
async def test_while_stopping_no_command_is_taken_or_acknowledged(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        s.uplink.close_for_commands()
        s.broker.send(COMMANDS, b"one")
        assert s.taken == []
        assert s.broker.connections[0].acknowledged == []


@simulated
async def test_a_session_that_breaks_is_made_anew_and_what_waited_is_sent(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        s.broker.confirms = False
        await s.post(MessageType.EVENT, b"event")
        s.broker.drop()
        await asyncio.sleep(0.01)
        assert not s.uplink.is_connected
        s.broker.confirms = True
        await until(lambda: len(s.connected) == 2)
        assert [each.payload for each in s.broker.published] == [b"connected", b"event", b"connected", b"event"]


@pytest.mark.parametrize("refusal", [Unreachable("nobody"), AccessDenied("wrong password")])
@simulated
async def test_attempts_come_more_and_more_seldom_and_never_end(tmp_path: Path, refusal: LinkError) -> None:
    async with station(tmp_path, up=False) as s:
        s.broker.refusal = refusal
        await asyncio.sleep(300)
        gaps = [after - before for before, after in zip(s.broker.attempts, s.broker.attempts[1:], strict=False)]
        assert gaps[0] < 1.5 if refusal.retryable else gaps[0] >= 30
        assert 20 < gaps[-1] < 40
        s.broker.refusal = None
        await until(lambda: s.connected)


@simulated
async def test_a_good_session_makes_the_next_attempt_quick_again(tmp_path: Path) -> None:
    async with station(tmp_path, up=False) as s:
        s.broker.refusal = Unreachable("nobody")
        await asyncio.sleep(120)
        s.broker.refusal = None
        await until(lambda: s.connected)
        await asyncio.sleep(100)
        s.broker.drop()
        await until(lambda: len(s.connected) == 2, within=3)


@simulated
async def test_a_subscription_that_is_refused_ends_the_session_and_is_tried_again(tmp_path: Path) -> None:
    async with station(tmp_path, up=False) as s:
        s.broker.subscription_refusal = Unreachable("not allowed")
        await until(lambda: len(s.broker.connections) == 2)
        assert not s.broker.connections[0].is_open
        assert not s.connected
        assert s.availability == []  # who reads `connected` would command in vain
        s.broker.subscription_refusal = None
        await until(lambda: s.connected)


@simulated
async def test_goodbye_says_disconnected_and_closes(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        await s.uplink.say_goodbye(1.0)
        assert s.availability == [b"connected", b"disconnected"]
        assert s.broker.on(AVAILABILITY)[-1].retain
        assert not s.broker.connections[0].is_open


@simulated
async def test_goodbye_does_not_wait_for_a_broker_that_says_nothing(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        s.broker.confirms = False
        began = asyncio.get_running_loop().time()
        await s.uplink.say_goodbye(1.0)
        assert asyncio.get_running_loop().time() - began <= 1.1
        assert not s.broker.connections[0].is_open


@simulated
async def test_goodbye_without_a_session_does_nothing(tmp_path: Path) -> None:
    async with station(tmp_path, up=False) as s:
        s.broker.refusal = Unreachable("nobody")
        await s.uplink.say_goodbye(1.0)
        assert s.broker.published == []


# -- printers that come and go ----------------------------------------------------------------------


@simulated
async def test_topics_come_and_go_on_the_session_that_there_is(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        await s.uplink.follow(Routes(frozenset({COMMANDS}), {"bambu/right/commands": "right"}))
        assert s.broker.connections[0].topics == [COMMANDS, "bambu/right/commands"]
        assert len(s.broker.connections) == 1
        assert s.broker.connections[0].is_open


@simulated
async def test_topics_that_came_while_there_was_no_session_are_in_the_next(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        s.broker.connections[0].end(Unreachable("broken"))
        await until(lambda: not s.uplink.is_connected)
        await s.uplink.follow(Routes(frozenset({COMMANDS}), {"bambu/right/commands": "right"}))
        await until(lambda: len(s.broker.connections) == 2 and s.uplink.is_connected)
        await until(lambda: s.broker.connections[1].topics == [COMMANDS, "bambu/right/commands"])


@simulated
async def test_a_new_topic_that_is_refused_is_told_and_tried_again_on_another_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with station(tmp_path) as s:
        s.broker.subscription_refusal = LinkError("not allowed")
        await s.uplink.follow(Routes(frozenset({COMMANDS}), {"bambu/right/commands": "right"}))
        assert "could not be told" in caplog.text
        s.broker.subscription_refusal = None
        await until(lambda: len(s.broker.connections) > 1 and "bambu/right/commands" in s.broker.connections[-1].topics)


@simulated
async def test_why_there_is_no_session_is_known_as_long_as_there_is_none(tmp_path: Path) -> None:
    async with station(tmp_path) as s:
        assert (s.uplink.error, s.uplink.protocol) == (None, "5")
        s.broker.refusal = Unreachable("off")
        s.broker.connections[0].end(Unreachable("broken"))
        await until(lambda: isinstance(s.uplink.error, Unreachable))
        assert s.uplink.protocol is None
        s.broker.refusal = None
        await until(lambda: s.uplink.is_connected and s.uplink.error is None)


@simulated
async def test_topics_that_come_while_the_broker_is_asked_for_the_first_are_wanted_too(tmp_path: Path) -> None:
    async with station(tmp_path, up=False) as s:
        await until(lambda: s.broker.connections, every=0.001)
        assert s.broker.connections[0].topics == []
        both = {"bambu/left/commands": "left", "bambu/right/commands": "right"}
        await s.uplink.follow(Routes(frozenset({COMMANDS}), both))
        await until(lambda: s.connected)
        await asyncio.sleep(1)
        assert sorted(s.broker.connections[0].topics) == [COMMANDS, *both]
        assert len(s.broker.connections) == 1
