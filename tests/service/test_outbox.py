"""Messages on their way to Printago's broker."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from bambu_connector.errors import LinkError, MessageRefused, Unreachable
from bambu_connector.printago.messages import Message, MessageType, envelope
from bambu_connector.service import records
from bambu_connector.service.outbox import LARGE_BYTES, MAX_BREAKS, MAX_EVENTS, WINDOW, Outbox
from bambu_connector.service.store import StoreFailed
from tests.service.fakes import FakeClock, FakePrintago, FakePrintagoConnection, FakeStore, fake_journal
from tests.simulated import simulated, until


def message(number: int, kind: MessageType = MessageType.SUCCESS, *, qos: int = 1) -> Message:
    return Message(type=kind, printer_id="p", payload=b"%d" % number, retain=qos == 0, qos=qos)


def status(number: int) -> Message:
    return message(number, MessageType.STATUS, qos=0)


def event(number: int) -> Message:
    return message(number, MessageType.EVENT)


def outbox(folder: Path, store: FakeStore | None = None) -> Outbox:
    journal = fake_journal(folder, FakeClock(), store)
    return Outbox(lambda printer_id, kind: f"bambu/{printer_id}/{kind}", journal)


async def post(box: Outbox, *messages: Message) -> None:
    """Post, and wait until it is on disk."""
    for each in messages:
        box.post(each)
    await box._journal.secure()


def stored(store: FakeStore) -> list[bytes]:
    """Return the messages on disk, in their order."""
    return [body for (kind, _), body in sorted(store.records.items()) if kind == records.MESSAGE]


async def session(broker: FakePrintago) -> FakePrintagoConnection:
    return await broker.connect(lambda _delivery: None)


def payloads(broker: FakePrintago) -> list[bytes]:
    return [each.payload for each in broker.published]


@simulated
async def test_messages_go_out_in_order_on_the_topic_of_their_type(tmp_path: Path) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    box.connected(await session(broker))
    await post(box, message(1), event(3), message(4, MessageType.ERROR))
    box.post(status(2))
    assert payloads(broker) == [b"1", b"3", b"4", b"2"]
    assert [each.topic for each in broker.published] == [
        "bambu/p/success",
        "bambu/p/event",
        "bambu/p/error",
        "bambu/p/status",
    ]
    assert [(each.qos, each.retain) for each in broker.published] == [(1, False), (1, False), (1, False), (0, True)]


@simulated
async def test_a_message_is_sent_once_it_is_on_disk_and_a_status_at_once(tmp_path: Path) -> None:
    broker, store = FakePrintago(), FakeStore()
    box = outbox(tmp_path, store)
    box.connected(await session(broker))
    seen: list[tuple[int, list[bytes]]] = []
    store.committed = lambda: seen.append((len(stored(store)), payloads(broker)))
    box.post(message(1))
    box.post(status(2))
    box.post(message(3))
    assert payloads(broker) == [b"2"]
    await box._journal.secure()
    assert seen == [(2, [b"2"])]
    assert payloads(broker) == [b"2", b"1", b"3"]


@simulated
async def test_while_the_disk_refuses_messages_go_out_all_the_same(tmp_path: Path) -> None:
    broker, store = FakePrintago(), FakeStore()
    box = outbox(tmp_path, store)
    box.connected(await session(broker))
    store.failure = StoreFailed("it is full")
    for number in range(3):
        box.post(message(number))
    assert await box.drained(1.0)
    assert payloads(broker) == [b"0", b"1", b"2"]


@simulated
async def test_what_arrived_leaves_the_disk_soon_and_the_rest_is_sent_by_the_next_process_in_order(
    tmp_path: Path,
) -> None:
    broker, store = FakePrintago(), FakeStore()
    box = outbox(tmp_path, store)
    connection = await session(broker)
    broker.confirms = False
    box.connected(connection)
    await post(box, message(1), event(2), message(3), event(4))
    connection._confirm(connection._unconfirmed[1])
    await until(lambda: len(stored(store)) == 3)
    after, again = FakePrintago(), outbox(tmp_path, store)
    again.restore()
    again.restore()
    again.connected(await session(after))
    assert payloads(after) == [b"1", b"3", b"4"]
    assert [each.topic for each in after.published] == ["bambu/p/success", "bambu/p/success", "bambu/p/event"]
    await post(again, message(5))
    assert payloads(after) == [b"1", b"3", b"4", b"5"]
    assert await again.drained(1.0)
    await until(lambda: not stored(store))


@simulated
async def test_an_undelivered_message_that_cannot_be_read_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker, store = FakePrintago(), FakeStore()
    store.records[records.MESSAGE, "1"] = b'{"type":"poem","printer_id":"p","payload":"1"}'
    store.records[records.MESSAGE, "2"] = b'{"type":"error","printer_id":"p","payload":"2"}'
    box = outbox(tmp_path, store)
    box.restore()
    box.connected(await session(broker))
    assert payloads(broker) == [b"2"]
    assert "cannot be read and is lost" in caplog.text


@simulated
async def test_what_was_posted_without_a_connection_waits_in_order_and_statuses_do_not(tmp_path: Path) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    await post(box, message(1), status(2), event(3), message(4))
    box.connected(await session(broker))
    assert payloads(broker) == [b"1", b"3", b"4"]


@simulated
async def test_what_the_broker_did_not_confirm_is_sent_again_with_the_same_bytes_and_the_rest_is_not(
    tmp_path: Path,
) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    box.connected(await session(broker))
    await post(box, message(1))
    await until(lambda: box._waiting == {})
    broker.confirms = False
    await post(box, message(2), event(3))
    broker.drop()
    box.disconnected()
    await post(box, message(4))
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
async def test_a_session_that_breaks_while_it_is_published_keeps_the_message(tmp_path: Path) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    box.connected(await session(broker))
    broker.drop()
    await post(box, message(1))
    await post(box, status(2))
    box.disconnected()
    box.connected(await session(broker))
    assert payloads(broker) == [b"1"]


@simulated
async def test_events_are_bounded_the_oldest_go_and_answers_never_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    await post(box, message(-1))
    await post(box, *(event(number) for number in range(MAX_EVENTS + 2)))
    await post(box, message(-2))
    box.connected(await session(broker))
    assert await box.drained(60)
    sent = payloads(broker)
    assert sent[:2] == [b"-1", b"2"]
    assert sent[-2:] == [b"%d" % (MAX_EVENTS + 1), b"-2"]
    assert len(sent) == MAX_EVENTS + 2
    assert "the oldest is dropped" in caplog.text


@simulated
async def test_events_that_arrived_make_room_again(tmp_path: Path) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    box.connected(await session(broker))
    await post(box, *(event(number) for number in range(MAX_EVENTS)))
    assert await box.drained(60)
    box.disconnected()
    broker.published.clear()
    await post(box, *(event(number) for number in range(MAX_EVENTS)))
    box.connected(await session(broker))
    assert await box.drained(60)
    assert payloads(broker) == [b"%d" % number for number in range(MAX_EVENTS)]


@simulated
async def test_a_backlog_is_sent_a_window_at_a_time(tmp_path: Path) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    broker.confirms = False
    await post(box, *(message(number) for number in range(2 * WINDOW)))
    connection = await session(broker)
    box.connected(connection)
    assert len(broker.published) == WINDOW
    await post(box, message(2 * WINDOW))
    assert len(broker.published) == WINDOW
    for future in connection._unconfirmed[:10]:
        connection._confirm(future)
    await asyncio.sleep(0)
    assert payloads(broker) == [b"%d" % number for number in range(WINDOW + 10)]


@simulated
async def test_a_new_connection_has_a_window_of_its_own(tmp_path: Path) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    broker.confirms = False
    await post(box, *(message(number) for number in range(2 * WINDOW)))
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
    tmp_path: Path, error: LinkError, is_kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    broker, box = FakePrintago(), outbox(tmp_path)
    broker.confirms = False
    connection = await session(broker)
    refuse = refusing(connection, error)
    box.connected(connection)
    await post(box, message(1))
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
async def test_it_is_drained_only_when_everything_has_arrived(tmp_path: Path) -> None:
    broker, box = FakePrintago(), outbox(tmp_path)
    assert await box.drained(0.1)
    await post(box, message(1))
    assert not await box.drained(0.1)
    broker.confirms = False
    connection = await session(broker)
    box.connected(connection)
    assert not await box.drained(0.1)
    connection._confirm(connection._unconfirmed[0])
    assert await box.drained(0.1)


@simulated
async def test_an_answer_on_which_the_broker_hangs_up_is_given_up_and_answered_in_short(tmp_path: Path) -> None:
    broker, clock = FakePrintago(), FakeClock()
    outbox = Outbox(lambda printer, kind: f"{printer}/{kind}", fake_journal(tmp_path, clock))
    large = envelope(
        MessageType.RESPONSE,
        "left",
        {"files": ["x" * LARGE_BYTES]},
        moment=clock.wall(),
        message_id="m1",
        command="printer_control/list_files",
        command_id="c1",
    )
    broker.confirms = False
    outbox.post(large)
    for _ in range(MAX_BREAKS):
        connection = await broker.connect(lambda _delivery: None)
        outbox.connected(connection)
        await asyncio.sleep(1)
        outbox.disconnected()
        connection.end(Unreachable("It hung up."))
        await asyncio.sleep(1)
    broker.confirms = True
    outbox.connected(await broker.connect(lambda _delivery: None))
    assert await outbox.drained(5)
    last = broker.published[-1].message
    assert (last["type"], last["command_id"], last["data"]["code"]) == ("error", "c1", "internal")
    assert [each.message["message_id"] for each in broker.published].count("m1") == MAX_BREAKS
