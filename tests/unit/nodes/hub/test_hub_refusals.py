"""Every way in which a hub says no: its code, who erred and what to do, and what stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec import Struct, structs

from nodes.hub import buying
from nodes.hub.records import BuyRecord, ContractRecord, SellRecord
from nodes.machine import TIMER_FIRED, Publish, PublishFailed, Refused, Step, TimerFired
from schemas import limits
from schemas.contracts import Contract
from schemas.events import (
    BuyOrderRefused,
    ContractCountersigned,
    ContractEnded,
    ContractProposed,
    ContractRefused,
    DeliveryFailed,
    Event,
    OrderCancelled,
    QuoteOffered,
    QuoteReleased,
    QuoteRequested,
)
from schemas.ids import derive_id
from schemas.orders import BuyOrder, Need, SellOrder
from schemas.signing import struct_bytes
from tests.unit.nodes.hub.subnets import RENTER, SUBNETS, A, B, C
from tests.unit.nodes.hub.world import START, World, buy_order, capacity, hold_proposals, placed, sell_order, signer

OTHER_RENTER, LESSOR, OTHER_LESSOR = "A11.A14", "B11.B12", "B11.B13"
NEED = Need(units=1, lessors_min=1, lessors_max=1)


@dataclass(frozen=True)
class Market:
    """RENTER wants two of LESSOR's four units: A has proposed the contract, and B has not seen it yet."""

    world: World
    sell: SellOrder
    buy: BuyOrder
    contract: Contract
    quote: str

    def send(self, event_type: str, source: str, data: Struct, to: str = "") -> Event:
        return self.world.send(event_type, source, data, to=to)

    def fire(self, hub: str, name: str, at: float = START) -> Event:
        return replace(self.send("timer", hub, TimerFired(name=name, at=at), to=hub), type=TIMER_FIRED)

    def propose(self, contract: Contract | None = None, quote: str = "", source: str = A) -> Event:
        data = ContractProposed(quote=quote or self.quote, contract=contract or self.contract)
        return self.send("contract.proposed", source, data, to=B)

    def countersign(self, contract: Contract, source: str = B) -> Event:
        return self.send("contract.countersigned", source, ContractCountersigned(contract=contract), to=A)

    def signed_by_b(self) -> Contract:
        """What B countersigns, before anybody hears of it."""
        self.world.handle(self.propose())
        (countersigned,) = self.world.wire("contract.countersigned")
        assert isinstance(countersigned.data, ContractCountersigned)
        return countersigned.data.contract


@pytest.fixture
def market() -> Market:
    world = World(SUBNETS)
    sell = world.sell(LESSOR)
    world.settle()
    buy = world.buy(RENTER)
    (proposal,) = hold_proposals(world)
    assert isinstance(proposal.data, ContractProposed)
    return Market(world, sell, buy, proposal.data.contract, proposal.data.quote)


@pytest.fixture(autouse=True)
def small_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the sell order that every market has, and for one buy order more."""
    monkeypatch.setattr(limits, "SELL_ORDERS_PER_HUB_MAX", 1)
    monkeypatch.setattr(buying, "BUY_ORDERS_PER_HUB_MAX", 2)


Arrange = Callable[[Market], Event]


def signed(order: Any, by: str) -> Any:
    return structs.replace(order, signature=signer(by)(struct_bytes(order)))


def renamed(order: SellOrder | BuyOrder, by: str) -> Any:
    """An order under another's id, correctly signed by its own author."""
    field = "lessor" if isinstance(order, SellOrder) else "renter"
    return signed(structs.replace(order, **{field: by}), by)


def sells(data: SellOrder, source: str = LESSOR) -> Arrange:
    return lambda market: market.send("order.sell.placed", source, placed(data))


def buys(data: BuyOrder, source: str = RENTER) -> Arrange:
    return lambda market: market.send("order.buy.placed", source, data)


def answers_anothers_quote(market: Market) -> Event:
    market.world.cut_off = {B, C}
    order = market.world.buy(OTHER_RENTER)
    market.world.settle()
    asked = [event.data for event in market.world.wire("quote.requested") if event.to == B]
    assert isinstance(asked[-1], QuoteRequested)
    return market.send("quote.offered", C, QuoteOffered(quote=asked[-1].quote, order=order.id, offers=()), to=A)


def proposes_again(market: Market) -> Event:
    market.signed_by_b()
    return market.propose()


def ends_after_signing(source: str) -> Arrange:
    def arrange(market: Market) -> Event:
        market.signed_by_b()
        return market.send("contract.ended", source, ContractEnded(contract=market.contract.id, code="done"), to=B)

    return arrange


