"""What `pair` asks for, checked: it comes through a socket that a whole group may use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from bambu_connector.bambu.identity import SERIAL
from bambu_connector.bambu.models import model_named
from bambu_connector.config import Ports, PrinterConfig, PrinterTls
from bambu_connector.errors import IdentityMismatch, UsageError
from bambu_connector.secret import Secret

# What moves a cursor or turns a line around.
_UNFIT: Final = r"\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_ID: Final = re.compile(rf"[^/+#{_UNFIT}]{{1,128}}")
_HOST: Final = re.compile(rf"[^\s/@\[\]{_UNFIT}]{{1,253}}")
_FINGERPRINT: Final = re.compile(r"sha256:[0-9a-f]{64}")
_TEXT: Final = re.compile(rf"[^{_UNFIT}]{{1,128}}")
_CODE: Final = re.compile(r"[\x21-\x7e]{1,64}")
_PORT_NAMES: Final = frozenset(each.name for each in fields(Ports))
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRequest:
    """One printer that is to be paired. None: nothing was said, so what is known stays.

    `fingerprint` is what the person has accepted, or was shown: who shows another one is not told the access code.
    `replaces` is the one that was trusted until now, if the person was shown that it has changed.
    """

    serial: str
    host: str
    access_code: Secret
    fingerprint: str | None
    replaces: str | None
    id: str | None
    name: str | None
    model: str | None
    ports: Mapping[str, int]

    @classmethod
    def of(cls, request: Tree) -> "PairRequest":
        """Read a request; the access code is taken out of it. Raises UsageError, which never quotes it."""
        code = request.pop("access_code", None)
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise UsageError("There is no access code, or one with characters that none has.")
        model = _text(request, "model", _TEXT)
        if model is not None and model_named(model) is None:
            raise UsageError(f"{model} is no model that is known here.")
        serial, host = _text(request, "serial", SERIAL), _text(request, "host", _HOST)
        if serial is None or host is None:
            raise UsageError("To pair a printer its serial and its address must be known.")
        return cls(
            serial=serial,
            host=host,
            access_code=Secret(code),
            fingerprint=_text(request, "fingerprint", _FINGERPRINT),
            replaces=_text(request, "replaces", _FINGERPRINT),
            id=_text(request, "id", _ID),
            name=_text(request, "name", _TEXT),
            model=model,
            ports=_ports(request.get("ports")),
        )

    def tried(self, base: PrinterConfig, trusted: str | None) -> PrinterConfig:
        """Return what is to be tried: `base` with what was asked for; its id stays. `trusted` is the pin that holds.

        Raises UsageError when nothing says whose certificate is right, and IdentityMismatch when another one is trusted
        than the person was told.
        """
        tls = base.tls
        if tls.verify and tls.ca_file is None:
            if self.fingerprint is None and trusted is None:
                raise UsageError(
                    f"Whose certificate is that of {self.serial} must be said: its fingerprint is missing."
                )
            if self.fingerprint not in {None, trusted}:
                if trusted is not None and self.replaces != trusted:
                    raise IdentityMismatch(
                        f"The certificate of {self.serial} has changed, and nobody was asked whether that is right: it"
                        f" was {trusted}, and now it is {self.fingerprint}. Pair it as the service's user, who will be."
                    )
                tls = PrinterTls(fingerprint=self.fingerprint)
        return replace(
            base,
            host=self.host,
            access_code=self.access_code,
            name=self.name or base.name,
            model=self.model or base.model,
            ports=replace(base.ports, **self.ports),
            tls=tls,
        )


def _text(request: Tree, key: str, form: re.Pattern[str]) -> str | None:
    value = request.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not form.fullmatch(value):
        raise UsageError(f"`{key}` is not what it must be.")
    return value


def _ports(given: Any) -> Mapping[str, int]:
    found = {} if given is None else given
    if not isinstance(found, dict) or not all(
        key in _PORT_NAMES and type(port) is int and 0 < port < 65536 for key, port in found.items()
    ):
        raise UsageError("`ports` are names with numbers from 1 to 65535.")
    return found
