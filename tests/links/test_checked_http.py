import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.links import checked_http
from bambu_connector.links.checked_http import HttpInterrupted, HttpRefused, checked_session, name_of, parse_url
from bambu_connector.links.download_rules import DownloadRules, is_public
from tests.servers.http import HttpServer, Served

KEY = "X-Signature=very-secret"
STRICT = DownloadRules(max_bytes=1, allow_http=True, timeout_s=5)
LAB = DownloadRules(max_bytes=1, allow_http=True, allow_private_addresses=True, timeout_s=5)


async def _asked(url: str, rules: DownloadRules) -> bytes:
    async with checked_session(rules, None) as session, session.get(parse_url(url), {}) as response:
        return await response.read()


def asked(url: str, rules: DownloadRules) -> bytes:
    return asyncio.run(asyncio.wait_for(_asked(url, rules), 20))


def refused(url: str, rules: DownloadRules = STRICT) -> str:
    with pytest.raises(HttpRefused) as caught:
        asked(url, rules)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert KEY not in str(caught.value)
    assert "password" not in str(caught.value)
    return str(caught.value)


class Listener:
    """Listens on every address of this machine, and tells whether anybody ever came."""

    def __init__(self) -> None:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._socket = socket.create_server(("", 0), family=family, dualstack_ipv6=both)
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    def was_reached(self) -> bool:
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Sequence[str]]]:
    """What names resolve to: a list of answers, the last of which stays. Nothing else is resolved."""
    answers: dict[str, list[Sequence[str]]] = {}

    def look_up(host: str, port: int, *args: object, **options: object) -> list[Any]:
        with contextlib.suppress(ValueError):
            version = ipaddress.ip_address(host).version
            return [_entry(host, port, version)]
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [_entry(each, port, ipaddress.ip_address(each).version) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


def _entry(address: str, port: int, version: int) -> tuple[Any, ...]:
    family, rest = (socket.AF_INET, ()) if version == 4 else (socket.AF_INET6, (0, 0))
    return family, socket.SOCK_STREAM, 6, "", (address, port, *rest)


@pytest.fixture
def only_first_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the addresses of this machine one takes the part of the internet."""
    monkeypatch.setattr(checked_http, "_is_elsewhere", lambda family, address: address == "127.0.0.1")


# -- private addresses -----------------------------------------------------------------------------

THIS_MACHINE = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "0X7f.0.0.0x1",
    "127.8.8.8",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "１２７.０.０.１",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "ⅼocalhost",
    "8.8.8.8@127.0.0.1",
    "files.example.org:443@127.0.0.1",
    "a@b@127.0.0.1",
    "user:password@127.0.0.1",
    "%31@2130706433",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:FFFF:7F00:0001]",
]


@pytest.mark.parametrize("host", THIS_MACHINE)
def test_this_machine_is_not_connected_to_in_any_spelling(listener: Listener, host: str) -> None:
    assert "private network" in refused(f"http://{host}:{listener.port}/a?{KEY}")
    assert not listener.was_reached()


@pytest.mark.parametrize("host", THIS_MACHINE)
def test_each_of_these_spellings_would_reach_this_machine(listener: Listener, host: str) -> None:
    # Shows that the test above can fail. Nobody answers, so that the time for it runs out.
    rules = DownloadRules(max_bytes=1, allow_http=True, allow_private_addresses=True, timeout_s=0.05)
    with contextlib.suppress(HttpInterrupted):
        asked(f"http://{host}:{listener.port}/a", rules)
    assert listener.was_reached()


@pytest.mark.parametrize(
    "host",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.50",
        "192.168.306",
        "3232235826",
        "169.254.169.254",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "2852039166",
        "100.100.100.200",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "[::]",
        "[::1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::808:808]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2606:4700::5efe:10.0.0.1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
    ],
)
def test_private_addresses_are_refused(host: str) -> None:
    assert "private network" in refused(f"http://{host}:8080/a?{KEY}")


@pytest.mark.parametrize(
    "host",
    [
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        "[::1%25lo]",
        "%31%32%37.0.0.1",
        "1.2.3.4.5",
        "256.256.256.256",
        "4294967296",
        "example.1",
        "example.org..",
        "a..b",
        "",
    ],
)
def test_what_is_no_host_is_refused(host: str, names: dict[str, Any]) -> None:
    refused(f"http://{host}:8080/a?{KEY}")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1\\@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "http://exa\tmple.org/",
        "http://example.org/\r\nHost: a",
        "http://example.org/\x00",
        "http://a:b:c/",
        "http://a:99999/",
        "http://[127.0.0.1]/",
        "http:///127.0.0.1/",
        "http:127.0.0.1",
        "//127.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/x",
        "unix:///run/docker.sock",
        "data:,x",
        "\udcff",
        "http://\ud800/",
    ],
)
def test_what_browsers_and_libraries_read_differently_is_refused(url: str) -> None:
    refused(url)


@pytest.mark.parametrize("url", ["ws://8.8.8.8:8080/a", "ftp://8.8.8.8:8080/a", "//8.8.8.8:8080/a", "a", "https:///a"])
def test_only_web_addresses_are_asked(url: str) -> None:
    assert "only https URLs are fetched" in refused(f"{url}?{KEY}")


PRIVATE = st.sampled_from(
    [ipaddress.IPv4Network(each) for each in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    + [ipaddress.IPv4Network(each) for each in ("169.254.0.0/16", "100.64.0.0/10", "0.0.0.0/8", "224.0.0.0/3")]
)


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """A private IPv4 address in one of the ways in which it can be written."""
    number = int(draw(PRIVATE.flatmap(lambda network: st.ip_addresses(network=network))))
    if draw(st.booleans()):
        text = str(ipaddress.IPv4Address(number))
        high, low = number >> 16, number & 0xFFFF
        wrapped = st.sampled_from([f"::ffff:{text}", f"::{text}", f"64:ff9b::{text}", f"2002:{high:x}:{low:x}::1"])
        inside = draw(wrapped | st.just(f"::FFFF:{high:04X}:{low:04X}"))
        return f"[{inside}]"
    parts = draw(st.integers(1, 4))
    heads = [number >> shift & 0xFF for shift in (24, 16, 8)[: parts - 1]]
    tail = number & ((1 << (32 - 8 * (parts - 1))) - 1)
    zeros = "0" * draw(st.integers(0, 4))
    forms = ["{:d}", "0x{:x}", f"0x{zeros}{{:X}}", f"0{zeros}{{:o}}"]
    spelt = ".".join(draw(st.sampled_from(forms)).format(part) for part in (*heads, tail))
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    return draw(st.sampled_from([spelt, f"{spelt}.", f"public.example@{spelt}", spelt.translate(wide)]))


@given(spellings())
def test_no_spelling_of_a_private_address_passes(spelling: str) -> None:
    at = checked_http._with_canonical_host(parse_url(f"http://{spelling}:8080/a"))
    assert at.raw_host is not None
    assert not is_public(at.raw_host)


@given(st.text(max_size=30) | st.text("0123456789abcdefx.:[]%@/\\?#-ⅼ。１", max_size=30))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://{text}/a"):
        with contextlib.suppress(HttpRefused):
            at = checked_http._with_canonical_host(parse_url(url))
            assert at.raw_host
            assert at.scheme in ("http", "https")
        assert "\n" not in name_of(url)


# -- names -----------------------------------------------------------------------------------------


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(
    names: dict[str, Any], only_first_is_public: None
) -> None:
    with HttpServer({"/a": Served(b"public")}) as public:
        with HttpServer({"/a": Served(b"inside")}, host="127.0.0.2", port=public.port) as inside:
            names["rebinding.example"] = [["127.0.0.1"], ["127.0.0.2"]]
            assert asked(f"http://rebinding.example:{public.port}/a", STRICT) == b"public"
            assert inside.requests == []
            # The second request asks anew, and is refused.
            assert "private network" in refused(f"http://rebinding.example:{public.port}/a?{KEY}")
            assert inside.requests == []
        assert public.requests[0].headers["Host"] == f"rebinding.example:{public.port}"


def test_of_several_addresses_only_the_public_ones_are_tried(names: dict[str, Any], only_first_is_public: None) -> None:
    names["mixed.example"] = [["127.0.0.2", "127.0.0.1", "127.0.0.3"]]
    with HttpServer({"/a": Served(b"inside")}, host="127.0.0.2") as inside:
        # Nobody listens at the public address, and still the private one is not the way out.
        with pytest.raises(HttpInterrupted, match="cannot connect"):
            asked(f"http://mixed.example:{inside.port}/a?{KEY}", STRICT)
        assert inside.requests == []
        with HttpServer({"/a": Served(b"public")}, port=inside.port):
            assert asked(f"http://mixed.example:{inside.port}/a", STRICT) == b"public"
        assert inside.requests == []


@pytest.mark.parametrize("host", ["private.example", "PRIVATE.example", "private.example."])
def test_a_name_for_a_private_address_is_refused(names: dict[str, Any], listener: Listener, host: str) -> None:
    names["private.example"] = names["private.example."] = [["127.0.0.1", "::1"]]
    assert "private network" in refused(f"http://{host}:{listener.port}/a?{KEY}")
    assert not listener.was_reached()


def test_a_name_that_nobody_knows_may_be_known_later(names: dict[str, Any]) -> None:
    with pytest.raises(HttpInterrupted, match=r"nobody\.example: the host cannot be resolved: Name or service"):
        asked(f"https://nobody.example/a?{KEY}", STRICT)


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async def never(*args: object, **options: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        with pytest.raises(HttpInterrupted, match="cannot be resolved: no answer"):
            await _asked("https://slow.example/a", DownloadRules(max_bytes=1, timeout_s=0.01))

    asyncio.run(main())


# -- this site -------------------------------------------------------------------------------------


class _Probe:
    """A datagram socket of a machine with public addresses."""

    ours: str

    def __init__(self, family: int, kind: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def connect(self, address: tuple[str, int]) -> None:
        if not self.ours:
            raise OSError("Network is unreachable")

    def getsockname(self) -> tuple[str, int]:
        return self.ours, 0


@pytest.mark.parametrize(
    ("ours", "theirs", "elsewhere"),
    [
        ("2606:4700:1:2::3", "2606:4700:1:2::4", False),
        ("2606:4700:1:2::3", "2606:4700:1:ff::4", False),
        ("2606:4700:1:2::3", "2606:4700:2:2::4", True),
        ("fd00::3", "2606:4700:2:2::4", True),
        ("8.8.8.8", "8.8.8.8", False),
        ("8.8.8.8", "8.8.8.9", True),
        ("192.168.1.2", "8.8.8.8", True),
        ("", "8.8.8.8", True),
        ("192.168.1.2", "192.168.1.3", False),
    ],
)
def test_the_public_addresses_of_this_site_are_not_elsewhere(
    monkeypatch: pytest.MonkeyPatch, ours: str, theirs: str, elsewhere: bool
) -> None:
    monkeypatch.setattr(_Probe, "ours", ours, raising=False)
    monkeypatch.setattr("bambu_connector.links.checked_http.socket.socket", _Probe)
    family = socket.AF_INET6 if ":" in theirs else socket.AF_INET
    assert checked_http._is_elsewhere(family, theirs) is elsewhere


def test_this_machine_asks_its_own_routes() -> None:
    assert checked_http._is_elsewhere(socket.AF_INET, "8.8.8.8")


# -- settings --------------------------------------------------------------------------------------

NOTHING = DownloadRules(max_bytes=1, timeout_s=5)


def test_both_settings_are_named_at_once_where_both_are_needed(listener: Listener) -> None:
    sentence = refused(f"http://127.0.0.1:{listener.port}/a?{KEY}", NOTHING)
    assert sentence == (
        "a from 127.0.0.1: plain http and a host in a private network are not allowed; "
        "to allow it, set downloads.allow_http and downloads.allow_private_addresses to true"
    )
    assert not listener.was_reached()


def test_only_the_setting_that_is_needed_is_named(names: dict[str, Any], listener: Listener) -> None:
    private = refused(f"https://127.0.0.1:{listener.port}/a?{KEY}", NOTHING)
    assert private.endswith(
        ": a host in a private network is not allowed; to allow it, set downloads.allow_private_addresses to true"
    )
    allowing = DownloadRules(max_bytes=1, allow_private_addresses=True)
    plain = refused(f"http://127.0.0.1:{listener.port}/a?{KEY}", allowing)
    assert plain.endswith(": plain http is not allowed; to allow it, set downloads.allow_http to true")
    assert refused(f"http://8.8.8.8/a?{KEY}", NOTHING).endswith(plain.partition(":")[2])
    assert refused(f"http://nobody.example/a?{KEY}", NOTHING).endswith(plain.partition(":")[2])
    assert not listener.was_reached()


@pytest.mark.parametrize("port", [22, 25, 990])
def test_ports_of_other_services_are_refused_even_in_a_private_network(port: int) -> None:
    assert f"port {port}" in refused(f"http://127.0.0.1:{port}/a?{KEY}", LAB)


def test_a_host_that_the_owner_listed_may_serve_on_any_port() -> None:
    listed = replace(LAB, allowed_hosts=("127.0.0.1",))
    with pytest.raises(HttpInterrupted, match="cannot connect"):  # nobody is there
        asked(f"http://127.0.0.1:22222/a?{KEY}", listed)
    with pytest.raises(HttpInterrupted, match="cannot connect"):
        asked(f"http://127.0.0.1:1/a?{KEY}", listed)


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("files.example.org", "Files.Example.ORG"),
        ("FILES.example.org", "files.example.org."),
        ("files.example.org.", "files.example.org"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", "münchen.example"),
        ("xn--mnchen-3ya.example", "München.example"),
        ("ｆiles.example.org", "files.example.org"),
        ("127.1", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "::FFFF:7f00:1"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
    ],
)
def test_a_listed_host_is_the_same_however_it_is_written(
    names: dict[str, Any], listener: Listener, host: str, listed: str
) -> None:
    for name in ("files.example.org", "xn--mnchen-3ya.example"):
        names[name] = names[f"{name}."] = [["127.0.0.1"]]
    rules = DownloadRules(
        max_bytes=1, allow_http=True, allow_private_addresses=True, allowed_hosts=("other", listed), timeout_s=0.05
    )
    with pytest.raises(HttpInterrupted, match="nothing any more"):
        asked(f"http://{host}:{listener.port}/a", rules)
    assert listener.was_reached()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "evil-files.example.org",
        "files.example.org.evil.example",
        "a.files.example.org",
        "files.example.org@127.0.0.1",
        "example.org",
        "fıles.example.org",
    ],
)
def test_a_host_that_is_not_listed_is_refused(names: dict[str, Any], listener: Listener, host: str) -> None:
    rules = DownloadRules(
        max_bytes=1,
        allow_http=True,
        allow_private_addresses=True,
        allowed_hosts=("files.example.org", "*", "", "[", "a b", "files.example.org:80"),
    )
    assert "downloads.allowed_hosts" in refused(f"http://{host}:{listener.port}/a?{KEY}", rules)
    assert not listener.was_reached()


def test_a_listed_host_may_still_not_be_in_a_private_network(names: dict[str, Any], listener: Listener) -> None:
    names["files.example.org"] = [["127.0.0.1"]]
    rules = DownloadRules(max_bytes=1, allow_http=True, allowed_hosts=("files.example.org",))
    assert "private network" in refused(f"http://files.example.org:{listener.port}/a?{KEY}", rules)
    assert not listener.was_reached()


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000,
        b"HTTP/1.1 200 " + b"a" * 1_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(100_000)),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["header", "status", "headers", "ssh", "negative length", "two lengths", "chunks"],
)
def test_an_answer_that_is_not_http_is_an_error_in_a_sentence(raw: bytes) -> None:
    with HttpServer({"/a": Served(raw=raw)}) as server, pytest.raises((HttpRefused, HttpInterrupted)) as caught:
        asked(server.url(f"/a?{KEY}"), LAB)
    assert str(caught.value).startswith("a from 127.0.0.1: ")
    assert KEY not in str(caught.value)


def test_headers_that_drip_are_not_waited_for() -> None:
    rules = DownloadRules(max_bytes=1, allow_http=True, allow_private_addresses=True, timeout_s=0.1)
    served = Served(raw=b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2000, drip_s=0.02)
    with HttpServer({"/a": served}) as server, pytest.raises(HttpInterrupted, match="nothing any more"):
        asked(server.url("/a"), rules)


def test_nothing_is_unpacked() -> None:
    with HttpServer({"/a": Served(b"\x1f\x8b not gzip", headers={"Content-Encoding": "gzip"})}) as server:
        assert asked(server.url("/a"), LAB) == b"\x1f\x8b not gzip"
        assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_an_answer_is_given_as_it_is() -> None:
    async def main() -> None:
        with HttpServer({"/a": Served(redirect_to="/b")}) as server:
            async with checked_session(LAB, None) as session, session.get(parse_url(server.url("/a")), {}) as response:
                assert response.status == 302
            assert [request.path for request in server.requests] == ["/a"]

    asyncio.run(main())


# -- sentences -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://files.example.org/a/b.3mf?key=secret#x", "b.3mf from files.example.org"),
        ("https://user:secret@files.example.org/b.3mf", "b.3mf from files.example.org"),
        ("https://files.example.org", "/ from files.example.org"),
        ("https://files.example.org/my%20file.3mf", "my file.3mf from files.example.org"),
        ("https://files.example.org/a%0Ab%1B[31m.3mf", "a\ufffdb\ufffd[31m.3mf from files.example.org"),
        ("https://files.example.org/" + "a" * 500, "a" * 100 + " from files.example.org"),
        ("http://[secret", "the URL"),
        ("http://secret:99999/", "the URL"),
        ("secret", "the URL"),
    ],
)
def test_a_url_is_named_without_its_secrets(url: str, name: str) -> None:
    assert name_of(url) == name
