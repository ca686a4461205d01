"""Which certificate is shown, and when it is another."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bambu_connector.links.certificate import common_name
from bambu_connector.virtual.detect import CIPHERS
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.identity import Identity
from bambu_connector.virtual.listener import Listener
from bambu_connector.virtual.pki import Authority
from tests.virtual.wires import certificate_of, run, trusting

SERIAL = "01P00A000000001"


async def wait_for_the_end(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@asynccontextmanager
async def shown_by(context: ssl.SSLContext) -> AsyncIterator[int]:
    listener = Listener(wait_for_the_end)
    try:
        yield await listener.open("127.0.0.1", 0, context)
    finally:
        await listener.close()


def test_the_certificate_is_kept_with_its_authority(tmp_path: Path) -> None:
    async def shown() -> bytes:
        async with shown_by(Identity(SERIAL, tmp_path, None, Faults()).context()) as port:
            return await certificate_of("127.0.0.1", port)

    first = asyncio.run(shown())
    assert asyncio.run(shown()) == first
    assert common_name(first) == SERIAL
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.glob("*.pem"))


def test_a_certificate_of_another_authority_is_not_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        identity = Identity(SERIAL, tmp_path, Authority(tmp_path / name), Faults())
        assert identity.authority.has_signed(tmp_path / f"{SERIAL}.pem")


@pytest.mark.parametrize("ciphers", [None, CIPHERS])
def test_faults_show_another_certificate_from_the_next_handshake_on(tmp_path: Path, ciphers: str | None) -> None:
    async def test() -> None:
        faults = Faults()
        identity = Identity(SERIAL, tmp_path, None, faults)
        async with shown_by(identity.context(ciphers)) as port:
            own = await certificate_of("127.0.0.1", port, ciphers=ciphers)
            faults.add("foreign-certificate")
            foreign = await certificate_of("127.0.0.1", port, ciphers=ciphers)
            faults.clear()
            faults.add("new-certificate")
            new = await certificate_of("127.0.0.1", port, ciphers=ciphers)
            assert new == await certificate_of("127.0.0.1", port, ciphers=ciphers)
            faults.clear()
            assert await certificate_of("127.0.0.1", port, ciphers=ciphers) == own
        assert [common_name(each) for each in (own, foreign, new)] == [SERIAL, "01P00A999999999", SERIAL]
        assert len({own, foreign, new}) == 3

    run(test())


def test_a_renewed_certificate_is_shown_to_the_next_and_kept(tmp_path: Path) -> None:
    async def test() -> None:
        identity = Identity(SERIAL, tmp_path, None, Faults())
        async with shown_by(identity.context()) as port:
            before = await certificate_of("127.0.0.1", port)
            identity.renew()
            after = await certificate_of("127.0.0.1", port)
        assert before != after
        assert common_name(after) == SERIAL
        async with shown_by(Identity(SERIAL, tmp_path, None, Faults()).context()) as port:
            assert await certificate_of("127.0.0.1", port) == after

    run(test())


@pytest.mark.parametrize("fault", [None, "foreign-certificate", "new-certificate"])
def test_whatever_is_shown_is_from_the_same_authority(tmp_path: Path, fault: str | None) -> None:
    async def test() -> None:
        identity = Identity(SERIAL, tmp_path, None, Faults([fault] if fault else []))
        async with shown_by(identity.context()) as port:
            trust = trusting(identity.authority.certificate)
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
            writer.transport.abort()

    run(test())


def test_the_old_ciphers_have_to_be_allowed_on_purpose(tmp_path: Path) -> None:
    async def test() -> None:
        async with shown_by(Identity(SERIAL, tmp_path, None, Faults()).context(CIPHERS)) as port:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await certificate_of("127.0.0.1", port)
            assert common_name(await certificate_of("127.0.0.1", port, ciphers=CIPHERS)) == SERIAL

    run(test())