def asks(quote: str, renter: str = RENTER, source: str = A) -> Arrange:
    data = QuoteRequested(quote=quote, buy=buy_order(renter), need=NEED)
    return lambda market: market.send("quote.requested", source, data, to=B)


CANCEL = OrderCancelled(order=derive_id("order", "nobody's"))
TOLD = capacity(B)
UNSIGNED = bytes(64)

REFUSED: list[tuple[str, str, Arrange]] = [
    ("wrong-data", "order.buy.placed without", lambda m: m.send("order.buy.placed", RENTER, CANCEL)),
    ("wrong-data", "delivery.failed without", lambda m: m.send("delivery.failed", B, CANCEL, to=A)),
    ("unknown-timer", "no timer lunch/1", lambda m: m.fire(A, "lunch/1")),
    # sell orders
    ("not-your-order", "B11.B13 placed a sell order of B11.B12", sells(sell_order(LESSOR), OTHER_LESSOR)),
    ("sell-order-signature", "B11.B12 has not signed", sells(structs.replace(sell_order(LESSOR), units=9))),
    ("expired", "place it again with a later time", sells(sell_order(LESSOR, expires_at=START))),
    ("expires-too-late", "86400 seconds; place it for less", sells(sell_order(LESSOR, expires_at=START + 10**6))),
    ("order-exists", "another lessor's", sells(renamed(sell_order(LESSOR), OTHER_LESSOR), OTHER_LESSOR)),
    ("book-full", "1 sell orders, no more fit; try later", sells(sell_order(OTHER_LESSOR), OTHER_LESSOR)),
    ("unknown-order", "no sell order", lambda m: m.send("order.sell.cancelled", LESSOR, CANCEL)),
    (
        "not-your-order",
        "not a sell order of B11.B13; cancel only your own",
        lambda m: m.send("order.sell.cancelled", OTHER_LESSOR, OrderCancelled(order=m.sell.id)),
    ),
    # buy orders
    ("not-your-order", "A11.A14 placed a buy order of A11.A12", buys(buy_order(RENTER), OTHER_RENTER)),
    ("buy-order-signature", "A11.A12 has not signed", buys(structs.replace(buy_order(RENTER), units=9))),
    ("buy-order-signature", "sign it again", buys(structs.replace(buy_order(RENTER), signature=UNSIGNED))),
    ("order-exists", "an id of its own", buys(signed(structs.replace(buy_order(RENTER), units=1), RENTER))),
    ("order-exists", "an id of its own", buys(renamed(buy_order(RENTER), OTHER_RENTER), OTHER_RENTER)),
    ("unknown-order", "no buy order", lambda m: m.send("order.buy.cancelled", RENTER, CANCEL)),
    (
        "not-your-order",
        "not a buy order of A11.A14; cancel only your own",
        lambda m: m.send("order.buy.cancelled", OTHER_RENTER, OrderCancelled(order=m.buy.id)),
    ),
    # other hubs
    (
        "wrong-hub",
        "C11.hub cannot speak for B11.hub",
        lambda m: m.send(
            "quote.offered", C, QuoteOffered(quote=m.quote, order=m.buy.id, offers=(), capacities=(TOLD,)), to=A
        ),
    ),
    ("not-a-neighbour", "D11.hub is not linked to A11.hub", lambda m: m.world.tell("D11.hub", A, TOLD)),
    ("wrong-hub", "C11.hub is not the hub of A11.A12", asks(derive_id("quote", 1), source=C)),
    ("quote-exists", "was asked for before", lambda m: asks(m.quote)(m)),
    (
        "not-your-quote",
        "was not quoted to C11.hub; release only your own",
        lambda m: m.send("quote.released", C, QuoteReleased(quote=m.quote, order=m.buy.id), to=B),
    ),
    ("not-your-quote", "C11.hub was not asked", answers_anothers_quote),
    ("wrong-hub", "C11.hub proposed", lambda m: m.propose(source=C)),
    ("wrong-hub", "not between it", lambda m: m.propose(structs.replace(m.contract, lessor_hub=C))),
    ("contract-exists", "was proposed before", proposes_again),
    ("wrong-hub", "C11.hub countersigned", lambda m: m.countersign(m.contract, source=C)),
    ("not-as-proposed", "B11.hub changed", lambda m: m.countersign(structs.replace(m.contract, units=1))),
    (
        "lessor-hub-signature",
        "B11.hub has not signed",
        lambda m: m.countersign(structs.replace(m.contract, lessor_hub_signature=UNSIGNED)),
    ),
    (
        "not-your-contract",
        "C11.hub was not asked to sign",
        lambda m: m.send(
            "contract.refused", C, ContractRefused(contract=m.contract.id, order=m.buy.id, code="no", reason=""), to=A
        ),
    ),
    (
        "not-your-contract",
        "A11.A14 may not end",
        lambda m: m.send("contract.ended", OTHER_RENTER, ContractEnded(contract=m.contract.id, code="done")),
    ),
    ("not-your-contract", "B11.B13 may not end", ends_after_signing(OTHER_LESSOR)),
    ("not-your-contract", "C11.hub may not end", ends_after_signing(C)),
]


