import asyncio
import ssl
from pathlib import Path

import pytest

from bambu_connector.errors import DownloadFailed
from bambu_connector.links import checked_http
from bambu_connector.links.checked_http import HttpInterrupted
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.links.http_get import get
from bambu_connector.virtual.pki import Authority
from tests.servers.http import HttpServer, Served

KEY = "X-Signature=very-secret"
LAB = DownloadRules(max_bytes=1, allow_http=True, allow_private_addresses=True, timeout_s=5)
RANGE = {"Range": "bytes=5-", "If-Range": '"v1"'}


def got(
    url: str,
    rules: DownloadRules = LAB,
    headers: dict[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    async def main() -> tuple[int, bytes]:
        async with asyncio.timeout(20), get(url, headers or {}, rules, context) as response:
            return response.status, await response.read()

    return asyncio.run(main())


def refused(url: str, rules: DownloadRules = LAB) -> str:
    with pytest.raises(DownloadFailed) as caught:
        got(url, rules)
    for secret in (KEY, "password", "?"):
        assert secret not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def one_address_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 takes the part of the internet; all else of this machine stays private."""
    monkeypatch.setattr(checked_http, "_is_elsewhere", lambda family, address: address == "127.0.0.1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed(status: int) -> None:
    raw = f"HTTP/1.1 {status} Moved\r\nLocation: b?{KEY}\r\nContent-Length: 0\r\n\r\n".encode()
    with HttpServer({"/x/a": Served(raw=raw), "/x/b": Served(b"here")}) as server:
        assert got(server.url("/x/a")) == (200, b"here")
        assert [request.path for request in server.requests] == ["/x/a", f"/x/b?{KEY}"]


def test_five_redirects_are_followed_and_no_sixth() -> None:
    chain = {f"/{number}": Served(redirect_to=f"/{number + 1}") for number in range(6)}
    with HttpServer({**chain, "/6": Served(b"here")}) as server:
        assert got(server.url("/1")) == (200, b"here")
        server.requests.clear()
        assert "more than 5 redirects" in refused(server.url("/0"))
        assert [request.path for request in server.requests] == ["/0", "/1", "/2", "/3", "/4", "/5"]


def test_a_redirect_to_nowhere_is_told() -> None:
    raw = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"
    with HttpServer({"/a": Served(raw=raw)}) as server:
        assert "redirects to nowhere" in refused(server.url(f"/a?{KEY}"))


@pytest.mark.parametrize("host", ["127.0.0.2", "127.2", "2130706434", "0x7f.2", "[::ffff:127.0.0.2]", "1@127.0.0.2"])
def test_a_redirect_into_the_private_network_is_refused(one_address_is_public: None, host: str) -> None:
    rules = DownloadRules(max_bytes=1, allow_http=True)
    with HttpServer({"/a": Served(b"x")}, host="127.0.0.2") as inner:
        target = inner.url(f"/a?{KEY}", host=host)
        for location in (target, target.removeprefix("http:")):
            with HttpServer({"/a": Served(redirect_to="/b"), "/b": Served(redirect_to=location)}) as server:
                assert "private network" in refused(server.url("/a"), rules)
                assert len(server.requests) == 2
        assert inner.requests == []


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a",
        "gopher://127.0.0.1:6379/_x",
        "unix:/run/x",
        "http://a:b:c/",
        "http://[",
        "\\\\a",
    ],
)
def test_a_redirect_to_something_else_than_the_web_is_refused(location: str) -> None:
    with HttpServer({"/a": Served(redirect_to=location)}) as server:
        refused(server.url(f"/a?{KEY}"))
        assert len(server.requests) == 1


def test_a_redirect_to_a_port_of_another_service_is_refused() -> None:
    with HttpServer({"/a": Served(redirect_to=f"http://127.0.0.1:25/a?{KEY}")}) as server:
        assert "port 25" in refused(server.url("/a"))


def test_a_redirect_to_a_host_that_is_not_listed_is_refused() -> None:
    rules = DownloadRules(max_bytes=1, allow_http=True, allow_private_addresses=True, allowed_hosts=("127.0.0.1",))
    with HttpServer({"/a": Served(b"x")}, host="127.0.0.2") as other:
        with HttpServer({"/a": Served(redirect_to=other.url(f"/a?{KEY}"))}) as server:
            assert "downloads.allowed_hosts" in refused(server.url("/a"), rules)
        assert other.requests == []


@pytest.mark.parametrize("allow_http", [False, True])
def test_a_redirect_from_https_to_http_needs_to_be_allowed(tmp_path: Path, allow_http: bool) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority.certificate)
    rules = DownloadRules(max_bytes=1, allow_private_addresses=True, allow_http=allow_http, timeout_s=5)
    with (
        HttpServer({"/a": Served(b"x")}) as plain,
        HttpServer({"/a": Served(redirect_to=plain.url("/a"))}, pem=authority.issue("localhost")) as server,
    ):
        if allow_http:
            assert got(server.url("/a"), rules, context=context) == (200, b"x")
        else:
            with pytest.raises(DownloadFailed, match="plain http is not allowed"):
                got(server.url("/a"), rules, context=context)
            assert plain.requests == []


def test_who_asks_is_told_to_the_first_host_only() -> None:
    with HttpServer({"/a": Served(b"x")}, host="127.0.0.2") as other:
        first = {"/a": Served(redirect_to=other.url("/a"), headers={"Set-Cookie": "secret=1"})}
        with HttpServer(first) as server:
            assert got(server.url("/a", host="user:password@127.0.0.1")) == (200, b"x")
            assert server.requests[0].headers["Authorization"].startswith("Basic ")
        assert {"Authorization", "Cookie", "Referer"}.isdisjoint(other.requests[0].headers)


def test_a_range_is_asked_of_the_host_that_has_the_file() -> None:
    with (
        HttpServer({"/a": Served(b"0123456789", etag='"v1"')}, host="127.0.0.2") as other,
        HttpServer({"/a": Served(redirect_to=other.url("/a"))}) as server,
    ):
        assert got(server.url("/a"), headers=RANGE) == (206, b"56789")


def test_a_range_behind_the_end_is_an_answer_only_to_who_asked_for_one() -> None:
    with HttpServer({"/a": Served(b"012", etag='"v1"'), "/b": Served(statuses=[416])}) as server:
        assert got(server.url("/a"), headers=RANGE) == (416, b"")
        assert "416" in refused(server.url(f"/b?{KEY}"))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_worth_another_try(status: int) -> None:
    sentence = f"^a from 127.0.0.1: the server answers {status}$"
    with HttpServer({"/a": Served(statuses=[status])}) as server, pytest.raises(HttpInterrupted, match=sentence):
        got(server.url(f"/a?{KEY}"))


@pytest.mark.parametrize("status", [204, 300, 304, 400, 401, 403, 404, 410, 501, 505])
def test_any_other_answer_is_final(status: int) -> None:
    with HttpServer({"/a": Served(statuses=[status])}) as server:
        assert f"a from 127.0.0.1: the server answers {status}" in refused(server.url(f"/a?{KEY}"))
