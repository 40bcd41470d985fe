"""Which offers serve a buy order (R2, R3): price, then time, over several lessors. Pure.

The cheapest offers win; among equal prices the one that reached its hub first; among those the smaller id. Each lessor
serves with one sell order and at least one unit. Offers are looked at in that order: the first prefix that can serve
the order decides. Only where `lessors_max` would leave units unserved, smaller offers give way to larger ones of the
same prefix. What costs the same is spread: more lessors at the prefix's last price join, up to `lessors_max`, and
lessors of one price get equally many units as far as they have them, for one that is lost then costs the job less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from msgspec import structs

from schemas.orders import Need, Offer


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer that may serve; `quote` and `hub` say where it comes from (both empty: this hub's own book)."""

    offer: Offer
    quote: str = ""
    hub: str = ""

    @property
    def priority(self) -> tuple[int, float, str]:
        """Sorts best first."""
        return self.offer.sell.price_micros, self.offer.placed_at, self.offer.sell.id


@dataclass(frozen=True, slots=True)
class Part:
    """So many units of one candidate."""

    candidate: Candidate
    units: int


@dataclass(frozen=True, slots=True)
class Picked:
    """Parts, best first. Where not `complete`, they are what could be had."""

    parts: tuple[Part, ...]
    complete: bool

    def lacking(self, need: Need) -> str:
        """What is missing, in words and numbers."""
        units = sum(part.units for part in self.parts)
        wanted = f"{need.units} units of {need.lessors_min} to {need.lessors_max} lessors wanted"
        return f"{wanted}; {units} units of {len(self.parts)} lessors offered"


def pick(need: Need, candidates: Iterable[Candidate]) -> Picked:
    """Choose parts of candidates.

    Args:
        need: with lessors_min ≤ lessors_max and lessors_min ≤ units.
        candidates: eligible, best first (`Candidate.priority`); consumed no further than needed, or one further.
    """
    chosen = _Chosen(need)
    for candidate in candidates:
        if not chosen.suffices:
            chosen.consider(candidate)
        elif not chosen.spread_to(candidate):
            break
        if chosen.suffices and not chosen.spreads:
            break
    return Picked(_allocate(need, chosen.in_order()), chosen.suffices)


class _Chosen:
    """The largest offers of at most `lessors_max` lessors among those considered so far."""

    def __init__(self, need: Need) -> None:
        self._need = need
        self._unit_cap = need.units - need.lessors_min + 1  # every other lessor that must serve gets at least one
        self._by_lessor: dict[str, tuple[int, int, Candidate]] = {}  # capacity, -rank, candidate
        self._units = 0
        self._considered = 0
        self._price_micros = 0  # of the offer considered last
        self._smallest: tuple[int, str] = (0, "")  # capacity and lessor that gives way first; valid once full

    @property
    def suffices(self) -> bool:
        return self._units >= self._need.units and len(self._by_lessor) >= self._need.lessors_min

    @property
    def spreads(self) -> bool:
        """Whether more lessors may serve, each with a unit that nobody has cheaper."""
        dearest = [units for units, _, each in self._by_lessor.values() if each.priority[0] == self._price_micros]
        cheaper = self._units - sum(dearest)
        return len(self._by_lessor) < self._need.lessors_max and len(dearest) < self._need.units - cheaper

    def spread_to(self, candidate: Candidate) -> bool:
        """Take one more that costs as much as the last that was needed; whether it costs as much."""
        sell = candidate.offer.sell
        if sell.price_micros != self._price_micros:
            return False
        if sell.lessor not in self._by_lessor:
            self.consider(candidate)
        return True

    def consider(self, candidate: Candidate) -> None:
        self._considered += 1
        self._price_micros = candidate.offer.sell.price_micros
        lessor = candidate.offer.sell.lessor
        capacity = min(candidate.offer.units, self._unit_cap)
        present = self._by_lessor.get(lessor)
        if present is not None:
            if present[0] < capacity:
                self._put(lessor, capacity, candidate, replaced=lessor)
        elif len(self._by_lessor) < self._need.lessors_max:
            self._put(lessor, capacity, candidate)
        elif self._smallest[0] < capacity:
            self._put(lessor, capacity, candidate, replaced=self._smallest[1])

    def in_order(self) -> list[Candidate]:
        ranked = sorted(self._by_lessor.values(), key=lambda entry: -entry[1])
        return [with_units(candidate, capacity) for capacity, _, candidate in ranked]

    def _put(self, lessor: str, capacity: int, candidate: Candidate, replaced: str = "") -> None:
        if replaced:
            self._units -= self._by_lessor.pop(replaced)[0]
        self._by_lessor[lessor] = (capacity, -self._considered, candidate)
        self._units += capacity
        if len(self._by_lessor) >= self._need.lessors_max:
            loser = min(self._by_lessor, key=lambda each: self._by_lessor[each][:2])
            self._smallest = (self._by_lessor[loser][0], loser)


def _allocate(need: Need, chosen: list[Candidate]) -> tuple[Part, ...]:
    """As much as possible at the best price, a unit at least to each; units of lessors still to be found are left."""
    missing_lessors = max(0, need.lessors_min - len(chosen))
    left = min(need.units - missing_lessors, sum(candidate.offer.units for candidate in chosen))
    parts: list[Part] = []
    for _, group in groupby(chosen, key=lambda each: each.offer.sell.price_micros):
        equals = list(group)
        after = len(chosen) - len(parts) - len(equals)
        units = _shares(min(left - after, sum(each.offer.units for each in equals)), equals)
        parts += [Part(candidate, share) for candidate, share in zip(equals, units, strict=True)]
        left -= sum(units)
    return tuple(parts)


def _shares(units: int, equals: list[Candidate]) -> list[int]:
    """Units of each: equally many as far as it has them, what cannot be shared equally to the first."""
    if len(equals) == 1:  # as mostly
        return [min(units, equals[0].offer.units)]
    shares = [0] * len(equals)
    by_size = sorted(range(len(equals)), key=lambda index: (equals[index].offer.units, -index))
    for left, index in zip(range(len(equals), 0, -1), by_size, strict=True):
        shares[index] = min(equals[index].offer.units, units // left)
        units -= shares[index]
    return shares


def with_units(candidate: Candidate, units: int) -> Candidate:
    """The same candidate with another number of units."""
    if candidate.offer.units == units:
        return candidate
    return Candidate(structs.replace(candidate.offer, units=units), candidate.quote, candidate.hub)
