"""Tells systemd how the service is doing (sd_notify), where it asked to be told."""

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends to `NOTIFY_SOCKET`; without it does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(microseconds) / 2_000_000 if microseconds.isdecimal() else None
        """How often to say that we are alive, half of what systemd allows; None: it did not ask."""

    def say(self, **fields: str | int) -> None:
        """Send fields such as READY=1 or STATUS=text."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        text = "\n".join(f"{key}={value}" for key, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.connect(address)
                channel.send(text.encode())
        except OSError as error:  # printers are served whether or not somebody wants to hear of it
            log.warning("systemd could not be told %s: %s", ", ".join(fields), error)
