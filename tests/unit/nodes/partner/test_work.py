"""While a partner works on what the renter waits for it says so, every half minute, and not for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.joint.records import ChunkTaken, IdsMatched, MaskMade
from nodes.machine import SetTimer
from nodes.partner.protocol.records import ColumnsMade
from schemas.joint import JointApproved, JointEnded
from schemas.limits import WORK_SECONDS_MAX, WORK_SIGN_SECONDS
from tests.unit.nodes.partner.test_partner_moments import answered, model, replied, summed, weighted
from tests.unit.nodes.partner.world import JOB, RENTER, ROWS, World, accepted


def _waiting() -> World:
    return World().asked().examined(undecided=True)


def _approved() -> World:
    world = _waiting()
    world.handle("joint.approved", JointApproved(job=JOB))
    return world


def _matched() -> World:
    world = World().asked(ids=None, salt=b"r" * 32).examined(rows=ROWS, rows_min=1)
    world.handle("mask.made", MaskMade(chunk=0))
    world.handle("chunk.taken", ChunkTaken(chunk=0, digest="a" * 64))
    world.handle("ids.matched", IdsMatched(rows=ROWS))
    return world


def _columns_made() -> World:
    world = _matched()
    world.handle("columns.made", ColumnsMade(rows=ROWS))
    return world


def _ended() -> World:
    world = World().asked()
    world.handle("joint.ended", JointEnded(job=JOB, code="cancelled", reason="no more"), RENTER)
    return world


AT_WORK: dict[str, Callable[[], World]] = {
    "examining": World().asked,
    "examining what a person approved": _approved,
    "making columns of the rows in common": _matched,
    "answering a round": lambda: accepted().taken(0, 0, ROWS),
    "summing up for a model": model,
    "answering with a model's sums": lambda: summed(summed(model(), 0), 1),
    "making its own weights": lambda: replied(answered()),
}
IDLE: dict[str, Callable[[], World]] = {
    "a person decides": _waiting,
    "results are awaited": accepted,
    "ids are awaited": _columns_made,
    "an output is out": lambda: accepted().taken(0, 0, ROWS).made(),
    "its weights are known": lambda: weighted(replied(answered())),
}


@pytest.mark.parametrize("doing", AT_WORK)
def test_a_partner_at_work_says_so_again_and_again(doing: str) -> None:
    world = AT_WORK[doing]()
    for _ in range(3):
        (at,) = [each.at for each in world.step.effects if isinstance(each, SetTimer) and each.name == "work"]
        assert 0 < at - world.now < WORK_SIGN_SECONDS
        world.now = at
        world.fire("work")
        assert [(each.type, each.to) for each in world.sent()] == [("work.continued", RENTER)]


@pytest.mark.parametrize("doing", IDLE)
def test_a_partner_that_owes_nothing_says_nothing(doing: str) -> None:
    world = IDLE[doing]()
    world.fire("work")
    assert world.step.effects == ()


def test_work_that_does_not_end_is_not_spoken_of_for_ever() -> None:
    world = World().asked()
    world.now += WORK_SECONDS_MAX
    world.fire("work")
    assert world.step.effects == ()


def test_each_unit_that_is_summed_up_gives_the_sums_time_anew() -> None:
    world = model()
    world.now += WORK_SECONDS_MAX - 1
    summed(world, 0).now += WORK_SECONDS_MAX - 1
    world.fire("work")
    assert [each.type for each in world.sent()] == ["work.continued"]


def test_a_part_that_is_over_says_nothing() -> None:
    world = _ended()
    world.fire("work")
    assert (world.notes(), world.sent()) == (["late"], [])
