"""One connection to RabbitMQ, made again whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, Protocol
from urllib.parse import urlsplit

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aiormq import exceptions as amqp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, stop_never, wait_random_exponential

from broker.errors import AccessRefused, BrokerUnreachable, BrokerUntrusted
from broker.rabbitmq.tls import tls_context
from schemas.ids import Address

log = structlog.get_logger(__name__)

CONNECT_ATTEMPT_SECONDS_MAX: Final = 10.0
CONNECT_WAIT_SECONDS_MIN: Final = 0.1
CONNECT_WAIT_SECONDS_MAX: Final = 3.0
OPEN_SECONDS_MAX: Final = 10.0
"""For opening a channel and subscribing, on a connection that is there."""
CLOSE_SECONDS_MAX: Final = 2.0
"""For the broker's word that a channel or connection is closed; one that stands still never gives it."""
RENEW_SECONDS: Final = 0.2
"""Between attempts to open a channel again."""
SAY_SECONDS: Final = 60.0
"""While there is no connection, the log says so that often, and why."""

REFUSED: Final = (
    amqp.ProbableAuthenticationError,
    amqp.AuthenticationError,
    amqp.ConnectionNotAllowed,
    amqp.InvalidFrameError,  # what aiormq makes of the answer to a virtual host that is not ours
)
LOST: Final = (OSError, RuntimeError, amqp.AMQPError)  # aiormq's errors of state are RuntimeErrors


Url = str | Callable[[], str]


class _Connection(aio_pika.Connection):
    """One that failed is left alone where no event loop runs any more: else a coroutine is left that nobody awaits."""

    def __del__(self) -> None:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            super().__del__()


