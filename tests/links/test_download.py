import asyncio
import hashlib
import os
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bambu_connector.errors import DownloadFailed
from bambu_connector.links import download
from bambu_connector.links.download import HttpDownloader
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.links.wire import Downloaded
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.servers.http import HttpServer, Served
from tests.servers.process import free_port

CONTENT = os.urandom(1_500_000)
LAB = DownloadRules(max_bytes=2_000_000, allow_http=True, allow_private_addresses=True, timeout_s=5)
KEY = "X-Signature=very-secret"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_FIRST_WAIT_S", 0.001)


def with_downloader(
    use: Callable[[HttpDownloader], Awaitable[None]], rules: DownloadRules = LAB, context: ssl.SSLContext | None = None
) -> None:
    async def main() -> None:
        downloader = HttpDownloader(rules, context)
        try:
            await asyncio.wait_for(use(downloader), 20)
        finally:
            downloader.close()

    asyncio.run(main())


def fetched(url: str, target: Path, rules: DownloadRules = LAB, context: ssl.SSLContext | None = None) -> Downloaded:
    found: list[Downloaded] = []

    async def use(downloader: HttpDownloader) -> None:
        found.append(await downloader.fetch(Secret(url), target, lambda done, total: None))

    with_downloader(use, rules, context)
    return found[0]


def refused(url: str, folder: Path, rules: DownloadRules = LAB) -> str:
    """Fetch, expect a failure that leaves nothing behind and tells no secret; return its sentence."""
    sentences: list[str] = []

    async def use(downloader: HttpDownloader) -> None:
        with pytest.raises(DownloadFailed) as caught:
            await downloader.fetch(Secret(url), folder / "target", lambda done, total: None)
        error: BaseException | None = caught.value
        sentences.append(str(error))
        while error is not None and not error.__suppress_context__:
            assert KEY not in repr(error)
            error = error.__cause__ or error.__context__

    with_downloader(use, rules)
    assert KEY not in sentences[0]
    assert "?" not in sentences[0]
    assert list(folder.iterdir()) == []
    return sentences[0]


def test_a_file_comes_whole_with_its_checksums_and_its_progress(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with HttpServer({"/a.3mf": Served(CONTENT)}) as server:

        async def use(downloader: HttpDownloader) -> None:
            def progress(done: int, total: int | None) -> None:
                assert threading.current_thread() is threading.main_thread()
                told.append((done, total))

            found = await downloader.fetch(Secret(server.url(f"/a.3mf?{KEY}")), tmp_path / "a.3mf", progress)
            assert found.path == tmp_path / "a.3mf"
            assert found.size == len(CONTENT)
            assert found.md5 == hashlib.md5(CONTENT).hexdigest()
            assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()

        with_downloader(use)
        request = server.requests[0]
    assert request.path == f"/a.3mf?{KEY}"
    assert request.headers["User-Agent"].startswith("bambu-connector")
    assert "Cookie" not in request.headers
    assert (tmp_path / "a.3mf").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.3mf"]
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_signed_url_is_sent_letter_for_letter(tmp_path: Path) -> None:
    path = "/a%20b%2Fc.3mf?x=%7E~&y=a+b%2B"
    with HttpServer({"/a%20b%2Fc.3mf": Served(b"x")}) as server:
        fetched(server.url(path), tmp_path / "target")
        assert server.requests[0].path == path


def test_a_url_with_spaces_and_umlauts_is_quoted(tmp_path: Path) -> None:
    with HttpServer({"/my%20f%C3%BCle.3mf": Served(b"x")}) as server:
        fetched(server.url("/my füle.3mf"), tmp_path / "target")


# -- breaks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("proof", [{"etag": '"v1"'}, {"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_download_that_breaks_goes_on_where_it_was(tmp_path: Path, proof: dict[str, str]) -> None:
    with HttpServer({"/a": Served(CONTENT, drops=[700_000, 300_000], **proof)}) as server:  # type: ignore[arg-type]
        found = fetched(server.url("/a"), tmp_path / "a")
        first, second, third = server.requests
    assert "Range" not in first.headers
    # aiohttp throws away what it had read and not handed over when the connection broke.
    went_on_at = int(second.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < went_on_at <= 700_000
    again = int(third.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert went_on_at <= again <= went_on_at + 300_000
    assert second.headers["If-Range"] in proof.values()
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert found.md5 == hashlib.md5(CONTENT).hexdigest()
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "served",
    [
        Served(CONTENT, drops=[700_000], etag='"v1"', ranges=False),
        Served(CONTENT, drops=[700_000], etag='W/"v1"'),
        Served(CONTENT, drops=[700_000]),
    ],
    ids=["no ranges", "weak tag", "no tag"],
)
def test_a_server_that_cannot_go_on_starts_over(tmp_path: Path, served: Served) -> None:
    with HttpServer({"/a": served}) as server:
        found = fetched(server.url("/a"), tmp_path / "a")
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_fetched_anew(tmp_path: Path) -> None:
    first = Served(CONTENT, drops=[700_000], etag='"v1"')
    with HttpServer({"/a": first}) as server:

        async def use(downloader: HttpDownloader) -> None:
            def change(done: int, total: int | None) -> None:
                server.files["/a"] = Served(b"another", etag='"v2"')

            found = await downloader.fetch(Secret(server.url("/a")), tmp_path / "a", change)
            assert found.sha256 == hashlib.sha256(b"another").hexdigest()

        with_downloader(use)
    assert (tmp_path / "a").read_bytes() == b"another"


def test_a_server_that_goes_on_at_the_wrong_place_is_not_believed(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(CONTENT, drops=[700_000], etag='"v1"', range_shift=7)}) as server:
        assert fetched(server.url("/a"), tmp_path / "a").sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_a_server_that_is_busy_is_asked_again(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"x", statuses=[503, 500, 429])}) as server:
        assert fetched(server.url("/a"), tmp_path / "a").size == 1


