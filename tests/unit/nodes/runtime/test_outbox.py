"""How a node carries out what was committed: publishes, activities, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from msgspec import Struct

from broker.errors import PublishUnknown, QueueFull
from broker.names import queue_name
from broker.port import Broker, Consumer, Message
from nodes.machine import Publish
from nodes.runtime.outbox import ACTIVITIES_MAX, ACTIVITY_ATTEMPTS_MAX, PROCESSES_LOST_MAX
from nodes.store.port import OutboxRow, Store
from schemas.errors import BrokerUnreachable
from tests.support.toy_machine import WorkDone
from tests.support.world import ME, NOW, PEER, STRANGER, World, empty, message, reasons, tally, told, until


class _Flaky:
    """A connection whose publishes fail at first; `calls` are the ids it was given."""

    connected = True

    def __init__(self, inner: Broker, *failures: Exception) -> None:
        self._inner = inner
        self._failures = list(failures)
        self.calls: list[str] = []

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        self.calls.append(message.id)
        if self._failures:
            raise self._failures.pop(0)
        await self._inner.publish(message, timeout_seconds=timeout_seconds)

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> Consumer:
        return self._inner.consume(queue, prefetch=prefetch, exclusive=exclusive)

    async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Collection[str] = ()) -> None:
        await self._inner.lead(hub, via, near=near, not_via=not_via)

    async def close(self) -> None:
        await self._inner.close()


async def test_a_publish_without_confirm_is_repeated_with_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.runtime.outbox.RETRY_SECONDS_MIN", 0.0)
    broker = _Flaky(world.server.connect(ME.address), PublishUnknown("no confirm"), BrokerUnreachable("away"))
    running = await world.start(broker=broker)
    await world.tell(message(told(1, "hello")))
    (answer,) = await world.answered(1)
    assert broker.calls == [answer.id] * 3
    await running.runtime.idle()
    assert await running.store.outbox_size() == 0


@pytest.mark.parametrize(("word", "reason"), [("nobody", "nobody receives"), ("invalid", "code")])
async def test_an_event_that_can_never_be_delivered_is_told_to_the_machine(
    world: World, word: str, reason: str
) -> None:
    running = await world.start()
    await world.tell(message(told(1, word)))
    await world.tell(message(told(2, "after")))
    await world.answered(1)
    await running.runtime.idle()
    assert sorted((await tally(running.store)).seen) == ["order.sell.cancelled"] * 2 + ["publish.failed"]
    entries = [json.loads(line)["event"] for line in await running.store.journal("job")]
    (failed,) = [entry for entry in entries if entry["type"] == "publish.failed"]
    assert reason in failed["data"]["reason"]
    assert failed["cause"] == told(1, "").id
    assert await running.store.outbox_size() == 0


async def test_more_answers_than_the_window_all_arrive_with_ids_of_their_own(world: World) -> None:
    running = await world.start()
    await world.tell(message(told(1, "many")))
    assert len({event.id for event in await world.answered(150)}) == 150
    await running.runtime.idle()
    assert await running.store.outbox_size() == 0


async def test_an_activitys_outcome_is_handled_as_an_internal_event(world: World) -> None:
    calls: list[tuple[dict[str, Any], str]] = []

    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        calls.append((params, aggregate))
        return [("work.done", WorkDone(number=1)), ("work.done", WorkDone(number=2))]

    running = await world.start(activities={"work": work})
    await world.tell(message(told(1, "work")), message(told(2, "after")))
    await world.answered(1)
    await running.runtime.idle()
    assert [(params["of"], aggregate) for params, aggregate in calls] == [(told(1, "").id, "job")]
    assert sorted((await tally(running.store)).words) == ["after", "done 1", "done 2", "work"]
    assert await running.store.outbox_size() == 0


async def test_activities_are_bounded_and_all_are_done(world: World) -> None:
    under_way, most = 0, 0
    gate = asyncio.Event()

    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 8:
            gate.set()
        await gate.wait()
        under_way -= 1
        return [("work.done", WorkDone(number=1))]

    running = await world.start(activities={"work": work})
    await world.tell(*(message(told(n, "work")) for n in range(30)), message(told(30, "after")))
    await world.answered(1)
    await running.runtime.idle()
    assert most == 8
    assert sorted((await tally(running.store)).words) == ["after", *["done 1"] * 30, *["work"] * 30]


async def test_an_activity_that_fails_is_tried_again_and_then_reported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.runtime.outbox.RETRY_SECONDS_MIN", 0.0)
    attempts = 0

    async def broken(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        nonlocal attempts
        attempts += 1
        if attempts == 2:
            raise BrokerUnreachable("does not count as its failure")
        raise ValueError("always")

    monkeypatch.setattr("nodes.runtime.outbox.LATER_RELEASE_CLAIMS_MAX", 0)
    running = await world.start(activities={"broken": broken})
    await world.tell(message(told(1, "broken")), message(told(2, "after")), message(told(3, "work")))
    await world.answered(1)
    await running.runtime.idle()
    assert attempts == ACTIVITY_ATTEMPTS_MAX + 1
    entries = [json.loads(line)["event"] for line in await running.store.journal("job")]
    failed = {entry["data"]["activity"]: entry["data"] for entry in entries if entry["type"] == "activity.failed"}
    assert failed["broken"]["error"] == "ValueError: always"
    assert failed["broken"]["params"]["of"] == told(1, "").id
    assert failed["work"]["error"] == "no activity 'work' here"
    assert await running.store.outbox_size() == 0


async def test_what_a_worker_of_a_later_release_left_waits_for_another(world: World) -> None:
    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        return [("work.done", WorkDone(number=1))]

    former = await world.start()
    await world.tell(message(told(1, "work")), message(told(2, "after")))
    await world.answered(1)
    await former.runtime.idle()
    assert await former.store.outbox_size() == 1
    assert "activity.failed" not in (await tally(former.store)).seen
    later = await world.start(activities={"work": work})
    await former.end()
    await until(lambda: empty(later.store))
    assert sorted((await tally(later.store)).words) == ["after", "done 1", "work"]


async def test_an_activity_cut_short_by_stopping_is_done_by_the_next_process(world: World) -> None:
    begun = asyncio.Event()

    async def endless(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        begun.set()
        await asyncio.Event().wait()
        return []

    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        return [("work.done", WorkDone(number=1))]

    first = await world.start(activities={"work": endless})
    await world.tell(message(told(1, "work")))
    await begun.wait()
    await first.end()
    second = await world.start(activities={"work": work})
    await until(lambda: empty(second.store))
    assert (await tally(second.store)).words == ("work", "done 1")


@pytest.mark.parametrize(
    ("lost", "outcome"), [(PROCESSES_LOST_MAX - 1, "work.done"), (PROCESSES_LOST_MAX, "activity.failed")]
)
async def test_an_activity_whose_processes_are_killed_goes_on_many_times(world: World, lost: int, outcome: str) -> None:
    """As when somebody restarts a node again and again: that is no failure of the activity."""

    async def endless(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        begun.set()
        await asyncio.Event().wait()
        return []

    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        return [("work.done", WorkDone(number=1))]

    begun = asyncio.Event()
    first = await world.start(activities={"work": endless})
    await world.tell(message(told(1, "work")))
    await begun.wait()
    await first.end()
    store, now = await world.store(), world.clock.now
    for number in range(lost):
        assert await store.claim(f"killed-{number}", now=now, lease_until=now - 1, publishes_max=0, performs_max=1)
    second = await world.start(activities={"work": work})
    await until(lambda: empty(second.store))
    assert (await tally(second.store)).seen[-1] == outcome


async def test_activities_that_wait_for_a_full_queue_take_no_place_of_others(world: World) -> None:
    """As when a stranger has filled a lessor's queue: other jobs go on."""
    room = asyncio.Event()

    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        if aggregate == "stuck" and not room.is_set():
            raise QueueFull("the queue is full")
        return [("work.done", WorkDone(number=1))]

    running = await world.start(activities={"work": work})
    stuck = [message(told(number, "work", subject="stuck")) for number in range(4 * ACTIVITIES_MAX)]
    await world.tell(*stuck)
    await world.tell(message(told(100, "work", subject="free")))
    await until(lambda: _worked(running.store, "free", 1))
    assert "done 1" not in (await tally(running.store, "stuck")).words
    room.set()
    await until(lambda: _worked(running.store, "stuck", len(stuck)))


