"""How a node takes events in: what it believes, and that each has its effect once, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import pytest

from nodes.identity import verify
from nodes.runtime.checks import EVENT_AGE_SECONDS_MAX
from nodes.runtime.reception import COMMITS_UNDER_WAY_MAX
from nodes.runtime.storage import Storage
from nodes.store.errors import StoreFailed
from nodes.store.port import Decide, Input, Outcome
from nodes.store.sqlite import SqliteStore
from schemas import codec, limits
from tests.support.toy_machine import ToyMachine, WorkDone
from tests.support.world import ME, NOW, PEER, STRANGER, World, message, reasons, tally, told


async def test_an_event_is_answered_with_a_signed_event_that_names_its_cause(world: World) -> None:
    await world.start()
    await world.tell(message(told(1, "hello")))
    delivery = await anext(world.answers)
    received = codec.decode(delivery.message.headers, delivery.message.body)
    assert verify(ME.public, received.signed, received.signature)
    assert (received.event.cause, received.event.source, received.event.time) == (told(1, "").id, ME.address, NOW)
    assert reasons([received.event]) == ["hello"]


GOOD = message(told(1, "hello"))
BAD = {
    "wrong-receiver": message(told(1, "hello", to=STRANGER.address)),
    "wrong-sender": message(told(1, "hello", source=STRANGER), STRANGER),
    "bad-signature": message(told(1, "hello"), STRANGER),
    "unknown-type": replace(GOOD, headers={**GOOD.headers, "ce-type": "work.done"}),
    "missing-attribute": replace(GOOD, headers={}),
    "bad-json": replace(GOOD, body=b"{"),
    "from-the-future": message(replace(told(1, "hello"), time=NOW + limits.CLOCK_SKEW_SECONDS_MAX + 1)),
    "too-old": message(replace(told(1, "hello"), time=NOW - EVENT_AGE_SECONDS_MAX - 1)),
    "no-aggregate": message(told(1, "hello", subject="nowhere")),
    "told-to": message(told(1, "refuse")),
    "machine-failed": message(told(1, "crash")),
}
"""By the reason with which it is set aside."""


@pytest.mark.parametrize("reason", BAD)
async def test_a_bad_event_is_dead_lettered_with_its_reason_and_the_next_one_is_processed(
    world: World, reason: str
) -> None:
    bad = BAD[reason]
    await world.tell(message(told(0, "before")), bad, message(told(2, "after")))
    running = await world.start()
    assert sorted(reasons(await world.answered(2))) == ["after", "before"]
    assert await world.buried(1) == [(bad.id, reason)]
    await running.end()
    assert sorted((await tally(await world.store())).words) == ["after", "before"]
    assert world.server.depth(f"q.{ME.address}.control") == 0


async def test_a_broker_that_is_slow_to_keep_a_dead_letter_delays_no_neighbour(world: World) -> None:
    bad = [BAD[reason] for reason in ("bad-json", "missing-attribute", "unknown-type", "bad-signature")]
    await world.tell(*bad, message(told(2, "after")))
    assert len(bad) > COMMITS_UNDER_WAY_MAX
    with world.server.confirms_held():
        await world.start()
        assert reasons(await world.answered(1)) == ["after"]


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
