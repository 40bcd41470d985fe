"""The rules of `nodes/store/port.py` inside one transaction: what is written for each input, and when nothing is.

Blocking. Says nothing in SQL; `Rows` is what it needs of a database. The cost of an input
does not depend on how many records its aggregate has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from msgspec import Struct

from nodes.machine import CancelTimer, Perform, Publish, SetTimer
from nodes.store.cache import Cache, Cached
from nodes.store.encoding import RecordEncoding
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Decide, Decision, Input, OutboxRow, Outcome, View
from nodes.store.rows import NOBODY, Head, Lease, Rows


@dataclass(slots=True)
class Claim:
    """Which of the outbox rows being written belong to the writer at once."""

    lease: Lease
    performs_left: int

    def lease_of(self, effect: Publish | Perform) -> Lease:
        """The writer's for every Publish, and for as many Performs as it has room for."""
        if isinstance(effect, Perform):
            self.performs_left -= 1
            if self.performs_left < 0:
                return NOBODY
        return self.lease


def standing(cache: Cache, aggregate: str, head: Head | None) -> Cached:
    """What is kept of an aggregate and holds; only what changed after its version is missing."""
    cached = cache.get(aggregate)
    if head is None or cached.version < head.forgotten:
        return cache.renew(aggregate)  # it was erased; or what was deleted since is not told any more
    return cached


@dataclass(frozen=True, slots=True)
class Transaction:
    """Reads and writes aggregates through the cache."""

    tables: Rows
    cache: Cache
    encoding: RecordEncoding

    def handle(self, item: Input, decide: Decide, claim: Claim) -> Outcome:
        """Handle one input.

        Raises:
            Exception: whatever `decide` raises; then what was written must be undone and the aggregate forgotten.
        """
        if item.completes is not None:
            self.tables.delete_effects([item.completes])
        if item.timer is not None and not self.tables.take_timer(item.timer.serial):
            return Outcome("stale")
        if self.tables.was_handled(item.event_id) or (item.content and self.tables.was_handled(item.content)):
            return Outcome("duplicate")
        try:
            cached = self.load(item.aggregate)
        except RecordUnreadable as error:
            return Outcome("refused", error.code, str(error))
        decision = decide(item, View(cached.records, cached.journalled, cached.last_hash))
        if decision.refusal is not None:
            if decision.entry:
                self._journal(item.aggregate, cached, decision)
                self._put_head(item.aggregate, cached)
                if item.content:
                    self.tables.add_handled(item.content, decision.now)
            return Outcome("refused", *decision.refusal)
        self.tables.add_handled(item.event_id, decision.now)
        self._change(item.aggregate, cached, decision)
        return self._effects(item, decision, claim)

    def load(self, aggregate: str) -> Cached:
        """The whole aggregate: what is kept, plus what others changed since.

        Raises:
            RecordUnreadable: one of its records.
        """
        head = self.tables.head(aggregate)
        cached = standing(self.cache, aggregate, head)
        if head is None:
            return cached
        if head.version != cached.version:
            for key, value in self.tables.changed(aggregate, cached.version):
                if value is None:
                    cached.records.drop(key)
                elif self.encoding.knows(key):
                    cached.records.put(key, self.encoding.decode(aggregate, key, value))
        cached.version, cached.journalled, cached.last_hash, cached.forgotten = head
        return cached

    def find(self, aggregate: str, keys: frozenset[str]) -> dict[str, Struct]:
        """Those of these records that there are, from the cache where it has today's, else read alone.

        Raises:
            RecordUnreadable: one of these.
        """
        head = self.tables.head(aggregate)
        cached = self.cache.at(aggregate, head.version) if head is not None else None
        if cached is not None:
            return {key: cached.records[key] for key in keys if key in cached.records}
        found = self.tables.records(aggregate, keys)
        return {key: self.encoding.decode(aggregate, key, value) for key, value in found}

    def _change(self, aggregate: str, cached: Cached, decision: Decision) -> None:
        """Write what differs from the records, and the journal entry."""
        deleted = [key for key in decision.delete if key in cached.records]
        put = {key: record for key, record in decision.put.items() if cached.records.get(key) != record}
        encoded = {key: self.encoding.encode(key, record) for key, record in put.items()}
        if put or deleted:
            cached.version += 1
            self.tables.put_records(aggregate, cached.version, dict.fromkeys(deleted) | encoded)
        for key in deleted:
            cached.records.drop(key)
        for key, value in encoded.items():
            cached.records.put(key, self.encoding.decode(aggregate, key, value))
        if decision.entry:
            self._journal(aggregate, cached, decision)
        if put or deleted or decision.entry:
            self._put_head(aggregate, cached)

    def _journal(self, aggregate: str, cached: Cached, decision: Decision) -> None:
        self.tables.add_entry(aggregate, cached.journalled, decision.now, decision.entry)
        cached.journalled += 1
        cached.last_hash = hashlib.sha256(decision.entry).hexdigest()

    def _put_head(self, aggregate: str, cached: Cached) -> None:
        self.tables.put_head(aggregate, Head(cached.version, cached.journalled, cached.last_hash, cached.forgotten))

    def _effects(self, item: Input, decision: Decision, claim: Claim) -> Outcome:
        """Write outbox rows and timers."""
        claimed: list[OutboxRow] = []
        unclaimed = 0
        timers: dict[str, float] = {}
        for index, effect in enumerate(decision.effects):
            if isinstance(effect, SetTimer):
                self.tables.set_timer(item.aggregate, effect.name, effect.at)
                timers[effect.name] = effect.at
            elif isinstance(effect, CancelTimer):
                self.tables.cancel_timer(item.aggregate, effect.name)
                timers.pop(effect.name, None)
            elif isinstance(effect, Publish | Perform):
                lease = claim.lease_of(effect)
                place = (item.aggregate, item.event_id, index)
                row = self.tables.add_effect(effect, place, decision.now, lease)
                if lease is NOBODY:
                    unclaimed += 1
                else:
                    claimed.append(row)
        next_timer = min(timers.values(), default=None)
        return Outcome("applied", claimed=tuple(claimed), unclaimed=unclaimed, next_timer=next_timer)
