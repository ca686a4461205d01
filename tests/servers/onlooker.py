"""An MQTT client that is not ours to test: paho with its own thread, so that it also works beside a loop."""

import queue
import ssl
import threading
from types import TracebackType
from typing import Any, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Onlooker:
    """Connected to a broker on this machine from the constructor to the end of the `with` block."""

    def __init__(
        self, port: int, *topics: str, user: str | None = None, password: str | None = None, tls: bool = False
    ) -> None:
        self._heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(user, password)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._client.tls_set_context(context)
            self._client.tls_insecure_set(True)
        self._client.on_message = lambda _client, _data, message: self._heard.put(message)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])
            assert self._subscribed.wait(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish and wait until the broker has it."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(5)

    def hear(self, timeout_s: float = 5.0) -> Any:
        """Return the next message; fail when none comes in time."""
        return self._heard.get(timeout=timeout_s)

    def silent(self) -> bool:
        """Whether nothing is waiting to be heard."""
        return self._heard.empty()
