"""What clients of other make may write: whatever it is, it is settled, and its neighbours are served.

The table below is for every broker; what only AMQP can say follows, for RabbitMQ, which may refuse some of it itself.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aio_pika
import pytest
from aiormq import exceptions as amqp
from aiormq import spec

from broker.errors import NotSetAside
from broker.names import dead_queue, hub_exchange, queue_name, routing_key
from broker.port import (
    DEAD_CUT,
    DEAD_KEY,
    DEAD_QUEUE,
    DEAD_REASON,
    DELIVERY_LIMIT,
    HEADER_BYTES_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    RETRY_TOO_LARGE,
    SHORT_BYTES_MAX,
    UNREADABLE,
    Consumer,
    Delivery,
    Headers,
    Message,
)
from schemas import limits
from schemas.ids import hub_address
from tests.support.letters import following
from tests.support.wires import DELIVERIES_MAX, LESSOR, RENTER, RabbitMQWire, Wire

KEY: Final = routing_key(LESSOR, RENTER, "control")
QUEUE: Final = queue_name(LESSOR, "control")
DEAD: Final = dead_queue("B11")
NEIGHBOUR: Final = Message(KEY, b"honest", {"ce-id": "honest"}, "honest")


@dataclass(frozen=True)
class Hostile:
    """A message that no client of ours would send, and what of it is cut when it is set aside."""

    body: bytes = b"hostile"
    headers: Headers | None = None
    id: str = "hostile"
    cut: str = ""

    @property
    def message(self) -> Message:
        return Message(KEY, self.body, self.headers or {}, self.id)


TOO_MUCH: Final = limits.BODY_BYTES_MAX + 1024 * 1024
MANY: Final = {f"many-{number}": "x" * 1000 for number in range(70)}
HOSTILE: Final = {
    "a body over the limit": Hostile(body=bytes(TOO_MUCH), cut=f"body={TOO_MUCH}"),
    "many headers": Hostile(headers=MANY, cut=f"headers={sum(len(name) + 1000 for name in MANY)}"),
    "one large header": Hostile(headers={"large": "x" * 70_000, "ce-id": "1"}, cut="headers=70011"),
    "both": Hostile(body=bytes(TOO_MUCH), headers=MANY, cut=f"body={TOO_MUCH} headers={sum(map(len, MANY)) + 70_000}"),
    "headers at the limit": Hostile(headers={"n": "x" * (HEADER_BYTES_MAX - 1)}),
    "headers of the broker layer": Hostile(headers={f"x-{number}": "x" * 1000 for number in range(70)}),
    "the ends of the integers": Hostile(headers={"least": INTEGER_MIN, "most": INTEGER_MAX}),
    "a long id": Hostile(id="ü" * (SHORT_BYTES_MAX // 2)),
    "no id": Hostile(id=""),
    "no name": Hostile(headers={"": "nameless"}),
    "NUL and other letters": Hostile(headers={"\0": "\0\r\n\u2028\U0010ffff"}),
}


async def test_it_is_rejected_and_its_neighbour_served(single_wire: Wire) -> None:
    lessor, hub = await single_wire.connect(LESSOR), await single_wire.connect(hub_address("B11"))
    async with lessor.consume(QUEUE, prefetch=2) as consumer, hub.consume(DEAD, prefetch=1) as kept:
        for name, hostile in HOSTILE.items():
            await single_wire.push(RENTER, hostile.message)
            await single_wire.push(RENTER, NEIGHBOUR)
            first, second = await following(consumer), await following(consumer)
            assert (first.redelivered, second.redelivered) == (False, False), name
            await first.reject("bad-signature")
            assert second.message == NEIGHBOUR
            await second.ack()
            delivery = await following(kept)
            await delivery.ack()
            dead = delivery.message
            why = {DEAD_REASON: "bad-signature", DEAD_QUEUE: QUEUE, DEAD_KEY: KEY}
            assert {header: dead.headers[header] for header in why} == why, name
            assert dead.headers.get(DEAD_CUT, "") == hostile.cut, name
            assert dead.body == (b"" if "body" in hostile.cut else hostile.body)
            assert dead.id == hostile.id or not hostile.id, name


async def test_it_is_retried_or_set_aside_and_never_lost(single_wire: Wire) -> None:
    lessor, hub = await single_wire.connect(LESSOR), await single_wire.connect(hub_address("B11"))
    async with lessor.consume(QUEUE, prefetch=1) as consumer, hub.consume(DEAD, prefetch=1) as kept:
        for name, hostile in HOSTILE.items():
            await single_wire.push(RENTER, hostile.message)
            first = await following(consumer)
            await first.retry(0.0)
            back = await following(kept if hostile.cut else consumer)
            await back.ack()
            if hostile.cut:
                assert back.message.headers[DEAD_REASON] == RETRY_TOO_LARGE, name
                assert back.message.headers[DEAD_CUT] == hostile.cut, name
            else:
                assert (back.message.body, back.message.headers) == (first.message.body, first.message.headers), name
                assert back.delivery_count == 1, name


HANDLED_BY_ITS_HUB: Final[tuple[Callable[[Delivery], Awaitable[None]], ...]] = (
    lambda dead: dead.retry(0.0),
    lambda dead: dead.reject("seen"),
    lambda dead: dead.ack(),
)


async def test_its_hub_can_reject_and_retry_what_the_broker_set_aside(single_wire: Wire) -> None:
    lessor, hub = await single_wire.connect(LESSOR), await single_wire.connect(hub_address("B11"))
    async with lessor.consume(QUEUE, prefetch=1) as consumer, hub.consume(DEAD, prefetch=1) as kept:
        for name, hostile in HOSTILE.items():
            await single_wire.push(RENTER, hostile.message)
            for _ in range(DELIVERIES_MAX + 1):
                await (await following(consumer)).release()
            reasons = []
            for settle in HANDLED_BY_ITS_HUB:
                dead = await following(kept)
                reasons.append(dead.message.headers[DEAD_REASON])
                await settle(dead)
            assert reasons == [DELIVERY_LIMIT, RETRY_TOO_LARGE if hostile.cut else DELIVERY_LIMIT, "seen"], name
            assert dead.message.headers.get(DEAD_CUT, "") == hostile.cut, name


# ---------------------------------------------------------------- what only AMQP can say


def table(*fields: bytes) -> bytes:
    """Properties that are one table of headers."""
    content = b"".join(fields)
    return struct.pack(">HI", 1 << 13, len(content)) + content


def nested(kind: bytes, depth: int, inside: bytes = b"") -> bytes:
    value = inside
    for _ in range(depth):
        value = kind + struct.pack(">I", len(value)) + value
    return value


FLAGS: Final = {"content_type": 15, "delivery_mode": 12, "priority": 11, "message_id": 7, "timestamp": 6}


def flagged(name: str, value: bytes) -> bytes:
    """Properties that are this one, which may be none of AMQP's values."""
    return struct.pack(">H", 1 << FLAGS[name]) + value


