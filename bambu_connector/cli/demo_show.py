"""The demo's cast and its script. Every message that passes is printed; what does not happen ends it with an error."""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import orjson
import yaml
from aiohttp import web

from bambu_connector.cli.wiring import printago_link, wires_of
from bambu_connector.config import Config, load
from bambu_connector.errors import ConnectorError
from bambu_connector.links.dial import Dialer
from bambu_connector.links.mqtt import MqttConnection
from bambu_connector.links.mqtt_login import Login
from bambu_connector.links.wire import Delivery
from bambu_connector.secret import Secret
from bambu_connector.service.clock import SystemClock
from bambu_connector.service.journal import Journal
from bambu_connector.service.lock import StateLock
from bambu_connector.service.notify import Notifier
from bambu_connector.service.supervisor import Supervisor
from bambu_connector.virtual.broker import PlainBroker
from bambu_connector.virtual.sample import sample_project
from bambu_connector.virtual.server import VirtualPrinter, random_access_code

Tree = dict[str, Any]
Say = Callable[[str], None]

_PRINTER: Final = "demo-printer"
_SPEED: Final = 40.0  # how much faster than a real printer: the whole show takes less than a minute
_STEP_S: Final = 30.0
_PRINT_S: Final = 120.0
_FILE: Final = "calibration cube.gcode.3mf"


class DidNotHappen(ConnectorError):
    """The demo waited for something in vain."""


class Ended(ConnectorError):
    """Whoever watched has had enough: Ctrl-C."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("The demo was ended before its end.")


class Stage:
    """What Printago would see: everything that the connector says, and a way to command it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._messages: list[Tree] = []
        self._news = asyncio.Event()
        self._connection: MqttConnection

    async def open(self, broker: PlainBroker, user: str, password: Secret, dialer: Dialer) -> None:
        """Log in at the broker and listen to everything."""
        login = Login(client_id="demo-printago", username=user, password=password)
        sock = await dialer.dial(broker.bind, broker.port, None)
        self._connection = await MqttConnection.open(sock, f"{broker.bind}:{broker.port}", login, self._take)
        await self._connection.subscribe(["bambu/#"], qos=1)

    async def close(self) -> None:
        """Leave."""
        await self._connection.close()

    def _take(self, delivery: Delivery) -> None:
        if delivery.topic.endswith("/commands"):
            return
        if delivery.topic.endswith("/mqtt"):
            self._say(f"  <- {delivery.topic}: {delivery.payload.decode()}")
            return
        message: Tree = orjson.loads(delivery.payload)
        self._messages.append(message)
        self._say(f"  <- {message['type']:<8} {summary(message)}")
        self._news.set()

    async def until(self, what: str, matches: Callable[[Tree], bool], within: float = _STEP_S) -> Tree:
        """Return the first message that matches, also of those that came already; raises DidNotHappen."""
        seen = 0
        try:
            async with asyncio.timeout(within):
                while True:
                    for message in self._messages[seen:]:
                        if matches(message):
                            return message
                    seen = len(self._messages)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise DidNotHappen(f"The demo waited {within:.0f} s in vain for {what}.") from None

    async def command(self, kind: str, action: str, parameters: Tree, within: float = _STEP_S) -> Tree:
        """Send a command and return its answer; raises DidNotHappen when it is refused."""
        command_id = str(uuid.uuid4())
        body = {"type": kind, "action": action, "parameters": parameters, "command_id": command_id}
        self._say(f"-> {kind}/{action} {orjson.dumps(parameters).decode() if parameters else ''}")
        await self._connection.publish(f"bambu/{_PRINTER}/commands", orjson.dumps(body), qos=1, retain=False)
        answer = await self.until(f"the answer to {action}", lambda each: each.get("command_id") == command_id, within)
        if answer["type"] == "error":
            raise DidNotHappen(f"{action} was refused: {answer['data']['error']}")
        return answer


def summary(message: Tree) -> str:
    """Return one line about a message."""
    data = message["data"]
    match message["type"]:
        case "status":
            machine, process = data["machines"][0], data["process"]
            current = machine["current"]
            heat = current["temperatures"]
            job = f", job {process['job_state']} {process['job_progress']} %" if process["job_state"] != "idle" else ""
            online = "online" if machine["connection_info"]["is_online"] else "offline"
            layer = f", layer {current['curr_layer']}/{current['total_layers']}" if current["total_layers"] else ""
            heats = f"nozzle {heat['nozzle_temp']} °C, bed {heat['bed_temp']} °C"
            return f"{online}, {current['print_status']}, {heats}{layer}{job}"
        case "event":
            return str(data["event"])
        case "success":
            return f"{message['command']}: {data['local_command_detail']}"
        case "error":
            return f"{message.get('command')}: {data['code']}: {data['error']}"
        case _:
            return f"{data.get('outcome', '')} {data.get('dev_name', '')} ({data.get('dev_id', '')})"


