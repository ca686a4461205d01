"""A recorded printer read again: its report, what followed, and the status that Printago would be told."""

import json
from collections.abc import Iterable
from typing import Any, Final

import orjson

from bambu_connector.bambu.fold import fold
from bambu_connector.bambu.models import TRAITS, Model, model_named
from bambu_connector.bambu.report import PushStatus, Unrecognised, parse_report
from bambu_connector.bambu.view import View
from bambu_connector.translate.situation import Situation
from bambu_connector.translate.status import NO_PROCESS, Link, Tree, status_data

VIRTUAL_MODULE: Final = "virtual"
"""The module in `get_version` by which a virtual printer says what it is; no real one has it."""

_NAME: Final = "Recorded"


def is_virtual(modules: Iterable[Tree]) -> bool:
    """Say whether these modules of `get_version` are those of a virtual printer."""
    return any(module.get("name") == VIRTUAL_MODULE for module in modules)


def message_in(raw: bytes) -> Tree | None:
    """Return a message of the report topic as JSON, as it came; None when nobody can read it."""
    if isinstance(parse_report(raw), Unrecognised):
        return None
    try:
        message: Tree = orjson.loads(raw)
    except orjson.JSONDecodeError:
        message = {}
    return message or _read_leniently(raw)


def _read_leniently(raw: bytes) -> Tree | None:
    """Read invalid UTF-8 and NaN, which some firmware sends; None for what could not be written as JSON again."""
    try:
        message: Tree = orjson.loads(orjson.dumps(json.loads(raw.decode("utf-8-sig", "replace"))))
    except (ValueError, TypeError):
        return None
    return message


def report_in(message: Tree) -> Tree | None:
    """Return the report, full or not, that a message is; None when it is something else."""
    parsed = parse_report(orjson.dumps(message))
    return parsed.fields if isinstance(parsed, PushStatus) else None


def replayed(messages: Iterable[Tree]) -> Tree | None:
    """Return the report after these messages; None while there was no full one."""
    folded: Tree | None = None
    for message in messages:
        report = report_in(message)
        folded = folded if report is None else fold(folded, report)
    return folded


def recorded_status(report: Tree, *, serial: str, model: str, firmware: str | None) -> Tree:
    """Return the status of a connected printer of this model that says `report`, with no address of its own."""
    traits = TRAITS[model_named(model) or Model.GENERIC]
    view = View(report, traits)
    link = Link(
        serial=serial,
        name=_NAME,
        host="",
        is_connecting=False,
        is_online=True,
        has_access_right=True,
        verified=True,
        last_report=None,
        reconnects=0,
        firmware=firmware,
    )
    now = Situation(traits=traits, connected=True, view=view, developer_mode=view.developer_mode, report_age=0.0)
    status: dict[str, Any] = status_data(now, link, NO_PROCESS, view)
    return status
