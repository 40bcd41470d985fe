"""Which offers serve a buy order (R2, R3): price, then time, over several lessors. Pure.

The cheapest offers win; among equal prices the one that reached its hub first; among those the smaller id. Each lessor
serves with one sell order and at least one unit. Offers are looked at in that order and no further than needed: the
first prefix that can serve the order decides. Only where `lessors_max` would leave units unserved, smaller offers give
way to larger ones of the same prefix.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
        candidates: eligible, best first (`Candidate.priority`); consumed no further than needed.
    """
    chosen = _Chosen(need)
    for candidate in candidates:
        chosen.consider(candidate)
        if chosen.suffices:
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
        self._smallest: tuple[int, str] = (0, "")  # capacity and lessor that gives way first; valid once full

    @property
    def suffices(self) -> bool:
        return self._units >= self._need.units and len(self._by_lessor) >= self._need.lessors_min

    def consider(self, candidate: Candidate) -> None:
        self._considered += 1
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
    """As much as possible to the best, at least one unit to each; units for lessors still to be found are left."""
    missing_lessors = max(0, need.lessors_min - len(chosen))
    left = min(need.units - missing_lessors, sum(candidate.offer.units for candidate in chosen))
    parts = []
    for after, candidate in enumerate(chosen, start=1):
        units = min(candidate.offer.units, left - (len(chosen) - after))
        parts.append(Part(candidate, units))
        left -= units
    return tuple(parts)


def with_units(candidate: Candidate, units: int) -> Candidate:
    """The same candidate with another number of units."""
    if candidate.offer.units == units:
        return candidate
    return replace(candidate, offer=structs.replace(candidate.offer, units=units))
