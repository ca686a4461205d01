"""The entries of `printers:`."""

from typing import Final

from bambu_connector.bambu.identity import SERIAL
from bambu_connector.bambu.models import model_named
from bambu_connector.config import names
from bambu_connector.config.document import shown
from bambu_connector.config.reading import Section, closing
from bambu_connector.config.tree import Ports, PrinterConfig, PrinterTls, Quirks

_SIGNS: Final = {"1": 1, "+1": 1, "-1": -1}


def printers(root: Section) -> tuple[PrinterConfig, ...]:
    """Return all printers; serials and ids are unique."""
    found: list[PrinterConfig] = []
    owners: dict[str, PrinterConfig] = {}
    for node, path in root.items("printers"):
        with closing(Section(root.notes, node, path)) as entry:
            printer = _printer(entry)
            _check_unique(entry, printer, owners)
            found.append(printer)
    return tuple(found)


def _printer(entry: Section) -> PrinterConfig:
    serial = _serial(entry)
    with entry.section("ports") as ports, entry.section("quirks") as quirks, entry.section("tls") as tls:
        return PrinterConfig(
            serial=serial,
            id=names.identifier(entry, "id", serial),
            name=entry.optional_text("name"),
            model=_model(entry),
            host=names.host(entry, "host"),
            access_code=entry.secret("access_code"),
            ports=_ports(ports),
            quirks=_quirks(quirks),
            tls=_tls(tls),
        )


def _serial(entry: Section) -> str:
    serial = entry.required_text("serial")
    if not serial or SERIAL.fullmatch(serial):
        return serial
    if SERIAL.fullmatch(serial.upper()):
        entry.problem("serial", f"a serial is written in upper case: {shown(serial.upper())}")
    else:
        entry.problem(
            "serial",
            f"`{entry.raw('serial')}` is no serial; one has 15 digits and upper-case letters, such as 01P00A000000001, "
            "and stands on the printer's screen under Device",
        )
    return serial


def _check_unique(entry: Section, printer: PrinterConfig, owners: dict[str, PrinterConfig]) -> None:
    """Note serials and ids that an earlier entry has; a command may name a printer by either."""
    for key, value in (("serial", printer.serial), ("id", printer.id)):
        owner = owners.get(value)
        if owner is None or not value:
            continue
        if owner.serial == printer.serial:
            if key == "serial":
                entry.problem(key, "this printer stands in the list already; keep one of the entries")
            continue
        what = "id" if value == owner.id else "serial"
        entry.problem(key, f"another printer has this {what}; each needs one of its own")
    owners.setdefault(printer.serial, printer)
    owners.setdefault(printer.id, printer)


def _model(entry: Section) -> str | None:
    model = entry.optional_text("model")
    if model is not None and model_named(model) is None:
        entry.problem(
            "model",
            f"`{entry.raw('model')}` is no model known here; write it such as P1S, X1C, A1 mini or H2D, "
            "or remove the key: the printer tells it",
        )
    return model


def _ports(section: Section) -> Ports:
    usual = Ports()
    return Ports(
        mqtt=section.integer("mqtt", usual.mqtt, 1, 65535),
        ftps=section.integer("ftps", usual.ftps, 1, 65535),
        camera=section.integer("camera", usual.camera, 1, 65535),
        rtsps=section.integer("rtsps", usual.rtsps, 1, 65535),
    )


def _quirks(section: Section) -> Quirks:
    return Quirks(
        start_url=section.choice("start_url", ("ftp", "ftp3", "sdcard", "usb")),
        md5=section.boolean("md5", default=True) if section.has("md5") else None,
        ftps_protection=section.choice("ftps_protection", ("P", "C")),
        start_timeout=section.number("start_timeout", 180, 1, 3600) if section.has("start_timeout") else None,
        jog_signs=_jog_signs(section),
    )


def _jog_signs(section: Section) -> tuple[int, int, int] | None:
    """Return the signs of x, y and z, from a list of three or a mapping by axis in which 1 is the default."""
    if not section.has("jog_signs"):
        return None
    if section.is_mapping("jog_signs"):
        with section.section("jog_signs") as axes:
            texts = tuple(axes.text(axis, "1") for axis in ("x", "y", "z"))
    else:
        texts = section.texts("jog_signs") or ()
    signs = tuple(_SIGNS[text] for text in texts if text in _SIGNS)
    match signs:
        case (x, y, z) if len(texts) == 3:
            return x, y, z
    section.problem("jog_signs", "each axis has the sign 1 or -1: [1, -1, -1] or {x: 1, y: -1, z: -1}")
    return None


def _tls(section: Section) -> PrinterTls:
    fingerprint, ca_file = names.fingerprint(section, "fingerprint"), names.authority(section, "ca_file")
    verify = section.boolean("verify", default=True)
    if section.has("fingerprint") and section.has("ca_file"):
        section.problem("ca_file", "`fingerprint` is there as well; keep one of the two")
    if not verify:
        if section.has("fingerprint") or section.has("ca_file"):
            section.problem("verify", "false contradicts `fingerprint` and `ca_file`; keep one of them")
        section.warning(
            "verify", "the printer's certificate is not checked, so anybody in its network can read the access code"
        )
    return PrinterTls(fingerprint, ca_file, verify)
