"""A lessor's worker: the shell around its protocol. No store: any worker can take any message.

    control, batch and lane queues ──► door ──► machine ──► effects, in order ──► acknowledged
                                        ▲                      │
                                     timers          publish · build, offer, accept, compute, close · resolve
                                                               └── outcomes, as internal events ──► machine

A delivery is acknowledged when everything that its event asked for is done: a batch, when the broker has confirmed its
result. A worker killed before that leaves it to another. What only one worker can use (a sealed key, the program it
asked for) comes on its lane, of which it is the only consumer; the lane of a dead worker is free again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import structlog
from msgspec import Struct

from broker.errors import Unroutable
from broker.names import queue_name
from broker.port import Broker, Delivery
from nodes.identity import Identity, verify
from nodes.lessor.compute.port import BatchRefused, Computed
from nodes.lessor.compute.workshop import Workshop
from nodes.lessor.lane import Lane, take_lane
from nodes.lessor.parking import Parking
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Worker
from nodes.lessor.protocol.machine import LessorMachine
from nodes.lessor.protocol.records import BatchReturned, BatchUnfit, Session, SessionWanted, WorkerEnding, WorkerStarted
from nodes.lessor.receipts import Receipts
from nodes.lessor.refusals import Refusals
from nodes.machine import (
    TIMER_FIRED,
    CancelTimer,
    Context,
    Effect,
    Note,
    Perform,
    Publish,
    Refused,
    SetTimer,
    TimerFired,
    own_event,
)
from nodes.operations.telemetry import Telemetry
from nodes.operations.tracing import current
from nodes.records import RecordSet
from nodes.runtime.complaints import Complaints
from nodes.runtime.consuming import consume, consume_for_ever, handle_all
from nodes.runtime.door import Door, Later, Unawaited
from nodes.runtime.outcomes import Teller
from nodes.runtime.post import Post
from nodes.runtime.telling import tell
from schemas import codec, limits
from schemas.events import (
    CATALOGUE,
    BatchFailed,
    BatchForwarded,
    Event,
    EventRefused,
    SubtaskAnnounced,
    SubtaskCompleted,
    batch_attributes,
)
from schemas.ids import Address, derive_id
from schemas.jobs import Batch

log = structlog.get_logger(__name__)

DRAIN_SECONDS_MAX: Final = 12.0
"""A worker that ends finishes what it computes for so long: the two batches that it may have take about that."""
WITHDRAW_SECONDS_MAX: Final = 5.0
"""A worker that ends does not wait longer for a broker to take its word."""


@dataclass(slots=True)
class LessorWorker:
    """One worker process of a lessor."""

    config: LessorConfig
    identity: Identity
    broker: Broker
    clock: Callable[[], float]
    """Seconds since 1970 (UTC)."""
    name: str
    workshop: Workshop
    receipts: Receipts
    """Of all workers of its lessor."""
    refusals: Refusals
    enclaves: str
    """What its enclaves are, for the log: a software enclave is never called confidential."""
    telemetry: Telemetry = field(default_factory=Telemetry)
    drain_seconds_max: float = DRAIN_SECONDS_MAX
    lane: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the sell order is placed and all queues are consumed."""

    configured: Callable[[], None] = lambda: None
    """Called when `config` has changed."""

    def configure(self, config: LessorConfig) -> None:
        """Decide by these settings from now on, its keys and its hubs' among them; its lane stays."""
        self.config = config
        self.configured()

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Work until `stop` is set, and take the order back then; or until cancelled, as if the machine had stopped.

        Raises:
            BadConfig: every lane is taken: the network description allows no more workers.
        """
        self.telemetry.health.consuming = lambda: "" if self.ready.is_set() else "its sell order is not placed"
        async with take_lane(self.broker, self.config.me, self.config.lanes) as lane:
            self.lane = lane.name
            today = datetime.fromtimestamp(self.clock(), UTC).date()
            await asyncio.to_thread(self.receipts.forget, today)
            log.info("worker ready", node=self.config.me, lane=lane.name, worker=self.name, enclaves=self.enclaves)
            try:
                await _Shift(self, lane).run(stop or asyncio.Event())
            finally:
                await self.workshop.close_all()


class _Shift:
    """A worker while it has its lane: the machine's records, its timers, and those who wait for a session."""

    def __init__(self, of: LessorWorker, lane: Lane) -> None:
        self._of = of
        self._lane = lane
        self._group = asyncio.TaskGroup()
        self._me: Address = of.config.me
        self._machine = LessorMachine(Worker(of.config, of.name, lane.name))
        of.configured = self._configured
        self._records = RecordSet()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._teller = Teller("lessor")
        self._log = log.bind(node=self._me, worker=of.name)
        self._parking = Parking(of.clock)
        self._post = Post(of.identity, of.broker, of.clock, of.telemetry)
        complaints = Complaints(self._post, of.clock)
        self._door = Door(
            self._me, "lessor", of.clock, complaints=complaints, telemetry=of.telemetry, noted=of.refusals.note
        )

    def _configured(self) -> None:
        self._machine.worker = replace(self._machine.worker, config=self._of.config)

    async def run(self, stop: asyncio.Event) -> None:
        """Consume all queues, and offer compute, until told to stop or the lane is lost: another worker may have it."""
        control, batch = (queue_name(self._me, kind) for kind in ("control", "batch"))
        of, never = self._of, asyncio.Event()
        try:
            async with self._group as group:
                serving = [
                    group.create_task(handle_all(self._lane.deliveries, self._serve, never)),
                    group.create_task(consume_for_ever(of.broker, control, limits.CONTROL_PREFETCH, self._serve)),
                ]
                computing = group.create_task(consume(of.broker, batch, limits.BATCH_PREFETCH, self._serve, stop))
                await self._by_itself(self._internal("worker.started", WorkerStarted()))
                await stop.wait()
                await self._end(computing)
                for task in (*serving, computing):
                    task.cancel()
        finally:
            for name in list(self._timers):
                self._cancel(name)

    async def _end(self, computing: asyncio.Task[None]) -> None:
        """Take the order back, and finish the batches that were begun: what takes longer is handed back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS_MAX):
                await self._by_itself(self._internal("worker.ending", WorkerEnding()))
        _, late = await asyncio.wait([computing], timeout=self._of.drain_seconds_max)
        if late:
            self._log.info("batches that take long are handed back")

    # ---------------------------------------------------------------- deliveries

    async def _serve(self, delivery: Delivery) -> None:
        await self._door.serve(delivery, self._sender, self._handle)

    async def _sender(self, event: Event) -> tuple[bytes | None, None]:
        """The sender's key. A batch waits until its session is open: the contract that names the key comes with it.

        Once that contract is here, it waits in its slot for programs and keys; before that, at the broker.
        """
        if event.type == "batch.dispatched" and self._machine.closed(self._records, event) is None:
            await self._open_for(event)
        if self._machine.is_unawaited(self._records, event):
            raise Unawaited(f"{event.type} of {event.source} answers what this worker did not ask")
        key = self._machine.key_of(self._records, event)
        if key is None and self._machine.awaits_terms(self._records, event):
            raise Later(f"{event.type} of {event.source} came before its terms")
        return key, None

    async def _open_for(self, event: Event) -> None:
        """Open the session of a batch. Raises Refused or Later; not where it came out that the contract has ended."""
        batch = codec.batch_of(event)
        wanted = SessionWanted(subtask=batch.subtask, job=batch.job, renter=event.source)
        session = self._records.get(f"session/{batch.subtask}")
        if isinstance(session, Session) and session.renter != event.source:
            raise Refused("not-asked-for", f"{event.source} was not asked for {batch.subtask}")
        if not isinstance(session, Session) or session.terms is None:
            pause = self._parking.pause_seconds(event.id, event.source)
            if session is None:  # not awaited: whoever is asked may be slow to take the question
                self._meanwhile(self._internal("session.wanted", wanted))
            raise Later(f"{event.source} has not shown its contract for {batch.subtask} yet", pause)
        self._parking.leave(event.id)
        try:
            await self._opened(wanted)
        except Refused:
            if self._machine.closed(self._records, event) is None:
                raise

    async def _handle(self, event: Event, _: None) -> None:
        if isinstance(event.data, SubtaskCompleted):  # whichever worker countersigned one, and however long ago
            await asyncio.to_thread(self._of.receipts.require_only, event.data.contract, event.data.receipt)
        await self._give(event)
        if isinstance(event.data, EventRefused) and event.data.type == "order.sell.placed":
            self._of.ready.clear()
        if isinstance(event.data, SubtaskAnnounced):  # whoever takes it over, when this worker dies, asks as well
            terms = event.data.terms
            await self._opened(SessionWanted(subtask=terms.subtask, job=terms.job, renter=event.source))

    async def _opened(self, wanted: SessionWanted) -> None:
        """Return when the session is open; asks for it if nobody did. Raises Refused or Later."""
        session = self._records.get(f"session/{wanted.subtask}")
        if isinstance(session, Session) and session.phase == "open":
            return
        waiting = self._waiting.get(wanted.subtask)
        if waiting is None:
            waiting = self._waiting[wanted.subtask] = asyncio.get_running_loop().create_future()
            await self._give(self._internal("session.wanted", wanted))
        await asyncio.shield(waiting)

    def _resolve(self, subtask: str, code: str, reason: str) -> None:
        """Activity `resolve`: whoever waits for a session goes on, tries again, or is refused."""
        waiting = self._waiting.pop(subtask, None)
        if waiting is None or waiting.done():
            return
        if f"session/{subtask}" in self._records:
            waiting.set_result(None)
            return
        waiting.set_exception(Refused(code, reason) if code else Later(reason))
        waiting.exception()  # nobody may be waiting any more

    # ---------------------------------------------------------------- the machine

    async def _give(self, event: Event) -> None:
        """Let the machine handle an event, then do what follows from it, in order."""
        context = Context(
            me=self._me,
            now=self._of.clock(),
            entropy=os.urandom(32),
            event_id=event.id,
            sign=self._of.identity.sign,
            verify=verify,
        )
        step = self._machine.handle(self._records, event, context)
        for key in step.delete:
            self._records.drop(key)
        for key, record in step.put.items():
            self._records.put(key, record)
        lines = list(self._teller.lines(event, step.effects, event.subject))
        for line in lines:
            tell(self._log, self._of.telemetry.metrics, line, current())
        for index, effect in enumerate(step.effects):
            await self._carry_out(effect, event, index)
        for line in lines:
            if line.warns:
                source, code, reason = (str(line.details.get(name, "")) for name in ("source", "code", "reason"))
                await self._of.refusals.note(source, code or line.text, reason)

    async def _carry_out(self, effect: Effect, event: Event, index: int) -> None:
        match effect:
            case Publish():
                await self._publish(effect, event, index)
            case Perform():
                await self._perform(effect.activity, effect.params, event)
            case SetTimer():
                self._cancel(effect.name)
                delay = max(0.0, effect.at - self._of.clock())
                self._timers[effect.name] = asyncio.get_running_loop().call_later(delay, self._fire, effect)
            case CancelTimer():
                self._cancel(effect.name)
            case Note():
                self._log.debug(effect.text, kind=effect.kind, **effect.details)

    async def _publish(self, effect: Publish, event: Event, index: int) -> None:
        event_id = derive_id("event", self._of.name, event.id, index)
        try:
            await self._post.deliver(effect, event_id=event_id, cause=event.id)
        except Unroutable:
            if CATALOGUE[effect.type].sender != ("worker",):  # the network may have fewer lanes than it was told
                raise
        if effect.type == "order.sell.placed":
            self._of.ready.set()

    async def _perform(self, activity: str, params: dict[str, Any], event: Event) -> None:
        workshop = self._of.workshop
        if activity == "resolve":
            self._resolve(**params)
        elif activity == "close":
            await workshop.close(params["subtask"])
        elif activity == "keep-receipt":
            await asyncio.to_thread(self._of.receipts.keep, params["settlement"])
        elif activity == "compute":
            await self._compute(params["batch"], params["partner"], event)
        else:
            await self._give(self._internal(*await workshop.perform(activity, **params)))

    async def _compute(self, batch: Batch, partner: str | None, event: Event) -> None:
        """Activity `compute`: the result goes to the renter, or to its partner; or the reason why there is none."""
        began = monotonic()
        try:
            computed = await self._of.workshop.compute(batch, bytes(event.body))
        except LookupError as error:
            raise Later(f"the session with {batch.subtask} was closed") from error
        except BatchRefused as error:
            reason = str(error)[: limits.REASON_CHARS_MAX]
            failed = BatchFailed(batch=batch, code=error.code, reason=reason, final=error.final)
            await self._give(self._internal("batch.unfit", BatchUnfit(renter=event.source, failed=failed)))
            return
        if partner is None:
            await self._return(batch, event, computed)
        else:
            await self._forward(batch, event, computed, partner)
        done = BatchReturned(batch=batch, seconds=monotonic() - began)
        self._of.telemetry.metrics.computed(done.seconds)
        await self._give(self._internal("batch.returned", done))

    async def _return(self, batch: Batch, event: Event, computed: Computed) -> None:
        await self._post.send(
            "batch.completed",
            event.source,
            batch.job,
            event_id=derive_id("result", batch.job, batch.subtask, batch.batch, batch.attempt, self._of.name),
            body=computed.body,
            attributes=batch_attributes(batch) | {"computeseconds": f"{computed.core_seconds:.6f}"},
        )

    async def _forward(self, batch: Batch, event: Event, computed: Computed, partner: str) -> None:
        """The sealed result goes to the partner (J2), and word of it to the renter."""
        parts = (batch.job, batch.subtask, batch.batch, batch.round, batch.attempt, self._of.name)
        await self._post.send(
            "batch.sealed",
            partner,
            batch.job,
            event_id=derive_id("sealed", *parts),
            body=computed.body,
            attributes=batch_attributes(batch),
        )
        said = BatchForwarded(batch=batch, core_seconds=computed.core_seconds)
        await self._post.send("batch.forwarded", event.source, batch.job, said, event_id=derive_id("event", *parts))

    def _internal(self, event_type: str, data: Struct) -> Event:
        name = derive_id("internal", os.urandom(16).hex())
        return own_event(self._me, event_type, data, id=name, time=self._of.clock(), subject=self._of.name)

    # ---------------------------------------------------------------- timers

    def _fire(self, timer: SetTimer) -> None:
        self._timers.pop(timer.name, None)
        fired = self._internal(TIMER_FIRED, TimerFired(name=timer.name, at=timer.at))
        self._meanwhile(fired)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _meanwhile(self, event: Event) -> None:
        """Give the machine an event while others go on; not where this worker is ending."""
        work = self._by_itself(event)
        try:
            self._group.create_task(work)
        except RuntimeError:  # the group takes no more
            work.close()

    async def _by_itself(self, event: Event) -> None:
        """Give the machine an event that no delivery brought; what fails is logged, and the next timer tries again."""
        try:
            await self._give(event)
        except Exception as error:
            reason = str(error) or type(error).__name__
            self._log.warning("a worker could not do this now", type=event.type, reason=reason)
