"""A pump between two brokers of which every byte is given: no network, no loop. And what those bytes mean, read slowly.

The connections are opened honestly; then whatever is said is fed to them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from aiormq.abc import DeliveredMessage
from pamqp import commands, frame
from pamqp.base import Frame

from broker.envelope import arrived
from broker.port import Message
from broker.rabbitmq.content import incoming, properties_of
from broker.rabbitmq.frames import improve
from broker.rabbitmq.pump import Pump
from broker.rabbitmq.pump.dialogue import Account, Dialogue
from broker.rabbitmq.pump.line import Line
from broker.rabbitmq.pump.outward import Outward
from broker.rabbitmq.pump.pump import read_header
from schemas.ids import Address
from tests.support.amqp import content, delivery, said

HUB: Final = Address("A11.hub")
EXCHANGE: Final = "hub.B11"
KEYS: Final = r"B11\.\w+\.A11\.\w+\.\w+"
KEY: Final = "B11.B12.A11.A12.batch"
FRAME_BYTES_MAX: Final = 131_072
OPENED: Final[tuple[tuple[int, Frame], ...]] = (
    (0, commands.Connection.Start(server_properties={}, mechanisms="PLAIN")),
    (0, commands.Connection.Tune(2047, FRAME_BYTES_MAX, 0)),
    (0, commands.Connection.OpenOk()),
    (1, commands.Channel.OpenOk()),
)
_HEAD: Final = struct.Struct(">BHI")
_METHOD, _HEADER, _BODY = 1, 2, 3
DELIVER, RETURN = b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x32"


class Wire(asyncio.Transport):
    """A connection's other end: keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is room."""

    def pause_reading(self) -> None:
        """What comes all the same was under way."""

    def resume_reading(self) -> None:
        """Likewise."""

    def close(self) -> None:
        self.closed = True


def opened(steps: list[Frame], answers: list[Frame]) -> tuple[Line, Wire]:
    """A line that is ready."""
    line, wire = Line(Dialogue(Account("u", "p", "/", "n"), steps)), Wire()
    line.connection_made(wire)
    for channel, each in (*OPENED, *((1, answer) for answer in answers)):
        line.data_received(said(each, channel))
    assert line.dialogue.ready
    wire.written.clear()
    return line, wire


@dataclass
class Pumping:
    """Both ends, opened."""

    carried: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        improve()
        link = SimpleNamespace(of=HUB, where="there")
        end: Any = SimpleNamespace(link=link, publisher=SimpleNamespace(address=HUB), exchange=EXCHANGE)
        self.pump = Pump(end, end, "out.A11.B11", KEYS, lambda count, size: self.carried.append((count, size)))
        qos, consume = commands.Basic.Qos(prefetch_count=9), commands.Basic.Consume(queue="q", consumer_tag="1")
        self.near, self.near_wire = opened([qos, consume], [commands.Basic.QosOk(), commands.Basic.ConsumeOk("1")])
        self.far, self.far_wire = opened([commands.Confirm.Select()], [commands.Confirm.SelectOk()])
        self.pump._prepare_near(self.near)
        self.pump._prepare_far(self.far)
        self.pump._far_ready(self.far, Outward(EXCHANGE, KEYS))
        self.far.lost = self.pump._far_gone

    def handed_out(self) -> list[DeliveredMessage]:
        """Since the last call."""
        given: list[DeliveredMessage] = []
        while not self.pump._arrivals.empty():
            message = self.pump._arrivals.get_nowait()
            assert message is not None
            given.append(message)
        return given


def feed(line: Line, data: bytes, size: int) -> None:
    """In pieces of this size."""
    for at in range(0, len(data), size):
        line.data_received(data[at : at + size])


# ---------------------------------------------------------------- what bytes mean


class Sent(NamedTuple):
    """A message that was delivered, whole."""

    tag: int
    redelivered: bool
    key: bytes
    frames: bytes
    """From its content header on."""
    body: bytes


def frames_in(raw: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Kind, channel, payload, and all of each, as far as they are whole."""
    at = 0
    while len(raw) - at >= _HEAD.size:
        kind, channel, size = _HEAD.unpack_from(raw, at)
        end = at + _HEAD.size + size + 1
        if end > len(raw) or raw[end - 1] != 0xCE:
            return
        yield kind, channel, raw[at + _HEAD.size : end - 1], raw[at:end]
        at = end


def sent_in(raw: bytes) -> list[Sent]:
    """The messages that were delivered, up to the first thing that cannot be."""
    found: list[Sent] = []
    for method, frames, body in _whole_in(raw):
        if method.startswith(DELIVER):
            try:
                found.append(Sent(*_read_delivery(method), frames, body))
            except IndexError:
                return found
    return found


def methods_in(raw: bytes) -> list[bytes]:
    """What was said on the channel, each when the message that follows it, if one has to, is there."""
    return [method for method, _, _ in _whole_in(raw)]


def _whole_in(raw: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Methods, and the frames and body of the message that follows a delivery or return."""
    method, frames, body, missing = b"", b"", b"", 0
    for kind, channel, payload, whole in frames_in(raw):
        if channel == 0:
            continue
        if kind == _METHOD and not method:
            if not payload.startswith((DELIVER, RETURN)):
                yield payload, b"", b""
                continue
            method = payload
        elif kind == _HEADER and method and not frames and len(payload) >= 12:
            frames, missing = whole, int.from_bytes(payload[4:12], "big")
        elif kind == _BODY and frames and len(payload) <= missing:
            frames, body, missing = frames + whole, body + payload, missing - len(payload)
        else:
            return
        if frames and not missing:
            yield method, frames, body
            method, frames, body = b"", b"", b""


def _read_delivery(method: bytes) -> tuple[int, bool, bytes]:
    """Consumer's tag, delivery's tag, whether it was delivered before, exchange, key; IndexError where it is short."""
    tag_at = 5 + method[4]
    key_at = tag_at + 10 + method[tag_at + 9]
    key = method[key_at + 1 : key_at + 1 + method[key_at]]
    return int.from_bytes(method[tag_at : tag_at + 8], "big"), bool(method[tag_at + 8]), key


def published_in(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Keys and frames of what was written to the neighbour's broker: publishes and nothing else."""
    found: list[tuple[bytes, bytes]] = []
    for kind, channel, payload, whole in frames_in(raw):
        assert channel == 1
        if kind == _METHOD:
            _, _, method = frame.unmarshal(whole)
            assert isinstance(method, commands.Basic.Publish)
            assert (method.exchange, method.mandatory, method.immediate) == (EXCHANGE, True, False)
            found.append(((method.routing_key or "").encode(), b""))
        else:
            assert kind in {_HEADER, _BODY}
            assert payload is not None
            key, frames = found[-1]
            found[-1] = key, frames + whole
    return found


def delivered(frames: bytes, body: bytes) -> DeliveredMessage:
    """As a client reads it that is told nothing of plain messages."""
    channel: Any = None
    return DeliveredMessage(commands.Basic.Deliver("1", 1, False, "", KEY), read_header(frames), body, channel)


def written_anew(delivered: DeliveredMessage) -> tuple[Message, commands.Basic.Properties]:
    """As the ordinary bridge reads it, and what it writes."""
    message = arrived(incoming(delivered), HUB).message
    return message, properties_of(message)


def honest(number: int, body: bytes = b"body", **properties: Any) -> bytes:
    """A delivery as brokers write it."""
    return delivery(number, KEY) + content(body, message_id=f"evt-{number}", **properties)
