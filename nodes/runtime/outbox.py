"""Carries out what machines asked for: publishes events with confirms, runs activities, reports what cannot be done.

Rows reach it already claimed. It holds them until they are done in the store; a row of a killed process is claimed by
another when its lease ends, so everything here happens at least once. A broker that cannot be reached is waited for;
what can never work (nobody at the address, an event over its limit, an activity that fails again and again, a row that
cannot be read) is told to the machine as `publish.failed` or `activity.failed`, if it lists them, and otherwise only
logged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog
from msgspec import Struct

from broker.errors import AccessRefused, MessageTooLarge, PublishUnknown, QueueFull, Unroutable
from nodes.machine import ActivityFailed, Machine, Perform, Publish, PublishFailed
from nodes.operations.telemetry import Telemetry
from nodes.operations.tracing import current
from nodes.runtime.post import Post, Undeliverable
from nodes.runtime.quiet import Quiet, Wake
from nodes.runtime.storage import Storage
from nodes.store.blobs import BlobStore
from nodes.store.errors import BlobDamaged, BlobMissing, StoreClosed, StoreFailed
from nodes.store.port import OutboxRow, Store, Unreadable
from schemas import codec
from schemas.errors import BrokerUnreachable
from schemas.events import CATALOGUE
from schemas.ids import derive_id

Activity = Callable[[dict[str, Any], str], Awaitable[Sequence[tuple[str, Struct]]]]
"""(params, aggregate) -> the internal events (type, data) that are its outcome. May run more than once per Perform."""
Conclude = Callable[[OutboxRow, Sequence[tuple[str, Struct]]], Awaitable[None]]

PUBLISH_WINDOW: Final = 64
"""Publishes under way at a time."""
RESTING_MAX: Final = 256
"""Of each, that wait beside these for a full queue to have room."""
ACTIVITIES_MAX: Final = 8
"""Activities under way at a time, per process."""
ACTIVITY_ATTEMPTS_MAX: Final = 5
"""Times that an activity may fail. That its process was killed is no failure of it."""
PROCESSES_LOST_MAX: Final = 50
"""As many processes may be killed while they carry out one activity; more, and it is what kills them."""
LATER_RELEASE_CLAIMS_MAX: Final = 20
"""Of an effect that this release does not know, a lease each: minutes, in which a later one may take it."""
RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0
_ERROR_CHARS_MAX: Final = 500


class _Places:
    """So many may be under way. Who waits for one receiver alone lets others have its place meanwhile."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        """Claimed, and not done with."""
        self._resting = 0
        self._free = asyncio.Semaphore(most)

    @property
    def room(self) -> int:
        """How many more may be claimed."""
        return max(0, self.most + self._resting - self.taken)

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """While it lasts the caller is under way."""
        await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    async def rest(self, seconds: float, tell: Callable[[], None]) -> None:
        """Wait, inside `place`, without holding it, and `tell` that. Who is cancelled here ends with all others."""
        if self._resting >= RESTING_MAX:
            await asyncio.sleep(seconds)
            return
        self._resting += 1
        self._free.release()
        tell()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._resting -= 1
        await self._free.acquire()


@dataclass(frozen=True, slots=True)
class Means:
    """What carrying out effects needs."""

    machine: Machine
    post: Post
    store: Store
    blobs: BlobStore
    activities: Mapping[str, Activity]
    conclude: Conclude
    """Applies an activity's outcome and completes its row, in one transaction."""
    storage: Storage
    activities_max: int = ACTIVITIES_MAX
    telemetry: Telemetry = field(default_factory=Telemetry)


