"""Whom to trust: printers by the serial in their certificate, Printago's broker by the usual rules.

A printer is proved inside the handshake: the socket class that our contexts make refuses to finish it, and to send
anything before it is finished. So no library on top can get the access code out to somebody else.
"""

import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bambu_connector.errors import AnotherDevice, ConfigError, IdentityMismatch
from bambu_connector.links.certificate import common_name, fingerprint_of

__all__ = [
    "PrinterContext",
    "PrinterSocket",
    "PrinterTls",
    "Trust",
    "broker_context",
    "fingerprint_of",
    "printer_context",
    "stranger_context",
]

_SHOWN: Final = 64  # characters of a name; what X.509 allows for one
_OLD_CIPHERS: Final = "DEFAULT:AES256-GCM-SHA384:AES128-GCM-SHA256"  # port 3002 has only those two

_IF_IT_CHANGED: Final = (
    "after a repair, a new board or a factory reset pair it again, which shows both and asks; if none of that happened,"
    " somebody may be in between"
)


@dataclass(frozen=True, slots=True)
class Trust:
    """How one printer proves that it is itself: always its serial, and the CA or the pin where there is one.

    With `ca_file` the chain decides and a pin is not looked at; with neither, the serial alone does (first contact).
    `verify` false checks nothing at all.
    """

    serial: str
    fingerprint: str | None = None
    ca_file: Path | None = None
    verify: bool = True


def check_identity(trust: Trust, der: bytes) -> None:
    """Raise IdentityMismatch, or AnotherDevice, unless the certificate is that printer's.

    The chain is checked by OpenSSL, before.
    """
    if not trust.verify:
        return
    shown = common_name(der)
    if shown != trust.serial:
        raise AnotherDevice(
            f"expected the printer {trust.serial}, but the certificate is for {_printable(shown)}: "
            "another device answers at this address; correct the address or the serial"
        )
    fingerprint = fingerprint_of(der)
    if trust.ca_file is None and trust.fingerprint is not None and fingerprint != trust.fingerprint.lower():
        raise IdentityMismatch(
            f"the certificate of {trust.serial} is not the one that was trusted: "
            f"expected {trust.fingerprint}, shown {fingerprint}; {_IF_IT_CHANGED}"
        )


def _printable(name: str | None) -> str:
    """Return a stranger's name in such a way that it can stand in a sentence."""
    if not name:
        return "nobody"
    return "".join(each if each.isprintable() else "?" for each in name[:_SHOWN])


class PrinterSocket(ssl.SSLSocket):
    """A TLS socket that has proved the printer's identity before it lets a byte out."""

    trust: Trust | None = None
    fingerprint: str | None = None
    """`sha256:<hex>` of the peer's certificate, once the handshake is done."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands and check the identity; raises IdentityMismatch, with the socket closed."""
        trust = self.trust or _trust_of(self.context)
        try:
            super().do_handshake(block)
            self.fingerprint = _accepted(trust, self.getpeercert(binary_form=True))
        except ssl.SSLCertVerificationError as exc:
            self.close()
            raise _untrusted_chain(trust, exc) from exc
        except IdentityMismatch:
            self.close()
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        """Send; raises ValueError before the identity is proved (OpenSSL would shake hands by itself)."""
        if self.fingerprint is None:
            raise ValueError("nothing may be sent before the handshake")
        return super().send(data, flags)

    def write(self, data: Any) -> int:
        """Send; the same rule as for `send`."""
        if self.fingerprint is None:
            raise ValueError("nothing may be sent before the handshake")
        return super().write(data)


class PrinterObject(ssl.SSLObject):
    """The same proof for asyncio's own TLS."""

    def do_handshake(self) -> None:
        """Shake hands and check the identity; raises IdentityMismatch."""
        trust = _trust_of(self.context)
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as exc:
            raise _untrusted_chain(trust, exc) from exc
        _accepted(trust, self.getpeercert(binary_form=True))


