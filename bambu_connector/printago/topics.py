"""Templates → topics, and back from a command's topic to the printer that it names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PRINTER = "{printer_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The configured templates, for one connector."""

    connector_id: str
    commands: tuple[str, ...]
    messages: str
    availability: str

    def _fill(self, template: str, printer_id: str, kind: str = "") -> str:
        # Replaced one by one: str.format would let a template reach into attributes.
        return (
            template.replace("{connector_id}", self.connector_id).replace("{type}", kind).replace(PRINTER, printer_id)
        )

    def message(self, printer_id: str, kind: str) -> str:
        """The topic of a message of `kind` about a printer (or, with the connector's id, about none)."""
        return self._fill(self.messages, printer_id, kind)

    def availability_topic(self) -> str:
        """The topic of `connected` and `disconnected`."""
        return self._fill(self.availability, self.connector_id)

    def command_routes(self, printer_ids: Iterable[str]) -> "Routes":
        """Return every topic to subscribe to; a template that names the printer gives one for each."""
        shared = {self._fill(each, "") for each in self.commands if PRINTER not in each}
        named = {
            self._fill(each, printer_id): printer_id
            for printer_id in printer_ids
            for each in self.commands
            if PRINTER in each
        }
        return Routes(frozenset(shared), named)


@dataclass(frozen=True, slots=True)
class Routes:
    """The command topics: those shared by all printers, and those that name one."""

    shared: frozenset[str]
    named: Mapping[str, str] = field(default_factory=dict)

    def topics(self) -> tuple[str, ...]:
        """Return all of them, sorted."""
        return tuple(sorted({*self.shared, *self.named}))

    def knows(self, topic: str) -> bool:
        """Say whether a topic is one of them."""
        return topic in self.shared or topic in self.named

    def printer_of(self, topic: str) -> str | None:
        """Return the id of the printer that a topic names, None for a shared one."""
        return self.named.get(topic)
