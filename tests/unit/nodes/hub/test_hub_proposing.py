"""Proposals to other hubs: refused, unanswered, given up."""

from __future__ import annotations

from nodes.hub.proposing import PROPOSAL_SECONDS
from nodes.hub.records import BuyRecord, ContractRecord, SellRecord
from nodes.hub.rounds import PROPOSALS_PER_ORDER_MAX, RETRY_SECONDS_MAX
from schemas import limits
from schemas.events import OrderCancelled
from tests.unit.nodes.hub.subnets import RENTER, B, assert_matched, shares
from tests.unit.nodes.hub.world import START, World, hold_proposals


def test_a_refused_proposal_is_made_good_elsewhere_and_the_signed_part_is_kept(world: World) -> None:
    world.sell("A11.A13", price_micros=100, units=4)
    world.sell("B11.B12", price_micros=200, units=1)
    world.sell("C11.C12", price_micros=300, units=1)
    world.settle()
    world.buy(RENTER, units=2, lessors_min=2, lessors_max=2)
    (proposal,) = hold_proposals(world)
    sell = next(record.order for record in world.all("B11", SellRecord))
    world.send("order.sell.cancelled", "B11.B12", OrderCancelled(order=sell.id))
    world.settle()
    world.queue.append(proposal)
    world.settle()
    assert_matched(world, ("A11.A13", 1), ("C11.C12", 1))
    assert world.held("A11") == {"A11.A13": 1}
    assert not world.all("B11", SellRecord)
    refused = world.wire("contract.refused")
    assert [event.data.code for event in refused] == ["order-cancelled"]  # type: ignore[union-attr]


def test_a_proposal_without_answer_is_given_up_and_its_late_signature_is_ended(world: World) -> None:
    world.sell("B11.B12", price_micros=100)
    world.sell("C11.C12", price_micros=200)
    world.settle()
    world.buy(RENTER)
    (proposal,) = hold_proposals(world)
    world.run(PROPOSAL_SECONDS + limits.QUOTE_WAIT_SECONDS + 1)
    (rented,) = world.contracts(RENTER)
    world.queue.append(proposal)
    world.run(1)
    assert len(world.contracts(RENTER)) == 1
    running = world.all("B11", ContractRecord) + world.all("C11", ContractRecord)
    assert [record.contract.id for record in running] == [rented.id]
    ended = world.got("B11.B12", "contract.ended")
    delivered = world.contracts("B11.B12")
    assert {each.contract for each in ended} == {each.id for each in delivered} - {rented.id}


def test_when_a_signed_part_has_expired_meanwhile_the_whole_order_is_looked_for_anew(world: World) -> None:
    world.lost = {"contract.proposed"}
    world.sell("A11.A13", units=1, price_micros=100)
    world.sell("B11.B12", price_micros=200)
    world.settle()
    world.buy(RENTER, units=3, lessors_max=3, lease_seconds=1.5 * PROPOSAL_SECONDS, match_by=START + 300)
    world.settle()
    world.sell("A11.A14", units=1, price_micros=100)
    world.run(PROPOSAL_SECONDS + 1)
    assert len(world.all("A11", BuyRecord)[0].signed) == 2
    world.lost = set()
    world.run(2 * PROPOSAL_SECONDS)
    contracts = world.contracts(RENTER)
    assert shares(contracts) == [("A11.A13", 1), ("A11.A14", 1), ("B11.B12", 1)]
    assert len({contract.starts_at for contract in contracts}) == 1


def test_what_was_quoted_beside_a_proposal_is_free_as_soon_as_the_order_is_cancelled(world: World) -> None:
    world.sell("A11.A13", units=1, price_micros=50)
    world.sell("B11.B12", units=1, price_micros=100)
    world.sell("B11.B13", units=1, price_micros=110)
    world.settle()
    order = world.buy(RENTER, lessors_max=2)
    (proposal,) = hold_proposals(world)
    assert proposal.to == B
    assert world.held("B11") == {"B11.B12": 1, "B11.B13": 1}
    world.send("order.buy.cancelled", RENTER, OrderCancelled(order=order.id))
    world.settle()
    assert world.held("A11") | world.held("B11") == {"A11.A13": 0, "B11.B12": 0, "B11.B13": 0}


def test_an_order_is_given_up_after_too_many_refused_proposals(world: World) -> None:
    world.sell("B11.B12")
    world.settle()
    world.lost = {"contract.proposed"}
    world.buy(RENTER, match_by=world.now + 3000)
    world.run(PROPOSALS_PER_ORDER_MAX * (PROPOSAL_SECONDS + RETRY_SECONDS_MAX + limits.QUOTE_LEASE_SECONDS))
    assert len(world.wire("contract.proposed")) == PROPOSALS_PER_ORDER_MAX
    assert [refused.code for refused in world.got(RENTER, "order.buy.refused")] == ["no-match"]
    assert world.held("B11") == {"B11.B12": 0}
    world.run(3000)
    assert "buy" not in world.kinds("A11")
