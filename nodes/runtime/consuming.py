"""Consuming a queue for as long as a process lives: deliveries are handled concurrently, up to the prefetch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

import structlog

from broker.port import Broker, Consumer, Delivery
from schemas.errors import BrokerUnreachable

RETRY_SECONDS: Final = 1.0
"""Pause before a lost queue is consumed again."""

log = structlog.get_logger(__name__)

Handle = Callable[[Delivery], Coroutine[Any, Any, None]]
"""Settles one delivery; lets no error out but of its own bugs."""


async def consume_for_ever(broker: Broker, queue: str, prefetch: int, handle: Handle) -> NoReturn:
    """As `consume`, until cancelled."""
    await consume(broker, queue, prefetch, handle, asyncio.Event())
    raise AssertionError("nobody told it to end")


async def consume(broker: Broker, queue: str, prefetch: int, handle: Handle, ending: asyncio.Event) -> None:
    """Consume until `ending` is set and what was begun is settled; a lost connection is waited for.

    Raises:
        AccessRefused, NoSuchQueue: the network description does not fit.
    """
    while not ending.is_set():
        try:
            async with broker.consume(queue, prefetch=prefetch) as consumer:
                await handle_all(consumer, handle, ending)
        except* BrokerUnreachable as lost:
            log.warning("a queue is out of reach, trying again", queue=queue, reason=str(lost.exceptions[0]))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                await ending.wait()


async def handle_all(consumer: Consumer, handle: Handle, ending: asyncio.Event) -> None:
    """Handle an entered consumer's deliveries until it ends, or `ending` is set: no more are taken then, and what was
    begun is finished.

    Raises:
        ExceptionGroup: of ConsumerLost, when the connection was lost; unsettled deliveries come again.
    """
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(_take(consumer, handle, group))
        told = group.create_task(ending.wait())
        await asyncio.wait([taking, told], return_when=asyncio.FIRST_COMPLETED)
        taking.cancel()
        told.cancel()


async def _take(consumer: Consumer, handle: Handle, group: asyncio.TaskGroup) -> None:
    async for delivery in consumer:
        group.create_task(handle(delivery))
