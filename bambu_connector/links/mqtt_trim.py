"""Giant MQTT messages cut short on their way in, before anybody keeps them in memory. No networking in here.

MQTT allows 256 MB a packet, and paho gathers a packet whole. A message that is too large for us must be delivered all
the same, shortened: one that broke the connection would come again with the next one, for ever.
"""

from typing import Final

_PUBLISH: Final = 3
_QOS_MASK: Final = 0x06
_QOS_1: Final = 0x02
_MAX_DIGITS: Final = 4  # what MQTT allows for the length of a packet, and of its properties
_TOPIC_LENGTH_BYTES: Final = 2
_MESSAGE_ID_BYTES: Final = 2


class BadPacketError(ValueError):
    """The peer sends what is not MQTT, or what none of ours has a reason to send; the text is half a sentence."""


class PacketTrimmer:
    """Follows the packets in a stream of bytes, and lets no message through with more than `limit` bytes of payload.

    A packet that is not longer than that passes as it is. Of a longer message the beginning of the payload passes as
    soon as it is here, so that it can be acknowledged, and the rest is dropped as it arrives; so are its properties
    (`properties`: the stream is MQTT 5), which nobody here reads and which may be what makes it long.
    """

    def __init__(self, limit: int, *, properties: bool) -> None:
        self._limit = limit
        self._properties = properties
        self._held = b""  # the beginning of a packet of which we do not know yet how long it is
        # What is left of the packet under way, in this order: properties to drop, bytes that pass, payload to drop.
        self._skipping = self._passing = self._dropping = 0
        self._begun = 0

    @property
    def under_way(self) -> int | None:
        """The ordinal number of the packet that has begun and is not through; None between packets."""
        if self._held:
            return self._begun + 1
        return self._begun if self._passing or self._dropping or self._skipping else None

    def feed(self, data: bytes) -> bytes:
        """Return what may pass of `data` and of what was held back before it; raises BadPacketError."""
        if self._held:
            data, self._held = self._held + data, b""
        size, at, start = len(data), 0, 0
        passed: list[bytes] = []  # and, after them, data[start:at]
        while at < size:
            if self._passing and not self._skipping:
                step = min(self._passing, size - at)
                self._passing -= step
                at += step
            elif self._skipping or self._dropping:
                passed.append(data[start:at])
                at += self._drop(size - at)
                start = at
            else:
                length, body = _length(data, at + 1)
                if length < 0:
                    break
                if length > self._limit or data[at] & _QOS_MASK > _QOS_1:
                    head, end = self._unusual(data, at, body, length)
                    if not end:
                        break
                    passed += data[start:at], head
                    at = start = end
                elif body + length <= size:
                    at = body + length
                else:
                    self._passing = length
                    at = body
                self._begun += 1
        self._held = data[at:]
        if passed:
            passed.append(data[start:at])
            return b"".join(passed)
        return data if at == size else data[:at]

    def _drop(self, available: int) -> int:
        """Count up to `available` bytes as dropped and return how many."""
        if self._skipping:
            step = min(self._skipping, available)
            self._skipping -= step
        else:
            step = min(self._dropping, available)
            self._dropping -= step
        return step

    def _unusual(self, data: bytes, at: int, body: int, length: int) -> tuple[bytes, int]:
        """Return how a packet that is no everyday one begins from now on, and where in `data` that part of it ends.

        The end is 0 where more of it is needed to tell.
        """
        first = data[at]
        if first >> 4 == _PUBLISH and first & _QOS_MASK > _QOS_1:
            # Their messages would pile up in paho until each is released.
            raise BadPacketError("sends a message with a quality of service that nobody asked for")
        if length <= self._limit:
            self._passing = length
            return data[at:body], body
        if first >> 4 != _PUBLISH:
            raise BadPacketError(f"announces a packet of {length} bytes that is no message")
        topic = int.from_bytes(data[body : body + _TOPIC_LENGTH_BYTES], "big")
        end = after = body + _TOPIC_LENGTH_BYTES + topic + (_MESSAGE_ID_BYTES if first & _QOS_MASK else 0)
        if len(data) < end:
            return b"", 0
        properties = 0
        if self._properties:
            properties, after = _length(data, end)
            if properties < 0:
                return b"", 0
        payload = length - (after - body) - properties
        if payload < 0:
            raise BadPacketError("sends a message that is shorter than what it says of itself")
        self._skipping, self._passing = properties, min(payload, self._limit)
        self._dropping = payload - self._passing
        head = data[body:end] + (b"\x00" if self._properties else b"")
        return data[at : at + 1] + _encoded(len(head) + self._passing) + head, after


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends; -1 where more bytes are needed to tell."""
    value, shift = 0, 0
    for index in range(at, len(data)):
        digit = data[index]
        value |= (digit & 0x7F) << shift
        if digit < 0x80:
            return value, index + 1
        shift += 7
        if shift == 7 * _MAX_DIGITS:
            raise BadPacketError("sends a length that has no end")
    return -1, at


def _encoded(value: int) -> bytes:
    digits = bytearray()
    while True:
        value, low = divmod(value, 0x80)
        digits.append(low | (0x80 if value else 0))
        if not value:
            return bytes(digits)
