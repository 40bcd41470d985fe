"""An order takes as many lessors and units as there are, up to what it asks for, and no fewer than it must have."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.hub.proposing import PROPOSAL_SECONDS
from nodes.hub.records import QuoteRecord
from schemas import limits
from tests.unit.nodes.hub.world import START, World, capacity

A, B, C = "A11.hub", "B11.hub", "C11.hub"
RENTER = "A11.A12"
AT_MOST_TWO: dict[str, Any] = {"units": 2, "units_min": 1, "lessors_min": 1, "lessors_max": 2}


@pytest.fixture
def world() -> World:
    return World({"A11": ["A12", "A13"], "B11": ["B12", "B13"]})


def matched(world: World) -> list[tuple[str, int]]:
    assert len(world.got(RENTER, "order.buy.matched")) == 1
    return [(contract.lessor, contract.units) for contract in world.contracts(RENTER)]


def test_an_order_for_two_at_most_is_served_by_the_only_lessor_at_once(world: World) -> None:
    world.sell("B11.B12", units=1)
    world.settle()
    world.buy(RENTER, **AT_MOST_TWO)
    world.settle()
    assert world.now == START
    assert matched(world) == [("B11.B12", 1)]
    assert not world.all("B11", QuoteRecord)


def test_both_serve_where_there_are_two(world: World) -> None:
    world.sell("B11.B12", units=1)
    world.sell("B11.B13", units=1)
    world.settle()
    world.buy(RENTER, **AT_MOST_TWO)
    world.settle()
    assert matched(world) == [("B11.B12", 1), ("B11.B13", 1)]


@pytest.mark.parametrize("second", ["B11.B13", "A11.A13", "C11.C12"])
def test_two_of_one_price_share_the_order_wherever_they_are(second: str) -> None:
    """Each has all the units that are wanted: in one subnet, in the renter's own and another, in two others."""
    world = World({"A11": ["A12", "A13"], "B11": ["B12", "B13"], "C11": ["C12"]})
    for lessor in ("B11.B12", second):
        world.sell(lessor, units=2)
    world.settle()
    world.buy(RENTER, **AT_MOST_TWO)
    world.settle()
    assert sorted(matched(world)) == sorted([("B11.B12", 1), (second, 1)])
    world.run(limits.QUOTE_LEASE_SECONDS - 1)
    held = [world.held(hub) for hub in ("A11", "B11", "C11")]
    assert sum(units for each in held for units in each.values()) == 2  # what was reserved beyond is free again


def test_the_only_unit_goes_to_one_of_them(world: World) -> None:
    world.sell("B11.B12", units=2)
    world.sell("B11.B13", units=2)
    world.settle()
    world.buy(RENTER, **AT_MOST_TWO | {"units": 1})
    world.settle()
    assert len(matched(world)) == 1


def test_a_hub_that_has_told_of_nothing_yet_is_waited_for(world: World) -> None:
    """Its lessors may be starting; the own one alone serves when nothing is heard for as long as news take."""
    world.sell("A11.A13", units=1)
    world.buy(RENTER, **AT_MOST_TWO)
    world.run(1)
    assert not world.got(RENTER, "order.buy.matched")
    world.run(2 * limits.ADVERTISE_SECONDS)
    assert matched(world) == [("A11.A13", 1)]


def test_fewer_than_the_least_are_no_match(world: World) -> None:
    world.sell("B11.B12", units=1)
    world.settle()
    world.buy(RENTER, **AT_MOST_TWO | {"lessors_min": 2})
    world.run(60)
    assert [refused.code for refused in world.got(RENTER, "order.buy.refused")] == ["no-match"]
    assert world.held("B11") == {"B11.B12": 0}


@pytest.mark.parametrize(("least", "served"), [(3, True), (4, False)])
def test_units_too_have_a_least(world: World, least: int, served: bool) -> None:
    world.sell("B11.B12", units=3)
    world.settle()
    world.buy(RENTER, units=5, units_min=least)
    world.settle()
    assert bool(world.contracts(RENTER)) == served


def test_what_is_signed_serves_when_another_hub_does_not_answer(world: World) -> None:
    """The other hub falls silent after its quote: its part is given up, and the own lessor serves alone."""
    world.sell("A11.A13", units=1)
    world.sell("B11.B12", units=1)
    world.settle()
    world.lost = {"contract.countersigned"}
    world.buy(RENTER, **AT_MOST_TWO, match_by=START + 300)
    world.run(PROPOSAL_SECONDS)
    world.cut_off = {B}
    world.tell(B, A, capacity(B, at=world.now))
    world.run(60)
    assert matched(world) == [("A11.A13", 1)]


def test_an_order_that_pays_too_little_is_told_the_lowest_price(world: World) -> None:
    world.sell("B11.B12", price_micros=2_500_000)
    world.settle()
    world.buy(RENTER, price_micros_max=1_000_000)
    world.run(60)
    (refused,) = world.got(RENTER, "order.buy.refused")
    assert "the lowest price is 2.5 per unit and hour, the order pays 1" in refused.reason
