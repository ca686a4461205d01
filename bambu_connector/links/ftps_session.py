"""One FTPS session as the printers want it: implicit TLS, session reuse, and an end of upload that loses nothing.

This is what ftputil is given as its session. It blocks, so it runs in a thread; `Wires` lets another thread cut it off.
"""

import contextlib
import ftplib
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Final, Literal

from bambu_connector.errors import IdentityMismatch
from bambu_connector.links.dial import Address
from bambu_connector.links.tls import PrinterSocket, Trust, printer_context
from bambu_connector.secret import Secret

Protection = Literal["P", "C"]
"""Whether the data channel is encrypted (P); C is the last resort for an A1 whose encrypted one hangs."""

CONNECT_TIMEOUT_S: Final = 10.0
STALL_TIMEOUT_S: Final = 60.0  # without a byte; a P1 that writes to a slow card pauses for seconds, not for minutes
_LOGIN_TIMEOUT_S: Final = 20.0
_REPLY_TIMEOUT_S: Final = 90.0  # an H2D needs more than 30 s for the 226
_QUIT_TIMEOUT_S: Final = 2.0
_DRAIN_TIMEOUT_S: Final = 3.0  # for the peer's FIN after ours; most are there at once
_LAST_WORDS_TIMEOUT_S: Final = 3.0
# Small enough that progress is honest and the wait for the 226 short; more is not faster in a LAN.
_SEND_BUFFER_BYTES: Final = 256 * 1024
# More is not a listing: a year of timelapses is 5,000 files.
_MAX_LISTING_BYTES: Final = 4 * 1024 * 1024
_MAX_LISTING_LINES: Final = 20_000
_MAX_REPLY_CHARS: Final = 64 * 1024  # of several lines; the longest on record, vsftpd's HELP, has 700
_FIRST_UNPRIVILEGED_PORT: Final = 1024
_LAST_PORT: Final = 65_535

_REPLY: Final = re.compile(r"[1-5][0-9]{2}(?![0-9])")
_SIZE: Final = re.compile(r"213 +([0-9]{1,15})\s*")


class WiresCutError(Exception):
    """Somebody cut the wires while we were at work."""


class TooManyFilesError(Exception):
    """A folder holds more than is listed."""


class NonsenseError(ftplib.error_proto):
    """The server says what no FTP server says; the text is that, or what is wrong with it."""