class Outbox:
    """The rows that this process holds. `start` before anything is carried out; `stop` leaves the rest claimed."""

    def __init__(self, means: Means, quiet: Quiet) -> None:
        self._means = means
        self._quiet = quiet
        self._publishing = _Places(PUBLISH_WINDOW)
        self._performing = _Places(means.activities_max)
        self._done: list[int] = []
        self._finishing = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._waiting: list[OutboxRow] | None = []
        self._made_at: dict[int, float] = {}
        self.room = Wake(quiet)
        """Set when an activity ended: there may be room for another."""
        self._log = structlog.get_logger(__name__).bind(node=means.post.me)

    @property
    def held(self) -> list[int]:
        """Numbers of the rows under way."""
        return [*self._tasks, *(row.seq for row in self._waiting or ())]

    def standing(self, now: float) -> tuple[int, float]:
        """How many rows are under way, and the age of the oldest in seconds."""
        return len(self._made_at), max(0.0, now - min(self._made_at.values(), default=now))

    @property
    def publishes_room(self) -> int:
        """How many more publishes may be claimed."""
        return self._publishing.room

    @property
    def performs_room(self) -> int:
        """How many more activities may be claimed."""
        return self._performing.room

    def start(self) -> None:
        """Carry out rows from now on, those first that came before."""
        waiting, self._waiting = self._waiting or [], None
        self.accept(waiting)

    def accept(self, rows: Iterable[OutboxRow]) -> None:
        """Carry out claimed rows, each in a task of its own. Rows held already (a lease ended unnoticed) are left.

        They belong to the caller's trace (`nodes.operations.tracing.carrying`).
        """
        for row in rows:
            if self._waiting is not None:
                self._waiting.append(row)
            elif row.seq in self._tasks or self._is_of_later_release(row):
                continue
            elif isinstance(row.effect, Publish):
                self._publishing.taken += 1
                self._spawn(row, partial(self._publish, row, row.effect))
            elif isinstance(row.effect, Unreadable):
                self._spawn(row, partial(self._give_up, row, row.effect))
            else:
                self._performing.taken += 1
                self._spawn(row, partial(self._perform, row, row.effect))

    def _is_of_later_release(self, row: OutboxRow) -> bool:
        """Whether to leave it until its lease ends: a worker of a later release decided it, and may have gone before it
        was done. It is not waited for without end."""
        effect, means = row.effect, self._means
        known = effect.type in CATALOGUE if isinstance(effect, Publish) else True
        known = effect.activity in means.activities if isinstance(effect, Perform) else known
        if known or row.attempts > LATER_RELEASE_CLAIMS_MAX:
            return False
        self._log.warning("left to a later release", aggregate=row.aggregate, cause=row.event_id, seq=row.seq)
        return True

    async def stop(self) -> None:
        """Cancel what is under way. Its rows stay in the store, those carried out already do not."""
        self._waiting = []
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(StoreFailed, StoreClosed):
            await self._means.store.done(self._done)

    def _spawn(self, row: OutboxRow, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks[row.seq], self._made_at[row.seq] = task, row.created_at
        task.add_done_callback(lambda _: self._ended(row.seq))

    def _ended(self, seq: int) -> None:
        del self._tasks[seq], self._made_at[seq]

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """Nothing that one row does may stop the others. A row left here is claimed again when its lease ends."""
        with self._quiet.busy():
            try:
                await work()
            except StoreClosed:
                self._log.info("outbox left to the next process: the store is closed")
            except Exception:
                self._log.exception("an outbox row was left until its lease ends")

    async def _give_up(self, row: OutboxRow, effect: Unreadable) -> None:
        error = f"it cannot be read ({effect.why}): restore the store from a backup, or run the release that wrote it"
        self._log.error("an effect is lost", aggregate=row.aggregate, cause=row.event_id, reason=error)
        await self._report(
            row,
            "activity.failed",
            ActivityFailed(activity=f"effect {row.index} of {row.event_id}", params={}, error=error),
        )

    # ---------------------------------------------------------------- Publish

    async def _publish(self, row: OutboxRow, effect: Publish) -> None:
        try:
            async with self._publishing.place():
                failure = await self._send(row, effect)
        finally:
            self._publishing.taken -= 1
        if failure is None:
            await self._finish(row.seq)
            return
        self._log.warning("not delivered", type=effect.type, to=effect.to, reason=failure, cause=row.event_id)
        await self._report(row, "publish.failed", PublishFailed(type=effect.type, to=effect.to, reason=failure))

    async def _send(self, row: OutboxRow, effect: Publish) -> str | None:
        """Publish until the broker confirms; the reason when it never will."""
        delay = RETRY_SECONDS_MIN
        while True:
            try:
                await self._deliver(row, effect)
            except (Undeliverable, Unroutable, AccessRefused, MessageTooLarge, BlobMissing, BlobDamaged) as error:
                return str(error)
            except (PublishUnknown, BrokerUnreachable) as error:
                self._log.info("publishing again", cause=row.event_id, type=effect.type, reason=str(error))
                await self._later(delay, error, self._publishing)
                delay = min(delay * 2, RETRY_SECONDS_MAX)
            else:
                self._log.debug("published", type=effect.type, to=effect.to, cause=row.event_id)
                return None

    async def _deliver(self, row: OutboxRow, effect: Publish) -> None:
        """The same id, attributes and body however often it is sent."""
        body = await asyncio.to_thread(self._means.blobs.get, effect.blob) if effect.blob else b""
        event_id = derive_id("event", self._means.post.me, row.event_id, row.index)
        await self._means.post.deliver(effect, event_id=event_id, cause=row.event_id, body=body, at=row.created_at)

    async def _finish(self, seq: int) -> None:
        """Forget a row. One commit at a time does that: what ends meanwhile shares the next."""
        self._done.append(seq)
        if self._finishing:
            return
        self._finishing = True
        try:
            while self._done:
                seqs = list(self._done)
                await self._means.storage.persist(partial(self._forget, seqs))
                del self._done[: len(seqs)]
        finally:
            self._finishing = False

    async def _forget(self, seqs: Sequence[int]) -> None:
        with self._means.telemetry.metrics.storing("done"):
            await self._means.store.done(seqs)

    # ---------------------------------------------------------------- Perform

    async def _perform(self, row: OutboxRow, effect: Perform) -> None:
        try:
            async with self._performing.place():
                tracing = self._means.telemetry.tracing
                with tracing.work(effect.activity, row.aggregate, current()):
                    events = await self._attempts(row, effect)
                    await self._means.storage.persist(lambda: self._means.conclude(row, events))
        except _ActivityFailed as error:
            failed = ActivityFailed(activity=effect.activity, params=effect.params, error=str(error))
            await self._report(row, "activity.failed", failed)
        finally:
            self._performing.taken -= 1
            self.room.set()

    async def _attempts(self, row: OutboxRow, effect: Perform) -> Sequence[tuple[str, Struct]]:
        """The activity's outcome; raises _ActivityFailed when it has had its attempts."""
        attempt, delay = row.failures + 1, RETRY_SECONDS_MIN
        activity, persist = self._means.activities.get(effect.activity), self._means.storage.persist
        if activity is None:
            raise _ActivityFailed(f"no activity {effect.activity!r} here")
        if row.attempts > PROCESSES_LOST_MAX:
            raise _ActivityFailed(f"each of the {PROCESSES_LOST_MAX} processes that tried it was killed over it")
        while True:
            waits_for: Exception | None = None
            try:
                events = await persist(partial(activity, effect.params, row.aggregate))
                return [(name, self._checked(name, data)) for name, data in events]
            except (PublishUnknown, BrokerUnreachable) as error:
                self._log.info("activity waits for the broker", activity=effect.activity, reason=str(error))
                waits_for = error
            except Exception as error:
                self._log.exception("activity failed", activity=effect.activity, attempt=attempt, cause=row.event_id)
                if attempt >= ACTIVITY_ATTEMPTS_MAX:
                    raise _ActivityFailed(f"{type(error).__name__}: {error}"[:_ERROR_CHARS_MAX]) from error
                attempt += 1
                await persist(partial(self._means.store.failed, row.seq))
            await self._later(delay, waits_for, self._performing)
            delay = min(delay * 2, RETRY_SECONDS_MAX)

    async def _later(self, seconds: float, why: Exception | None, places: _Places) -> None:
        """Wait before trying again. A full queue is its receiver's matter: others go on meanwhile."""
        if not isinstance(why, QueueFull):
            await asyncio.sleep(seconds)
            return
        await places.rest(seconds, self.room.set)

    def _checked(self, event_type: str, data: Struct) -> Struct:
        """The data as it will be read from the journal."""
        return codec.decode_data(self._means.machine.internal_types[event_type], codec.encode_data(data))

    async def _report(self, row: OutboxRow, event_type: str, failure: Struct) -> None:
        events = [(event_type, failure)] if event_type in self._means.machine.internal_types else []
        await self._means.storage.persist(lambda: self._means.conclude(row, events))


class _ActivityFailed(Exception):  # noqa: N818
    """An activity had all its attempts."""
