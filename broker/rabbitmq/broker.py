"""One address' connection: a link, its publisher, and its consumers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from weakref import WeakSet

from aiormq import exceptions as amqp

from broker.errors import AccessRefused, NoSuchQueue
from broker.names import exits, hub_exchange, hub_pattern, out_queue
from broker.port import PREFETCH_MAX, Message
from broker.rabbitmq import frames
from broker.rabbitmq.consumer import RabbitConsumer
from broker.rabbitmq.link import Link, Url, close_channel
from broker.rabbitmq.publisher import Publisher
from schemas.ids import Address, hub_of

CONNECT_SECONDS_MAX: Final = 30.0


async def connect(
    url: Url, of: Address, *, timeout_seconds: float = CONNECT_SECONDS_MAX, exchange: str = ""
) -> RabbitBroker:
    """A connection for this address.

    Args:
        url: with the credentials of `of`; what gives it is asked again with every attempt to connect.
        of: whose key source, hub exchange and queues it will be.
        timeout_seconds: how long to try while the broker does not answer.
        exchange: where it publishes; without, on that of its hub.

    Raises:
        BrokerUnreachable: naming host and port.
        BrokerUntrusted: its certificate does not prove that it is the broker of the URL.
        AccessRefused: the broker does not accept the credentials, or not for this virtual host.
        BadConfig: the URL's TLS options cannot be used.
    """
    frames.improve()
    link = Link(url, of)
    await link.open(timeout_seconds)
    return RabbitBroker(link, exchange or hub_exchange(hub_of(of)))


class RabbitBroker:
    """One address' connection (`broker.port.Broker`). Made by `connect`."""

    def __init__(self, link: Link, exchange: str) -> None:
        self.address = link.of
        self.exchange = exchange
        self.link = link
        self.publisher = Publisher(link, exchange)
        self._consumers: WeakSet[RabbitConsumer] = WeakSet()

    @property
    def connected(self) -> bool:
        """As `broker.port.Broker.connected`."""
        return self.link.connected

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        """As `broker.port.Broker.publish`."""
        await self.publisher.publish(message, timeout_seconds=timeout_seconds)

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> RabbitConsumer:
        """As `broker.port.Broker.consume`."""
        consumer = RabbitConsumer(self.link, self.publisher, queue, min(prefetch, PREFETCH_MAX), exclusive)
        self._consumers.add(consumer)
        return consumer

    async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Collection[str] = ()) -> None:
        """As `broker.port.Broker.lead`. The broker unbinds what is not there without a word."""
        me, pattern = hub_of(self.address), hub_pattern(hub)
        wanted, unwanted = exits(via, near, not_via)
        async with self.link.using() as connection:
            channel = await connection.channel(publisher_confirms=False)
            try:
                below = await channel.get_underlay_channel()
                for name, is_near in wanted:
                    bind = below.exchange_bind if is_near else below.queue_bind
                    await bind(out_queue(me, name), hub_exchange(me), pattern)
                for name, is_near in unwanted:
                    unbind = below.exchange_unbind if is_near else below.queue_unbind
                    await unbind(out_queue(me, name), hub_exchange(me), pattern)
            except amqp.ChannelAccessRefused:
                raise AccessRefused(f"{self.address} may not lead {pattern} to {via}") from None
            except amqp.ChannelNotFoundEntity:
                raise NoSuchQueue(f"the broker has no link from {me} to {via}") from None
            finally:
                await close_channel(channel)

    async def close(self) -> None:
        """As `broker.port.Broker.close`."""
        for consumer in list(self._consumers):
            await consumer.end()
        await self.link.close()
