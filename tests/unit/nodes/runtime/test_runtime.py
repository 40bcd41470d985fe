"""The one loop on the embedded broker and a real store: what is believed, what is decided, what is carried out."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from broker.errors import PublishUnknown
from broker.port import Broker, Consumer, Message
from nodes.identity import verify
from nodes.machine import Context, Records, Step
from nodes.runtime.checks import EVENT_AGE_SECONDS_MAX
from nodes.runtime.journal import replay
from nodes.runtime.outbox import ACTIVITY_ATTEMPTS_MAX, PROCESSES_LOST_MAX
from nodes.runtime.storage import Storage
from nodes.store.errors import StoreFailed
from nodes.store.port import Decide, Input, Outcome, Store
from nodes.store.sqlite import SqliteStore
from schemas import codec, limits
from schemas.errors import BrokerUnreachable
from schemas.events import Event
from schemas.ids import derive_id
from tests.support.toy_machine import ToyMachine, WorkDone
from tests.support.world import (
    ME,
    NOW,
    PEER,
    STRANGER,
    World,
    empty,
    fired,
    message,
    reasons,
    tally,
    told,
    until,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await World.open(stack, tmp_path)


# ---------------------------------------------------------------- what is believed


async def test_an_event_is_answered_with_a_signed_event_that_names_its_cause(world: World) -> None:
    await world.start()
    await world.tell(message(told(1, "hello")))
    delivery = await anext(world.answers)
    received = codec.decode(delivery.message.headers, delivery.message.body)
    assert verify(ME.public, received.signed, received.signature)
    assert (received.event.cause, received.event.source, received.event.time) == (told(1, "").id, ME.address, NOW)
    assert reasons([received.event]) == ["hello"]


def _bad(name: str) -> Message:
    good = message(told(1, "hello"))
    cases = {
        "wrong-receiver": message(told(1, "hello", to=STRANGER.address)),
        "wrong-sender": message(told(1, "hello", source=STRANGER), STRANGER),
        "bad-signature": message(told(1, "hello"), STRANGER),
        "unknown-type": replace(good, headers={**good.headers, "ce-type": "work.done"}),
        "missing-attribute": replace(good, headers={}),
        "bad-json": replace(good, body=b"{"),
        "from-the-future": message(replace(told(1, "hello"), time=NOW + limits.CLOCK_SKEW_SECONDS_MAX + 1)),
        "too-old": message(replace(told(1, "hello"), time=NOW - EVENT_AGE_SECONDS_MAX - 1)),
        "no-aggregate": message(told(1, "hello", subject="nowhere")),
        "told-to": message(told(1, "refuse")),
        "machine-failed": message(told(1, "crash")),
    }
    return cases[name]


@pytest.mark.parametrize(
    "reason",
    [
        "wrong-receiver",
        "wrong-sender",
        "bad-signature",
        "unknown-type",
        "missing-attribute",
        "bad-json",
        "from-the-future",
        "too-old",
        "no-aggregate",
        "told-to",
        "machine-failed",
    ],
)
async def test_a_bad_event_is_dead_lettered_with_its_reason_and_the_next_one_is_processed(
    world: World, reason: str
) -> None:
    bad = _bad(reason)
    await world.tell(message(told(0, "before")), bad, message(told(2, "after")))
    running = await world.start()
    assert sorted(reasons(await world.answered(2))) == ["after", "before"]
    assert await world.buried(1) == [(bad.id, reason)]
    await running.end()
    assert sorted((await tally(await world.store())).words) == ["after", "before"]
    assert world.server.depth(f"q.{ME.address}.control") == 0


async def test_a_record_that_cannot_be_read_stops_its_aggregate_and_no_other(world: World) -> None:
    first = await world.start()
    await world.tell(message(told(1, f"timer {NOW + 60}")), message(told(2, "hello")))
    assert reasons(await world.answered(1)) == ["hello"]
    await first.end()
    with sqlite3.connect(world.folder / "node.sqlite") as connection:
        connection.execute("UPDATE records SET value = x'c1' WHERE aggregate = 'job'")
    connection.close()
    world.clock.now += 60
    second = await world.start()
    lost = told(3, "hello")
    await world.tell(message(lost), message(told(4, "hello", subject="other")))
    assert await world.buried(1) == [(lost.id, "record-unreadable")]
    assert reasons(await world.answered(1)) == ["hello"]
    await second.runtime.submit("work.done", WorkDone(number=4), "job")
    await second.runtime.idle()
    assert await second.store.next_timer() is None
    assert (await tally(second.store, "other")).words == ("hello",)


async def test_a_sender_whose_key_nobody_told_is_refused(world: World) -> None:
    await world.start(machine=ToyMachine({PEER.address: PEER.public}))
    event = told(1, "hello", source=STRANGER)
    await world.tell(message(event, STRANGER, sender=STRANGER), sender=STRANGER)
    assert await world.buried(1) == [(event.id, "unknown-sender")]


async def test_a_refused_event_may_come_again(world: World) -> None:
    """A dead letter that is put back after its cause was removed is handled: the inbox holds only what was applied."""
    machine = ToyMachine({})
    await world.start(machine=machine)
    await world.tell(message(told(1, "hello")))
    assert await world.buried(1) == [(told(1, "").id, "unknown-sender")]
    machine.keys = {PEER.address: PEER.public}
    await world.tell(message(told(1, "hello")))
    assert reasons(await world.answered(1)) == ["hello"]


# ---------------------------------------------------------------- exactly-once effect


async def test_a_repeated_event_has_one_effect(world: World) -> None:
    running = await world.start()
    again = message(told(1, "once"))
    await world.tell(again, again, again, message(told(2, "last")), again)
    assert sorted(reasons(await world.answered(2))) == ["last", "once"]
    await running.end()
    store = await world.store()
    assert sorted((await tally(store)).words) == ["last", "once"]
    assert len(await store.journal("job")) == 2
    assert world.server.depth(f"q.{ME.address}.control") == 0


async def test_two_processes_of_one_node_share_the_work_and_each_event_counts_once(world: World) -> None:
    first, second = await world.start(), await world.start()
    sent = [message(told(n, f"word {n}", subject=f"job{n % 3}")) for n in range(60)]
    await world.tell(*sent, *sent)
    answers = await world.answered(60)
    assert len({event.id for event in answers}) == 60
    for running in (first, second):
        await running.runtime.idle()
        await running.end()
    store = await world.store()
    seen = [await tally(store, f"job{n}") for n in range(3)]
    assert [len(one.words) for one in seen] == [20, 20, 20]
    assert sorted(word for one in seen for word in one.words) == sorted(f"word {n}" for n in range(60))
    assert await store.outbox_size() == 0


async def test_nothing_is_lost_when_the_connection_is_cut_again_and_again(world: World) -> None:
    running = await world.start()
    for n in range(5):
        await world.tell(*(message(told(10 * n + k, f"word {n} {k}")) for k in range(10)))
        world.server.cut(ME.address)
    ids: set[str] = set()
    while len(ids) < 50:  # an answer whose confirm was lost comes twice, with the same id
        ids |= {event.id for event in await world.answered(1)}
    await running.runtime.idle()
    await running.end()
    assert len((await tally(await world.store())).words) == 50


async def test_stopping_leaves_what_was_not_begun_in_the_queue(world: World) -> None:
    running = await world.start()
    await world.tell(message(told(0, "first")))
    await world.answered(1)
    await running.runtime.idle()
    await running.end()
    await world.tell(message(told(1, "later")))
    assert world.server.depth(f"q.{ME.address}.control") == 1
    await world.start()
    assert reasons(await world.answered(1)) == ["later"]


class _FailingStore(SqliteStore):
    """Fails the first `apply` calls, as a full disk would."""

    failures = 2

    async def apply(
        self, inputs: Sequence[Input], decide: Decide, *, owner: str, lease_until: float, performs_max: int
    ) -> list[Outcome]:
        if self.failures:
            self.failures -= 1
            raise StoreFailed("disk full")
        return await super().apply(inputs, decide, owner=owner, lease_until=lease_until, performs_max=performs_max)


async def test_a_store_that_fails_for_a_while_loses_no_event(world: World) -> None:
    store = await _FailingStore.open(world.folder / "node.sqlite", ToyMachine.record_types)
    await world.start(store=store, storage=Storage(pause=lambda seconds: asyncio.sleep(0)))
    await world.tell(message(told(1, "hello")))
    assert reasons(await world.answered(1)) == ["hello"]


async def test_a_closed_store_ends_the_runtime(world: World) -> None:
    running = await world.start()
    await running.store.close()
    await world.tell(message(told(1, "hello")))
    with pytest.raises(ExceptionGroup):
        await running.task


# ---------------------------------------------------------------- publishing


class _Flaky:
    """A connection whose publishes fail at first; `calls` are the ids it was given."""

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


# ---------------------------------------------------------------- activities


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


# ---------------------------------------------------------------- timers and submitted events


async def test_a_timer_fires_when_it_is_due_and_not_before(world: World) -> None:
    running = await world.start()
    await world.tell(message(told(1, f"timer {NOW + 60}")), message(told(2, "after")))
    await world.answered(1)
    running.runtime.wake()
    await running.runtime.idle()
    assert "timer.fired" not in (await tally(running.store)).seen
    world.clock.now += 60
    running.runtime.wake()
    await running.runtime.idle()
    assert (await tally(running.store)).seen[-1] == "timer.fired"


async def test_a_timer_that_was_due_while_nobody_ran_fires_at_the_start(world: World) -> None:
    first = await world.start()
    await world.tell(message(told(1, f"timer {NOW + 60}")), message(told(2, "after")))
    await world.answered(1)
    await first.end()
    world.clock.now += 600
    second = await world.start()
    await until(lambda: fired(second.store))
    assert await second.store.next_timer() is None


class _TimerFails(ToyMachine):
    def handle(self, records: Records, event: Event, context: Context) -> Step:
        if event.type == "timer.fired":
            raise ZeroDivisionError("a bug")
        return super().handle(records, event, context)


async def test_a_timer_on_which_the_machine_fails_is_not_tried_for_ever(world: World) -> None:
    running = await world.start(machine=_TimerFails({PEER.address: PEER.public}))
    await world.tell(message(told(1, f"timer {NOW}")), message(told(2, "after")))
    await world.answered(1)
    await running.runtime.idle()
    assert await running.store.next_timer() is None


async def test_a_submitted_event_is_committed_on_return_and_counts_once_per_id(world: World) -> None:
    running = await world.start()
    for _ in range(2):
        await running.runtime.submit("work.done", WorkDone(number=4), "job", event_id="result/1", cause="batch")
    assert (await tally(running.store)).words == ("done 4",)
    await running.runtime.submit("work.done", WorkDone(number=5), "job")
    await running.runtime.submit("work.done", WorkDone(number=5), "job")
    assert (await tally(running.store)).words == ("done 4", "done 5", "done 5")


# ---------------------------------------------------------------- journal


async def test_the_journal_of_everything_replays(world: World) -> None:
    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        return [("work.done", WorkDone(number=1))]

    machine = ToyMachine({PEER.address: PEER.public})
    running = await world.start(activities={"work": work}, machine=machine)
    words = ["hello", "work", f"timer {NOW}", "nobody", "broken", "cancel-timer", "hello again"]
    await world.tell(*(message(told(n, word)) for n, word in enumerate(words)))
    await world.tell(message(told(100, "refuse")))
    assert len(await world.buried(1)) == 1
    await world.answered(2)
    await running.runtime.idle()
    entries = await running.store.journal("job")
    assert len(entries) >= len(words) + 4
    replay(entries, machine, ME.address, ME.public, verify)


# ---------------------------------------------------------------- a process that is killed


async def _child(folder: Path, mode: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.killed_node", str(folder), mode, stdout=asyncio.subprocess.PIPE
    )


async def _lines(child: asyncio.subprocess.Process, last: str) -> list[list[str]]:
    """What the child says, up to a line that begins with `last`."""
    assert child.stdout is not None
    lines = [["nothing"]]
    while lines[-1][0] != last:
        line = await child.stdout.readline()
        assert line, f"the child ended after {lines}"
        lines.append(line.decode().split())
    return lines[1:]


async def test_a_process_killed_between_commit_and_publish_publishes_after_restart_with_the_same_id(
    tmp_path: Path,
) -> None:
    first = await _child(tmp_path, "hang")
    said = await _lines(first, "publishing")
    first.kill()
    await first.wait()
    second = await _child(tmp_path, "publish")
    done = await _lines(second, "idle")
    await second.wait()
    assert second.returncode == 0
    published = [line[1] for line in done if line[0] == "publishing"]
    assert published == [said[-1][1]] == [derive_id("event", ME.address, told(1, "").id, 1)]
    assert ["acked", told(1, "").id] in done
    store = await SqliteStore.open(tmp_path / "node.sqlite", ToyMachine.record_types)
    assert (await tally(store)).words == ("hello",)
    assert len(await store.journal("job")) == 1
    assert await store.outbox_size() == 0
    await store.close()
