"""The Broker port on RabbitMQ (AMQP 0-9-1). The only module that imports aio_pika.

Publishing and consuming have channels of their own; every consumer has one, so that its prefetch is its own. Publishes
are mandatory and confirmed. Nothing is declared: exchanges and queues come from `broker.definitions`, and a passive
declare, which needs no permission on RabbitMQ 3.10 and 4.3.1, tells whether a queue is there.

A connection that was cut is made again, by one task per connection; each consumer has a task that renews its channel.
This is not left to aio-pika's `connect_robust`: an exclusive consumer must learn that another has taken its lane, and
one rule is to hold for all. Publishes under way stay unknown, and what was delivered before is redelivered.

The URL is `amqp://user:password@host:port/vhost`, or `amqps://…?cafile=…&certfile=…&keyfile=…` for TLS: the broker's
certificate is checked against `cafile`, or the system's authorities, and `certfile` with `keyfile` is shown to it where
it asks. The URL is secret and is never part of an error or of anything shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aiormq import exceptions as amqp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, stop_never, wait_random_exponential

from broker import frames
from broker.envelope import again, arrived, dead_letter
from broker.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnreachable,
    BrokerUntrusted,
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
from schemas.errors import BadConfig
from schemas.ids import Address, address, hub_of
from schemas.limits import PUBLISH_SECONDS_MAX

log = structlog.get_logger(__name__)

CONNECT_SECONDS_MAX: Final = 30.0
CONNECT_ATTEMPT_SECONDS_MAX: Final = 10.0
CONNECT_WAIT_SECONDS_MIN: Final = 0.1
CONNECT_WAIT_SECONDS_MAX: Final = 3.0
OPEN_SECONDS_MAX: Final = 10.0
"""For opening a channel and subscribing, on a connection that is there."""
RENEW_SECONDS: Final = 0.2
"""Between attempts to open a channel again."""
FATE_SECONDS_MAX: Final = 0.5
"""How long publishes wait for the error that the broker has for them, after their channel was closed."""
RETAKE_SECONDS_MAX: Final = 15.0
"""How long an exclusive consumer whose connection was cut tries to get its lane back."""
CONTENT_TYPE: Final = "content-type"

_REFUSED = (
    amqp.ProbableAuthenticationError,
    amqp.AuthenticationError,
    amqp.ConnectionNotAllowed,
    amqp.InvalidFrameError,  # what aiormq makes of the answer to a virtual host that is not ours
)
_LOST = (
    OSError,
    RuntimeError,
    amqp.AMQPError,
)  # aiormq's errors of state are RuntimeErrors


async def connect(url: str, of: Address, *, timeout_seconds: float = CONNECT_SECONDS_MAX) -> RabbitBroker:
    """A connection for this address.

    Args:
        url: with the credentials of `of`.
        of: whose key source, hub exchange and queues it will be.
        timeout_seconds: how long to try while the broker does not answer.

    Raises:
        BrokerUnreachable: naming host and port.
        BrokerUntrusted: its certificate does not prove that it is the broker of the URL.
        AccessRefused: the broker does not accept the credentials, or not for this virtual host.
        BadConfig: the URL's TLS options cannot be used.
    """
    frames.improve()
    link = _Link(url, of)
    try:
        async with asyncio.timeout(timeout_seconds):
            await link.open(timeout_seconds)
    except _REFUSED:
        raise AccessRefused(
            f"the broker at {link.where} refuses the credentials of {of}, or has no such virtual host for it"
        ) from None
    except _LOST as error:
        raise _unreachable(link, link.failed or error, timeout_seconds) from None
    return RabbitBroker(of, link)


def _unreachable(link: _Link, error: BaseException, seconds: float) -> BrokerUnreachable:
    """Why there was no connection, by the last attempt."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return BrokerUntrusted(
            f"the certificate of the broker at {link.where} is not trusted ({cause.verify_message}): "
            "give the authority that signed it as cafile, and use a host name that stands in it"
        )
    reason = cause.reason if isinstance(cause, ssl.SSLError) else type(error).__name__
    over, hint = "", ""
    if link.secured:
        over, hint = " over TLS", ", does it speak TLS on this port, and does it ask for a certificate (certfile)"
    where = f"at {link.where}{over} within {seconds:g} s"
    return BrokerUnreachable(f"no broker answers {where} ({reason}): is it running{hint}?")


