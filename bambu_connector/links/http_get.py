"""One HTTP GET under the rules: every redirect is a fresh request that is checked like the first.

aiohttp comes with this module, so whoever needs it imports it late.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp

from bambu_connector.errors import DownloadFailed
from bambu_connector.links.checked_http import HttpInterrupted, HttpRefused, checked_session, name_of, parse_url
from bambu_connector.links.download_rules import DownloadRules

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NOTHING_THERE: Final = 416  # the answer to a range that begins behind the end
_WORTH_A_RETRY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@contextlib.asynccontextmanager
async def get(
    url: str, headers: Mapping[str, str], rules: DownloadRules, context: ssl.SSLContext | None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield the answer (200 or 206, and 416 where a range was asked for) with its body still to be read.

    Raises DownloadFailed, HttpInterrupted; reading the body inside does so, too. No sentence has a URL's query.
    """
    try:
        at = parse_url(url)
        async with checked_session(rules, context) as session:
            for _ in range(_MAX_REDIRECTS + 1):
                async with session.get(at, headers) as response:
                    if response.status not in _REDIRECTS:
                        _require_success(response.status, name_of(str(at)), asked_for_range="Range" in headers)
                        yield response
                        return
                    location = response.headers.get("Location")
                if not location:
                    raise DownloadFailed(f"{name_of(url)}: {at.raw_host} redirects to nowhere")
                at = at.join(parse_url(location))
            raise DownloadFailed(f"{name_of(url)}: more than {_MAX_REDIRECTS} redirects")
    except HttpRefused as exc:
        raise DownloadFailed(str(exc)) from None


def _require_success(status: int, what: str, *, asked_for_range: bool) -> None:
    if status in (200, 206) or (asked_for_range and status == _NOTHING_THERE):
        return
    sentence = f"{what}: the server answers {status}"
    raise (HttpInterrupted if status in _WORTH_A_RETRY else DownloadFailed)(sentence)
