"""A subscription with a channel of its own, renewed whenever the broker or the network ends it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

import structlog
from aio_pika.abc import AbstractChannel
from aiormq import exceptions as amqp
from aiormq.abc import DeliveredMessage

from broker.errors import AccessRefused, BrokerError, BrokerUnreachable, ConsumerLost, NoSuchQueue, QueueBusy
from broker.names import may_read
from broker.rabbitmq.delivery import RabbitDelivery, is_live
from broker.rabbitmq.link import RENEW_SECONDS, Closing, Link, close_channel
from broker.rabbitmq.publisher import Publisher

log = structlog.get_logger(__name__)

RETAKE_SECONDS_MAX: Final = 15.0
"""How long an exclusive consumer whose connection was cut tries to get its lane back."""
_TAKEN: Final = "in exclusive use"
"""RabbitMQ refuses foreign, unknown and taken queues with one code; of a taken one it says so in its text."""


class RabbitConsumer:
    """A subscription (`broker.port.Consumer`)."""

    def __init__(self, link: Link, publisher: Publisher, queue: str, prefetch: int, exclusive: bool) -> None:
        self.queue = queue
        self._link = link
        self._publisher = publisher
        self._prefetch = prefetch
        self._exclusive = exclusive
        self._arrivals: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()
        self._channel: Closing | None = None
        self._gone = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._lost: ConsumerLost | None = None

    async def __aenter__(self) -> RabbitConsumer:
        self._link.check_open()
        await self._subscribe()
        self._renewing = asyncio.create_task(self._renew_always())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    def __aiter__(self) -> RabbitConsumer:
        return self

    async def __anext__(self) -> RabbitDelivery:
        while (message := await self._arrivals.get()) is not None:
            if is_live(message):  # else it is redelivered
                return RabbitDelivery(self._publisher, self.queue, message)
        self._arrivals.put_nowait(None)
        if self._lost is not None:
            raise self._lost
        raise StopAsyncIteration

    async def end(self) -> None:
        """No more messages; what is not settled goes back to the queue."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await close_channel(self._channel)
        self._arrivals.put_nowait(None)

    async def _subscribe(self) -> None:
        channel: AbstractChannel | None = None
        self._gone.clear()
        try:
            async with self._link.using() as connection:
                channel = await connection.channel(publisher_confirms=False)
                await self._consume_on(channel)
        except BaseException:
            await close_channel(channel)
            raise
        self._channel = channel

    async def _consume_on(self, channel: AbstractChannel) -> None:
        """By aiormq's channel: aio-pika's own messages cannot be made of properties that it does not expect."""
        channel.close_callbacks.add(self._on_gone)
        below = await channel.get_underlay_channel()
        below.on_consumer_cancel_callbacks.add(self._on_gone)
        try:
            await below.basic_qos(prefetch_count=self._prefetch)
            await below.basic_consume(self.queue, self._arrive, exclusive=self._exclusive)
        except amqp.ChannelNotFoundEntity:
            raise NoSuchQueue(f"the broker has no queue {self.queue}") from None
        except amqp.ChannelAccessRefused as refused:
            raise self._refusal(str(refused)) from None

    def _refusal(self, text: str) -> BrokerError:
        """Accounts may read their queues by name, so one that is not there is refused like another's."""
        if not may_read(self._link.of, self.queue):
            return AccessRefused(f"{self._link.of} may not consume {self.queue}")
        if _TAKEN in text:
            return QueueBusy(f"{self.queue} has a consumer, and one of the two wants it exclusively")
        return NoSuchQueue(f"the broker has no queue {self.queue} for {self._link.of}")

    async def _arrive(self, message: DeliveredMessage) -> None:
        self._arrivals.put_nowait(message)

    def _on_gone(self, *_: object) -> None:
        self._gone.set()

    async def _renew_always(self) -> None:
        try:
            while True:
                await self._gone.wait()
                await close_channel(self._channel)
                await self._link.connection()
                async with asyncio.timeout(RETAKE_SECONDS_MAX if self._exclusive else None):
                    await self._renew()
        except TimeoutError:
            self._lost = ConsumerLost(f"the connection was cut and another has taken {self.queue}")
            self._arrivals.put_nowait(None)

    async def _renew(self) -> None:
        """Subscribe again; the broker may not have noticed yet that the old connection is gone."""
        while True:
            try:
                await self._subscribe()
            except (BrokerError, BrokerUnreachable) as error:
                log.info("not consuming yet", queue=self.queue, reason=str(error))
                await asyncio.sleep(RENEW_SECONDS)
            else:
                return
