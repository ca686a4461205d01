"""What is known of a printer, for whoever has to find out from afar what is wrong with it."""

import asyncio
from typing import Any, Final

from bambu_connector.bambu.report import VersionInfo, parse_report
from bambu_connector.bambu.request import GetVersion
from bambu_connector.errors import ConnectorError
from bambu_connector.service.unit import Unit

VERSION_S: Final = 5.0
_TOLD: Final = (
    "is_connected",
    "is_connecting",
    "is_online",
    "has_access_right",
    "verified",
    "last_report",
    "reconnects",
)
Tree = dict[str, Any]


async def facts_of(unit: Unit) -> Tree:
    """Return the serial, the model, the last folded report, how the session is, and the modules with their firmware.

    The modules are asked for, unless the printer has something better to do: they are null then.
    """
    printer = unit.printer
    error = printer.link_error
    link = printer.status()["machines"][0]["connection_info"]
    return {
        "serial": unit.config.serial,
        "model": printer.model.value,
        "firmware": printer.firmware,
        "sessions": printer.sessions,
        "reports": printer.reports,
        "report_age": printer.report_age,
        "link_error": None if error is None else {"type": type(error).__name__, "told": str(error)},
        "connection": {key: link[key] for key in _TOLD if key in link},
        "report": dict(printer.shown.report),
        "modules": await _modules(unit),
    }


async def _modules(unit: Unit) -> list[Tree] | None:
    printer = unit.printer
    if not printer.is_connected or printer.view is None or unit.jobs.start_is_out:
        return None
    heard: asyncio.Future[list[Tree]] = asyncio.get_running_loop().create_future()

    def hear(raw: bytes) -> None:
        message = parse_report(raw)
        if isinstance(message, VersionInfo) and not heard.done():
            heard.set_result([dict(each) for each in message.modules])

    printer.taps.add(hear)
    try:
        printer.send(GetVersion())
        async with asyncio.timeout(VERSION_S):
            return await heard
    except (ConnectorError, TimeoutError):
        return None
    finally:
        printer.taps.discard(hear)
