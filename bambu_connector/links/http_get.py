"""One HTTP GET under the rules, with every redirect and every address checked.

aiohttp comes with this module, so whoever needs it imports it late.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import metadata
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bambu_connector.errors import DownloadFailed
from bambu_connector.links.download_rules import DownloadRules, is_public

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_WORTH_A_RETRY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class InterruptedDownload(Exception):
    """The transfer broke in a way that may be better next time; its text is a sentence for a person."""


@contextlib.asynccontextmanager
async def get(
    url: str, headers: Mapping[str, str], rules: DownloadRules, context: ssl.SSLContext | None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield the answer (200 or 206) with its body still to be read.

    Raises DownloadFailed, InterruptedDownload; reading the body inside does so, too. No sentence has a URL's query.
    """
    at = _parse(url)
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
    ) as session:
        for _ in range(_MAX_REDIRECTS + 1):
            resolver.pinned = await _checked_addresses(at, rules)
            with _faults(at):
                async with session.get(at, headers=headers, allow_redirects=False) as response:
                    if response.status not in _REDIRECTS:
                        _require_success(response, at)
                        yield response
                        return
                    location = response.headers.get("Location")
            if not location:
                raise DownloadFailed(f"{name_of(url)}: {at.raw_host} redirects to nowhere")
            at = at.join(_parse(location))
        raise DownloadFailed(f"{name_of(url)}: more than {_MAX_REDIRECTS} redirects")


def name_of(url: str) -> str:
    """Return host and file name of a URL, for sentences: never its query, which may be a key."""
    try:
        parsed = URL(url)
    except ValueError:
        return "the URL"
    return f"{parsed.name or '/'} from {parsed.raw_host}" if parsed.raw_host else "the URL"


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


def _parse(url: str) -> URL:
    try:
        if any(ord(each) < 0x20 or ord(each) == 0x7F for each in url):
            raise ValueError
        # A signed URL must stay as it is; only one with characters that cannot be sent is quoted.
        return URL(url, encoded=url.isascii() and " " not in url).with_fragment(None)
    except ValueError:
        raise DownloadFailed("the URL is not one") from None


async def _checked_addresses(at: URL, rules: DownloadRules) -> list[ResolveResult]:
    host = at.raw_host
    if at.scheme not in ("https", "http") or not host:
        raise DownloadFailed(f"{name_of(str(at))}: only https URLs are fetched")
    if at.scheme == "http" and not rules.allow_http:
        raise DownloadFailed(f"{name_of(str(at))}: plain http is not allowed (downloads.allow_http)")
    if rules.allowed_hosts and host.lower().rstrip(".") not in {each.lower() for each in rules.allowed_hosts}:
        raise DownloadFailed(f"{name_of(str(at))}: {host} is not one of the hosts in downloads.allowed_hosts")
    port = at.port or 443
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise DownloadFailed(f"{name_of(str(at))}: {host} is not a host name") from None
    except OSError as exc:
        raise InterruptedDownload(f"{name_of(str(at))}: the host cannot be resolved: {exc.strerror}") from None
    addresses = [(family, str(address[0])) for family, _, _, _, address in found]
    allowed = [each for each in addresses if rules.allow_private_addresses or is_public(each[1])]
    if not allowed:
        raise DownloadFailed(
            f"{name_of(str(at))}: {host} is in a private network, which is not allowed "
            "(downloads.allow_private_addresses)"
        )
    return [
        ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=int(socket.AI_NUMERICHOST))
        for family, address in allowed
    ]


def _require_success(response: aiohttp.ClientResponse, at: URL) -> None:
    if response.status in (200, 206):
        return
    sentence = f"{name_of(str(at))}: the server answers {response.status}"
    raise (InterruptedDownload if response.status in _WORTH_A_RETRY else DownloadFailed)(sentence)


@contextlib.contextmanager
def _faults(at: URL) -> Iterator[None]:
    """Turn aiohttp's errors into ours; theirs may quote the URL, so they do not come along."""
    what = name_of(str(at))
    try:
        yield
    except aiohttp.ClientConnectorCertificateError:
        raise DownloadFailed(f"{what}: the server's certificate is not trusted") from None
    except aiohttp.ClientConnectorError as exc:
        raise InterruptedDownload(f"{what}: cannot connect: {exc.os_error.strerror or 'no answer'}") from None
    except aiohttp.InvalidURL:
        raise DownloadFailed(f"{what}: the URL is not one") from None
    except TimeoutError:
        raise InterruptedDownload(f"{what}: the server sends nothing any more") from None
    except aiohttp.ClientPayloadError:
        raise InterruptedDownload(f"{what}: the connection broke") from None
    except (aiohttp.ClientConnectionError, ConnectionError):
        raise InterruptedDownload(f"{what}: the server hung up") from None
    except aiohttp.ClientError as exc:
        raise DownloadFailed(f"{what}: the server does not speak HTTP as it should ({type(exc).__name__})") from None


def _user_agent() -> str:
    try:
        return f"bambu-connector/{metadata.version('bambu-connector')}"
    except metadata.PackageNotFoundError:  # run from a checkout
        return "bambu-connector"