class Link:
    """The connection of one address. Its URL holds a secret: nothing here shows it. It is asked for with every attempt:
    a new password counts as soon as it is there.
    """

    def __init__(self, url: Url, of: Address) -> None:
        self.url = url if callable(url) else lambda: url
        """Secret: it holds the password of now."""
        parts = urlsplit(self.url())
        self.of = of
        self.where = f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
        self.lost: Callable[[], None] = lambda: None
        """Called when the connection is lost."""
        self.tls = tls_context(self.url())
        self._connection: AbstractConnection | None = None
        self._there = asyncio.Event()
        self._making: asyncio.Task[None] | None = None
        self._timers: set[asyncio.Timeout] = set()
        self._closed = False
        self._failed: BaseException | None = None
        """Why the last attempt to connect failed; None when it did not."""
        self._said_at = -math.inf

    async def open(self, timeout_seconds: float) -> None:
        """Connect for the first time.

        Raises:
            BrokerUnreachable, BrokerUntrusted, AccessRefused
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._make(timeout_seconds)
        except REFUSED:
            raise AccessRefused(self._refusal) from None
        except LOST as error:
            raise self._unreachable(self._failed or error, timeout_seconds) from None

    @property
    def connected(self) -> bool:
        """Whether it is there, as far as is known."""
        return self._there.is_set() and not self._closed

    def check_open(self) -> None:
        """Raises BrokerUnreachable after `close`."""
        if self._closed:
            raise BrokerUnreachable(f"the connection of {self.of} was closed")

    @property
    def trouble(self) -> str:
        """Why there is no connection, as far as an attempt to make one has told."""
        if isinstance(self._failed, REFUSED):
            return f": {self._refusal}"
        return "" if self._failed is None else f" ({_named(self._failed)})"

    def is_current(self, connection: AbstractConnection | None) -> bool:
        """Whether this is the connection, and as far as is known it is there."""
        return connection is not None and connection is self._connection and self._there.is_set()

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
            if was_cancelled():
                raise
            raise BrokerUnreachable(f"the connection to {self.where} was lost") from None
        except LOST as error:
            raise BrokerUnreachable(f"the connection to {self.where} was lost ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close it and do not make it again."""
        self._closed = True
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])
        if self._connection is not None:
            await _closed(self._connection.close())

    # ---------------------------------------------------------------- making it

    async def _make(self, seconds_max: float | None) -> None:
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
        self._failed, self._said_at = None, -math.inf
        self._connection = connection
        self._there.set()

    async def _attempt(self) -> AbstractConnection:
        try:
            return await aio_pika.connect(
                self.url(),
                connection_class=_Connection,
                timeout=CONNECT_ATTEMPT_SECONDS_MAX,
                client_properties={"connection_name": self.of},
                ssl_context=self.tls,
            )
        except LOST as error:
            self._failed = error
            self._say(error)
            raise

    def _say(self, error: BaseException) -> None:
        """Whoever waits for a broker is told so at once: else a node that waits looks like one that hangs."""
        now = asyncio.get_running_loop().time()
        if now < self._said_at + SAY_SECONDS:
            return
        self._said_at = now
        if isinstance(error, REFUSED) and self._connection is None:
            return  # it is raised
        if isinstance(error, REFUSED):
            log.warning("the broker refuses us, trying again", address=self.of, broker=self.where, reason=self._refusal)
        else:
            log.info("no broker answers, trying again", address=self.of, broker=self.where, reason=_named(error))

    @property
    def _refusal(self) -> str:
        return f"the broker at {self.where} refuses the credentials of {self.of}, or has no such virtual host for it"

    def _on_closed(self, *_: object) -> None:
        hurry(self._timers, 0.0)
        self.lost()
        if not self._closed and (self._making is None or self._making.done()):
            self._there.clear()
            self._making = asyncio.create_task(self._make_again())

    async def _make_again(self) -> None:
        log.warning("the connection to the broker was lost", address=self.of, broker=self.where)
        await self._make(None)
        log.info("the connection to the broker is back", address=self.of, broker=self.where)

    def _unreachable(self, error: BaseException, seconds: float) -> BrokerUnreachable:
        """Why there was no connection, by the last attempt."""
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BrokerUntrusted(
                f"the certificate of the broker at {self.where} is not trusted ({cause.verify_message}): "
                "give the authority that signed it as cafile, and use a host name that stands in it"
            )
        reason = _named(error)
        over, hint = "", ""
        if self.tls is not None:
            over, hint = " over TLS", ", does it speak TLS on this port, and does it ask for a certificate (certfile)"
        where = f"at {self.where}{over} within {seconds:g} s"
        return BrokerUnreachable(f"no broker answers {where} ({reason}): is it running{hint}?")


def _named(error: BaseException) -> str:
    """In a word, without anything of the URL."""
    return error.__cause__.reason if isinstance(error.__cause__, ssl.SSLError) else type(error).__name__


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, LOST)


def _is_worth_asking_again(error: BaseException) -> bool:
    refused = isinstance(error, REFUSED) or isinstance(error.__cause__, ssl.SSLCertVerificationError)
    return isinstance(error, LOST) and not refused


# ---------------------------------------------------------------- what aiormq leaves to its callers


def was_cancelled() -> bool:
    """Whether this task was cancelled from outside; aiormq also lets waiting calls end with CancelledError."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def hurry(timers: Iterable[asyncio.Timeout], seconds: float) -> None:
    """Let them end after so many seconds at most."""
    at = asyncio.get_running_loop().time() + seconds
    for timer in timers:
        if not timer.expired():
            timer.reschedule(min(at, timer.when() or at))


class Closing(Protocol):
    """A channel."""

    @property
    def is_closed(self) -> bool: ...

    def close(self) -> Awaitable[None]: ...


async def close_channel(channel: Closing | None) -> None:
    """Close it if it is open."""
    if channel is not None and not channel.is_closed:
        await _closed(channel.close())


async def _closed(closing: Awaitable[None]) -> None:
    """Return as soon as the broker says so, or has had its time."""
    with contextlib.suppress(*LOST):
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await closing
