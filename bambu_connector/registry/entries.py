"""One entry of the file, as text and as what it means."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from bambu_connector.bambu.identity import SERIAL
from bambu_connector.config import Ports, document
from bambu_connector.config.document import Node, Plain, plain, shown
from bambu_connector.errors import ConfigError
from bambu_connector.sealing import Sealer, Unsealable
from bambu_connector.secret import Secret

_SEALED: Final = "sealed:"
_USUAL_PORTS: Final = Ports()
_PORT: Final = re.compile(r"0*[1-9][0-9]{0,4}")
_TRUTHS: Final = {"true": True, "false": False}
# The keys that are text, and what they must look like. A name may be whatever its owner gave the printer.
_TEXTS: Final[Mapping[str, re.Pattern[str]]] = {
    "id": re.compile(r"(?=.*\S)[^/+#\x00-\x1f\x7f-\x9f\u2028\u2029]{1,128}"),
    "name": re.compile(r".*", re.DOTALL),
    "model": re.compile(r".*", re.DOTALL),
    "host": re.compile(r"[^\s/@\[\]]+"),
    "fingerprint": re.compile(r"sha256:[0-9a-f]{64}"),
    "firmware": re.compile(r".*", re.DOTALL),
}
_Tree = dict[str, Any]


class Unsound(Exception):
    """The text is no registry; `line` is where that shows. Its sentence quotes nothing that may be a secret."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What is known of one printer; None: not known.

    `is_paired`: there is an access code for it in the file, readable or not, so it is a printer of ours without
    connector.yaml. `fingerprint` is `sha256:<hex>`; `host` is where it was paired, or found last.
    """

    serial: str
    fingerprint: str | None = None
    host: str | None = None
    access_code: Secret | None = None
    is_paired: bool = False
    id: str | None = None
    name: str | None = None
    model: str | None = None
    ports: Ports = _USUAL_PORTS
    developer_mode: bool | None = None
    firmware: str | None = None


_KNOWN: Final = frozenset(field.name for field in fields(Paired)) - {"serial", "is_paired"}


def read_entry(serial: str, line: int, node: Node, sealer: Sealer) -> Paired:
    """Return what an entry says; an access code that cannot be opened is None."""
    if not SERIAL.fullmatch(serial):
        raise Unsound(line, f"`{shown(serial)}` is no serial")
    entry = plain(node)
    if not isinstance(entry, dict):
        raise Unsound(line, f"the entry of {serial} cannot be understood: keys with values belong there")

    def unsound(key: str) -> Unsound:  # what stands there is not quoted: it may be an access code
        place = node.entries.get(key, (line,))[0] if isinstance(node, document.Mapping) else line
        return Unsound(place, f"the entry of {serial} cannot be understood: `{key}` is not what belongs there")

    found: _Tree = {}
    for key, form in _TEXTS.items():
        value = entry.get(key)
        if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
            raise unsound(key)
        found[key] = value
    code, mode, ports = entry.get("access_code"), entry.get("developer_mode"), _ports(entry.get("ports"))
    if code is not None and not (isinstance(code, str) and code):
        raise unsound("access_code")
    if mode is not None and not (isinstance(mode, str) and mode.lower() in _TRUTHS):
        raise unsound("developer_mode")
    if ports is None:
        raise unsound("ports")
    return Paired(
        serial=serial,
        access_code=_opened(code, serial, sealer) if code else None,
        is_paired=code is not None,
        developer_mode=_TRUTHS[mode.lower()] if mode else None,
        ports=ports,
        **found,
    )


def _opened(code: str, serial: str, sealer: Sealer) -> Secret | None:
    if not code.startswith(_SEALED):
        return Secret(code)
    try:
        return Secret(sealer.open(code.removeprefix(_SEALED), _about(serial)).decode("utf-8", "surrogatepass"))
    except Unsealable:
        return None


def _about(serial: str) -> str:
    return f"access_code of {serial}"


def _ports(value: Plain) -> Ports | None:
    """Return the ports, the usual ones where none are said; None when they cannot be understood."""
    if value is None:
        return Ports()
    if not isinstance(value, dict):
        return None
    given = {key: text for key, text in value.items() if key in asdict(Ports()) and text is not None}
    found: dict[str, int] = {}
    for key, text in given.items():
        if not isinstance(text, str) or not _PORT.fullmatch(text) or int(text) > 65535:
            return None
        found[key] = int(text)
    return replace(Ports(), **found)


def written_entry(paired: Paired, before: Paired | None, standing: Mapping[str, Plain], sealer: Sealer) -> _Tree:
    """Return what the file is to say of one printer; `before` and `standing` are what it says now."""
    entry: _Tree = {key: value for key in _TEXTS if (value := getattr(paired, key)) is not None}
    code = standing.get("access_code")
    if paired.access_code is not None:
        is_same = before is not None and before.access_code == paired.access_code
        if not (is_same and isinstance(code, str) and code.startswith(_SEALED)):
            raw = paired.access_code.reveal().encode("utf-8", "surrogatepass")
            code = _SEALED + sealer.seal(raw, _about(paired.serial))
        entry["access_code"] = code
    elif paired.is_paired and code is not None:
        entry["access_code"] = code
    usual = asdict(Ports())
    ports = {key: port for key, port in asdict(paired.ports).items() if port != usual[key]}
    ports |= {key: value for key, value in mapping(standing.get("ports")).items() if key not in usual}
    if ports:
        entry["ports"] = ports
    if paired.developer_mode is not None:
        entry["developer_mode"] = paired.developer_mode
    return entry | {key: value for key, value in standing.items() if key not in _KNOWN}


def clean(paired: Paired) -> Paired:
    """Return it without what is no text in any file: the halves of characters that undecodable bytes leave."""
    if not SERIAL.fullmatch(paired.serial):
        raise ConfigError(f"`{shown(paired.serial)}` is no serial, so nothing can be stored about it")
    texts: _Tree = {key: value for key in _TEXTS if isinstance(value := getattr(paired, key), str)}
    return replace(paired, **{key: value.encode("utf-8", "replace").decode() for key, value in texts.items()})


def mapping(value: Plain) -> dict[str, Plain]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
