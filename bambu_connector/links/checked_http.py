"""HTTP that reaches only what was checked: host, port, every address, each time anew.

A name is resolved once for a request, and the connection goes to the very addresses that were judged: a name that
answers differently the second time is not asked a second time. Of a name's addresses only the public ones are used; to
refuse the name for one that is not would add nothing, as nobody connects there, and would lock out networks whose
resolvers add addresses of their own.

aiohttp comes with this module, so whoever needs it imports it late.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bambu_connector.links.download_rules import (
    DownloadRules,
    canonical_host,
    is_ordinary_port,
    is_public,
)

# An answer may take as long as two silences: one until there is a connection, one until its headers are there.
_ANSWER_SILENCES: Final = 2
# What one site is given at most (RFC 6177). Machines at home have public IPv6 addresses, too.
_SITE_BITS: Final = 48

# What needs a setting, and which.
_PLAIN_HTTP: Final = ("plain http", "downloads.allow_http")
_PRIVATE_NETWORK: Final = ("a host in a private network", "downloads.allow_private_addresses")
_LONGEST_NAME: Final = 100


class HttpRefused(Exception):
    """It may not be, or will never work; its text is a sentence for a person, without a URL's query or user."""


class HttpInterrupted(Exception):
    """It broke in a way that may be better next time; its text is such a sentence, too."""


def parse_url(url: str) -> URL:
    """Return a URL that can be joined and asked for; raises HttpRefused."""
    try:
        if any(ord(each) < 0x20 or ord(each) == 0x7F or each == "\\" for each in url):
            raise ValueError
        # A signed URL must stay as it is; only one with characters that cannot be sent is quoted.
        parsed = URL(url, encoded=url.isascii() and " " not in url).with_fragment(None)
        parsed.port  # noqa: B018 - some of what is wrong is found only when it is asked for
        return parsed
    except ValueError:
        raise HttpRefused("the URL is not one") from None


def name_of(url: str) -> str:
    """Return host and file name of a URL, for sentences: never its query, which may be a key."""
    try:
        parsed = URL(url)
        host = parsed.raw_host
    except ValueError:
        return "the URL"
    if not host:
        return "the URL"
    # Quoted in a URL there may be anything, a new line of the log included.
    name = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in parsed.name[:_LONGEST_NAME])
    return f"{name or '/'} from {host}"


