"""The wires as fakes: a virtual printer without sockets, a storage in a dictionary, a broker in a list."""

import asyncio
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from bambu_connector.bambu.models import Traits
from bambu_connector.bambu.ssdp import Announcement
from bambu_connector.config import PrinterConfig
from bambu_connector.errors import DownloadFailed, FileInvalid, LinkError, Unreachable
from bambu_connector.links.wire import Delivery, Downloaded, Progress, StoredFile
from bambu_connector.registry import Paired
from bambu_connector.sealing import Sealer
from bambu_connector.secret import Secret
from bambu_connector.service.journal import Journal
from bambu_connector.service.memory import Learned
from bambu_connector.service.store import Batch, Opening, RecordKey, StoreFailed
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.models import find_model
from bambu_connector.virtual.printer import Machine
from tests.service.fake_prober import FakeProber
from tests.simulated import InlineExecutor

Fields = dict[str, Any]
T = TypeVar("T")

LATENCY_S: Final = 0.02
TICK_S: Final = 1.0
WALL_AT_ZERO: Final = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
FINGERPRINT: Final = f"sha256:{'ab' * 32}"
_STARTS: Final = frozenset({"project_file", "gcode_file"})
_HARMLESS: Final = frozenset({"pushing", "info"})


class FakeClock:
    """All clocks follow the (simulated) loop; `wall_ahead` sets the one on the wall wrong."""

    def __init__(self) -> None:
        self.wall_ahead = 0.0
        self.boots = 1
        self.is_sure = True

    def boot(self) -> str:
        return f"boot-{self.boots}"

    def since_boot(self) -> float:
        return self.monotonic()

    def wall_is_sure(self) -> bool:
        return self.is_sure

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return WALL_AT_ZERO + self.monotonic() + self.wall_ahead


