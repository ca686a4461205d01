"""The storage of a virtual printer, as a client of real ones uses it."""

import asyncio
import ftplib
import io
from collections.abc import Callable

import pytest

from bambu_connector.virtual.server import VirtualPrinter
from tests.virtual.wires import ImplicitFtps, run


def with_storage(work: Callable[[ImplicitFtps, VirtualPrinter], None]) -> None:
    """Do some work in a session, outside of the loop."""

    async def test() -> None:
        async with VirtualPrinter() as printer:

            def session() -> None:
                with ImplicitFtps(printer) as ftp:
                    work(ftp, printer)

            await asyncio.to_thread(session)

    run(test())


def test_what_was_stored_can_be_listed_read_renamed_and_deleted() -> None:
    def work(ftp: ImplicitFtps, _printer: VirtualPrinter) -> None:
        content = bytes(range(256)) * 4096
        ftp.storbinary("STOR a.3mf", io.BytesIO(content))
        assert ftp.size("a.3mf") == len(content)
        assert "a.3mf" in ftp.nlst()
        lines: list[str] = []
        ftp.retrlines("LIST", lines.append)
        (line,) = [line for line in lines if line.endswith(" a.3mf")]
        assert line.split()[:5] == ["-rw-rw-rw-", "1", "root", "root", str(len(content))]
        assert any(line.startswith("d") and line.endswith(" cache") for line in lines)
        got = io.BytesIO()
        ftp.retrbinary("RETR a.3mf", got.write)
        assert got.getvalue() == content
        assert ftp.sendcmd("MDTM a.3mf").startswith("213 20")
        ftp.rename("a.3mf", "cache/b.3mf")
        ftp.cwd("cache")
        assert (ftp.pwd(), ftp.nlst()) == ("/cache", ["b.3mf"])
        ftp.delete("b.3mf")
        assert ftp.nlst() == []
        ftp.mkd("folder")
        ftp.rmd("folder")

    with_storage(work)


def test_an_empty_file_is_a_file() -> None:
    def work(ftp: ImplicitFtps, _printer: VirtualPrinter) -> None:
        ftp.storbinary("STOR empty", io.BytesIO())
        assert ftp.size("empty") == 0

    with_storage(work)


@pytest.mark.parametrize("command", ["MLSD", "EPSV", "APPE x", "REST 5"])
def test_what_printers_do_not_speak_is_500(command: str) -> None:
    def work(ftp: ImplicitFtps, _printer: VirtualPrinter) -> None:
        with pytest.raises(ftplib.error_perm, match="500"):
            ftp.sendcmd(command)

    with_storage(work)


@pytest.mark.parametrize("command", ["SIZE none", "RETR none", "DELE none", "MDTM none"])
def test_what_is_not_there_is_550(command: str) -> None:
    def work(ftp: ImplicitFtps, _printer: VirtualPrinter) -> None:
        ftp.makepasv()
        with pytest.raises(ftplib.error_perm, match="550"):
            ftp.sendcmd(command)

    with_storage(work)


def test_nobody_leaves_the_storage() -> None:
    def work(ftp: ImplicitFtps, printer: VirtualPrinter) -> None:
        ftp.storbinary("STOR ../../escaped", io.BytesIO(b"x"))
        assert (printer.storage / "escaped").exists()

    with_storage(work)


def test_room_is_told_where_there_is_a_storage() -> None:
    def work(ftp: ImplicitFtps, printer: VirtualPrinter) -> None:
        assert int(ftp.sendcmd("AVBL").split()[1]) > 10**9
        printer.faults.add("no-storage")
        assert ftp.sendcmd("AVBL") == "213 0"

    with_storage(work)
