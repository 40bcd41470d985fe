"""Buy orders through their rounds: who is matched with whom, who waits for what, and who is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodes.hub.advertising import RENEW_SECONDS
from nodes.hub.records import BuyRecord, ContractRecord, QuoteRecord
from nodes.hub.rounds import RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from nodes.machine import TIMER_FIRED, TimerFired
from schemas import limits
from schemas.events import BuyOrderRefused, ContractEnded
from tests.unit.nodes.hub.subnets import RENTER, A, B, C, assert_matched, shares
from tests.unit.nodes.hub.world import START, World, capacity


def test_a_lessor_of_the_own_subnet_is_rented_at_once(world: World) -> None:
    world.sell("A11.A13")
    for hub in (B, C):
        world.tell(hub, A, capacity(hub))
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
    world.run(limits.ADVERTISE_SECONDS)
    world.buy(RENTER, units=5, lessors_max=2)
    world.settle()
    assert_matched(world, ("C11.C12", 3), ("B11.B12", 2))


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
    assert world.kinds("A11") <= {"hub", "heard"}


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
    """Others took what was quoted, and gave it back: the news of that are lost."""
    world.sell("B11.B12", units=2)
    world.buy("C11.C12", 1)
    world.settle()
    (taken,) = world.contracts("C11.C12")
    world.buy(RENTER, 2, match_by=START + 60)
    world.run(limits.ADVERTISE_SECONDS)
    world.lost = {"capacity.advertised"}
    world.send("contract.ended", "C11.C12", ContractEnded(contract=taken.id, code="completed"))
    world.settle()
    assert not world.contracts(RENTER)
    world.lost = set()
    world.run(RENEW_SECONDS + 1.25 * RETRY_SECONDS_MAX)
    assert shares(world.contracts(RENTER)) == [("B11.B12", 2)]


def test_the_pauses_between_tries_grow_to_their_bound(world: World) -> None:
    world.buy(RENTER, match_by=START + 300)
    pauses: list[float] = []
    while world.now < START + 250:
        world.settle()
        (record,) = world.all("A11", BuyRecord)
        pauses.append(record.wake_at - world.now)
        world.run(pauses[-1])
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
    world.run(0.5)
    assert bool(world.got(RENTER, "order.buy.refused")) == (hubs == (B, C))
    world.run(2 * limits.ADVERTISE_SECONDS)
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


def test_only_hubs_that_may_serve_are_asked(world: World) -> None:
    world.sell("B11.B12", price_micros=2000)
    world.sell("C11.C12")
    world.run(1)
    world.buy(RENTER)
    world.settle()
    assert {event.to for event in world.wire("quote.requested")} == {C}


def test_a_hub_that_has_nothing_is_asked_no_more_often_for_many_orders_than_for_one(world: World) -> None:
    for number in range(1, 41):
        world.buy(RENTER, number, match_by=START + 100)
        world.settle()
    world.run(99)
    asked = [event.time for event in world.wire("quote.requested") if event.to == B]
    assert len(asked) <= 99 / limits.CAPACITY_SECONDS_MAX + 1, f"{len(asked)} questions in 99 seconds"


def test_two_orders_that_want_the_same_units_are_never_both_served(world: World) -> None:
    world.sell("B11.B12", units=3)
    world.buy(RENTER)
    world.buy("A11.A14")
    world.run(120)
    assert len(world.contracts(RENTER)) + len(world.contracts("A11.A14")) == 1
    assert len(world.got(RENTER, "order.buy.refused") + world.got("A11.A14", "order.buy.refused")) == 1
