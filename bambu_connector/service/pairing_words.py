"""Why a printer could not be paired, as a sentence for the person who stands in front of it."""

from bambu_connector.bambu.menus import access_code_advice
from bambu_connector.bambu.models import Traits
from bambu_connector.errors import AccessDenied, LinkError, Mute, NotAPrinter, TooManyClients, Unreachable


def explained(error: LinkError, *, name: str, place: str | None, traits: Traits) -> LinkError:
    """Return the same kind of error with what it was and what to do; one that says so already as it is."""
    said = str(error).rstrip(".")
    match error:
        case AccessDenied():
            return AccessDenied(f"{name} at {place} refuses the access code. {access_code_advice(traits)}")
        case TooManyClients():
            return TooManyClients(
                f"{said}: too many programs are connected to the printer. Close some (slicers, apps, another"
                " connector), or switch the printer off and on."
            )
        case Mute():
            return Mute(f"{said}. Compare the serial with the one on its screen, and switch it off and on.")
        case NotAPrinter():
            return NotAPrinter(f"{said}. Is the address right? `bambu-connector discover` shows the printers.")
        case Unreachable():
            return Unreachable(f"{said}. Is it switched on, and in the same network as this computer?")
        case _:
            return error
