"""What was delivered on a channel and is not settled. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from pamqp import constants

from broker.rabbitmq.pump.stream import ACK, CHANNEL, DELIVER, Malformed

CONSUMER: Final = "1"
"""Its tag: a channel has one consumer."""
_SETTLE: Final = Struct(">BHI4sQBB")
_SETTLE_BYTES: Final = 13
_REJECT: Final = b"\x00\x3c\x00\x5a"
_TO_US: Final = DELIVER + bytes((len(CONSUMER),)) + CONSUMER.encode()
_TAG_AT: Final = len(_TO_US)
_TAG: Final = Struct(">QBB")
"""Delivery tag, whether it was delivered before, length of the exchange's name, which comes before the key."""


class Delivered(NamedTuple):
    """A message that was handed over."""

    ledger: Ledger
    tag: int
    redelivered: bool
    key: bytes
    content: bytes
    """Its frames, from the content header on."""


class Ledger:
    """Of one channel. Delivery tags count from 1 (AMQP 0-9-1, section 2.3.7)."""

    def __init__(self) -> None:
        self.bytes = 0
        """Of all that is not settled."""
        self._sizes: dict[int, int] = {}
        self._last = 0
        self._settled_to = 0
        """All deliveries up to this one are settled,"""
        self._settled: set[int] = set()
        """and these."""

    def enter(self, method: bytes, content: bytes) -> Delivered:
        """A delivery.

        Raises:
            Malformed
        """
        if len(method) < _TAG_AT + _TAG.size or not method.startswith(_TO_US):
            raise Malformed("a delivery that is not whole")
        tag, redelivered, name_bytes = _TAG.unpack_from(method, _TAG_AT)
        key_at = _TAG_AT + _TAG.size + name_bytes + 1
        if len(method) < key_at or len(method) != key_at + method[key_at - 1]:
            raise Malformed("a delivery that is not whole")
        if tag != self._last + 1:
            raise Malformed(f"delivery {tag} after {self._last}")
        self._last = tag
        self._sizes[tag] = len(content)
        self.bytes += len(content)
        return Delivered(self, tag, bool(redelivered), method[key_at:], content)

    def ack(self, tags: Iterable[int]) -> bytes:
        """They are done with: what tells the broker so. Those that are settled already count for nothing."""
        new = [tag for tag in tags if self._settle(tag)]
        while self._settled_to + 1 in self._settled:
            self._settled_to += 1
            self._settled.discard(self._settled_to)
        together = [tag for tag in new if tag <= self._settled_to]
        apart = [_frame(ACK, tag, 0) for tag in new if tag > self._settled_to]
        if together:
            apart.insert(0, _frame(ACK, max(together), len(together) > 1))
        return b"".join(apart)

    def requeue(self, tag: int) -> bytes:
        """Put it back; likewise."""
        return _frame(_REJECT, tag, 1) if self._settle(tag) else b""

    def _settle(self, tag: int) -> bool:
        size = self._sizes.pop(tag, None)
        if size is None:
            return False
        self.bytes -= size
        self._settled.add(tag)
        return True


def _frame(method: bytes, tag: int, bit: int) -> bytes:
    return _SETTLE.pack(constants.FRAME_METHOD, CHANNEL, _SETTLE_BYTES, method, tag, bit, constants.FRAME_END)
