"""Quotes of other hubs: awaited only so long, used only as far as they are theirs to make, and released."""

from __future__ import annotations

from msgspec import structs

from nodes.hub.records import QuoteRecord
from schemas import limits
from schemas.events import DeliveryFailed, QuoteOffered, QuoteRequested
from schemas.ids import derive_id
from schemas.orders import Need, Offer
from tests.unit.nodes.hub.subnets import RENTER, A, B, C, assert_matched
from tests.unit.nodes.hub.world import START, World, buy_order, public_key, sell_order


def world_offer(world: World, lessor: str) -> Offer:
    return Offer(
        sell=sell_order(lessor),
        lessor_key=public_key(lessor),
        units=2,
        placed_at=world.now,
        reserved_until=world.now + 15,
    )


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
