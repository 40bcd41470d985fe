"""A link that its hub lost: whoever is behind it is not blamed, and others take over where there are others."""

from __future__ import annotations

import pytest
from msgspec import structs

from nodes.machine import TIMER_FIRED, Publish, Refused, SetTimer, TimerFired
from nodes.renter.protocol.records import LostLink
from schemas.events import LinkReported
from schemas.ids import Address, derive_id, hub_address
from tests.unit.nodes.renter.protocol.world import DEADLINE, JOB, ONE, START, SUBTASKS, TWO, World, fill_window

HUB, NEIGHBOUR, WHY = hub_address("A11"), hub_address("B11"), "nothing has come from B11.hub for 9 s"
CONTRACTS = {each: derive_id("contract", each) for each in (ONE, TWO)}


def at_work(*lessors: Address) -> World:
    """Each of these computes some of its four batches."""
    world = World({each: ((4 * at, 4 * at + 4),) for at, each in enumerate(lessors)}, 4 * len(lessors))
    for each in lessors:
        fill_window(world, each)
    world.all_sent()
    return world


def report_link(world: World, why: str, *behind: Address, source: Address = HUB) -> None:
    contracts = tuple(CONTRACTS[each] for each in behind)
    world.handle("link.reported", LinkReported(job=JOB, neighbour=NEIGHBOUR, why=why, contracts=contracts), source)


def test_what_the_own_hub_says_of_a_link_is_kept_until_it_carries_again() -> None:
    world = World({ONE: ((0, 1),)}, 1)
    report_link(world, WHY, ONE)
    assert [*world.progress.lost_links] == [
        LostLink(neighbour=NEIGHBOUR, why=WHY, lost_at=START, contracts=(CONTRACTS[ONE],))
    ]
    report_link(world, "")
    assert not world.progress.lost_links
    assert world.notes() == ["link-restored"]


def test_nobody_else_speaks_for_the_own_hubs_links() -> None:
    with pytest.raises(Refused) as refused:
        report_link(World({ONE: ((0, 1),)}, 1), WHY, ONE, source=NEIGHBOUR)
    assert refused.value.code == "not-the-hub"


def test_whoever_is_behind_it_is_waited_for_where_nobody_else_can_be_reached() -> None:
    world = at_work(ONE)
    report_link(world, WHY, ONE)
    for _ in range(3):
        world.now += DEADLINE
        step = world.silence(ONE)
        assert [each.at for each in step.effects if isinstance(each, SetTimer)] == [world.now - 0.25 + DEADLINE]
    assert world.subtask(ONE).phase == "running"


def test_it_has_its_whole_time_again_once_the_link_carries_and_then_counts_as_silent() -> None:
    world = at_work(ONE)
    report_link(world, WHY, ONE)
    world.now += 5 * DEADLINE
    report_link(world, "")
    world.now += DEADLINE / 2
    world.silence(ONE)
    assert world.subtask(ONE).phase == "running"
    world.now += DEADLINE
    world.silence(ONE)
    assert world.subtask(ONE).phase == "lost"
    assert world.job.causes[0][0] == "silent"


def test_others_that_can_be_reached_take_its_batches_and_nobody_is_called_silent() -> None:
    world = at_work(ONE, TWO)
    report_link(world, WHY, ONE)
    world.now += 2 * DEADLINE
    step = world.silence(ONE)
    assert (world.subtask(ONE).phase, world.subtask(TWO).phase) == ("lost", "running")
    assert [each[0] for each in world.job.causes] == ["cut-off"]
    assert world.job.avoid == ()
    (ended,) = [each for each in step.effects if isinstance(each, Publish) and each.type == "contract.ended"]
    assert ended.data["code"] == "cut-off"


def test_a_key_that_does_not_come_over_it_is_waited_for_too() -> None:
    world = World({ONE: ((0, 1),)}, 1)
    world.records[f"subtask/{SUBTASKS[ONE]}"] = structs.replace(world.subtask(ONE), phase="keying")
    report_link(world, WHY, ONE)
    world.now += 1000.0
    fired = TimerFired(name=f"key/{SUBTASKS[ONE]}", at=world.now, hearing_since=0.0)
    world.handle(TIMER_FIRED, fired)
    assert world.subtask(ONE).phase == "keying"
    report_link(world, "")
    world.now += 1000.0
    world.handle(TIMER_FIRED, fired)
    assert world.subtask(ONE).phase == "lost"
