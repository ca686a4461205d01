"""The Unix socket through which the command line asks a running service: one JSON object a line, each way."""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final

import orjson

from bambu_connector.errors import ConfigError, ConnectorError, Internal, PrinterOffline, UnknownPrinter
from bambu_connector.service.farm import Farm
from bambu_connector.service.ports import UplinkState

SOCKET_NAME: Final = "control.sock"
_MAX_LINE: Final = 4 * 1024 * 1024
_MODE: Final = 0o660
_GONE_S: Final = 0.5  # how soon it is noticed that whoever asked has hung up
log = logging.getLogger(__name__)
Tree = dict[str, Any]


class Control:
    """Serves the socket. Every answer is an object with what was asked for, or with `error`."""

    def __init__(self, farm: Farm, uplink: UplinkState) -> None:
        self._farm = farm
        self._uplink = uplink
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._breakable: set[asyncio.Task[None]] = set()
        """What is broken off when the service ends: everything but commands, which get their answer."""

    async def start(self, state_dir: Path) -> None:
        """Listen; a socket that a dead service left is replaced (the caller holds the state directory's lock).

        Raises ConfigError when there can be no socket.
        """
        path = state_dir / SOCKET_NAME
        path.unlink(missing_ok=True)
        before = os.umask(0o777 & ~_MODE)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path, limit=_MAX_LINE)
        except OSError as error:  # the kernel takes about 100 characters
            raise ConfigError(
                f"The socket {path} cannot be made: {error.strerror or error}."
                " Set connector.state_dir to a shorter path."
            ) from error
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) & ~_MODE == 0

    async def stop(self, state_dir: Path) -> None:
        """Stop listening; who is connected already is refused from now on."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        (state_dir / SOCKET_NAME).unlink(missing_ok=True)
        for each in self._breakable:
            each.cancel()

    async def ended(self, within: float) -> None:
        """Wait until what was broken off has put everything back, but not longer than `within` seconds."""
        if self._breakable:
            await asyncio.wait(self._breakable, timeout=within)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
                while line := await reader.readline():
                    await self._answer_to_the_end(line, reader, writer)
        finally:
            writer.close()

    async def _answer_to_the_end(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, unless whoever asked goes away: nobody is to be paired when nobody sees how it goes."""
        answering = asyncio.create_task(self._answer(line, writer))
        answering.add_done_callback(self._breakable.discard)
        try:
            while not answering.done() and not reader.at_eof():
                await asyncio.wait({answering}, timeout=_GONE_S)
        finally:
            answering.cancel()
            await asyncio.wait({answering})
        if not answering.cancelled():
            answering.result()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        async with aclosing(self._answers(line)) as answers:
            async for answer in answers:
                writer.write(orjson.dumps(answer) + b"\n")
                await writer.drain()

    async def _answers(self, line: bytes) -> AsyncGenerator[Tree, None]:
        try:
            if self._stopping:
                raise PrinterOffline("The service is being stopped.")
            request = orjson.loads(line)
            match request:
                case {"do": "status", "printer": str() | None as name}:
                    wanted = self._wanted(name)
                    yield {"status": self._status(wanted), "reasons": self._reasons(wanted)}
                case dict():
                    if request.get("do") != "send" and (task := asyncio.current_task()) is not None:
                        self._breakable.add(task)
                    async with aclosing(self._long_answers(request)) as answers:
                        async for answer in answers:
                            yield answer
                case _:
                    raise _not_understood()
        except orjson.JSONDecodeError:
            yield _error(Internal("The service was sent something that is not JSON."))
        except ConnectorError as error:
            yield _error(error)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            yield _error(PrinterOffline("The service is being stopped."))

    def _long_answers(self, request: Tree) -> AsyncGenerator[Tree, None]:
        match request:
            case {"do": "send", "printer": str(name), "message": dict(message)}:
                return self._farm.carry_out(self._find(name), message)
            case {"do": "pair" | "unpair"}:
                from bambu_connector.service import pairing

                return pairing.answers(self._farm, request)
            case {"do": "doctor"}:
                from bambu_connector.service import doctor

                return doctor.answers(self._farm, request, uplink=self._uplink)
            case {"do": "record"}:
                from bambu_connector.service import recording

                return recording.answers(self._farm, request)
            case _:
                raise _not_understood()

    def _find(self, name: str) -> str:
        found = self._farm.dispatcher.resolve(name)
        if found is None:
            raise UnknownPrinter(f'There is no printer "{name}" here.')
        return found

    def _wanted(self, name: str | None) -> list[str]:
        return [self._find(name)] if name else list(self._farm.units)

    def _status(self, wanted: list[str]) -> Tree:
        return {printer_id: self._farm.units[printer_id].printer.status() for printer_id in wanted}

    def _reasons(self, wanted: list[str]) -> Tree:
        """Return why printers are not connected, where that is known."""
        errors = {printer_id: self._farm.units[printer_id].printer.link_error for printer_id in wanted}
        return {printer_id: _error(error) for printer_id, error in errors.items() if error is not None}


def _not_understood() -> Internal:
    return Internal("The service does not understand this command line: are both of one version?")


def _error(error: ConnectorError) -> Tree:
    return {"error": str(error), "code": error.code, "exit_code": error.exit_code}
