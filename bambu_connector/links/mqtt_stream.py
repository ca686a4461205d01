"""The connected socket as paho sees it: read a record at a time, with giant messages cut short on their way in."""

import contextlib
import socket
import ssl
from typing import Any, Final

from bambu_connector.links.mqtt_trim import PacketTrimmer

# What a TLS record holds at most: OpenSSL gives no more at once, and what is in here is handled in one go.
_READ_BYTES: Final = 16 * 1024


class TrimmedSocket:
    """A non-blocking socket whose incoming bytes pass through a `PacketTrimmer`.

    paho reads a packet in three or four small pieces; here they cost a slice instead of a call into OpenSSL.
    """

    def __init__(self, sock: socket.socket, trimmer: PacketTrimmer) -> None:
        self._sock = sock
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._trimmer = trimmer
        self._waiting = b""
        self._at = 0
        self.alert: str | None = None
        """OpenSSL's word for why the peer ended TLS, such as `TLSV13_ALERT_CERTIFICATE_REQUIRED`."""

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, b"" at the end; raises BadPacketError and what a socket raises.

        BlockingIOError also where everything that came was dropped.
        """
        at = self._at
        piece = self._waiting[at : at + count]
        if piece:
            self._at = at + len(piece)
            return piece
        return self._receive(count)

    def pending(self) -> bool:
        """Whether there may be something to read that no selector tells of."""
        return self._at < len(self._waiting) or (self._tls is not None and self._tls.pending() > 0)

    @property
    def under_way(self) -> int | None:
        """The ordinal number of the packet that has begun and is not through; None between packets."""
        return self._trimmer.under_way

    def send(self, data: Any) -> int:
        """Send as the socket does."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:  # the peer may have told why, before it hung up
            with contextlib.suppress(OSError):
                self._read()
            raise

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Switch the socket."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Close the socket; what waited is forgotten."""
        self._waiting, self._at = b"", 0
        self._sock.close()

    def _receive(self, count: int) -> bytes:
        self._waiting, self._at = b"", 0  # nothing is kept for a peer that says nothing
        came = self._read()
        if not came:
            return b""
        waiting = self._trimmer.feed(came)
        if not waiting:
            raise BlockingIOError
        if len(waiting) > count:
            self._waiting, self._at = waiting, count
            return waiting[:count]
        return waiting

    def _read(self) -> bytes:
        try:
            return self._sock.recv(_READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            self.alert = exc.reason
            raise
