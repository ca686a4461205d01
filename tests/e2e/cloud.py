"""Printago's side: a real mosquitto with users and an ACL, and a client that commands and remembers what it hears."""

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.servers.certificates import local_certificate
from tests.servers.mosquitto import Mosquitto

T = TypeVar("T")
Tree = dict[str, Any]

USER, PASSWORD = "farm", "correct-horse-9Kq"
_WATCHER, _WATCHER_PASSWORD = "watcher", "watching"
_KINDS = ("pairing", "status", "event", "success", "error", "response")
# What Printago's broker would allow: to read commands, and to write each kind of message.
_ACL = "\n".join(
    [
        f"user {USER}",
        "topic read bambu/commands",
        "topic read bambu/+/commands",
        *(f"topic write bambu/+/{kind}" for kind in (*_KINDS, "mqtt")),
        f"user {_WATCHER}",
        "topic readwrite bambu/#",
        "",
    ]
)
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Message:
    """One message that came; `fields` is empty where the payload is not JSON (an availability, a cleared topic)."""

    topic: str
    qos: int
    retain: bool
    raw: bytes
    fields: Tree

    @property
    def kind(self) -> str:
        return self.topic.rpartition("/")[2]

    @property
    def printer_id(self) -> str | None:
        return self.fields.get("printer_id")

    @property
    def command_id(self) -> object:
        return self.fields.get("command_id")

    @property
    def data(self) -> Tree:
        return self.fields.get("data") or {}

    @property
    def code(self) -> str | None:
        return self.data.get("code")

    @property
    def machine(self) -> Tree:
        """The machine of a status."""
        machine: Tree = self.data["machines"][0]
        return machine

    @property
    def process(self) -> Tree:
        """The process of a status."""
        process: Tree = self.data["process"]
        return process

    def __str__(self) -> str:
        return f"{self.topic} {self.raw[:600].decode(errors='replace')}"


def _ignore(_result: object) -> None:
    """Have a callback return nothing, as paho's types want it."""


