"""A lessor's queue that a stranger filled: its batches go to others, nobody is blamed, and it is tried again."""

from __future__ import annotations

from nodes.machine import TIMER_FIRED, SetTimer, TimerFired
from nodes.renter.protocol.outcomes import BatchUnsent
from nodes.renter.protocol.records import BatchRecord
from nodes.renter.protocol.windows import FULL_SECONDS
from schemas import limits
from tests.unit.nodes.renter.protocol.world import ONE, SUBTASKS, TWO, WINDOW, World, fill_window


def begun(*, alone: bool = False) -> World:
    """Windows are being filled, and the broker has answered for none of the batches yet."""
    world = World({ONE: ((0, 6),)} if alone else {ONE: ((0, 6),), TWO: ((6, 8),)}, 8)
    fill_window(world, ONE)
    return world


def unsent(world: World, batch: int, attempt: int = 1) -> None:
    world.handle("batch.unsent", BatchUnsent(batch=batch, attempt=attempt))


def tried_again(world: World) -> None:
    world.handle(TIMER_FIRED, TimerFired(name=f"full/{SUBTASKS[ONE]}", at=world.now))


def test_what_does_not_fit_goes_to_another_and_counts_as_no_attempt() -> None:
    world = begun()
    unsent(world, 0)
    assert [(batch, lessor) for batch, lessor, _ in world.dispatched()] == [(0, TWO), (1 + 1, TWO)][:WINDOW]
    assert world.dispatched()[0][2] == 1
    assert world.subtask(ONE).phase == "running"
    assert world.subtask(ONE).queue == ()
    assert world.job.avoid == ()
    assert world.notes() == ["queue-full"]


def test_a_lessor_alone_is_tried_again_after_a_pause_however_often() -> None:
    world = begun(alone=True)
    for _ in range(2 * limits.BATCH_ATTEMPTS_MAX):
        for batch in (0, 1):
            unsent(world, batch)
            assert world.dispatched() == []
        timers = [effect for effect in world.step.effects if isinstance(effect, SetTimer)]
        assert [timer.name for timer in timers] == [f"full/{SUBTASKS[ONE]}"]
        world.now = timers[0].at
        tried_again(world)
        assert sorted(batch for batch, _, _ in world.dispatched()) == [0, 1]
    assert world.progress.phase == "running"


def test_two_full_queues_do_not_hand_batches_to_and_fro() -> None:
    world = begun()
    unsent(world, 0)
    for batch, _, attempt in world.dispatched():
        unsent(world, batch, attempt)
        assert world.dispatched() == []
    world.now += FULL_SECONDS
    tried_again(world)
    assert world.progress.phase == "running"


def test_word_of_an_earlier_attempt_changes_nothing() -> None:
    world = begun()
    before = dict(world.records)
    unsent(world, 0, attempt=7)
    unsent(world, 99)
    assert world.records == before
    assert isinstance(world.records["batch/0"], BatchRecord)
