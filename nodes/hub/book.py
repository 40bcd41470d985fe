"""The order book: sell orders of this subnet, which of their units are held, and what the others are told. Pure.

A unit is free, or held by exactly one reservation or contract (`records.SellRecord.held`), so none is sold twice. A
sell order may be matched while it has free units, has not expired, was not cancelled and its lessor is not silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import structs

from nodes.hub.draft import Draft
from nodes.hub.matching import Candidate
from nodes.hub.records import Own, SellRecord
from nodes.hub.terms import acceptable
from nodes.machine import CancelTimer, SetTimer
from schemas import limits
from schemas.orders import PROTECTIONS, BuyOrder, Capacity, Offer, Protection


class Book:
    """The book as one event sees and changes it.

    Handlers change the book before they match from it: a ranking, once made, is not made again.
    `news` are tests of which waiting buy orders this event may help; they are tried again once it is handled.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.news: list[Callable[[BuyOrder], bool]] = []
        self._ranked: dict[Protection, list[tuple[int, float, str]]] = {}

    def candidates(self, buy: BuyOrder, avoid: frozenset[str]) -> Iterator[Candidate]:
        """Offers of all free units that the buy order can use, best first."""
        for price_micros, _, sell_id in self._ranking(buy.protection):
            if price_micros > buy.price_micros_max:
                return
            candidate = self.candidate(sell_id, buy, avoid)
            if candidate is not None:
                yield candidate

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
        """See that the other hubs are told, at most every `ADVERTISE_SECONDS`."""
        own = self.draft.find(Own, "hub") or Own()
        if own.pending or not self.draft.config.others:
            return
        self.draft.put("hub", structs.replace(own, pending=True))
        at = max(self.draft.now, own.advertised_at + limits.ADVERTISE_SECONDS)
        self.draft.do(SetTimer(name="advertise", at=at))

    def capacity(self) -> Capacity:
        """Sums of free units, best prices and most memory by protection."""
        records = (record for _, record in self.draft.each(SellRecord, "sell"))
        return capacity_of(records, self.draft.config.me, self.draft.now)

    def _matchable(self, record: SellRecord) -> bool:
        return _matchable(record, self.draft.now)

    def _ranking(self, protection: Protection) -> list[tuple[int, float, str]]:
        if protection not in self._ranked:
            self._ranked[protection] = sorted(
                (record.order.price_micros, record.placed_at, record.order.id)
                for _, record in self.draft.each(SellRecord, "sell")
                if protection in record.order.protections and self._matchable(record)
            )
        return self._ranked[protection]


def capacity_of(records: Iterable[SellRecord], hub: str, now: float) -> Capacity:
    """What these sell orders offer together at `now`, seconds since 1970."""
    units: dict[Protection, int] = dict.fromkeys(PROTECTIONS, 0)
    best: dict[Protection, int] = {}
    memory: dict[Protection, int] = {}
    for record in records:
        if not _matchable(record, now):
            continue
        price = record.order.price_micros
        for protection in set(record.order.protections):
            memory[protection] = max(record.order.memory_mib, memory.get(protection, 0))
            units[protection] += record.free
            if record.free:
                best[protection] = min(price, best.get(protection, price))
    return Capacity(hub=hub, units=units, best_price_micros=_in_order(best), memory_mib=_in_order(memory), at=now)


def _matchable(record: SellRecord, now: float) -> bool:
    return not record.silent and not record.cancelled and record.order.expires_at > now


def _in_order(of: dict[Protection, int]) -> dict[Protection, int]:
    """The same news are the same bytes, whichever order came first."""
    return {protection: of[protection] for protection in PROTECTIONS if protection in of}
