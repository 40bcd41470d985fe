"""A worker's lane: one of its lessor's numbered queues, of which it is the only consumer while it lives."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from broker.errors import QueueBusy
from broker.names import lane, queue_name
from broker.port import Broker, Consumer
from schemas.errors import BadConfig
from schemas.ids import Address

LANE_PREFETCH: Final = 16


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that was free, and its deliveries."""

    name: str
    deliveries: Consumer


@contextlib.asynccontextmanager
async def take_lane(broker: Broker, me: Address, lanes: int) -> AsyncIterator[Lane]:
    """Be the exclusive consumer of the first lane that has none, within the context.

    Raises:
        BadConfig: every lane is taken: the network description allows no more workers.
    """
    for number in range(1, lanes + 1):
        name = lane(number)
        consumer = broker.consume(queue_name(me, name), prefetch=LANE_PREFETCH, exclusive=True)
        async with contextlib.AsyncExitStack() as stack:
            try:
                deliveries = await stack.enter_async_context(consumer)
            except QueueBusy:
                continue
            yield Lane(name, deliveries)
            return
    raise BadConfig(f"all {lanes} lanes of {me} have workers: raise `lanes` in the network description", field="lanes")
