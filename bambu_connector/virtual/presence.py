"""How a virtual printer is found, and told from others: announcements, `login.detect`, and the port of its camera."""

import contextlib
import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass

from bambu_connector.bambu.detect import Detected
from bambu_connector.bambu.identity import Connection
from bambu_connector.bambu.lenient import whole
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.virtual.announcer import Announcer
from bambu_connector.virtual.camera import PictureLogin, hang_up_on_the_first_word
from bambu_connector.virtual.detect import CIPHERS, Answering
from bambu_connector.virtual.identity import Identity
from bambu_connector.virtual.listener import Listener, Serve
from bambu_connector.virtual.logins import Logins
from bambu_connector.virtual.printer import Machine


@dataclass(frozen=True, slots=True)
class Announcing:
    """To which UDP port a printer announces itself, and how often in seconds."""

    port: int
    every: float


class Presence:
    """What one printer says of itself to anybody, wherever it is."""

    def __init__(self, machine: Machine, name: str, logins: Logins, announcing: Announcing | None) -> None:
        self._machine, self._name, self._logins = machine, name, logins
        self._announcing = announcing
        self._announcer: Announcer | None = None
        self._listeners: list[Listener] = []
        self._stack = contextlib.AsyncExitStack()

    async def open(self, bind: str, ports: MutableMapping[str, int], identity: Identity, tls: ssl.SSLContext) -> None:
        """Listen on those of its wires that `ports` names, and write there which were found; raises OSError."""
        answering = Answering(self.detected, self._machine.faults)
        wires: dict[str, tuple[Serve, ssl.SSLContext | None]] = {
            "detect": (answering, None),
            "detect_tls": (answering, identity.context(CIPHERS)),
            "camera": (PictureLogin(self._logins), tls),
            "rtsps": (hang_up_on_the_first_word, tls),
        }
        async with contextlib.AsyncExitStack() as stack:
            for wire in [each for each in ports if each in wires]:
                serve, context = wires[wire]
                listener = Listener(serve)
                ports[wire] = await listener.open(bind, ports[wire], context)
                stack.push_async_callback(listener.close)
                self._listeners.append(listener)
            if self._announcing is not None:
                announcer = Announcer(
                    self.announced, self._machine.faults, port=self._announcing.port, every=self._announcing.every
                )
                await announcer.open(bind)
                stack.push_async_callback(announcer.close)
                self._announcer = announcer
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Go, without a goodbye."""
        self._announcer = None
        self._listeners.clear()
        await self._stack.aclose()

    def say_goodbye(self) -> None:
        """Tell everybody that the printer goes."""
        if self._announcer is not None:
            self._announcer.say_goodbye()

    def drop_connections(self) -> None:
        """Break every connection, without a goodbye."""
        for listener in self._listeners:
            listener.drop_connections()

    @property
    def firmware(self) -> str:
        """The version that the machine tells."""
        return next(str(module["sw_ver"]) for module in self._machine.version if module["name"] == "ota")

    def detected(self) -> Detected:
        """Return what `login.detect` answers."""
        return Detected(
            serial=self._machine.serial,
            model_code=self._machine.model.code,
            name=self._name,
            firmware=self.firmware,
            connection=self._connection,
            is_bound=self._is_bound,
        )

    def announced(self, host: str) -> Announcement:
        """Return what is announced at the address `host`."""
        return Announcement(
            serial=self._machine.serial,
            model_code=self._machine.model.code,
            host=host,
            name=self._name,
            signal_dbm=whole(str(self._machine.report.get("wifi_signal")).removesuffix("dBm")),
            connection=self._connection,
            is_bound=self._is_bound,
            firmware=self.firmware,
        )

    @property
    def _connection(self) -> Connection:
        return "cloud" if self._is_bound else "lan"

    @property
    def _is_bound(self) -> bool:
        return "cloud" in self._machine.faults
