"""Printago's side of a soak: a mosquitto that keeps its sessions, and a client that forgets nothing."""

import json
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.servers.mosquitto import Mosquitto
from tests.servers.process import wait_until
from tests.soak.oracle import Answer, Expect, Sent

USER, PASSWORD = "farm", "correct-horse-7Qx"
_WATCHER, _WATCHER_PASSWORD = "watcher", "watching"
_ANSWERS: Final = ("success", "error", "response", "status")
_KEPT_S: Final = 3600

Tree = dict[str, Any]


class SoakBroker(Mosquitto):
    """Saves its sessions when it is asked to end, and has them again."""

    def __init__(self, folder: Path) -> None:
        options = ["persistence true", f"persistence_location {folder}/", "autosave_interval 5",
                   "max_queued_messages 0", "max_inflight_messages 0"]  # fmt: skip
        super().__init__(folder, users={USER: PASSWORD, _WATCHER: _WATCHER_PASSWORD}, options=options)

    def end(self) -> None:
        """Ask it to end; returns when it has saved."""
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(20)


class Printago:
    """Sends commands and keeps the answers, from the constructor to `close`; times are monotonic."""

    def __init__(self, folder: Path, connector_id: str) -> None:
        folder.mkdir()
        self.broker = SoakBroker(folder)
        self.sent: dict[str, Sent] = {}
        self.payloads: dict[str, tuple[str, bytes]] = {}
        """Topic and payload of each command with an id."""
        self.answers: list[Answer] = []
        self.first: dict[str, Tree] = {}
        """The data of each command's first answer, without a status's."""
        self.available = False
        self.messages = 0
        self.kinds: dict[str, int] = {}
        self.leaks: list[str] = []
        self.secrets: tuple[bytes, ...] = (PASSWORD.encode(),)
        self._availability = f"bambu/{connector_id}/mqtt"
        self._waiting: dict[int, str | None] = {}
        self._taken_early: set[int] = set()
        """Message ids that the broker took before `publish` had returned them."""
        self._acked: set[str] = set()
        self._lock = threading.Lock()
        self._subscribed = threading.Event()
        self._log = (folder / "messages.jsonl").open("ab")
        self._client = self._made()
        self._open()

    def close(self) -> None:
        """End both."""
        self._client.disconnect()
        self._client.loop_stop()
        self._log.close()
        self.broker.__exit__(None, None, None)

    def _made(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="soak", protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(_WATCHER, _WATCHER_PASSWORD)
        client.max_inflight_messages_set(1000)
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._connected
        client.on_disconnect = lambda *_: self._subscribed.clear()
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = lambda _client, _data, message: self._hear(message)
        client.on_publish = lambda _client, _data, mid, _reason, _properties: self._taken(mid)
        return client

    def _open(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _KEPT_S
        self._client.connect("127.0.0.1", self.broker.port, clean_start=False, properties=properties)
        self._client.loop_start()
        wait_until("Printago's client is there", self._subscribed.is_set, 20)

    def _connected(self, *_: object) -> None:
        topics = [(f"bambu/+/{kind}", 1) for kind in (*_ANSWERS, "event", "mqtt")]
        self._client.subscribe(topics)

    @property
    def is_connected(self) -> bool:
        """Whether a command that is sent now gets to the broker."""
        return self._subscribed.is_set()

    # -- hearing -----------------------------------------------------------------------------------

    def _hear(self, message: paho.MQTTMessage) -> None:
        raw = bytes(message.payload)
        self.messages += 1
        for secret in self.secrets:
            if secret in raw:
                self.leaks.append(f"a secret in a message on {message.topic}")
        if message.topic == self._availability:
            self.available = raw == b"connected"
        kind = message.topic.rpartition("/")[2]
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if kind not in _ANSWERS or b'"command_id"' not in raw:
            return
        try:
            body = json.loads(raw)
        except ValueError:
            self.leaks.append(f"a message on {message.topic} is not JSON")
            return
        if not message.retain and body.get("command_id") is not None:
            self._keep(kind, body)

    def _keep(self, kind: str, body: Tree) -> None:
        data = {} if kind == "status" else body["data"]
        command_id = str(body["command_id"])
        answer = Answer(
            command_id=command_id,
            message_id=str(body["message_id"]),
            kind=kind,
            at=time.monotonic(),
            code=data.get("code"),
            stage=data.get("stage"),
        )
        with self._lock:
            self.answers.append(answer)
            self.first.setdefault(command_id, data)
        self._log.write(json.dumps(body | {"data": data, "heard": answer.at}).encode() + b"\n")

    # -- sending -----------------------------------------------------------------------------------

    def send(self, sent: Sent, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a command that has an id."""
        self.sent[sent.command_id] = sent
        self.payloads[sent.command_id] = (topic, payload)
        self._publish(sent.command_id, topic, payload, retain=retain)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send anything of which no answer is told apart."""
        self._publish(None, topic, payload, retain=retain)

    def _publish(self, command_id: str | None, topic: str, payload: bytes, *, retain: bool) -> None:
        # Not under our lock: paho calls `_taken` under one of its own, which this call wants.
        mid = self._client.publish(topic, payload, 1, retain).mid
        with self._lock:
            if mid not in self._taken_early:
                self._waiting[mid] = command_id
                return
            self._taken_early.discard(mid)
            self._note_taken(command_id)

    def _taken(self, mid: int) -> None:
        with self._lock:
            if mid in self._waiting:
                self._note_taken(self._waiting.pop(mid))
            else:
                self._taken_early.add(mid)

    def _note_taken(self, command_id: str | None) -> None:
        if command_id is not None:
            self._acked.add(command_id)

    def observed(self) -> tuple[list[Sent], list[Answer]]:
        """Return what was sent, with whether the broker took it, and every answer."""
        with self._lock:
            sent = [replace(each, acked=each.command_id in self._acked) for each in self.sent.values()]
            return sent, list(self.answers)

    def unanswered(self) -> list[str]:
        """Return the ids that the broker took and that have no answer yet."""
        with self._lock:
            answered = {each.command_id for each in self.answers}
            return [
                each.command_id
                for each in self.sent.values()
                if each.expect is Expect.ONE and each.command_id in self._acked and each.command_id not in answered
            ]

    def is_acked(self, command_id: str) -> bool:
        """Whether the broker took a command."""
        return command_id in self._acked