class _Link:
    """One connection, made again whenever it is lost."""

    def __init__(self, url: str, of: Address) -> None:
        parts = urlsplit(url)
        self.where = f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
        self._url = url
        self._tls = _tls(url)
        self._of = of
        self._connection: AbstractConnection | None = None
        self._there = asyncio.Event()
        self._making: asyncio.Task[None] | None = None
        self._timers: set[asyncio.Timeout] = set()
        self._closed = False
        self.failed: BaseException | None = None
        """Why the last attempt to connect failed."""
        self.lost: Callable[[], None] = lambda: None
        """Called when the connection is lost."""

    @property
    def secured(self) -> bool:
        """Whether it is by TLS."""
        return self._tls is not None

    def is_current(self, connection: AbstractConnection | None) -> bool:
        """Whether this is the connection, and as far as is known it is there."""
        return connection is not None and connection is self._connection and self._there.is_set()

    async def open(self, seconds_max: float | None) -> None:
        """Connect, trying again for so long (None: for ever) while the broker cannot be reached."""
        retrying = AsyncRetrying(
            stop=stop_never if seconds_max is None else stop_after_delay(seconds_max),
            wait=wait_random_exponential(CONNECT_WAIT_SECONDS_MIN, CONNECT_WAIT_SECONDS_MAX),
            retry=retry_if_exception(_is_worth_asking_again if seconds_max else _is_lost),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                connection = await self._attempt()
        connection.close_callbacks.add(self._on_closed)
        self._connection = connection
        self._there.set()

    async def _attempt(self) -> AbstractConnection:
        try:
            return await aio_pika.connect(
                self._url,
                timeout=CONNECT_ATTEMPT_SECONDS_MAX,
                client_properties={"connection_name": self._of},
                ssl_context=self._tls,
            )
        except _LOST as error:
            self.failed = error
            raise

    async def connection(self) -> AbstractConnection:
        """The connection, as soon as there is one."""
        await self._there.wait()
        assert self._connection is not None
        return self._connection

    @contextlib.asynccontextmanager
    async def using(self) -> AsyncIterator[AbstractConnection]:
        """For calls on the connection, made as soon as there is one. aiormq may let them wait for ever when it is lost.

        Raises:
            BrokerUnreachable: it was lost meanwhile, or did not answer in OPEN_SECONDS_MAX.
        """
        connection = await self.connection()
        try:
            async with asyncio.timeout(OPEN_SECONDS_MAX) as timer:
                self._timers.add(timer)
                try:
                    yield connection
                finally:
                    self._timers.discard(timer)
        except asyncio.CancelledError:
            if _was_cancelled():
                raise
            raise BrokerUnreachable(f"the connection to {self.where} was lost") from None
        except _LOST as error:
            raise BrokerUnreachable(f"the connection to {self.where} was lost ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close it and do not make it again."""
        self._closed = True
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])
        if self._connection is not None:
            with contextlib.suppress(*_LOST):
                await self._connection.close()

    def _on_closed(self, *_: object) -> None:
        _hurry(self._timers, 0.0)
        self.lost()
        if not self._closed and (self._making is None or self._making.done()):
            self._there.clear()
            self._making = asyncio.create_task(self._make_again())

    async def _make_again(self) -> None:
        log.warning("the connection to the broker was lost", address=self._of, broker=self.where)
        await self.open(None)
        log.info("the connection to the broker is back", address=self._of, broker=self.where)