async def _worked(store: Store, aggregate: str, times: int) -> bool:
    return (await tally(store, aggregate)).words.count("done 1") == times


async def test_publishes_that_wait_for_a_full_queue_take_no_place_of_others(world: World) -> None:
    class Full:
        """The peer's queue has no room at first."""

        full = connected = True

        def __init__(self, inner: Broker) -> None:
            self._inner = inner

        async def publish(self, message: Message, *, timeout_seconds: float) -> None:
            if self.full and f"{PEER.address}." in message.key[: len(PEER.address) + 1]:
                raise QueueFull("the queue is full")
            await self._inner.publish(message, timeout_seconds=timeout_seconds)

        def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> Consumer:
            return self._inner.consume(queue, prefetch=prefetch, exclusive=exclusive)

        async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Collection[str] = ()) -> None:
            await self._inner.lead(hub, via, near=near, not_via=not_via)

        async def close(self) -> None:
            await self._inner.close()

    broker = Full(world.server.connect(ME.address))
    stranger = world.server.connect(STRANGER.address)
    async with stranger.consume(queue_name(STRANGER.address, "control"), prefetch=10) as answers:
        await world.start(broker=broker)
        await world.tell(message(told(1, "many")))
        hello = told(2, "hello", subject="free", source=STRANGER)
        await world.tell(message(hello, STRANGER, sender=STRANGER), sender=STRANGER)
        await (await anext(answers)).ack()
        broker.full = False
        assert len(await world.answered(150)) == 150


