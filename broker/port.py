"""The port through which nodes exchange messages, whatever carries them. Pure: data and protocols.

Delivery is at least once: a message is redelivered until it is acknowledged, so receivers drop duplicates by id.
Order is kept within a queue as long as nothing is redelivered; nothing may rely on more.

A `Broker` is one authenticated connection for one address. It publishes on the exchange of that address' hub under keys
`<dstHub>.<dst>.<srcHub>.<src>.<kind>` (`broker.topology`); the broker itself pins the source part to the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from broker.errors import MessageTooLarge
from schemas import limits

HEADER_BYTES_MAX: Final = 64 * 1024
"""All headers of a message, names and values; they must fit into one AMQP frame of 131,072 bytes."""
KEY_BYTES_MAX: Final = 255
"""AMQP 0-9-1 short string."""
INTEGER_BITS: Final = 63
"""Integer header values fit a signed 64-bit field."""
PUBLISHES_IN_FLIGHT_MAX: Final = 128
"""Publishes of one broker object that wait for their confirm; more wait for their turn."""
PREFETCH_MAX: Final = 2000
"""Quorum queues refuse more."""

DEAD_REASON: Final = "x-sublet-reason"
DEAD_QUEUE: Final = "x-sublet-queue"
DEAD_KEY: Final = "x-sublet-key"
"""Headers of a dead letter: why, from which queue, and under which key it had come."""

DELIVERY_LIMIT: Final = "delivery-limit"
RETRY_LIMIT: Final = "retry-limit"
"""Reasons of dead letters that nobody rejected: returned, or retried, more often than allowed."""

Headers = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Message:
    """What is carried: a routing key, a raw body, headers (strings and integers), and the id for dropping duplicates.

    The header `content-type` travels as AMQP's property of that name. Headers beginning with `x-` are the brokers' own
    and do not arrive, except a dead letter's three.
    """

    key: str
    body: bytes
    headers: Headers
    id: str


class Delivery(Protocol):
    """A message that was handed to one consumer and waits to be settled, once.

    Settling after the connection was cut does nothing: the message is redelivered anyway.
    """

    @property
    def message(self) -> Message:
        """As it was published, with the key it came under."""
        ...

    @property
    def queue(self) -> str:
        """The queue it came from."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether it was, or may have been, handed to a consumer before."""
        ...

    @property
    def delivery_count(self) -> int:
        """How often it was handed to a consumer before this time, as far as the queue counts that."""
        ...

    async def ack(self) -> None:
        """It is done with: remove it."""
        ...

    async def reject(self, reason: str) -> None:
        """It is no good: move it to the hub's dead letters, with this reason.

        Raises:
            PublishUnknown, BrokerUnreachable: it could not be moved, and will be redelivered.
        """
        ...

    async def release(self) -> None:
        """Not now, or not by me: put it back. Counts towards the queue's delivery limit."""
        ...

    async def retry(self, after_seconds: float) -> None:
        """Deliver it to this queue again, not before so many seconds (rounded up to a step of `topology.WAIT_STEPS`).

        Others are delivered meanwhile. After `topology.RETRIES_MAX` times it is dead-lettered instead.

        Raises:
            PublishUnknown, BrokerUnreachable: it could not be moved, and will be redelivered.
        """
        ...


class Consumer(Protocol):
    """A subscription to one queue while its context lasts; what it has not settled at the end is redelivered."""

    async def __aenter__(self) -> Consumer:
        """Subscribe.

        Raises:
            AccessRefused, NoSuchQueue, QueueBusy, BrokerUnreachable
        """
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unsubscribe."""
        ...

    def __aiter__(self) -> Consumer: ...

    async def __anext__(self) -> Delivery:
        """The next delivery; ends when the broker object is closed.

        Raises:
            ConsumerLost: the connection was cut and the subscription could not be renewed.
        """
        ...


class Broker(Protocol):
    """One address' connection. Any method may be called concurrently."""

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        """Hand over a message; returns when the broker has confirmed that it keeps it.

        Raises:
            MessageTooLarge: nothing was sent.
            AccessRefused: the source part of the key is not this address.
            Unroutable: the broker knows no queue for the key, and keeps no such messages.
            PublishUnknown: no confirm came within `timeout_seconds`, or the connection was cut meanwhile.
            BrokerUnreachable: there was no connection all that time; nothing was sent.
        """
        ...

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> Consumer:
        """A subscription to enter; at most `prefetch` deliveries are unsettled at a time.

        With `exclusive` it is the only consumer, as long as it lives (a worker's lane).
        """
        ...

    async def close(self) -> None:
        """End the connection and all subscriptions; what is not settled is redelivered elsewhere."""
        ...


def check_message(message: Message) -> None:
    """That every adapter can carry this message.

    Raises:
        MessageTooLarge: with the size and the limit.
        TypeError: a header is neither a string nor an integer of 64 bits (floats would lose digits, bytes the type).
    """
    if len(message.body) > limits.BODY_BYTES_MAX:
        raise MessageTooLarge(f"{message.id}: body of {len(message.body)} bytes, at most {limits.BODY_BYTES_MAX}")
    size = 0
    for name, value in message.headers.items():
        if type(value) is str:
            size += len(name) + len(value) if value.isascii() else len(name) + len(value.encode())
        elif type(value) is int and value.bit_length() <= INTEGER_BITS:
            size += len(name) + 8
        else:
            raise TypeError(f"header {name} must be a string or an integer of 64 bits, not {type(value).__name__}")
    if size > HEADER_BYTES_MAX:
        raise MessageTooLarge(f"{message.id}: headers of {size} bytes, at most {HEADER_BYTES_MAX}")
    if len(message.key.encode()) > KEY_BYTES_MAX:
        raise MessageTooLarge(f"{message.id}: key of {len(message.key)} characters, at most {KEY_BYTES_MAX}")