def _tls(url: str) -> ssl.SSLContext | None:
    """How to check the broker and to show ourselves; None without TLS. Raises BadConfig."""
    parts = urlsplit(url)
    if parts.scheme != "amqps":
        return None
    options = dict(parse_qsl(parts.query))
    if "no_verify_ssl" in options:
        raise BadConfig("no_verify_ssl in the broker's address: anybody could pose as the broker", field="amqp_url")
    certificate, key = options.get("certfile"), options.get("keyfile")
    try:
        context = ssl.create_default_context(cafile=options.get("cafile"))
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(f"{name} {options[name]}" for name in ("cafile", "certfile", "keyfile") if name in options)
        reason = error.strerror or "not what it should be"
        raise BadConfig(f"cannot use {files} of the broker's address: {reason}", field="amqp_url") from None
    return context


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, _LOST)


def _is_worth_asking_again(error: BaseException) -> bool:
    refused = isinstance(error, _REFUSED) or isinstance(error.__cause__, ssl.SSLCertVerificationError)
    return isinstance(error, _LOST) and not refused


@dataclass(slots=True, eq=False)
class _Sending:
    """A publish that waits for its confirm; `alone` while it has shared its channel with no other."""

    timer: asyncio.Timeout
    alone: bool


class RabbitBroker:
    """One address' connection (`broker.port.Broker`). Made by `connect`."""

    def __init__(self, of: Address, link: _Link) -> None:
        self.address = of
        self._link = link
        self._channel: AbstractChannel | None = None
        self._channel_of: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(PUBLISHES_IN_FLIGHT_MAX)
        self._under_way: set[_Sending] = set()
        self._consumers: set[RabbitConsumer] = set()
        self._closed = False
        link.lost = self._hurry_publishes

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        """As `broker.port.Broker.publish`."""
        check_message(message)
        self.check_open()
        sent = False
        try:
            async with asyncio.timeout(timeout_seconds) as timer, self._slots:
                exchange = await self._publishing()
                sent = True
                await self._send(exchange, message, timer)
        except TimeoutError:
            if not sent:
                raise BrokerUnreachable(f"no connection to {self._link.where} for {timeout_seconds:g} s") from None
            raise _unknown(message) from None

    async def _publishing(self) -> AbstractExchange:
        """The hub's exchange on an open channel; refusals and cuts close the channel."""
        async with self._opening:
            while self._exchange is None or not self._usable():
                self.check_open()
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
            self._exchange = await channel.get_exchange(hub_exchange(hub_of(self.address)), ensure=False)
            self._channel, self._channel_of = channel, connection

    def _hurry_publishes(self, *_: object) -> None:
        """Nothing more is heard of these publishes; aiormq lets some of them wait for ever."""
        _hurry((each.timer for each in self._under_way), FATE_SECONDS_MAX)

    async def _send(self, exchange: AbstractExchange, message: Message, timer: asyncio.Timeout) -> None:
        for each in self._under_way if len(self._under_way) == 1 else ():
            each.alone = False
        sending = _Sending(timer, alone=not self._under_way)
        self._under_way.add(sending)
        try:
            await exchange.publish(_outgoing(message), message.key, mandatory=True)
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
            if _was_cancelled():
                raise
            raise _unknown(message) from None
        except Exception as error:
            raise _unknown(message) from error
        finally:
            self._under_way.discard(sending)

    def _is_source_of(self, message: Message) -> bool:
        return f".{self.address}." in message.key

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> RabbitConsumer:
        """As `broker.port.Broker.consume`."""
        return RabbitConsumer(self, self._link, queue, min(prefetch, PREFETCH_MAX), exclusive)

    async def close(self) -> None:
        """As `broker.port.Broker.close`."""
        self._closed = True
        for consumer in list(self._consumers):
            await consumer.end()
        await self._link.close()

    # ---------------------------------------------------------------- for this module's other classes

    def check_open(self) -> None:
        """Raises BrokerUnreachable after `close`."""
        if self._closed:
            raise BrokerUnreachable(f"the connection of {self.address} was closed")

    def started(self, consumer: RabbitConsumer) -> None:
        """Remember to end it."""
        self._consumers.add(consumer)

    def ended(self, consumer: RabbitConsumer) -> None:
        """Forget it."""
        self._consumers.discard(consumer)


