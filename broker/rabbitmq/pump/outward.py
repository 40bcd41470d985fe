"""What was published on a channel with confirms and is not confirmed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct
from typing import Final

from pamqp import commands, frame

from broker.rabbitmq.pump.ledger import Delivered
from broker.rabbitmq.pump.plain import is_plain
from broker.rabbitmq.pump.stream import ACK, CHANNEL, FRAME_BYTES_MAX, METHOD_BYTES, NACK, RETURN, Malformed

KEYS_MAX: Final = 4096
"""Whose frames are kept; a link has few keys, and a stranger may make more."""
_CONFIRM: Final = Struct(">QB")
_MULTIPLE: Final = 1


class Outward:
    """Of one channel. Publishes count from 1 (RabbitMQ's publisher confirms)."""

    def __init__(self, exchange: str, keys: str, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Publish on this exchange, under whole keys that match this regular expression."""
        self._exchange = exchange
        self._keys = re.compile(keys)
        self._frame_bytes_max = frame_bytes_max
        self._frames: dict[bytes, bytes] = {}
        """By key; empty where it may not pass."""
        self._under_way: dict[int, Delivered] = {}
        self._next = self._first = 1
        """The number of the next publish; of the first that may be under way."""

    def publish(self, delivered: Delivered) -> bytes:
        """Frames before the message's own that make it a publish; nothing where it has to go otherwise."""
        method = self._frames.get(delivered.key)
        if method is None:
            method = self._method(delivered.key)
        if not method or delivered.redelivered or not self._fits(delivered.content) or not is_plain(delivered.content):
            return b""
        self._under_way[self._next] = delivered
        self._next += 1
        return method

    def hear(self, method: bytes) -> tuple[list[Delivered], list[Delivered]]:
        """What a confirm, a refusal or a return says: which are kept over there, and which are not.

        A broker returns what nobody receives before it confirms it. All that is under way with this key counts as
        returned: keys alone lead to queues.

        Raises:
            Malformed
        """
        kind = method[:METHOD_BYTES]
        if kind == RETURN:
            key = _returned_key(method)
            return [], [self._under_way.pop(number) for number, each in [*self._under_way.items()] if each.key == key]
        if kind not in (ACK, NACK) or len(method) != METHOD_BYTES + _CONFIRM.size:
            raise Malformed("neither a confirm nor a return")
        heard = [*self._done(*_CONFIRM.unpack_from(method, METHOD_BYTES))]
        return (heard, []) if kind == ACK else ([], heard)

    def give_up(self) -> list[Delivered]:
        """All that is under way: the channel is lost, and nothing more is heard of it."""
        lost = [*self._under_way.values()]
        self._under_way.clear()
        return lost

    def _done(self, number: int, bits: int) -> Iterator[Delivered]:
        if not 0 < number < self._next:
            raise Malformed(f"a confirm of publish {number}, before there was one")
        numbers = (number,)
        if bits & _MULTIPLE:
            numbers = range(self._first, number + 1)  # type: ignore[assignment]
            self._first = max(self._first, number + 1)
        for each in numbers:
            delivered = self._under_way.pop(each, None)
            if delivered is not None:
                yield delivered

    def _fits(self, content: bytes) -> bool:
        """Frames as long as they came are let through over there."""
        return self._frame_bytes_max >= FRAME_BYTES_MAX or len(content) <= self._frame_bytes_max

    def _method(self, raw: bytes) -> bytes:
        if len(self._frames) >= KEYS_MAX:
            self._frames.clear()
        key, method = raw.decode(errors="replace"), b""
        if self._keys.fullmatch(key):
            publish = commands.Basic.Publish(exchange=self._exchange, routing_key=key, mandatory=True)
            method = frame.marshal(publish, CHANNEL)
        self._frames[raw] = method
        return method


def _returned_key(method: bytes) -> bytes:
    """After a code: a text, an exchange, the key."""
    at = METHOD_BYTES + 2
    try:
        for _ in range(2):
            at += 1 + method[at]
        end = at + 1 + method[at]
    except IndexError:
        raise Malformed("a return that is not whole") from None
    if end != len(method):
        raise Malformed("a return that is not whole")
    return method[at + 1 : end]
