"""Collects what one event changes: an overlay over the records, and the effects in order. Pure.

Every role's machine handles an event on a draft and returns its `step()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import Any, Generic, TypeVar

from msgspec import Struct

from nodes.machine import Context, Effect, Note, Records, Refused, Step, publish
from nodes.ranking import Places, Wanted
from nodes.records import as_record_set
from schemas.events import Event

R = TypeVar("R", bound=Struct)
C = TypeVar("C")


def data_of(event: Event, data_class: type[R]) -> R:
    """The event's data as this class.

    Raises:
        Refused: it is another's.
    """
    if not isinstance(event.data, data_class):
        raise Refused("wrong-data", f"{event.type} without its data")
    return event.data


class Draft(Generic[C]):
    """Reads through to the records; writes stay here until `step()`."""

    def __init__(self, config: C, records: Records, context: Context) -> None:
        self.config = config
        """What the node is told from outside."""
        self.context = context
        self.now = context.now
        """Seconds since 1970 (UTC)."""
        self._records = as_record_set(records)
        self._put: dict[str, Struct] = {}
        self._deleted: set[str] = set()
        self._effects: list[Effect] = []

    @property
    def records(self) -> Records:
        """As they were before this event."""
        return self._records

    def find(self, record_type: type[R], key: str) -> R | None:
        """The record at `key`, or None."""
        if key in self._deleted:
            return None
        record = self._put.get(key)
        if record is None:
            record = self._records.get(key)
        if record is None or isinstance(record, record_type):
            return record
        raise TypeError(f"{key} is not a {record_type.__name__}")

    def each(self, record_type: type[R], prefix: str) -> Iterator[tuple[str, R]]:
        """All records under `prefix/`, in no particular order: sort where the order shows. Looks at no others."""
        added = [key for key in self._put if key.startswith(f"{prefix}/") and key not in self._records]
        for key in [*self._records.under(prefix), *added]:
            record = self.find(record_type, key)
            if record is not None:
                yield key, record

    def ranked(self, prefix: str, places: Places, wanted: Wanted) -> Iterator[tuple[Any, ...]]:
        """Lists of a ranking of the records under `prefix/`, with this event's changes until now."""
        ranking, changed = self._records.ranking(prefix, places), self._changed(prefix)
        if not changed:
            return ranking.ranked(wanted)
        added = (place.order for record in changed.values() if record for place in places(record) if wanted(place.list))
        return merge((order for order in ranking.ranked(wanted) if order[-1] not in changed), sorted(added))

    def ranked_sum(self, prefix: str, places: Places, wanted: Wanted) -> int:
        """The sum of those lists' amounts."""
        total = self._records.ranking(prefix, places).sum(wanted)
        for own, after in self._changed(prefix).items():
            for sign, record in ((-1, self._records.get(f"{prefix}/{own}")), (1, after)):
                found = places(record) if record is not None else ()
                total += sign * sum(place.amount for place in found if wanted(place.list))
        return total

    def _changed(self, prefix: str) -> dict[str, Struct | None]:
        """What this event made of records under `prefix/`, by the rest of their keys; None: deleted."""
        begin = f"{prefix}/"
        deleted = {key[len(begin) :]: None for key in self._deleted if key.startswith(begin)}
        return deleted | {key[len(begin) :]: record for key, record in self._put.items() if key.startswith(begin)}

    def count(self, prefix: str) -> int:
        """How many records stand under `prefix/`, this event's changes left out."""
        return len(self._records.under(prefix))

    def put(self, key: str, record: Struct) -> None:
        """Write a record."""
        self._deleted.discard(key)
        self._put[key] = record

    def delete(self, key: str) -> None:
        """Remove a record."""
        self._put.pop(key, None)
        self._deleted.add(key)

    def do(self, *effects: Effect) -> None:
        """Append effects."""
        self._effects.extend(effects)

    def send(self, event_type: str, to: str, subject: str, data: Struct | None = None, **more: Any) -> None:
        """Append a `Publish`."""
        self.do(publish(event_type, to, subject, data, **more))

    def note(self, kind: str, text: str, /, **details: Any) -> None:
        """Append a journal note."""
        self.do(Note(kind=kind, text=text, details=details))

    def step(self) -> Step:
        """All changes; what came and went within this event is neither."""
        put = {key: record for key, record in self._put.items() if record != self._records.get(key)}
        deleted = frozenset(key for key in self._deleted if key in self._records)
        return Step(put=put, delete=deleted, effects=tuple(self._effects))
