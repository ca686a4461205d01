import asyncio
import errno
import gzip
import hashlib
import json
import os
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bambu_connector.errors import DownloadFailed
from bambu_connector.links import download, pace, part_file
from bambu_connector.links.download import HttpDownloader
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.links.part_file import PartFile
from bambu_connector.links.wire import Downloaded
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.servers.http import HttpServer, Served
from tests.servers.process import free_port, wait_until

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


def test_a_redirect_is_followed_with_its_query_kept_to_ourselves(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(redirect_to=f"/b?{KEY}"), "/b": Served(b"x")}) as server:
        assert fetched(server.url("/a"), tmp_path / "a").size == 1
        assert [request.path for request in server.requests] == ["/a", f"/b?{KEY}"]


def test_a_redirect_to_a_private_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first hop is public for once; the name in the second is not.
    monkeypatch.setattr(
        "bambu_connector.links.checked_http._is_elsewhere", lambda family, address: address == "127.0.0.1"
    )
    rules = DownloadRules(max_bytes=1, allow_http=True)
    with HttpServer({"/a": Served(b"x")}, host="127.0.0.2") as inner:
        with HttpServer({"/a": Served(redirect_to=inner.url(f"/a?{KEY}"))}) as server:
            assert "private" in refused(server.url("/a"), tmp_path, rules)
        assert inner.requests == []


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


# -- another process -------------------------------------------------------------------------------

_FETCH = """
import asyncio, sys
from pathlib import Path
from bambu_connector.links import part_file
from bambu_connector.links.download import HttpDownloader
from bambu_connector.links.download_rules import DownloadRules
from bambu_connector.secret import Secret

part_file._SYNC_BYTES = 200_000
rules = DownloadRules(max_bytes=2_000_000, allow_http=True, allow_private_addresses=True)
fetch = HttpDownloader(rules).fetch(Secret(sys.stdin.readline().strip()), Path(sys.argv[1]), lambda done, total: None)
asyncio.run(fetch)
"""


