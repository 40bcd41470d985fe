"""Frames are cut out of bytes however these arrive, and what is no AMQP ends the connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.heartbeat import Heartbeat

from broker.rabbitmq.pump.stream import FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, Malformed, Said, Stream
from tests.support.amqp import content, delivery, method_of, raw_content, said

KEY = "B11.B12.A11.A12.batch"
BEAT = Heartbeat().marshal()
BLOCKED = said(commands.Connection.Blocked("disk"), 0)
ACK = said(commands.Basic.Ack(3, True))


def frames_of(raw: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(raw):
        end = at + 8 + int.from_bytes(raw[at + 3 : at + 7], "big")
        found.append(raw[at:end])
        at = end
    return found


@given(
    st.lists(st.tuples(st.binary(max_size=350), st.sampled_from([b"", BEAT, BLOCKED])), max_size=5),
    st.lists(st.integers(1, 400), min_size=1, max_size=30),
    st.sampled_from([b"", BEAT, BLOCKED]),
)
def test_messages_come_whole_however_they_are_cut_and_whatever_comes_between(
    messages: list[tuple[bytes, bytes]], sizes: list[int], between: bytes
) -> None:
    wire, expected = b"", []
    for number, (body, before) in enumerate(messages, start=1):
        frames = content(body, message_id=str(number))
        wire += before + delivery(number, KEY) + between + between.join(frames_of(frames)) + ACK
        expected += [(method_of(delivery(number, KEY)), frames), (method_of(ACK), b"")]
    stream, got = Stream(), list[Said]()
    cuts = iter(sizes * (len(wire) + 1))
    while wire:
        size = next(cuts)
        got += stream.feed(wire[:size])
        wire = wire[size:]
    assert [(each.method, each.content) for each in got if each.channel] == expected
    assert {each.method for each in got if not each.channel} <= {method_of(BLOCKED)}


START = delivery(1, KEY)
MALFORMED = {
    "a kind that there is not": b"\x07\x00\x01\x00\x00\x00\x00\xce",
    "another's channel": said(commands.Basic.Ack(1), 2),
    "no end": ACK[:-1] + b"\x00",
    "a body without a message": content(b"body")[-12:],
    "a header without a message": content(b""),
    "a method that is none": b"\x01\x00\x01\x00\x00\x00\x03\x00\x3c\x00\xce",
    "a heartbeat on a channel": b"\x08\x00\x01\x00\x00\x00\x00\xce",
    "a frame that never ends": b"\x03\x00\x01" + FRAME_BYTES_MAX.to_bytes(4, "big") + bytes(9),
    "a method in place of a header": START + START,
    "a method in place of a body": START + content(b"body")[:-12] + ACK,
    "a short header": START + b"\x02\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x00\xce",
    "a header of another class": START + content(b"").replace(b"\x00\x3c", b"\x00\x3d"),
    "a body that no broker carries": START
    + content(b"")[:11]
    + (MESSAGE_BYTES_MAX + 1).to_bytes(8, "big")
    + content(b"")[19:],
    "a body too long": START + raw_content(b"\x00\x00").replace(b"\x04\x00\x00", b"\x03\x00\x00", 1),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_amqp_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        Stream().feed(raw)


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    try:
        Stream().feed(raw)
    except Malformed:
        return
