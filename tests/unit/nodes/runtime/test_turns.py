"""Nobody waits behind another's backlog."""

from __future__ import annotations

import asyncio
from itertools import cycle, islice

from nodes.runtime.reception import COMMITS_UNDER_WAY_MAX
from nodes.runtime.turns import Turns
from schemas.limits import CONTROL_PREFETCH, EVENTS_PER_COMMIT_MAX
from tests.support.world import STRANGER, World, message, reasons, tally, told

SECONDS_MAX = 10
BACKLOG = CONTROL_PREFETCH - 1


async def test_senders_are_served_in_turns_and_each_in_its_order() -> None:
    turns: Turns[str] = Turns()
    for sender, count in (("a", 5), ("b", 1), ("c", 2)):
        for number in range(count):
            turns.put(sender, f"{sender}{number}")
    assert await turns.take(4) == ["a0", "b0", "c0", "a1"]
    turns.put("b", "b1")
    assert await turns.take(9) == ["c1", "a2", "b1", "a3", "a4"]


async def test_who_takes_waits_until_something_comes_or_all_is_over() -> None:
    turns: Turns[int] = Turns()
    takers = [asyncio.create_task(turns.take(2)) for _ in range(3)]
    await asyncio.sleep(0)
    turns.put("a", 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task.result() for task in takers if task.done()] == [[1]]
    assert turns.end() == []
    async with asyncio.timeout(SECONDS_MAX):
        assert sorted(await asyncio.gather(*takers)) == [[], [], [1]]


async def test_what_nobody_took_is_given_back_at_the_end() -> None:
    turns: Turns[int] = Turns()
    for number, sender in enumerate(islice(cycle("ab"), 5)):
        turns.put(sender, number)
    assert sorted(turns.end()) == [0, 1, 2, 3, 4]
    assert await turns.take(5) == []


async def test_an_event_waits_for_what_was_begun_and_not_behind_another_senders_backlog(world: World) -> None:
    backlog = [message(told(10 + n, f"word {n}", source=STRANGER), STRANGER, sender=STRANGER) for n in range(BACKLOG)]
    await world.tell(*backlog, sender=STRANGER)
    await world.tell(message(told(1, "hello")))
    running = await world.start()
    async with asyncio.timeout(SECONDS_MAX):
        assert reasons(await world.answered(1)) == ["hello"]
        await running.runtime.idle()
    words = (await tally(running.store)).words
    assert len(words) == BACKLOG + 1
    assert words.index("hello") <= COMMITS_UNDER_WAY_MAX * EVENTS_PER_COMMIT_MAX
    await running.end()
