"""Keeps the connection to Printago: a fresh one for every attempt, availability told, commands handed on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from bambu_connector.errors import LinkError
from bambu_connector.printago.topics import Routes
from bambu_connector.service.backoff import LONGEST_S, STABLE_S, Backoff
from bambu_connector.service.changes import SETTLED_S, Changes
from bambu_connector.service.clock import Clock
from bambu_connector.service.outbox import Outbox
from bambu_connector.service.ports import Delivery, PrintagoConnection, PrintagoLink

_SHORT: Final = 3  # a broker that restarts makes one, or two
log = logging.getLogger(__name__)


class Uplink:
    """One connection to Printago after the other.

    `deliver` takes a command, and something to be called when it is safe: then it is acknowledged to the broker.
    """

    def __init__(
        self,
        link: PrintagoLink,
        outbox: Outbox,
        *,
        routes: Routes,
        availability: str,
        deliver: Callable[[Delivery, Callable[[], None]], None],
        on_connected: Callable[[PrintagoConnection], None],
        first_contact: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._link = link
        self._outbox = outbox
        self._routes = routes
        self._availability = availability
        self._deliver = deliver
        self._on_connected = on_connected
        self._first_contact = first_contact
        self._clock = clock
        self._connection: PrintagoConnection | None = None
        self._takes_commands = True
        self._subscribed: frozenset[str] | None = None
        """What this session was asked to bring; None: nothing yet."""
        self._was_up = False
        self.error: LinkError | None = None
        """Why there is no session, None while there is one or none was tried."""
        self._changes = Changes(log)

    @property
    def is_connected(self) -> bool:
        """There is a session with Printago's broker."""
        return self._connection is not None

    @property
    def connection(self) -> PrintagoConnection | None:
        """The session with Printago's broker."""
        return self._connection

    @property
    def protocol(self) -> str | None:
        """The version of MQTT that is spoken, None without a session."""
        return self._connection.protocol if self._connection else None

    async def follow(self, routes: Routes) -> None:
        """Commands come on these topics from now on; the session stays."""
        self._routes = routes
        connection = self._connection
        if connection is None or self._subscribed is None:
            return
        try:
            await self._subscribe(connection)
        except LinkError as error:  # the next session subscribes to all of them
            log.warning("the topics of printers that came or went could not be told to Printago's broker: %s", error)
            await connection.close()

    async def _subscribe(self, connection: PrintagoConnection) -> None:
        """Have the session bring the topics of now, also of printers that come while the broker is asked."""
        while connection is self._connection:
            before, wanted = self._subscribed or frozenset(), frozenset(self._routes.topics())
            if wanted == self._subscribed:
                return
            self._subscribed = wanted
            if gone := sorted(before - wanted):
                connection.unsubscribe(gone)
            if new := sorted(wanted - before):
                await connection.subscribe(new)

    async def run(self) -> None:
        """Run until cancelled."""
        backoff = Backoff()
        short = 0  # sessions in a row that ended soon after they began
        while True:
            began, self._was_up, delay = self._clock.monotonic(), False, 0.0
            try:
                await self._session()
            except LinkError as error:
                self.error = error
                was_stable = self._clock.monotonic() - began >= STABLE_S
                if was_stable:
                    backoff.reset()
                short = 0 if was_stable else short + self._was_up
                # A broker that refuses us is not hammered, and may be set right at any time.
                delay = backoff.delay(retryable=True) if error.retryable else LONGEST_S
                self._changes.gone(f"Printago: {error}", delay)
                if short == _SHORT:
                    log.warning(
                        "sessions with Printago's broker end within seconds of their beginning: does another connector"
                        " use the same printago.client_id?"
                    )
            await asyncio.sleep(delay)

    async def _session(self) -> None:
        connection = await self._link.connect(self._accept)
        try:
            self._connection = connection
            # Commands that the broker kept while we were away come with the subscription: who is to obey must be there.
            await self._first_contact()
            await self._subscribe(connection)
            # Not before the subscription: who reads `connected` may command. The broker's PUBACK is not waited for.
            _ = connection.publish(self._availability, b"connected", qos=1, retain=True)
            self._was_up, self.error = True, None
            self._tell_back(connection)
            self._outbox.connected(connection)
            self._on_connected(connection)
            why = await connection.closed()
            raise why
        finally:
            self._connection, self._subscribed = None, None
            self._outbox.disconnected()
            await connection.close()

    def _tell_back(self, connection: PrintagoConnection) -> None:
        """Tell that there is a session, now or when it has held for a while."""
        if connection is self._connection:
            sentence = f"connected to Printago's broker, MQTT {connection.protocol}"
            self._changes.back(sentence, self._clock.monotonic())
            asyncio.get_running_loop().call_later(SETTLED_S, self._tell_back, connection)

    def close_for_commands(self) -> None:
        """Take no more commands: the broker keeps them (MQTT 5), for they are not acknowledged."""
        self._takes_commands = False

    def _accept(self, delivery: Delivery) -> None:
        connection = self._connection
        if not self._takes_commands or connection is None:
            return
        self._deliver(delivery, lambda: connection.acknowledge(delivery))

    async def say_goodbye(self, within: float) -> None:
        """Say `disconnected` and close, so that nobody has to wait for the last will."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with asyncio.timeout(within):
                await connection.publish(self._availability, b"disconnected", qos=1, retain=True)
        except (TimeoutError, LinkError) as error:
            log.warning("Printago was not told that the connector stops: %s", str(error) or "no answer in time")
        await connection.close()
