"""What a group of events reads and writes in one transaction on PostgreSQL: decided on in between, in memory.

    lock the aggregates ─► read heads, ids, timers ─► read what changed ─► decide, in memory ─► write all at once

Four statements, however many events share the group: each is a round trip to a server that may be far away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from nodes.machine import Perform, Publish
from nodes.store.cache import Cache
from nodes.store.encoding import decode_effect, encode_effect
from nodes.store.port import Input, OutboxRow
from nodes.store.postgres import statements
from nodes.store.postgres.driver import Connection
from nodes.store.rows import NOBODY, Head, Lease, kind_of
from nodes.store.transaction import standing

UNNUMBERED: Final = 0
"""The `seq` of an outbox row until the database gives it one."""


@dataclass(slots=True)
class Batch:
    """`nodes.store.rows.Rows` in memory, of the aggregates, ids and timers that it was told of."""

    heads: dict[str, Head] = field(default_factory=dict)
    handled: set[str] = field(default_factory=set)
    standing: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Timers by serial."""
    changes: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)
    found: list[tuple[str, bytes]] = field(default_factory=list)
    """Records that were asked for."""
    _done: list[int] = field(default_factory=list)
    _timers: dict[tuple[str, str], float | None] = field(default_factory=dict)
    _inbox: dict[str, float] = field(default_factory=dict)
    _heads: dict[str, Head] = field(default_factory=dict)
    _records: dict[tuple[str, str], tuple[bytes | None, int]] = field(default_factory=dict)
    _entries: list[tuple[str, int, float, bytes]] = field(default_factory=list)
    _effects: list[tuple[object, ...]] = field(default_factory=list)

    # ------------------------------------------------------------ before

    async def lock(self, connection: Connection, inputs: Sequence[Input], cache: Cache) -> None:
        """Lock the inputs' aggregates against other processes and read what deciding on them needs."""
        aggregates = list({item.aggregate for item in inputs})
        ids = {item.event_id for item in inputs} | {item.content for item in inputs if item.content}
        serials = [item.timer.serial for item in inputs if item.timer is not None]
        await connection.fetch(statements.LOCK, aggregates)
        for what, name, *rest in await connection.fetch(statements.FOUND, aggregates, list(ids), serials):
            if what == "head":
                self.heads[name] = Head(*rest)
            elif what == "handled":
                self.handled.add(name)
            else:
                serial, _, timer, _ = rest
                self.standing[serial] = name, timer
        await self._catch_up(connection, cache)

    async def look(self, connection: Connection, aggregates: Sequence[str], cache: Cache | None) -> None:
        """Read the heads of these aggregates, and what the cache, if one is given, lacks."""
        rows = await connection.fetch(statements.HEADS, aggregates)
        self.heads = {aggregate: Head(*head) for aggregate, *head in rows}
        if cache is not None:
            await self._catch_up(connection, cache)

    async def _catch_up(self, connection: Connection, cache: Cache) -> None:
        """Read what others changed since the cache knew it."""
        known = {name: standing(cache, name, head).version for name, head in self.heads.items()}
        behind = {name: version for name, version in known.items() if version != self.heads[name].version}
        if behind:
            for name, key, value in await connection.fetch(statements.CHANGED, list(behind), list(behind.values())):
                self.changes.setdefault(name, []).append((key, value))

    # ------------------------------------------------------------ between

    def was_handled(self, event_id: str) -> bool:
        """As the port says."""
        return event_id in self.handled

    def add_handled(self, event_id: str, now: float) -> None:
        """As the port says."""
        self.handled.add(event_id)
        self._inbox[event_id] = now

    def head(self, aggregate: str) -> Head | None:
        """As the port says."""
        return self.heads.get(aggregate)

    def put_head(self, aggregate: str, head: Head) -> None:
        """As the port says."""
        self.heads[aggregate] = self._heads[aggregate] = head

    def changed(self, aggregate: str, since: int) -> Iterable[tuple[str, bytes | None]]:
        """As the port says; `since` is what the cache had when this was read."""
        return self.changes.get(aggregate, ())

    def records(self, aggregate: str, keys: Iterable[str]) -> Iterable[tuple[str, bytes]]:
        """As the port says: those that were asked for."""
        return self.found

    def put_records(self, aggregate: str, version: int, values: Mapping[str, bytes | None]) -> None:
        """As the port says."""
        self._records |= {(aggregate, key): (value, version) for key, value in values.items()}

    def add_entry(self, aggregate: str, number: int, now: float, entry: bytes) -> None:
        """As the port says."""
        self._entries.append((aggregate, number, now, entry))

    def set_timer(self, aggregate: str, name: str, due_at: float) -> None:
        """As the port says."""
        self._timers[aggregate, name] = due_at

    def cancel_timer(self, aggregate: str, name: str) -> None:
        """As the port says."""
        self._timers[aggregate, name] = None

    def take_timer(self, serial: int) -> bool:
        """As the port says; one that was set or cancelled in this group is another."""
        place = self.standing.get(serial)
        if place is None or place in self._timers:
            return False
        self._timers[place] = None
        return True

    def add_effect(self, effect: Publish | Perform, place: tuple[str, str, int], now: float, lease: Lease) -> OutboxRow:
        """As the port says; the row's number follows when it is written."""
        encoded, attempts = encode_effect(effect), int(lease != NOBODY)
        self._effects.append((kind_of(effect), encoded, *place, now, *lease, attempts))
        aggregate, event_id, index = place
        return OutboxRow(UNNUMBERED, aggregate, event_id, index, decode_effect(encoded), now, attempts)

    def delete_effects(self, seqs: Iterable[int]) -> None:
        """As the port says."""
        self._done.extend(seqs)

    # ------------------------------------------------------------ after

    async def write(self, connection: Connection) -> dict[tuple[str, int], int]:
        """Write all of it; the numbers of outbox rows by event and place."""
        if not (self._heads or self._inbox or self._timers or self._effects):
            if self._done:
                await connection.execute(statements.DONE, self._done)
            return {}
        gone = [place for place, due_at in self._timers.items() if due_at is None]
        timed = [(*place, due_at) for place, due_at in self._timers.items() if due_at is not None]
        groups = (
            _columns(1, [(seq,) for seq in self._done]),
            _columns(2, gone),
            _columns(2, list(self._inbox.items())),
            _columns(5, [(name, *head) for name, head in self._heads.items()]),
            _columns(4, [(*place, *written) for place, written in self._records.items()]),
            _columns(4, self._entries),
            _columns(3, timed),
            _columns(9, self._effects),
        )
        rows = await connection.fetch(statements.WRITE, *chain.from_iterable(groups))
        return {(event_id, index): seq for seq, event_id, index in rows}


def _columns(width: int, rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [[row[at] for row in rows] for at in range(width)]
