"""The one thing to do about a step that failed, on the way to a printer or to Printago."""

from types import MappingProxyType
from typing import Final

from bambu_connector.bambu.menus import access_code_advice, developer_mode_advice
from bambu_connector.bambu.models import Traits
from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    ConfigError,
    ConnectorError,
    DeveloperModeRequired,
    IdentityMismatch,
    Mute,
    NotAPrinter,
    StorageFull,
    StorageMissing,
    TooManyClients,
)

_DISCOVER: Final = "`bambu-connector discover` shows where it is now"
_RESTART: Final = "Switch the printer off and on; if it stays like that, look at its screen."

_AT_A_PRINTER: Final = MappingProxyType(
    {
        "name": f"Use its address instead of the name, or leave `host` out, so that it is looked for; {_DISCOVER}.",
        "tcp": f"Is it switched on, and in the same network as this computer? {_DISCOVER}.",
        "login": "Nothing but wait: the connector keeps trying. If it stays like that, switch the printer off and on.",
        "files": _RESTART,
        "upload": "Try once more; if it stays like that, format the card or stick at the printer's screen.",
        "camera": "Switch the printer off and on; printing does not need the camera.",
    }
)
_REFUSED: Final = MappingProxyType(
    {
        "tcp": f"If it has just been switched on, wait a minute; else another device has its address: {_DISCOVER}.",
        "files": "If it has just been switched on, wait a minute; else put a card or stick in and restart it.",
        "camera": "If it has just been switched on, wait a minute; else switch LAN Only Liveview on at its screen.",
    }
)
_AT_PRINTAGO: Final = MappingProxyType(
    {
        "name": "Correct printago.host, or see that this computer has a name server that works.",
        "tcp": "Is printago.host right, is this computer in the internet, and does no firewall stand in between?",
        "login": "Nothing but wait: the connector keeps trying.",
        "subscription": "Have the user of printago.username allowed to read the topics of printago.topics.commands.",
    }
)


def remedy(step: str, error: ConnectorError, *, traits: Traits, serial: str) -> str:
    """Return what to do about a printer."""
    match error:
        case AccessDenied():
            return f"{access_code_advice(traits)} Give it to the connector: bambu-connector pair {serial}"
        case ConfigError():
            return "Correct the file that is named; `bambu-connector check` looks at it."
        case DeveloperModeRequired():
            return developer_mode_advice(traits)
        case AnotherDevice() | NotAPrinter():
            return f"Another device has its address: {_DISCOVER} ({serial}); set its `host` to that, or leave it out."
        case IdentityMismatch():
            return f"If it was repaired or reset: `bambu-connector pair {serial}` shows both certificates and asks."
        case TooManyClients():
            return "Close the other programs that are connected to it (slicers, apps), or switch it off and on."
        case Mute():
            return f"Compare {serial} with the serial that the printer shows; small and capital letters count."
        case _:
            return _of_services(step, error)


def _of_services(step: str, error: ConnectorError) -> str:
    """Return what to do about a printer that is itself and lets us in."""
    if isinstance(error, StorageMissing):
        return "Put a card or stick in; if there is one, see whether it is full or write-protected."
    if isinstance(error, StorageFull):
        return "Delete files at the printer's screen."
    if was_refused(error) and step in _REFUSED:
        return _REFUSED[step]
    return _AT_A_PRINTER.get(step, _RESTART)


def printago_remedy(step: str, error: ConnectorError) -> str:
    """Return what to do about Printago's broker."""
    match error:
        case ConfigError():
            return "Correct the file that is named; `bambu-connector check` looks at the configuration."
        case AccessDenied():
            return "Compare printago.username and printago.password with what Printago shows."
        case IdentityMismatch():
            return "Do what it says; as long as it is so, nobody knows who would get the password."
        case NotAPrinter():
            return "Compare printago.port and printago.tls with what Printago shows: 8883 is usual with TLS, else 1883."
        case _:
            pass
    if step == "tcp" and was_refused(error):
        return "Compare printago.port with what Printago shows: that computer answers, and not on this port."
    return _AT_PRINTAGO.get(step, "Wait a minute and try again.")


def was_refused(error: BaseException) -> bool:
    """Say whether somebody is there and does not listen on that port."""
    return isinstance(error.__cause__, ConnectionRefusedError)
