"""The port through which nodes exchange messages, whatever carries them. Pure: data and protocols.

Delivery is at least once: a message is redelivered until it is acknowledged, so receivers drop duplicates by id.
Order is kept within a queue as long as nothing is redelivered; nothing may rely on more.

A `Broker` is one authenticated connection for one address. It publishes on the exchange of that address' hub under keys
`<dstHub>.<dst>.<srcHub>.<src>.<kind>` (`broker.names`); the broker itself pins the source part to the address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from broker.errors import MessageTooLarge
from schemas import limits

HEADER_BYTES_MAX: Final = 64 * 1024
"""All headers of a message, names and values; with the envelope they must fit into one AMQP frame of 131,072 bytes."""
ENVELOPE_BYTES_MAX: Final = 8 * 1024
"""Beside them, headers that begin with `x-`: what this layer adds to a message that it sets aside."""
HEADER_NAME_BYTES_MAX: Final = 128
"""AMQP 0-9-1, section 4.2.5.5."""
SHORT_BYTES_MAX: Final = 255
"""Key, id and content type: AMQP 0-9-1 short strings."""
INTEGER_BYTES: Final = 8
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
"""Integer header values fit a signed 64-bit field."""
CONTENT_TYPE: Final = "content-type"
BROKERS_PREFIX: Final = "x-"
"""Headers of brokers and of this layer: no part of what a sender says."""
PUBLISHES_IN_FLIGHT_MAX: Final = 128
"""Publishes of one broker object that wait for their confirm; more wait for their turn."""
PREFETCH_MAX: Final = 2000
"""Quorum queues refuse more."""

DEAD_REASON: Final = "x-sublet-reason"
DEAD_QUEUE: Final = "x-sublet-queue"
DEAD_KEY: Final = "x-sublet-key"
"""Headers of a dead letter: why, from which queue, and under which key it had come."""
DEAD_CUT: Final = "x-sublet-cut"
"""A dead letter's header where it could not be kept whole: `body=9437184 headers=71680`, bytes of what was cut."""

DELIVERY_LIMIT: Final = "delivery-limit"
RETRY_LIMIT: Final = "retry-limit"
RETRY_TOO_LARGE: Final = "retry-too-large"
UNREADABLE: Final = "unreadable"
"""Reasons of dead letters that nobody rejected: returned, or retried, more often than allowed; not to be retried whole;
set aside by the broker, with properties that cannot be read, so that the broker's own reason is lost among them."""

Headers = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Message:
    """What is carried: a routing key, a raw body, headers (strings and integers), and the id for dropping duplicates.

    The header `content-type` travels as AMQP's property of that name. Headers beginning with `x-` are the brokers' own
    and do not arrive, except a dead letter's (`DEAD_REASON` and its neighbours).
    """

    key: str
    body: bytes
    headers: Headers
    id: str


class Delivery(Protocol):
    """A message that was handed to one consumer and waits to be settled, once.

    Settling after the connection was cut does nothing: the message is redelivered anyway. Whatever the message holds,
    settling raises nothing but PublishUnknown and BrokerUnreachable. Then the message is not settled: it comes again
    when its connection or consumer ends, or is settled anew, which for a message that could not be moved is best done
    by a pause and `release`.
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

        What no broker could carry again goes without its body, or with fewer headers, and says so (`DEAD_CUT`).

        Raises:
            PublishUnknown, BrokerUnreachable: it could not be moved, and is not settled.
        """
        ...

    async def release(self) -> None:
        """Not now, or not by me: put it back, to be delivered again at once.

        Each time counts as one delivery, as a lost connection does: over the queue's delivery limit it is dead-lettered
        with the reason `DELIVERY_LIMIT`. Lanes have no such limit, only an age (`topology.LANE_SECONDS_MAX`).
        """
        ...

    async def retry(self, after_seconds: float) -> None:
        """Deliver it to this queue again, not before so many seconds (rounded up to a step of `names.WAIT_STEPS`).

        Others are delivered meanwhile. After `envelope.RETRIES_MAX` times it is dead-lettered instead (`RETRY_LIMIT`),
        and at once what cannot be carried whole (`RETRY_TOO_LARGE`).

        Raises:
            PublishUnknown, BrokerUnreachable: it could not be moved, and is not settled.
        """
        ...


class Consumer(Protocol):
    """A subscription to one queue while its context lasts; what it has not settled at the end is redelivered."""

    async def __aenter__(self) -> Consumer:
        """Subscribe.

        Raises:
            AccessRefused: the queue belongs to another address, whether it exists or not.
            NoSuchQueue: it would belong to this one, and the broker does not have it.
            QueueBusy: it has a consumer, and one of the two wants it exclusively.
            BrokerUnreachable
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

    @property
    def connected(self) -> bool:
        """Whether, as far as is known, there is a connection now."""
        ...

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

    async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Collection[str] = ()) -> None:
        """Let what is sent to another hub's subnet go to the neighbour `via` from now on, and no more to those others.

        Meanwhile a message may go both ways. Done again it changes nothing.

        Args:
            hub: of whose subnet the destinations are.
            via: the neighbour; empty where there is none, and only `not_via` counts.
            near: it is on this broker. Else what goes to it waits for the bridge, and none of it passes this broker.
            not_via: neighbours that there are, or were, on whatever broker.

        Raises:
            AccessRefused: this address is no hub's.
            NoSuchQueue: the broker was not told of a link to `via`.
            BrokerUnreachable: it may or may not be done.
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
    for what, text in (("id", message.id), ("key", message.key), (CONTENT_TYPE, message.headers.get(CONTENT_TYPE, ""))):
        if (size := text_bytes(text)) > SHORT_BYTES_MAX:
            raise MessageTooLarge(f"{message.id[:SHORT_BYTES_MAX]}: {what} of {size} bytes, at most {SHORT_BYTES_MAX}")
    said = added = 0
    for name, value in message.headers.items():
        if name.startswith(BROKERS_PREFIX):
            added += header_bytes(name, value)
        else:
            said += header_bytes(name, value)
    for size, size_max in ((said, HEADER_BYTES_MAX), (added, ENVELOPE_BYTES_MAX)):
        if size > size_max:
            raise MessageTooLarge(f"{message.id}: headers of {size} bytes, at most {size_max}")


def header_bytes(name: str, value: object) -> int:
    """What a header counts towards `HEADER_BYTES_MAX`.

    Raises:
        MessageTooLarge: its name is too long.
        TypeError: no adapter can carry it.
    """
    size = text_bytes(name)
    if size > HEADER_NAME_BYTES_MAX:
        raise MessageTooLarge(f"header name of {size} bytes, at most {HEADER_NAME_BYTES_MAX}")
    if type(value) is str:
        return size + text_bytes(value)
    if type(value) is int and INTEGER_MIN <= value <= INTEGER_MAX:
        return size + INTEGER_BYTES
    raise TypeError(f"header {name} must be a string or an integer of 64 bits, not {type(value).__name__}")


def text_bytes(text: object) -> int:
    """Its length in UTF-8.

    Raises:
        TypeError: it is no text, or holds half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} where text is needed")
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise TypeError("text with half of a surrogate pair") from None
