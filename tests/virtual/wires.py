"""Real clients for a virtual printer: paho for MQTT, ftplib for implicit FTPS."""

import asyncio
import ftplib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from bambu_connector.bambu.ssdp import GROUP, Announcement, parse_announcement
from bambu_connector.secret import Secret
from bambu_connector.virtual.report import Fields
from bambu_connector.virtual.server import VirtualPrinter

PATIENCE_S = 10.0


def trusting(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority)
    return context


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in threads and servers that set no event
            await asyncio.sleep(0.01)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine of a test."""
    asyncio.run(test)


class Client:
    """An MQTT client that keeps what it was told; its methods may be called from the loop."""

    def __init__(
        self,
        printer: VirtualPrinter,
        *,
        code: Secret | None = None,
        topic: str | None = None,
        version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
        client_id: str = "",
    ) -> None:
        self.printer = printer
        self.heard: list[Fields] = []
        self.raw: list[bytes] = []
        self.connacks: list[str] = []
        self.subacks: list[str] = []
        self.pubacks: list[int] = []
        self.disconnects = 0
        self._topic = topic or f"device/{printer.serial}/report"
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version)
        self._mqtt.username_pw_set("bblp", (code or printer.access_code).reveal())
        self._mqtt.tls_set_context(trusting(printer.authority_file))
        self._mqtt.on_connect = self._greet
        self._mqtt.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subacks.append(str(reasons[0]))
        self._mqtt.on_publish = lambda _c, _u, number, _r, _p: self.pubacks.append(number)
        self._mqtt.on_disconnect = lambda *_: self._count_disconnect()
        self._mqtt.on_message = lambda _c, _u, message: self._hear(bytes(message.payload))

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._mqtt.connect, self.printer.host, self.printer.ports["mqtt"])
        self._thread = threading.Thread(target=self._mqtt.loop_forever, kwargs={"retry_first_connection": False})
        self._thread.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._mqtt.disconnect()
        await asyncio.to_thread(self._thread.join)

    def _greet(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self.connacks.append(str(reason))
        if not reason.is_failure:
            client.subscribe(self._topic)

    def _count_disconnect(self) -> None:
        self.disconnects += 1
        self._mqtt.disconnect()

    def _hear(self, payload: bytes) -> None:
        self.raw.append(payload)
        self.heard.append(json.loads(payload.decode("utf-8", "replace")))

    def send(self, group: str, command: str, **fields: Any) -> None:
        self.publish(
            f"device/{self.printer.serial}/request",
            json.dumps({group: {"sequence_id": "20001", "command": command, **fields}}).encode(),
        )

    def publish(self, topic: str, payload: bytes) -> None:
        self._mqtt.publish(topic, payload, qos=1)

    async def subscribed(self) -> None:
        await until(lambda: bool(self.subacks))

    def replies(self, group: str, command: str) -> list[Fields]:
        """Return the messages heard that carry this command."""
        return [each[group] for each in self.heard if each.get(group, {}).get("command") == command]

    async def reply(self, group: str, command: str) -> Fields:
        """Wait for the first message that carries this command."""
        await until(lambda: bool(self.replies(group, command)))
        return self.replies(group, command)[0]


class ImplicitFtps(ftplib.FTP_TLS):
    """FTPS that is encrypted from the first byte."""

    def __init__(self, printer: VirtualPrinter, code: Secret | None = None) -> None:
        super().__init__(context=trusting(printer.authority_file), timeout=PATIENCE_S)
        self.host, self.port = printer.host, printer.ports["ftps"]
        self.sock = self.context.wrap_socket(socket.create_connection((self.host, self.port), PATIENCE_S))
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        try:
            ftplib.FTP.login(self, "bblp", (code or printer.access_code).reveal())
        except ftplib.Error:
            self.close()
            raise
        self.prot_p()
        self.voidcmd("TYPE I")


class Ears:
    """Hears what is sent to a UDP port at one address of this machine; 0.0.0.0 is all, and the group as well."""

    def __init__(self, port: int, at: str = "0.0.0.0", *, interface: str = "127.0.0.1") -> None:
        self.heard: list[tuple[bytes, str]] = []
        """What came, and from which address."""
        self.port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        self._socket.setblocking(False)
        self._socket.bind((at, port))
        if at in ("0.0.0.0", GROUP):
            joined = socket.inet_aton(GROUP) + socket.inet_aton(interface)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._socket, self._hear)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _hear(self) -> None:
        datagram, (source, _) = self._socket.recvfrom(65536)
        self.heard.append((datagram, source))

    def say(self, datagram: bytes, host: str, port: int | None = None) -> None:
        self._socket.sendto(datagram, (host, port or self.port))

    def announcements(self) -> list[Announcement]:
        """Return what was announced, oldest first."""
        found = [parse_announcement(datagram, source) for datagram, source in self.heard]
        return [each for each in found if each is not None]


def free_udp_port() -> int:
    """Return a UDP port that nobody has just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        return int(sock.getsockname()[1])


async def certificate_of(host: str, port: int, *, ciphers: str | None = None) -> bytes:
    """Return the certificate, in DER, that somebody shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(der, bytes)
        return der
    finally:
        writer.transport.abort()
