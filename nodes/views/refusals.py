"""What a hub refused last of each of those who wrote to it, from its journal: kept by who asks, who only reads on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from nodes.store.port import Store

TAIL_MAX: Final = 20_000
"""Journal entries that are read of the past."""
READ_MAX: Final = 2_000
"""Of them at a time."""
SOURCES_MAX: Final = 5_000
"""Senders of whom something is kept: those refused last."""
NOTHING_REFUSED: Final = b'"refused":null'


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that was not acted upon."""

    at: float
    """Seconds since 1970 (UTC)."""
    type: str
    code: str
    reason: str


class RefusedLast:
    """Of one aggregate of one store; see `refresh`."""

    def __init__(self, aggregate: str) -> None:
        self._aggregate = aggregate
        self._next = 0
        self._by: OrderedDict[str, Refused] = OrderedDict()

    def of(self, source: str) -> Refused | None:
        """The last event of this sender that was refused."""
        return self._by.get(source)

    async def refresh(self, store: Store) -> bool:
        """Read on, at most `READ_MAX` entries; whether that was all. Raises as the store does."""
        stamp = (await store.stamps(self._aggregate)).get(self._aggregate)
        total = stamp.journalled if stamp else 0
        if total < self._next:  # it began anew
            self._next = 0
        self._next = max(self._next, total - TAIL_MAX)
        entries = await store.journal(self._aggregate, first=self._next, entries_max=READ_MAX)
        self._add(entries)
        if entries:  # older ones may have been forgotten
            self._next = orjson.loads(entries[-1])["n"] + 1
        return not entries or self._next >= total

    def _add(self, entries: Iterable[bytes]) -> None:
        for raw in entries:
            if NOTHING_REFUSED in raw:
                continue
            entry = orjson.loads(raw)
            if (refused := entry.get("refused")) is not None:
                event = entry["event"]
                self._by[event["source"]] = Refused(entry["now"], event["type"], *refused)
                self._by.move_to_end(event["source"])
        while len(self._by) > SOURCES_MAX:
            self._by.popitem(last=False)
