"""The store on PostgreSQL: one database or schema per node, shared by its processes on any number of machines.

Aggregates are locked one by one, so processes wait for each other only over the same job. What a process keeps in
memory is checked against the versions under that lock, as on SQLite. Leases compare the machines' clocks: these may
differ by seconds, not by `OUTBOX_LEASE_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from importlib.resources.abc import Traversable
from typing import Any, Final

from msgspec import Struct

from nodes.store.cache import RECORDS_CACHED_MAX, Cache
from nodes.store.encoding import RecordEncoding
from nodes.store.errors import RecordUnreadable
from nodes.store.port import BEATS_KEPT_SECONDS, Decide, Input, OutboxRow, Outcome, Stamp, Timer
from nodes.store.postgres import statements
from nodes.store.postgres.batch import Batch
from nodes.store.postgres.database import Database, where
from nodes.store.postgres.driver import Connection
from nodes.store.postgres.migrations import migrate, shipped
from nodes.store.rows import PERFORM, PRUNE_MAX, PUBLISH, Lease, outbox_row
from nodes.store.transaction import Claim, Transaction
from schemas import limits

LOOK_SECONDS: Final = 5.0
"""A killed process's work is taken over so long after its lease at the latest: at once where another has room then."""


@dataclass(frozen=True, slots=True)
class _Apply:
    inputs: Sequence[Input]
    decide: Decide
    lease: Lease
    performs_max: int


@dataclass(frozen=True, slots=True)
class _Done:
    seqs: Sequence[int]


