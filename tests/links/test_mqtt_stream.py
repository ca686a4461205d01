import socket
from collections.abc import Iterator

import pytest

from bambu_connector.links.mqtt_stream import TrimmedSocket
from bambu_connector.links.mqtt_trim import BadPacketError, PacketTrimmer
from tests.servers.packets import publish

LIMIT = 1000


@pytest.fixture
def pair() -> Iterator[tuple[TrimmedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = TrimmedSocket(ours, PacketTrimmer(LIMIT, properties=False))
    with theirs:
        yield stream, theirs
        stream.close()


def test_small_pieces_are_served_from_one_read(pair: tuple[TrimmedSocket, socket.socket]) -> None:
    stream, theirs = pair
    whole = publish("t", b"hello") * 2
    theirs.sendall(whole)
    assert not stream.pending()
    read = stream.recv(1)
    assert stream.pending(), "no selector tells of what is read already"
    while stream.pending():
        read += stream.recv(3)
    assert read == whole
    with pytest.raises(BlockingIOError):
        stream.recv(1)


def test_the_end_is_told_after_the_last_byte(pair: tuple[TrimmedSocket, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(b"\xd0\x00")
    theirs.close()
    assert [stream.recv(1), stream.recv(1), stream.recv(1)] == [b"\xd0", b"\x00", b""]


def test_what_is_dropped_looks_as_if_nothing_had_come(pair: tuple[TrimmedSocket, socket.socket]) -> None:
    stream, theirs = pair
    whole = publish("t", bytes(3 * LIMIT))
    theirs.sendall(whole[:2000])
    assert stream.recv(LIMIT + 100) == publish("t", bytes(LIMIT))
    theirs.sendall(whole[2000:])
    seen = [stream.under_way]
    with pytest.raises(BlockingIOError):
        stream.recv(1)
    assert [*seen, stream.under_way] == [1, None]
    theirs.sendall(b"\xd0\x00")
    assert stream.recv(2) == b"\xd0\x00"


def test_what_is_no_mqtt_is_told_by_reading(pair: tuple[TrimmedSocket, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(b"\x30\xff\xff\xff\xff\xff")
    with pytest.raises(BadPacketError):
        stream.recv(1)


def test_nothing_that_waited_is_served_after_the_end(pair: tuple[TrimmedSocket, socket.socket]) -> None:
    stream, theirs = pair
    theirs.sendall(b"\xd0\x00\xd0\x00")
    stream.recv(1)
    stream.close()
    assert not stream.pending()
    with pytest.raises(OSError, match="descriptor"):
        stream.recv(1)


def test_bytes_go_out_as_they_are(pair: tuple[TrimmedSocket, socket.socket]) -> None:
    stream, theirs = pair
    assert stream.fileno() >= 0
    stream.setblocking(True)
    assert stream.send(b"out") == 3
    assert theirs.recv(10) == b"out"
