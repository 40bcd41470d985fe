"""Which hubs are asked for a quote: a few, drawn by what they have; and others for what those lack."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nodes.hub.asking import HUBS_ASKED_MAX, drawn
from nodes.hub.records import QuoteRecord
from schemas.ids import Address, hub_address
from tests.unit.nodes.hub.world import World, buy_order, capacity

CENTRE = "A11"
LEAVES = [f"L{number:02}" for number in range(20)]
RENTER = "A11.R"
A = hub_address(CENTRE)


def star(*, prices: dict[str, int] | None = None, units: int = 4) -> World:
    """A hub with a renter, and twenty around it with a lessor each; all have told of it."""
    world = World({CENTRE: ["R"], **{leaf: ["L"] for leaf in LEAVES}}, [(CENTRE, leaf) for leaf in LEAVES])
    for leaf in LEAVES:
        world.sell(f"{leaf}.L", units=units, price_micros=(prices or {}).get(leaf, 100))
    world.settle()
    return world


def drawings(world: World, times: int = 200, **order: Any) -> Counter[str]:
    """How often each hub is drawn for an order."""
    draft, buy = world.draft(A), buy_order(RENTER, **order)
    return Counter(hub for number in range(times) for hub in drawn(draft, buy, (), seed=number.to_bytes(4, "big")))


def told(world: World, **fields: dict[str, Any]) -> World:
    """A world in which neighbours L00 … told of themselves, all alike but for these fields."""
    for leaf in LEAVES:
        usual: dict[str, Any] = {"hub": f"{leaf}.hub", "units": 4, "price_micros": 100, "memory_mib": 1024}
        word = capacity(**usual | fields.get(leaf, {}))
        world.deliver(world.tell(f"{leaf}.hub", A, word))
    world.queue = []
    return world


def alone() -> World:
    return World({CENTRE: ["R"], **{leaf: [] for leaf in LEAVES}}, [(CENTRE, leaf) for leaf in LEAVES])


def test_no_more_hubs_are_asked_at_a_time_than_that_and_one_is_enough_for_the_order() -> None:
    world = star()
    world.buy(RENTER)
    world.settle()
    assert len(world.wire("quote.requested")) == HUBS_ASKED_MAX
    assert len(world.contracts(RENTER)) == 1


def test_equals_are_drawn_equally_often() -> None:
    drawings_of = drawings(told(alone()))
    assert set(drawings_of) == {f"{leaf}.hub" for leaf in LEAVES}
    assert max(drawings_of.values()) < 2 * min(drawings_of.values())


def test_many_units_low_prices_and_short_ways_are_drawn_more_often() -> None:
    better = {"L00": {"units": 40}, "L01": {"price_micros": 60}}
    worse = {"L02": {"units": 1}, "L03": {"price_micros": 160}, "L04": {"hops": 9}}
    often = drawings(told(alone(), **better, **worse))
    usual = often["L10.hub"]
    assert min(often["L00.hub"], often["L01.hub"]) > 1.5 * usual
    assert max(often["L02.hub"], often["L03.hub"], often["L04.hub"]) < usual / 1.5


def test_who_cannot_serve_or_was_asked_or_has_no_known_key_is_not_drawn() -> None:
    world = told(alone(), L00={"units": 0}, L01={"price_micros": 2000}, L02={"memory_mib": 32}, L03={"hub": "Z11.hub"})
    often = drawings(world, price_micros_max=1000)
    assert not {f"L0{number}.hub" for number in range(4)} & set(often)
    assert "Z11.hub" not in often
    left = drawn(world.draft(A), buy_order(RENTER), [f"{leaf}.hub" for leaf in LEAVES[:18]], seed=b"")
    assert left == ["L18.hub", "L19.hub"]


def test_an_order_with_free_units_for_nothing_draws_only_those_first() -> None:
    often = drawings(told(alone(), **{leaf: {"price_micros": 0} for leaf in LEAVES[:HUBS_ASKED_MAX]}))
    assert set(often) == {f"{leaf}.hub" for leaf in LEAVES[:HUBS_ASKED_MAX]}


def test_neighbours_that_told_of_nothing_are_asked_first() -> None:
    world = told(alone())
    for protection in ("homomorphic", "enclave", "sealed-result"):
        del world.records[A][f"heard/{protection}/L07.hub"]
    assert drawings(world)["L07.hub"] == 200


def test_what_the_first_hubs_lack_is_asked_of_others_at_once_until_all_were_asked() -> None:
    world = star(units=1)
    start = world.now
    world.buy(RENTER, units=18, lessors_max=20)
    world.settle()
    assert world.now == start
    assert sum(contract.units for contract in world.contracts(RENTER)) == 18
    asked = [event.to for event in world.wire("quote.requested")]
    assert sorted(asked) == sorted(set(asked))
    assert len(asked) == len(LEAVES)
    needs = {event.data.need.units for event in world.wire("quote.requested")}  # type: ignore[union-attr]
    assert needs == {18, 10, 2}, "the others are asked for what is lacking"
    assert not [record for leaf in LEAVES for record in world.all(leaf, QuoteRecord)]


def test_hubs_that_do_not_answer_are_not_waited_for_until_what_others_quoted_has_lapsed() -> None:
    world = star(units=1)
    quick = LEAVES[-2:]
    world.cut_off = {hub_address(leaf) for leaf in LEAVES if leaf not in quick}
    world.buy(RENTER, units=3, units_min=1, lessors_max=3, match_by=world.now + 60)
    world.run(59)
    assert world.contracts(RENTER)
    assert all(Address(contract.lessor).startswith(tuple(quick)) for contract in world.contracts(RENTER))
