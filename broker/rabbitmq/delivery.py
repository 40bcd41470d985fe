"""A message that RabbitMQ handed over, and how it is settled."""

from __future__ import annotations

import contextlib

from aiormq.abc import DeliveredMessage

from broker.envelope import again, arrived, dead_letter, moving
from broker.port import Message
from broker.rabbitmq.content import brokers_count, incoming
from broker.rabbitmq.link import LOST
from broker.rabbitmq.publisher import Publisher
from schemas.limits import PUBLISH_SECONDS_MAX


class RabbitDelivery:
    """A message to be settled (`broker.port.Delivery`)."""

    def __init__(self, publisher: Publisher, queue: str, delivered: DeliveredMessage) -> None:
        self._publisher = publisher
        self._queue = queue
        self._delivered = delivered
        self._arrived = arrived(incoming(delivered), publisher.address)
        self._settled = False

    @property
    def message(self) -> Message:
        """As `broker.port.Delivery`, like all that follows."""
        return self._arrived.message

    @property
    def queue(self) -> str:
        return self._queue

    @property
    def redelivered(self) -> bool:
        return self.delivery_count > 0

    @property
    def delivery_count(self) -> int:
        return self._arrived.attempts + brokers_count(self._delivered)

    async def ack(self) -> None:
        if self._begin():
            with contextlib.suppress(*LOST):
                await self._delivered.channel.basic_ack(self._tag, wait=False)

    async def release(self) -> None:
        """By a reject: from RabbitMQ 4.3 on, what comes back by a nack does not count towards the delivery limit."""
        if self._begin():
            with contextlib.suppress(*LOST):
                await self._delivered.channel.basic_reject(self._tag, requeue=True, wait=False)

    async def reject(self, reason: str) -> None:
        await self._move(dead_letter(self.message, self._queue, reason, self._publisher.address))

    async def retry(self, after_seconds: float) -> None:
        count = self.delivery_count + 1
        await self._move(again(self.message, self._queue, count, after_seconds, self._publisher.address))

    @property
    def _tag(self) -> int:
        tag = self._delivered.delivery_tag
        assert tag is not None
        return tag

    def _begin(self) -> bool:
        """Whether it is still to be settled: not done yet, and the connection it came by lives."""
        first, self._settled = not self._settled, True
        return first and is_live(self._delivered)

    async def _move(self, message: Message) -> None:
        if self._settled or not is_live(self._delivered):
            return
        with moving(message):
            await self._publisher.publish(message, timeout_seconds=PUBLISH_SECONDS_MAX)
        await self.ack()


def is_live(delivered: DeliveredMessage) -> bool:
    """Whether the channel by which it came is still open."""
    return not delivered.channel.is_closed
