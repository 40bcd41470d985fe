"""The order book: sell orders of this subnet, which of their units are held, and what the others are told. Pure.

A unit is free, or held by exactly one reservation or contract (`records.SellRecord.held`), so none is sold twice. A
sell order may be matched while it has free units, has not expired, was not cancelled and its lessor is not silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from typing import Final

from msgspec import structs

from nodes.hub.draft import Draft
from nodes.hub.matching import Candidate
from nodes.hub.records import Own, SellRecord
from nodes.hub.terms import acceptable
from nodes.machine import CancelTimer, SetTimer
from nodes.ranking import Place, Wanted
from schemas import limits
from schemas.orders import PROTECTIONS, BuyOrder, Capacity, Offer, Protection

_LARGEST: Final = "largest"


class Book:
    """The book as one event sees and changes it.

    `news` are tests of which waiting buy orders this event may help; they are tried again once it is handled.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.news: list[Callable[[BuyOrder], bool]] = []

    def candidates(self, buy: BuyOrder, avoid: frozenset[str]) -> Iterator[Candidate]:
        """Offers of all free units that the buy order can use, best first."""
        for price_micros, _, sell_id in self._ranked(buy):
            if price_micros > buy.price_micros_max:
                return
            candidate = self.candidate(sell_id, buy, avoid)
            if candidate is not None:
                yield candidate

    def _ranked(self, buy: BuyOrder) -> Iterator[tuple[int, float, str]]:
        """Orders with free units, best first; and those whose units the renter has, and may go on with."""
        ranked = self.draft.ranked("sell", places, _free(buy.protection))
        held = {found.contract.sell.id for each in buy.renews if (found := self.draft.contract(each)) is not None}
        if not held:
            return ranked
        going_on = [rank(record) for each in held if (record := self.draft.sell(each)) is not None]
        return merge((each for each in ranked if each[-1] not in held), sorted(going_on))

    def candidate(self, sell_id: str, buy: BuyOrder, avoid: frozenset[str], holder: str = "") -> Candidate | None:
        """An offer of this sell order's free units, or of those that `holder` holds; None where it cannot serve."""
        record = self.draft.sell(sell_id)
        if record is None or not self._matchable(record):
            return None
        units = record.held.get(holder, 0) if holder else record.free_beside(self._renewed(buy))
        if not units or not acceptable(record.order, buy, avoid):
            return None
        offer = Offer(
            sell=record.order,
            lessor_key=record.lessor_key,
            units=units,
            placed_at=record.placed_at,
            reserved_until=self.draft.now + limits.QUOTE_LEASE_SECONDS,
        )
        return Candidate(offer)

    def _renewed(self, buy: BuyOrder) -> frozenset[str]:
        """Holders of units that the order's renter rents already, and may go on with."""
        if not buy.renews:
            return frozenset()
        known = {contract_id: self.draft.contract(contract_id) for contract_id in buy.renews}
        latest = self.draft.now + limits.RENEWAL_SECONDS_MAX + limits.QUOTE_LEASE_SECONDS
        return frozenset(
            f"contract/{contract_id}"
            for contract_id, found in known.items()
            if found is not None and found.contract.renter == buy.renter and found.contract.ends_at <= latest
        )

    def hold(self, sell_id: str, holder: str, units: int) -> None:
        """Let `holder` hold exactly `units` of this sell order (0: none)."""
        record = self.draft.sell(sell_id)
        if record is None:
            return
        held = {key: value for key, value in record.held.items() if key != holder}
        if units:
            held[holder] = units
        self.write(structs.replace(record, held=held))

    def write(self, record: SellRecord) -> None:
        """Put a sell order into the book, or drop it once it can never be matched again and nothing holds of it."""
        key = f"sell/{record.order.id}"
        if not record.held and (record.cancelled or record.order.expires_at <= self.draft.now):
            self.draft.delete(key)
            self.draft.do(CancelTimer(name=key))
        else:
            self.draft.put(key, record)
        self.changed()

    def announce(self, helps: Callable[[BuyOrder], bool]) -> None:
        """There is news for the waiting buy orders that `helps` is true of."""
        self.news.append(helps)

    def changed(self) -> None:
        """See that the neighbours are told, at most every `ADVERTISE_SECONDS`."""
        own = self.draft.find(Own, "hub") or Own()
        at = max(self.draft.now, own.told_at + limits.ADVERTISE_SECONDS)
        if 0 < own.tells_at <= at or not self.draft.config.neighbours:
            return
        self.draft.put("hub", structs.replace(own, tells_at=at))
        self.draft.do(SetTimer(name="advertise", at=at))

    def capacities(self) -> tuple[Capacity, ...]:
        """Sum of free units, best price and most memory under each protection, in their order."""
        return tuple(self._capacity(each) for each in PROTECTIONS)

    def _capacity(self, protection: Protection) -> Capacity:
        cheapest = next(self.draft.ranked("sell", places, _free(protection)), None)
        largest = next(self.draft.ranked("sell", places, lambda name: _LARGEST in name and protection in name), None)
        return Capacity(
            hub=self.draft.config.me,
            protection=protection,
            units=self.draft.ranked_sum("sell", places, _free(protection)),
            price_micros=0 if cheapest is None else cheapest[0],
            memory_mib=0 if largest is None else -largest[0],
            at=self.draft.now,
        )

    def _matchable(self, record: SellRecord) -> bool:
        return not record.silent and not record.cancelled and record.order.expires_at > self.draft.now


def rank(record: SellRecord) -> tuple[int, float, str]:
    """Best first: price, then time, then the smaller id."""
    return record.order.price_micros, record.placed_at, record.order.id


def places(record: SellRecord) -> tuple[Place, ...]:
    """By protections: an order with free units stands by its rank, and one of a living lessor by its memory."""
    if record.silent or record.cancelled:
        return ()
    order, free = record.order, record.free
    largest = Place((_LARGEST, *order.protections), (-order.memory_mib, order.id))
    return (largest, Place(order.protections, rank(record), free)) if free else (largest,)


def _free(protection: Protection) -> Wanted:
    return lambda name: protection in name and _LARGEST not in name
