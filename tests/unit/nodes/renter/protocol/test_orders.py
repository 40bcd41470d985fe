"""What the renter asks its hub for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from nodes.lessor.protocol.config import LessorConfig
from nodes.machine import Effect, Note, Publish
from nodes.renter.protocol import market
from nodes.renter.protocol.draft import Draft
from schemas.jobs import Costs
from schemas.orders import BuyOrder
from tests.unit.nodes.renter.protocol.world import ME, World, job


def first(**wishes: Any) -> tuple[Effect, ...]:
    """What the first order of a job brings whose lessors take 3.6 seconds of a core, as predicted."""
    world, made = World({}, 1), job(1)
    assert made.assessment is not None
    costs = Costs(encrypt_seconds=0.0, lessor_seconds=3.6, decrypt_seconds=0.0)
    assessment = structs.replace(made.assessment, costs=costs)
    spec = structs.replace(made.spec, **wishes)
    world.records["job"] = structs.replace(made, orders_placed=0, spec=spec, assessment=assessment)
    draft = Draft(world.machine.config, world.records, world.asked("job.submitted", spec)[1])
    market.place_first_order(draft)
    return draft.step().effects


def first_order(**wishes: Any) -> BuyOrder:
    (placed,) = [each for each in first(**wishes) if isinstance(each, Publish)]
    return msgspec.convert(placed.data, BuyOrder)


@pytest.mark.parametrize(
    ("wishes", "units", "lessors"),
    [({}, (1, 2), (1, 2)), ({"lessors_min": 2}, (2, 2), (2, 2)), ({"lessors": 3, "units": 8}, (1, 8), (1, 3))],
)
def test_lessors_and_units_are_asked_for_at_most_and_at_least(
    wishes: dict[str, Any], units: tuple[int, int], lessors: tuple[int, int]
) -> None:
    order = first_order(**wishes)
    assert (order.units_min, order.units) == units
    assert (order.lessors_min, order.lessors_max) == lessors


def test_what_lessors_may_cost_is_estimated_before_anything_is_ordered() -> None:
    estimate, order = [each for each in first(price_micros_max=2_000_000) if isinstance(each, Note | Publish)]
    assert isinstance(estimate, Note)
    assert isinstance(order, Publish)
    assert (estimate.kind, estimate.text[:40]) == ("estimate", "about 0.002 at most: 3.6 lessors' core-s")


def test_who_says_nothing_pays_ten_times_the_usual_price_at_most() -> None:
    assert first_order().price_micros_max == 10 * LessorConfig(me=ME, key=b"").price_micros
