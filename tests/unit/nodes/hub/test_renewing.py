"""An order that renews contracts may have their units; nobody else may, and not long before they end."""

from __future__ import annotations

import pytest

from schemas import limits
from schemas.events import ContractEnded, QuoteRequested
from schemas.ids import derive_id
from schemas.orders import Need
from tests.unit.nodes.hub.world import World, buy_order

RENTER, OTHER = "A11.A12", "A11.A13"
LEASE = 600.0
SOON = LEASE - limits.RENEWAL_SECONDS_MAX


@pytest.fixture(params=["A11.A14", "B11.B12"], ids=["own-lessor", "lessor-of-another-hub"])
def world(request: pytest.FixtureRequest) -> World:
    """A lessor all of whose units are rented."""
    world = World({"A11": ["A12", "A13", "A14"], "B11": ["B12"]})
    world.sell(request.param, units=2, expires_at=world.now + 3600)
    world.settle()
    world.buy(RENTER, units=2, lease_seconds=LEASE)
    world.settle()
    world.run(20)
    return world


def renewed(world: World, renter: str, after: float) -> int:
    """Units that the renter gets by an order that renews the contract, so long after it began."""
    (first,) = world.contracts(RENTER)
    world.run(after - 20)
    world.buy(renter, 2, units=2, renews=(first.id,), lease_seconds=LEASE)
    world.run(5)
    return sum(contract.units for contract in world.contracts(renter) if contract.id != first.id)


def test_the_renter_goes_on_with_its_units_shortly_before_the_end(world: World) -> None:
    assert renewed(world, RENTER, SOON) == 2
    assert [refusal.code for refusal in world.refusals] == []


def test_nobody_else_gets_them(world: World) -> None:
    assert renewed(world, OTHER, SOON) == 0


def test_a_hub_that_asks_for_another_renter_gets_nothing_of_them(world: World) -> None:
    """Its own hub would have refused the order; this one lies."""
    (contract,) = world.contracts(RENTER)
    world.run(SOON)
    buy = buy_order(OTHER, 7, now=world.now, units=2, renews=(contract.id,))
    quote, need = derive_id("quote", 1), Need(units=2, lessors_min=1, lessors_max=1)
    world.send("quote.requested", "A11.hub", QuoteRequested(quote=quote, buy=buy, need=need), to="B11.hub")
    world.settle()
    answers = [event.data.offers for event in world.wire("quote.offered") if event.data.quote == quote]  # type: ignore[union-attr]
    assert answers == [()]


def test_long_before_the_end_they_are_held_once(world: World) -> None:
    assert renewed(world, RENTER, SOON - 60) == 0


def test_a_contract_is_renewed_once(world: World) -> None:
    assert renewed(world, RENTER, SOON) == 2
    first = world.contracts(RENTER)[0]
    world.buy(RENTER, 3, units=2, renews=(first.id,))
    world.run(5)
    assert len(world.contracts(RENTER)) == 2


def test_units_are_free_again_when_both_have_ended(world: World) -> None:
    renewed(world, RENTER, SOON)
    world.run(2 * LEASE)
    world.buy(OTHER, 9, units=2)
    world.run(5)
    assert sum(contract.units for contract in world.contracts(OTHER)) == 2


def test_an_order_that_renews_what_nobody_rents_is_refused(world: World) -> None:
    world.buy(OTHER, 5, renews=(world.contracts(RENTER)[0].id,))
    world.settle()
    (refused,) = world.got(OTHER, "order.buy.refused")
    assert refused.code == "not-rented"


def test_a_lessor_may_end_its_contract_and_the_renter_hears_of_it(world: World) -> None:
    (contract,) = world.contracts(RENTER)
    world.send("contract.ended", contract.lessor, ContractEnded(contract=contract.id, code="idle"))
    world.settle()
    assert [ended.code for ended in world.got(RENTER, "contract.ended")] == ["idle"]
    assert world.got(contract.lessor, "contract.ended") == []
    assert set(world.held(contract.lessor[:3]).values()) == {0}
    assert "contract" not in world.kinds("A11") | world.kinds("B11")
    assert world.refusals == []


def test_a_lessor_cannot_call_itself_silent(world: World) -> None:
    (contract,) = world.contracts(RENTER)
    world.send("contract.ended", contract.lessor, ContractEnded(contract=contract.id, code="silent"))
    world.settle()
    assert [refusal.code for refusal in world.refusals] == ["not-your-contract"]
