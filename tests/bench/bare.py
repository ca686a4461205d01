"""The floor on the wires: paho driven by one selector, with nothing between it and the bytes.

As a script (`bare.py relay|listen`, its `Task` as JSON on stdin) it is the process that ours is compared with. It
imports no more than it needs, since its start is measured too.
"""

import json
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, TypedDict

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

PAUSE_S = 1.0


class Task(TypedDict):
    """What a bare process does: ports of the two brokers, and which serial is which printer id."""

    printers: int
    printago: int
    serials: dict[str, str]


class Selector:
    """Runs any number of clients in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients: list[paho.Client] = []
        self._misc_at = 0.0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._context = context

    def client(
        self,
        port: int,
        on_message: Callable[[paho.MQTTMessage], None],
        *topics: tuple[str, int],
        tls: bool = False,
        on_subscribed: Callable[[], object] = lambda: None,
    ) -> paho.Client:
        """Connect and subscribe; the answers come while it runs."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(0)
        if tls:
            client.username_pw_set("bblp", "12345678")
            client.tls_set_context(self._context)
            client.tls_insecure_set(True)

        def connected(*_: Any) -> None:
            if topics:
                client.subscribe(list(topics))

        def subscribed(*_: Any) -> None:
            on_subscribed()

        client.on_message = lambda _client, _data, message: on_message(message)
        client.on_connect = connected
        client.on_subscribe = subscribed
        client.on_socket_open = _without_delay
        client.connect("127.0.0.1", port, 60)
        sock = client.socket()
        assert sock is not None, "connecting raises what goes wrong"
        self._clients.append(client)
        self._selector.register(sock, selectors.EVENT_READ, client)
        return client

    def step(self, timeout_s: float = PAUSE_S) -> None:
        """Wait for something to read, and read it."""
        for key, _ in self._selector.select(timeout_s):
            self._read(key.data)
        if time.monotonic() >= self._misc_at:
            self._misc_at = time.monotonic() + PAUSE_S
            for client in self._clients:
                client.loop_misc()

    def _read(self, client: paho.Client) -> None:
        sock: Any = client.socket()
        while client.loop_read() == 0 and isinstance(sock, ssl.SSLSocket) and sock.pending():
            pass
        while client.want_write():
            client.loop_write()

    def until(self, what: str, probe: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Run until `probe` says yes; fail with `what` when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not probe():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s:g} s: {what}")
            self.step(1.0)

    def close(self) -> None:
        """Leave every broker."""
        for client in self._clients:
            client.disconnect()
        self._selector.close()


def _without_delay(_client: Any, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def pushall() -> bytes:
    """Return the question for a full report."""
    return json.dumps({"pushing": {"sequence_id": "1", "command": "pushall"}}).encode()


class Bare:
    """One connection a printer and one to Printago's broker."""

    def __init__(self, task: Task) -> None:
        self._selector = Selector()
        self._task = task
        self._printers: dict[str, paho.Client] = {}
        self._told: set[str] = set()
        ids = {printer_id: serial for serial, printer_id in task["serials"].items()}
        topics = [(f"bambu/{printer_id}/commands", 1) for printer_id in ids]
        self._ids = ids
        self._printago = self._selector.client(task["printago"], self._command, *topics)

    def connect(self, take: Callable[[str, str, bytes], None]) -> None:
        """Connect to every printer and ask it for a full report; `take` gets serial, printer id and bytes."""
        for serial, printer_id in self._task["serials"].items():

            def report(message: paho.MQTTMessage, serial: str = serial, printer_id: str = printer_id) -> None:
                take(serial, printer_id, bytes(message.payload))

            def ask(serial: str = serial) -> None:
                self._printers[serial].publish(f"device/{serial}/request", pushall(), 1)

            topic = (f"device/{serial}/report", 0)
            port = self._task["printers"]
            self._printers[serial] = self._selector.client(port, report, topic, tls=True, on_subscribed=ask)

    def relay(self, _serial: str, printer_id: str, payload: bytes) -> None:
        """Hand every report on as it is."""
        self._printago.publish(f"bambu/{printer_id}/status", payload, 0, True)

    def first(self, serial: str, printer_id: str, payload: bytes) -> None:
        """Hand the first report of each printer on, and only listen from then on."""
        if serial not in self._told:
            self._told.add(serial)
            self.relay(serial, printer_id, payload)

    def _command(self, message: paho.MQTTMessage) -> None:
        serial = self._ids[message.topic.split("/")[1]]
        self._printers[serial].publish(f"device/{serial}/request", message.payload, 1)

    def run(self) -> None:
        """Run until killed."""
        while True:
            self._selector.step()


if __name__ == "__main__":
    bare = Bare(json.load(sys.stdin))
    bare.connect(bare.relay if sys.argv[1] == "relay" else bare.first)
    bare.run()
