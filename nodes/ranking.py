"""Records of one prefix in sorted lists that are kept as the records change: the best of many is found at once. Pure.

What stands where is said by a function of the record alone (`Places`), so that a ranking can always be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from heapq import merge
from typing import Any, NamedTuple

from msgspec import Struct
from sortedcontainers import SortedList


class Place(NamedTuple):
    """Where a record stands: in which list, in what order, and what it adds to the list's sum.

    The last part of `order` is the record's name, the part of its key behind the prefix: no two have one place.
    """

    list: Hashable
    order: tuple[Any, ...]
    amount: int = 0


Places = Callable[[Any], Iterable[Place]]
"""The places of a record, at most one in each list."""
Wanted = Callable[[Any], bool]
"""Whether a list of this name is asked for."""


class Ranking:
    """The lists of one prefix. Its owner tells it of every change."""

    __slots__ = ("_lists", "_places", "_sums")

    def __init__(self, places: Places, records: Iterable[Struct]) -> None:
        self._places = places
        self._lists: dict[Hashable, SortedList] = {}
        self._sums: dict[Hashable, int] = {}
        found: dict[Hashable, list[tuple[Any, ...]]] = {}
        for record in records:
            for place in places(record):
                found.setdefault(place.list, []).append(place.order)
                self._sums[place.list] = self._sums.get(place.list, 0) + place.amount
        for name, orders in found.items():
            self._lists[name] = SortedList(orders)

    def ranked(self, wanted: Wanted) -> Iterator[tuple[Any, ...]]:
        """The places of these lists, in order."""
        lists = [orders for name, orders in self._lists.items() if wanted(name)]
        return iter(lists[0]) if len(lists) == 1 else merge(*lists)

    def sum(self, wanted: Wanted) -> int:
        """The amounts of these lists."""
        return sum(amount for name, amount in self._sums.items() if wanted(name))

    def change(self, before: Struct | None, after: Struct | None) -> None:
        """A record was written, or dropped (None)."""
        old = () if before is None else tuple(self._places(before))
        new = () if after is None else tuple(self._places(after))
        left = {place.list: place for place in old if place not in new}
        for place in new:
            if place in old:
                continue
            before_it = left.pop(place.list, None)
            self._sums[place.list] = self._sums.get(place.list, 0) + place.amount
            if before_it is None or before_it.order != place.order:
                self._lists.setdefault(place.list, SortedList()).add(place.order)
            if before_it is not None:
                self._leave(before_it, stays=before_it.order == place.order)
        for place in left.values():
            self._leave(place)

    def _leave(self, place: Place, *, stays: bool = False) -> None:
        self._sums[place.list] -= place.amount
        if not stays:
            self._lists[place.list].remove(place.order)
