"""Publishing with confirms, on one channel that is opened again whenever the broker or the network closes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aiormq import exceptions as amqp

from broker.errors import AccessRefused, BrokerUnreachable, PublishUnknown, QueueFull, Unroutable
from broker.port import PUBLISHES_IN_FLIGHT_MAX, Message, check_message
from broker.rabbitmq.content import outgoing
from broker.rabbitmq.link import RENEW_SECONDS, Link, hurry, was_cancelled

FATE_SECONDS_MAX: Final = 0.5
"""How long publishes wait for the error that the broker has for them, after their channel was closed."""


@dataclass(slots=True, eq=False)
class _Sending:
    """A publish that waits for its confirm; `alone` while it has shared its channel with no other."""

    timer: asyncio.Timeout
    alone: bool


class Publisher:
    """Publishes on one exchange."""

    def __init__(self, link: Link, exchange: str) -> None:
        self.address = link.of
        self._name = exchange
        self._link = link
        self._channel: AbstractChannel | None = None
        self._channel_of: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(PUBLISHES_IN_FLIGHT_MAX)
        self._under_way: set[_Sending] = set()
        link.lost = self._hurry_publishes

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        """As `broker.port.Broker.publish`."""
        check_message(message)
        self._link.check_open()
        sent = False
        try:
            async with asyncio.timeout(timeout_seconds) as timer, self._slots:
                exchange = await self._publishing()
                sent = True
                await self._send(exchange, message, timer)
        except TimeoutError:
            if not sent:
                lost = f"no connection to {self._link.where} for {timeout_seconds:g} s{self._link.trouble}"
                raise BrokerUnreachable(lost) from None
            raise _unknown(message) from None

    async def _publishing(self) -> AbstractExchange:
        """The hub's exchange on an open channel; refusals and cuts close the channel."""
        async with self._opening:
            while self._exchange is None or not self._usable():
                self._link.check_open()
                try:
                    await self._open_channel()
                except BrokerUnreachable:
                    await asyncio.sleep(RENEW_SECONDS)
            return self._exchange

    def _usable(self) -> bool:
        """aiormq tells a channel late that its connection is lost; a publish on it would wait for ever."""
        return self._channel is not None and not self._channel.is_closed and self._link.is_current(self._channel_of)

    async def _open_channel(self) -> None:
        async with self._link.using() as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            channel.close_callbacks.add(self._hurry_publishes)
            self._exchange = await channel.get_exchange(self._name, ensure=False)
            self._channel, self._channel_of = channel, connection

    def _hurry_publishes(self, *_: object) -> None:
        """Nothing more is heard of these publishes; aiormq lets some of them wait for ever."""
        hurry((each.timer for each in self._under_way), FATE_SECONDS_MAX)

    async def _send(self, exchange: AbstractExchange, message: Message, timer: asyncio.Timeout) -> None:
        for each in self._under_way if len(self._under_way) == 1 else ():
            each.alone = False
        sending = _Sending(timer, alone=not self._under_way)
        self._under_way.add(sending)
        try:
            await exchange.publish(outgoing(message), message.key, mandatory=True)
        except amqp.PublishError:
            raise Unroutable(f"nobody receives {message.key}: no such address, or it has no such queue") from None
        except amqp.DeliveryError:
            raise QueueFull(f"the queue for {message.key} is full, publish {message.id} again later") from None
        except amqp.ChannelAccessRefused:
            # The broker says so by closing the channel, on which others may wait for their confirms too.
            if sending.alone or not self._is_source_of(message):
                raise AccessRefused(f"{self.address} may not publish under {message.key}") from None
            raise _unknown(message) from None
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            raise _unknown(message) from None
        except Exception as error:
            raise _unknown(message) from error
        finally:
            self._under_way.discard(sending)

    def _is_source_of(self, message: Message) -> bool:
        return f".{self.address}." in message.key


def _unknown(message: Message) -> PublishUnknown:
    return PublishUnknown(f"the broker did not confirm {message.id}, publish it again")
