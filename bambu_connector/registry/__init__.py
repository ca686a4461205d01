"""What is known of printers without connector.yaml: `printers.yaml` in the state directory.

Pairing writes it, and so does every contact that teaches something: which certificate a printer has, where it was found
last. It belongs to this program, and whoever edits it by hand must be able to: it is YAML, one mapping a serial. Keys
that this version does not know are kept as they are. Access codes are sealed with `secret.key` beside it; one that
somebody wrote there in clear is understood, and sealed when the file is written next.
"""

from bambu_connector.registry.entries import Paired
from bambu_connector.registry.registry import Registry

__all__ = ["Paired", "Registry"]