def test_a_server_that_always_breaks_is_given_up(tmp_path: Path) -> None:
    with HttpServer({"/a.3mf": Served(CONTENT, drops=[10] * 100, etag='"v1"')}) as server:
        sentence = refused(server.url(f"/a.3mf?{KEY}"), tmp_path)
        assert len(server.requests) == 5
    assert "a.3mf from 127.0.0.1" in sentence


def test_a_server_that_stalls_is_given_up(tmp_path: Path) -> None:
    rules = DownloadRules(max_bytes=2_000_000, allow_http=True, allow_private_addresses=True, timeout_s=0.05)
    with HttpServer({"/a": Served(CONTENT, stall_after=10)}) as server:
        assert "nothing any more" in refused(server.url(f"/a?{KEY}"), tmp_path, rules)


def test_a_length_that_is_not_reached_is_no_success(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"x" * 10, length=11)}) as server:
        refused(server.url("/a"), tmp_path)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_not_asked_for_again(tmp_path: Path, status: int) -> None:
    with HttpServer({"/a": Served(statuses=[status])}) as server:
        assert str(status) in refused(server.url(f"/a?{KEY}"), tmp_path)
        assert len(server.requests) == 1


def test_an_empty_file_is_no_file(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"")}) as server:
        assert "empty" in refused(server.url("/a"), tmp_path)


def test_too_large_a_file_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"", length=2_000_001, stall_after=0)}) as server:
        assert "larger" in refused(server.url("/a"), tmp_path)


def test_too_large_a_file_without_a_length_is_cut_off(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"x" * 2_000_001, length=-1)}) as server:
        assert "larger" in refused(server.url("/a"), tmp_path)


def test_a_file_of_just_the_size_is_allowed(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"x" * 2_000_000, length=-1)}) as server:
        assert fetched(server.url("/a"), tmp_path / "a").size == 2_000_000


def test_plain_http_needs_to_be_allowed(tmp_path: Path) -> None:
    rules = DownloadRules(max_bytes=1, allow_private_addresses=True)
    with HttpServer({"/a": Served(b"x")}) as server:
        assert "http" in refused(server.url(f"/a?{KEY}"), tmp_path, rules)
        assert server.requests == []


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/a", "file:///etc/passwd", "/etc/passwd", "", "http://", "http://[::1", "http://a\r\nb/", "x:y"],
)
def test_what_is_not_a_web_address_is_refused(tmp_path: Path, url: str) -> None:
    refused(url, tmp_path)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.50",
        "169.254.169.254",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
        "240.0.0.1",
    ],
)
def test_private_addresses_in_every_spelling_are_refused(tmp_path: Path, host: str) -> None:
    rules = DownloadRules(max_bytes=1, allow_http=True)
    assert "private" in refused(f"http://{host}:1/a?{KEY}", tmp_path, rules)


