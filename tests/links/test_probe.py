"""Looking how far the way goes, at real servers and at ones that keep what they hear."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from bambu_connector.config.tree import BrokerTls, Ports, Printago, PrinterConfig
from bambu_connector.errors import (
    AccessDenied,
    AnotherDevice,
    ConfigError,
    IdentityMismatch,
    LinkError,
    NotAPrinter,
    Unreachable,
)
from bambu_connector.links.certificate import fingerprint_of
from bambu_connector.links.dial import Dialer
from bambu_connector.links.probe import NetworkProber
from bambu_connector.links.tls import Trust
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.links.test_printer_mqtt import der_of
from tests.servers.certificates import HostAuthority
from tests.servers.mosquitto import Mosquitto
from tests.servers.onlooker import Onlooker
from tests.servers.process import free_port, wait_until
from tests.servers.silent import ScriptedPeer, SilentPeer

T = TypeVar("T")
SERIAL = "01P00A000000001"
CODE = "12345678"
PASSWORD = "farm-password"
AVAILABILITY = "bambu/here/mqtt"
ACL = """user farm
topic read bambu/commands

user cloud
topic readwrite #
"""


def probed(use: Callable[[NetworkProber], Awaitable[T]], trust: Trust | None = None) -> T:
    """Use a prober and let everything go afterwards."""

    async def main() -> T:
        with contextlib.ExitStack() as stack:
            dialer, uplink = Dialer(5), Dialer(5)
            stack.callback(dialer.close)
            stack.callback(uplink.close)
            return await use(NetworkProber(dialer, uplink, lambda printer: trust or Trust(printer.serial)))

    return asyncio.run(main())


def printer(port: int = 8883) -> PrinterConfig:
    return PrinterConfig(
        serial=SERIAL, id="left", host="127.0.0.1", access_code=Secret(CODE), ports=Ports(mqtt=port, camera=port)
    )


def printago(port: int, *, tls: BrokerTls | None = None, password: str = PASSWORD, protocol: str = "5") -> Printago:
    return Printago(
        host="127.0.0.1",
        port=port,
        tls=tls,
        username="farm",
        password=Secret(password),
        client_id="bambu-connector-here",
        protocol="5" if protocol == "5" else "3.1.1",
    )


# -- name and TCP ----------------------------------------------------------------------------------


def test_an_address_is_its_own_name() -> None:
    assert probed(lambda prober: prober.resolve("127.0.0.1")) == ("127.0.0.1",)


def test_a_name_has_addresses_each_once() -> None:
    found = probed(lambda prober: prober.resolve("localhost"))
    assert set(found) <= {"127.0.0.1", "::1"}
    assert len(found) == len(set(found)) > 0


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b"])
def test_a_name_that_nobody_knows_is_told(name: str) -> None:
    with pytest.raises(Unreachable, match=rf"the name {re.escape(name)} cannot be resolved"):
        probed(lambda prober: prober.resolve(name))


def test_a_port_that_answers_is_reached_without_a_word() -> None:
    with SilentPeer(None) as peer:
        probed(lambda prober: prober.reach("127.0.0.1", peer.port))
        peer.wait_until_ended()
        assert peer.heard == b""


def test_a_closed_port_is_told_as_refused() -> None:
    with pytest.raises(Unreachable, match="refuses") as caught:
        probed(lambda prober: prober.reach("127.0.0.1", free_port()))
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


# -- a printer's identity --------------------------------------------------------------------------


def test_a_printer_proves_who_it_is_and_hears_nothing(authority: Authority) -> None:
    pem = authority.issue(SERIAL)
    with SilentPeer(pem) as peer:
        found = probed(lambda prober: prober.identity(printer(), peer.port))
        assert found == fingerprint_of(der_of(pem))
        peer.wait_until_ended()
        assert peer.heard == b""


def test_another_printer_is_told_and_hears_nothing(authority: Authority) -> None:
    with SilentPeer(authority.issue("01P00A999999999")) as peer:
        with pytest.raises(AnotherDevice, match="01P00A999999999"):
            probed(lambda prober: prober.identity(printer(), peer.port))
        peer.wait_until_ended()
        assert peer.heard == b""


def test_a_certificate_that_changed_is_told(authority: Authority) -> None:
    with SilentPeer(authority.issue(SERIAL)) as peer, pytest.raises(IdentityMismatch, match="not the one"):
        probed(lambda prober: prober.identity(printer(), peer.port), Trust(SERIAL, f"sha256:{'0' * 64}"))


def test_what_does_not_speak_tls_is_no_printer() -> None:
    with SilentPeer(None, greeting=b"220 hello\r\n") as peer, pytest.raises(NotAPrinter):
        probed(lambda prober: prober.identity(printer(), peer.port))


# -- Printago's broker -----------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, users={"farm": PASSWORD, "cloud": "x"}, acl=ACL) as running:
        yield running


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_visit_leaves_nothing_behind(broker: Mosquitto, protocol: str) -> None:
    async def visit(prober: NetworkProber) -> str:
        visit = await prober.visit(printago(broker.port, protocol=protocol))
        await visit.subscribe(["bambu/commands"])
        await visit.close()
        return visit.protocol

    with Onlooker(broker.port, "#", user="cloud", password="x") as cloud:
        assert probed(visit) == protocol
        wait_until("the goodbye", lambda: "disconnected" in broker.text())
        cloud.say("bambu/end", b"", qos=1)
        assert cloud.hear().topic == "bambu/end"  # neither a will nor anything else came before
    (client,) = set(re.findall(r"bambu-connector-here-doctor-\w+", broker.text()))
    assert client != "bambu-connector-here"
    assert "c1" in broker.text()  # a clean start


def test_what_is_delivered_during_a_visit_stays_the_services(broker: Mosquitto) -> None:
    async def visit(prober: NetworkProber) -> None:
        visit = await prober.visit(printago(broker.port))
        await visit.subscribe(["bambu/commands"])
        with Onlooker(broker.port, user="cloud", password="x") as cloud:
            await asyncio.to_thread(cloud.say, "bambu/commands", b"{}")
        sent = "Sending PUBLISH to bambu-connector-here-doctor"
        await asyncio.to_thread(wait_until, "the delivery", lambda: sent in broker.text())
        await visit.close()

    probed(visit)
    assert "Received PUBACK from bambu-connector-here-doctor" not in broker.text()


def test_a_topic_that_may_not_be_read_is_told() -> None:
    async def visit(prober: NetworkProber) -> None:
        visit = await prober.visit(printago(peer.port, protocol="3.1.1"))
        try:
            await visit.subscribe(["bambu/commands", "somebody/elses"])
        finally:
            await visit.close()

    connack, suback = b"\x20\x02\x00\x00", b"\x90\x04\x00\x01\x01\x80"
    with ScriptedPeer(None, [connack, suback]) as peer, pytest.raises(LinkError, match="somebody/elses"):
        probed(visit)


def test_a_wrong_password_is_told_without_it(broker: Mosquitto) -> None:
    with pytest.raises(AccessDenied) as caught:
        probed(lambda prober: prober.visit(printago(broker.port, password="wrong-password")))
    assert "wrong-password" not in str(caught.value)


def test_a_broker_with_a_certificate_is_judged_by_the_authority(tmp_path: Path) -> None:
    authority = HostAuthority(tmp_path)
    with SilentPeer(authority.issue("broker")) as peer:
        tls = BrokerTls(ca_file=authority.certificate)
        assert probed(lambda prober: prober.broker_identity(printago(peer.port, tls=tls))).startswith("TLSv1")
        with pytest.raises(IdentityMismatch):
            probed(lambda prober: prober.broker_identity(printago(peer.port, tls=BrokerTls())))
        peer.wait_until_ended()
        assert peer.heard == b""


def test_a_ca_file_that_is_not_there_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    tls = BrokerTls(ca_file=tmp_path / "missing.crt")
    with pytest.raises(ConfigError, match="missing"):
        probed(lambda prober: prober.broker_identity(printago(1, tls=tls)))