class PostgresStore:
    """`nodes.store.port.Store` on PostgreSQL; its methods are described there."""

    def __init__(self, url: str, node: str, record_types: Mapping[str, type[Struct]]) -> None:
        """Use `PostgresStore.open`."""
        self._cache = Cache(RECORDS_CACHED_MAX)
        self._encoding = RecordEncoding(record_types)
        self._database = Database(
            url,
            channel=f"sublet-{sha256(node.encode()).hexdigest()[:16]}",
            weight_per_commit_max=limits.EVENTS_PER_COMMIT_MAX,
            together=self._apply,
            undone=self._undone,
        )

    @classmethod
    async def open(
        cls,
        url: str,
        node: str,
        record_types: Mapping[str, type[Struct]],
        migrations: Iterable[Traversable] | None = None,
    ) -> PostgresStore:
        """The store of `node` (its address) in the database of this URL, made or migrated where it must be.

        Args:
            url: `postgresql://user:password@host/database?sslmode=verify-full`, as libpq has it; other options are
                settings of the session, such as `search_path`.
            node: whose store it is.
            record_types: record class by key prefix (`Machine.record_types`).
            migrations: files instead of this release's.

        Raises:
            ServerFailed: the server cannot be reached, or refuses.
            StoreOfAnotherFormat: the database is something else, and was left untouched.
            BadConfig: asyncpg is not installed.
        """
        store = cls(url, node, record_types)
        files = shipped() if migrations is None else migrations
        await store._database.open(lambda connection: migrate(connection, where(url), node, files))
        return store

    @property
    def look_seconds(self) -> float:
        return LOOK_SECONDS

    def listen(self, heard: Callable[[], None]) -> None:
        self._database.listen(heard)

    async def apply(
        self, inputs: Sequence[Input], decide: Decide, *, owner: str, lease_until: float, performs_max: int
    ) -> list[Outcome]:
        asked = _Apply(inputs, decide, Lease(owner, lease_until), performs_max)
        outcomes: list[Outcome] = await self._database.write_together(asked, max(1, len(inputs)))
        if any(outcome.unclaimed for outcome in outcomes):
            self._database.tell()
        return outcomes

    async def claim(
        self, owner: str, *, now: float, lease_until: float, publishes_max: int, performs_max: int
    ) -> list[OutboxRow]:
        wanted = {kind: most for kind, most in ((PUBLISH, publishes_max), (PERFORM, performs_max)) if most > 0}

        async def look(connection: Connection) -> bool:
            found = [await connection.fetchval(statements.IS_CLAIMABLE, kind, now) for kind in wanted]
            return any(found)

        async def run(connection: Connection) -> list[OutboxRow]:
            rows: list[OutboxRow] = []
            for kind, most in wanted.items():
                taken = await connection.fetch(statements.CLAIM, kind, now, most, owner, lease_until)
                rows += [outbox_row(*row) for row in taken]
            return sorted(rows, key=lambda row: row.seq)

        # Looks first: writing nothing would still wait for the disk.
        return await self._database.write(run) if await self._database.read(look) else []

    async def extend(self, owner: str, seqs: Sequence[int], lease_until: float) -> None:
        await self._execute(statements.EXTEND, list(seqs), owner, lease_until)

    async def failed(self, seq: int) -> None:
        await self._execute(statements.FAILED, seq)

    async def done(self, seqs: Sequence[int]) -> None:
        await self._database.write_together(_Done(seqs), 0)

    async def release(self, owner: str) -> None:
        await self._execute(statements.RELEASE, owner)
        self._database.tell()

    async def due_timers(self, now: float, limit: int) -> list[Timer]:
        return [Timer(*row) for row in await self._rows(statements.DUE, now, limit)]

    async def next_timer(self) -> float | None:
        ((due_at,),) = await self._rows(statements.NEXT_TIMER)
        return None if due_at is None else float(due_at)

    async def forget(self, before: float) -> int:
        async def run(connection: Connection) -> int:
            await connection.execute(statements.FORGET_DELETED)
            tag = await connection.execute(statements.FORGET_HANDLED, before, PRUNE_MAX)
            return int(tag.rpartition(" ")[2])

        return await self._database.write(run)

    async def shorten(self, aggregate: str, *, before: float, entries_max: int) -> None:
        await self._execute(statements.SHORTEN, aggregate, before, entries_max, PRUNE_MAX)

    async def erase(self, aggregate: str) -> None:
        async def run(connection: Connection) -> None:
            await connection.fetch(statements.LOCK, [aggregate])
            for statement in statements.ERASE:
                await connection.execute(statement, aggregate)

        await self._database.write(run)

    async def get(self, aggregate: str, keys: Collection[str]) -> dict[str, Struct]:
        wanted = frozenset(keys)

        async def run(connection: Connection) -> dict[str, Struct]:
            batch = Batch()
            await batch.look(connection, [aggregate], None)
            head = batch.head(aggregate)
            if head is None or self._cache.at(aggregate, head.version) is None:
                batch.found = await connection.fetch(statements.RECORDS, aggregate, list(wanted))
            return self._transaction(batch).find(aggregate, wanted)

        return await self._database.read(run)

    async def read(self, aggregate: str) -> dict[str, Struct]:
        async def run(connection: Connection) -> dict[str, Struct]:
            batch = Batch()
            await batch.look(connection, [aggregate], self._cache)
            try:
                return dict(self._transaction(batch).load(aggregate).records)
            finally:
                self._cache.trim([aggregate])

        return await self._database.read(run)

    async def aggregates(self, prefix: str = "") -> list[str]:
        return [name for (name,) in await self._rows(statements.AGGREGATES, prefix)]

    async def stamps(self, prefix: str = "") -> dict[str, Stamp]:
        return {name: Stamp(*stamp) for name, *stamp in await self._rows(statements.STAMPS, prefix)}

    async def select(
        self, aggregates: Collection[str], kinds: Collection[str]
    ) -> dict[str, dict[str, Struct] | RecordUnreadable]:
        return self._encoding.gathered(await self._rows(statements.OF_KINDS, list(aggregates), list(kinds)))

    async def journal(self, aggregate: str, *, first: int = 0, entries_max: int | None = None) -> list[bytes]:
        return [entry for (entry,) in await self._rows(statements.JOURNAL, aggregate, first, entries_max)]

    async def beat(self, owner: str, now: float) -> None:
        await self._execute(statements.BEAT, owner, now, now - BEATS_KEPT_SECONDS)

    async def beats(self) -> dict[str, float]:
        return dict(await self._rows(statements.BEATS))

    async def outbox_size(self, aggregate: str | None = None) -> int:
        ((size,),) = await self._rows(statements.OUTBOX_SIZE, aggregate)
        return int(size)

    async def put_secret(self, name: str, sealed: bytes) -> bytes:
        async def run(connection: Connection) -> bytes:
            await connection.execute(statements.KEEP_SEALED, name, sealed)
            return bytes(await connection.fetchval(statements.SEALED, name))

        return await self._database.write(run)

    async def get_secret(self, name: str) -> bytes | None:
        rows = await self._rows(statements.SEALED, name)
        return rows[0][0] if rows else None

    async def delete_secret(self, name: str) -> None:
        await self._execute(statements.DELETE_SEALED, name)

    async def close(self) -> None:
        await self._database.close()

    # ---------------------------------------------------------------- events

    async def _apply(self, connection: Connection, asked: Sequence[_Apply | _Done]) -> list[list[Outcome]]:
        inputs = _inputs(asked)
        batch = Batch()
        if inputs:
            await batch.lock(connection, inputs, self._cache)
        transaction = self._transaction(batch)
        found: list[list[Outcome]] = []
        for each in asked:
            if isinstance(each, _Done):
                batch.delete_effects(each.seqs)
                found.append([])
                continue
            claim = Claim(each.lease, each.performs_max)
            found.append([transaction.handle(item, each.decide, claim) for item in each.inputs])
        numbers = await batch.write(connection)
        self._cache.trim(item.aggregate for item in inputs)
        return [[_numbered(outcome, numbers) for outcome in outcomes] for outcomes in found]

    def _undone(self, asked: Sequence[_Apply | _Done]) -> None:
        self._cache.forget(item.aggregate for item in _inputs(asked))

    def _transaction(self, batch: Batch) -> Transaction:
        return Transaction(batch, self._cache, self._encoding)

    async def _execute(self, statement: str, *parameters: object) -> None:
        await self._database.write(partial(_executed, statement, parameters))

    async def _rows(self, statement: str, *parameters: object) -> list[Any]:
        return await self._database.read(lambda connection: connection.fetch(statement, *parameters))


def _inputs(asked: Sequence[_Apply | _Done]) -> list[Input]:
    return [item for each in asked if isinstance(each, _Apply) for item in each.inputs]


async def _executed(statement: str, parameters: Sequence[object], connection: Connection) -> None:
    await connection.execute(statement, *parameters)


def _numbered(outcome: Outcome, numbers: Mapping[tuple[str, int], int]) -> Outcome:
    if not outcome.claimed:
        return outcome
    claimed = tuple(replace(row, seq=numbers[row.event_id, row.index]) for row in outcome.claimed)
    return replace(outcome, claimed=claimed)
