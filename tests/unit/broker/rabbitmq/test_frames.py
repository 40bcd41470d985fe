"""Frames written and read in this package's way are those of AMQP 0-9-1, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.connection import FrameGenerator, FrameReceiver
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError
from pamqp import commands, frame, heartbeat
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from broker.rabbitmq import frames

MOST = 1000
CHANNEL = 7


def contents(body: bytes) -> list[ContentBody]:
    return frames._cut(cast(Channel, SimpleNamespace(max_content_size=MOST)), body)


def message(body: bytes) -> list[Any]:
    properties = commands.Basic.Properties(message_id="m", headers={"ce-id": "1"})
    return [
        commands.Basic.Publish(exchange="hub.A11", routing_key="B11.B12.A11.A12.batch", mandatory=True),
        ContentHeader(body_size=len(body), properties=properties),
        *contents(body),
    ]


def text(length: int) -> bytes:
    return bytes(n % 251 for n in range(length))


@pytest.mark.parametrize("length", [0, 1, MOST - 1, MOST, MOST + 1, 3 * MOST, 3 * MOST + 5])
def test_a_message_is_cut_and_joined_as_pamqp_would(length: int) -> None:
    body = text(length)
    pieces = [body[at : at + MOST] for at in range(0, length, MOST)]
    expected = [*message(b"")[:1], ContentHeader(body_size=length, properties=message(body)[1].properties)]
    expected += [ContentBody(piece) for piece in pieces]
    written = frames._join(CHANNEL, message(body)).payload
    assert written == b"".join(frame.marshal(one, CHANNEL) for one in expected)


def test_frames_without_a_body_are_written_by_the_library() -> None:
    closing = frames._join(CHANNEL, [commands.Connection.CloseOk()])
    assert closing.should_close
    assert closing.payload == frame.marshal(commands.Connection.CloseOk(), CHANNEL)
    assert frames._join(0, [heartbeat.Heartbeat()]).payload == heartbeat.Heartbeat().marshal()


def test_who_waits_for_a_message_to_be_written_is_told() -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    written = frames._join(CHANNEL, message(text(10)), future)
    assert written.should_drain
    written.drain()
    assert future.done()
    loop.close()


def waiting(*pieces: ChannelFrame) -> FrameGenerator:
    queue: asyncio.Queue[ChannelFrame] = asyncio.Queue()
    for piece in pieces:
        queue.put_nowait(piece)
    return FrameGenerator(queue)


def piece(payload: bytes, *, closes: bool = False) -> ChannelFrame:
    return ChannelFrame(payload, closes, asyncio.get_running_loop().create_future())


async def test_what_waits_to_be_written_is_written_together_and_everyone_told() -> None:
    frames.improve()
    pieces = [piece(b"a"), piece(b"b"), ChannelFrame(b"c", should_close=False)]
    source = waiting(*pieces)
    written = await anext(source)
    assert (written.payload, written.should_close, written.should_drain) == (b"abc", False, True)
    written.drain()
    assert [each.should_drain for each in pieces] == [False] * 3
    await asyncio.wait_for(source.queue.join(), 5)


async def test_pieces_are_written_together_up_to_a_size() -> None:
    frames.improve()
    large = bytes(frames.WRITE_BYTES_MIN)
    source = waiting(piece(large), piece(b"a"), piece(large), piece(b"b"))
    assert [(await anext(source)).payload for _ in range(3)] == [large, b"a" + large, b"b"]


async def test_nothing_is_written_with_what_closes_the_connection() -> None:
    frames.improve()
    written = await anext(waiting(piece(b"a"), piece(b"close", closes=True), piece(b"b")))
    assert (written.payload, written.should_close) == (b"aclose", True)


def receiver(data: bytes, *, started: bool = True) -> FrameReceiver:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    made = FrameReceiver(reader)
    made.started = started
    return made


@pytest.mark.parametrize("started", [True, False])
async def test_what_is_written_is_read(started: bool) -> None:
    body = text(2 * MOST + 3)
    sent = [*message(body), heartbeat.Heartbeat()]
    source = receiver(b"".join(frame.marshal(one, CHANNEL) for one in sent), started=started)
    got = [await frames._get_frame(source) for _ in sent]
    assert [weight for weight, _, _ in got] == [len(frame.marshal(one, CHANNEL)) for one in sent]
    assert [number for _, number, _ in got] == [CHANNEL] * (len(sent) - 1) + [0]
    assert [type(each) for _, _, each in got] == [type(one) for one in sent]
    assert b"".join(each.value for _, _, each in got if isinstance(each, ContentBody)) == body
    with pytest.raises(StopAsyncIteration):
        await frames._get_frame(source)


async def test_a_connection_cut_within_a_frame_is_an_error_of_the_connection() -> None:
    whole = frame.marshal(ContentBody(text(100)), CHANNEL)
    for length in (3, 7, 50, len(whole) - 1):
        with pytest.raises(AMQPConnectionError):
            await frames._get_frame(receiver(whole[:length]))


@pytest.mark.parametrize("damaged", [ContentBody(text(100)), commands.Basic.Ack(1), heartbeat.Heartbeat()])
async def test_a_frame_without_its_end_is_refused(damaged: Any) -> None:
    raw = frame.marshal(damaged, 0)
    if isinstance(damaged, heartbeat.Heartbeat):
        raw = b"\x09" + raw[1:]  # of no known type
    with pytest.raises(InvalidFrameError):
        await frames._get_frame(receiver(raw[:-1] + b"\x00"))


def channel(arriving: Sequence[Any]) -> Channel:
    waiting = list(arriving)

    async def next_frame() -> Any:
        return waiting.pop(0)

    return cast(Channel, SimpleNamespace(_get_frame=next_frame))


@pytest.mark.parametrize("length", [0, 1, MOST, 2 * MOST + 1])
async def test_a_body_is_put_together_from_its_frames(length: int) -> None:
    body, deliver = text(length), commands.Basic.Deliver("c", 1, False, "hub.A11", "key")
    head = ContentHeader(body_size=length)
    read = await frames._read_content(channel([*contents(body), "next"]), deliver, head)
    assert (read.body, read.delivery, read.header) == (body, deliver, head)
    assert isinstance(read.body, bytes)


async def test_another_frame_within_a_body_is_refused() -> None:
    body = text(2 * MOST)
    arriving = [contents(body)[0], commands.Basic.Ack(1)]
    with pytest.raises(ValueError, match="Unexpected frame"):
        await frames._read_content(channel(arriving), commands.Basic.Deliver(), ContentHeader(body_size=len(body)))


def test_it_is_in_force_after_a_call_and_after_another() -> None:
    for _ in range(2):
        frames.improve()
        assert (
            ChannelFrame.marshall(CHANNEL, message(text(5))).payload == frames._join(CHANNEL, message(text(5))).payload
        )
        assert (FrameReceiver.get_frame, Channel._read_content) == (frames._get_frame, frames._read_content)
