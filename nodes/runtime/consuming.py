"""Consuming a queue for as long as a process lives: deliveries are handled concurrently, up to the prefetch."""

from __future__ import annotations

import asyncio
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
    """Consume until cancelled; a lost connection is waited for.

    Raises:
        AccessRefused, NoSuchQueue: the network description does not fit.
    """
    while True:
        try:
            async with broker.consume(queue, prefetch=prefetch) as consumer:
                await handle_all(consumer, handle)
        except* BrokerUnreachable as lost:
            log.warning("a queue is out of reach, trying again", queue=queue, reason=str(lost.exceptions[0]))
        await asyncio.sleep(RETRY_SECONDS)


async def handle_all(consumer: Consumer, handle: Handle) -> None:
    """Handle an entered consumer's deliveries until it ends.

    Raises:
        ExceptionGroup: of ConsumerLost, when the connection was lost; unsettled deliveries come again.
    """
    async with asyncio.TaskGroup() as group:
        async for delivery in consumer:
            group.create_task(handle(delivery))
