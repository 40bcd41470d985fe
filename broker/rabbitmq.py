"""The Broker port on RabbitMQ (AMQP 0-9-1). The only module that imports aio_pika.

Publishing and consuming have channels of their own; every consumer has one, so that its prefetch is its own. Publishes
are mandatory and confirmed. The connection is made again when it is cut; consumers resume, publishes under way stay
unknown, and what was delivered before is redelivered. Nothing is declared: exchanges and queues come from
`broker.definitions`, and a passive declare, which needs no permission on RabbitMQ 3.10 and 4.3.1, tells whether a queue
is there.

The URL is `amqp://user:password@host:port/vhost`, or `amqps://…?cafile=…&certfile=…&keyfile=…` for TLS. It is secret
and is never part of an error or of anything shown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import aio_pika
import aiormq.exceptions
from aio_pika.abc import (
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractRobustChannel,
    AbstractRobustConnection,
    AbstractRobustQueue,
)
from tenacity import AsyncRetrying, RetryError, retry_if_exception, stop_after_delay, wait_random_exponential

from broker.envelope import again, arrived, dead_letter
from broker.errors import (
    AccessRefused,
    BrokerUnreachable,
    ConsumerLost,
    NoSuchQueue,
    PublishUnknown,
    QueueBusy,
    QueueFull,
    Unroutable,
)
from broker.port import (
    DEAD_KEY,
    DEAD_QUEUE,
    DEAD_REASON,
    PREFETCH_MAX,
    PUBLISHES_IN_FLIGHT_MAX,
    Message,
    check_message,
)
from broker.topology import BROKER_NAME, dead_key, hub_exchange, may_read
from schemas.ids import Address, address, hub_of
from schemas.limits import PUBLISH_SECONDS_MAX

CONNECT_SECONDS_MAX: Final = 30.0
CONNECT_ATTEMPT_SECONDS_MAX: Final = 10.0
CONNECT_WAIT_SECONDS_MAX: Final = 3.0
RECONNECT_SECONDS: Final = 0.5
RETAKE_SECONDS_MAX: Final = 15.0
"""How long an exclusive consumer whose connection was cut tries to get its lane back."""
POLL_SECONDS: Final = 0.05
CONTENT_TYPE: Final = "content-type"
_BROKERS_HEADERS: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")

_REFUSED = (
    aiormq.exceptions.ProbableAuthenticationError,
    aiormq.exceptions.AuthenticationError,
    aiormq.exceptions.ConnectionNotAllowed,
)
_UNREACHABLE = (OSError, aiormq.exceptions.AMQPError, TimeoutError)
_LOST = (OSError, aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError)


async def connect(url: str, of: Address, *, timeout_seconds: float = CONNECT_SECONDS_MAX) -> RabbitBroker:
    """A connection for this address.

    Args:
        url: with the credentials of `of`.
        of: whose key source, hub exchange and queues it will be.
        timeout_seconds: how long to try while the broker does not answer.

    Raises:
        BrokerUnreachable: naming host and port.
        AccessRefused: the broker does not accept the credentials, or not for this virtual host.
    """
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
    try:
        connection = await _connect(url, of, timeout_seconds)
    except _REFUSED:
        raise AccessRefused(f"the broker at {where} does not accept the credentials of {of}") from None
    except (RetryError, TimeoutError) as error:
        cause = error.last_attempt.exception() if isinstance(error, RetryError) else error
        reason = type(cause).__name__
        raise BrokerUnreachable(
            f"no broker answers at {where} within {timeout_seconds:g} s ({reason}): is it running?"
        ) from None
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(hub_exchange(hub_of(of)), ensure=False)
    except BaseException:
        await connection.close()
        raise
    return RabbitBroker(of, where, connection, channel, exchange)


async def _connect(url: str, of: Address, timeout_seconds: float) -> AbstractRobustConnection:
    retrying = AsyncRetrying(
        stop=stop_after_delay(timeout_seconds),
        wait=wait_random_exponential(multiplier=0.2, max=CONNECT_WAIT_SECONDS_MAX),
        retry=retry_if_exception(_is_worth_asking_again),
    )
    async with asyncio.timeout(timeout_seconds):
        async for attempt in retrying:
            with attempt:
                return await aio_pika.connect_robust(
                    url,
                    timeout=CONNECT_ATTEMPT_SECONDS_MAX,
                    reconnect_interval=RECONNECT_SECONDS,
                    client_properties={"connection_name": of},
                )
    raise AssertionError("tenacity ends by returning or raising")


def _is_worth_asking_again(error: BaseException) -> bool:
    return isinstance(error, _UNREACHABLE) and not isinstance(error, _REFUSED)


class RabbitBroker:
    """One address' connection (`broker.port.Broker`). Made by `connect`."""

    def __init__(
        self,
        of: Address,
        where: str,
        connection: AbstractRobustConnection,
        channel: AbstractRobustChannel,
        exchange: AbstractExchange,
    ) -> None:
        self.address = of
        self.where = where
        self._connection = connection
        self._channel = channel
        self._exchange = exchange
        self._slots = asyncio.Semaphore(PUBLISHES_IN_FLIGHT_MAX)
        self._in_flight = 0
        self._consumers: set[RabbitConsumer] = set()
        self._closed = False

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        """As `broker.port.Broker.publish`."""
        check_message(message)
        if self._closed:
            raise BrokerUnreachable(f"the connection of {self.address} was closed")
        sent = False
        try:
            async with asyncio.timeout(timeout_seconds), self._slots:
                await self._ready()
                sent = True
                await self._send(message)
        except TimeoutError:
            if not sent:
                raise BrokerUnreachable(f"no connection to {self.where} for {timeout_seconds:g} s") from None
            raise PublishUnknown(f"no confirm of {message.id} in {timeout_seconds:g} s, publish it again") from None

    async def _ready(self) -> None:
        """Return when the publishing channel is open; it is opened again after a refusal or a cut."""
        await self._channel.ready()
        while self._channel.is_closed:
            await asyncio.sleep(POLL_SECONDS)
            await self._channel.ready()

    async def _send(self, message: Message) -> None:
        self._in_flight += 1
        alone = self._in_flight == 1
        try:
            await self._exchange.publish(_outgoing(message), message.key, mandatory=True)
        except aiormq.exceptions.PublishError:
            raise Unroutable(f"nobody receives {message.key}: no such address, or it has no such queue") from None
        except aiormq.exceptions.DeliveryError:
            raise QueueFull(f"the queue for {message.key} is full, publish {message.id} again later") from None
        except aiormq.exceptions.ChannelAccessRefused:
            # The broker says so by closing the channel, on which others may wait for their confirms too.
            if (alone and self._in_flight == 1) or not self._is_source_of(message):
                raise AccessRefused(f"{self.address} may not publish under {message.key}") from None
            raise _unknown(message) from None
        except asyncio.CancelledError:
            if _was_cancelled():
                raise
            raise _unknown(message) from None
        except Exception as error:
            raise _unknown(message) from error
        finally:
            self._in_flight -= 1

    def _is_source_of(self, message: Message) -> bool:
        return f".{self.address}." in message.key

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> RabbitConsumer:
        """As `broker.port.Broker.consume`."""
        return RabbitConsumer(self, queue, min(prefetch, PREFETCH_MAX), exclusive)

    async def close(self) -> None:
        """As `broker.port.Broker.close`."""
        self._closed = True
        for consumer in list(self._consumers):
            await consumer.end()
        with contextlib.suppress(*_LOST):
            await self._connection.close()

    # ---------------------------------------------------------------- for this module's other classes

    async def open_channel(self) -> AbstractRobustChannel:
        """A channel for one consumer."""
        if self._closed:
            raise BrokerUnreachable(f"the connection of {self.address} was closed")
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                channel = self._connection.channel(publisher_confirms=False)
                await channel
                return channel
        except (*_LOST, TimeoutError) as error:
            raise BrokerUnreachable(f"no channel at {self.where} ({type(error).__name__})") from None

    def started(self, consumer: RabbitConsumer) -> None:
        """Remember to end it."""
        self._consumers.add(consumer)

    def ended(self, consumer: RabbitConsumer) -> None:
        """Forget it."""
        self._consumers.discard(consumer)