def test_a_redirect_is_followed_with_its_query_kept_to_ourselves(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(redirect_to=f"/b?{KEY}"), "/b": Served(b"x")}) as server:
        assert fetched(server.url("/a"), tmp_path / "a").size == 1
        assert [request.path for request in server.requests] == ["/a", f"/b?{KEY}"]


def test_a_redirect_to_a_private_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first hop is public for once; the name in the second is not.
    monkeypatch.setattr("bambu_connector.links.http_get.is_public", lambda address: address == "127.0.0.1")
    rules = DownloadRules(max_bytes=1, allow_http=True)
    with HttpServer({"/a": Served(b"x")}, host="127.0.0.2") as inner:
        with HttpServer({"/a": Served(redirect_to=inner.url(f"/a?{KEY}"))}) as server:
            assert "private" in refused(server.url("/a"), tmp_path, rules)
        assert inner.requests == []


def test_a_redirect_to_plain_http_is_refused_where_that_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority.certificate)
    rules = DownloadRules(max_bytes=1, allow_private_addresses=True)
    with (
        HttpServer({"/a": Served(b"x")}) as plain,
        HttpServer({"/a": Served(redirect_to=plain.url("/a"))}, pem=authority.issue("localhost")) as server,
    ):
        with pytest.raises(DownloadFailed, match="plain http"):
            fetched(server.url("/a"), tmp_path / "a", rules, context)
        assert plain.requests == []


def test_redirects_in_a_circle_end(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(redirect_to=f"/a?{KEY}")}) as server:
        assert "redirects" in refused(server.url("/a"), tmp_path)
        assert len(server.requests) == 6


def test_only_the_allowed_hosts_are_asked(tmp_path: Path) -> None:
    rules = DownloadRules(
        max_bytes=10, allow_http=True, allow_private_addresses=True, allowed_hosts=("Files.Example.org", "localhost")
    )
    with HttpServer({"/a": Served(redirect_to="/b"), "/b": Served(b"x")}) as server:
        assert "allowed_hosts" in refused(server.url(f"/a?{KEY}"), tmp_path, rules)
        assert server.requests == []
        assert fetched(server.url("/a", host="localhost"), tmp_path / "a", rules).size == 1


def test_a_certificate_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    folder.mkdir()
    (tmp_path / "target").mkdir()
    rules = DownloadRules(max_bytes=1, allow_private_addresses=True)
    with HttpServer({"/a": Served(b"x")}, pem=Authority(folder).issue("127.0.0.1")) as server:
        assert "not trusted" in refused(server.url(f"/a?{KEY}"), tmp_path / "target", rules)
        assert server.requests == []


def test_a_host_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "127.0.0.1" in refused(f"http://127.0.0.1:{free_port()}/a?{KEY}", tmp_path)
    assert "nobody.invalid" in refused(f"http://nobody.invalid/a?{KEY}", tmp_path)


def test_proxies_of_the_environment_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with HttpServer({"/a": Served(b"x")}) as server:
        assert fetched(server.url("/a"), tmp_path / "a").size == 1


def test_a_cancelled_download_leaves_nothing_behind(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(CONTENT, stall_after=600_000)}) as server:

        async def use(downloader: HttpDownloader) -> None:
            begun = asyncio.Event()
            download = asyncio.create_task(
                downloader.fetch(Secret(server.url("/a")), tmp_path / "a", lambda done, total: begun.set())
            )
            await begun.wait()
            download.cancel()
            with pytest.raises(asyncio.CancelledError):
                await download

        with_downloader(use)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"x")}) as server:

        async def use(downloader: HttpDownloader) -> None:
            with pytest.raises(DownloadFailed, match="cannot be written"):
                await downloader.fetch(Secret(server.url("/a")), tmp_path / "no" / "a", lambda done, total: None)

        with_downloader(use)
