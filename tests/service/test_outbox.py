"""Messages on their way to Printago's broker."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from bambu_connector.errors import LinkError, MessageRefused, Unreachable
from bambu_connector.printago.messages import Message, MessageType
from bambu_connector.service.outbox import MAX_EVENTS, WINDOW, Outbox
from tests.service.fakes import FakePrintago, FakePrintagoConnection
from tests.simulated import simulated, until


def message(number: int, kind: MessageType = MessageType.SUCCESS, *, qos: int = 1) -> Message:
    return Message(type=kind, printer_id="p", payload=b"%d" % number, retain=qos == 0, qos=qos)


def status(number: int) -> Message:
    return message(number, MessageType.STATUS, qos=0)


def event(number: int) -> Message:
    return message(number, MessageType.EVENT)


def outbox() -> Outbox:
    return Outbox(lambda printer_id, kind: f"bambu/{printer_id}/{kind}")


async def session(broker: FakePrintago) -> FakePrintagoConnection:
    return await broker.connect(lambda _delivery: None)


def payloads(broker: FakePrintago) -> list[bytes]:
    return [each.payload for each in broker.published]


@simulated
async def test_messages_go_out_in_order_on_the_topic_of_their_type() -> None:
    broker, box = FakePrintago(), outbox()
    box.connected(await session(broker))
    for each in (message(1), status(2), event(3), message(4, MessageType.ERROR)):
        box.post(each)
    assert payloads(broker) == [b"1", b"2", b"3", b"4"]
    assert [each.topic for each in broker.published] == [
        "bambu/p/success",
        "bambu/p/status",
        "bambu/p/event",
        "bambu/p/error",
    ]
    assert [(each.qos, each.retain) for each in broker.published] == [(1, False), (0, True), (1, False), (1, False)]


@simulated
async def test_what_was_posted_without_a_connection_waits_in_order_and_statuses_do_not() -> None:
    broker, box = FakePrintago(), outbox()
    for each in (message(1), status(2), event(3), message(4)):
        box.post(each)
    box.connected(await session(broker))
    assert payloads(broker) == [b"1", b"3", b"4"]


@simulated
async def test_what_the_broker_did_not_confirm_is_sent_again_with_the_same_bytes_and_the_rest_is_not() -> None:
    broker, box = FakePrintago(), outbox()
    box.connected(await session(broker))
    box.post(message(1))
    await until(lambda: box._waiting == {})
    broker.confirms = False
    for each in (message(2), event(3)):
        box.post(each)
    broker.drop()
    box.disconnected()
    box.post(message(4))
    broker.published.clear()
    broker.confirms = True
    box.connected(await session(broker))
    assert payloads(broker) == [b"2", b"3", b"4"]
    assert await box.drained(1.0)
    broker.published.clear()
    box.disconnected()
    box.connected(await session(broker))
    assert payloads(broker) == []


@simulated
async def test_a_session_that_breaks_while_it_is_published_keeps_the_message() -> None:
    broker, box = FakePrintago(), outbox()
    box.connected(await session(broker))
    broker.drop()
    box.post(message(1))
    box.post(status(2))
    box.disconnected()
    box.connected(await session(broker))
    assert payloads(broker) == [b"1"]


@simulated
async def test_events_are_bounded_the_oldest_go_and_answers_never_do(caplog: pytest.LogCaptureFixture) -> None:
    broker, box = FakePrintago(), outbox()
    box.post(message(-1))
    for number in range(MAX_EVENTS + 2):
        box.post(event(number))
    box.post(message(-2))
    box.connected(await session(broker))
    assert await box.drained(60)
    sent = payloads(broker)
    assert sent[:2] == [b"-1", b"2"]
    assert sent[-2:] == [b"%d" % (MAX_EVENTS + 1), b"-2"]
    assert len(sent) == MAX_EVENTS + 2
    assert "the oldest is dropped" in caplog.text


@simulated
async def test_events_that_arrived_make_room_again() -> None:
    broker, box = FakePrintago(), outbox()
    box.connected(await session(broker))
    for number in range(MAX_EVENTS):
        box.post(event(number))
    assert await box.drained(60)
    box.disconnected()
    broker.published.clear()
    for number in range(MAX_EVENTS):
        box.post(event(number))
    box.connected(await session(broker))
    assert await box.drained(60)
    assert payloads(broker) == [b"%d" % number for number in range(MAX_EVENTS)]


@simulated
async def test_a_backlog_is_sent_a_window_at_a_time() -> None:
    broker, box = FakePrintago(), outbox()
    broker.confirms = False
    for number in range(2 * WINDOW):
        box.post(message(number))
    connection = await session(broker)
    box.connected(connection)
    assert len(broker.published) == WINDOW
    box.post(message(2 * WINDOW))
    assert len(broker.published) == WINDOW
    for future in connection._unconfirmed[:10]:
        connection._confirm(future)
    await asyncio.sleep(0)
    assert payloads(broker) == [b"%d" % number for number in range(WINDOW + 10)]


@simulated
async def test_a_new_connection_has_a_window_of_its_own() -> None:
    broker, box = FakePrintago(), outbox()
    broker.confirms = False
    for number in range(2 * WINDOW):
        box.post(message(number))
    box.connected(await session(broker))
    broker.drop()
    box.disconnected()
    broker.published.clear()
    broker.confirms = True
    box.connected(await session(broker))
    await asyncio.sleep(0)
    assert payloads(broker) == [b"%d" % number for number in range(WINDOW)]
    assert await box.drained(1.0)
    assert payloads(broker) == [b"%d" % number for number in range(2 * WINDOW)]


@pytest.mark.parametrize(("error", "is_kept"), [(MessageRefused("no"), False), (Unreachable("gone"), True)])
@simulated
async def test_a_message_that_the_broker_refuses_is_not_sent_for_ever(
    error: LinkError, is_kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    broker, box = FakePrintago(), outbox()
    broker.confirms = False
    connection = await session(broker)
    refuse = refusing(connection, error)
    box.connected(connection)
    box.post(message(1))
    refuse()
    await asyncio.sleep(0)
    box.disconnected()
    broker.published.clear()
    box.connected(await session(broker))
    assert (payloads(broker) == [b"1"]) is is_kept
    assert bool(caplog.messages) is not is_kept


def refusing(connection: FakePrintagoConnection, error: LinkError) -> Callable[[], None]:
    def refuse() -> None:
        for future in connection._unconfirmed:
            future.set_exception(error)

    return refuse


@simulated
async def test_it_is_drained_only_when_everything_has_arrived() -> None:
    broker, box = FakePrintago(), outbox()
    assert await box.drained(0.1)
    box.post(message(1))
    assert not await box.drained(0.1)
    broker.confirms = False
    connection = await session(broker)
    box.connected(connection)
    assert not await box.drained(0.1)
    connection._confirm(connection._unconfirmed[0])
    assert await box.drained(0.1)
