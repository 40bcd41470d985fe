"""How aio-pika's two lower layers, aiormq and pamqp, read and write frames in this process, where theirs do not do.

**Lenient.** RabbitMQ hands on whatever a sender wrote into a message's properties. pamqp raises on names that are not
UTF-8, on times outside the calendar and on tables in tables in tables, and aiormq then ends the whole connection: one
such message would cut its receiver off once per delivery, and what waits beside it would reach the delivery limit too.

**Lean.** A body of 1 MiB travels in eight frames. aiormq copies each several times on its way, into buffers that grow
and move as it goes, and wakes a task for each; here a body is copied once when it is cut into frames and twice when it
is put together, and its frames are read as one. What goes over the wire is the same to the byte. This pays for a fifth
of a batch's journey (`make bench ONLY=transport`).

Properties of a message are written and read without asking for each value's type (`properties.py`).

**Together.** aiormq hands the kernel each message and each acknowledgement apart, and a call of the kernel costs more
than making what it writes. Here whatever waits to be written goes in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, cast

import aiormq.channel
import aiormq.connection
from aiormq.abc import ChannelFrame, DeliveredMessage
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from pamqp import commands, constants, frame, header
from pamqp.body import ContentBody
from pamqp.exceptions import PAMQPException

from broker.rabbitmq import properties

FIXED: Final = Struct(">HHQ")
FIXED_BYTES: Final = FIXED.size
"""Class and body length, before the properties; without them the rest of the stream has no meaning."""
FRAME_HEAD: Final = Struct(">BHI")
"""Type, channel, length of what follows before the closing byte (AMQP 0-9-1, section 4.2.3)."""
FRAME_END: Final = bytes((constants.FRAME_END,))
WRITE_BYTES_MIN: Final = 64 * 1024
"""What is as large is written as it is; smaller pieces together, until they are as large."""
READ_BYTES_MAX: Final = 1024 * 1024
"""What is read ahead of its use. asyncio stops and begins again after every 128 KiB, which is a frame."""
WRITES_WAITING_MAX: Final = 64
"""Pieces of one connection that wait to be written, whoever made them; aiormq lets 10 wait."""

_read_properties: Final = header.ContentHeader.unmarshal
_marshall: Final = ChannelFrame.marshall
_create_tcp: Final = aiormq.connection.TCPTransportFactory.create
_next_to_write: Final = aiormq.connection.FrameGenerator.__anext__


def improve() -> None:
    """From now on in this process; may be called again."""
    header.ContentHeader.unmarshal = _read_leniently  # type: ignore[method-assign]
    ChannelFrame.marshall = _join  # type: ignore[method-assign]
    aiormq.channel.Channel._split_body = _cut  # type: ignore[method-assign]
    aiormq.channel.Channel._read_content = _read_content  # type: ignore[assignment,method-assign]
    aiormq.connection.FrameReceiver = Receiver  # type: ignore[misc]
    aiormq.connection.TCPTransportFactory.create = _create  # type: ignore[method-assign]
    aiormq.connection.FrameGenerator.__anext__ = _all_to_write  # type: ignore[method-assign]
    aiormq.connection.Connection.FRAME_BUFFER_SIZE = WRITES_WAITING_MAX


def _read_leniently(self: header.ContentHeader, data: bytes) -> None:
    """Such a message arrives without any properties, for its receiver to refuse."""
    ours = properties.read(data[FIXED_BYTES:])
    if ours is not None:
        self.class_id, self.weight, self.body_size = FIXED.unpack_from(data)
        self.properties = ours
        return
    try:
        _read_properties(self, data)
    except Exception:  # of whatever kind: these bytes are a sender's
        if len(data) < FIXED_BYTES:
            raise
        self.properties = commands.Basic.Properties()


def _cut(self: aiormq.channel.Channel, body: bytes) -> list[ContentBody]:
    """A body as the contents of its frames: views, not copies."""
    view, most = memoryview(body), self.max_content_size
    return [ContentBody(cast(bytes, view[at : at + most])) for at in range(0, len(body), most)]


def _join(channel_number: int, frames: Iterable[Any], drain_future: asyncio.Future[Any] | None = None) -> ChannelFrame:
    """The frames of one message as one buffer; those of no message as ever."""
    each = list(frames)
    if not any(isinstance(one, ContentBody) for one in each):
        return _marshall(channel_number, each, drain_future)
    parts: list[bytes] = []
    for one in each:
        if isinstance(one, ContentBody):
            parts += (FRAME_HEAD.pack(constants.FRAME_BODY, channel_number, len(one.value)), one.value, FRAME_END)
        else:
            parts.append(frame.marshal(one, channel_number))
    return ChannelFrame(payload=b"".join(parts), should_close=False, drain_future=drain_future)


@dataclass(frozen=True)
class _Together(ChannelFrame):
    """Several pieces to be written as one; whoever waits for one of them is told when all are written."""

    pieces: tuple[ChannelFrame, ...] = ()

    @property
    def should_drain(self) -> bool:
        return any(piece.should_drain for piece in self.pieces)

    def drain(self) -> None:
        for piece in self.pieces:
            piece.drain()


async def _all_to_write(self: aiormq.connection.FrameGenerator) -> ChannelFrame:
    """The next piece, with those that wait behind it. Nothing is written after one that closes the connection."""
    pieces = [await _next_to_write(self)]
    size = len(pieces[0].payload)
    while size < WRITE_BYTES_MIN and not pieces[-1].should_close and not self.queue.empty():
        pieces.append(self.queue.get_nowait())
        self.queue.task_done()
        size += len(pieces[-1].payload)
    if len(pieces) == 1:
        return pieces[0]
    payload = b"".join(piece.payload for piece in pieces)
    return _Together(payload, pieces[-1].should_close, pieces=tuple(pieces))


class Receiver(aiormq.connection.FrameReceiver):
    """Reads frames; those of one body come as one."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._missing: dict[int, int] = {}
        """Bytes of the body that arrives on a channel."""
        self._next: tuple[int, int, bytes] | None = None
        """Read, and not handed out: its kind, channel, and what follows that."""

    async def get_frame(self) -> tuple[int, int, Any]:
        """The next frame: its length, channel and content. The first, which may refuse the protocol, as ever."""
        if not self.started:
            return await super().get_frame()
        if self._next is None and self.reader.at_eof():
            raise StopAsyncIteration
        try:
            kind, channel, rest = await self._frame()
            if kind == constants.FRAME_BODY and rest.endswith(FRAME_END) and self._missing.get(channel):
                return await self._body(channel, rest)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise AMQPConnectionError(f"the broker closed the connection ({type(error).__name__})") from error
        try:
            read = frame.unmarshal(FRAME_HEAD.pack(kind, channel, len(rest) - len(FRAME_END)) + rest)
        except PAMQPException as error:
            raise InvalidFrameError(str(error)) from error
        if isinstance(read[2], header.ContentHeader):
            self._missing[channel] = read[2].body_size
        return read

    async def _frame(self) -> tuple[int, int, bytes]:
        """Kind and channel of the next frame, and its content with the closing byte."""
        if self._next is not None:
            read, self._next = self._next, None
            return read
        kind, channel, length = FRAME_HEAD.unpack(await self.reader.readexactly(FRAME_HEAD.size))
        return kind, channel, await self.reader.readexactly(length + len(FRAME_END))

    async def _body(self, channel: int, first: bytes) -> tuple[int, int, ContentBody]:
        """As much of a body as comes in one piece, from its `first` frame on: others may come between."""
        parts = [memoryview(first)[:-1]]
        missing = self._missing.pop(channel) - len(parts[0])
        while missing > 0:
            kind, number, rest = await self._frame()
            if (kind, number) != (constants.FRAME_BODY, channel) or not rest.endswith(FRAME_END):
                self._missing[channel], self._next = missing, (kind, number, rest)
                break
            parts.append(memoryview(rest)[:-1])
            missing -= len(parts[-1])
        body = b"".join(parts)
        return len(body), channel, ContentBody(body)


async def _create(self: aiormq.connection.TCPTransportFactory, url: Any, **kwargs: Any) -> Any:
    return await _create_tcp(self, url, limit=READ_BYTES_MAX, **kwargs)


async def _read_content(
    self: aiormq.channel.Channel, delivered: Any, content_header: header.ContentHeader
) -> DeliveredMessage:
    """The message to which these frames belong, with its body from the frames that follow."""
    parts: list[bytes] = []
    missing = content_header.body_size or 0
    while missing > 0:
        content = await self._get_frame()
        if not isinstance(content, ContentBody):
            raise ValueError(f"Unexpected frame {content!r}", content)
        parts.append(content.value)
        missing -= len(content.value)
    return DeliveredMessage(delivery=delivered, header=content_header, body=b"".join(parts), channel=self)
