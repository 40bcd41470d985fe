"""The store on SQLite: one file, shared by a node's processes on one machine (WAL does not work over network folders).

Several processes take turns by SQLite's write lock. Each keeps aggregates in memory and, inside the transaction, asks
whether their version is still the one it knows; if not, it loads only what changed since. On one machine the kernel
tells which of them ended: what these had claimed is free as soon as another says that it lives, without waiting for the
end of their leases.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from nodes.store.cache import RECORDS_CACHED_MAX, Cache
from nodes.store.database import Database
from nodes.store.encoding import RecordEncoding
from nodes.store.errors import RecordUnreadable
from nodes.store.owners import Owners
from nodes.store.port import Decide, Input, OutboxRow, Outcome, Stamp, Timer
from nodes.store.rows import PERFORM, PUBLISH, Lease
from nodes.store.tables import Tables
from nodes.store.transaction import Claim, Transaction
from schemas import limits

T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""Processes on one file hear nothing of each other."""


class SqliteStore:
    """`nodes.store.port.Store` on one SQLite file, or in memory; its methods are described there."""

    def __init__(
        self, database: Database, owners: Owners, cache: Cache, record_types: Mapping[str, type[Struct]]
    ) -> None:
        """Use `SqliteStore.open`."""
        self._database = database
        self._owners = owners
        self._cache = cache
        self._encoding = RecordEncoding(record_types)
        self._heard: Callable[[], None] = lambda: None

    @classmethod
    async def open(cls, path: Path | None, record_types: Mapping[str, type[Struct]]) -> SqliteStore:
        """The store in the file `path` (made with mode 0600 when missing), or in memory when None.

        Args:
            path: the file.
            record_types: record class by key prefix (`Machine.record_types`).

        Raises:
            StoreFailed: the file cannot be opened or made.
            StoreOfAnotherFormat: it is not a store of this release, and was left untouched.
        """
        cache = Cache(RECORDS_CACHED_MAX)
        database = Database(path, weight_per_commit_max=limits.EVENTS_PER_COMMIT_MAX, undone=cache.clear)
        await database.open()
        owners = Owners(path and path.with_name(f"{path.name}-owners"))
        return cls(database, owners, cache, record_types)

    @property
    def look_seconds(self) -> float:
        return LOOK_SECONDS

    def listen(self, heard: Callable[[], None]) -> None:
        self._heard = heard  # of what the ended leave; what the living do is found by looking

    async def apply(
        self, inputs: Sequence[Input], decide: Decide, *, owner: str, lease_until: float, performs_max: int
    ) -> list[Outcome]:
        def run(connection: sqlite3.Connection) -> list[Outcome]:
            transaction = self._transaction(connection)
            claim = Claim(Lease(owner, lease_until), performs_max)
            try:
                return [transaction.handle(item, decide, claim) for item in inputs]
            except BaseException:
                self._cache.forget(item.aggregate for item in inputs)
                raise
            finally:
                self._cache.trim(item.aggregate for item in inputs)

        return await self._database.write(run, weight=max(1, len(inputs)))

    async def claim(
        self, owner: str, *, now: float, lease_until: float, publishes_max: int, performs_max: int
    ) -> list[OutboxRow]:
        wanted = {kind: most for kind, most in ((PUBLISH, publishes_max), (PERFORM, performs_max)) if most > 0}
        lease = Lease(owner, lease_until)

        def run(tables: Tables) -> list[OutboxRow]:
            rows = [row for kind, most in wanted.items() for row in tables.claim(kind, now, most, lease)]
            return sorted(rows, key=lambda row: row.seq)

        # Looks first: writing nothing would still wait for the disk.
        any_waits = await self._read(lambda tables: any(tables.is_claimable(kind, now) for kind in wanted))
        return await self._write(run) if any_waits else []

    async def extend(self, owner: str, seqs: Sequence[int], lease_until: float) -> None:
        await self._write(lambda tables: tables.extend(seqs, Lease(owner, lease_until)))

    async def failed(self, seq: int) -> None:
        await self._write(lambda tables: tables.failed(seq))

    async def done(self, seqs: Sequence[int]) -> None:
        await self._write(lambda tables: tables.delete_effects(seqs))

    async def release(self, owner: str) -> None:
        await self._write(lambda tables: tables.release(owner))

    async def due_timers(self, now: float, limit: int) -> list[Timer]:
        return await self._read(lambda tables: tables.due_timers(now, limit))

    async def next_timer(self) -> float | None:
        return await self._read(lambda tables: tables.next_timer())

    async def forget(self, before: float) -> int:
        def run(tables: Tables) -> int:
            tables.forget_deleted()
            return tables.forget_handled(before)

        return await self._write(run)

    async def shorten(self, aggregate: str, *, before: float, entries_max: int) -> None:
        await self._write(lambda tables: tables.shorten(aggregate, before, entries_max))

    async def erase(self, aggregate: str) -> None:
        await self._write(lambda tables: tables.erase(aggregate))

    async def get(self, aggregate: str, keys: Collection[str]) -> dict[str, Struct]:
        wanted = frozenset(keys)
        return await self._database.read(lambda connection: self._transaction(connection).find(aggregate, wanted))

    async def read(self, aggregate: str) -> dict[str, Struct]:
        def run(connection: sqlite3.Connection) -> dict[str, Struct]:
            try:
                return dict(self._transaction(connection).load(aggregate).records)
            finally:
                self._cache.trim([aggregate])

        return await self._database.read(run)

    async def aggregates(self, prefix: str = "") -> list[str]:
        return await self._read(lambda tables: tables.aggregates(prefix))

    async def stamps(self, prefix: str = "") -> dict[str, Stamp]:
        return await self._read(lambda tables: tables.stamps(prefix))

    async def select(
        self, aggregates: Collection[str], kinds: Collection[str]
    ) -> dict[str, dict[str, Struct] | RecordUnreadable]:
        return await self._read(lambda tables: self._encoding.gathered(tables.of_kinds(aggregates, kinds)))

    async def journal(self, aggregate: str, *, first: int = 0, entries_max: int | None = None) -> list[bytes]:
        return await self._read(lambda tables: tables.journal(aggregate, first, entries_max))

    async def beat(self, owner: str, now: float) -> None:
        def run(tables: Tables) -> list[str]:
            self._owners.hold(owner)
            ended = self._owners.ended()
            for each in ended:
                tables.free(each)
            tables.beat(owner, now)
            return ended

        ended = await self._write(run)
        if ended:
            await self._database.read(lambda _: self._owners.forget(ended))
            self._heard()

    async def beats(self) -> dict[str, float]:
        return await self._read(lambda tables: tables.beats())

    async def outbox_size(self, aggregate: str | None = None) -> int:
        return await self._read(lambda tables: tables.outbox_size(aggregate))

    async def put_secret(self, name: str, sealed: bytes) -> bytes:
        return await self._write(lambda tables: tables.put_secret(name, sealed))

    async def get_secret(self, name: str) -> bytes | None:
        return await self._read(lambda tables: tables.get_secret(name))

    async def delete_secret(self, name: str) -> None:
        await self._write(lambda tables: tables.delete_secret(name))

    async def close(self) -> None:
        await self._database.close()
        self._owners.close()

    def _transaction(self, connection: sqlite3.Connection) -> Transaction:
        return Transaction(Tables(connection), self._cache, self._encoding)

    async def _read(self, run: Callable[[Tables], T]) -> T:
        return await self._database.read(lambda connection: run(Tables(connection)))

    async def _write(self, run: Callable[[Tables], T]) -> T:
        return await self._database.write(lambda connection: run(Tables(connection)))
