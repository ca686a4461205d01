"""What is to be asked of the service to pair a printer, and what a person has to know before. Pure.

The access code is in no request here: it is added where the request leaves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from bambu_connector.bambu.identity import Connection
from bambu_connector.bambu.menus import developer_mode_advice
from bambu_connector.bambu.models import TRAITS, Model, Traits, model_named, model_of_serial, signing_expected
from bambu_connector.cli.candidates import Candidate, is_address, serial_of
from bambu_connector.cli.without_config import Records
from bambu_connector.config.merging import overridden
from bambu_connector.errors import IdentityMismatch, UsageError
from bambu_connector.registry import Paired
from bambu_connector.secret import Secret

Certificate = Literal["unchecked", "authority", "new", "same", "changed"]
_WRITTEN: Final = ("id", "name", "model", "host", "access_code", "ports")
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Who answers where. `fingerprint` None: the certificate is not checked, so it was not asked for."""

    serial: str
    host: str
    fingerprint: str | None
    name: str | None = None
    model_code: str | None = None
    connection: Connection | None = None
    firmware: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How one printer will be paired. `pinned` is the certificate that is trusted now."""

    candidate: Candidate
    located: Located
    certificate: Certificate
    pinned: str | None
    name: str
    traits: Traits
    known_code: Secret | None
    request: Tree
    warnings: tuple[str, ...] = ()
    """What is told before a code is asked for."""


def plan(candidate: Candidate, located: Located, ports: Mapping[str, int], records: Records) -> Plan:
    """Return how a printer that was located is paired.

    Raises UsageError when its id cannot be, and IdentityMismatch when connector.yaml pins another certificate.
    """
    configured = records.printer(located.serial)
    certificate, pinned = _certificate(located, records)
    _check_id(candidate, located.serial, records)
    name = candidate.name or (configured.name if configured else located.name)
    code = located.model_code if located.model_code and model_named(located.model_code) else None
    model = configured.model if configured and configured.model else code
    known_model = model_named(model) if model else None
    request = {
        "do": "pair",
        "serial": located.serial,
        "host": located.host,
        "fingerprint": located.fingerprint,
        "replaces": pinned if certificate == "changed" else None,
        "id": candidate.id,
        "name": name,
        "model": model,
        "ports": dict(ports),
    }
    traits = TRAITS[known_model or model_of_serial(located.serial)]
    called = name or located.serial
    return Plan(
        candidate=candidate,
        located=located,
        certificate=certificate,
        pinned=pinned,
        name=called,
        traits=traits,
        known_code=configured.access_code if configured else None,
        request=request,
        warnings=(*_namesake(called, located.serial, records), *_in_the_cloud(called, candidate, located, traits)),
    )


def _namesake(name: str, serial: str, records: Records) -> Iterator[str]:
    """Yield a sentence when another printer is called like this one."""
    others = [each.serial for each in records.config.printers if each.name == name and each.serial != serial]
    if others:
        yield f"{others[0]} is called {name} as well: give one of them another name"


def _in_the_cloud(name: str, candidate: Candidate, located: Located, traits: Traits) -> Iterator[str]:
    """Yield a sentence when the printer takes its orders from its maker's cloud."""
    if (located.connection or candidate.connection) != "cloud":
        return
    bound = f"{name} is bound to Bambu's cloud"
    firmware = located.firmware or candidate.firmware
    expected = signing_expected(traits, firmware)
    if expected is False:
        yield f"{bound}, which gives it orders as well"
    else:
        demands = f"its firmware ({firmware}) takes" if expected else "newer firmware takes"
        yield f"{bound}, and {demands} no commands from here then. {developer_mode_advice(traits).rstrip('.')}"


def known_as(name: str, records: Records) -> str | None:
    """Return the serial of the printer whose id or name this is; None when there is none, or it is an address.

    Raises UsageError for a name that several have.
    """
    if is_address(name):  # a name may come from the network: it must not stand in for another printer's address
        return None
    looks_like_a_serial = serial_of(name) is not None and model_of_serial(name) is not Model.GENERIC
    for key in ("id",) if looks_like_a_serial else ("id", "name"):
        found = [each.serial for each in records.config.printers if getattr(each, key) == name]
        if len(found) > 1:
            raise UsageError(f'{len(found)} printers are called "{name}": use the serial, one of {", ".join(found)}.')
        if found:
            return found[0]
    return None


def _certificate(located: Located, records: Records) -> tuple[Certificate, str | None]:
    tls = written.tls if (written := records.by_hand(located.serial)) else None
    if tls is not None and not tls.verify:
        return "unchecked", None
    if tls is not None and tls.ca_file is not None:
        return "authority", None
    shown = located.fingerprint
    if tls is not None and tls.fingerprint is not None:
        if tls.fingerprint != shown:
            raise IdentityMismatch(
                f"{located.serial} at {located.host} shows the certificate {shown}, and {records.written.path} pins"
                f" {tls.fingerprint}: if it was repaired or reset, change `tls.fingerprint` there, then pair it again."
            )
        return "same", shown
    known = records.known.get(located.serial)
    if known is None or known.fingerprint is None:
        return "new", None
    return ("same" if known.fingerprint == shown else "changed"), known.fingerprint


def _check_id(candidate: Candidate, serial: str, records: Records) -> None:
    wanted = candidate.id
    if wanted is None:
        return
    for each in records.config.printers:
        if each.serial != serial and wanted in {each.id, each.serial}:
            raise UsageError(f"The id {wanted} belongs to {each.name or each.serial} already: give another one.")
    written = records.by_hand(serial)
    if written is not None and written.id not in {serial, wanted}:
        raise UsageError(
            f"{records.written.path} gives {serial} the id {written.id}, which goes first: change it there instead."
        )


def out_of_date(result: Tree, code: Secret, ports: Mapping[str, int], records: Records) -> tuple[str, ...]:
    """Return a sentence for each key of connector.yaml that goes before what was just paired, and differs from it."""
    paired = Paired(
        serial=result["serial"],
        fingerprint=result["fingerprint"],
        host=result["host"],
        access_code=code,
        is_paired=True,
        id=result["id"],
        name=result["name"],
    )
    if ports:
        paired = replace(paired, ports=replace(paired.ports, **ports))
    return overridden(records.written, {paired.serial: paired})


def written_keys(serial: str, records: Records) -> list[str] | None:
    """Return which keys connector.yaml has for a printer; None when it does not stand there."""
    written = records.by_hand(serial)
    if written is None:
        return None
    bare = replace(written, id=serial, name=None, model=None, host=None, access_code=None, ports=type(written.ports)())
    return [key for key in _WRITTEN if getattr(written, key) != getattr(bare, key)]
