"""A virtual printer on the network: the pure machine behind an MQTT broker and an FTPS server."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from bambu_connector.bambu.ssdp import PORT
from bambu_connector.secret import Secret
from bambu_connector.virtual.announcer import EVERY_S
from bambu_connector.virtual.broker import PrinterBroker
from bambu_connector.virtual.camera import wire_of
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.ftps import Folder, Storage
from bambu_connector.virtual.identity import Identity
from bambu_connector.virtual.logins import Logins, Tries
from bambu_connector.virtual.models import Style, VirtualModel, find_model
from bambu_connector.virtual.pki import Authority
from bambu_connector.virtual.presence import Announcing, Presence
from bambu_connector.virtual.printer import Machine, Started
from bambu_connector.virtual.report import Fields

_TICK_S: Final = 0.1
_SCREEN_TITLE: Final = "Started at the screen"

log = logging.getLogger(__name__)


def random_serial(model: VirtualModel) -> str:
    """Return a serial that this model could have."""
    return f"{model.prefix}00A{secrets.randbelow(10**9):09d}"


def random_access_code() -> Secret:
    """Return eight digits."""
    return Secret(f"{secrets.randbelow(10**8):08d}")


def encode(message: Fields, style: Style, faults: Faults) -> bytes:
    """Return a message as this kind of printer writes it."""
    if "non-utf8" in faults:
        message = {group: {**body, "design_title": "caf\udce9"} for group, body in message.items()}
    text = json.dumps(message, ensure_ascii=False, indent=4 if style is Style.WHOLE else None)
    return text.encode("utf-8", "surrogateescape")


class VirtualPrinter:
    """A printer at `host` and `ports`, from `async with` to its end.

    Args:
        model: One of `models.MODELS`, in any spelling.
        serial: Default: a random one of the model's.
        access_code: Default: a random one.
        name: What its owner calls it; default: `Virtual` and the model.
        bind: The address to listen on.
        mqtt_port: 0 asks for a free one, as with all ports.
        ftps_port: Where its storage is.
        detect_port: Where it answers `login.detect` in clear; None: nowhere, as with those that follow.
        detect_tls_port: The same with TLS.
        camera_port: Its camera, of the kind that the model has; it proves its identity and shows no picture.
        announces: Whether it tells the network that it is there, and answers searches.
        announce_every: Seconds between announcements.
        announce_port: Where they go, and searches come from.
        speed: How much faster than a real one it heats and prints.
        faults: Names (or `NAME=VALUE`) of `faults.FAULTS`; `printer.faults` changes them later.
        layers: How many layers every print has; default: what its file says, else 20.
        print_seconds: How long every print takes at speed 1; default: what its file says, else 600.
        state_dir: Where the certificate and the files of this one printer are kept; default: a temporary folder.
        authority: Who signs its certificate; default: an authority of its own.
        on_news: Called with a sentence for each thing worth telling a person.

    Raises:
        UsageError: there is no such model or fault.
        ValueError: `bind` is not an IPv4 address.
        OSError: (from `async with` and `move`) the address or a port cannot be listened on.
    """

    def __init__(  # noqa: PLR0913 - each is one knob of the simulation, all but the model by name
        self,
        model: str = "P1S",
        *,
        serial: str | None = None,
        access_code: Secret | None = None,
        name: str | None = None,
        bind: str = "127.0.0.1",
        mqtt_port: int = 0,
        ftps_port: int = 0,
        detect_port: int | None = None,
        detect_tls_port: int | None = None,
        camera_port: int | None = None,
        announces: bool = False,
        announce_every: float = EVERY_S,
        announce_port: int = PORT,
        speed: float = 60.0,
        faults: Iterable[str] = (),
        layers: int | None = None,
        print_seconds: float | None = None,
        state_dir: Path | None = None,
        authority: Authority | None = None,
        on_news: Callable[[str], None] | None = None,
    ) -> None:
        self.model = find_model(model)
        self.serial = serial or random_serial(self.model)
        self.name = name or f"Virtual {self.model.name}"
        self._bind = bind
        self.host = _reached_at(bind)
        self.faults = Faults(faults)
        self._logins = Logins(access_code or random_access_code(), self.faults)
        wanted = {
            "mqtt": mqtt_port,
            "ftps": ftps_port,
            "detect": detect_port,
            "detect_tls": detect_tls_port,
            wire_of(self.model): camera_port,
        }
        self._ports = {wire: port for wire, port in wanted.items() if port is not None}
        self._temporary = tempfile.TemporaryDirectory(prefix="virtual-printer-") if state_dir is None else None
        self._folder = state_dir or Path(self._temporary.name if self._temporary else ".")
        self._authority = authority
        self._on_news = on_news or (lambda sentence: log.info("%s", sentence))
        self.authority_file = self._folder / "BBL-CA.crt"
        self.storage = self._folder / "storage"
        self.machine = Machine(
            self.model,
            self.serial,
            Folder(self.storage),
            self.faults,
            now=time.monotonic(),
            speed=speed,
            layers=layers,
            print_seconds=print_seconds,
        )
        announcing = Announcing(announce_port, announce_every) if announces else None
        self._presence = Presence(self.machine, self.name, self._logins, announcing)
        self._stack = contextlib.AsyncExitStack()
        self._wires = contextlib.AsyncExitStack()
        self._broker: PrinterBroker | None = None
        self._files: Storage | None = None
        self._connects = 0
        self._last_drop = time.monotonic()

    # -- life ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self._temporary is not None:
                stack.callback(self._temporary.cleanup)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._identity = Identity(self.serial, self._folder, self._authority, self.faults)
            self.authority_file = self._identity.authority.certificate
            stack.push_async_callback(self._close_wires)
            await self._open_wires()
            clock = asyncio.create_task(self._run_clock(), name=f"virtual printer {self.serial}")
            stack.push_async_callback(_cancelled, clock)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._presence.say_goodbye()
        await self._stack.aclose()

    async def _open_wires(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            tls = self._identity.context()
            broker = PrinterBroker(
                self.serial,
                self._logins,
                self._take,
                on_login=self._greet,
                faults=self.faults,
                tls=tls,
                bind=self._bind,
                port=self._ports["mqtt"],
            )
            await stack.enter_async_context(broker)
            self._ports["mqtt"] = broker.port
            files = Storage(self.storage, self._logins, tls, self.faults, self._uploaded)
            await files.start(self._bind, self._ports["ftps"])
            stack.push_async_callback(files.finish)
            self._ports["ftps"] = files.server_port
            await self._presence.open(self._bind, self._ports, self._identity, tls)
            stack.push_async_callback(self._presence.close)
            self._broker, self._files = broker, files
            self._wires = stack.pop_all()
        address = int.from_bytes(ipaddress.IPv4Address(self.host).packed, "little")
        self.machine.report.items("net", "info")[0]["ip"] = address

    async def _close_wires(self) -> None:
        self._broker = self._files = None
        await self._wires.aclose()

    async def _run_clock(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self._say(self.machine.tick(time.monotonic()))
            every = self.faults.value("disconnects")
            if every is not None and time.monotonic() - self._last_drop >= every:
                self._last_drop = time.monotonic()
                self.drop_connections()

    # -- what goes in and out -------------------------------------------------------------------------

    async def _take(self, payload: bytes) -> None:
        try:
            request = json.loads(payload)
        except ValueError:
            request = None
        if isinstance(request, dict):
            await self._say(self.machine.handle(request, time.monotonic()))

    def _greet(self) -> None:
        self._connects += 1
        self.machine.disturb()
        self._on_news("a client has connected")

    async def _say(self, messages: list[Fields]) -> None:
        for message in messages:
            if self._broker is not None:  # None: it is on the move
                await self._broker.report(encode(message, self.model.style, self.faults))
        news, self.machine.news[:] = list(self.machine.news), []
        for sentence in news:
            self._on_news(sentence)

    def _uploaded(self, path: str) -> None:
        self._on_news(f"received {path}")
        if "screen-start" in self.faults:
            self.faults.discard("screen-start")
            self._soon = asyncio.ensure_future(self.start_print_at_screen(_SCREEN_TITLE))

    # -- for tests ------------------------------------------------------------------------------------

    @property
    def ports(self) -> MappingProxyType[str, int]:
        """The ports it listens on: `mqtt`, `ftps`; where it has them `detect`, `detect_tls`, `camera` or `rtsps`."""
        return MappingProxyType(self._ports)

    @property
    def requests(self) -> list[Fields]:
        """Every request that came, oldest first."""
        return self.machine.requests

    @property
    def starts(self) -> list[Started]:
        """Every print that began, oldest first."""
        return self.machine.starts

    @property
    def sessions(self) -> int:
        """How many MQTT clients there are now."""
        return self._broker.sessions_now if self._broker is not None else 0

    @property
    def connects(self) -> int:
        """How many MQTT logins there have been."""
        return self._connects

    @property
    def credentials_seen(self) -> Mapping[str, Tries]:
        """How many logins were tried, right and wrong, on `mqtt`, `ftps` and `camera`."""
        return self._logins.seen

    @property
    def access_code(self) -> Secret:
        """What lets clients in; set, it changes as at the screen, and whoever is logged in is thrown out."""
        return self._logins.code

    @access_code.setter
    def access_code(self, code: Secret) -> None:
        self._logins.code = code
        self._throw_everybody_out()

    async def change_certificate(self) -> None:
        """Have another key and certificate for the same serial, as after a change of the board; nobody stays."""
        await asyncio.to_thread(self._identity.renew)
        self._throw_everybody_out()

    async def move(self, bind: str) -> None:
        """Go away here and be at the address `bind`, same ports, without a goodbye; as after a new DHCP lease.

        Raises:
            ValueError: `bind` is not an IPv4 address.
            OSError: the address or a port cannot be listened on.
        """
        host = _reached_at(bind)
        await self._close_wires()
        self._bind, self.host = bind, host
        await self._open_wires()

    async def start_print_at_screen(self, title: str = _SCREEN_TITLE) -> None:
        """Have somebody start a print at the screen; nothing happens while the printer is busy."""
        await self._say(self.machine.start_at_screen(title, time.monotonic()))

    async def change(self, **fields: Any) -> None:
        """Have fields of the report be what the test wants; what changed is reported at once."""
        await self._say(self.machine.change(fields, time.monotonic()))

    def drop_connections(self) -> None:
        """Break every MQTT connection, without a goodbye."""
        if self._broker is not None:
            self._broker.drop_connections()

    def _throw_everybody_out(self) -> None:
        self.drop_connections()
        if self._files is not None:
            self._files.drop_connections()
        self._presence.drop_connections()


def _reached_at(bind: str) -> str:
    """Return where somebody on this machine finds what is bound to `bind`; raises ValueError."""
    return "127.0.0.1" if ipaddress.IPv4Address(bind).is_unspecified else bind


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
