"""What renters, lessors and hubs live through: two and three hubs in memory, with the clock in the test's hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from nodes.contracts import verify_contract
from nodes.hub.proposing import PROPOSAL_SECONDS
from nodes.hub.records import BuyRecord, ContractRecord, QuoteRecord, SellRecord
from nodes.hub.rounds import PROPOSALS_PER_ORDER_MAX, RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from nodes.machine import TIMER_FIRED, Note, Refused, TimerFired
from schemas import limits
from schemas.contracts import Contract, Receipt
from schemas.events import (
    BuyOrderRefused,
    ContractEnded,
    ContractsCompleted,
    DeliveryFailed,
    Event,
    OrderCancelled,
    QuoteOffered,
    QuoteRequested,
)
from schemas.ids import derive_id
from schemas.orders import Capacity, Need, Offer
from tests.unit.nodes.hub.world import START, World, buy_order, hold_proposals, placed, public_key, sell_order, verify

SUBNETS = {"A11": ["A12", "A13", "A14"], "B11": ["B12", "B13"], "C11": ["C12"]}
A, B, C = "A11.hub", "B11.hub", "C11.hub"
RENTER = "A11.A12"


@pytest.fixture
def world() -> World:
    return World(SUBNETS)


def shares(contracts: list[Contract]) -> list[tuple[str, int]]:
    return [(contract.lessor, contract.units) for contract in contracts]


def assert_matched(world: World, *expected: tuple[str, int]) -> list[Contract]:
    """The renter got exactly these lessors with these units, best first, and is told that these are all."""
    contracts = world.contracts(RENTER)
    assert shares(contracts) == list(expected)
    completed = world.got(RENTER, "order.buy.matched")
    assert len(completed) == 1
    assert isinstance(completed[0], ContractsCompleted)
    assert completed[0].contracts == tuple(contract.id for contract in contracts)
    for contract in contracts:
        verify_contract(contract, world.hub_keys, verify)
        assert world.contracts(contract.lessor) == [contract]
    assert world.refusals == []
    return contracts


def refusal_of(world: World, event: Event) -> str:
    with pytest.raises(Refused) as refusal:
        world.handle(event)
    return refusal.value.code


def world_offer(world: World, lessor: str) -> Offer:
    return Offer(
        sell=sell_order(lessor),
        lessor_key=public_key(lessor),
        units=2,
        placed_at=world.now,
        reserved_until=world.now + 15,
    )


# ---------------------------------------------------------------- matching


def test_a_lessor_of_the_own_subnet_is_rented_at_once(world: World) -> None:
    world.sell("A11.A13")
    for hub in (B, C):
        world.send("capacity.advertised", hub, Capacity(hub=hub, units={}, best_price_micros={}, at=START), to=A)
    world.buy(RENTER)
    world.settle()
    assert_matched(world, ("A11.A13", 2))
    assert world.held("A11") == {"A11.A13": 2}
    assert not world.wire("quote.requested")


def test_a_lessor_of_another_subnet_is_rented_through_both_hubs(world: World) -> None:
    world.sell("B11.B12")
    world.buy(RENTER)
    world.settle()
    (contract,) = assert_matched(world, ("B11.B12", 2))
    assert (contract.renter_hub, contract.lessor_hub) == (A, B)
    assert world.held("B11") == {"B11.B12": 2}
    assert [type(each) for each in world.all("A11", ContractRecord)] == [ContractRecord]


def test_the_cheapest_offers_of_all_hubs_win_and_the_rest_is_released(world: World) -> None:
    world.sell("A11.A13", price_micros=300)
    world.sell("B11.B12", price_micros=100, units=1)
    world.sell("B11.B13", price_micros=400)
    world.sell("C11.C12", price_micros=200)
    world.buy(RENTER, units=3, lessors_max=3)
    world.settle()
    assert_matched(world, ("B11.B12", 1), ("C11.C12", 2))
    assert world.held("A11") == {"A11.A13": 0}
    assert world.held("B11") == {"B11.B12": 1, "B11.B13": 0}
    assert world.held("C11") == {"C11.C12": 2}
    assert not world.all("B11", QuoteRecord)
    assert not world.all("C11", QuoteRecord)


def test_among_equal_prices_the_order_that_was_placed_first_wins_across_hubs(world: World) -> None:
    for lessor in ("C11.C12", "A11.A13", "B11.B12"):
        world.sell(lessor)
        world.run(1)
    world.buy(RENTER)
    world.settle()
    assert_matched(world, ("C11.C12", 2))


def test_a_renewal_keeps_its_place_in_time_but_a_new_price_or_more_units_lose_it(world: World) -> None:
    for number, lessor in enumerate(("B11.B12", "B11.B13", "C11.C12")):
        world.sell(lessor, price_micros=90 + 10 * (number == 0))
        world.run(1)
    world.sell("B11.B12", price_micros=90)
    world.sell("B11.B13", price_micros=90, units=5)
    world.sell("C11.C12", price_micros=90, expires_at=START + 7200)
    world.buy(RENTER, units=6, lessors_max=2)
    world.settle()
    assert_matched(world, ("C11.C12", 4), ("B11.B12", 2))


def test_an_order_is_spread_over_as_many_lessors_as_it_asks_for(world: World) -> None:
    world.sell("A11.A13", price_micros=100)
    world.sell("B11.B12", price_micros=200)
    world.sell("C11.C12", price_micros=300)
    world.buy(RENTER, units=5, lessors_min=3, lessors_max=3)
    world.settle()
    assert_matched(world, ("A11.A13", 3), ("B11.B12", 1), ("C11.C12", 1))


@pytest.mark.parametrize(
    ("buy", "sell"),
    [
        ({"price_micros_max": 99}, {}),
        ({"protection": "homomorphic"}, {"protections": ("enclave",)}),
        ({"units": 5}, {}),
        ({"units": 2, "lessors_min": 2, "lessors_max": 2}, {}),
        ({"avoid": ("B11.B12",)}, {}),
        ({}, {"expires_at": START + 0.5}),
    ],
)
def test_what_does_not_fit_is_refused_when_the_time_is_up_saying_what_was_lacking(
    world: World, buy: dict[str, Any], sell: dict[str, Any]
) -> None:
    world.sell("B11.B12", **sell)
    world.run(1)
    order = world.buy(RENTER, **buy)
    world.run(29)
    assert not world.inbox.get(RENTER)
    world.run(60)
    (refused,) = world.got(RENTER, "order.buy.refused")
    assert isinstance(refused, BuyOrderRefused)
    assert (refused.order, refused.job, refused.code) == (order.id, order.job, "no-match")
    assert "wanted" in refused.reason
    assert world.held("B11").get("B11.B12", 0) == 0
    assert world.kinds("A11") <= {"capacity"}


def test_nobody_is_matched_with_itself(world: World) -> None:
    world.sell(RENTER)
    world.buy(RENTER)
    world.run(120)
    assert [refused.code for refused in world.got(RENTER, "order.buy.refused")] == ["no-match"]


def test_an_order_that_waits_is_matched_as_soon_as_an_own_lessor_comes(world: World) -> None:
    world.buy(RENTER)
    world.run(10)
    world.sell("A11.A13")
    world.settle()
    assert_matched(world, ("A11.A13", 2))


def test_an_order_that_waits_is_matched_when_another_hub_has_news(world: World) -> None:
    world.buy(RENTER)
    world.run(10)
    world.sell("B11.B12")
    world.settle()
    assert_matched(world, ("B11.B12", 2))


def test_an_order_that_waits_is_tried_again_after_a_pause_without_any_news(world: World) -> None:
    world.lost = {"capacity.advertised"}
    world.buy(RENTER)
    world.run(10)
    world.sell("B11.B12")
    world.settle()
    assert not world.contracts(RENTER)
    world.run(RETRY_SECONDS_MAX)
    assert_matched(world, ("B11.B12", 2))


def test_the_pauses_between_tries_grow_to_their_bound(world: World) -> None:
    world.buy(RENTER, match_by=START + 300)
    world.run(299)
    tries = [event.time for event in world.wire("quote.requested") if event.to == B]
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == sorted(pauses)
    assert 0.75 * RETRY_SECONDS_MIN <= pauses[0] <= 1.25 * RETRY_SECONDS_MIN
    assert 0.75 * RETRY_SECONDS_MAX <= pauses[-1] <= 1.25 * RETRY_SECONDS_MAX


def test_a_timer_that_was_set_anew_does_not_count_when_the_old_one_fires(world: World) -> None:
    order = world.buy(RENTER)
    world.settle()
    (record,) = world.all("A11", BuyRecord)
    for early, asked_again in ((0.1, False), (0.0, True)):
        fired = TimerFired(name=f"wake/{order.id}", at=record.wake_at - early)
        step = world.handle(replace(world.send("x", A, fired), type=TIMER_FIRED))
        assert bool(step.effects) == asked_again


def test_an_order_that_waits_is_matched_when_a_contract_ends(world: World) -> None:
    world.sell("B11.B12", units=2)
    world.buy("A11.A14", 1)
    world.settle()
    (taken,) = world.contracts("A11.A14")
    world.buy(RENTER, 2)
    world.run(10)
    world.send("contract.ended", "A11.A14", ContractEnded(contract=taken.id, code="completed"))
    world.run(limits.ADVERTISE_SECONDS)
    assert shares(world.contracts(RENTER)) == [("B11.B12", 2)]


@pytest.mark.parametrize("hubs", [(B,), (B, C)])
def test_an_order_that_no_lessor_can_hold_is_refused_as_soon_as_that_is_known(
    world: World, hubs: tuple[str, ...]
) -> None:
    """At once where every hub has told; else when those without lessors would have told of some."""
    for hub in hubs:
        world.sell(f"{hub.removesuffix('.hub')}.{'B12' if hub == B else 'C12'}", memory_mib=1024)
    world.run(1)
    world.buy(RENTER, memory_mib=2300)
    world.run(0.5 if hubs == (B, C) else 2 * limits.ADVERTISE_SECONDS)
    (refused,) = world.got(RENTER, "order.buy.refused")
    assert isinstance(refused, BuyOrderRefused)
    assert refused.code == "no-memory"
    assert refused.reason == "the program needs 2,300 MiB per unit; the most offered is 1,024"
    assert not [event for event in world.wire("quote.requested") if event.to == B]


@pytest.mark.parametrize("busy", [False, True])
def test_an_order_that_a_lessor_can_hold_waits_for_it(world: World, busy: bool) -> None:
    """One that is too dear may come down, and one that is busy will be free."""
    world.sell("B11.B12", memory_mib=4096, units=2, price_micros=100 if busy else 2000)
    world.sell("C11.C12", memory_mib=1024, units=2, price_micros=200)
    world.run(1)
    if busy:
        world.buy("A11.A14", memory_mib=2300)
        world.run(1)
    world.buy(RENTER, memory_mib=2300)
    world.run(20)
    assert not world.got(RENTER, "order.buy.refused")
    world.run(60)
    (refused,) = world.got(RENTER, "order.buy.refused")
    assert isinstance(refused, BuyOrderRefused)
    assert (refused.code, "with 2,300 MiB each" in refused.reason) == ("no-match", True)


def test_units_of_enough_memory_are_rented_wherever_they_are(world: World) -> None:
    world.sell("A11.A13", memory_mib=1024, price_micros=10)
    world.sell("B11.B12", memory_mib=2300, price_micros=500)
    world.run(1)
    world.buy(RENTER, memory_mib=2300)
    world.settle()
    assert_matched(world, ("B11.B12", 2))


def test_only_hubs_that_may_serve_are_asked_and_unknown_ones_are(world: World) -> None:
    world.sell("B11.B12", price_micros=2000)
    world.run(1)
    world.buy(RENTER)
    world.settle()
    assert {event.to for event in world.wire("quote.requested")} == {C}


def test_capacity_that_is_older_than_known_is_ignored(world: World) -> None:
    for at, units in ((START + 2, 7), (START + 1, 3)):
        told = Capacity(
            hub=B, units={"enclave": units}, memory_mib={"enclave": 64}, best_price_micros={"enclave": 5}, at=at
        )
        world.send("capacity.advertised", B, told, to=A)
    world.settle()
    kept = world.records[A][f"capacity/{B}"]
    assert kept.capacity.units == {"enclave": 7}  # type: ignore[attr-defined]


def test_capacity_is_told_in_sums_at_most_every_few_seconds(world: World) -> None:
    for number in range(20):
        world.sell("B11.B12", number, price_micros=100 + number, units=2)
        world.run(0.1)
    world.run(limits.ADVERTISE_SECONDS)
    told = [event.data for event in world.wire("capacity.advertised") if event.to == A]
    assert len(told) == 2
    last = told[-1]
    assert isinstance(last, Capacity)
    assert last.units == {"homomorphic": 40, "enclave": 40, "sealed-result": 40}
    assert last.best_price_micros == {"homomorphic": 100, "enclave": 100, "sealed-result": 100}
    assert last.memory_mib == {"homomorphic": 1024, "enclave": 1024, "sealed-result": 1024}


def test_two_orders_that_want_the_same_units_are_never_both_served(world: World) -> None:
    world.sell("B11.B12", units=3)
    world.buy(RENTER)
    world.buy("A11.A14")
    world.run(120)
    assert len(world.contracts(RENTER)) + len(world.contracts("A11.A14")) == 1
    assert len(world.got(RENTER, "order.buy.refused") + world.got("A11.A14", "order.buy.refused")) == 1


# ---------------------------------------------------------------- quotes and reservations


def test_a_hub_that_does_not_answer_delays_the_order_only_so_long(world: World) -> None:
    world.cut_off = {C}
    world.sell("B11.B12")
    world.buy(RENTER)
    world.run(limits.QUOTE_WAIT_SECONDS - 0.1)
    assert not world.contracts(RENTER)
    world.run(0.2)
    assert_matched(world, ("B11.B12", 2))


def test_a_quote_that_comes_too_late_is_released(world: World) -> None:
    world.cut_off = {C}
    world.sell("C11.C12", price_micros=1)
    world.sell("B11.B12")
    world.buy(RENTER)
    world.run(limits.QUOTE_WAIT_SECONDS + 1)
    world.cut_off = set()
    world.settle()
    assert_matched(world, ("B11.B12", 2))
    assert world.held("C11") == {"C11.C12": 0}
    assert not world.all("C11", QuoteRecord)


def test_what_nobody_takes_is_free_again_when_its_lease_is_over(world: World) -> None:
    world.sell("B11.B12")
    buy = buy_order(RENTER)
    need = Need(units=2, lessors_min=1, lessors_max=1)
    world.settle()
    world.cut_off = {A}
    world.send("quote.requested", A, QuoteRequested(quote=derive_id("quote", 1), buy=buy, need=need), to=B)
    world.settle()
    assert world.held("B11") == {"B11.B12": 2}
    world.run(limits.QUOTE_LEASE_SECONDS + 0.1)
    assert world.held("B11") == {"B11.B12": 0}
    assert not world.all("B11", QuoteRecord)


def test_offers_that_are_not_the_hubs_to_make_are_dropped(world: World) -> None:
    world.cut_off = {B, C}
    order = world.buy(RENTER, match_by=START + 10)
    world.settle()
    (asked,) = [event for event in world.wire("quote.requested") if event.to == B]
    assert isinstance(asked.data, QuoteRequested)
    world.cut_off = {C}
    good = world_offer(world, "B11.B12")
    for offer in (
        world_offer(world, "C11.C12"),
        structs.replace(good, sell=structs.replace(good.sell, price_micros=1)),
        structs.replace(good, sell=sell_order("B11.B12", price_micros=1001)),
        structs.replace(good, units=9),
    ):
        world.queue = [event for event in world.queue if event.type != "quote.requested"]
        offered = QuoteOffered(quote=asked.data.quote, order=order.id, offers=(offer,))
        records = dict(world.records[A])
        world.handle(world.send("quote.offered", B, offered, to=A))
        world.records[A] = records
    dropped = [note.text for _, note in world.notes if note.kind == "offer-dropped"]
    assert len(dropped) == 4
    assert not world.wire("contract.proposed")


def test_an_unreachable_hub_is_not_waited_for(world: World) -> None:
    world.cut_off = {C}
    world.sell("B11.B12")
    world.buy(RENTER)
    world.settle()
    assert not world.contracts(RENTER)
    failed = DeliveryFailed(event=derive_id("event", 0), type="quote.requested", to=C, reason="no route")
    world.send("delivery.failed", B, failed, to=A)
    world.settle()
    assert_matched(world, ("B11.B12", 2))


# ---------------------------------------------------------------- proposals


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


# ---------------------------------------------------------------- ends


def rented(world: World, **fields: Any) -> Contract:
    world.sell("B11.B12", **fields)
    world.buy(RENTER)
    world.settle()
    return world.contracts(RENTER)[0]


def test_a_contract_ended_by_the_renter_frees_its_units_and_brings_the_receipt_to_the_lessor(world: World) -> None:
    contract = rented(world)
    receipt = Receipt(
        contract=contract.id,
        job=contract.buy.job,
        subtask=derive_id("subtask", 1),
        rows=9,
        batches=1,
        started_at=START,
        ended_at=START + 5,
        cost_micros=7,
    )
    data = ContractEnded(contract=contract.id, code="completed", receipt=receipt)
    world.send("contract.ended", RENTER, data)
    world.settle()
    assert world.got("B11.B12", "contract.ended") == [data]
    assert world.held("B11") == {"B11.B12": 0}
    assert not world.all("A11", ContractRecord) + world.all("B11", ContractRecord)


def test_a_contract_that_nobody_ends_expires_at_both_hubs(world: World) -> None:
    contract = rented(world)
    world.run(contract.ends_at - world.now + 1)
    assert [ended.code for ended in world.got("B11.B12", "contract.ended")] == ["expired"]
    assert world.held("B11") == {"B11.B12": 0}
    assert not world.all("A11", ContractRecord) + world.all("B11", ContractRecord)


def test_a_silent_lessor_is_not_matched_until_it_renews(world: World) -> None:
    contract = rented(world)
    world.send("contract.ended", RENTER, ContractEnded(contract=contract.id, code="silent"))
    world.run(1)
    world.buy("A11.A14")
    world.run(10)
    assert not world.contracts("A11.A14")
    world.sell("B11.B12", expires_at=world.now + 3600)
    world.settle()
    assert shares(world.contracts("A11.A14")) == [("B11.B12", 2)]


def test_a_cancelled_buy_order_is_never_matched_and_what_it_reserved_is_free(world: World) -> None:
    world.sell("A11.A13")
    world.sell("B11.B12")
    world.settle()
    order = world.buy(RENTER, units=6, lessors_max=2)
    (proposal,) = hold_proposals(world)
    world.send("order.buy.cancelled", RENTER, OrderCancelled(order=order.id))
    world.settle()
    world.queue.append(proposal)
    world.run(limits.QUOTE_LEASE_SECONDS)
    assert not world.inbox.get(RENTER)
    assert world.held("A11") | world.held("B11") == {"A11.A13": 0, "B11.B12": 0}
    assert not world.all("A11", ContractRecord) + world.all("B11", ContractRecord)
    assert len(world.contracts("B11.B12")) == len(world.got("B11.B12", "contract.ended"))


def test_a_cancelled_sell_order_is_not_matched_but_its_contracts_go_on(world: World) -> None:
    contract = rented(world)
    world.send("order.sell.cancelled", "B11.B12", OrderCancelled(order=contract.sell.id))
    world.buy("A11.A14")
    world.run(60)
    assert not world.contracts("A11.A14")
    assert [record.contract for record in world.all("B11", ContractRecord)] == [contract]
    world.send("contract.ended", RENTER, ContractEnded(contract=contract.id, code="completed"))
    world.settle()
    assert not world.all("B11", SellRecord)


def test_a_renewal_keeps_contracted_units_held(world: World) -> None:
    rented(world)
    world.run(1)
    world.sell("B11.B12", units=3)
    world.buy("A11.A14", units=2)
    world.run(60)
    assert not world.contracts("A11.A14")
    assert world.held("B11") == {"B11.B12": 2}


def test_a_renewal_older_than_what_is_known_is_ignored(world: World) -> None:
    world.run(5)
    world.sell("B11.B12", expires_at=START + 7200)
    world.settle()
    world.send("order.sell.placed", "B11.B12", placed(sell_order("B11.B12", units=1)), time=START)
    world.settle()
    assert [record.order.units for record in world.all("B11", SellRecord)] == [4]


def test_an_order_that_is_not_renewed_leaves_the_book(world: World) -> None:
    world.sell("B11.B12", expires_at=START + 60)
    world.run(61)
    assert not world.all("B11", SellRecord)
    assert world.wire("capacity.advertised")[-1].data.units["enclave"] == 0  # type: ignore[union-attr]


def test_a_hub_keeps_nothing_when_everything_is_over(world: World) -> None:
    rented(world)
    world.run(7200)
    assert all(world.kinds(hub) <= {"hub", "capacity"} for hub in SUBNETS)


def test_an_order_placed_again_is_not_matched_again(world: World) -> None:
    world.sell("B11.B12")
    order = world.buy(RENTER)
    world.settle()
    world.send("order.buy.placed", RENTER, order)
    world.run(10)
    assert len(world.contracts(RENTER)) == 1
    assert [record.state for record in world.all("A11", BuyRecord)] == ["matched"]


def test_senders_are_known_by_the_keys_of_the_directory(world: World) -> None:
    event = world.send("order.buy.placed", RENTER, buy_order(RENTER))
    machine = world.machines[A]
    assert machine.key_of({}, event) == machine.config.participants[RENTER]
    stranger = world.send("order.buy.placed", "B11.B12", buy_order(RENTER), to=A)
    assert machine.key_of({}, stranger) is None


def test_decisions_stand_in_the_journal(world: World) -> None:
    rented(world)
    (note,) = [note for hub, note in world.notes if note.kind == "matched"]
    assert isinstance(note, Note)
    (shown,) = note.details["contracts"].values()
    assert shown == {"lessor": "B11.B12", "units": 2, "price_micros": 100}