def _without_delay(_client: paho.Client, _data: object, connection: object) -> None:
    assert isinstance(connection, socket.socket)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Cloud:
    """Broker and client from the constructor to the end of the `with` block. `tls` puts both on TLS."""

    def __init__(self, folder: Path, *, tls: bool = False, host: str = "127.0.0.1") -> None:
        self.ca_file: Path | None = None
        pem: Path | None = None
        if tls:
            self.ca_file, pem = local_certificate(folder)
        users = {USER: PASSWORD, _WATCHER: _WATCHER_PASSWORD}
        self.broker = Mosquitto(folder, host=host, users=users, acl=_ACL, pem=pem)
        self.messages: list[Message] = []
        self.sent: dict[str, str] = {}
        """Each command sent with an id, and what it was."""
        self._news = threading.Condition()
        self._subscribed = threading.Event()
        self._client = self._connected()
        assert self._subscribed.wait(10), "the watcher cannot subscribe"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.broker.__exit__(kind, exc, trace)

    def _connected(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(_WATCHER, _WATCHER_PASSWORD)
        if self.ca_file is not None:
            client.tls_set_context(ssl.create_default_context(cafile=self.ca_file))
        client.on_socket_open = _without_delay
        # With QoS 2 and retain as published a message shows how it was published.
        options = SubscribeOptions(qos=2, retainAsPublished=True)
        client.on_connect = lambda _c, _d, _f, _r, _p: _ignore(client.subscribe("bambu/#", options=options))
        client.on_disconnect = lambda _c, _d, _f, _r, _p: self._subscribed.clear()
        client.on_subscribe = lambda _c, _d, _m, _r, _p: self._subscribed.set()
        client.on_message = lambda _client, _data, message: self._hear(message)
        client.reconnect_delay_set(1, 1)
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        return client

    def restart_broker(self) -> None:
        """Have the broker lose everything and begin anew; returns when this client is there again."""
        self.broker.stop()
        self._subscribed.clear()
        self.broker.start()
        assert self._subscribed.wait(15), "the watcher does not come back"

    # -- listening ---------------------------------------------------------------------------------

    def _hear(self, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/commands"):
            return
        try:
            fields = json.loads(message.payload)
        except ValueError:
            fields = None
        heard = Message(
            message.topic,
            message.qos,
            message.retain,
            bytes(message.payload),
            fields if isinstance(fields, dict) else {},
        )
        with self._news:
            self.messages.append(heard)
            self._news.notify_all()

    def until(self, what: str, probe: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T:
        """Return the first truthy answer; asked again with every message."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while not (found := probe()):
                left = deadline - time.monotonic()
                if left <= 0:
                    recent = "\n  ".join(str(each) for each in self.messages[-6:])
                    raise AssertionError(f"not within {timeout_s:g} s: {what}; the last messages:\n  {recent}")
                self._news.wait(left)
        return found

    def mark(self) -> int:
        """Return the number of messages so far, for the `since` of others."""
        return len(self.messages)

    def heard(self, kind: str, printer_id: str | None = None, *, since: int = 0) -> list[Message]:
        """Return the messages of a kind (of a printer), in order."""
        return [
            each
            for each in self.messages[since:]
            if each.kind == kind and printer_id in (None, each.printer_id) and each.fields
        ]

    def hear(
        self,
        kind: str,
        printer_id: str | None,
        matches: Callable[[Message], object] = lambda _message: True,
        *,
        since: int = 0,
        timeout_s: float = PATIENCE_S,
    ) -> Message:
        """Wait for the first message that matches."""
        return self.until(
            f"a {kind} of {printer_id} that matches",
            lambda: next((each for each in self.heard(kind, printer_id, since=since) if matches(each)), None),
            timeout_s,
        )

    def hear_event(self, printer_id: str, name: str, *, since: int = 0, timeout_s: float = PATIENCE_S) -> Message:
        """Wait for an event."""
        return self.hear("event", printer_id, lambda each: each.data["event"] == name, since=since, timeout_s=timeout_s)

    def events(self, printer_id: str, *, since: int = 0) -> list[str]:
        """Return the names of the events so far."""
        return [each.data["event"] for each in self.heard("event", printer_id, since=since)]

    def availability(self, connector_id: str) -> list[str]:
        """Return what the connector said of itself so far."""
        topic = f"bambu/{connector_id}/mqtt"
        return [each.raw.decode() for each in list(self.messages) if each.topic == topic]

    def retained(self, topic: str) -> bytes | None:
        """Return what a client that comes now is told at once; None for nothing."""
        found: list[paho.MQTTMessage] = []
        fenced = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(_WATCHER, _WATCHER_PASSWORD)
        if self.ca_file is not None:
            client.tls_set_context(ssl.create_default_context(cafile=self.ca_file))
        fence = f"bambu/fence-{uuid.uuid4().hex}/commands"

        def hear(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            if message.topic == fence:
                fenced.set()
            else:
                found.append(message)

        client.on_connect = lambda _c, _d, _f, _r, _p: _ignore(client.subscribe([(topic, 1), (fence, 1)]))
        # What is retained is sent before anything that is published after the subscription.
        client.on_subscribe = lambda _c, _d, _m, _r, _p: _ignore(client.publish(fence, b"", 1))
        client.on_message = hear
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        try:
            assert fenced.wait(10), "the broker does not answer"
        finally:
            client.disconnect()
            client.loop_stop()
        return bytes(found[0].payload) if found else None

    # -- commanding --------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes | Tree, *, qos: int = 1, retain: bool = False) -> None:
        """Publish anything, and wait until the broker has it."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, raw, qos, retain).wait_for_publish(10)

    def send(self, printer_id: str, command: str, parameters: Tree | None = None, **extra: Any) -> str:
        """Send `type/action` to a printer; return its command_id."""
        kind, _, action = command.partition("/")
        command_id = str(extra.pop("command_id", uuid.uuid4()))
        self.sent[command_id] = command
        body = {"type": kind, "action": action, "parameters": parameters or {}, "command_id": command_id, **extra}
        self.publish(f"bambu/{printer_id}/commands", body)
        return command_id

    def answers(self, command_id: str) -> list[Message]:
        """Return the answers to a command so far; the same message delivered twice counts once."""
        found = {each.fields["message_id"]: each for each in list(self.messages) if each.command_id == command_id}
        return list(found.values())

    def answer(self, command_id: str, timeout_s: float = PATIENCE_S) -> Message:
        """Wait for the answer to a command."""
        what = f"the answer to {self.sent.get(command_id, 'a command')} {command_id}"
        return self.until(what, lambda: next(iter(self.answers(command_id)), None), timeout_s)
