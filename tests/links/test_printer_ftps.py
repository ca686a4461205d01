import asyncio
import contextlib
import functools
import hashlib
import itertools
import os
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    ConnectorError,
    FileInvalid,
    IdentityMismatch,
    NotAPrinter,
    StorageFull,
    StorageMissing,
    Unreachable,
    UploadFailed,
)
from bambu_connector.links import ftps_session
from bambu_connector.links.certificate import fingerprint_of
from bambu_connector.links.dial import Dialer
from bambu_connector.links.ftps_session import Protection
from bambu_connector.links.printer_ftps import FtpsPool, PrinterFtps
from bambu_connector.links.tls import Trust
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.servers.ftps_stub import WELCOME, Chunks, FtpsStub, drip
from tests.servers.process import free_port, wait_until
from tests.servers.silent import SilentPeer
from tests.servers.vsftpd import Vsftpd

SERIAL = "01P00A000000001"
CODE = "12345678"
NAME = "a job.gcode.3mf"


@pytest.fixture(scope="module")
def pem(authority: Authority) -> Path:
    return authority.issue(SERIAL)


@pytest.fixture
def server(open_folder: Path, pem: Path) -> Iterator[Vsftpd]:
    with Vsftpd(open_folder, pem=pem, access_code=CODE) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(3_000_001))
    return path


def no_progress(done: int, total: int | None) -> None:
    pass


@contextlib.asynccontextmanager
async def storage_at(
    port: int, *, code: str = CODE, trust: Trust | None = None, protection: Protection = "P"
) -> AsyncIterator[PrinterFtps]:
    dialer, pool = Dialer(), FtpsPool(2)
    try:
        yield PrinterFtps(
            serial=SERIAL,
            host="127.0.0.1",
            port=port,
            access_code=Secret(code),
            trust=trust or Trust(SERIAL),
            dialer=dialer,
            pool=pool,
            protection=protection,
        )
    finally:
        dialer.close()
        pool.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 30))


def failing(
    port: int, kind: type[ConnectorError], source: Path, *, code: str = CODE, trust: Trust | None = None
) -> str:
    """Upload, expect a failure, and return its sentence."""
    sentences: list[str] = []

    async def main() -> None:
        async with storage_at(port, code=code, trust=trust) as storage:
            with pytest.raises(kind) as caught:
                await storage.put(source, NAME, no_progress)
            assert type(caught.value) is kind
            sentences.append(str(caught.value))

    run(main)
    assert code not in sentences[0]
    return sentences[0]


# -- with the server that the printers have --------------------------------------------------------


def test_an_upload_arrives_whole_under_session_reuse_and_tells_its_progress(server: Vsftpd, source: Path) -> None:
    told: list[tuple[int, int | None]] = []

    async def main() -> None:
        async with storage_at(server.port) as storage:
            loop_thread = threading.get_ident()

            def progress(done: int, total: int | None) -> None:
                assert threading.get_ident() == loop_thread
                told.append((done, total))

            await storage.put(source, NAME, progress)
            assert await storage.size(NAME) == 3_000_001

    run(main)
    assert server.content(NAME) == source.read_bytes()
    assert told[-1] == (3_000_001, 3_000_001)
    assert told == sorted(told)
    assert server.text().count("OK LOGIN") == 2, "ftputil's second login is not wanted: printers have few slots"
    assert "QUIT" in server.text()


