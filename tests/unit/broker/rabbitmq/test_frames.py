"""Frames written and read in this package's way are those of AMQP 0-9-1, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import aiormq.connection
import pytest
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.connection import FrameGenerator
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


def receiver(data: bytes, *, started: bool = True) -> frames.Receiver:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    made = frames.Receiver(reader)
    made.started = started
    return made


def raw(*sent: tuple[int, Any]) -> bytes:
    return b"".join(frame.marshal(one, number) for number, one in sent)


async def read_all(source: frames.Receiver) -> list[tuple[int, Any]]:
    return [(number, content) async for _, number, content in source]


def bodies(got: list[tuple[int, Any]]) -> list[tuple[int, bytes]]:
    return [(number, bytes(each.value)) for number, each in got if isinstance(each, ContentBody)]


@pytest.mark.parametrize("started", [True, False])
async def test_the_frames_of_a_body_are_read_as_one(started: bool) -> None:
    body = text(2 * MOST + 3)
    sent = raw(*((CHANNEL, one) for one in message(body)), (0, heartbeat.Heartbeat()))
    got = await read_all(receiver(sent, started=started))
    assert [(number, type(each)) for number, each in got] == [
        (CHANNEL, commands.Basic.Publish),
        (CHANNEL, ContentHeader),
        (CHANNEL, ContentBody),
        (0, heartbeat.Heartbeat),
    ]
    assert bodies(got) == [(CHANNEL, body)]


async def test_other_channels_may_come_between_the_frames_of_a_body() -> None:
    body, other = text(2 * MOST), text(MOST + 1)
    begun, (head, *rest) = message(body)[:3], [*message(other)[1:]]
    sent = [(CHANNEL, one) for one in begun] + [(9, head), (9, rest[0]), (0, heartbeat.Heartbeat())]
    sent += [(CHANNEL, message(body)[3]), (9, rest[1]), (9, commands.Basic.Ack(1))]
    got = await read_all(receiver(raw(*sent)))
    assert b"".join(part for number, part in bodies(got) if number == CHANNEL) == body
    assert b"".join(part for number, part in bodies(got) if number == 9) == other
    assert [number for number, each in got if not isinstance(each, ContentBody)] == [CHANNEL, CHANNEL, 9, 0, 9]


async def test_one_body_ends_where_its_header_says() -> None:
    first, second = text(MOST + 1), text(5)
    sent = [(CHANNEL, one) for one in (*message(first), *message(b""), *message(second))]
    assert bodies(await read_all(receiver(raw(*sent)))) == [(CHANNEL, first), (CHANNEL, second)]


async def test_a_connection_cut_within_a_frame_is_an_error_of_the_connection() -> None:
    sent = raw(*((CHANNEL, one) for one in message(text(MOST + 100))[1:]))
    head = len(raw((CHANNEL, message(text(MOST + 100))[1])))
    for length in (3, 7, head + 3, head + 7, head + 50, len(sent) - 101, len(sent) - 1):
        with pytest.raises(AMQPConnectionError):
            await read_all(receiver(sent[:length]))


@pytest.mark.parametrize("damaged", [ContentBody(text(100)), commands.Basic.Ack(1), heartbeat.Heartbeat()])
async def test_a_frame_without_its_end_is_refused(damaged: Any) -> None:
    bad = frame.marshal(damaged, 0)
    if isinstance(damaged, heartbeat.Heartbeat):
        bad = b"\x09" + bad[1:]  # of no known type
    with pytest.raises(InvalidFrameError):
        await receiver(bad[:-1] + b"\x00").get_frame()


async def test_a_frame_without_its_end_within_a_body_is_refused() -> None:
    sent = raw(*((CHANNEL, one) for one in message(text(2 * MOST))[1:]))
    with pytest.raises(InvalidFrameError):
        await read_all(receiver(sent[:-1] + b"\x00"))


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
        assert (aiormq.connection.FrameReceiver, Channel._read_content) == (frames.Receiver, frames._read_content)
