"""Announcements as others on the network hear them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Interface

import pytest

from bambu_connector.bambu.ssdp import GROUP, Announcement, announce, answer, parse_announcement, search
from bambu_connector.virtual.announcer import Announcer, garbage, places_of
from bambu_connector.virtual.faults import Faults
from tests.virtual.wires import Ears, free_udp_port, run, until

SERIAL = "01P00A000000001"
BROADCAST = "127.255.255.255"


def described(host: str, serial: str = SERIAL) -> Announcement:
    return Announcement(
        serial=serial, model_code="C12", host=host, name="Workshop", signal_dbm=-53, connection="lan", is_bound=False
    )


@asynccontextmanager
async def announcing(
    port: int, bind: str = "127.0.0.7", *, serial: str = SERIAL, every: float = 0.05, faults: Faults | None = None
) -> AsyncIterator[Announcer]:
    announcer = Announcer(lambda host: described(host, serial), faults or Faults(), port=port, every=every)
    await announcer.open(bind)
    try:
        yield announcer
    finally:
        await announcer.close()


@pytest.mark.parametrize("at", [GROUP, BROADCAST, "0.0.0.0"])
def test_it_announces_itself_at_once_and_again_by_multicast_and_by_broadcast(at: str) -> None:
    async def test() -> None:
        async with Ears(free_udp_port(), at) as ears, announcing(ears.port):
            await until(lambda: len(ears.heard) > 4)
            assert set(ears.announcements()) == {described("127.0.0.7")}
            assert {source for _, source in ears.heard} == {"127.0.0.7"}

    run(test())


def test_the_first_announcement_does_not_wait() -> None:
    async def test() -> None:
        async with Ears(free_udp_port()) as ears, announcing(ears.port, every=3600):
            await until(lambda: len(ears.heard) == 2)

    run(test())


def test_printers_at_loopback_addresses_of_their_own_are_told_apart() -> None:
    async def test() -> None:
        async with AsyncExitStack() as stack:
            ears = await stack.enter_async_context(Ears(free_udp_port()))
            wanted = {f"01P00A00000000{number}": f"127.0.7.{number}" for number in range(1, 6)}
            for serial, host in wanted.items():
                await stack.enter_async_context(announcing(ears.port, host, serial=serial))
            await until(lambda: {each.serial: each.host for each in ears.announcements()} == wanted)

    run(test())


def test_a_goodbye_is_told_and_after_the_end_there_is_silence() -> None:
    async def test() -> None:
        async with Ears(free_udp_port()) as ears:
            async with announcing(ears.port, every=3600) as announcer:
                announcer.say_goodbye()
            announcer.announce()
            await until(lambda: len(ears.heard) == 4)
            assert [each.is_goodbye for each in ears.announcements()] == [False, False, True, True]
            async with announcing(ears.port, serial="01P00A000000002"):
                await until(lambda: len(ears.heard) == 6)
            assert [each.serial for each in ears.announcements()] == [SERIAL] * 4 + ["01P00A000000002"] * 2

    run(test())


@pytest.mark.parametrize("to", [GROUP, BROADCAST, "127.0.0.7"])
def test_who_searches_is_answered_alone(to: str) -> None:
    async def test() -> None:
        port = free_udp_port()
        async with (
            announcing(port, every=3600),
            Ears(port) as crowd,
            Ears(free_udp_port(), "127.0.0.1") as asker,
        ):
            asker.say(search(), to, port)
            await until(lambda: bool(asker.heard))
            (found,) = asker.announcements()
            assert (found.serial, found.host, found.is_answer) == (SERIAL, "127.0.0.7", True)
            assert asker.heard[0][1] == "127.0.0.7"
            assert not any(each.is_answer for each in crowd.announcements())

    run(test())


def test_what_is_no_search_is_not_answered() -> None:
    async def test() -> None:
        port = free_udp_port()
        async with announcing(port, every=3600), Ears(free_udp_port(), "127.0.0.1") as asker:
            other = search().replace(b"bambulab-com", b"example-com")
            for nonsense in (b"", b"\xff" * 100, other, announce(described("127.0.0.8"))):
                asker.say(nonsense, "127.0.0.7", port)
            asker.say(search(), "127.0.0.7", port)
            await until(lambda: bool(asker.heard))
            assert len(asker.heard) == 1

    run(test())


def test_a_printer_at_the_main_loopback_address_takes_nothing_away_from_who_listens_there() -> None:
    async def test() -> None:
        port = free_udp_port()
        async with Ears(port) as listening, announcing(port, "127.0.0.1", every=3600):
            await until(lambda: len(listening.heard) == 2)
            async with Ears(free_udp_port(), "127.0.0.1") as other:
                other.say(b"for you", "127.0.0.1", port)
                await until(lambda: listening.heard[-1] == (b"for you", "127.0.0.1"))

    run(test())


def test_silent_on_the_network_means_no_announcement_no_answer_and_no_goodbye() -> None:
    async def test() -> None:
        faults = Faults(["not-announced"])
        async with Ears(free_udp_port()) as ears, announcing(ears.port, every=0.01, faults=faults) as announcer:
            ears.say(search(), "127.0.0.7")
            announcer.say_goodbye()
            async with announcing(ears.port, serial="01P00A000000002", every=0.02):
                await until(lambda: len(ears.announcements()) > 10)
            assert SERIAL not in {each.serial for each in ears.announcements()}
            faults.clear()
            await until(lambda: SERIAL in {each.serial for each in ears.announcements()})

    run(test())


def test_garbage_is_announced_and_answered_instead() -> None:
    async def test() -> None:
        faults = Faults(["announce-garbage"])
        async with Ears(free_udp_port()) as ears, announcing(ears.port, every=3600, faults=faults):
            kinds = len(garbage(announce(described("127.0.0.7"))))
            await until(lambda: len(ears.heard) == 2 * kinds)
            async with Ears(free_udp_port(), "127.0.0.1") as asker:
                asker.say(search(), "127.0.0.7", ears.port)
                await until(lambda: len(asker.heard) == kinds)
                assert asker.announcements() == []
            assert ears.announcements() == []

    run(test())


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("message", [announce, answer])
def test_garbage_is_no_announcement(number: int, message: object) -> None:
    like = announce(described("127.0.0.7")) if message is announce else answer(described("127.0.0.7"))
    assert parse_announcement(garbage(like)[number], "127.0.0.7") is None


def test_a_port_that_somebody_keeps_for_himself_is_an_os_error() -> None:
    async def test() -> None:
        port = free_udp_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
            mine.bind(("0.0.0.0", port))
            with pytest.raises(OSError, match="in use"):
                async with announcing(port):
                    pass
        assert len(asyncio.all_tasks()) == 1  # this one

    run(test())


# -- real interfaces ---------------------------------------------------------------------------------


def lan() -> IPv4Interface:
    """Return an address of this machine on a network."""
    for place in places_of("0.0.0.0"):
        if not place.is_loopback and place.network.prefixlen < 31:
            return place
    pytest.skip("this machine is on no network")


def test_the_place_of_a_loopback_address_is_all_of_the_loopback_network() -> None:
    (place,) = places_of("127.0.0.7")
    assert (str(place), str(place.network.broadcast_address)) == ("127.0.0.7/8", BROADCAST)


def test_the_place_of_an_address_has_its_network_and_that_of_somebody_else_is_nowhere() -> None:
    assert places_of(str(lan().ip)) == (lan(),)
    assert places_of("203.0.113.77") == ()


@pytest.mark.parametrize("is_given", [True, False])
def test_on_a_real_interface_it_announces_the_address_that_it_has_there(is_given: bool) -> None:
    async def test() -> None:
        own = str(lan().ip)
        async with (
            Ears(free_udp_port(), interface=own) as ears,
            announcing(ears.port, own if is_given else "0.0.0.0", every=3600),
        ):
            await until(lambda: own in {each.host for each in ears.announcements()})
            assert own in {source for _, source in ears.heard}
            assert "127.0.0.1" not in {source for _, source in ears.heard}
            async with Ears(free_udp_port(), own, interface=own) as asker:
                for to in (GROUP, own) if is_given else (GROUP,):
                    asker.heard.clear()
                    asker.say(search(), to, ears.port)
                    await until(lambda: [each.host for each in asker.announcements()] == [own])

    run(test())