async def test_attempts_at_an_activity_are_counted_across_processes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.runtime.outbox.RETRY_SECONDS_MIN", 0.0)
    third = asyncio.Event()
    attempts = 0

    async def broken(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            third.set()
            await asyncio.Event().wait()
        raise ValueError("always")

    first = await world.start(activities={"broken": broken})
    await world.tell(message(told(1, "broken")))
    await third.wait()
    await first.end()
    second = await world.start(activities={"broken": broken})
    await until(lambda: empty(second.store))
    assert attempts == ACTIVITY_ATTEMPTS_MAX + 1, "all but the one that stopping cut short"
    assert (await tally(second.store)).seen[-1] == "activity.failed"


async def _two_effects(store: Store) -> bool:
    return await store.outbox_size() == 2


async def test_an_effect_that_cannot_be_read_is_reported_and_the_others_are_carried_out(world: World) -> None:
    first = await world.start(broker=_Flaky(world.server.connect(ME.address), *[PublishUnknown("")] * 1000))
    await world.tell(message(told(1, "hello")), message(told(2, "hello")))
    await until(lambda: _two_effects(first.store))
    await first.end()
    with sqlite3.connect(world.folder / "node.sqlite") as connection:
        lost, index = connection.execute("SELECT event_id, effect_index FROM outbox ORDER BY seq LIMIT 1").fetchone()
        connection.execute("UPDATE outbox SET effect = x'7b' WHERE event_id = ?", (lost,))
    connection.close()
    second = await world.start()
    assert reasons(await world.answered(1)) == ["hello"]
    await until(lambda: empty(second.store))
    entries = [json.loads(line)["event"] for line in await second.store.journal("job")]
    (failed,) = [entry["data"] for entry in entries if entry["type"] == "activity.failed"]
    assert failed["activity"] == f"effect {index} of {lost}"
    assert "cannot be read" in failed["error"]


async def test_an_event_not_yet_published_when_its_process_stops_is_published_by_the_next(world: World) -> None:
    first = await world.start(broker=_Flaky(world.server.connect(ME.address), *[PublishUnknown("")] * 1000))
    await world.tell(message(told(1, "hello")))
    await until(first.store.outbox_size)
    await first.end()
    await world.start()
    assert reasons(await world.answered(1)) == ["hello"]


async def test_a_row_whose_process_stops_before_it_is_begun_leaves_nothing_that_nobody_awaits(world: World) -> None:
    running = await world.start()
    await world.tell(message(told(1, "hello")))
    await world.answered(1)
    await running.runtime.idle()
    outbox = running.runtime._outbox
    row = OutboxRow(
        seq=10**6,
        event_id=told(1, "").id,
        aggregate="job",
        index=0,
        effect=Publish(type="order.sell.cancelled", to=PEER.address, subject="job", data={}),
        created_at=NOW,
        attempts=1,
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        outbox.accept([row])
        await outbox.stop()
        gc.collect()
    assert [str(each.message) for each in said] == []
    assert outbox.held == []