class CheckedSession:
    """Asks under the rules, one request after the other."""

    def __init__(self, http: aiohttp.ClientSession, resolver: "_PinnedResolver", rules: DownloadRules) -> None:
        self._http = http
        self._resolver = resolver
        self._rules = rules

    @contextlib.asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer, whatever its status and without following it, with its body still to be read.

        Raises HttpRefused, HttpInterrupted; reading the body inside does so, too.
        """
        at = _with_canonical_host(url)
        self._resolver.pinned = await _checked_addresses(at, self._rules)
        with _faults(at):
            async with asyncio.timeout(_ANSWER_SILENCES * self._rules.timeout_s):
                response = await self._http.get(at, headers=headers, allow_redirects=False)
            async with response:
                yield response


@contextlib.asynccontextmanager
async def checked_session(rules: DownloadRules, context: ssl.SSLContext | None) -> AsyncIterator[CheckedSession]:
    """Yield a session without cookies, proxies, kept connections or decompression."""
    resolver = _PinnedResolver()
    connector = aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, force_close=True, ssl=True if context is None else context
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=rules.timeout_s, sock_read=rules.timeout_s),
        headers={"User-Agent": _user_agent(), "Accept-Encoding": "identity"},
    ) as http:
        yield CheckedSession(http, resolver, rules)


class _PinnedResolver(AbstractResolver):
    """Resolves to the addresses that were checked, and to nothing else."""

    def __init__(self) -> None:
        self.pinned: list[ResolveResult] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        found = [each for each in self.pinned if (each["hostname"], each["port"]) == (host, port)]
        if not found:
            raise OSError(f"{host} was not checked")
        return found

    async def close(self) -> None:
        """There is nothing to close."""


def _with_canonical_host(url: URL) -> URL:
    """Return the URL with the host that aiohttp is to see: it connects to numbers without asking the resolver."""
    if url.scheme not in ("https", "http") or not url.raw_host:
        raise HttpRefused(f"{name_of(str(url))}: only https URLs are fetched")
    try:
        host = canonical_host(url.raw_host)
    except ValueError:
        raise HttpRefused(f"{name_of(str(url))}: {url.raw_host} is not a host name") from None
    return url if host == url.raw_host else url.with_host(host)


async def _checked_addresses(at: URL, rules: DownloadRules) -> list[ResolveResult]:
    what, host, port = name_of(str(at)), at.raw_host or "", at.port or 0
    if rules.allowed_hosts and not _is_listed(host, rules.allowed_hosts):
        raise HttpRefused(f"{what}: {host} is not one of the hosts in downloads.allowed_hosts")
    if not rules.allowed_hosts and not is_ordinary_port(port):
        raise HttpRefused(
            f"{what}: no files are fetched from port {port}, only from 80, 443 and those above 1023, unless the host is"
            " listed in downloads.allowed_hosts"
        )
    forbidden = [_PLAIN_HTTP] if at.scheme == "http" and not rules.allow_http else []
    try:
        addresses = await _addresses(host, port, rules.timeout_s)
    except HttpInterrupted as exc:
        if forbidden:
            raise HttpRefused(f"{what}: {_not_allowed(forbidden)}") from None
        raise HttpInterrupted(f"{what}: {exc}") from None
    allowed = [each for each in addresses if rules.allow_private_addresses or _is_elsewhere(*each)]
    if not allowed:
        forbidden.append(_PRIVATE_NETWORK)
    if forbidden:
        raise HttpRefused(f"{what}: {_not_allowed(forbidden)}")
    return [
        ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=int(socket.AI_NUMERICHOST))
        for family, address in allowed
    ]


def _not_allowed(forbidden: Sequence[tuple[str, str]]) -> str:
    """Say all that stands in the way at once, so that nobody has to find the settings one after the other."""
    kinds, settings = (" and ".join(texts) for texts in zip(*forbidden, strict=True))
    return f"{kinds} {'is' if len(forbidden) == 1 else 'are'} not allowed; to allow it, set {settings} to true"


def _is_listed(host: str, allowed: Iterable[str]) -> bool:
    """Say whether a canonical host is one of those, which are written as people write them."""
    return host.removesuffix(".") in {_as_compared(each) for each in allowed}


def _as_compared(host: str) -> str | None:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return canonical_host(URL.build(scheme="https", host=bare).raw_host or "").removesuffix(".")
    except ValueError:  # no URL has such a host
        return None


async def _addresses(host: str, port: int, timeout_s: float) -> list[tuple[int, str]]:
    try:
        async with asyncio.timeout(timeout_s):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise HttpInterrupted("the host cannot be resolved: no answer") from None
    except OSError as exc:
        raise HttpInterrupted(f"the host cannot be resolved: {exc.strerror}") from None
    return [(family, str(address[0])) for family, _, _, _, address in found]


def _is_elsewhere(family: int, address: str) -> bool:
    """Say whether an address is public and neither this machine's nor one of its neighbours' at the same site."""
    if not is_public(address):
        return False
    try:
        # Connecting a datagram socket sends nothing; it only asks for the route.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            ours = ipaddress.ip_address(str(probe.getsockname()[0]))
    except OSError:  # no route, which connecting will tell
        return True
    theirs = ipaddress.ip_address(address)
    if ours == theirs:
        return False
    if ours.version == 4:
        return True
    shift = ours.max_prefixlen - _SITE_BITS
    return int(ours) >> shift != int(theirs) >> shift


@contextlib.contextmanager
def _faults(at: URL) -> Iterator[None]:
    """Turn aiohttp's errors into ours; theirs may quote the URL, so they do not come along."""
    what = name_of(str(at))
    try:
        yield
    except aiohttp.ClientConnectorCertificateError:
        raise HttpRefused(f"{what}: the server's certificate is not trusted") from None
    except aiohttp.ClientConnectorError as exc:
        raise HttpInterrupted(f"{what}: cannot connect: {exc.os_error.strerror or 'no answer'}") from None
    except aiohttp.InvalidURL:
        raise HttpRefused(f"{what}: the URL is not one") from None
    except TimeoutError:
        raise HttpInterrupted(f"{what}: the server sends nothing any more") from None
    except aiohttp.ClientPayloadError:
        raise HttpInterrupted(f"{what}: the connection broke") from None
    except (aiohttp.ClientConnectionError, ConnectionError):
        raise HttpInterrupted(f"{what}: the server hung up") from None
    except aiohttp.ClientError as exc:
        raise HttpRefused(f"{what}: the server does not speak HTTP as it should ({type(exc).__name__})") from None


def _user_agent() -> str:
    try:
        return f"bambu-connector/{metadata.version('bambu-connector')}"
    except metadata.PackageNotFoundError:  # run from a checkout
        return "bambu-connector"