class Gate:
    """Somewhere to wait: open, until a test closes it."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = 0

    def close(self) -> None:
        """Let nobody pass."""
        self._open.clear()

    def open(self) -> None:
        """Let everybody pass."""
        self._open.set()

    async def passed(self) -> None:
        """Wait until it is open."""
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1


class GatedExecutor(InlineExecutor):
    """Works at once; while `is_closed` says so, it takes work and does it when it is opened."""

    def __init__(self) -> None:
        self.is_closed: Callable[[], bool] = lambda: False
        self._waiting: list[Callable[[], None]] = []

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        if not self.is_closed():
            return super().submit(work, *args, **kwargs)
        future: Future[T] = Future()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - as every executor does
                future.set_exception(error)

        self._waiting.append(do)
        return future

    def open(self) -> None:
        """Do what waits, and everything that comes."""
        self.is_closed = lambda: False
        while self._waiting:
            self._waiting.pop()()


# -- files -----------------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


class FakeStorage:
    """Files in memory. `failures` maps a method's name to what it raises; `gates` holds one for each method."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failures: dict[str, Exception] = {}
        self.gates = {name: Gate() for name in ("put", "fetch", "remove", "size", "list_folder")}
        self.calls: list[tuple[str, str]] = []
        self.most_at_once = 0
        self.ignores_cancelling = False
        self._at_once = 0

    def open(self, path: str) -> BinaryIO | None:
        """Return a file as the printer reads it."""
        return io.BytesIO(self.files[path]) if path in self.files else None

    async def _enter(self, method: str, name: str) -> None:
        self.calls.append((method, name))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(LATENCY_S)
            await self._pass(method)
            if method in self.failures:
                raise self.failures[method]
        finally:
            self._at_once -= 1

    async def _pass(self, method: str) -> None:
        while True:
            try:
                await self.gates[method].passed()
                return
            except asyncio.CancelledError:
                if not self.ignores_cancelling:
                    raise

    async def put(self, source: Path, name: str, progress: Progress) -> None:
        content = _read(source)
        # As on a real one, a file is there from its first byte on, and stays when the transfer breaks.
        self.files[name] = content[: len(content) // 2]
        progress(len(content) // 2, len(content))
        await self._enter("put", name)
        self.files[name] = content
        progress(len(content), len(content))

    async def fetch(self, name: str, target: Path, progress: Progress, max_bytes: int) -> None:
        await self._enter("fetch", name)
        if name not in self.files or len(self.files[name]) > max_bytes:
            raise FileInvalid(f"There is no such file: {name}.")
        _write(target, self.files[name])
        progress(len(self.files[name]), len(self.files[name]))

    async def remove(self, name: str) -> bool:
        await self._enter("remove", name)
        return self.files.pop(name, None) is not None

    async def size(self, name: str) -> int | None:
        await self._enter("size", name)
        return len(self.files[name]) if name in self.files else None

    async def list_folder(self, folder: str) -> tuple[StoredFile, ...]:
        await self._enter("list_folder", folder)
        return tuple(StoredFile(name, len(content), None) for name, content in sorted(self.files.items()))


class FakeDownloader:
    """What can be fetched, by URL: bytes, or what is raised. A URL that is not there cannot be."""

    def __init__(self) -> None:
        self.offers: dict[str, bytes | Exception] = {}
        self.gate = Gate()
        self.fetched: list[str] = []
        self.hands_over = False

    def hand_over(self) -> None:
        self.hands_over = True

    async def fetch(self, url: Secret, target: Path, progress: Progress) -> Downloaded:
        self.fetched.append(url.reveal())
        await asyncio.sleep(LATENCY_S)
        await self.gate.passed()
        content = self.offers.get(url.reveal(), DownloadFailed("The server says 404."))
        if isinstance(content, Exception):
            raise content
        _write(target, content)
        progress(len(content), len(content))
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Downloaded(target, len(content), md5, hashlib.sha256(content).hexdigest())


# -- a printer's wire ------------------------------------------------------------------------------


def is_report(message: Fields) -> bool:
    """Say whether this is a report, and no reply."""
    body = message.get("print")
    return isinstance(body, dict) and body.get("command") == "push_status"


def is_reply(message: Fields) -> bool:
    """Say whether this is the reply to something that could have done something."""
    return not is_report(message) and "info" not in message


class FakePrinterConnection:
    """One session: what is sent goes to the virtual printer, what that says comes back after `LATENCY_S`."""

    def __init__(self, printer: "FakePrinter", on_report: Callable[[bytes], None]) -> None:
        self._printer = printer
        self._on_report = on_report
        self._why: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.fingerprint: str | None = printer.fingerprint
        self.address: str | None = printer.address
        self.verified = printer.verified

    @property
    def is_open(self) -> bool:
        """It was neither closed nor broken."""
        return not self._why.done()

    def send(self, payload: bytes, qos: int = 1) -> None:
        if not self.is_open:
            raise Unreachable("The session is gone.")
        self._printer.take(payload, qos)

    def say(self, message: bytes) -> None:
        """Hand a report on; a bug in whoever takes it ends the session, as on the real wire."""
        if not self.is_open:
            return
        try:
            self._on_report(message)
        except Exception as error:  # noqa: BLE001 - as the real one does
            self.end(error)

    def end(self, why: Exception) -> None:
        """Break."""
        if self.is_open:
            self._why.set_result(why)

    async def closed(self) -> Exception:
        return await asyncio.shield(self._why)

    async def close(self) -> None:
        self.end(Unreachable("We closed the session."))


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that we published: when (monotonic), and what."""

    at: float
    group: str
    command: str
    body: Fields
    qos: int


class FakePrinter:
    """A virtual printer at the other end of a wire that the test can cut; also the link to it."""

    def __init__(
        self, model: str = "P1S", serial: str = "01P00A000000001", *, faults: Iterable[str] = (), speed: float = 10.0
    ) -> None:
        self.row = find_model(model)
        self.serial = serial
        self.faults = Faults(faults)
        self.storage = FakeStorage()
        self.machine = Machine(self.row, serial, self.storage, self.faults, now=self._now(), speed=speed)
        self.sent: list[Sent] = []
        self.connections: list[FakePrinterConnection] = []
        self.refusals: list[Exception] = []
        """What the next attempts to connect raise, one each."""
        self.refusal: Exception | None = None
        """What every attempt raises."""
        self.attempts: list[float] = []
        self.gate = Gate()
        self.fingerprint: str | None = FINGERPRINT
        self.address: str | None = None
        self.verified = True
        self.withholds: Callable[[Fields], bool] = lambda _message: False
        """Which of its messages get lost."""
        self.loses: Callable[[Fields], bool] = lambda _message: False
        """Which of our requests get lost."""
        self.stands_still = False
        self._tick()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # -- the link --

    async def connect(self, on_report: Callable[[bytes], None]) -> FakePrinterConnection:
        self.attempts.append(self._now())
        await asyncio.sleep(LATENCY_S)
        await self.gate.passed()
        refusal = self.refusals.pop(0) if self.refusals else self.refusal
        if refusal is not None:
            raise refusal
        self.machine.disturb()
        connection = FakePrinterConnection(self, on_report)
        self.connections.append(connection)
        return connection

    def take(self, payload: bytes, qos: int) -> None:
        """Take what a connection was told to send."""
        ((group, body),) = json.loads(payload).items()
        self.sent.append(Sent(self._now(), group, body["command"], body, qos))
        asyncio.get_running_loop().call_later(LATENCY_S, self._handle, {group: body})

    def _handle(self, message: Fields) -> None:
        if not self.loses(message):
            self._say(self.machine.handle(message, self._now()))

    def _tick(self) -> None:
        if not self.stands_still:
            self._say(self.machine.tick(self._now()))
        asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _say(self, messages: Iterable[Fields]) -> None:
        for message in messages:
            if not self.withholds(message):
                self.say(json.dumps(message).encode())

    # -- what a test does --

    def say(self, message: bytes) -> None:
        """Say something on the report topic."""
        for connection in self.connections:
            connection.say(message)

    def change(self, **fields: object) -> None:
        """Have the report say something else from now on."""
        self._say(self.machine.change(fields, self._now()))

    def start_at_screen(self, title: str = "Benchy") -> None:
        """Have somebody start a print at the screen."""
        self._say(self.machine.start_at_screen(title, self._now()))

    def drop(self, why: Exception | None = None) -> None:
        """Break the session."""
        for connection in self.connections:
            connection.end(why or Unreachable("The connection broke."))

    @property
    def is_connected(self) -> bool:
        """There is an open session."""
        return any(connection.is_open for connection in self.connections)

    @property
    def state(self) -> str:
        """The `gcode_state` as it is."""
        return self.machine.rig.state

    def commands(self, *names: str) -> list[Sent]:
        """Return what was published: all of it, or only these commands."""
        return [each for each in self.sent if not names or each.command in names]

    @property
    def starts(self) -> list[Sent]:
        """The starts that we published."""
        return self.commands(*_STARTS)

    @property
    def stops(self) -> list[Sent]:
        """The stops that we published."""
        return self.commands("stop")

    @property
    def acts(self) -> list[Sent]:
        """Whatever we published that could have done something: all but questions."""
        return [each for each in self.sent if each.group not in _HARMLESS]


@dataclass(slots=True)
class FakeMemory:
    """What is remembered, by serial."""

    pinned: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    turned_out: dict[str, Learned] = field(default_factory=dict)
    failure: Exception | None = None

    def wants(self, serial: str) -> bool:
        return serial not in self.pinned

    def remember(self, serial: str, fingerprint: str) -> None:
        if self.failure is not None:
            raise self.failure
        assert serial not in self.pinned
        self.pinned[serial] = fingerprint

    def place(self, serial: str) -> str | None:
        return self.places.get(serial)

    def moved(self, serial: str, host: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.places[serial] = host

    def learned(self, news: Mapping[str, Learned]) -> None:
        if self.failure is not None:
            raise self.failure
        self.turned_out |= news


@dataclass
class FakeUplink:
    """How the connection to Printago is."""

    is_connected: bool = False
    error: LinkError | None = None
    protocol: str | None = None


class FakeBook:
    """Which printers are paired, in memory. `failure` is what storing raises."""

    def __init__(self) -> None:
        self.paired: dict[str, Paired] = {}
        self.failure: Exception | None = None

    def entries(self) -> Mapping[str, Paired]:
        return dict(self.paired)

    def entry(self, serial: str) -> Paired | None:
        return self.paired.get(serial)

    def store(self, paired: Paired) -> None:
        if self.failure is not None:
            raise self.failure
        self.paired[paired.serial] = paired

    def forget(self, serial: str) -> bool:
        return self.paired.pop(serial, None) is not None


class FakeEars:
    """Hears what a test announces; `searches` are the places that were asked, each time."""

    def __init__(self) -> None:
        self.hear: Callable[[Announcement], None] = lambda _announcement: None
        self.searches: list[tuple[str, ...]] = []
        self.troubles: tuple[str, ...] = ()
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    def search(self, hosts: Sequence[str] = ()) -> None:
        assert self.is_open
        self.searches.append(tuple(hosts))

    def close(self) -> None:
        self.is_open = False

    def announce(self, serial: str, host: str, **more: Any) -> None:
        """Let a printer be heard."""
        if self.is_open:
            self.hear(Announcement(serial=serial, model_code="C12", host=host, **more))


class NobodyThere:
    """An address where no printer is."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def connect(self, on_report: Callable[[bytes], None]) -> FakePrinterConnection:
        await asyncio.sleep(LATENCY_S)
        raise Unreachable(f"nobody answers at {self._host}")


class FakeWires:
    """The links of a farm. A printer whose serial is in `where` is at that address only; `asked` is who was tried."""

    def __init__(self, printers: Iterable[FakePrinter]) -> None:
        self.printers = {printer.serial: printer for printer in printers}
        self.downloader = FakeDownloader()
        self.memory = FakeMemory()
        self.registry = FakeBook()
        self.prober = FakeProber()
        self.files = GatedExecutor()
        self.heard = FakeEars()
        self.where: dict[str, str] = {}
        self.asked: list[tuple[str, PrinterConfig]] = []

    def ears(self, hear: Callable[[Announcement], None]) -> FakeEars:
        self.heard.hear = hear
        return self.heard

    def link(self, printer: PrinterConfig) -> "FakePrinter | NobodyThere":
        assert printer.host is not None
        self.asked.append((printer.host, printer))
        if self.where.get(printer.serial, printer.host) != printer.host:
            return NobodyThere(printer.host)
        return self.printers[printer.serial]

    def storage(self, printer: PrinterConfig, traits: Traits) -> FakeStorage:
        return self.printers[printer.serial].storage


class FakeStore:
    """What is on disk, in memory. `failure` is raised by every method; `commits` are the batches so far."""

    def __init__(self) -> None:
        self.records: dict[RecordKey, bytes] = {}
        self.digests: dict[bytes, bytes] = {}
        self.failure: StoreFailed | None = None
        self.opening = Opening.NEW
        self.commits: list[Batch] = []
        self.committed: Callable[[], None] = lambda: None
        self.is_dead = False
        """The process that wrote to it was killed: nothing more gets here."""

    def _pass(self) -> None:
        if self.failure is not None:
            raise self.failure

    def open(self) -> tuple[Opening, Mapping[RecordKey, bytes]]:
        self._pass()
        opening, self.opening = self.opening, Opening.BROKEN_OFF
        return opening, dict(self.records)

    def commit(self, batch: Batch) -> None:
        if self.is_dead:
            return
        self._pass()
        for key, body in batch.records.items():
            if body is None:
                self.records.pop(key, None)
            else:
                self.records[key] = body
        self.digests |= {each.key: each.digest for each in batch.commands}
        self.commits.append(batch)
        self.committed()

    def begin_anew(self) -> None:
        self.failure = None
        self.records, self.digests = {}, {}

    def digest(self, key: bytes) -> bytes | None:
        self._pass()
        return self.digests.get(key)

    def close(self, *, in_order: bool) -> None:
        self._pass()
        if in_order:
            self.opening = Opening.CLOSED


def fake_journal(folder: Path, clock: FakeClock, store: FakeStore | None = None) -> Journal:
    """Return an open journal whose store is in memory; its key is in `folder`. Job numbers count from 4711."""
    folder.mkdir(parents=True, exist_ok=True)
    store = store or FakeStore()
    store.records.setdefault(("counter", "job"), b'{"last":4710}')
    journal = Journal(store, Sealer(folder / "secret.key"), clock, InlineExecutor())
    journal.open()
    return journal


# -- Printago's broker -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Published:
    """One message that reached the broker (or was on its way when the session broke)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def message(self) -> Fields:
        """The payload, read."""
        read: Fields = json.loads(self.payload)
        return read


class FakePrintagoConnection:
    """One session with the broker."""

    def __init__(self, broker: "FakePrintago", on_delivery: Callable[[Delivery], None]) -> None:
        self._broker = broker
        self._on_delivery = on_delivery
        self._why: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._unconfirmed: list[asyncio.Future[None]] = []
        self.protocol = "5"
        self.topics: list[str] = []
        self.acknowledged: list[Delivery] = []

    @property
    def is_open(self) -> bool:
        """It was neither closed nor broken."""
        return not self._why.done()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> "asyncio.Future[None]":
        if not self.is_open:
            raise Unreachable("The session is gone.")
        self._broker.published.append(Published(topic, payload, qos, retain))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if qos == 0:
            future.set_result(None)
        else:
            self._unconfirmed.append(future)
            if self._broker.confirms:
                asyncio.get_running_loop().call_later(LATENCY_S, self._confirm, future)
        return future

    def _confirm(self, future: "asyncio.Future[None]") -> None:
        if not future.done():
            future.set_result(None)

    def deliver(self, delivery: Delivery) -> None:
        """Bring a message of a command topic."""
        self._on_delivery(delivery)

    def acknowledge(self, delivery: Delivery) -> None:
        if self.is_open:
            self.acknowledged.append(delivery)

    async def subscribe(self, topics: Sequence[str]) -> None:
        for early in self._broker.early:
            self.deliver(early)
        self._broker.early.clear()
        await asyncio.sleep(LATENCY_S)
        if self._broker.subscription_refusal is not None:
            raise self._broker.subscription_refusal
        self.topics += topics

    def unsubscribe(self, topics: Sequence[str]) -> None:
        if not self.is_open:
            raise Unreachable("The session is gone.")
        self._broker.unsubscribed += topics
        self.topics = [each for each in self.topics if each not in topics]

    def end(self, why: Exception) -> None:
        """Break: what was not confirmed never will be."""
        if not self.is_open:
            return
        self._why.set_result(why)
        for future in self._unconfirmed:
            if not future.done():
                future.set_exception(why)
                _ = future.exception()

    async def closed(self) -> Exception:
        return await asyncio.shield(self._why)

    async def close(self) -> None:
        self.end(Unreachable("We closed the session."))


class FakePrintago:
    """Printago's broker and the link to it. `confirms`: whether it acknowledges what is published."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.connections: list[FakePrintagoConnection] = []
        self.refusal: LinkError | None = None
        self.subscription_refusal: LinkError | None = None
        self.confirms = True
        self.early: list[Delivery] = []
        """What the broker kept for us: comes with the subscription."""
        self.attempts: list[float] = []
        self.unsubscribed: list[str] = []
        self._tokens = 0

    async def connect(self, on_delivery: Callable[[Delivery], None]) -> FakePrintagoConnection:
        self.attempts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(LATENCY_S)
        if self.refusal is not None:
            raise self.refusal
        self.connections.append(FakePrintagoConnection(self, on_delivery))
        return self.connections[-1]

    def delivery(
        self, topic: str, message: object, *, retain: bool = False, dup: bool = False, qos: int = 1
    ) -> Delivery:
        """Return a message as it comes from the broker; bytes are sent as they are."""
        self._tokens += 1
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        return Delivery(topic, payload, qos, retain, dup, self._tokens)

    def send(self, topic: str, message: object) -> Delivery:
        """Bring a command on the newest session."""
        delivery = self.delivery(topic, message)
        self.connections[-1].deliver(delivery)
        return delivery

    def drop(self) -> None:
        """Break the session."""
        self.connections[-1].end(Unreachable("The broker went away."))

    def on(self, topic: str) -> list[Published]:
        """Return what was published on a topic."""
        return [each for each in self.published if each.topic == topic]