def test_an_empty_file_is_stored(server: Vsftpd, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    async def main() -> None:
        async with storage_at(server.port) as storage:
            await storage.put(tmp_path / "empty", NAME, no_progress)
            assert await storage.size(NAME) == 0

    run(main)


def test_the_pinned_certificate_holds_on_both_channels(server: Vsftpd, source: Path, pem: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert(pem.read_text().partition("-----BEGIN RSA")[0])

    async def main() -> None:
        async with storage_at(server.port, trust=Trust(SERIAL, fingerprint=fingerprint_of(der))) as storage:
            await storage.put(source, NAME, no_progress)

    run(main)
    assert server.files() == {NAME: 3_000_001}


def test_a_file_comes_back_as_it_was(server: Vsftpd, source: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with storage_at(server.port) as storage:
            await storage.put(source, NAME, no_progress)
            told: list[tuple[int, int | None]] = []
            await storage.fetch(NAME, tmp_path / "back", lambda *args: told.append(args), 3_000_001)
            assert told[-1] == (3_000_001, 3_000_001)
            with pytest.raises(FileInvalid, match="3000001 bytes"):
                await storage.fetch(NAME, tmp_path / "large", no_progress, 3_000_000)
            with pytest.raises(FileInvalid, match="not on the printer"):
                await storage.fetch("other", tmp_path / "other", no_progress, 1)

    run(main)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert not (tmp_path / "large").exists()
    assert not (tmp_path / "other").exists()


def test_files_are_listed_with_their_spaces_and_removed(server: Vsftpd, tmp_path: Path) -> None:
    names = {" leading": 1, "two  spaces and ümlaut.gcode.3mf": 22}

    async def main() -> None:
        async with storage_at(server.port) as storage:
            for name, size in names.items():
                (tmp_path / "file").write_bytes(b"x" * size)
                await storage.put(tmp_path / "file", name, no_progress)
            files = await storage.list_folder("/")
            assert {file.name: file.size for file in files} == names
            assert all(file.modified is not None for file in files)
            assert await storage.list_folder("/cache") == ()
            assert await storage.list_folder("/no such folder") == ()
            for name in names:
                assert await storage.remove(name)
            assert not await storage.remove(" leading")
            assert await storage.size(" leading") is None

    run(main)
    assert server.files() == {}


def test_a_printer_with_nothing_to_write_to_is_storage_missing(server: Vsftpd, source: Path) -> None:
    server.protect(read_only=True)
    assert "553" in failing(server.port, StorageMissing, source)


def test_a_wrong_access_code_is_access_denied(server: Vsftpd, source: Path) -> None:
    assert SERIAL in failing(server.port, AccessDenied, source, code="wrong-87654321")


def test_a_cancelled_upload_leaves_no_file_and_no_thread(server: Vsftpd, source: Path) -> None:
    server.restart(bytes_per_second=200_000)

    async def main() -> None:
        async with storage_at(server.port) as storage:
            begun = asyncio.Event()

            def progress(done: int, total: int | None) -> None:
                begun.set()

            upload = asyncio.create_task(storage.put(source, NAME, progress))
            await begun.wait()
            await asyncio.to_thread(wait_until, "a part of the file", lambda: server.files().get(NAME))
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upload
            assert server.files() == {}
            assert not any(thread.name.startswith("transfer") and busy(thread) for thread in threading.enumerate())

    run(main)


def busy(thread: threading.Thread) -> bool:
    import sys

    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_filename.endswith("printer_ftps.py"):
            return True
        frame = frame.f_back
    return False


def test_an_upload_that_waits_for_a_thread_is_cancelled_without_a_connection(server: Vsftpd, source: Path) -> None:
    server.restart(bytes_per_second=200_000)

    async def main() -> None:
        async with storage_at(server.port) as storage:
            uploads = [asyncio.create_task(storage.put(source, f"{number}", no_progress)) for number in range(3)]
            await asyncio.to_thread(wait_until, "the first two", lambda: len(server.files()) == 2)
            for upload in reversed(uploads):
                upload.cancel()
            await asyncio.gather(*uploads, return_exceptions=True)
            assert all(upload.cancelled() for upload in uploads)

    run(main)
    assert "STOR 2" not in server.text()
    assert server.files() == {}


def test_a_session_that_breaks_fails_the_upload_and_the_rest_is_removed(server: Vsftpd, source: Path) -> None:
    server.restart(bytes_per_second=200_000)

    async def main() -> None:
        async with storage_at(server.port) as storage:
            upload = asyncio.create_task(storage.put(source, NAME, no_progress))
            await asyncio.to_thread(wait_until, "a part of the file", lambda: server.files().get(NAME))
            await asyncio.to_thread(server.cut)
            with pytest.raises(UploadFailed, match="of 3000001 bytes"):
                await upload

    run(main)
    assert server.files() == {}


def test_data_in_clear_is_possible_where_the_encrypted_channel_hangs(
    open_folder: Path, pem: Path, source: Path
) -> None:
    with Vsftpd(open_folder, pem=pem, access_code=CODE, clear_data=True) as server:

        async def main() -> None:
            async with storage_at(server.port, protection="C") as storage:
                await storage.put(source, NAME, no_progress)
                assert [file.name for file in await storage.list_folder("/")] == [NAME]

        run(main)
        assert server.content(NAME) == source.read_bytes()


# -- identity --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["serial", "pin", "authority"])
def test_somebody_else_gets_not_one_byte(
    authority: Authority, other_authority: Authority, source: Path, fault: str
) -> None:
    issued = {
        "serial": (authority.issue("01P00A000000002"), Trust(SERIAL)),
        "pin": (authority.issue(SERIAL), Trust(SERIAL, fingerprint="sha256:" + 64 * "0")),
        "authority": (other_authority.issue(SERIAL), Trust(SERIAL, ca_file=authority.certificate)),
    }
    shown, trust = issued[fault]
    with SilentPeer(shown, greeting=b"220 welcome\r\n") as peer:
        failing(peer.port, AnotherDevice if fault == "serial" else IdentityMismatch, source, trust=trust)
        peer.wait_until_ended()
        assert peer.heard == b""


def test_nobody_there_is_unreachable_and_tells_why_that_may_be(source: Path) -> None:
    assert "starting" in failing(free_port(), Unreachable, source)


def test_a_server_without_tls_is_not_a_printer(source: Path) -> None:
    with SilentPeer(None, greeting=b"220 plain FTP\r\n") as peer:
        failing(peer.port, NotAPrinter, source)


# -- with a server that has faults -----------------------------------------------------------------


def test_a_peer_that_never_says_goodbye_gets_every_byte_and_holds_nobody(
    pem: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ftps_session, "_DRAIN_TIMEOUT_S", 0.3)
    with FtpsStub(pem, answers_goodbye=False) as stub:

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                await storage.put(source, NAME, no_progress)

        run(main)
        assert hashlib.md5(stub.files[NAME]).digest() == hashlib.md5(source.read_bytes()).digest()


@pytest.mark.parametrize("refusal", ["426 broke", "451 error", None])
def test_an_odd_end_is_no_failure_where_the_size_is_right(
    pem: Path, source: Path, monkeypatch: pytest.MonkeyPatch, refusal: str | None
) -> None:
    monkeypatch.setattr(ftps_session, "_REPLY_TIMEOUT_S", 0.3)
    with FtpsStub(pem, after_upload=refusal) as stub:

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                await storage.put(source, NAME, no_progress)

        run(main)
        assert len(stub.files[NAME]) == 3_000_001


def test_a_226_is_no_success_where_the_size_is_wrong(pem: Path, source: Path) -> None:
    with FtpsStub(pem, replies={"SIZE": "213 3000000"}) as stub:
        assert "3000000 of 3000001" in failing(stub.port, UploadFailed, source)
        assert stub.files == {}, "what is not whole must go"


def test_where_size_is_not_known_the_listing_tells_it(pem: Path, source: Path) -> None:
    with FtpsStub(pem, replies={"SIZE": "502 what?"}) as stub:

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                await storage.put(source, NAME, no_progress)
                assert await storage.size(NAME) == 3_000_001
                assert await storage.size("other") is None

        run(main)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("552 full", StorageFull),
        ("452 full", StorageFull),
        ("553 no card", StorageMissing),
        ("550 no", UploadFailed),
        ("425 no data connection", UploadFailed),
        ("500 what?", UploadFailed),
    ],
)
def test_a_refusal_of_the_upload_is_told_by_its_code(
    pem: Path, source: Path, reply: str, kind: type[ConnectorError]
) -> None:
    with FtpsStub(pem, replies={"STOR": reply}) as stub:
        assert reply[:3] in failing(stub.port, kind, source)
        assert not any(command.startswith("DELE") for command in stub.commands)


def test_a_storage_that_fills_up_in_the_middle_is_told_as_full(pem: Path, source: Path) -> None:
    with FtpsStub(pem, take=100_000, after_upload="552 full") as stub:
        failing(stub.port, StorageFull, source)
        assert stub.files == {}


def test_a_printer_that_takes_nothing_more_fails_the_upload(
    pem: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bambu_connector.links.ftps_session.STALL_TIMEOUT_S", 0.3)
    monkeypatch.setattr("bambu_connector.links.ftps_session._LAST_WORDS_TIMEOUT_S", 0.1)
    with FtpsStub(pem, take=100_000, after_upload=None, answers_goodbye=False) as stub:
        assert "took nothing" in failing(stub.port, UploadFailed, source)
        wait_until("the rest to be removed", lambda: stub.files == {})


def test_an_upload_that_is_too_slow_on_the_whole_ends(
    server: Vsftpd, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bambu_connector.links.printer_ftps._MIN_DEADLINE_S", 0.5)
    monkeypatch.setattr("bambu_connector.links.printer_ftps._SLOWEST_BYTES_PER_S", 10_000_000)
    server.restart(bytes_per_second=200_000)
    assert "too slow" in failing(server.port, UploadFailed, source)
    assert server.files() == {}


def test_a_printer_that_does_not_answer_the_login_can_be_left(pem: Path, source: Path) -> None:
    with FtpsStub(pem, replies={"PASS": None}) as stub:

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                size = asyncio.create_task(storage.size(NAME))
                await asyncio.to_thread(stub.wait_for, "the login", lambda: len(stub.commands) == 2)
                size.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await size

        run(main)


# -- with a server that means ill ------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    make_impatient(monkeypatch)


def make_impatient(patch: pytest.MonkeyPatch) -> None:
    session = "bambu_connector.links.ftps_session."
    for name in ("CONNECT_TIMEOUT_S", "STALL_TIMEOUT_S", "_LOGIN_TIMEOUT_S", "_REPLY_TIMEOUT_S"):
        patch.setattr(session + name, 0.4)
    for name in ("_QUIT_TIMEOUT_S", "_DRAIN_TIMEOUT_S", "_LAST_WORDS_TIMEOUT_S"):
        patch.setattr(session + name, 0.1)
    patch.setattr("bambu_connector.links.printer_ftps._ERRAND_S", 0.5)
    patch.setattr("bambu_connector.links.printer_ftps._MIN_DEADLINE_S", 0.5)
    patch.setattr("bambu_connector.links.printer_ftps._SLOWEST_BYTES_PER_S", 10_000_000)


def failure_of(port: int, use: Callable[[PrinterFtps], Awaitable[object]]) -> ConnectorError:
    """Do something with the storage, expect one of our errors, and return it."""
    failures: list[ConnectorError] = []

    async def main() -> None:
        async with storage_at(port) as storage:
            with pytest.raises(ConnectorError) as caught:
                await use(storage)
            failures.append(caught.value)

    run(main)
    assert str(failures[0]).isprintable()
    assert len(str(failures[0])) < 500
    assert CODE not in str(failures[0])
    return failures[0]


def listed(storage: PrinterFtps) -> Awaitable[object]:
    return storage.list_folder("/cache")


ENDLESS = {
    "a line": lambda: itertools.repeat(b"2" * 65536),
    "lines": lambda: itertools.chain([b"220-\r\n"], itertools.repeat(b"220-more\r\n" * 1000)),
    "a million lines": lambda: [b"220-\r\n" * 1_000_000, b"220 done\r\n"],
    "a drip": drip(b"2", 0.02),
    "a drip of lines": drip(b"220-\r\n", 0.02),
    "empty lines": lambda: itertools.repeat(b"\r\n" * 1000),
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("verb", [WELCOME, "PASV"])
@pytest.mark.usefixtures("impatient")
def test_a_reply_that_has_no_end_is_given_up(pem: Path, verb: str, kind: str) -> None:
    with FtpsStub(pem, replies={verb: ENDLESS[kind]}) as stub:
        assert type(failure_of(stub.port, listed)) is Unreachable
        stub.wait_until_ended()
        assert stub.sent < 20_000_000  # what fits into the sockets between us


def test_a_server_that_repeats_the_access_code_does_not_get_it_into_a_sentence(pem: Path) -> None:
    with FtpsStub(pem, replies={"PASS": f"421 go away with your {CODE}"}) as stub:
        assert "go away with your ****" in str(failure_of(stub.port, listed))


NONSENSE = [
    b"",
    b"\0\0\0",
    b"HTTP/1.1 400 Bad Request",
    b"\xff\xfe\xfd",
    b"999 what?",
    b"2",
    b"22",
    b"2200 long",
    b"\r250 ok",
]


@pytest.mark.parametrize("reply", NONSENSE)
@pytest.mark.usefixtures("impatient")
def test_a_reply_that_is_none_is_told_in_a_sentence(pem: Path, reply: bytes) -> None:
    with FtpsStub(pem, replies={"CWD": lambda: [reply + b"\r\n"]}) as stub:
        assert type(failure_of(stub.port, listed)) is Unreachable


@pytest.mark.parametrize(
    "reply",
    [
        "227 ok (127,0,0,1,0,0)",
        "227 ok (127,0,0,1,0,22)",
        "227 ok (127,0,0,1,3,255)",
        "227 ok (127,0,0,1,999,999)",
        f"227 ok (127,0,0,1,{'9' * 5000},1)",
        "227 ok",
        "200 ok",
    ],
)
def test_a_data_connection_to_nowhere_is_not_made(pem: Path, reply: str) -> None:
    with FtpsStub(pem, replies={"PASV": reply}) as stub:
        assert type(failure_of(stub.port, listed)) is Unreachable
        assert "LIST" not in stub.commands


def test_a_data_connection_never_goes_to_another_host(pem: Path) -> None:
    with SilentPeer(None, host="127.0.0.2") as other:
        named = f"227 ok (127,0,0,2,{other.port >> 8},{other.port & 255})"
        with FtpsStub(pem, replies={"PASV": named}) as stub:
            failure_of(stub.port, listed)
        assert other.accepted == 0


@pytest.mark.parametrize("fault", [{"LIST": "150 go on"}, {"LIST": None}])
@pytest.mark.usefixtures("impatient")
def test_a_data_connection_that_never_opens_is_given_up(pem: Path, fault: dict[str, str | None]) -> None:
    with FtpsStub(pem, replies=fault) as stub:
        assert type(failure_of(stub.port, listed)) is Unreachable


@pytest.mark.parametrize("listing", [drip(b"x", 0.6), drip(b"-rw", 0.02)])
@pytest.mark.usefixtures("impatient")
def test_a_listing_that_stalls_or_drips_is_given_up(pem: Path, listing: Chunks) -> None:
    with FtpsStub(pem, listing=listing) as stub:
        assert type(failure_of(stub.port, listed)) is Unreachable


@pytest.mark.parametrize("piece", [b"-rw-rw-rw- 1 r r 5 Jan 02 2024 a\r\n" * 1000, b"x" * 65536, b"\n" * 65536])
def test_a_listing_without_end_is_an_error_and_no_answer(pem: Path, piece: bytes) -> None:
    with FtpsStub(pem, listing=lambda: itertools.repeat(piece)) as stub:
        assert "holds more than 20000 files" in str(failure_of(stub.port, listed))
        stub.wait_until_ended()
        assert stub.sent < 20_000_000


def test_names_in_a_listing_that_lead_elsewhere_are_left_out(pem: Path) -> None:
    with FtpsStub(pem) as stub:
        stub.files = dict.fromkeys(["good.3mf", "../../etc/passwd", "..", "a\0b", "a\rb", "/absolute"], b"x")

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                assert [file.name for file in await storage.list_folder("/")] == ["good.3mf"]

        run(main)


@pytest.mark.parametrize("size", ["many", "", "-5", "1" + "0" * 30, "9" * 5000, "1_000", "0x10"])
def test_a_size_that_is_none_is_looked_up_in_the_listing(pem: Path, size: str) -> None:
    with FtpsStub(pem, replies={"SIZE": f"213 {size}"}) as stub:
        stub.files[NAME] = b"xyz"

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                assert await storage.size(NAME) == 3
                assert await storage.size("other") is None

        run(main)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("content", [lambda: itertools.repeat(b"x" * 65536), drip(b"x", 0.02), drip(b"x", 0.6)])
def test_a_download_that_never_ends_is_given_up_and_leaves_nothing(pem: Path, tmp_path: Path, content: Chunks) -> None:
    with FtpsStub(pem, content=content) as stub:
        stub.files[NAME] = bytes(100_000)
        error = failure_of(stub.port, lambda storage: storage.fetch(NAME, tmp_path / "back", no_progress, 200_000))
        assert type(error) is Unreachable
        assert not (tmp_path / "back").exists()


def test_a_226_before_the_data_is_through_loses_nothing(pem: Path, source: Path, tmp_path: Path) -> None:
    with FtpsStub(pem, hasty=True) as stub:

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                await storage.put(source, NAME, no_progress)
                await storage.fetch(NAME, tmp_path / "back", no_progress, 4_000_000)
                assert [file.size for file in await storage.list_folder("/")] == [3_000_001]

        run(main)
        assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_a_226_before_half_of_the_data_is_no_success(pem: Path, tmp_path: Path) -> None:
    with FtpsStub(pem, hasty=True, content=lambda: [b"half"]) as stub:
        stub.files[NAME] = b"half and half"
        error = failure_of(stub.port, lambda storage: storage.fetch(NAME, tmp_path / "back", no_progress, 100))
        assert "after 4 of 13 bytes" in str(error)
        assert not (tmp_path / "back").exists()


@pytest.mark.usefixtures("impatient")
def test_an_upload_that_is_taken_byte_by_byte_ends(pem: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bambu_connector.links.ftps_session.STALL_TIMEOUT_S", 30)
    monkeypatch.setattr("bambu_connector.links.printer_ftps._ERRAND_S", 30)
    with FtpsStub(pem, take=100_000, after_upload=None, answers_goodbye=False) as stub:
        error = failure_of(stub.port, lambda storage: storage.put(source, NAME, no_progress))
        assert type(error) is UploadFailed
        assert "too slow" in str(error)


@pytest.mark.parametrize("folder", ['257 "/a\tb"', '257 "', "257 nothing", '257 "' + "x" * 5000 + '"'])
@pytest.mark.usefixtures("impatient")
def test_a_current_folder_that_is_none_is_survived(pem: Path, source: Path, folder: str) -> None:
    with FtpsStub(pem, replies={"PWD": folder}) as stub:

        async def main() -> None:
            async with storage_at(stub.port) as storage:
                with contextlib.suppress(ConnectorError):
                    await storage.put(source, NAME, no_progress)

        run(main)
        assert all(command.isprintable() for command in stub.commands)


@pytest.mark.parametrize("use", ["put", "fetch", "list"])
def test_a_data_channel_with_another_identity_is_not_used(
    authority: Authority, source: Path, tmp_path: Path, use: str
) -> None:
    # Both are for this serial, and nothing is pinned.
    with FtpsStub(authority.issue(SERIAL), data_pem=authority.issue(SERIAL)) as stub:
        stub.files["there"] = b"secret"
        calls: dict[str, Callable[[PrinterFtps], Awaitable[object]]] = {
            "put": lambda storage: storage.put(source, NAME, no_progress),
            "fetch": lambda storage: storage.fetch("there", tmp_path / "back", no_progress, 100),
            "list": listed,
        }
        error = failure_of(stub.port, calls[use])
        assert type(error) is IdentityMismatch
        assert "data channel" in str(error)
        stub.wait_for("the session to end", lambda: stub.ended >= 1)
        assert not stub.files.get(NAME)
        assert not (tmp_path / "back").exists()


def test_where_nothing_is_verified_the_data_channel_is_not_either(authority: Authority) -> None:
    with FtpsStub(authority.issue("a"), data_pem=authority.issue("b")) as stub:

        async def main() -> None:
            async with storage_at(stub.port, trust=Trust(SERIAL, verify=False)) as storage:
                assert await storage.list_folder("/") == ()

        run(main)


VERBS = [WELCOME, "USER", "PASS", "PBSZ", "PROT", "TYPE", "PWD", "CWD", "PASV", "SIZE", "LIST", "RETR", "STOR", "DELE"]
codes = st.sampled_from([f"{code} " for code in (150, 200, 213, 226, 227, 229, 230, 250, 257, 331, 421, 426, 530, 550)])
odd_replies = st.builds(
    lambda code, rest: f"{code}{rest}\r\n".encode(errors="replace"),
    codes | st.just(""),
    st.text(st.sampled_from('0123456789,()|"/. -\r\n\0ü'), max_size=40),
) | st.binary(max_size=30).map(lambda raw: raw + b"\r\n")


@settings(max_examples=40)
@given(
    replies=st.dictionaries(st.sampled_from(VERBS), odd_replies, min_size=1, max_size=3),
    use=st.sampled_from(["list", "size", "remove", "fetch", "put"]),
)
def test_whatever_a_server_replies_ends_with_an_answer_or_one_of_our_errors(
    pem: Path, tmp_path_factory: pytest.TempPathFactory, replies: dict[str, bytes], use: str
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "source").write_bytes(b"content")

    async def main(stub: FtpsStub) -> None:
        async with storage_at(stub.port) as storage:
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "list": lambda: storage.list_folder("/"),
                "size": lambda: storage.size(NAME),
                "remove": lambda: storage.remove(NAME),
                "fetch": lambda: storage.fetch(NAME, folder / "back", no_progress, 100),
                "put": lambda: storage.put(folder / "source", NAME, no_progress),
            }
            with contextlib.suppress(ConnectorError):
                await calls[use]()

    said: dict[str, Chunks] = {verb: functools.partial(iter, [reply]) for verb, reply in replies.items()}
    with pytest.MonkeyPatch.context() as patch, FtpsStub(pem, replies=said) as stub:
        make_impatient(patch)
        stub.files[NAME] = b"content"
        run(lambda: main(stub))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\r\nDELE b", "a\nb", "a\0b", "a" * 256])
def test_a_name_that_is_none_never_reaches_the_printer(name: str) -> None:
    async def main() -> None:
        async with storage_at(1) as storage:
            for call in (storage.size(name), storage.remove(name), storage.put(Path("x"), name, no_progress)):
                with pytest.raises(FileInvalid):
                    await call
            with pytest.raises(FileInvalid):
                await storage.fetch(name, Path("x"), no_progress, 1)

    run(main)


@pytest.mark.parametrize("folder", ["", "a", "/../etc", "/a\r\nDELE b", "/" + "a" * 1024])
def test_a_folder_that_is_none_never_reaches_the_printer(folder: str) -> None:
    async def main() -> None:
        async with storage_at(1) as storage:
            with pytest.raises(FileInvalid):
                await storage.list_folder(folder)

    run(main)