class Show:
    """Everything on one machine. `say` prints a line."""

    def __init__(self, say: Say) -> None:
        self._say = say

    async def run(self) -> None:
        """Play the whole show; raises DidNotHappen when anything did not, and Ended when the service was."""
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bambu-demo-")))
            dialer = Dialer()
            stack.callback(dialer.close)
            password = random_access_code()
            broker = await stack.enter_async_context(PlainBroker("demo", password))
            self._say(f"A broker in the place of Printago's listens on 127.0.0.1:{broker.port}.")
            printer = await stack.enter_async_context(VirtualPrinter("P1S", speed=_SPEED, on_news=self._news))
            self._say(f"A virtual P1S, {printer.serial}, listens on ports {dict(printer.ports)}.")
            stage = Stage(self._say)
            await stage.open(broker, "demo", password, dialer)
            stack.push_async_callback(stage.close)
            url = await stack.enter_async_context(_served(_project(printer)))
            config = _write_config(folder, broker, password, printer)
            running = await stack.enter_async_context(_service(config))
            self._say("The service runs.")
            await _unless_ended(self._script(stage, url), running)
        self._say("The print has finished, and everything was told as it happened.")

    def _news(self, sentence: str) -> None:
        self._say(f"     printer: {sentence}")

    async def _script(self, stage: Stage, url: str) -> None:
        await stage.until("the printer to come online", lambda each: _machine(each).get("is_online") is True)
        await stage.command("printer_control", "get_status", {})
        await stage.command("movement_control", "home", {})
        await stage.until("the axes to be homed", _is_homed)
        await stage.command("movement_control", "jog", {"axes": {"x": 10, "y": -5}})
        answer = await stage.command("printer_control", "start_print_bbl", {"url": url, "file_name": _FILE}, _PRINT_S)
        self._say(f"     started as {answer['data']['task_name']}")
        await stage.until("the print to finish", lambda each: each["data"].get("event") == "PrintDone", _PRINT_S)


async def _unless_ended(script: Coroutine[Any, Any, None], running: "asyncio.Task[None]") -> None:
    """Play the script for as long as the service runs, to which Ctrl-C goes; raises Ended when that ends first."""
    playing = asyncio.create_task(script)
    try:
        await asyncio.wait({playing, running}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        was_played = playing.done()
        playing.cancel()
        await asyncio.wait({playing})
    if not was_played:
        running.result()
        raise Ended
    playing.result()


def _machine(message: Tree) -> Tree:
    if message["type"] != "status":
        return {}
    found: Tree = message["data"]["machines"][0]["connection_info"]
    return found


def _is_homed(message: Tree) -> bool:
    return message["type"] == "status" and all(message["data"]["machines"][0]["state"]["homed"].values())


def _project(printer: VirtualPrinter) -> bytes:
    """Return a file for what lies in the virtual printer's first slot."""
    tray = printer.machine.report.fields["ams"]["ams"][0]["tray"][0]
    return sample_project(
        model=printer.model.code,
        info=tray["tray_info_idx"],
        kind=tray["tray_type"],
        color=f"#{tray['tray_color'][:6]}",
    )


@contextlib.asynccontextmanager
async def _served(content: bytes) -> AsyncIterator[str]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/cube.gcode.3mf", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/cube.gcode.3mf"
    finally:
        await runner.cleanup()


def _write_config(folder: Path, broker: PlainBroker, password: Secret, printer: VirtualPrinter) -> Config:
    tree = {
        "connector": {"id": "demo", "state_dir": str(folder / "state")},
        "printago": {
            "host": broker.bind, "port": broker.port, "tls": False, "username": "demo", "password": password.reveal(),
        },
        "printers": [
            {
                "serial": printer.serial, "id": _PRINTER, "name": "Demo P1S", "host": printer.host,
                "access_code": printer.access_code.reveal(),
                "ports": dict(printer.ports), "tls": {"ca_file": str(printer.authority_file)},
            }
        ],
        "downloads": {"allow_http": True, "allow_private_addresses": True},
        "web": {"listen": None},
    }  # fmt: skip
    path = folder / "connector.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return load(path, {})


@contextlib.asynccontextmanager
async def _service(config: Config) -> AsyncIterator["asyncio.Task[None]"]:
    assert config.printago is not None
    clock = SystemClock()
    with StateLock(config.connector.state_dir), wires_of(config) as wires:
        supervisor = Supervisor(
            config,
            wires,
            printago_link(config, config.printago, wires.uplink_dialer),
            journal=Journal.open_in(config.connector.state_dir, clock),
            clock=clock,
            notifier=Notifier({}),
        )
        running = asyncio.create_task(supervisor.run())
        try:
            yield running
        finally:
            supervisor.stop()
            await running