def _id(value: object) -> str | None:
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(("code", "says", "arrange"), REFUSED, ids=_id)
def test_what_is_wrong_in_itself_is_refused_and_changes_nothing(
    market: Market, code: str, says: str, arrange: Arrange
) -> None:
    event = arrange(market)
    before = _state(market.world)
    with pytest.raises(Refused) as refusal:
        market.world.handle(event)
    assert refusal.value.code == code
    assert says in refusal.value.reason
    assert _state(market.world) == before


def _state(world: World) -> object:
    kept = {hub: dict(records) for hub, records in world.records.items()}
    return kept, list(world.sent), list(world.notes), dict(world.timers)


# ---------------------------------------------------------------- what is answered with a refusal


def buys_for(**terms: Any) -> Arrange:
    return buys(buy_order(RENTER, 2, **terms))


def buys_one_too_many(market: Market) -> Event:
    market.world.handle(market.send("order.buy.placed", OTHER_RENTER, buy_order(OTHER_RENTER)))
    return buys_for()(market)


BUY_ORDERS_REFUSED: list[tuple[str, str, Arrange]] = [
    ("bad-order", "1 units cannot be spread over 2 to 2", buys_for(units=1, lessors_min=2, lessors_max=2)),
    ("bad-order", "cannot be spread over 2 to 1", buys_for(lessors_min=2, lessors_max=1)),
    ("bad-order", "at least 3 of 2 units; ask for fewer", buys_for(units=2, units_min=3)),
    ("bad-order", "3600 seconds away; ask for less", buys_for(match_by=START + 10**6)),
    ("no-match", "over before it came; set both clocks", buys_for(match_by=START - 1)),
    ("hub-full", "2 buy orders, no more fit; try again later", buys_one_too_many),
]


@pytest.mark.parametrize(("code", "says", "arrange"), BUY_ORDERS_REFUSED, ids=_id)
def test_a_buy_order_that_cannot_be_served_is_refused_to_its_renter_and_nothing_is_kept_of_it(
    market: Market, code: str, says: str, arrange: Arrange
) -> None:
    event = arrange(market)
    step = market.world.handle(event)
    assert (step.put, step.delete) == ({}, frozenset())
    (refused,) = published(step)
    assert (refused.type, refused.to) == ("order.buy.refused", event.source)
    assert isinstance(event.data, BuyOrder)
    assert refused.data["order"] == event.data.id
    assert refused.data["code"] == code
    assert says in refused.data["reason"]


def published(step: Step) -> list[Publish]:
    return [effect for effect in step.effects if isinstance(effect, Publish)]


def resigned(contract: Contract) -> Contract:
    """Signed anew by the renter's hub, which deceives."""
    return structs.replace(contract, renter_hub_signature=signer(A)(struct_bytes(contract)))


def proposes(**changes: Any) -> Arrange:
    return lambda market: market.propose(resigned(structs.replace(market.contract, **changes)))


def proposes_when_the_lease_has_lapsed(market: Market) -> Event:
    market.world.cut_off = {A}
    market.world.run(limits.QUOTE_LEASE_SECONDS + 1)
    return market.propose()


def proposes_on_a_cancelled_order(market: Market) -> Event:
    market.world.handle(market.send("order.sell.cancelled", LESSOR, OrderCancelled(order=market.sell.id)))
    return market.propose()


def proposes_an_order_nobody_signed(market: Market) -> Event:
    """The renter's hub asked for a quote for an order of its own making."""
    made_up, quote = structs.replace(market.buy, signature=UNSIGNED), derive_id("quote", "made up")
    market.world.handle(market.send("quote.requested", A, QuoteRequested(quote=quote, buy=made_up, need=NEED), to=B))
    return market.propose(resigned(structs.replace(market.contract, buy=made_up, units=1)), quote)


