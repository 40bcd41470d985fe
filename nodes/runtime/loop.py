"""The one loop of every role that keeps state: receive, verify, decide, commit, acknowledge, carry out.

    control queue ──► admit ──► Store.apply ──► ack ──► outbox: publish with confirms, run activities
                        │          ▲    │                               │
                   dead letter     │    └ refused: dead letter          └ outcomes, as internal events ──► Store.apply
                                 timers, submitted internal events

Nothing else of a node consumes its control queue or writes its store's records. A killed process loses nothing: what
was not committed is delivered again, what was committed but not carried out is claimed by the next process, and ids
derived from their cause make repetitions count once: exactly-once effect over at-least-once delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from msgspec import Struct

from broker.errors import PublishUnknown
from broker.port import Broker, Delivery
from broker.topology import parse_key, queue_name
from nodes.identity import Identity, verify
from nodes.machine import TIMER_FIRED, Machine, Refused, TimerFired
from nodes.runtime.intake import EVENT_AGE_SECONDS_MAX, Decider, Given, Wire, admit
from nodes.runtime.outbox import ACTIVITIES_MAX, Activity, Means, Outbox
from nodes.runtime.quiet import Quiet, Wake
from nodes.store.blobs import BlobStore
from nodes.store.errors import StoreClosed, StoreFailed
from nodes.store.port import OUTBOX_LEASE_SECONDS, Decide, Decision, Input, OutboxRow, Outcome, Store, Timer
from schemas import codec, limits
from schemas.errors import BadConfig, BrokerUnreachable
from schemas.events import Event
from schemas.ids import Address, derive_id

POLL_SECONDS: Final = 1.0
"""How often to look for timers and outbox rows of other processes that ended."""
FORGET_SECONDS: Final = 600.0
"""How often to forget old inbox ids."""
STORE_RETRY_SECONDS: Final = 1.0
BROKER_RETRY_SECONDS: Final = 1.0
ENTROPY_DRAWS: Final = 64
"""Events per draw of entropy."""
_ENTROPY_BYTES: Final = 32
COMMITS_UNDER_WAY_MAX: Final = 2
"""One batch of events is decoded while another is being committed."""

__all__ = ["Activity", "Runtime"]


class Runtime:
    """One process of a node. Start as many as needed on the same store and queues."""

    def __init__(
        self,
        *,
        machine: Machine,
        broker: Broker,
        store: Store,
        identity: Identity,
        clock: Callable[[], float],
        activities: Mapping[str, Activity],
        blobs: BlobStore,
        entropy: Callable[[int], bytes],
        activities_max: int = ACTIVITIES_MAX,
    ) -> None:
        """Wire a process.

        Args:
            machine: the role's protocol logic.
            broker: connected with this node's account.
            store: opened with `machine.record_types`.
            identity: this node's address and key.
            clock: seconds since 1970 (UTC).
            activities: by the name that `Perform` gives; see `nodes.runtime.outbox.Activity`.
            blobs: raw bodies of events, by digest.
            entropy: so many fresh random bytes.
            activities_max: activities under way at a time.
        """
        self._machine = machine
        self._broker = broker
        self._store = store
        self._me: Address = identity.address
        self._clock = clock
        self._entropy = entropy
        self._pool: list[bytes] = []
        self._owner = entropy(16).hex()
        self._decide = Decider(machine, identity.address, identity.sign, verify)
        self._quiet = Quiet()
        means = Means(machine, identity, broker, store, blobs, activities, self._conclude, activities_max)
        self._outbox = Outbox(means, self._quiet)
        self._arrivals: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._timer_wake = Wake(self._quiet)
        self._log = structlog.get_logger(__name__).bind(node=identity.address, role=machine.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish what is being committed and give back what is not carried out.

        Raises:
            ExceptionGroup: of what ended the loop: a bug, or a store that was closed under it.
        """
        self._outbox.start()
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(loop) for loop in (self._fire_timers(), self._claim(), self._keep())]
                consuming = group.create_task(self._consume(stop))
                await stop.wait()
                await asyncio.wait([consuming])
                for loop in loops:
                    loop.cancel()
        finally:
            await self._outbox.stop()
            with contextlib.suppress(StoreFailed, StoreClosed):
                await self._store.release(self._owner)

    async def submit(
        self, event_type: str, data: Struct, aggregate: str, *, event_id: str = "", cause: str = ""
    ) -> None:
        """Give the machine an internal event; returns when what follows from it is committed.

        Args:
            event_type: one of the machine's internal types.
            data: of that type's class.
            aggregate: whose records it concerns; becomes the event's subject.
            event_id: the same for the same occurrence: a second submission then has no effect. Fresh by default.
            cause: id of the event that led to it.

        Raises:
            MalformedEvent: the data does not fit its class.
            StoreFailed: nothing was committed.
        """
        checked = codec.decode_data(self._machine.internal_types[event_type], codec.encode_data(data))
        name = event_id or derive_id("internal", self._fresh().hex())
        given = self._internal(name, event_type, checked, aggregate, cause)
        await self._apply([Input(name, aggregate, given)])

    def wake(self) -> None:
        """Look at the timers now: the clock was moved."""
        self._timer_wake.set()

    async def idle(self) -> None:
        """Return when this process has nothing under way: no delivery, commit, publish or activity."""
        await self._quiet.wait()

    # ---------------------------------------------------------------- receiving

    async def _consume(self, stop: asyncio.Event) -> None:
        queue = queue_name(self._me, "control")
        while not stop.is_set():
            try:
                async with self._broker.consume(queue, prefetch=limits.CONTROL_PREFETCH) as deliveries:
                    await self._serve(deliveries, stop)
            except BrokerUnreachable as error:
                self._log.warning("the control queue is out of reach, trying again", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), BROKER_RETRY_SECONDS)

    async def _serve(self, deliveries: AsyncIterator[Delivery], stop: asyncio.Event) -> None:
        """Take deliveries in until `stop`; what is being committed is still acknowledged."""
        feeding = asyncio.create_task(self._feed(deliveries))
        stopping = asyncio.create_task(stop.wait())
        takers = [asyncio.create_task(self._take()) for _ in range(COMMITS_UNDER_WAY_MAX)]
        try:
            await asyncio.wait([feeding, stopping, *takers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (feeding, stopping):
                task.cancel()
            self._drop_arrivals()
            for _ in takers:
                self._arrivals.put_nowait(None)
            results = await asyncio.gather(feeding, *takers, return_exceptions=True)
            self._drop_arrivals()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _feed(self, deliveries: AsyncIterator[Delivery]) -> None:
        async for delivery in deliveries:
            self._quiet.begin()
            self._arrivals.put_nowait(delivery)

    def _drop_arrivals(self) -> None:
        """Leave what was not begun to the queue: it is not acknowledged."""
        while not self._arrivals.empty():
            if self._arrivals.get_nowait() is not None:
                self._quiet.end()

    async def _take(self) -> None:
        """Settle deliveries, as many at once as have arrived, up to the bound of one commit."""
        while (first := await self._arrivals.get()) is not None:
            batch = [first]
            while len(batch) < limits.EVENTS_PER_COMMIT_MAX and not self._arrivals.empty():
                following = self._arrivals.get_nowait()
                if following is None:
                    self._arrivals.put_nowait(None)
                    break
                batch.append(following)
            try:
                await self._settle(batch)
            finally:
                for _ in batch:
                    self._quiet.end()

    async def _settle(self, batch: Sequence[Delivery]) -> None:
        """Every delivery ends acknowledged, dead-lettered with its reason, or back in the queue."""
        admitted: list[tuple[Delivery, Input]] = []
        for delivery in batch:
            try:
                admitted.append((delivery, self._admit(delivery)))
            except Refused as refusal:
                self._log.warning("dead-lettered", id=delivery.message.id, code=refusal.code, reason=refusal.reason)
                await self._answer(delivery.reject(refusal.code))
        if not admitted:
            return
        try:
            outcomes = await self._apply([item for _, item in admitted])
        except StoreFailed as error:
            self._log.error("the store failed, deliveries go back", error=str(error), deliveries=len(admitted))
            for delivery, _ in admitted:
                await self._answer(delivery.retry(STORE_RETRY_SECONDS))
            return
        for (delivery, _), outcome in zip(admitted, outcomes, strict=True):
            await self._answer(delivery.reject(outcome.code) if outcome.status == "refused" else delivery.ack())

    def _admit(self, delivery: Delivery) -> Input:
        message, now = delivery.message, self._clock()
        try:
            key = parse_key(message.key)
        except BadConfig as error:
            raise Refused("bad-key", str(error)) from error
        received = admit(Wire(key.dst, key.src, message.headers, message.body), self._machine, self._me, now)
        given = Given(received.event, now, self._fresh(), (received.signed, received.signature))
        return Input(received.event.id, self._aggregate_of(received.event), given)

    def _aggregate_of(self, event: Event) -> str:
        try:
            return self._machine.aggregate_of(event)
        except Refused:
            raise
        except Exception as error:
            self._log.exception("the machine failed", id=event.id, type=event.type)
            raise Refused("machine-failed", type(error).__name__) from error

    async def _answer(self, answer: Awaitable[None]) -> None:
        """A delivery that could not be settled comes again: its id is known by then."""
        try:
            await answer
        except (BrokerUnreachable, PublishUnknown) as error:
            self._log.info("a delivery will come again", error=str(error))

    # ---------------------------------------------------------------- deciding

    async def _apply(self, inputs: Sequence[Input]) -> list[Outcome]:
        """One transaction; if the machine fails on one of them, each alone, and that one is refused."""
        with self._quiet.busy():
            try:
                outcomes = await self._commit(inputs)
            except (StoreFailed, StoreClosed):
                raise
            except Exception:
                outcomes = [await self._apply_alone(item) for item in inputs]
            for item, outcome in zip(inputs, outcomes, strict=True):
                self._note(item, outcome)
            return outcomes

    async def _apply_alone(self, item: Input) -> Outcome:
        try:
            return (await self._commit([item]))[0]
        except (StoreFailed, StoreClosed):
            raise
        except Exception as error:
            self._log.exception("the machine failed", id=item.event_id, aggregate=item.aggregate)
            await self._set_aside(item)
            return Outcome("refused", "machine-failed", type(error).__name__)

    async def _set_aside(self, item: Input) -> None:
        """An internal event on which the machine fails is not tried for ever."""
        if item.timer is not None or item.completes is not None:
            refusal = "machine-failed", "see the log"
            await self._commit([item], lambda _, __: Decision(self._clock(), refusal=refusal))

    async def _commit(self, inputs: Sequence[Input], decide: Decide | None = None) -> list[Outcome]:
        outcomes = await self._store.apply(
            inputs,
            decide or self._decide,
            owner=self._owner,
            lease_until=self._clock() + OUTBOX_LEASE_SECONDS,
            performs_max=self._outbox.performs_room,
        )
        for outcome in outcomes:
            self._outbox.accept(outcome.claimed)
            if outcome.unclaimed:
                self._outbox.room.set()
            if outcome.next_timer is not None:
                self._timer_wake.set()
        return outcomes

    def _note(self, item: Input, outcome: Outcome) -> None:
        given: Given = item.payload
        what = {"id": item.event_id, "type": given.event.type, "cause": given.event.cause, "aggregate": item.aggregate}
        if outcome.status == "refused":
            self._log.warning("refused", code=outcome.code, reason=outcome.reason, source=given.event.source, **what)
        else:
            self._log.debug(outcome.status, **what)

    def _internal(self, event_id: str, event_type: str, data: Struct, aggregate: str, cause: str) -> Given:
        now = self._clock()
        event = Event(
            id=event_id,
            type=event_type,
            source=self._me,
            to=self._me,
            time=now,
            subject=aggregate,
            data=data,
            cause=cause,
        )
        return Given(event, now, self._fresh())

    def _fresh(self) -> bytes:
        """32 fresh random bytes, each given out once. Drawn in bulk: a system call per event is dear."""
        if not self._pool:
            drawn = self._entropy(_ENTROPY_BYTES * ENTROPY_DRAWS)
            self._pool = [drawn[n : n + _ENTROPY_BYTES] for n in range(0, len(drawn), _ENTROPY_BYTES)]
        return self._pool.pop()

    async def _conclude(self, row: OutboxRow, events: Sequence[tuple[str, Struct]]) -> None:
        """Apply an effect's outcome; the row is done with the last of its events."""
        if not events:
            await self._store.done([row.seq])
            return
        inputs = []
        for index, (event_type, data) in enumerate(events):
            name = derive_id("outcome", row.event_id, row.index, index)
            given = self._internal(name, event_type, data, row.aggregate, row.event_id)
            completes = row.seq if index == len(events) - 1 else None
            inputs.append(Input(name, row.aggregate, given, completes=completes))
        await self._apply(inputs)

    # ---------------------------------------------------------------- timers, and what others left

    async def _fire_timers(self) -> None:
        while True:
            with self._quiet.busy():
                self._timer_wake.served()
                try:
                    wait = await self._fire_due()
                except StoreFailed as error:
                    self._log.error("the store failed, timers wait", error=str(error))
                    wait = STORE_RETRY_SECONDS
            await self._timer_wake.wait(wait)

    async def _fire_due(self) -> float:
        """Fire every timer that is due; seconds until the next look."""
        while due := await self._store.due_timers(self._clock(), limits.EVENTS_PER_COMMIT_MAX):
            await self._apply([self._fired(timer) for timer in due])
        following = await self._store.next_timer()
        return POLL_SECONDS if following is None else min(max(following - self._clock(), 0.0), POLL_SECONDS)

    def _fired(self, timer: Timer) -> Input:
        name = derive_id("timer", timer.aggregate, timer.name, timer.serial)
        data = TimerFired(name=timer.name, at=timer.due_at)
        return Input(name, timer.aggregate, self._internal(name, TIMER_FIRED, data, timer.aggregate, ""), timer=timer)

    async def _claim(self) -> None:
        """Take rows that belong to nobody, as far as there is room."""
        while True:
            with self._quiet.busy():
                self._outbox.room.served()
                try:
                    self._outbox.accept(await self._claimable())
                except StoreFailed as error:
                    self._log.error("the store failed, the outbox waits", error=str(error))
            await self._outbox.room.wait(POLL_SECONDS)

    async def _claimable(self) -> list[OutboxRow]:
        now = self._clock()
        return await self._store.claim(
            self._owner,
            now=now,
            lease_until=now + OUTBOX_LEASE_SECONDS,
            publishes_max=self._outbox.publishes_room,
            performs_max=self._outbox.performs_room,
        )

    async def _keep(self) -> None:
        """Show that this process lives, and forget what is old enough to be refused by its date."""
        forget_at = self._clock()
        while True:
            await asyncio.sleep(OUTBOX_LEASE_SECONDS / 3)
            now = self._clock()
            try:
                if held := self._outbox.held:
                    await self._store.extend(self._owner, held, now + OUTBOX_LEASE_SECONDS)
                if now >= forget_at:
                    await self._store.forget(now - EVENT_AGE_SECONDS_MAX)
                    forget_at = now + FORGET_SECONDS
            except StoreFailed as error:
                self._log.error("the store failed, leases were not extended", error=str(error))
