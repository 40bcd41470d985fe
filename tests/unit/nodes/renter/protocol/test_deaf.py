"""Nobody is blamed for what the renter could not hear: deadlines count from when it hears again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodes.machine import TIMER_FIRED, SetTimer, TimerFired
from nodes.renter.protocol import market
from nodes.renter.protocol.outcomes import ResultHeld
from nodes.renter.protocol.records import BatchRecord, Progress
from schemas.ids import Address
from tests.unit.nodes.renter.protocol.world import DEADLINE, ONE, START, SUBTASKS, TWO, World, started


def timers(world: World) -> dict[str, float]:
    """What the last step set."""
    return {effect.name: effect.at for effect in world.step.effects if isinstance(effect, SetTimer)}


def lost(world: World, lessor: Address = ONE) -> bool:
    return world.subtask(lessor).phase == "lost"


def test_a_lessor_has_its_whole_time_after_the_renter_hears_again() -> None:
    world = started()
    world.now += 100 * DEADLINE
    back = world.now
    world.silence(ONE, hearing_since=back)
    assert not lost(world)
    assert timers(world) == {f"silent/{SUBTASKS[ONE]}": back + DEADLINE}
    world.now = back + DEADLINE - 0.5
    world.silence(ONE, hearing_since=back)
    assert not lost(world)


def test_a_lessor_is_asked_again_before_it_is_blamed_for_what_nobody_may_have_heard() -> None:
    """Its answers may have gone to a process whose store is no more, where this one is a copy made before."""
    world = started()
    under_way = world.subtask(ONE).under_way
    world.now += 100 * DEADLINE
    back = world.now
    world.now = back + DEADLINE
    world.silence(ONE, hearing_since=back)
    assert not lost(world)
    assert [(number, lessor) for number, lessor, _ in world.dispatched()] == [(number, ONE) for number in under_way]
    records = [world.records[f"batch/{number}"] for number in under_way]
    assert [each.excused for each in records if isinstance(each, BatchRecord)] == [1] * len(under_way)
    world.all_sent()
    world.now += DEADLINE - 2
    world.silence(ONE, hearing_since=back)
    assert not lost(world)
    world.now += 2
    world.silence(ONE, hearing_since=back)
    assert lost(world)


def test_what_was_sent_while_the_renter_heard_is_not_asked_for_again() -> None:
    world = started()
    world.now += DEADLINE
    world.silence(ONE, hearing_since=START - 1)
    assert lost(world)


def test_a_lessor_whose_contract_is_closing_is_not_asked_again_but_the_others_are() -> None:
    world = started()
    unheard = world.subtask(ONE).under_way
    world.records[f"subtask/{SUBTASKS[ONE]}"] = replace(world.subtask(ONE), phase="closing", queue=())
    world.now += 100 * DEADLINE
    world.silence(ONE, hearing_since=world.now - DEADLINE)
    assert (world.subtask(ONE).phase, world.job.avoid) == ("completed", ())
    queued = {number for begin, end in world.subtask(TWO).queue for number in range(begin, end)}
    assert set(unheard) <= queued | set(world.subtask(TWO).under_way)


def test_a_lessor_whose_result_waits_here_is_not_silent() -> None:
    world = started()
    world.now += DEADLINE - 1
    held = world.now
    world.handle("result.held", ResultHeld(owner=SUBTASKS[ONE]))
    world.now = held + DEADLINE - 0.5
    world.silence(ONE)
    assert not lost(world)
    world.now = held + DEADLINE
    world.silence(ONE)
    assert lost(world)


def test_a_lost_lessors_result_that_waits_changes_nothing() -> None:
    world = started()
    world.now += 2 * DEADLINE
    world.silence(ONE)
    before = world.subtask(ONE)
    world.handle("result.held", ResultHeld(owner=SUBTASKS[ONE]))
    assert world.subtask(ONE) == before


@pytest.mark.parametrize(("more", "phase"), [(-1.0, "ordering"), (1.0, "failed")])
def test_a_hub_has_its_whole_time_after_the_renter_hears_again(more: float, phase: str) -> None:
    world = World({}, 4)
    world.records["progress"] = Progress(phase="ordering")
    world.now = START + 1000
    heard_for = world.job.spec.match_seconds + market.MATCH_GRACE_SECONDS + more
    world.handle(TIMER_FIRED, TimerFired(name="match", at=START, hearing_since=world.now - heard_for))
    assert world.progress.phase == phase