PROPOSALS_REFUSED: list[tuple[str, str, Arrange]] = [
    ("reservation-ended", "nothing is reserved", proposes_when_the_lease_has_lapsed),
    ("reservation-ended", "ask for another quote", lambda m: m.propose(quote=derive_id("quote", "unknown"))),
    ("order-cancelled", "the lessor took", proposes_on_a_cancelled_order),
    ("order-cancelled", "ask for another quote", proposes(sell=sell_order(LESSOR, 2))),
    ("not-as-quoted", "3 units of", proposes(units=3)),
    ("not-as-quoted", "propose what was quoted", proposes(sell=sell_order(LESSOR, price_micros=1))),
    ("not-as-quoted", "for this buy order", proposes(buy=buy_order(RENTER, 2))),
    ("not-as-quoted", "were not quoted so", proposes(lessor_key=bytes(32))),
    ("lease", "set the clocks of both hubs", proposes(starts_at=START - 900)),
    ("lease", "does not start now", proposes(ends_at=START)),
    ("lease", "not the lease asked for", proposes(ends_at=START + 10**6)),
    ("price", "not the price that the lessor asks", proposes(price_micros=99)),
    ("renter-hub-signature", "A11.hub has not signed it so", lambda m: m.propose(structs.replace(m.contract, units=1))),
    ("buy-order-signature", "A11.A12 has not signed this buy order", proposes_an_order_nobody_signed),
]


@pytest.mark.parametrize(("code", "says", "arrange"), PROPOSALS_REFUSED, ids=_id)
def test_the_lessors_hub_signs_only_what_it_quoted_and_nothing_else_holds_a_unit(
    market: Market, code: str, says: str, arrange: Arrange
) -> None:
    event = arrange(market)
    step = market.world.handle(event)
    (refused,) = published(step)
    assert (refused.type, refused.to) == ("contract.refused", A)
    assert refused.data["code"] == code
    assert says in refused.data["reason"]
    assert not market.world.all("B11", ContractRecord)
    holders = {holder for record in market.world.records[B].values() for holder in getattr(record, "held", {})}
    assert not [holder for holder in holders if holder.startswith("contract/")]


@pytest.mark.parametrize("share", [-0.9, -0.2, 0.05])
def test_clocks_of_two_hubs_may_differ_as_much_as_those_of_senders_of_events(market: Market, share: float) -> None:
    starts_at = START + share * limits.CLOCK_SKEW_SECONDS_MAX
    lease = market.contract.ends_at - market.contract.starts_at
    event = proposes(starts_at=starts_at, ends_at=starts_at + lease)(market)
    assert "contract.countersigned" in [each.type for each in published(market.world.handle(event))]


def test_a_lessor_whose_clock_is_ahead_may_ask_for_the_longest_order(market: Market) -> None:
    ahead = 0.9 * limits.CLOCK_SKEW_SECONDS_MAX
    longest = sell_order(LESSOR, expires_at=START + ahead + limits.SELL_ORDER_SECONDS_MAX)
    market.world.handle(sells(longest)(market))
    assert longest in [each.order for each in market.world.all("B11", SellRecord)]


# ---------------------------------------------------------------- what is given up


def cancels(market: Market) -> Event:
    return market.send("order.buy.cancelled", RENTER, OrderCancelled(order=market.buy.id))


def answers_too_late(market: Market) -> Event:
    late = market.signed_by_b()
    market.world.handle(cancels(market))
    return market.countersign(late)


def wakes(market: Market) -> Event:
    (record,) = market.world.all("A11", BuyRecord)
    return market.fire(A, f"wake/{market.buy.id}", record.wake_at)


def fails_to_deliver(market: Market) -> Event:
    failed = DeliveryFailed(event=derive_id("event", 1), type="contract.proposed", to=B, reason="no route")
    return market.send("delivery.failed", C, failed, to=A)


def fails_to_publish(market: Market) -> Event:
    return market.send("publish.failed", A, PublishFailed(type="contract.proposed", to=B, reason="no queue"), to=A)


def expires(market: Market) -> Event:
    market.world.now = market.signed_by_b().ends_at
    return market.fire(B, f"contract/{market.contract.id}", market.world.now)


GIVEN_UP: list[tuple[str, str, Arrange]] = [
    ("not-matched", B, cancels),
    ("not-wanted", B, answers_too_late),
    ("late", B, wakes),
    ("unreachable", B, fails_to_deliver),
    ("unreachable", B, fails_to_publish),
    ("expired", LESSOR, expires),
]


@pytest.mark.parametrize(("code", "told", "arrange"), GIVEN_UP)
def test_whoever_holds_units_for_a_contract_that_is_given_up_is_told_why(
    market: Market, code: str, told: str, arrange: Arrange
) -> None:
    step = market.world.handle(arrange(market))
    (ended,) = [effect for effect in published(step) if effect.type == "contract.ended"]
    assert (ended.to, ended.data["contract"], ended.data["code"]) == (told, market.contract.id, code)
    assert not market.world.all("A11" if told == B else "B11", ContractRecord)
    assert BuyOrderRefused not in {type(event.data) for event in market.world.sent}
