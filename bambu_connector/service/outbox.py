"""Messages on their way to Printago: on disk before they are sent, in order, until the broker has them."""

import asyncio
import logging
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Final

from bambu_connector.errors import LinkError, MessageRefused
from bambu_connector.printago.messages import Message, MessageType, undeliverable
from bambu_connector.service import records
from bambu_connector.service.journal import Journal
from bambu_connector.service.ports import PrintagoConnection

WINDOW: Final = 100  # messages on the way at a time
LARGE_BYTES: Final = 64 * 1024  # brokers take at least this
MAX_BREAKS: Final = 3
MAX_EVENTS: Final = 10_000  # the contract's: the oldest go first; answers never go
log = logging.getLogger(__name__)


class Outbox:
    """Holds what must arrive until it has. An unasked status is sent now or never: the next one says more.

    A message that was sent and is not on disk would be made again, under another id, by the process after a crash.
    """

    def __init__(self, topic_of: Callable[[str, str], str], journal: Journal) -> None:
        self._topic_of = topic_of
        self._journal = journal
        self._connection: PrintagoConnection | None = None
        self._waiting: OrderedDict[str, Message] = OrderedDict()
        self._unsafe: set[str] = set()
        self._unsent: deque[str] = deque()
        self._on_the_way = 0
        self._events = 0
        self._told_full = False
        self._broke: dict[str, int] = {}
        """How often the connection broke while a large message was on its way."""
        self._empty = asyncio.Event()
        self._empty.set()

    def restore(self) -> None:
        """Take up what an earlier process could not deliver."""
        found: dict[str, Message] = {}
        for key, body in self._journal.all(records.MESSAGE):
            if key in self._waiting:
                continue
            try:
                message = records.read(records.decode_message, body)
            except records.Unreadable as error:
                log.error("an undelivered message cannot be read and is lost: %s", error)  # noqa: TRY400 - no bug
                self._journal.drop(records.MESSAGE, key)
                continue
            found[key] = message
            self._events += message.type is MessageType.EVENT
        self._waiting = OrderedDict(sorted((found | self._waiting).items()))
        self._unsent.extendleft(reversed(found))
        if self._waiting:
            self._empty.clear()
        self._send()

    def post(self, message: Message) -> None:
        """Send a message, or keep it until there is a connection."""
        if message.qos == 0:
            if self._connection is not None:
                self._publish(message)
            return
        key = self._journal.new_key()
        self._waiting[key] = message
        self._unsafe.add(key)
        self._empty.clear()
        self._limit(message)
        self._journal.put(records.MESSAGE, key, records.message_body(message))
        self._journal.when_safe(partial(self._is_safe, key))

    def _is_safe(self, key: str) -> None:
        self._unsafe.discard(key)
        if self._connection is not None:
            self._unsent.append(key)
            self._send()

    def _limit(self, message: Message) -> None:
        if message.type is not MessageType.EVENT:
            return
        self._events += 1
        if self._events <= MAX_EVENTS:
            return
        oldest = next(key for key, each in self._waiting.items() if each.type is MessageType.EVENT)
        self._drop(oldest)
        level = logging.DEBUG if self._told_full else logging.WARNING
        log.log(level, "more than %d events wait for Printago: the oldest is dropped", MAX_EVENTS)
        self._told_full = True

    def connected(self, connection: PrintagoConnection) -> None:
        """There is a connection: send everything that waits, in order."""
        self._connection = connection
        self._unsent = deque(key for key in self._waiting if key not in self._unsafe)
        self._on_the_way = 0
        self._send()

    def disconnected(self) -> None:
        """The connection is gone; what was not confirmed is sent again."""
        self._connection = None

    def _send(self) -> None:
        """Send what waits, so much at a time: a day's backlog at once would break the connection that carries it."""
        while self._connection is not None and self._unsent and self._on_the_way < WINDOW:
            message = self._waiting.get(self._unsent[0])
            if message is not None:
                sent = self._publish(message)
                if sent is None:
                    return
                self._on_the_way += 1
                sent.add_done_callback(partial(self._arrived, self._unsent[0], self._connection))
            self._unsent.popleft()

    def _publish(self, message: Message) -> asyncio.Future[None] | None:
        assert self._connection is not None
        topic = self._topic_of(message.printer_id, message.type.value)
        try:
            return self._connection.publish(topic, message.payload, qos=message.qos, retain=message.retain)
        except LinkError as error:
            log.debug("not sent yet: %s", error)
            return None

    def _arrived(self, key: str, connection: PrintagoConnection, future: asyncio.Future[None]) -> None:
        if connection is self._connection:
            self._on_the_way -= 1
        if future.cancelled():
            return
        error, message = future.exception(), self._waiting.get(key)
        if error is None:
            self._drop(key)
        elif isinstance(error, MessageRefused):
            # Sent again it would be refused again, and hold up nothing but our memory.
            log.error("%s; is it too large, or the user not allowed to publish on the topic of messages?", error)
            self._drop(key)
            self._answer_in_short(message)
        elif message is not None and len(message.payload) > LARGE_BYTES:
            self._broke[key] = self._broke.get(key, 0) + 1
            if self._broke[key] >= MAX_BREAKS:
                log.error("Printago's broker hangs up on an answer of %d bytes: it is given up", len(message.payload))
                self._drop(key)
                self._answer_in_short(message)
        self._send()

    def _answer_in_short(self, message: Message | None) -> None:
        """Tell who waits for an answer that it cannot be delivered."""
        if message is not None and len(message.payload) > LARGE_BYTES:
            sentence = f"The answer has {len(message.payload)} bytes, more than Printago's broker takes."
            self.post(undeliverable(message, sentence, str(uuid.uuid4())))

    def _drop(self, key: str) -> None:
        message = self._waiting.pop(key, None)
        self._broke.pop(key, None)
        self._journal.drop(records.MESSAGE, key, lazily=True)
        if message is not None and message.type is MessageType.EVENT:
            self._events -= 1
        if not self._waiting:
            self._told_full = False
            self._empty.set()

    async def drained(self, within: float) -> bool:
        """Wait until everything has arrived; False when it did not in `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
