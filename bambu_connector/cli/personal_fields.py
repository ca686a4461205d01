"""Which fields of a report and of the configuration say who and where somebody is, by the names of their keys."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bambu_connector.cli.masking import Masker
from bambu_connector.config import Config, PrinterConfig
from bambu_connector.logs import MARK
from bambu_connector.registry import Paired
from bambu_connector.secret import Secret

_KINDS: Final = {
    "file": ("subtask_name", "gcode_file", "file", "file_name", "task_name", "title", "plate_name", "tar_name"),
    "serial": ("sn", "serial", "dev_id", "dev_sn", "serial_number"),
    "address": ("ip", "dev_ip", "address", "host", "mask", "gateway"),
    "network": ("ssid", "wifi_ssid", "wifi_name", "ap_name", "bssid", "mac"),
    "printer": ("dev_name", "printer_name", "device_name"),
    "account": ("user", "username", "user_name", "user_id", "uid", "account", "email", "mail", "author", "nickname"),
    "task": (
        *("task_id", "subtask_id", "project_id", "profile_id", "design_id", "model_id", "job_id", "lan_task_id"),
        "queue_id",
    ),
    "spool": ("tray_uuid", "tag_uid"),
    "url": ("url", "oss_url", "rtsp_url", "timelapse_path", "path", "thumbnail"),
}
_KIND_OF: Final = MappingProxyType({key: kind for kind, keys in _KINDS.items() for key in keys})
_SECRET_KEY: Final = re.compile(r"access_?code|passw|token|auth_?key|ttcode|secret|private", re.IGNORECASE)
_SAYS_NOTHING: Final = re.compile(r"0*|disable|none|local", re.IGNORECASE)
# A text in a report that is none of these was typed by a person.
_MACHINE_MADE: Final = re.compile(r"[A-Za-z0-9_.:/+%-]{0,40}")
_FREE_BUT_HARMLESS: Final = frozenset({"tray_sub_brands", "product_name", "message", "told", "last_report"})
_MODULE_KEYS: Final = frozenset({"sw_ver", "hw_ver", "new_ver", "cur_ver", "ver"})
Tree = dict[str, Any]


def masked_report(masker: Masker, value: Any, key: str = "") -> Any:
    """Return a report, a delta or the modules without what is personal in them."""
    match value:
        case dict():
            is_module = not _MODULE_KEYS.isdisjoint(value)
            return {
                masker.text(each): masked_report(masker, below, "" if is_module and each == "name" else each)
                for each, below in value.items()
            }
        case list() | tuple():
            return [masked_report(masker, each, key) for each in value]
        case bool() | None:
            return value
        case str() if _SECRET_KEY.search(key):
            return MARK if value else value
        case str() | int() | float() if key in _KIND_OF or key == "name":
            return _aliased(masker, _KIND_OF.get(key, "printer"), value)
        case str() if not _MACHINE_MADE.fullmatch(value) and key not in _FREE_BUT_HARMLESS:
            return masker.alias("text", value)
        case _:
            return masker.tree(value)


def _aliased(masker: Masker, kind: str, value: str | float) -> Any:
    if isinstance(value, str):
        return value if _SAYS_NOTHING.fullmatch(value) else masker.alias(kind, value)
    return 0 if kind == "address" or not value else masker.alias(kind, str(value))


# -- the configuration -----------------------------------------------------------------------------

_CONFIGURED: Final[Mapping[str, str]] = MappingProxyType(
    {"serial": "serial", "id": "id", "name": "printer", "username": "account", "client_id": "client"}
)


def learn_names(masker: Masker, config: Config, known: Mapping[str, Paired]) -> None:
    """Have the masker know the names and addresses of all printers, and of Printago's broker, before it masks."""
    for serial in (*(each.serial for each in config.printers), *known):
        masker.alias("serial", serial)
    printers: tuple[PrinterConfig | Paired, ...] = (*config.printers, *known.values())
    for each in printers:
        for kind, value in (("id", each.id), ("printer", each.name)):
            if value is not None:
                masker.alias(kind, value)
        host_alias(masker, each.host)
    masker.alias("connector", config.connector.id)
    if config.printago is not None:
        host_alias(masker, config.printago.host)


def host_alias(masker: Masker, host: str | None) -> str | None:
    """Return what stands for a host, an address or a name; this computer's own loopback is no secret."""
    if not host or host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::"):
        return host
    if ":" in host or host.replace(".", "").isdecimal():
        return masker.alias("address", host)
    alias = masker.alias("host", host)
    masker.same(host.partition(".")[0], host)
    return alias


def masked_config(masker: Masker, value: Any, key: str = "") -> Any:
    """Return what a configuration or an entry of the registry says, as plain values without what is personal."""
    match value:
        case Secret():
            return MARK
        case Path():
            return masker.alias("path", str(value))
        case _ if is_dataclass(value):
            return {each.name: masked_config(masker, getattr(value, each.name), each.name) for each in fields(value)}
        case dict() | Mapping():
            return {masker.text(str(each)): masked_config(masker, below, str(each)) for each, below in value.items()}
        case list() | tuple() | frozenset():
            return [masked_config(masker, each, key) for each in value]
        case str() if _SECRET_KEY.search(key):
            return MARK
        case str() if key in _CONFIGURED:
            return masker.alias(_CONFIGURED[key], value)
        case str() if key in ("host", "allowed_hosts"):
            return host_alias(masker, value)
        case str() if key in ("commands", "messages", "availability"):
            return "/".join(_segment(masker, each) for each in value.split("/"))
        case _:
            return masker.tree(value)


def _segment(masker: Masker, segment: str) -> str:
    """Return a part of a topic; the words that all topics are made of stay."""
    if "{" in segment or segment in ("", "bambu", "commands", "mqtt", "printago"):
        return segment
    return masker.alias("topic", segment)
