"""What a virtual printer shows to prove who it is; it may change while the printer runs."""

import ssl
from pathlib import Path

from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.pki import Authority


class Identity:
    """The certificate of one printer, kept in `folder`: who has trusted it need not do so again.

    The server contexts made here look at every handshake anew which certificate is to be shown.
    """

    def __init__(self, serial: str, folder: Path, authority: Authority | None, faults: Faults) -> None:
        self.authority = authority or Authority.kept_in(folder)
        self._serial, self._folder, self._faults = serial, folder, faults
        self._own = folder / f"{serial}.pem"
        self._instead: dict[str, Path] = {}
        self._contexts: dict[tuple[Path, str | None], ssl.SSLContext] = {}
        if not (self._own.exists() and self.authority.has_signed(self._own)):
            self.renew()

    def renew(self) -> None:
        """Have another key and certificate for the same serial from now on."""
        self._contexts.clear()
        self.authority.issue(self._serial, folder=self._folder).replace(self._own)

    def context(self, ciphers: str | None = None) -> ssl.SSLContext:
        """Return a context for a server; it shows whatever is to be shown when somebody shakes hands."""
        context = _server_context(self._own, ciphers)

        def choose(handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
            handshake.context = self._current(ciphers)

        context.sni_callback = choose
        return context

    def _current(self, ciphers: str | None) -> ssl.SSLContext:
        key = (self._shown(), ciphers)
        if key not in self._contexts:
            self._contexts[key] = _server_context(*key)
        return self._contexts[key]

    def _shown(self) -> Path:
        if "foreign-certificate" in self._faults:
            return self._other("foreign-certificate", f"{self._serial[:-9]}{'9' * 9}")
        if "new-certificate" in self._faults:
            return self._other("new-certificate", self._serial)
        return self._own

    def _other(self, fault: str, name: str) -> Path:
        if fault not in self._instead:
            self._instead[fault] = self.authority.issue(name, folder=self._folder)
        return self._instead[fault]


def _server_context(certificate: Path, ciphers: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    if ciphers is not None:
        context.set_ciphers(ciphers)
    context.load_cert_chain(certificate)
    return context
