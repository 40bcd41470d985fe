"""A lessor's order in the book: it stands while workers stand behind it, and on the terms that are offered now."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.hub.records import SellRecord
from schemas.events import OrderCancelled
from schemas.ids import derive_id
from tests.unit.nodes.hub.world import START, World, hold_proposals, placed, sell_order

LESSOR, RENTER = "B11.B12", "A11.A12"


@pytest.fixture
def world() -> World:
    return World({"A11": ["A12"], "B11": ["B12"]})


def place(world: World, worker: int, **terms: Any) -> None:
    world.send("order.sell.placed", LESSOR, placed(sell_order(LESSOR, **terms), worker))
    world.settle()


def withdraw(world: World, worker: int) -> None:
    order = sell_order(LESSOR).id
    world.send("order.sell.cancelled", LESSOR, OrderCancelled(order=order, worker=derive_id("worker", LESSOR, worker)))
    world.settle()


def rent(world: World, number: int = 1, **terms: Any) -> int:
    """Units that a renter gets for the asking."""
    before = len(world.contracts(RENTER))
    world.buy(RENTER, number, units_min=1, units=4, **terms)
    world.settle()
    return sum(contract.units for contract in world.contracts(RENTER)[before:])


def test_the_order_of_the_last_worker_leaves_with_it(world: World) -> None:
    place(world, 1)
    withdraw(world, 1)
    assert world.all("B11", SellRecord) == []
    assert rent(world) == 0


def test_the_order_stays_while_another_worker_stands_behind_it(world: World) -> None:
    place(world, 1)
    place(world, 2)
    withdraw(world, 1)
    assert rent(world) == 4


def test_a_worker_that_was_killed_long_ago_stands_behind_nothing(world: World) -> None:
    place(world, 1, expires_at=START + 60)
    world.run(50)
    place(world, 2, expires_at=START + 110)
    world.run(20)
    withdraw(world, 2)
    assert rent(world) == 0


def test_an_order_that_was_withdrawn_while_rented_is_open_again_with_a_new_worker(world: World) -> None:
    place(world, 1)
    world.buy(RENTER, units=1)
    world.settle()
    withdraw(world, 1)
    assert rent(world, 2) == 0
    world.run(1)
    place(world, 3)
    assert rent(world, 3) == 3


def test_a_worker_that_leaves_after_its_successor_came_takes_nothing_along(world: World) -> None:
    place(world, 1)
    world.run(1)
    place(world, 2)
    withdraw(world, 1)
    assert rent(world) == 4


def test_a_new_price_takes_the_place_of_the_old_and_no_unit_is_sold_twice(world: World) -> None:
    place(world, 1, price_micros=100, since=START)
    world.buy(RENTER, units=3)
    world.settle()
    place(world, 1, price_micros=200, since=START + 1)
    assert rent(world, 2) == 1
    assert [contract.price_micros for contract in world.contracts(RENTER)] == [100, 200]
    assert len(world.all("B11", SellRecord)) == 1


def test_a_worker_with_older_terms_does_not_bring_them_back(world: World) -> None:
    place(world, 2, price_micros=200, since=START + 1)
    place(world, 1, price_micros=100, since=START)
    assert rent(world) == 4
    assert world.contracts(RENTER)[0].price_micros == 200


def test_what_was_quoted_on_replaced_terms_is_looked_for_again(world: World) -> None:
    place(world, 1, price_micros=100, since=START)
    world.buy(RENTER)
    proposals = hold_proposals(world)
    place(world, 1, price_micros=200, since=START + 1)
    world.queue += proposals
    world.run(10)
    assert [event.data.code for event in world.wire("contract.refused")] == ["order-replaced"]  # type: ignore[union-attr]
    assert [contract.price_micros for contract in world.contracts(RENTER)] == [200]
