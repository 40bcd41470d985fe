"""Cuts what arrives on a connection into methods, with the frames of the message that follows one. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from pamqp import constants

from broker.rabbitmq.frames import FIXED, FIXED_BYTES, FRAME_END, FRAME_HEAD

HEAD_BYTES: Final = FRAME_HEAD.size
FRAME_BYTES_MAX: Final = 131_072
"""The longest that we let be sent to us, with head and end: RabbitMQ's own default."""
MESSAGE_BYTES_MAX: Final = 512 << 20
"""The longest body of which anything is read: no RabbitMQ can be set to carry more."""
METHOD_BYTES: Final = 4
"""Class and number, which begin a method."""
DELIVER: Final = b"\x00\x3c\x00\x3c"
RETURN: Final = b"\x00\x3c\x00\x32"
ACK: Final = b"\x00\x3c\x00\x50"
NACK: Final = b"\x00\x3c\x00\x78"
"""Methods of the class `basic`, 60 (AMQP 0-9-1, section 1.8.3, and RabbitMQ's extension for nack)."""
BASIC: Final = 60
CHANNEL: Final = 1
"""Ours, on every connection: so the frames of one are those of another."""
_CONTENT: Final = frozenset((DELIVER, RETURN))
_END: Final = FRAME_END[0]


class Malformed(Exception):  # noqa: N818
    """The other side sent what is no AMQP, or what it may not send now. The connection is of no more use."""


class Said(NamedTuple):
    """A method, and the frames of its message as they came, from their content header on; empty where it has none."""

    channel: int
    method: bytes
    content: bytes


class Stream:
    """One direction of a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._read = 0
        """So much of it is read; what is kept before that is of an unfinished message."""
        self._method = b""
        """Of the message that arrives."""
        self._begun = False
        """Its content header is here,"""
        self._missing = 0
        """and so many bytes of its body are not."""

    def feed(self, data: bytes) -> list[Said]:
        """What has come in whole.

        Raises:
            Malformed
        """
        buffer = self._buffer
        buffer += data
        said: list[Said] = []
        begin, at, there = 0, self._read, len(buffer)
        while there - at > HEAD_BYTES:
            kind, channel, size = FRAME_HEAD.unpack_from(buffer, at)
            end = at + HEAD_BYTES + size + 1
            if end - at > FRAME_BYTES_MAX:
                raise Malformed(f"a frame of {size} bytes")
            if end > there:
                break
            if buffer[end - 1] != _END:
                raise Malformed("a frame without its end")
            if channel == CHANNEL and self._method:
                if self._content(kind, size, at):
                    said.append(Said(channel, self._method, bytes(buffer[begin:end])))
                    self._method, self._begun, begin = b"", False, end
            else:
                self._single(kind, channel, bytes(buffer[at + HEAD_BYTES : end - 1]), said)
                if begin == at:
                    begin = end
                else:  # between the frames of a message
                    del buffer[at:end]
                    there, end = len(buffer), at
            at = end
        del buffer[:begin]
        self._read = at - begin
        return said

    def _single(self, kind: int, channel: int, payload: bytes, said: list[Said]) -> None:
        """A frame that is no part of a message."""
        if kind == constants.FRAME_HEARTBEAT and channel == 0:
            return
        if kind != constants.FRAME_METHOD or channel not in (0, CHANNEL) or len(payload) < METHOD_BYTES:
            raise Malformed(f"a frame of kind {kind} on channel {channel}, which nothing announced")
        if channel == CHANNEL and payload[:METHOD_BYTES] in _CONTENT:
            self._method = payload
        else:
            said.append(Said(channel, payload, b""))

    def _content(self, kind: int, size: int, at: int) -> bool:
        """A frame of the message that arrives; whether it is the last one."""
        if not self._begun:
            if kind != constants.FRAME_HEADER or size < FIXED_BYTES:
                raise Malformed(f"a frame of kind {kind} in place of a content header")
            class_id, _, self._missing = FIXED.unpack_from(self._buffer, at + HEAD_BYTES)
            if class_id != BASIC or self._missing > MESSAGE_BYTES_MAX:
                raise Malformed(f"a content header of class {class_id} and a body of {self._missing} bytes")
            self._begun = True
        elif kind != constants.FRAME_BODY or size > self._missing:
            raise Malformed(f"a frame of kind {kind} with {size} bytes, where a body misses {self._missing}")
        else:
            self._missing -= size
        return self._missing == 0
