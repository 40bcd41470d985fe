"""What lies within whose terms: buy and sell orders, offers and capacity held against each other. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from nodes.machine import Verify
from schemas import limits
from schemas.ids import Address, hub_of
from schemas.orders import BuyOrder, Capacity, Offer, SellOrder
from schemas.signing import struct_bytes

MATCH_SECONDS_MAX: Final = 3600.0
"""No buy order is kept open longer."""


class Objection(NamedTuple):
    """Why something is not done: `code` in kebab-case, `reason` for people."""

    code: str
    reason: str


def acceptable(sell: SellOrder, buy: BuyOrder, avoid: frozenset[str]) -> bool:
    """Whether this sell order is within the buy order's terms, in whatever book it stands."""
    return (
        buy.protection in sell.protections
        and sell.price_micros <= buy.price_micros_max
        and sell.memory_mib >= buy.memory_mib
        and sell.lessor != buy.renter
        and sell.lessor not in avoid
    )


def may_serve(capacity: Capacity, buy: BuyOrder) -> bool:
    """Whether another hub's subnet has anything for this buy order, as far as it told."""
    within = capacity.price_micros <= buy.price_micros_max and capacity.memory_mib >= buy.memory_mib
    return capacity.protection == buy.protection and capacity.units > 0 and within


def asks_more(order: SellOrder, before: SellOrder) -> bool:
    """A change of price or more units loses time priority, as on any exchange."""
    return order.price_micros != before.price_micros or order.units > before.units


def objection_to_buy(order: BuyOrder, now: float) -> Objection | None:
    """Why this order cannot be served at all: codes bad-order and no-match."""
    if not order.lessors_min <= min(order.lessors_max, order.units):
        spread = f"{order.units} units cannot be spread over {order.lessors_min} to {order.lessors_max} lessors"
        return Objection("bad-order", f"{spread}; ask for more units, or for fewer lessors")
    if (order.units_min or order.units) > order.units:
        return Objection("bad-order", f"at least {order.units_min} of {order.units} units; ask for fewer at least")
    if order.match_by <= now:
        return Objection("no-match", "the order's match_by was over before it came; set both clocks")
    if order.match_by > now + MATCH_SECONDS_MAX + limits.CLOCK_SKEW_SECONDS_MAX:
        return Objection("bad-order", f"match_by is more than {MATCH_SECONDS_MAX:.0f} seconds away; ask for less")
    return None


def objection_to_offer(offer: Offer, hub: str, buy: BuyOrder, now: float, verify: Verify) -> str:
    """Why this hub's offer is not used for the order, or nothing: it speaks for its own lessor, who signed it."""
    sell = offer.sell
    if hub_of(Address(sell.lessor)) != hub_of(Address(hub)):
        return "its lessor is of another subnet"
    if offer.units > sell.units or sell.expires_at <= now:
        return "it has more units than its sell order, or has expired"
    if not acceptable(sell, buy, frozenset(buy.avoid)):
        return "it is not within the buy order's terms"
    if not verify(offer.lessor_key, struct_bytes(sell), sell.signature):
        return "its sell order is not signed with the key beside it"
    return ""