RAW: Final[dict[str, bytes]] = {
    "a name that is not UTF-8": table(b"\x02\xff\xfeS\x00\x00\x00\x01a"),
    "a text that is not UTF-8": table(b"\x01aS\x00\x00\x00\x02\xff\xfe"),
    "half of a surrogate pair": table(b"\x01aS\x00\x00\x00\x03\xed\xa0\x80"),
    "a time outside the calendar": table(b"\x01aT\xff\xff\xff\xff\xff\xff\xff\xff"),
    "a property's time outside the calendar": flagged("timestamp", b"\xff" * 8),
    "arrays in arrays": table(b"\x01a" + nested(b"A", 4000)),
    "tables in tables": table(b"\x01a" + nested(b"F", 50, b"\x01aV")),
    "a real that is none": table(b"\x01ad\x7f\xf8\x00\x00\x00\x00\x00\x01"),
    "a decimal": table(b"\x01aD\xff\x7f\xff\xff\xff"),
    "bytes": table(b"\x01ax\x00\x00\x00\x02\xff\xfe"),
    "a name of 255 bytes": table(b"\xff" + b"n" * 255 + b"S\x00\x00\x00\x01a"),
    "a name twice": table(b"\x01aI\x00\x00\x00\x01", b"\x01aS\x00\x00\x00\x01a"),
    "a content type that is a number": table(b"\x0ccontent-typeI\x00\x00\x00\x01"),
    "a content type of 1,000 bytes": table(b"\x0ccontent-typeS\x00\x00\x03\xe8" + b"x" * 1000),
    "a death that never was": table(b"\x07x-death" + nested(b"A", 1, nested(b"F", 1, b"\x05countV"))),
    "a death that is a text": table(b"\x07x-deathS\x00\x00\x00\x01a"),
    "a count that is a text": table(b"\x10x-delivery-countS\x00\x00\x00\x01a"),
    "an unknown delivery mode": flagged("delivery_mode", b"\x07"),
    "the highest priority": flagged("priority", b"\xff"),
    "an id that is not UTF-8": flagged("message_id", b"\x02\xff\xfe"),
    "an id of 255 bytes": flagged("message_id", b"\xff" + b"i" * 255),
    "a content type that is not UTF-8": flagged("content_type", b"\x02\xff\xfe"),
}