class RabbitConsumer:
    """A subscription with a channel of its own (`broker.port.Consumer`)."""

    def __init__(self, broker: RabbitBroker, link: _Link, queue: str, prefetch: int, exclusive: bool) -> None:
        self.queue = queue
        self._broker = broker
        self._link = link
        self._prefetch = prefetch
        self._exclusive = exclusive
        self._arrivals: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._channel: AbstractChannel | None = None
        self._gone = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._lost: ConsumerLost | None = None

    async def __aenter__(self) -> RabbitConsumer:
        self._broker.check_open()
        await self._subscribe()
        self._renewing = asyncio.create_task(self._renew_always())
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
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await _close(self._channel)
        self._arrivals.put_nowait(None)

    async def _subscribe(self) -> None:
        """Open a channel and consume. RabbitMQ says "refused" and "busy" with one code."""
        channel: AbstractChannel | None = None
        self._gone.clear()
        try:
            async with self._link.using() as connection:
                channel = await connection.channel(publisher_confirms=False)
                await self._consume_on(channel)
        except BaseException:
            await _close(channel)
            raise
        self._channel = channel

    async def _consume_on(self, channel: AbstractChannel) -> None:
        channel.close_callbacks.add(self._on_gone)
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._on_gone)
        try:
            await channel.set_qos(prefetch_count=self._prefetch)
            source = await channel.declare_queue(self.queue, passive=True)
            await source.consume(self._arrive, exclusive=self._exclusive)
        except amqp.ChannelNotFoundEntity:
            raise NoSuchQueue(f"there is no queue {self.queue}") from None
        except amqp.ChannelAccessRefused:
            if may_read(self._broker.address, self.queue):
                raise QueueBusy(f"{self.queue} has a consumer, and one of the two wants it exclusively") from None
            raise AccessRefused(f"{self._broker.address} may not consume {self.queue}") from None

    async def _arrive(self, message: AbstractIncomingMessage) -> None:
        self._arrivals.put_nowait(message)

    def _on_gone(self, *_: object) -> None:
        self._gone.set()

    async def _renew_always(self) -> None:
        try:
            while True:
                await self._gone.wait()
                await _close(self._channel)
                await self._link.connection()
                async with asyncio.timeout(RETAKE_SECONDS_MAX if self._exclusive else None):
                    await self._renew()
        except TimeoutError:
            self._lost = ConsumerLost(f"the connection was cut and another has taken {self.queue}")
            self._broker.ended(self)
            self._arrivals.put_nowait(None)

    async def _renew(self) -> None:
        """Subscribe again; the broker may not have noticed yet that the old connection is gone."""
        while True:
            try:
                await self._subscribe()
            except (BrokerError, BrokerUnreachable) as error:
                log.info("not consuming yet", queue=self.queue, error=str(error))
                await asyncio.sleep(RENEW_SECONDS)
            else:
                return


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
    headers: dict[str, str | int] = {k: v for k, v in incoming.headers.items() if type(v) is str or type(v) is int}
    if incoming.content_type:
        headers[CONTENT_TYPE] = incoming.content_type
    if _made_by_broker(key):
        headers |= _why_dead(incoming.headers)
    return Message(key, incoming.body, headers, incoming.message_id or "")


def _is_live(incoming: AbstractIncomingMessage) -> bool:
    """Whether the channel by which it came is still open."""
    try:
        return not incoming.channel.is_closed
    except amqp.ChannelInvalidStateError:
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
    return PublishUnknown(f"the broker did not confirm {message.id}, publish it again")


def _was_cancelled() -> bool:
    """Whether this task was cancelled from outside; aiormq also lets waiting calls end with CancelledError."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _hurry(timers: Iterable[asyncio.Timeout], seconds: float) -> None:
    """Let them end after so many seconds at most."""
    at = asyncio.get_running_loop().time() + seconds
    for timer in timers:
        if not timer.expired():
            timer.reschedule(min(at, timer.when() or at))


async def _close(channel: AbstractChannel | None) -> None:
    if channel is not None and not channel.is_closed:
        with contextlib.suppress(*_LOST):
            await channel.close()
