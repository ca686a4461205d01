import contextlib
import socket
import threading
from pathlib import Path

import pytest

from bambu_connector.links.ftps_session import FtpsSession, Wires, WiresCutError
from bambu_connector.links.tls import Trust
from bambu_connector.secret import Secret
from bambu_connector.virtual.pki import Authority
from tests.servers.ftps_stub import FtpsStub
from tests.servers.process import free_port
from tests.servers.silent import SilentPeer

SERIAL = "01P00A000000001"


@pytest.fixture(scope="module")
def pem(authority: Authority) -> Path:
    return authority.issue(SERIAL)


def test_wires_that_were_cut_make_no_new_connection() -> None:
    wires = Wires()
    wires.cut()
    with SilentPeer(None) as peer:
        with pytest.raises(WiresCutError):
            wires.connect([(socket.AF_INET, (peer.host, peer.port))])
        assert peer.accepted == 0


def test_cutting_wakes_a_thread_that_waits_for_bytes() -> None:
    wires = Wires()
    with SilentPeer(None) as peer:
        sock = wires.connect([(socket.AF_INET, (peer.host, peer.port))])
        sock.settimeout(30)
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(sock.recv(1)))
        thread.start()
        wires.cut()
        thread.join(5)
        assert got == [b""]
        sock.close()


def test_the_next_address_is_tried_when_one_fails() -> None:
    wires = Wires()
    with SilentPeer(None) as peer:
        dead = (socket.AF_INET, ("127.0.0.1", free_port()))
        wires.connect([dead, (socket.AF_INET, (peer.host, peer.port))]).close()
        with pytest.raises(ConnectionRefusedError):
            wires.connect([dead])


def test_a_session_protects_its_data_and_says_quit(pem: Path) -> None:
    with FtpsStub(pem) as stub:
        stub.files["a"] = b"xyz"
        session = FtpsSession(Trust(SERIAL), "P", Wires())
        with contextlib.closing(session):
            session.open(stub.host, [(socket.AF_INET, (stub.host, stub.port))])
            session.enter("bblp", Secret("12345678"))
            assert session.listing().split()[-1] == "a"
            assert session.size("a") == 3
        stub.wait_until_ended()
        assert stub.commands == [
            "USER bblp",
            "PASS 12345678",
            "PBSZ 0",
            "PROT P",
            "TYPE I",
            "PASV",
            "LIST",
            "SIZE a",
            "QUIT",
        ]


def test_a_session_that_never_logged_in_says_no_quit(pem: Path) -> None:
    with FtpsStub(pem) as stub:
        session = FtpsSession(Trust(SERIAL), "P", Wires())
        session.open(stub.host, [(socket.AF_INET, (stub.host, stub.port))])
        session.close()
        stub.wait_until_ended()
        assert stub.commands == []
