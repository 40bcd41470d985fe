"""Aggregates kept in memory between events. Touches no database; its owner checks the versions and fills it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from msgspec import Struct

from nodes.store.port import GENESIS


@dataclass(slots=True)
class Cached:
    """An aggregate as of `version`."""

    version: int = 0
    journalled: int = 0
    last_hash: str = GENESIS
    records: dict[str, Struct] = field(default_factory=dict)


class Cache:
    """The aggregates used last, together at most `records_max` records; the one in use is always kept."""

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._aggregates: OrderedDict[str, Cached] = OrderedDict()

    def get(self, aggregate: str) -> Cached:
        """The aggregate as kept, or an empty one at version 0; now the last used."""
        cached = self._aggregates.setdefault(aggregate, Cached())
        self._aggregates.move_to_end(aggregate)
        return cached

    def clear(self) -> None:
        """Forget everything: something written was undone."""
        self._aggregates.clear()

    def trim(self) -> None:
        """Drop what was not used for longest until the bound holds. An aggregate counts as one record more."""
        size = sum(len(cached.records) + 1 for cached in self._aggregates.values())
        while size > self._records_max and len(self._aggregates) > 1:
            _, dropped = self._aggregates.popitem(last=False)
            size -= len(dropped.records) + 1