class Wires:
    """The sockets of one transfer. `cut` may be called from any thread and makes what blocks on them fail at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.was_cut = False

    def add(self, sock: socket.socket) -> None:
        """Note a socket, in the place of the one that it wraps; raises WiresCutError, and closes it, after the cut."""
        with self._lock:
            if not self.was_cut:
                self._sockets = [each for each in self._sockets if each.fileno() >= 0]
                self._sockets.append(sock)
                return
        sock.close()
        raise WiresCutError

    def cut(self) -> None:
        """Break every connection; the threads on them close the sockets."""
        with self._lock:
            self.was_cut = True
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown(): it would drop the TLS under the thread, which then writes in clear.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def connect(self, addresses: Sequence[Address]) -> socket.socket:
        """Return a connection to the first address that answers; raises OSError, WiresCutError."""
        problem = OSError("the host has no address")
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            self.add(sock)
            try:
                sock.settimeout(CONNECT_TIMEOUT_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except OSError as exc:
                sock.close()
                problem = exc
            else:
                return sock
        raise problem


class _FtpsSocket(PrinterSocket):
    """Ends TLS so that nothing is lost and nothing hangs."""

    def unwrap(self) -> socket.socket:
        """Say close_notify and FIN without waiting for close_notify, then drain until the peer's FIN.

        Several firmwares never answer close_notify, and without ours servers throw away the end of the file.
        """
        with contextlib.suppress(OSError):  # a peer that is gone needs no goodbye
            self._say_close_notify(time.monotonic() + STALL_TIMEOUT_S)
            super().shutdown(socket.SHUT_WR)  # from here on the socket is plain
            deadline = time.monotonic() + _DRAIN_TIMEOUT_S
            self.settimeout(_DRAIN_TIMEOUT_S)
            while self.recv(65536) and time.monotonic() < deadline:
                pass
        return self

    def _say_close_notify(self, deadline: float) -> None:
        self.settimeout(0.0)
        while True:
            try:
                super().unwrap()
            except ssl.SSLWantReadError:
                return  # ours is out, theirs is not here
            except ssl.SSLWantWriteError:
                select.select([], [self], [], max(0.0, deadline - time.monotonic()))
                if time.monotonic() >= deadline:
                    raise TimeoutError("timed out") from None
            else:
                return


class FtpsSession(ftplib.FTP_TLS):
    """The control connection, and the data connections that it makes."""

    def __init__(self, trust: Trust, protection: Protection, wires: Wires) -> None:
        context = printer_context(trust)
        context.sslsocket_class = _FtpsSocket
        super().__init__(context=context, encoding="utf-8")
        self._verify = trust.verify
        self._protection = protection
        self._wires = wires
        self._entered = False
        self.storing = False
        """Whether a STOR was sent that the server did not refuse: something of the file may be there."""

    def open(self, host: str, addresses: Sequence[Address]) -> None:
        """Connect and shake hands, no more; raises OSError, IdentityMismatch."""
        raw = self._wires.connect(addresses)
        self.host = host
        self.af = raw.family
        self.sock = self._secure(raw)
        self.sock.settimeout(_LOGIN_TIMEOUT_S)
        self.file = self.sock.makefile("r", encoding=self.encoding, errors="replace")

    def enter(self, user: str, password: Secret) -> None:
        """Read the welcome, log in and choose the protection; raises ftplib.Error, OSError, EOFError."""
        self.welcome = self.getresp()
        try:
            self.login(user, password.reveal())
        except ftplib.Error as exc:  # some servers say what they were given
            raise type(exc)(str(exc).replace(password.reveal(), "********")) from None
        if self._protection == "P":
            self.prot_p()
        else:
            self.voidcmd("PBSZ 0")
            self.prot_c()
        self.voidcmd("TYPE I")
        self._entered = True

    def close(self) -> None:
        """Say QUIT when we are logged in, so that the printer frees the session at once, and close; never raises."""
        if self._entered and self.sock is not None:
            self._entered = False
            with contextlib.suppress(ftplib.Error, OSError, EOFError):
                self.sock.settimeout(_QUIT_TIMEOUT_S)
                self.sendcmd("QUIT")
        super().close()

    def ntransfercmd(self, cmd: str, _rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Open a data connection for `cmd`, resuming the control connection's TLS session. There is no REST."""
        host, port = self._passive()
        raw = self._wires.connect([(socket.AddressFamily(self.af), (host, port))])
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        try:
            self.storing = cmd.startswith("STOR")
            reply = self.sendcmd(cmd)
            if not reply.startswith("1"):
                raise ftplib.error_reply(reply)  # noqa: S321 - implicit TLS; the rule knows only plain FTP
            # The printers' servers shake hands only after their 150.
            conn = self._secure(raw, self.sock) if self._protection == "P" else raw
        except ftplib.Error:
            self.storing = False
            raw.close()
            raise
        except BaseException:
            raw.close()
            raise
        conn.settimeout(STALL_TIMEOUT_S)
        return conn, None

    def _passive(self) -> tuple[str, int]:
        """Return where the data connection goes: always to the host of the control connection."""
        try:
            host, port = self.makepasv()
        except (ValueError, IndexError):
            host, port = "", 0
        if not _FIRST_UNPRIVILEGED_PORT <= port <= _LAST_PORT:
            # Nobody listens there for data; what does is none of our business.
            raise NonsenseError("there can be no data connection on the port that it names")
        return host, port

    def getmultiline(self) -> str:
        """Read a reply; raises NonsenseError for one that is none, or does not end."""
        line = self.getline()
        if not _REPLY.match(line):
            raise NonsenseError(line or "nothing")
        lines, length = [line], len(line)
        if line[3:4] == "-":
            code = line[:3]
            while line[:3] != code or line[3:4] == "-":
                line = self.getline()
                lines.append(line)
                length += len(line) + 1
                if length > _MAX_REPLY_CHARS:
                    raise NonsenseError("a reply that has no end")
        return "\n".join(lines)

    def pwd(self) -> str:
        """Return the current folder; raises ftplib.Error where it is none, since ftputil builds its paths on it."""
        folder = super().pwd()
        if not folder.startswith("/") or not folder.isprintable():
            raise NonsenseError(f"a folder that is none: {folder}")
        return folder

    def size(self, filename: str) -> int:
        """Return what SIZE says, in bytes; raises ftplib.Error where it is no number."""
        reply = self.sendcmd(f"SIZE {filename}")
        match = _SIZE.fullmatch(reply)
        if match is None:
            raise NonsenseError(reply)
        return int(match[1])

    def voidresp(self) -> str:
        """Read the reply that ends a command, with our patience: ftputil's ends after 5 s."""
        assert self.sock is not None
        self.sock.settimeout(_REPLY_TIMEOUT_S)
        return super().voidresp()

    def last_words(self) -> ftplib.Error | None:
        """Return the refusal that explains a data connection which broke; None when there is none in time."""
        try:
            if self.lastresp[:1] not in ("4", "5") and self.sock is not None:
                self.sock.settimeout(_LAST_WORDS_TIMEOUT_S)
                self.getresp()
        except ftplib.Error as refusal:
            return refusal
        except (OSError, EOFError):
            return None
        return None

    def listing(self) -> str:
        """Return what LIST says about the current folder."""
        text = bytearray()
        lines = 0
        conn = self.transfercmd("LIST")
        try:
            while data := conn.recv(65536):
                text += data
                lines += data.count(b"\n")
                if len(text) > _MAX_LISTING_BYTES or lines > _MAX_LISTING_LINES:
                    self._wires.cut()  # a goodbye would wait for the rest
                    raise TooManyFilesError(f"more than {_MAX_LISTING_LINES} files")
            if isinstance(conn, ssl.SSLSocket):
                conn.unwrap()
        finally:
            conn.close()
        self.voidresp()
        return text.decode("utf-8", "replace")

    def _secure(self, raw: socket.socket, resumed: socket.socket | None = None) -> ssl.SSLSocket:
        session = resumed.session if isinstance(resumed, ssl.SSLSocket) else None
        sock = self.context.wrap_socket(raw, do_handshake_on_connect=False, session=session)
        self._wires.add(sock)
        try:
            sock.settimeout(CONNECT_TIMEOUT_S)
            sock.do_handshake()
            self._check_twin(sock, resumed)
        except BaseException:
            sock.close()
            raise
        return sock

    def _check_twin(self, sock: ssl.SSLSocket, control: socket.socket | None) -> None:
        """Raise IdentityMismatch unless the data channel ends where the control connection does.

        Where the serial alone is trusted, anybody could show a certificate with that on the port that PASV named.
        """
        if not self._verify or not isinstance(sock, PrinterSocket) or not isinstance(control, PrinterSocket):
            return
        if sock.fingerprint != control.fingerprint:
            raise IdentityMismatch(
                f"the data channel of {self.host} shows another certificate than its control connection: "
                "somebody may be in between"
            )
