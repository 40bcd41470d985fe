"""The one loop of every role that keeps state: receive, verify, decide, commit, acknowledge, carry out.

    control queue ──► door ──► Store.apply ──► ack ──► outbox: publish with confirms, run activities
                       │          ▲    │                               │
                   set aside      │    └ refused: set aside            └ outcomes, as internal events ──► Store.apply
                                timers, submitted internal events

Nothing else of a node consumes its control queue or writes its store's records. A killed process loses nothing: what
was not committed is delivered again, what was committed but not carried out is claimed by the next process, and ids
derived from their cause make repetitions count once: exactly-once effect over at-least-once delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import structlog
from msgspec import Struct

from broker.port import Broker
from nodes.identity import Identity
from nodes.machine import Machine
from nodes.operations.telemetry import Telemetry
from nodes.runtime.checks import EVENT_AGE_SECONDS_MAX
from nodes.runtime.commits import Commits
from nodes.runtime.complaints import Complaints
from nodes.runtime.door import Door
from nodes.runtime.outbox import ACTIVITIES_MAX, Activity, Means, Outbox
from nodes.runtime.post import Post
from nodes.runtime.quiet import Quiet, Wake
from nodes.runtime.quota import Quota
from nodes.runtime.reception import Reception
from nodes.runtime.storage import Storage
from nodes.store.blobs import BlobStore
from nodes.store.errors import StoreClosed, StoreFailed
from nodes.store.port import BEAT_SECONDS, OUTBOX_LEASE_SECONDS, OutboxRow, Store
from schemas import limits

T = TypeVar("T")

FORGET_SECONDS: Final = 60.0
"""How often to forget what is old, and to tell of floods."""
JOURNAL_SECONDS: Final = 7 * 24 * 3600.0
"""What a journal without end tells goes back so far: those of jobs go with their jobs."""
JOURNAL_ENTRIES_MAX: Final = 200_000
"""Of a journal without end."""
TURN_RETRY_SECONDS: Final = 1.0
STOP_SECONDS_MAX: Final = 10.0
"""For settling what was taken in; it comes again if the broker cannot be told in time."""

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
        storage: Storage | None = None,
        hearing_since: Callable[[], float] = lambda: 0.0,
        endless: Sequence[str] = (),
        journal_seconds: float = JOURNAL_SECONDS,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Wire a process.

        Args:
            machine: the role's protocol logic; its name is the role.
            broker: connected with this node's account.
            store: opened with `machine.record_types`.
            identity: this node's address and key.
            clock: seconds since 1970 (UTC).
            activities: by the name that `Perform` gives; see `nodes.runtime.outbox.Activity`.
            blobs: raw bodies of events, by digest.
            entropy: so many fresh random bytes.
            activities_max: activities under way at a time.
            storage: the disk on which the store is.
            hearing_since: since when this process hears answers without a gap, seconds since 1970 (`Hearing.since`).
            endless: aggregates that no end of a job removes.
            journal_seconds: how far back their journals go.
            telemetry: what this process tells its operators; by default it is told to nobody.
        """
        telemetry = self._telemetry = telemetry or Telemetry()
        self._endless = endless
        self._journal_seconds = journal_seconds
        self._store = store
        self._storage = storage or Storage()
        self._clock = clock
        self._owner = entropy(16).hex()
        self._quiet = Quiet()
        self._commits = Commits(
            machine,
            store,
            identity,
            clock=clock,
            entropy=entropy,
            owner=self._owner,
            quiet=self._quiet,
            hearing_since=hearing_since,
            telemetry=telemetry,
        )
        post = Post(identity, broker, clock, telemetry)
        means = Means(machine, post, store, blobs, activities, self._conclude, self._storage, activities_max, telemetry)
        self._outbox = self._commits.outbox = Outbox(means, self._quiet)
        self._timer_wake, self._next_timer = Wake(self._quiet), math.inf
        self._commits.timer_set = self._timer_set
        complaints = Complaints(post, clock)
        door = Door(
            identity.address, machine.name, clock, storage=self._storage, complaints=complaints, telemetry=telemetry
        )
        self._reception = Reception(
            me=identity.address,
            machine=machine,
            broker=broker,
            door=door,
            commits=self._commits,
            quiet=self._quiet,
            storage=self._storage,
            quota=Quota(identity.address, clock),
            metrics=telemetry.metrics,
        )
        health = telemetry.health
        health.store = lambda: self._storage.trouble
        health.consuming = lambda: self._reception.trouble
        health.outbox = lambda: self._outbox.standing(clock())
        self._log = structlog.get_logger(__name__).bind(node=identity.address, role=machine.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish what is being committed and give back what is not carried out.

        Raises:
            ExceptionGroup: of what ended the loop: a store that was closed under it, or a queue that is not there.
        """
        self._store.listen(self._outbox.room.set)
        self._outbox.start()
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(loop) for loop in (self._fire_timers(), self._claim(), self._keep())]
                consuming = group.create_task(self._reception.run(stop))
                await stop.wait()
                await asyncio.wait([consuming], timeout=STOP_SECONDS_MAX)
                for loop in (consuming, *loops):
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
        await self._commits.apply([self._commits.submitted(event_type, data, aggregate, event_id, cause)])

    @property
    def ready(self) -> bool:
        """Whether this process can work: not while its disk is full or fails."""
        return self._storage.ready

    def wake(self) -> None:
        """Look at the timers now: the clock was moved."""
        self._timer_wake.set()

    async def idle(self) -> None:
        """Return when this process has nothing under way: no delivery, commit, publish or activity."""
        await self._quiet.wait()

    async def _conclude(self, row: OutboxRow, events: Sequence[tuple[str, Struct]]) -> None:
        """Apply an effect's outcome and complete its row."""
        if events:
            await self._commits.apply(self._commits.outcomes(row, events))
        else:
            await self._store.done([row.seq])

    # ---------------------------------------------------------------- timers, and what others left

    async def _fire_timers(self) -> None:
        while True:
            with self._quiet.busy():
                self._timer_wake.served()
                wait = await self._or_later(self._fire_due, TURN_RETRY_SECONDS)
            await self._timer_wake.wait(wait)

    def _timer_set(self, due_at: float) -> None:
        """The loop that waits for another wakes for an earlier one only: a look costs as much as an event."""
        if due_at < self._next_timer:
            self._timer_wake.set()

    async def _fire_due(self) -> float:
        """Fire every timer that is due; seconds until the next look."""
        self._next_timer = math.inf
        while due := await self._store.due_timers(self._clock(), limits.EVENTS_PER_COMMIT_MAX):
            await self._commits.apply([self._commits.fired(timer) for timer in due])
        following = await self._store.next_timer()
        self._next_timer = math.inf if following is None else following
        return min(max(self._next_timer - self._clock(), 0.0), self._store.look_seconds)

    async def _claim(self) -> None:
        """Take rows that belong to nobody, as far as there is room."""
        while True:
            with self._quiet.busy():
                self._outbox.room.served()
                self._outbox.accept(await self._or_later(self._claimable, []))
            await self._outbox.room.wait(self._store.look_seconds)

    async def _claimable(self) -> list[OutboxRow]:
        now = self._clock()
        with self._telemetry.metrics.storing("claim"):
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
            await self._or_later(self._beat, None)
            await asyncio.sleep(BEAT_SECONDS)
            forget_at = await self._or_later(partial(self._extend_and_forget, forget_at), forget_at)

    async def _beat(self) -> None:
        await self._store.beat(self._owner, self._clock())

    async def _extend_and_forget(self, forget_at: float) -> float:
        now = self._clock()
        if held := self._outbox.held:
            await self._store.extend(self._owner, held, now + OUTBOX_LEASE_SECONDS)
        if now < forget_at:
            return forget_at
        await self.forget()
        self._reception.tell_of_floods()
        return now + FORGET_SECONDS

    async def forget(self, now: float | None = None) -> None:
        """Forget ids of events that would be refused by their date, and what endless journals told long ago.

        `now` is seconds since 1970; the clock's by default.
        """
        now = self._clock() if now is None else now
        await self._store.forget(now - EVENT_AGE_SECONDS_MAX)
        for aggregate in self._endless:
            await self._store.shorten(aggregate, before=now - self._journal_seconds, entries_max=JOURNAL_ENTRIES_MAX)

    async def _or_later(self, work: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """What `work` gives; `otherwise` when it fails: it is tried again in the next turn. A closed store ends all."""
        try:
            return await self._storage.persist(work)
        except StoreClosed:
            raise
        except Exception:
            self._log.exception("a turn of the loop failed, trying again")
        return otherwise
