"""The Broker port: what every node may ask of a broker, embedded or RabbitMQ. Types only.

A `Broker` is one authenticated connection of one address. It publishes on the exchange of that address's hub and
consumes that address's queues; everything else is refused. Delivery is at least once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What travels. `key` is `<dstHub>.<dst>.<srcHub>.<src>.<kind>`; header values are strings or ints.

    The header `content-type` travels as the AMQP property of that name, `id` as `message-id`.
    """

    key: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str | int]
    id: str


class Delivery(Protocol):
    """One message handed to one consumer. Exactly one of its four methods ends it.

    After a lost connection they raise `ConsumerLost`, and the message is delivered again.
    """

    @property
    def message(self) -> Message:
        """As published; its key is the one it was delivered with."""
        ...

    @property
    def queue(self) -> str:
        """The queue it came from."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether it may have been delivered before."""
        ...

    @property
    def delivery_count(self) -> int:
        """How often it was delivered before and came back."""
        ...

    async def ack(self) -> None:
        """Done: the message is gone."""
        ...

    async def reject(self, reason: str) -> None:
        """Dead-letter it with this reason (kebab-case)."""
        ...

    async def release(self) -> None:
        """Back into the queue; counts towards the delivery limit."""
        ...

    async def retry(self, after_seconds: float) -> None:
        """Back into the same queue after a delay (rounded up to the next wait queue)."""
        ...


Consumer = AbstractAsyncContextManager[AsyncIterator[Delivery]]
"""Entered, it yields deliveries until its connection is lost (`ConsumerLost`) or it is left."""


class Broker(Protocol):
    """One connection of one address."""

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        """Publish on the own hub's exchange and wait for the broker's confirm.

        Raises:
            Unroutable: nobody receives at this key.
            PublishUnknown: no confirm in time, or the connection was lost: publish again with the same id.
            AccessRefused: the key's source is not this address.
            MessageTooLarge: over the broker's limit.
            BrokerUnreachable: there is no connection.
        """
        ...

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> Consumer:
        """A consumer with at most `prefetch` deliveries unsettled.

        Entering raises:
            AccessRefused: not this address's queue.
            QueueBusy: `exclusive`, and the queue has a consumer; or it has an exclusive one.
            BrokerUnreachable: there is no connection.
        """
        ...

    async def close(self) -> None:
        """End the connection; unsettled deliveries go back to their queues."""
        ...
