"""What is refused takes no room: neither does its content, nor its repetition."""

from __future__ import annotations

from dataclasses import replace

import orjson

from nodes.identity import verify
from nodes.runtime.journal import replay
from tests.support.toy_machine import ToyMachine
from tests.support.world import ME, PEER, World, message, told

REASON = "refuse"


async def test_a_refused_event_that_is_sent_again_is_set_aside_once_and_journalled_once(world: World) -> None:
    running = await world.start()
    await world.tell(message(told(1, "hello")))
    await world.answered(1)
    bad = message(told(2, REASON))
    await world.tell(*[bad] * 200)
    await world.tell(message(told(3, "hello")))
    await world.answered(1)
    await running.runtime.idle()
    assert await world.buried(1) == [(bad.id, "told-to")]
    assert world.server.depth("q.A11.dead") == 0
    assert len(await running.store.journal("job")) == 3


async def test_what_is_refused_is_journalled_without_its_content_and_the_journal_still_replays(world: World) -> None:
    running = await world.start()
    await world.tell(message(told(1, "hello")))
    await world.answered(1)
    for number in range(2, 6):
        await world.tell(message(replace(told(number, REASON), subject="job")))
    await world.buried(4)
    await running.runtime.idle()
    entries = await running.store.journal("job")
    assert [orjson.loads(line)["event"]["data"] is None for line in entries] == [False, True, True, True, True]
    assert all(len(line) < 600 for line in entries[1:])
    replay(entries, ToyMachine({PEER.address: PEER.public}), ME.address, ME.public, verify)


async def test_a_journal_without_end_forgets_what_is_older_than_it_keeps(world: World) -> None:
    running = await world.start(endless=("job",), journal_seconds=60.0)
    await world.tell(message(told(1, "hello")))
    await world.answered(1)
    world.clock.now += 30
    await world.tell(message(told(2, "hello")))
    await world.answered(1)
    world.clock.now += 40
    await running.runtime.forget()
    assert len(await running.store.journal("job")) == 1
