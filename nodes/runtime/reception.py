"""Takes a node's control queue in: through the door, then several events per transaction, then settled one by one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final

import structlog

from broker.names import queue_name, sender_of
from broker.port import Broker, Delivery
from nodes.machine import Machine, Refused
from nodes.operations.metrics import Metrics
from nodes.runtime.commits import MACHINE_FAILED, Commits
from nodes.runtime.consuming import RETRY_SECONDS
from nodes.runtime.door import Door, Later
from nodes.runtime.quiet import Quiet
from nodes.runtime.quota import TOO_MANY, Flooded, Quota
from nodes.runtime.storage import Storage
from nodes.runtime.turns import Turns
from nodes.store.port import Input, Outcome
from schemas import limits
from schemas.errors import BrokerUnreachable
from schemas.events import Event
from schemas.ids import Address

DROPPED_PER_TURN_MAX: Final = 32
"""Events of a flood, of which enough was set aside, that are acknowledged unread before others have a turn."""
COMMITS_UNDER_WAY_MAX: Final = 2
"""One batch of events is decoded while another is being committed."""


class Reception:
    """The only consumer of the control queue in this process."""

    def __init__(
        self,
        *,
        me: Address,
        machine: Machine,
        broker: Broker,
        door: Door,
        commits: Commits,
        quiet: Quiet,
        storage: Storage,
        quota: Quota,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._consuming = False
        self._storage = storage
        self._quota = quota
        self._me = me
        self._machine = machine
        self._broker = broker
        self._door = door
        self._commits = commits
        self._quiet = quiet
        self._dropped = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger(__name__).bind(node=me, role=machine.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; a lost connection is waited for."""
        queue = queue_name(self._me, "control")
        while not stop.is_set():
            try:
                async with self._broker.consume(queue, prefetch=limits.CONTROL_PREFETCH) as deliveries:
                    self._consuming = True
                    await self._serve(deliveries, stop)
            except BrokerUnreachable as error:
                self._log.warning("the control queue is out of reach, trying again", reason=str(error))
            finally:
                self._consuming = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await stop.wait()

    @property
    def trouble(self) -> str:
        """Why nothing is taken in; empty while it is."""
        return "" if self._consuming else "the control queue is not consumed"

    async def _serve(self, deliveries: AsyncIterator[Delivery], stop: asyncio.Event) -> None:
        """Take deliveries in until `stop`; what is being committed is still acknowledged."""
        arrivals: Turns[Delivery] = Turns()
        feeding = asyncio.create_task(self._feed(deliveries, arrivals))
        stopping = asyncio.create_task(stop.wait())
        takers = [asyncio.create_task(self._take(arrivals)) for _ in range(COMMITS_UNDER_WAY_MAX)]
        try:
            await asyncio.wait([feeding, stopping, *takers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (feeding, stopping):
                task.cancel()
            self._leave(arrivals)
            results = await asyncio.gather(feeding, *takers, return_exceptions=True)
            self._leave(arrivals)
            await asyncio.gather(*self._settling)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _feed(self, deliveries: AsyncIterator[Delivery], arrivals: Turns[Delivery]) -> None:
        async for delivery in deliveries:
            if await self._may_come_in(delivery):
                self._quiet.begin()
                arrivals.put(sender_of(delivery.message.key), delivery)

    async def _may_come_in(self, delivery: Delivery) -> bool:
        """Whether its sender has a share left; what comes beyond that costs neighbours as little as it can."""
        try:
            pause = self._quota.pause_seconds(sender_of(delivery.message.key))
        except Flooded:
            await self._door.acknowledge(delivery)
            self._dropped += 1
            if self._dropped % DROPPED_PER_TURN_MAX == 0:
                await asyncio.sleep(0)  # a flood that is here already would let nobody else have a turn
            return False
        except Refused as refusal:
            self._apart(self._door.set_aside(delivery, refusal.code, refusal.reason))
            return False
        if pause:
            self._apart(self._door.bring_again(delivery, pause))
        return not pause

    def tell_of_floods(self) -> None:
        """Log how many events of whom were dropped since this was called last."""
        for sender, count in self._quota.take_dropped().items():
            reason = f"{sender} sends faster than is kept for it"
            self._log.warning("dropped", source=sender, count=count, code=TOO_MANY, reason=reason)
            self._metrics.dropped(count)

    def _leave(self, arrivals: Turns[Delivery]) -> None:
        """Leave what was not begun to the queue: it is not acknowledged."""
        for _ in arrivals.end():
            self._quiet.end()

    async def _take(self, arrivals: Turns[Delivery]) -> None:
        """Settle deliveries, as many at once as have arrived, up to the bound of one commit."""
        while batch := await arrivals.take(limits.EVENTS_PER_COMMIT_MAX):
            try:
                await self._settle(batch)
            finally:
                for _ in batch:
                    self._quiet.end()

    async def _settle(self, batch: Sequence[Delivery]) -> None:
        """Every delivery ends acknowledged, set aside with its reason, or back in the queue."""
        admitted: list[tuple[Delivery, Input]] = []
        for delivery in batch:
            try:
                admitted.append((delivery, await self._admit(delivery)))
            except Refused as refusal:
                self._apart(self._door.set_aside(delivery, refusal.code, refusal.reason))
            except Later as later:
                self._apart(self._door.bring_again(delivery, later.seconds))
        if not admitted:
            return
        inputs = [item for _, item in admitted]
        outcomes = await self._storage.persist(lambda: self._commits.apply(inputs))
        for (delivery, _), outcome in zip(admitted, outcomes, strict=True):
            await self._answer(delivery, outcome)

    async def _admit(self, delivery: Delivery) -> Input:
        """What the delivery asks to decide; raises Refused or Later."""
        received = await self._door.receive(delivery)
        return self._commits.arrived(received, self._aggregate_of(received.event))

    def _aggregate_of(self, event: Event) -> str:
        try:
            return self._machine.aggregate_of(event)
        except Refused:
            raise
        except Exception as error:
            self._log.exception("the machine failed", id=event.id, type=event.type)
            raise Refused(MACHINE_FAILED, type(error).__name__) from error

    async def _answer(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome.status == "refused":
            self._apart(self._door.set_aside(delivery, outcome.code, outcome.reason))
        else:
            await self._door.acknowledge(delivery)

    def _apart(self, settling: Coroutine[Any, Any, None]) -> None:
        """Publish a dead letter or a waiting copy while others are served: a slow broker delays no neighbour."""
        self._quiet.begin()
        task = asyncio.create_task(settling)
        self._settling.add(task)
        task.add_done_callback(self._apart_done)

    def _apart_done(self, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        self._quiet.end()