NOT_RETRIED: Final = {"a name of 255 bytes"}
"""The libraries would write it otherwise; it is set aside at once."""


async def smuggle(wire: RabbitMQWire, name: str) -> bool:
    """Publishes with these bytes as properties, and their name as body; whether the broker took it."""

    class Raw(spec.Basic.Properties):
        def marshal(self) -> bytes:
            return RAW[name]

    async with await aio_pika.connect(wire.url(RENTER)) as connection:
        below = await (await connection.channel()).get_underlay_channel()
        try:
            await below.basic_publish(name.encode(), exchange=hub_exchange("A11"), routing_key=KEY, properties=Raw())
        except (amqp.AMQPError, RuntimeError, asyncio.CancelledError):
            return False  # by closing the channel, or the connection
    return True


@pytest.mark.rabbitmq
async def test_odd_properties_are_settled_or_refused_and_their_neighbour_served(
    rabbitmq_network: RabbitMQWire,
) -> None:
    taken = {name for name in RAW if await smuggle(rabbitmq_network, name)}
    await rabbitmq_network.push(RENTER, NEIGHBOUR)
    lessor, hub = await rabbitmq_network.connect(LESSOR), await rabbitmq_network.connect(hub_address("B11"))
    async with lessor.consume(QUEUE, prefetch=5) as consumer, hub.consume(DEAD, prefetch=1) as kept:
        for _ in range(len(taken)):
            hostile = await following(consumer)
            assert not hostile.redelivered, hostile.message
            await hostile.retry(0.0)
        honest = await following(consumer)
        assert (honest.message, honest.redelivered) == (NEIGHBOUR, False)
        await honest.ack()
        for _ in range(len(taken - NOT_RETRIED)):
            back = await following(consumer)
            assert back.delivery_count == 1, back.message
            await back.reject("bad-signature")
        assert {await body_of(kept) for _ in taken} == taken


@pytest.mark.rabbitmq
async def test_odd_properties_that_the_broker_set_aside_are_read_and_set_aside_again(
    rabbitmq_network: RabbitMQWire,
) -> None:
    taken = {name for name in RAW if await smuggle(rabbitmq_network, name)}
    lessor, hub = await rabbitmq_network.connect(LESSOR), await rabbitmq_network.connect(hub_address("B11"))
    async with lessor.consume(QUEUE, prefetch=1) as consumer, hub.consume(DEAD, prefetch=len(taken)) as kept:
        for _ in range(len(taken) * (DELIVERIES_MAX + 1)):
            await (await following(consumer)).release()
        for dead in [await following(kept) for _ in taken]:
            assert dead.message.headers[DEAD_REASON] in {DELIVERY_LIMIT, UNREADABLE}
            await dead.reject("seen")
        assert {await body_of(kept) for _ in taken} == taken


async def body_of(consumer: Consumer) -> str:
    delivery = await following(consumer)
    await delivery.ack()
    return delivery.message.body.decode()


@pytest.mark.rabbitmq
async def test_where_nobody_keeps_dead_letters_a_message_stays_unsettled(rabbitmq_plain: RabbitMQWire) -> None:
    rabbitmq_plain.unbind_dead_letters("B11")
    await rabbitmq_plain.push(RENTER, NEIGHBOUR)
    lessor = await rabbitmq_plain.connect(LESSOR)
    async with lessor.consume(QUEUE, prefetch=1) as consumer:
        delivery = await following(consumer)
        with pytest.raises(NotSetAside, match="definitions"):
            await delivery.reject("bad-signature")
        await delivery.release()
        assert (await following(consumer)).message == NEIGHBOUR