class RabbitConsumer:
    """A subscription with a channel of its own (`broker.port.Consumer`)."""

    def __init__(self, broker: RabbitBroker, queue: str, prefetch: int, exclusive: bool) -> None:
        self.queue = queue
        self._broker = broker
        self._prefetch = prefetch
        self._exclusive = exclusive
        self._arrivals: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._channel: AbstractRobustChannel | None = None
        self._source: AbstractRobustQueue | None = None
        self._retaking: asyncio.Task[None] | None = None
        self._lost: ConsumerLost | None = None

    async def __aenter__(self) -> RabbitConsumer:
        channel = await self._broker.open_channel()
        try:
            await channel.set_qos(prefetch_count=self._prefetch)
            self._source = await channel.declare_queue(self.queue, passive=True)
            await self._subscribe(self._source)
        except BaseException as error:
            await _close(channel)
            self._explain(error)
            raise
        self._channel = channel
        if self._exclusive:
            channel.reopen_callbacks.add(self._reopened)
        self._broker.started(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    def __aiter__(self) -> RabbitConsumer:
        return self

    async def __anext__(self) -> RabbitDelivery:
        while (message := await self._arrivals.get()) is not None:
            if _is_live(message):  # else it is redelivered
                return RabbitDelivery(self._broker, self.queue, message)
        self._arrivals.put_nowait(None)
        if self._lost is not None:
            raise self._lost
        raise StopAsyncIteration

    async def end(self) -> None:
        """No more messages; what is not settled goes back to the queue."""
        self._broker.ended(self)
        channel, self._channel = self._channel, None
        if self._retaking is not None:
            self._retaking.cancel()
        if channel is not None:
            await _close(channel)
        self._arrivals.put_nowait(None)

    async def _subscribe(self, source: AbstractRobustQueue) -> None:
        """aio-pika renews shared consumers by itself; exclusive ones are retaken by us, as they may find it busy."""
        await source.consume(self._arrive, exclusive=self._exclusive, robust=not self._exclusive)

    async def _arrive(self, message: AbstractIncomingMessage) -> None:
        self._arrivals.put_nowait(message)

    def _explain(self, error: BaseException) -> None:
        """Raise our error for one of the broker's; RabbitMQ says "refused" and "busy" with one code."""
        if isinstance(error, aiormq.exceptions.ChannelNotFoundEntity):
            raise NoSuchQueue(f"there is no queue {self.queue}") from None
        if isinstance(error, aiormq.exceptions.ChannelAccessRefused):
            if may_read(self._broker.address, self.queue):
                raise QueueBusy(f"{self.queue} has a consumer, and one of the two wants it exclusively") from None
            raise AccessRefused(f"{self._broker.address} may not consume {self.queue}") from None
        if isinstance(error, _LOST):
            raise BrokerUnreachable(f"{self._broker.where} was lost ({type(error).__name__})") from None

    def _reopened(self, *_: object) -> None:
        if self._retaking is None or self._retaking.done():
            self._retaking = asyncio.create_task(self._retake())

    async def _retake(self) -> None:
        """Be the exclusive consumer again; the broker may not have noticed yet that the old connection is gone."""
        assert self._source is not None
        try:
            async with asyncio.timeout(RETAKE_SECONDS_MAX):
                while True:
                    try:
                        await self._subscribe(self._source)
                    except _LOST:
                        await asyncio.sleep(RECONNECT_SECONDS)
                    else:
                        return
        except TimeoutError:
            self._lost = ConsumerLost(f"the connection was cut and another has taken {self.queue}")
            await self.end()


class RabbitDelivery:
    """A message to be settled (`broker.port.Delivery`)."""

    def __init__(self, broker: RabbitBroker, queue: str, incoming: AbstractIncomingMessage) -> None:
        self._broker = broker
        self._queue = queue
        self._incoming = incoming
        self._arrived = arrived(_incoming(incoming), broker.address)
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
        """A sender may set the broker's header, but on a redelivery the broker overwrites it."""
        if not self._incoming.redelivered:
            return self._arrived.attempts
        counted = self._incoming.headers.get("x-delivery-count")
        return self._arrived.attempts + max(1, counted if isinstance(counted, int) else 1)

    async def ack(self) -> None:
        if self._begin():
            with contextlib.suppress(*_LOST):
                await self._incoming.channel.basic_ack(self._tag, wait=False)

    async def release(self) -> None:
        if self._begin():
            with contextlib.suppress(*_LOST):
                await self._incoming.channel.basic_nack(self._tag, requeue=True, wait=False)

    async def reject(self, reason: str) -> None:
        await self._move(dead_letter(self.message, self._queue, reason, self._broker.address))

    async def retry(self, after_seconds: float) -> None:
        count = self.delivery_count + 1
        await self._move(again(self.message, self._queue, count, after_seconds, self._broker.address))

    @property
    def _tag(self) -> int:
        tag = self._incoming.delivery_tag
        assert tag is not None
        return tag

    def _begin(self) -> bool:
        """Whether it is still to be settled: not done yet, and the connection it came by lives."""
        first, self._settled = not self._settled, True
        return first and _is_live(self._incoming)

    async def _move(self, message: Message) -> None:
        if self._settled or not _is_live(self._incoming):
            return
        await self._broker.publish(message, timeout_seconds=PUBLISH_SECONDS_MAX)
        await self.ack()


def _outgoing(message: Message) -> aio_pika.Message:
    headers: dict[str, Any] = dict(message.headers)
    content_type = headers.pop(CONTENT_TYPE, None)
    return aio_pika.Message(
        message.body,
        headers=headers,
        content_type=content_type,
        message_id=message.id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def _incoming(incoming: AbstractIncomingMessage) -> Message:
    """Strings and integers only; others, and the broker's own headers, are no part of a message."""
    key = incoming.routing_key or ""
    headers: dict[str, str | int] = {
        name: value
        for name, value in incoming.headers.items()
        if (type(value) is str or type(value) is int) and not name.startswith(_BROKERS_HEADERS)
    }
    if incoming.content_type:
        headers[CONTENT_TYPE] = incoming.content_type
    if _made_by_broker(key):
        headers |= _why_dead(incoming.headers)
    return Message(key, incoming.body, headers, incoming.message_id or "")


def _is_live(incoming: AbstractIncomingMessage) -> bool:
    """Whether the channel by which it came is still open."""
    try:
        return not incoming.channel.is_closed
    except aiormq.exceptions.ChannelInvalidStateError:
        return False


def _made_by_broker(key: str) -> bool:
    hub = key.partition(".")[0]
    return f".{BROKER_NAME}." in key and key == dead_key(address(hub, BROKER_NAME))


def _why_dead(headers: Mapping[str, Any]) -> dict[str, str | int]:
    """The broker's own dead-letter history, newest first, as the headers that we write ourselves when we reject."""
    history = headers.get("x-death")
    latest = history[0] if isinstance(history, list) and history else {}
    if not isinstance(latest, dict):
        return {}
    keys = latest.get("routing-keys")
    return {
        DEAD_REASON: str(latest.get("reason", "")).replace("_", "-"),
        DEAD_QUEUE: str(latest.get("queue", "")),
        DEAD_KEY: str(keys[0]) if isinstance(keys, list) and keys else "",
    }


def _unknown(message: Message) -> PublishUnknown:
    return PublishUnknown(f"the channel closed before the confirm of {message.id}, publish it again")


def _was_cancelled() -> bool:
    """Whether this task was cancelled from outside; aiormq also lets waiting calls end with CancelledError."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def _close(channel: AbstractRobustChannel) -> None:
    with contextlib.suppress(*_LOST):
        await channel.close()
