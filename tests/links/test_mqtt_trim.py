import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.links.mqtt_trim import BadPacketError, PacketTrimmer
from tests.servers.packets import length, packet, publish, user_property

LIMIT = 200


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet, and what a reader is to see of it."""

    whole: bytes
    seen: bytes


def message(newest: bool, topic: str, payload: bytes, mid: int | None, flags: int, user: bytes) -> Sent:
    properties = (user_property(b"k", user) if user else b"") if newest else None
    whole = publish(topic, payload, mid=mid, flags=flags, properties=properties)
    if remaining(whole) <= LIMIT:
        return Sent(whole, whole)
    seen = publish(topic, payload[:LIMIT], mid=mid, flags=flags, properties=b"" if newest else None)
    return Sent(whole, seen)


def remaining(whole: bytes) -> int:
    digits = next(index for index in range(1, 5) if whole[index] < 128)
    return len(whole) - 1 - digits


def streams(newest: bool) -> st.SearchStrategy[list[Sent]]:
    small = st.builds(packet, st.sampled_from([0x20, 0x40, 0x90, 0xD0, 0xE0]), st.binary(max_size=LIMIT)).map(
        lambda whole: Sent(whole, whole)
    )
    topics = st.text(max_size=40) | st.just("t" * 300)
    payloads = st.integers(0, 3 * LIMIT).map(lambda size: bytes(each % 251 for each in range(size)))
    messages = st.builds(
        message,
        st.just(newest),
        topics,
        payloads | st.just(bytes(20_000)),
        st.none() | st.integers(1, 65_535),
        st.sampled_from([0, 1, 8, 9]),
        st.just(b"") | st.integers(1, 2 * LIMIT).map(bytes),
    )
    return st.lists(small | messages, max_size=8)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("newest", [False, True])
@given(data=st.data())
def test_however_a_stream_is_cut_small_packets_pass_and_large_messages_are_shortened(
    newest: bool, data: st.DataObject
) -> None:
    sent = data.draw(streams(newest))
    whole = b"".join(each.whole for each in sent)
    cuts = data.draw(st.lists(st.integers(0, 100_000), max_size=30))
    trimmer = PacketTrimmer(LIMIT, properties=newest)
    assert b"".join(trimmer.feed(piece) for piece in pieces(whole, cuts)) == b"".join(each.seen for each in sent)
    assert trimmer.under_way is None


@pytest.mark.parametrize("newest", [False, True])
def test_byte_by_byte_it_comes_to_the_same(newest: bool) -> None:
    sent = [
        message(newest, "small", b"x", 1, 0, b"u"),
        message(newest, "large", bytes(1000), 77, 8, b"u" * 500),
        message(newest, "t" * 300, b"short", None, 1, b""),
        message(newest, "small", b"", None, 0, b""),
    ]
    trimmer = PacketTrimmer(LIMIT, properties=newest)
    passed = b"".join(trimmer.feed(bytes([byte])) for each in sent for byte in each.whole)
    assert passed == b"".join(each.seen for each in sent)


def test_what_is_within_the_limit_is_not_even_copied() -> None:
    data = publish("t", b"x" * 100) * 50
    assert PacketTrimmer(LIMIT, properties=False).feed(data) is data


def test_a_large_message_can_be_read_before_its_end_is_here() -> None:
    whole = publish("t", b"x" * 1000, mid=5)
    trimmer = PacketTrimmer(LIMIT, properties=False)
    assert trimmer.feed(whole[:300]) == publish("t", b"x" * LIMIT, mid=5)
    assert trimmer.under_way == 1
    assert trimmer.feed(whole[300:]) == b""
    assert trimmer.under_way is None


def test_the_packet_under_way_is_told_from_the_one_before() -> None:
    whole = publish("t", b"x" * 100)
    trimmer = PacketTrimmer(LIMIT, properties=False)
    seen = []
    for piece in (whole[:1], whole[1:50], whole[50:] + whole[:1], whole[1:]):
        trimmer.feed(piece)
        seen.append(trimmer.under_way)
    assert seen == [1, 1, 2, None]


def test_a_256_mb_message_costs_no_more_than_the_limit() -> None:
    trimmer = PacketTrimmer(LIMIT, properties=False)
    assert trimmer.feed(b"\x30\xff\xff\xff\x7f\x00\x01t") == b"\x30" + length(LIMIT + 3) + b"\x00\x01t"
    chunk = bytes(1024 * 1024)
    assert sum(len(trimmer.feed(chunk)) for _ in range(256)) == LIMIT + 4  # and the beginning of what follows
    assert trimmer.under_way is None


def feed(trimmer: PacketTrimmer, chunks: list[bytes]) -> None:
    for chunk in chunks:
        trimmer.feed(chunk)
        assert len(trimmer._held) <= 5 + 2 + 65_535 + 2 + 4


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\xff",
        b"\xd0\x80\x80\x80\x80\x01",
        packet(0x20, bytes(LIMIT + 1)),  # a CONNACK that long
        packet(0x90, bytes(LIMIT + 1)),
        b"\x50\xff\xff\xff\x7f",
        publish("t", b"x", mid=1, flags=0x04),  # QoS 3
        packet(0x34, b"\x00\x01t\x00\x01x"),  # QoS 2
        packet(0x30, b"\xff\xff" + bytes(LIMIT)) + bytes(66_000),  # a topic that is longer than its packet
    ],
)
@pytest.mark.parametrize("newest", [False, True])
def test_what_is_no_packet_of_ours_ends_it(data: bytes, newest: bool) -> None:
    for cut in (len(data), 1):
        with pytest.raises(BadPacketError):
            feed(PacketTrimmer(LIMIT, properties=newest), [data[at : at + cut] for at in range(0, len(data), cut)])


@pytest.mark.parametrize("properties", [length(5000), b"\xff\xff\xff\xff\x01"])
def test_properties_that_are_longer_than_their_packet_end_it(properties: bytes) -> None:
    with pytest.raises(BadPacketError):
        PacketTrimmer(LIMIT, properties=True).feed(packet(0x30, b"\x00\x01t" + properties + bytes(LIMIT)))


@given(chunks=st.lists(st.binary(max_size=400), max_size=20), newest=st.booleans())
def test_anything_at_all_is_survived_and_little_of_it_is_kept(chunks: list[bytes], newest: bool) -> None:
    with contextlib.suppress(BadPacketError):
        feed(PacketTrimmer(LIMIT, properties=newest), chunks)
