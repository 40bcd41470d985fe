"""What a batch costs does not grow with its job: `make bench ONLY=jobs` measures it, here it is counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from nodes.records import RecordSet
from tests.unit.nodes.renter.protocol.world import DEADLINE, ONE, TWO, World, fill_window

BATCHES = 99_990


class Watched(RecordSet):
    """Counts the records that are looked at; nobody may look at all of them."""

    def __init__(self, records: Mapping[str, Struct]) -> None:
        super().__init__(records)
        self.looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)

    def under(self, prefix: str) -> Collection[str]:
        found = super().under(prefix)
        self.looks += len(found)
        return found

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("looked at every record of the job")


def wide(done: int) -> World:
    """Two lessors in the middle of a job of which so many batches are done."""
    world = World({ONE: ((done, BATCHES // 2),), TWO: ((BATCHES // 2, BATCHES),)}, BATCHES)
    for lessor in (ONE, TWO):
        fill_window(world, lessor)
    world.all_sent()
    return world


def cost(world: World, done: int) -> tuple[int, int, int]:
    """Records looked at, records written and bytes written for one result and the batch that follows it."""
    watched = Watched(world.records)
    event, context = world.asked("result.accepted", world.accepted(done, ONE))
    step = world.machine.handle(watched, event, context)
    written = sum(len(msgspec.msgpack.encode(each)) for each in step.put.values())
    return watched.looks, len(step.put), written


def test_a_result_costs_the_same_early_and_late_in_a_wide_job() -> None:
    early, late = (cost(wide(done), done) for done in (1_000, BATCHES // 2 - 100))
    assert early[:2] == late[:2]
    assert abs(early[2] - late[2]) <= 16
    assert early[2] < 1_000


def test_a_lost_lessors_batches_are_handed_over_as_runs() -> None:
    world = wide(1_000)
    world.now += 2 * DEADLINE
    world.silence(ONE)
    queue = world.subtask(TWO).queue
    assert len(queue) <= 4
    assert sum(end - first for first, end in queue) == BATCHES - 1_000 - len(world.subtask(TWO).under_way)
