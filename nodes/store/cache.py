"""Aggregates kept in memory between events. Touches no database; its owner checks the versions and fills it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from nodes.records import RecordSet
from nodes.store.port import GENESIS

RECORDS_CACHED_MAX: Final = 200_000
"""Of a process."""


@dataclass(slots=True)
class Cached:
    """An aggregate as of `version`."""

    version: int = 0
    journalled: int = 0
    last_hash: str = GENESIS
    forgotten: int = 0
    records: RecordSet = field(default_factory=RecordSet)
    counted: int = 0
    """What the cache counts it as."""


class Cache:
    """The aggregates used last, together at most `records_max` records; the one used last is always kept."""

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._aggregates: OrderedDict[str, Cached] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Records kept; each aggregate counts as one more."""
        return self._size

    def get(self, aggregate: str) -> Cached:
        """The aggregate as kept, or an empty one at version 0; now the last used."""
        cached = self._aggregates.setdefault(aggregate, Cached())
        self._aggregates.move_to_end(aggregate)
        return cached

    def at(self, aggregate: str, version: int) -> Cached | None:
        """The aggregate, if it is kept as of exactly this version."""
        cached = self._aggregates.get(aggregate)
        return cached if cached is not None and cached.version == version else None

    def forget(self, aggregates: Iterable[str]) -> None:
        """Forget these: something written to them was undone."""
        for aggregate in aggregates:
            dropped = self._aggregates.pop(aggregate, None)
            self._size -= dropped.counted if dropped is not None else 0

    def renew(self, aggregate: str) -> Cached:
        """The aggregate as an empty one at version 0: what was kept of it holds no more."""
        self.forget([aggregate])
        return self.get(aggregate)

    def clear(self) -> None:
        """Forget everything."""
        self._aggregates.clear()
        self._size = 0

    def trim(self, used: Iterable[str]) -> None:
        """Count the aggregates that were used again, and drop those not used for longest until the bound holds."""
        for aggregate in used:
            cached = self._aggregates.get(aggregate)
            if cached is not None:
                size = len(cached.records) + 1
                self._size += size - cached.counted
                cached.counted = size
        while self._size > self._records_max and len(self._aggregates) > 1:
            _, dropped = self._aggregates.popitem(last=False)
            self._size -= dropped.counted
