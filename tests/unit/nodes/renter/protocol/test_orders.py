"""What the renter asks its hub for."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from nodes.machine import Publish
from nodes.renter.protocol import market
from nodes.renter.protocol.draft import Draft
from tests.unit.nodes.renter.protocol.world import World, job


def first_order(**wishes: Any) -> Any:
    world = World({}, 1)
    made = job(1)
    world.records["job"] = structs.replace(made, orders_placed=0, spec=structs.replace(made.spec, **wishes))
    _, context = world.asked("job.prepared", made.spec)
    draft = Draft(world.machine.config, world.records, context)
    market.place_first_order(draft)
    (placed,) = [each for each in draft.step().effects if isinstance(each, Publish)]
    return placed.data


@pytest.mark.parametrize(
    ("wishes", "units", "lessors"),
    [({}, (1, 2), (1, 2)), ({"lessors_min": 2}, (2, 2), (2, 2)), ({"lessors": 3, "units": 8}, (1, 8), (1, 3))],
)
def test_lessors_and_units_are_asked_for_at_most_and_at_least(
    wishes: dict[str, Any], units: tuple[int, int], lessors: tuple[int, int]
) -> None:
    order = first_order(**wishes)
    assert (order["units_min"], order["units"]) == units
    assert (order["lessors_min"], order["lessors_max"]) == lessors
