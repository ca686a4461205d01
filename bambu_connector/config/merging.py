"""connector.yaml and what pairing knows, as one configuration. What was written by hand goes first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from ipaddress import ip_address
from typing import Final, Protocol

from bambu_connector.config.document import shown
from bambu_connector.config.tree import Config, Ports, PrinterConfig
from bambu_connector.errors import ConfigError
from bambu_connector.secret import Secret

REGISTRY_FILE: Final = "printers.yaml"


class Known(Protocol):
    """What pairing knows of one printer; None: nothing. `registry.Paired` is one."""

    @property
    def serial(self) -> str:
        """The serial."""

    @property
    def is_paired(self) -> bool:
        """Whether it is a printer of ours without connector.yaml."""

    @property
    def id(self) -> str | None:
        """Printago's id."""

    @property
    def name(self) -> str | None:
        """What its owner calls it."""

    @property
    def model(self) -> str | None:
        """The model."""

    @property
    def host(self) -> str | None:
        """Where it was last."""

    @property
    def access_code(self) -> Secret | None:
        """The access code; None as well when it cannot be opened."""

    @property
    def fingerprint(self) -> str | None:
        """`sha256:<hex>` of the certificate that is trusted."""

    @property
    def ports(self) -> Ports:
        """Where its services listen."""


def merged(config: Config, entries: Mapping[str, Known]) -> Config:
    """Return the configuration with every printer that is paired, and each gap filled by what pairing knows.

    Of a printer that is only known, and neither paired nor in connector.yaml, nothing comes in. Raises ConfigError when
    two printers would have one id.
    """
    written = {each.serial for each in config.printers}
    printers = tuple(_filled(each, entries.get(each.serial)) for each in config.printers)
    printers += tuple(
        _filled(PrinterConfig(serial=serial, id=serial), known)
        for serial, known in entries.items()
        if known.is_paired and serial not in written
    )
    if problems := tuple(_clashes(config, printers)):
        raise ConfigError(*problems)
    return replace(config, printers=printers)


def overridden(config: Config, entries: Mapping[str, Known]) -> tuple[str, ...]:
    """Return a sentence for each key in connector.yaml that says something else than pairing knows."""
    return tuple(
        f"{printer.name or printer.serial}: `{key}` in {_place(config)} goes before what is in {REGISTRY_FILE}{why}"
        for printer in config.printers
        if (known := entries.get(printer.serial)) is not None
        for key, why in _differences(printer, known)
    )


def _filled(printer: PrinterConfig, known: Known | None) -> PrinterConfig:
    if known is None:
        return printer
    usual, learned = asdict(Ports()), asdict(known.ports)
    ports = {key: port if port != usual[key] else learned[key] for key, port in asdict(printer.ports).items()}
    return replace(
        printer,
        id=printer.id if printer.id != printer.serial else known.id or printer.serial,
        name=printer.name or _in_one_line(known.name),
        model=printer.model or _in_one_line(known.model),
        host=printer.host or known.host,
        access_code=printer.access_code or known.access_code,
        ports=Ports(**ports),
    )


def _in_one_line(text: str | None) -> str | None:
    """Return a text that may come from the network fit for logs and terminals; None when nothing is in it."""
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text or "")
    return clean.strip() or None


def _clashes(config: Config, printers: Sequence[PrinterConfig]) -> Iterator[str]:
    """Yield what is wrong with ids; a command may name a printer by its id or its serial, so neither is another's."""
    by_hand = {each.serial: each for each in config.printers}

    def place(printer: PrinterConfig, name: str) -> str:
        mine = by_hand.get(printer.serial)
        return _place(config) if mine is not None and name in {mine.id, mine.serial} else REGISTRY_FILE

    owners = {each.serial: each for each in printers}
    for printer in printers:
        owner = owners.setdefault(printer.id, printer)
        if owner.serial == printer.serial:
            continue
        what = "serial" if owner.serial == printer.id else "id as well"
        yield (
            f"{place(printer, printer.id)} gives {printer.serial} the id `{shown(printer.id)}`, and this is the "
            f"{what} of {owner.serial} in {place(owner, printer.id)}: give one of them another id"
        )


def _place(config: Config) -> str:
    return str(config.path or "connector.yaml")


def _is_address(host: str | None) -> bool:
    try:
        ip_address(host or "")
    except ValueError:  # a name leads to wherever the printer is
        return False
    return True


def _differences(printer: PrinterConfig, known: Known) -> Iterator[tuple[str, str]]:
    given: tuple[tuple[str, str | None, str | None], ...] = (
        ("id", printer.id if printer.id != printer.serial else None, known.id),
        ("name", printer.name, known.name),
        ("model", printer.model, known.model),
        ("host", printer.host if _is_address(printer.host) else None, known.host),
        ("tls.fingerprint", printer.tls.fingerprint, known.fingerprint),
    )
    for key, mine, theirs in given:
        if mine and theirs and mine != theirs:
            yield key, f" (`{shown(theirs)}`)" if key != "tls.fingerprint" else f" ({theirs})"
    if printer.access_code and known.access_code and printer.access_code != known.access_code:
        yield "access_code", ", which is another one"
    usual, mine_ports, their_ports = asdict(Ports()), asdict(printer.ports), asdict(known.ports)
    for key, port in mine_ports.items():
        if port != usual[key] and port != their_ports[key] != usual[key]:
            yield f"ports.{key}", f" ({their_ports[key]})"
