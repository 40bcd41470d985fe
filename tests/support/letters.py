"""Letters that a broker carries in tests: how they are posted, and taken from a queue."""

from __future__ import annotations

import asyncio
from typing import Final

from broker.errors import BrokerUnreachable, PublishUnknown
from broker.names import queue_name, routing_key
from broker.port import Broker, Consumer, Delivery, Message
from schemas.ids import Address
from tests.support.wires import LESSOR

CONTROL_OF_LESSOR: Final = queue_name(LESSOR, "control")
SECONDS_MAX: Final = 20.0
"""For what must happen soon; a test that waits so long has failed."""


def letter(name: str, to: Address, by: Address, *, kind: str = "control", body: bytes = b"{}") -> Message:
    return Message(routing_key(to, by, kind), body, {"content-type": "application/json", "ce-id": name}, name)


async def post(broker: Broker, *messages: Message) -> None:
    for message in messages:
        await broker.publish(message, timeout_seconds=SECONDS_MAX)


async def post_surely(broker: Broker, message: Message) -> None:
    """Publish as a node does, again while it is unknown whether it arrived."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                await broker.publish(message, timeout_seconds=SECONDS_MAX)
            except (PublishUnknown, BrokerUnreachable):
                await asyncio.sleep(0)
            else:
                return


async def following(consumer: Consumer) -> Delivery:
    async with asyncio.timeout(SECONDS_MAX):
        return await anext(consumer)


async def take(consumer: Consumer, count: int) -> list[Delivery]:
    return [await following(consumer) for _ in range(count)]


async def drain(broker: Broker, queue: str, count: int) -> list[Message]:
    """The next messages of a queue, acknowledged."""
    async with broker.consume(queue, prefetch=count) as consumer:
        deliveries = await take(consumer, count)
        for delivery in deliveries:
            await delivery.ack()
    return [delivery.message for delivery in deliveries]


async def last_of(broker: Broker, queue: str, mark: Message) -> Delivery:
    """Puts a mark behind everything else in the queue; the first delivery tells whether anything was left."""
    await post(broker, mark)
    async with broker.consume(queue, prefetch=1) as consumer:
        delivery = await following(consumer)
        await delivery.ack()
    return delivery


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.message.id for delivery in deliveries]
