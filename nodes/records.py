"""The records of one aggregate, by key and by what the keys begin with. Pure.

Machines read records as a mapping. A `RecordSet` also knows which keys stand under a prefix, so that asking for the
few contracts of a job does not look at its hundred thousand batches; and it keeps rankings of them, once asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct

from nodes.ranking import Places, Ranking

T = TypeVar("T")
_NOTHING: Mapping[str, None] = {}


class RecordSet(Mapping[str, Struct]):
    """Records by key. To whom it is shown it is a mapping; only its owner calls `put` and `drop`."""

    __slots__ = ("_rankings", "_records", "_under")

    def __init__(self, records: Mapping[str, Struct] | None = None) -> None:
        self._records: dict[str, Struct] = {}
        self._under: dict[str, dict[str, None]] = {}
        self._rankings: dict[tuple[str, Places], Ranking] = {}
        for key, record in (records or {}).items():
            self.put(key, record)

    def __getitem__(self, key: str) -> Struct:
        return self._records[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: object) -> bool:
        return key in self._records

    def get(self, key: str, default: T | None = None) -> Struct | T | None:  # type: ignore[override]
        """The record at `key`, or `default`."""
        return self._records.get(key, default)

    def under(self, prefix: str) -> Collection[str]:
        """The keys that begin with `prefix/`, where a `/` ends the prefix or one of its parts: `worker`, `worker/7`."""
        return self._under.get(prefix, _NOTHING).keys()

    def ranking(self, prefix: str, places: Places) -> Ranking:
        """The records under `prefix/` in the order of their places: made when first asked for, and kept."""
        found = self._rankings.get((prefix, places))
        if found is None:
            found = Ranking(places, (self._records[key] for key in self.under(prefix)))
            self._rankings[prefix, places] = found
        return found

    def put(self, key: str, record: Struct) -> None:
        """Write a record."""
        self._rank(key, record)
        if key not in self._records:
            for prefix in _prefixes(key):
                self._under.setdefault(prefix, {})[key] = None
        self._records[key] = record

    def drop(self, key: str) -> None:
        """Forget a record, if there is one."""
        self._rank(key, None)
        if self._records.pop(key, None) is None:
            return
        for prefix in _prefixes(key):
            keys = self._under[prefix]
            del keys[key]
            if not keys:
                del self._under[prefix]

    def _rank(self, key: str, record: Struct | None) -> None:
        for (prefix, _), ranking in self._rankings.items():
            if key.startswith(prefix) and key[len(prefix)] == "/":
                ranking.change(self._records.get(key), record)


def as_record_set(records: Mapping[str, Struct]) -> RecordSet:
    """The same records: as they are where they are a `RecordSet`, else in a new one."""
    return records if isinstance(records, RecordSet) else RecordSet(records)


def _prefixes(key: str) -> Iterator[str]:
    """`worker/7/w1` stands under `worker` and `worker/7`."""
    end = key.find("/")
    while end >= 0:
        yield key[:end]
        end = key.find("/", end + 1)
