"""The printers that were seen, however they were: announcements, answers and probes put together by serial."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from bambu_connector.bambu.identity import Connection
from bambu_connector.bambu.models import TRAITS, Traits, model_named, model_of_serial, signing_expected
from bambu_connector.errors import ConfigError

if TYPE_CHECKING:
    from bambu_connector.bambu.ssdp import Announcement
    from bambu_connector.cli.main import Settings
    from bambu_connector.config import Config
    from bambu_connector.links.identify import Identified

FoundBy = Literal["announcement", "search", "probe"]
Tree = dict[str, Any]
_MOST: Final = 2000  # anybody can announce printers that do not exist
_MOST_PLACES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is known of one printer by looking at the network. None: nobody said."""

    serial: str
    host: str
    found_by: FoundBy
    """How it was found first."""
    model_code: str | None = None
    name: str | None = None
    signal_dbm: int | None = None
    connection: Connection | None = None
    firmware: str | None = None

    @property
    def traits(self) -> Traits:
        """What is known of its model, by what it says it is, else by its serial."""
        named = model_named(self.model_code) if self.model_code else None
        return TRAITS[named or model_of_serial(self.serial)]


@dataclass(frozen=True, slots=True)
class Ours:
    """What is known of printers here: which are paired, what they are called, and whether Developer Mode was on."""

    paired: frozenset[str] = frozenset()
    names: Mapping[str, str | None] = field(default_factory=dict)
    developer_mode: Mapping[str, bool | None] = field(default_factory=dict)


def known(settings: "Settings") -> "tuple[Config, Ours]":
    """Return the configuration, which need not exist, and what is known of printers.

    Raises ConfigError only for a configuration that was named.
    """
    from bambu_connector.config import default
    from bambu_connector.config.merging import merged

    try:
        written, entries = settings.sources(needs_file=False)
        config = merged(written, entries)
    except ConfigError as error:
        if settings.names_a_file:
            raise
        click.echo(f"warning: which printers are paired is not known: {error}", err=True)
        config, entries = default(settings.environ), {}
    settings.warn(config.warnings)
    return config, Ours(
        paired=frozenset(each.serial for each in config.printers if each.access_code is not None)
        | frozenset(serial for serial, each in entries.items() if each.is_paired),
        names={each.serial: each.name for each in config.printers},
        developer_mode={serial: each.developer_mode for serial, each in entries.items()},
    )


class Sightings:
    """Collects what is seen; the newest word counts, and what it does not say stays as it was known."""

    def __init__(self) -> None:
        self._seen: dict[str, Sighting] = {}
        self._places: dict[str, list[str]] = {}

    def hear(self, announcement: "Announcement") -> None:
        """Take an announcement; who says goodbye is no longer here."""
        each = announcement
        if each.is_goodbye:
            self._seen.pop(each.serial, None)
            return
        self._add(
            Sighting(
                serial=each.serial,
                host=each.host,
                found_by="search" if each.is_answer else "announcement",
                model_code=each.model_code,
                name=each.name,
                signal_dbm=each.signal_dbm,
                connection=each.connection,
                firmware=each.firmware,
            )
        )

    def probed(self, identified: "Identified") -> None:
        """Take what a probe found."""
        seen = Sighting(serial=identified.serial, host=identified.host, found_by="probe")
        if (told := identified.detected) is not None:
            seen = replace(
                seen, model_code=told.model_code, name=told.name, connection=told.connection, firmware=told.firmware
            )
        self._add(seen, is_probed=True)

    def contested(self) -> tuple[str, ...]:
        """Return a sentence for each serial that was seen at several addresses: it may be that somebody lies."""
        return tuple(
            f"{serial} was seen at {' and at '.join(places)}: unless it moved, or has a cable and Wi-Fi, one of them is"
            f" somebody else, so compare with its screen:  bambu-connector pair {serial} --host ADDRESS"
            for serial, places in sorted(self._places.items())
            if len(places) > 1
        )

    def _add(self, seen: Sighting, *, is_probed: bool = False) -> None:
        """Add it, unless there are too many; of probes there are no more than addresses."""
        before = self._seen.get(seen.serial)
        if before is None and len(self._seen) >= _MOST and not is_probed:
            return
        if seen.serial in self._places or len(self._places) < _MOST:
            places = self._places.setdefault(seen.serial, [])
            if seen.host not in places and len(places) < _MOST_PLACES:
                places.append(seen.host)
        self._seen[seen.serial] = seen if before is None else _updated(before, seen)

    def rows(self, ours: Ours) -> list[Tree]:
        """Return one tree for each printer, by name and then serial; those without a name are last."""
        rows = [_row(each, ours) for each in self._seen.values()]
        return sorted(rows, key=lambda row: (row["name"] is None, (row["name"] or "").casefold(), row["serial"]))


def controllable(row: Tree) -> bool | None:
    """Say whether a printer obeys us; None: not known. What needs no signature needs no Developer Mode, on the LAN."""
    if row["developer_mode"] is not None:
        return bool(row["developer_mode"])
    seen = TRAITS[model_named(row["model_code"] or "") or model_of_serial(row["serial"])]
    return True if row["connection"] == "lan" and signing_expected(seen, row["firmware"]) is False else None


def _updated(before: Sighting, seen: Sighting) -> Sighting:
    news = {each.name: getattr(seen, each.name) for each in fields(seen) if each.name != "found_by"}
    return replace(before, **{key: value for key, value in news.items() if value is not None})


def _row(seen: Sighting, ours: Ours) -> Tree:
    developer_mode = ours.developer_mode.get(seen.serial)
    if seen.connection == "cloud" and signing_expected(seen.traits, seen.firmware):
        developer_mode = False  # there is none outside LAN-only mode
    return {
        "serial": seen.serial,
        "name": seen.name or ours.names.get(seen.serial),
        "model": seen.traits.display_name,
        "model_code": seen.model_code or seen.traits.code or None,
        "host": seen.host,
        "signal_dbm": seen.signal_dbm,
        "connection": seen.connection,
        "firmware": seen.firmware,
        "paired": seen.serial in ours.paired,
        "developer_mode": developer_mode,
        "found_by": seen.found_by,
    }
