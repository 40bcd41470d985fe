"""What one participant may take of a hub: so many open orders, and no more of its time than there is."""

from __future__ import annotations

import pytest

from nodes.hub import buying, rounds
from nodes.hub.records import BuyRecord, Placed
from tests.unit.nodes.hub.world import World

RENTER, OTHER = "A11.A12", "A11.A13"
SECONDS = 120


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(buying, "OPEN_PER_RENTER_MAX", 4)
    monkeypatch.setattr(buying, "KEPT_PER_RENTER_MAX", 6)
    return World({"A11": ["A12", "A13"], "B11": ["B12"]})


def refusals(world: World, renter: str = RENTER) -> list[str]:
    return [event.code for event in world.got(renter, "order.buy.refused")]


def test_one_renters_orders_that_nothing_matches_leave_room_for_others(world: World) -> None:
    for number in range(1, 20):
        world.buy(RENTER, number)
    world.buy(OTHER, 100)
    world.settle()
    assert refusals(world) == ["too-many-orders"] * 15
    assert not refusals(world, OTHER)
    assert len(world.all("A11", BuyRecord)) == 5


def test_orders_that_ended_are_counted_until_they_are_forgotten_and_then_there_is_room_again(world: World) -> None:
    world.sell("B11.B12", units=100)
    world.settle()
    for number in range(1, 8):
        world.buy(RENTER, number)
        world.settle()
    assert refusals(world) == ["too-many-orders"], "six are remembered until their match_by"
    world.run(SECONDS)
    assert not world.all("A11", Placed)
    world.buy(RENTER, 8)
    world.settle()
    assert len(refusals(world)) == 1


def test_many_waiting_orders_are_tried_no_faster_than_they_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "RETRIES_PER_SECOND_MAX", 0.5)
    world = World({"A11": ["A12"], "B11": ["B12"]})
    orders = 60
    for number in range(1, orders + 1):
        world.buy(RENTER, number, match_by=world.now + 3000)
    world.settle()
    world.run(500)
    tries = sum(record.rounds for record in world.all("A11", BuyRecord))
    world.run(500)
    tries = sum(record.rounds for record in world.all("A11", BuyRecord)) - tries
    assert tries <= 1.4 * 0.5 * 500, f"{tries} tries in 500 seconds"
    assert tries >= orders
