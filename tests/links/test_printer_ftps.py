import asyncio
import contextlib
import hashlib
import os
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from bambu_connector.errors import (
    AccessDenied,
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
from tests.servers.ftps_stub import FtpsStub
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
        failing(peer.port, IdentityMismatch, source, trust=trust)
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


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\r\nDELE b", "a\nb", "a\0b"])
def test_a_name_that_is_none_never_reaches_the_printer(name: str) -> None:
    async def main() -> None:
        async with storage_at(1) as storage:
            for call in (storage.size(name), storage.remove(name), storage.put(Path("x"), name, no_progress)):
                with pytest.raises(FileInvalid):
                    await call
            with pytest.raises(FileInvalid):
                await storage.fetch(name, Path("x"), no_progress, 1)

    run(main)


@pytest.mark.parametrize("folder", ["/../etc", "a\r\nDELE b"])
def test_a_folder_that_is_none_never_reaches_the_printer(folder: str) -> None:
    async def main() -> None:
        async with storage_at(1) as storage:
            with pytest.raises(FileInvalid):
                await storage.list_folder(folder)

    run(main)
