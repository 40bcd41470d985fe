"""The store on SQLite: one file, shared by a node's processes on one machine (WAL does not work over network folders).

Several processes take turns by SQLite's write lock. Each keeps aggregates in memory and, inside the transaction, asks
whether their version is still the one it knows; if not, it loads only what changed since.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct

from nodes.machine import CancelTimer, Perform, Publish, SetTimer
from nodes.store.cache import Cache, Cached
from nodes.store.database import Database
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Decide, Decision, Input, OutboxRow, Outcome, Timer, Unreadable, View
from schemas import limits

RECORDS_CACHED_MAX: Final = 200_000
INBOX_PRUNE_MAX: Final = 10_000
"""Inbox rows forgotten per call: keeps the transaction short."""

_PUBLISH: Final = "publish"
_PERFORM: Final = "perform"
_ROW_COLUMNS: Final = "seq, aggregate, event_id, effect_index, effect, created_at, attempts"


class SqliteStore:
    """`nodes.store.port.Store` on one SQLite file, or in memory."""

    def __init__(self, database: Database, cache: Cache, record_types: Mapping[str, type[Struct]]) -> None:
        """Use `SqliteStore.open`."""
        self._database = database
        self._cache = cache
        self._decoders = {prefix: msgspec.msgpack.Decoder(kind) for prefix, kind in record_types.items()}
        self._encoder = msgspec.msgpack.Encoder()
        self._effects = msgspec.json.Decoder(Publish | Perform)

    @classmethod
    async def open(cls, path: Path | None, record_types: Mapping[str, type[Struct]]) -> SqliteStore:
        """The store in the file `path` (made with mode 0600 when missing), or in memory when None.

        Args:
            path: the file.
            record_types: record class by key prefix (`Machine.record_types`).

        Raises:
            StoreFailed: the file cannot be opened or migrated.
            StoreNewer: a newer release wrote it.
        """
        cache = Cache(RECORDS_CACHED_MAX)
        database = Database(path, weight_per_commit_max=limits.EVENTS_PER_COMMIT_MAX, undone=cache.clear)
        await database.open()
        return cls(database, cache, record_types)

    async def apply(
        self, inputs: Sequence[Input], decide: Decide, *, owner: str, lease_until: float, performs_max: int
    ) -> list[Outcome]:
        """See `Store.apply`."""

        def run(connection: sqlite3.Connection) -> list[Outcome]:
            claim = _Claim(owner, lease_until, performs_max)
            outcomes = [self._handle(connection, item, decide, claim) for item in inputs]
            self._cache.trim(item.aggregate for item in inputs)
            return outcomes

        return await self._database.write(run, weight=max(1, len(inputs)))

    async def claim(
        self, owner: str, *, now: float, lease_until: float, publishes_max: int, performs_max: int
    ) -> list[OutboxRow]:
        """See `Store.claim`. Writes nothing when there is nothing to claim."""
        wanted = {_PUBLISH: publishes_max, _PERFORM: performs_max}
        waiting = "SELECT seq FROM outbox WHERE kind = ? AND claimed_until < ? ORDER BY seq LIMIT ?"

        def look(connection: sqlite3.Connection) -> bool:
            return any(
                most > 0 and connection.execute(waiting, (kind, now, 1)).fetchone() for kind, most in wanted.items()
            )

        def run(connection: sqlite3.Connection) -> list[OutboxRow]:
            rows = []
            for kind, most in wanted.items():
                statement = (
                    "UPDATE outbox SET owner = ?, claimed_until = ?, attempts = attempts + 1 "  # noqa: S608 - constants
                    f"WHERE seq IN ({waiting}) RETURNING {_ROW_COLUMNS}"
                )
                rows += connection.execute(statement, (owner, lease_until, kind, now, most)).fetchall()
            return [self._row(row) for row in sorted(rows)]

        return await self._database.write(run) if await self._database.read(look) else []

    async def extend(self, owner: str, seqs: Sequence[int], lease_until: float) -> None:
        """See `Store.extend`."""
        statement = "UPDATE outbox SET claimed_until = ? WHERE seq = ? AND owner = ?"
        rows = [(lease_until, seq, owner) for seq in seqs]
        await self._database.write(lambda connection: _many(connection, statement, rows))

    async def attempted(self, seq: int) -> None:
        """See `Store.attempted`."""
        await self._execute("UPDATE outbox SET attempts = attempts + 1 WHERE seq = ?", (seq,))

    async def done(self, seqs: Sequence[int]) -> None:
        """See `Store.done`."""
        rows = [(seq,) for seq in seqs]
        await self._database.write(lambda connection: _many(connection, "DELETE FROM outbox WHERE seq = ?", rows))

    async def release(self, owner: str) -> None:
        """See `Store.release`."""
        statement = "UPDATE outbox SET owner = '', claimed_until = 0, attempts = attempts - 1 WHERE owner = ?"
        await self._execute(statement, (owner,))

    async def due_timers(self, now: float, limit: int) -> list[Timer]:
        """See `Store.due_timers`."""
        statement = "SELECT aggregate, name, due_at, serial FROM timers WHERE due_at <= ? ORDER BY due_at LIMIT ?"
        return [Timer(*row) for row in await self._select(statement, (now, limit))]

    async def next_timer(self) -> float | None:
        """See `Store.next_timer`."""
        ((due_at,),) = await self._select("SELECT min(due_at) FROM timers", ())
        return None if due_at is None else float(due_at)

    async def forget(self, before: float) -> int:
        """See `Store.forget`."""
        old = "SELECT event_id FROM inbox WHERE seen_at < ? ORDER BY seen_at LIMIT ?"
        statement = f"DELETE FROM inbox WHERE event_id IN ({old})"  # noqa: S608 - a constant
        parameters = (before, INBOX_PRUNE_MAX)
        return await self._database.write(lambda connection: connection.execute(statement, parameters).rowcount)

    async def read(self, aggregate: str) -> dict[str, Struct]:
        """See `Store.read`. Costs little when the aggregate is kept in memory."""

        def run(connection: sqlite3.Connection) -> dict[str, Struct]:
            connection.execute("BEGIN")
            try:
                return dict(self._load(connection, aggregate).records)
            finally:
                connection.execute("COMMIT")
                self._cache.trim([aggregate])

        return await self._database.read(run)

    async def aggregates(self, prefix: str = "") -> list[str]:
        """See `Store.aggregates`."""
        statement = "SELECT aggregate FROM aggregates WHERE substr(aggregate, 1, ?) = ? ORDER BY aggregate"
        return [name for (name,) in await self._select(statement, (len(prefix), prefix))]

    async def journal(self, aggregate: str) -> list[bytes]:
        """See `Store.journal`."""
        statement = "SELECT entry FROM journal WHERE aggregate = ? ORDER BY n"
        return [entry for (entry,) in await self._select(statement, (aggregate,))]

    async def outbox_size(self) -> int:
        """See `Store.outbox_size`."""
        ((size,),) = await self._select("SELECT count(*) FROM outbox", ())
        return int(size)

    async def put_secret(self, name: str, sealed: bytes) -> bytes:
        """See `Store.put_secret`."""

        def run(connection: sqlite3.Connection) -> bytes:
            connection.execute("INSERT OR IGNORE INTO secrets (name, sealed) VALUES (?, ?)", (name, sealed))
            (kept,) = connection.execute("SELECT sealed FROM secrets WHERE name = ?", (name,)).fetchone()
            return bytes(kept)

        return await self._database.write(run)

    async def get_secret(self, name: str) -> bytes | None:
        """See `Store.get_secret`."""
        rows = await self._select("SELECT sealed FROM secrets WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    async def delete_secret(self, name: str) -> None:
        """See `Store.delete_secret`."""
        await self._execute("DELETE FROM secrets WHERE name = ?", (name,))

    async def close(self) -> None:
        """See `Store.close`."""
        await self._database.close()

    async def _execute(self, statement: str, parameters: tuple[object, ...]) -> None:
        await self._database.write(lambda connection: _many(connection, statement, [parameters]))

    async def _select(self, statement: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: connection.execute(statement, parameters).fetchall())

    # ---------------------------------------------------------------- inside the transaction, on the store's thread

    def _handle(self, connection: sqlite3.Connection, item: Input, decide: Decide, claim: _Claim) -> Outcome:
        if item.completes is not None:
            connection.execute("DELETE FROM outbox WHERE seq = ?", (item.completes,))
        if item.timer is not None and not _take_timer(connection, item.timer):
            return Outcome("stale")
        if connection.execute("SELECT 1 FROM inbox WHERE event_id = ?", (item.event_id,)).fetchone():
            return Outcome("duplicate")
        try:
            cached = self._load(connection, item.aggregate)
        except RecordUnreadable as error:
            return Outcome("refused", error.code, str(error))
        view = View(MappingProxyType(cached.records), cached.journalled, cached.last_hash)
        decision = decide(item, view)
        if decision.refusal is not None:
            if decision.entry:
                _journal(connection, item.aggregate, cached, decision.entry)
                _save_aggregate(connection, item.aggregate, cached)
            return Outcome("refused", *decision.refusal)
        connection.execute("INSERT INTO inbox (event_id, seen_at) VALUES (?, ?)", (item.event_id, decision.now))
        self._change(connection, item.aggregate, cached, decision)
        return self._effects_of(connection, item, decision, claim)

    def _load(self, connection: sqlite3.Connection, aggregate: str) -> Cached:
        """The aggregate as the transaction sees it: what is kept, plus what others changed since."""
        cached = self._cache.get(aggregate)
        statement = "SELECT version, journalled, last_hash FROM aggregates WHERE aggregate = ?"
        row = connection.execute(statement, (aggregate,)).fetchone()
        if row is None:
            return cached
        version, cached.journalled, cached.last_hash = row
        if version != cached.version:
            changed = "SELECT key, value FROM records WHERE aggregate = ? AND version > ?"
            for key, value in connection.execute(changed, (aggregate, cached.version)):
                if value is None:
                    cached.records.pop(key, None)
                else:
                    cached.records[key] = self._decode(aggregate, key, value)
            cached.version = version
        return cached

    def _change(self, connection: sqlite3.Connection, aggregate: str, cached: Cached, decision: Decision) -> None:
        """Write what differs from the records, and the journal entry."""
        deleted = [key for key in decision.delete if key in cached.records]
        put = {key: record for key, record in decision.put.items() if cached.records.get(key) != record}
        if put or deleted:
            cached.version += 1
        encoded = {key: self._encode(key, record) for key, record in put.items()}
        rows: list[tuple[object, ...]] = [(aggregate, key, None, cached.version) for key in deleted]
        rows += [(aggregate, key, value, cached.version) for key, value in encoded.items()]
        statement = "INSERT OR REPLACE INTO records (aggregate, key, value, version) VALUES (?, ?, ?, ?)"
        _many(connection, statement, rows)
        for key in deleted:
            del cached.records[key]
        # What is kept comes from the bytes, so that a machine sees the same records before and after a restart.
        cached.records.update((key, self._decode(aggregate, key, value)) for key, value in encoded.items())
        if decision.entry:
            _journal(connection, aggregate, cached, decision.entry)
        if rows or decision.entry:
            _save_aggregate(connection, aggregate, cached)

    def _effects_of(self, connection: sqlite3.Connection, item: Input, decision: Decision, claim: _Claim) -> Outcome:
        """Write outbox rows and timers."""
        claimed: list[OutboxRow] = []
        unclaimed = 0
        timers: dict[str, float] = {}
        for index, effect in enumerate(decision.effects):
            if isinstance(effect, SetTimer | CancelTimer):
                _set_timer(connection, item.aggregate, effect)
                timers.pop(effect.name, None)
                if isinstance(effect, SetTimer):
                    timers[effect.name] = effect.at
            elif isinstance(effect, Publish | Perform):
                mine = claim.takes(effect)
                owned = (claim.owner, claim.until, 1) if mine else ("", 0.0, 0)
                place = (item.aggregate, item.event_id, index)
                row = self._insert(connection, effect, (*place, decision.now), owned)
                claimed += [row] if mine else []
                unclaimed += not mine
        next_timer = min(timers.values(), default=None)
        return Outcome("applied", claimed=tuple(claimed), unclaimed=unclaimed, next_timer=next_timer)

    def _insert(
        self,
        connection: sqlite3.Connection,
        effect: Publish | Perform,
        place: tuple[str, str, int, float],
        owned: tuple[str, float, int],
    ) -> OutboxRow:
        kind = _PUBLISH if isinstance(effect, Publish) else _PERFORM
        statement = (
            "INSERT INTO outbox (kind, effect, aggregate, event_id, effect_index, created_at, owner, claimed_until, "  # noqa: S608
            f"attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_ROW_COLUMNS}"
        )
        values = (kind, msgspec.json.encode(effect), *place, *owned)
        return self._row(connection.execute(statement, values).fetchone())

    def _row(self, row: tuple[Any, ...]) -> OutboxRow:
        """An outbox row; its effect always comes from its bytes, so that it is the same after a crash as before."""
        seq, aggregate, event_id, index, stored, created_at, attempts = row
        effect: Publish | Perform | Unreadable
        try:
            effect = self._effects.decode(stored)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            effect = Unreadable(str(error))
        return OutboxRow(seq, aggregate, event_id, index, effect, created_at, attempts)

    def _encode(self, key: str, record: Struct) -> bytes:
        self._decoder(key)
        return self._encoder.encode(record)

    def _decode(self, aggregate: str, key: str, value: bytes) -> Struct:
        decoder = self._decoder(key)
        try:
            return decoder.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RecordUnreadable(aggregate, key, str(error)) from None

    def _decoder(self, key: str) -> msgspec.msgpack.Decoder[Struct]:
        decoder = self._decoders.get(key.partition("/")[0])
        if decoder is None:
            raise TypeError(f"no record type for the key {key!r}: the machine does not list its prefix")
        return decoder


@dataclass(slots=True)
class _Claim:
    """Which of the rows being written belong to the writer at once."""

    owner: str
    until: float
    performs_left: int

    def takes(self, effect: Publish | Perform) -> bool:
        """Whether the writer takes this effect: every Publish, and as many Performs as it has room for."""
        if isinstance(effect, Perform):
            self.performs_left -= 1
            return self.performs_left >= 0
        return True


def _many(connection: sqlite3.Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
    connection.executemany(statement, rows)


def _take_timer(connection: sqlite3.Connection, timer: Timer) -> bool:
    return connection.execute("DELETE FROM timers WHERE serial = ?", (timer.serial,)).rowcount == 1


def _set_timer(connection: sqlite3.Connection, aggregate: str, effect: SetTimer | CancelTimer) -> None:
    """A set timer gets a new serial, so that the earlier one of its name is stale wherever it is about to fire."""
    connection.execute("DELETE FROM timers WHERE aggregate = ? AND name = ?", (aggregate, effect.name))
    if isinstance(effect, SetTimer):
        statement = "INSERT INTO timers (aggregate, name, due_at) VALUES (?, ?, ?)"
        connection.execute(statement, (aggregate, effect.name, effect.at))


def _journal(connection: sqlite3.Connection, aggregate: str, cached: Cached, entry: bytes) -> None:
    statement = "INSERT INTO journal (aggregate, n, entry) VALUES (?, ?, ?)"
    connection.execute(statement, (aggregate, cached.journalled, entry))
    cached.journalled += 1
    cached.last_hash = hashlib.sha256(entry).hexdigest()


def _save_aggregate(connection: sqlite3.Connection, aggregate: str, cached: Cached) -> None:
    statement = "INSERT OR REPLACE INTO aggregates (aggregate, version, journalled, last_hash) VALUES (?, ?, ?, ?)"
    connection.execute(statement, (aggregate, cached.version, cached.journalled, cached.last_hash))