def killed_while_fetching(server: HttpServer, target: Path) -> int:
    """Leave what a process leaves that is killed in the middle; return how much of the file is known to be there.

    The server's "/a" has to stall behind the first 600 kB.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _FETCH, str(target)], stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdin is not None
        process.stdin.write(server.url(f"/a?{KEY}-first\n"))
        process.stdin.close()
        slip = target.with_name(f"{target.name}.part.json")
        try:
            wait_until("the slip", slip.exists)
        finally:
            process.kill()
    server.requests.clear()
    assert not target.exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.parent.iterdir()} == {0o600}
    assert KEY not in slip.read_text()
    return int(json.loads(slip.read_text())["size"])


def test_a_download_goes_on_in_another_process_after_a_kill(tmp_path: Path) -> None:
    served = Served(CONTENT, stall_after=600_000, etag='"v1"')
    with HttpServer({"/a": served}) as server:
        size = killed_while_fetching(server, tmp_path / "job-1")
        assert 200_000 <= size <= 600_000
        served.stall_after = None
        found = fetched(server.url(f"/a?{KEY}-second"), tmp_path / "job-1")
        (request,) = server.requests
    assert request.headers["Range"] == f"bytes={size}-"
    assert request.headers["If-Range"] == '"v1"'
    assert found.size == len(CONTENT)
    assert found.md5 == hashlib.md5(CONTENT).hexdigest()
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "job-1").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["job-1"]
    assert stat.S_IMODE((tmp_path / "job-1").stat().st_mode) == 0o600


def left_by_a_kill(target: Path, url: str, content: bytes, total: int | None, validator: str = '"v1"') -> None:
    """Leave what a process leaves that is killed when so much was on the disk."""
    part = PartFile(target, url)
    part.open()
    part.describe(validator, total)
    part._sync(0.0)
    part.append(content)
    part._sync(0.0)
    part._close()


@pytest.mark.parametrize(
    "served",
    [
        Served(CONTENT, etag='"v2"'),
        Served(CONTENT, etag='"v1"', ranges=False),
        Served(CONTENT, etag='"v1"', total=len(CONTENT) + 1),
        Served(CONTENT, etag='"v1"', range_shift=1),
        Served(CONTENT, etag='"v1"', headers={"ETag": '"v2"'}),
        Served(CONTENT, etag='"v1"', headers={"Content-Range": "bytes */1500000"}),
        Served(CONTENT, etag='"v1"', headers={"Content-Range": "nonsense"}),
        Served(CONTENT[:400_000], etag='"v1"'),
        Served(CONTENT + b"x", etag='"v1"'),
    ],
    ids="changed,no-ranges,total,shifted,other-tag,no-range,nonsense,shorter,longer".split(","),
)
def test_what_another_process_fetched_of_another_file_is_thrown_away(tmp_path: Path, served: Served) -> None:
    with HttpServer({"/a": served}) as server:
        left_by_a_kill(tmp_path / "a", server.url("/a"), b"of another file" * 40_000, len(CONTENT))
        found = fetched(server.url("/a"), tmp_path / "a")
    assert found.sha256 == hashlib.sha256(served.content).hexdigest()
    assert "Range" in server.requests[0].headers
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_was_whole_when_the_process_was_killed_is_not_fetched_again(tmp_path: Path) -> None:
    with HttpServer({}) as server:
        left_by_a_kill(tmp_path / "a", server.url("/a"), CONTENT, len(CONTENT))
        assert fetched(server.url("/a"), tmp_path / "a").sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert server.requests == []


def test_a_part_that_is_too_large_by_now_is_refused(tmp_path: Path) -> None:
    rules = DownloadRules(max_bytes=10, allow_http=True, allow_private_addresses=True)
    with HttpServer({"/a": Served(CONTENT, etag='"v1"')}) as server:
        left_by_a_kill(tmp_path / "target", server.url("/a"), CONTENT[:11], 11)
        assert "larger" in refused(server.url("/a"), tmp_path, rules)


def test_progress_goes_on_where_it_was(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with HttpServer({"/a": Served(CONTENT, etag='"v1"')}) as server:
        left_by_a_kill(tmp_path / "a", server.url("/a"), CONTENT[:1_000_000], len(CONTENT))

        async def use(downloader: HttpDownloader) -> None:
            await downloader.fetch(
                Secret(server.url("/a")), tmp_path / "a", lambda done, total: told.append((done, total))
            )

        with_downloader(use)
    assert all(done > 1_000_000 and total == len(CONTENT) for done, total in told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("most", [1, 1_048_576])
def test_a_server_that_gives_less_than_was_asked_is_asked_for_the_rest(tmp_path: Path, most: int) -> None:
    start = len(CONTENT) - 3 * most if most == 1 else 100_000
    with HttpServer({"/a": Served(CONTENT, etag='"v1"', most_of_a_range=most)}) as server:
        left_by_a_kill(tmp_path / "a", server.url("/a"), CONTENT[:start], None)
        assert fetched(server.url("/a"), tmp_path / "a").sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert len(server.requests) == (3 if most == 1 else 2)


def test_a_server_that_sends_more_than_there_is_starts_over(tmp_path: Path) -> None:
    raw = f"HTTP/1.1 206 Partial\r\nContent-Range: bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}\r\n\r\n".encode()
    with HttpServer({"/a": Served(raw=raw + CONTENT)}) as server:
        left_by_a_kill(tmp_path / "a", server.url("/a"), CONTENT[:10], len(CONTENT))

        async def use(downloader: HttpDownloader) -> None:
            def mend(done: int, total: int | None) -> None:
                server.files["/a"] = Served(CONTENT)

            found = await downloader.fetch(Secret(server.url("/a")), tmp_path / "a", mend)
            assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()

        with_downloader(use)
    assert len(server.requests) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff" * 5000])
def test_a_damaged_slip_is_ignored(tmp_path: Path, damage: bytes) -> None:
    with HttpServer({"/a": Served(CONTENT, etag='"v1"')}) as server:
        left_by_a_kill(tmp_path / "a", server.url("/a"), CONTENT[:1000], len(CONTENT))
        (tmp_path / "a.part.json").write_bytes(damage)
        assert fetched(server.url("/a"), tmp_path / "a").sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert "Range" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("modified", "sent", "proves"),
    [
        ("Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:01 GMT", True),
        ("Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 GMT", False),
        ("Mon, 01 Jan 2024 00:00:00 GMT", "Sun, 31 Dec 2023 00:00:00 GMT", False),
        ("yesterday", "Mon, 01 Jan 2024 00:00:01 GMT", False),
        ("Mon, 01 Jan 2024 00:00:00", "Mon, 01 Jan 2024 00:00:01 GMT", False),
        ("Mon, 01 Jan 2024 00:00:00 GMT", "", False),
    ],
)
def test_a_date_proves_a_file_only_when_it_is_not_of_just_now(
    tmp_path: Path, modified: str, sent: str, proves: bool
) -> None:
    head = f"HTTP/1.1 200 OK\r\nLast-Modified: {modified}\r\nDate: {sent}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    with HttpServer({"/a": Served(raw=head.encode() + CONTENT[:1_000_000])}) as server:

        async def use(downloader: HttpDownloader) -> None:
            def mend(done: int, total: int | None) -> None:
                server.files["/a"] = Served(CONTENT, last_modified=modified)

            found = await downloader.fetch(Secret(server.url("/a")), tmp_path / "a", mend)
            assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()

        with_downloader(use)
    assert ("Range" in server.requests[1].headers) is proves


@pytest.mark.parametrize("header", ['ETag: "\xff"', 'ETag: "' + "x" * 5000 + '"', "Last-Modified: \xff"])
def test_what_cannot_be_sent_back_proves_nothing(tmp_path: Path, header: str) -> None:
    head = f"HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    with HttpServer({"/a": Served(raw=head.encode("latin-1") + CONTENT[:1_000_000])}) as server:

        async def use(downloader: HttpDownloader) -> None:
            def mend(done: int, total: int | None) -> None:
                server.files["/a"] = Served(CONTENT)

            found = await downloader.fetch(Secret(server.url("/a")), tmp_path / "a", mend)
            assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()

        with_downloader(use)
    assert "If-Range" not in server.requests[1].headers


# -- time, memory and the disk ---------------------------------------------------------------------


def test_a_server_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "WINDOW_S", 0.1)
    rules = DownloadRules(max_bytes=2_000_000, allow_http=True, allow_private_addresses=True, timeout_s=0.05)
    with HttpServer({"/a": Served(CONTENT, drip_s=0.01, etag='"v1"')}) as server:
        sentence = refused(server.url(f"/a?{KEY}"), tmp_path, rules)
        assert sentence == "a from 127.0.0.1: the server sends less than 4 KiB/s (5 attempts)"
        assert len(server.requests) == 5


def test_a_download_has_an_end_whatever_the_server_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "longest_s", lambda max_bytes: 0.1)
    with HttpServer({"/a": Served(CONTENT, drip_s=0.01)}) as server:
        assert "not done after 0.0 hours" in refused(server.url(f"/a?{KEY}"), tmp_path)


def test_a_file_without_an_end_is_cut_off(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(b"x" * 65536, endless=True)}) as server:
        assert "larger" in refused(server.url(f"/a?{KEY}"), tmp_path)


def test_a_packed_file_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with HttpServer({"/a": Served(bomb, headers={"Content-Encoding": "gzip"})}) as server:
        assert fetched(server.url("/a"), tmp_path / "a").size == len(bomb)


@pytest.mark.parametrize("drops", [[700_000] * 9, []])
def test_neither_failing_nor_being_cancelled_leaves_a_slip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drops: list[int]
) -> None:
    monkeypatch.setattr(part_file, "_SYNC_BYTES", 1)
    slip = tmp_path / "a.part.json"
    with HttpServer({"/a": Served(CONTENT, etag='"v1"', drops=drops, stall_after=700_000, ranges=False)}) as server:

        async def use(downloader: HttpDownloader) -> None:
            download = asyncio.create_task(
                downloader.fetch(Secret(server.url("/a")), tmp_path / "a", lambda done, total: None)
            )
            seen = False
            while not download.done():
                seen = seen or slip.exists()
                if seen and not drops:
                    break
                await asyncio.sleep(0.001)
            assert seen
            if not drops:
                download.cancel()
            with pytest.raises(DownloadFailed if drops else asyncio.CancelledError):
                await download

        with_downloader(use)
    assert list(tmp_path.iterdir()) == []


def test_being_cancelled_again_and_again_changes_nothing(tmp_path: Path) -> None:
    with HttpServer({"/a": Served(CONTENT, stall_after=600_000)}) as server:

        async def use(downloader: HttpDownloader) -> None:
            begun = asyncio.Event()
            blocked = threading.Event()
            download = asyncio.create_task(
                downloader.fetch(Secret(server.url("/a")), tmp_path / "a", lambda done, total: begun.set())
            )
            await begun.wait()
            downloader._thread.submit(blocked.wait)
            while not download.done():
                download.cancel()
                await asyncio.sleep(0)
            assert download.cancelled()
            assert (tmp_path / "a.part").exists()
            blocked.set()
            await downloader._in_thread(lambda: None)

        with_downloader(use)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def full(*args: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, full)
    with HttpServer({"/a": Served(CONTENT, etag='"v1"')}) as server:
        assert refused(server.url(f"/a?{KEY}"), tmp_path) == ("target cannot be kept: the disk of this machine is full")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a disk that is small enough to fill")
def test_a_disk_that_is_really_full_is_left_as_it_was(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount anything here")
    try:
        with HttpServer({"/a": Served(CONTENT, etag='"v1"')}) as server:
            assert "the disk of this machine is full" in refused(server.url(f"/a?{KEY}"), tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
