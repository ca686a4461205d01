"""MQTT packets as bytes, for peers that say what no real broker would."""

import struct


def packet(first: int, body: bytes) -> bytes:
    """Return a packet: its first byte, its length, its body."""
    return bytes([first]) + length(len(body)) + body


def length(value: int) -> bytes:
    """Return a number as MQTT writes lengths, 7 bits a byte."""
    digits = bytearray()
    while True:
        value, low = divmod(value, 128)
        digits.append(low | (128 if value else 0))
        if not value:
            return bytes(digits)


def publish(
    topic: str | bytes, payload: bytes, *, mid: int | None = None, flags: int = 0, properties: bytes | None = None
) -> bytes:
    """Return a PUBLISH: of QoS 1 where there is a `mid`, of MQTT 5 where there are `properties` (they may be empty)."""
    name = topic.encode() if isinstance(topic, str) else topic
    body = struct.pack("!H", len(name)) + name
    if mid is not None:
        body += struct.pack("!H", mid)
    if properties is not None:
        body += length(len(properties)) + properties
    return packet(0x30 | flags | (0 if mid is None else 0x02), body + payload)


def user_property(key: bytes, value: bytes) -> bytes:
    """Return one user property of MQTT 5."""
    return b"\x26" + struct.pack("!H", len(key)) + key + struct.pack("!H", len(value)) + value
