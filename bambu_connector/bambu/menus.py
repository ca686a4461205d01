"""Where on a printer's screen a person finds what only a person can do there, as sentences.

The way through the menus is a column of the model table. Firmware moves menus now and then, so each sentence also names
what to look for.
"""

from typing import Final

from bambu_connector.bambu.models import Traits

_SOMEWHERE: Final = "in the network settings on the printer's screen"


def network_page(traits: Traits) -> str:
    """Return where the switches for the local network and the access code are, as `under A > B on the …`."""
    return f"under {traits.menu_lan_only} on the printer's screen" if traits.menu_lan_only else _SOMEWHERE


def developer_mode_advice(traits: Traits) -> str:
    """Return the sentences that tell how a printer comes to obey whoever has its access code."""
    return (
        f"Switch on LAN Only Mode and then Developer Mode, {network_page(traits)}, and read the access code there"
        " again: it may be a new one."
    )


def access_code_advice(traits: Traits) -> str:
    """Return the sentence that tells where the access code is shown."""
    return f"The access code (8 characters) is shown {network_page(traits)}; it changes when LAN Only Mode is switched."