class PrinterContext(ssl.SSLContext):
    """Makes sockets that check a printer's identity: that of `trust`, or that which `PrinterTls` gives them."""

    sslsocket_class: type[ssl.SSLSocket] = PrinterSocket
    sslobject_class: type[ssl.SSLObject] = PrinterObject
    trust: Trust | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap as usual, with the serial as SNI whatever name the library on top would send."""
        return super().wrap_socket(*args, **self._named(options))

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Wrap as usual, with the serial as SNI."""
        return super().wrap_bio(*args, **self._named(options))

    def _named(self, options: dict[str, Any]) -> dict[str, Any]:
        return options if self.trust is None else options | {"server_hostname": self.trust.serial or None}


class PrinterTls:
    """Wraps sockets to one printer, for connections that stay: printers share a context, which costs 15 KB."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def wrap_socket(
        self, sock: socket.socket, *, server_hostname: str | None = None, do_handshake_on_connect: bool = True
    ) -> PrinterSocket:
        """Wrap with the serial as SNI, whatever `server_hostname` is; raises IdentityMismatch."""
        del server_hostname
        with _ca_file_of(self._trust):
            ca_file = self._trust.ca_file if self._trust.verify else None
            context = _shared_context(ca_file, ca_file and ca_file.stat().st_mtime_ns)
        wrapped = context.wrap_socket(sock, server_hostname=self._trust.serial, do_handshake_on_connect=False)
        assert isinstance(wrapped, PrinterSocket)
        wrapped.trust = self._trust
        if do_handshake_on_connect:
            wrapped.do_handshake()
        return wrapped


def printer_context(trust: Trust) -> ssl.SSLContext:
    """Return a context for one printer, for libraries that want one; raises IdentityMismatch without its CA file."""
    with _ca_file_of(trust):
        context = _new_context(trust.ca_file if trust.verify else None)
    context.trust = trust
    return context


def stranger_context() -> ssl.SSLContext:
    """Return a context for asking a device who it is: it trusts anybody, so nothing secret may be said through it."""
    context = printer_context(Trust("", verify=False))
    context.set_ciphers(_OLD_CIPHERS)
    return context


@functools.lru_cache(maxsize=16)  # one for each CA file, and a few for those that were replaced
def _shared_context(ca_file: Path | None, _modified_ns: int | None) -> PrinterContext:
    return _new_context(ca_file)


def _new_context(ca_file: Path | None) -> PrinterContext:
    # Bare on purpose: create_default_context() costs 20 ms and 0.8 MiB a printer for CAs that sign no printer.
    context = PrinterContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the names are in the CN, which Python no longer looks at
    context.verify_mode = ssl.CERT_NONE
    # Several firmwares offer TLS 1.3 and then truncate or break data channels; 1.2 works with all of them.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        # Printers leave the intermediate out, and their old root has no key usage.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_verify_locations(ca_file)
    return context


@contextlib.contextmanager
def _ca_file_of(trust: Trust) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise IdentityMismatch(
            f"the CA file {trust.ca_file} for {trust.serial} cannot be used: {exc.strerror or exc}"
        ) from exc


def broker_context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Return the context for Printago's broker: the chain and the host name are verified.

    Raises ConfigError when a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if ca_file is not None:
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # home-made CAs seldom have a key usage
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert_file is not None:
            # An encrypted key would make OpenSSL ask on the terminal, which a service has not.
            context.load_cert_chain(cert_file, key_file, password="")
    except OSError as exc:
        files = ", ".join(str(path) for path in (ca_file, cert_file, key_file) if path is not None)
        raise ConfigError(f"printago.tls: {files} cannot be used: {exc.strerror or exc}") from exc
    return context


def _trust_of(context: ssl.SSLContext) -> Trust:
    if not isinstance(context, PrinterContext) or context.trust is None:
        raise TypeError("a printer's socket must be told whom to trust")
    return context.trust


def _accepted(trust: Trust, der: bytes | None) -> str:
    if der is None:
        raise IdentityMismatch(f"expected the printer {trust.serial}, but no certificate was shown")
    check_identity(trust, der)
    return fingerprint_of(der)


def _untrusted_chain(trust: Trust, exc: ssl.SSLCertVerificationError) -> IdentityMismatch:
    return IdentityMismatch(
        f"the certificate of {trust.serial} is not signed by the CA in {trust.ca_file} ({exc.verify_message}); "
        f"add the printer's CA to that file or pin the certificate instead; {_IF_IT_CHANGED}"
    )
