"""One process of a node: its timers, what is submitted to it, its journal, and its end at any moment."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from nodes.identity import verify
from nodes.machine import Context, Records, Step
from nodes.runtime.journal import replay
from nodes.store.sqlite import SqliteStore
from schemas.events import Event
from schemas.ids import derive_id
from tests.support.toy_machine import ToyMachine, WorkDone
from tests.support.world import ME, NOW, PEER, World, fired, message, tally, told, until


async def test_a_closed_store_ends_the_runtime(world: World) -> None:
    running = await world.start()
    await running.store.close()
    await world.tell(message(told(1, "hello")))
    with pytest.raises(ExceptionGroup):
        await running.task


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


class _Fails(ToyMachine):
    """On what comes from inside."""

    def handle(self, records: Records, event: Event, context: Context) -> Step:
        if event.source == context.me:
            raise ZeroDivisionError("a bug")
        return super().handle(records, event, context)


async def test_a_timer_on_which_the_machine_fails_is_not_tried_for_ever(world: World) -> None:
    running = await world.start(machine=_Fails({PEER.address: PEER.public}))
    await world.tell(message(told(1, f"timer {NOW}")), message(told(2, "after")))
    await world.answered(1)
    await running.runtime.idle()
    assert await running.store.next_timer() is None


async def test_an_outcome_on_which_the_machine_fails_is_not_tried_for_ever(world: World) -> None:
    async def work(params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        return [("work.done", WorkDone(number=1))]

    running = await world.start(activities={"work": work}, machine=_Fails({PEER.address: PEER.public}))
    await world.tell(message(told(1, "work")), message(told(2, "after")))
    await world.answered(1)
    await running.runtime.idle()
    assert await running.store.outbox_size() == 0


async def test_a_submitted_event_is_committed_on_return_and_counts_once_per_id(world: World) -> None:
    running = await world.start()
    for _ in range(2):
        await running.runtime.submit("work.done", WorkDone(number=4), "job", event_id="result/1", cause="batch")
    assert (await tally(running.store)).words == ("done 4",)
    await running.runtime.submit("work.done", WorkDone(number=5), "job")
    await running.runtime.submit("work.done", WorkDone(number=5), "job")
    assert (await tally(running.store)).words == ("done 4", "done 5", "done 5")


async def test_the_journal_of_everything_replays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.runtime.outbox.LATER_RELEASE_CLAIMS_MAX", 0)

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
