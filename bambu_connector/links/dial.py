"""TCP and TLS from the loop: a dead address costs a timer, not a thread, so it can starve nobody.

Only looking up a name blocks; that has two threads of its own, which start when the first name is looked up.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from bambu_connector.errors import IdentityMismatch, LinkError, NotAPrinter, Unreachable
from bambu_connector.links.tls import PrinterTls

CONNECT_TIMEOUT_S: Final = 10.0  # name, TCP and TLS together; a P1 that is printing may take three seconds
_LOOKUP_THREADS: Final = 2
# A handshake takes 20 KB that are given back in pieces: 200 at once leave twice the memory behind.
_HANDSHAKES: Final = 32
_HANDSHAKE_SLOT_S: Final = 1.0  # a peer that is slower gives its place away, so that a frozen one holds up nobody

# By OpenSSL's number of what is wrong with a certificate (X509_V_ERR_…). Printers have advice of their own.
_CA_ADVICE: Final = "if it is your own, name the certificate of its authority in ca_file (printago.tls)"
_ADVICE: Final = {
    9: "it is not valid yet: is this computer's clock right?",
    10: "whoever runs the server must renew it, unless this computer's clock is wrong",
    62: "it is for another name: correct the host, or have that name put into the certificate",
    64: "it is not for this address: use the host's name, or have the address put into the certificate",
}
_OLD_TLS: Final = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "VERSION_TOO_LOW"})

TlsContext = ssl.SSLContext | PrinterTls
Address = tuple[socket.AddressFamily, Any]


class Dialer:
    """Opens connections for everybody; one for the process."""

    def __init__(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._handshakes = asyncio.Semaphore(_HANDSHAKES)
        self._lookups = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup")

    def close(self) -> None:
        """Let the threads go; a look-up that hangs is not waited for."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def dial(
        self, host: str, port: int, context: TlsContext | None, server_hostname: str | None = None
    ) -> socket.socket:
        """Return a connected non-blocking socket, after the TLS handshake where there is a context.

        Raises Unreachable, NotAPrinter (no TLS there), IdentityMismatch.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                sock = await self._connect(host, port)
                if context is None:
                    return sock
                return await self._shake_hands(sock, context, server_hostname or host)
        except (OSError, TimeoutError) as exc:
            raise connect_error(exc, host, port, self._timeout_s) from exc

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses of `host`, in the order of preference; raises OSError."""
        with contextlib.suppress(socket.gaierror, UnicodeError):
            return _addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._lookups, _look_up, host, port)
        return _addresses(found)

    async def _shake_hands(self, sock: socket.socket, context: TlsContext, name: str) -> ssl.SSLSocket:
        try:
            await self._handshakes.acquire()
        except BaseException:
            sock.close()
            raise
        with contextlib.ExitStack() as slot:
            slot.callback(self._handshakes.release)
            slow = asyncio.get_running_loop().call_later(_HANDSHAKE_SLOT_S, slot.close)
            slot.callback(slow.cancel)
            return await _handshake(sock, context, name)

    async def _connect(self, host: str, port: int) -> socket.socket:
        addresses = await self.resolve(host, port)
        for index, (family, address) in enumerate(addresses):
            last = index == len(addresses) - 1
            try:
                async with asyncio.timeout(None if last else self._timeout_s / len(addresses)):
                    return await _connect_to(family, address)
            except (OSError, TimeoutError):
                if last:
                    raise
        raise OSError(f"{host} has no address")


def connect_error(exc: Exception, host: str, port: int, timeout_s: float = CONNECT_TIMEOUT_S) -> LinkError:
    """Return what a failure to connect (an OSError of any kind) means, as a sentence that names the address."""
    where = f"{host}:{port}"
    match exc:
        case socket.gaierror():
            return Unreachable(f"the name {host} cannot be resolved: {exc.strerror}")
        case ssl.SSLCertVerificationError():
            advice = _ADVICE.get(exc.verify_code, _CA_ADVICE)
            return IdentityMismatch(f"the certificate of {where} is not trusted: {exc.verify_message}; {advice}")
        case ssl.SSLError(reason=str(reason)) if reason in _OLD_TLS:
            return NotAPrinter(f"{where} answers, but only with a TLS older than 1.2 ({reason}), which is not safe")
        case ssl.SSLError():
            return NotAPrinter(f"{where} answers, but not with TLS as we know it ({exc.reason or 'it hung up'})")
        case ConnectionResetError() | BrokenPipeError():  # after TCP's handshake: what plain servers say to TLS
            return NotAPrinter(f"{where} answers, but hangs up on TLS")
        case TimeoutError():
            return Unreachable(f"{where} does not answer within {timeout_s:g} s")
        case ConnectionRefusedError():
            return Unreachable(f"{where} refuses the connection")
        case OSError():
            return Unreachable(f"{where} cannot be reached: {exc.strerror or exc}")
        case _:
            return Unreachable(f"{where} cannot be reached")


def _look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError as exc:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from exc


def _addresses(found: list[tuple[Any, ...]]) -> list[Address]:
    return [(family, address) for family, _, _, _, address in found]


async def _connect_to(family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # paho does not set it: 11 KB took 11 ms without and 0.3 ms with it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _handshake(raw: socket.socket, context: TlsContext, server_hostname: str) -> ssl.SSLSocket:
    try:
        sock = context.wrap_socket(raw, server_hostname=server_hostname, do_handshake_on_connect=False)
    except BaseException:
        raw.close()
        raise
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(sock.fileno(), loop.add_reader, loop.remove_reader)
            except ssl.SSLWantWriteError:
                await _ready(sock.fileno(), loop.add_writer, loop.remove_writer)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


async def _ready(fd: int, watch: Callable[..., None], unwatch: Callable[[int], bool]) -> None:
    woken = asyncio.Event()
    watch(fd, woken.set)
    try:
        await woken.wait()
    finally:
        unwatch(fd)
