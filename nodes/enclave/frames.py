"""What host and enclave child say to each other: length-prefixed frames over one socket pair.

    frame = kind (1) ‖ meta length (4) ‖ body length (4) ‖ meta ‖ body        meta = length-prefixed fields, see `lp`

The child answers each request of the host with one frame, in the order they came, and trusts no length: every bound is
checked before memory is taken. This module may not know what the fields mean.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np

from nodes.enclave.agreement.labels import Part, lp

META_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
FIELDS_MAX: Final = 64

EXIT_UNCAUGHT: Final = 70
"""Exit status of a child after an error that it did not expect."""
EXIT_MEMORY: Final = 71
"""Exit status of a child that said MEMORY."""

HEADER: Final = struct.Struct(">BII")


class Kind(IntEnum):
    """What a frame is. Requests of the host first, then answers of the child.

    EXECUTED carries the processor time that the batch took, in nanoseconds.
    """

    CONFIGURE = 1
    OFFER = 2
    ACCEPT = 3
    EXECUTE = 4
    READY = 16
    OFFERED = 17
    ACCEPTED = 18
    EXECUTED = 19
    UNAVAILABLE = 32
    REJECTED = 33
    BAD_PROGRAM = 34
    BAD_DATA = 35
    MEMORY = 36


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. The body may be a view of a buffer that the next frame overwrites."""

    kind: Kind
    fields: tuple[bytes, ...] = ()
    body: memoryview = field(default_factory=lambda: memoryview(b""), repr=False)


class FrameError(Exception):
    """The other side does not keep to the frame format."""


def head(kind: Kind, fields: tuple[Part, ...], body_bytes: int) -> bytes:
    """Header and meta of a frame whose body of that length follows."""
    meta = lp(*fields)
    if len(meta) > META_BYTES_MAX or body_bytes > BODY_BYTES_MAX:
        raise FrameError(f"a frame of {len(meta)} and {body_bytes} bytes is too large")
    return HEADER.pack(kind, len(meta), body_bytes) + meta


def parse_header(raw: bytes | bytearray) -> tuple[Kind, int, int]:
    """Kind, meta length and body length; raises FrameError."""
    kind, meta_bytes, body_bytes = HEADER.unpack(raw)
    if meta_bytes > META_BYTES_MAX or body_bytes > BODY_BYTES_MAX:
        raise FrameError(f"a frame of {meta_bytes} and {body_bytes} bytes is too large")
    try:
        return Kind(kind), meta_bytes, body_bytes
    except ValueError:
        raise FrameError(f"a frame of unknown kind {kind}") from None


def fields_of(meta: bytes) -> tuple[bytes, ...]:
    """The fields in a frame's meta; raises FrameError."""
    fields: list[bytes] = []
    at = 0
    while at < len(meta) and len(fields) < FIELDS_MAX:
        end = at + 4 + int.from_bytes(meta[at : at + 4], "big")
        fields.append(meta[at + 4 : end])
        at = end
    if at != len(meta):
        raise FrameError("a frame's fields do not fill it")
    return tuple(fields)


class Channel:
    """The child's end, blocking. Uses no other system calls than recvfrom and sendto once it is warm."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._header = memoryview(bytearray(HEADER.size))
        self._buffer = Buffer()

    def receive(self) -> Frame | None:
        """The next request, or None when the host is gone."""
        if not self._fill(self._header):
            return None
        kind, meta_bytes, body_bytes = parse_header(bytes(self._header))
        meta, body = memoryview(bytearray(meta_bytes)), self._buffer.view(body_bytes)
        if not (self._fill(meta) and self._fill(body)):
            return None
        return Frame(kind, fields_of(bytes(meta)), body)

    def send(self, kind: Kind, *fields: Part, body: memoryview | bytes = b"") -> None:
        """Answer."""
        self._sock.sendall(head(kind, fields, len(body)))
        if len(body):
            self._sock.sendall(body)

    def _fill(self, view: memoryview) -> bool:
        got = 0
        while got < len(view):
            count = self._sock.recv_into(view[got:], 0, socket.MSG_WAITALL)
            if count == 0:
                return False
            got += count
        return True


class Buffer:
    """Memory that is kept for the next use: taking and returning a megabyte per batch costs more than decrypting it."""

    def __init__(self) -> None:
        self._memory = np.empty(0, dtype=np.uint8)

    def view(self, length: int) -> memoryview:
        """A writable view of this many bytes, with whatever is in them. It is valid until the next call."""
        if self._memory.size < length:
            self._memory = np.empty(length, dtype=np.uint8)
        return self._memory.data[:length]
