"""The store's tables (`migrations/`) in SQLite: every statement that reads or writes them, and none of the rules.

Blocking, for the store's thread. Times are seconds since 1970.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from nodes.machine import Perform, Publish
from nodes.store import port
from nodes.store.encoding import encode_effect
from nodes.store.port import OutboxRow, Timer
from nodes.store.rows import NOBODY, PRUNE_MAX, Head, Lease, kind_of, outbox_row

_CLAIMABLE: Final = "SELECT seq FROM outbox WHERE kind = ? AND claimed_until < ? ORDER BY seq LIMIT ?"
LAST: Final = "\U0010ffff"
"""Sorts after whatever a key may go on with."""
_ROW: Final = "seq, aggregate, event_id, effect_index, effect, created_at, attempts, failures"


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables behind one connection, inside a transaction that somebody else began.

    What is named as a method of `nodes.store.port.Store` is described there.
    """

    connection: sqlite3.Connection

    # ------------------------------------------------------------ inbox

    def was_handled(self, event_id: str) -> bool:
        """Whether the event has had its effect."""
        return bool(self._all("SELECT 1 FROM inbox WHERE event_id = ?", event_id))

    def add_handled(self, event_id: str, now: float) -> None:
        """The event has its effect now."""
        self._change("INSERT INTO inbox (event_id, seen_at) VALUES (?, ?)", event_id, now)

    def forget_handled(self, before: float) -> int:
        """Forget up to `PRUNE_MAX` events seen before this time; how many."""
        old = "SELECT event_id FROM inbox WHERE seen_at < ? ORDER BY seen_at LIMIT ?"
        return self._change(f"DELETE FROM inbox WHERE event_id IN ({old})", before, PRUNE_MAX)  # noqa: S608

    # ------------------------------------------------------------ aggregates and their records

    def head(self, aggregate: str) -> Head | None:
        """The aggregate's row."""
        statement = "SELECT version, journalled, last_hash, forgotten FROM aggregates WHERE aggregate = ?"
        rows = self._all(statement, aggregate)
        return Head(*rows[0]) if rows else None

    def put_head(self, aggregate: str, head: Head) -> None:
        """Write the aggregate's row."""
        columns = "aggregate, version, journalled, last_hash, forgotten"
        self._change(f"INSERT OR REPLACE INTO aggregates ({columns}) VALUES (?, ?, ?, ?, ?)", aggregate, *head)  # noqa: S608

    def forget_deleted(self) -> None:
        """Drop what stands for records that were deleted."""
        deleted = "SELECT aggregate FROM records WHERE value IS NULL"
        self._change(f"UPDATE aggregates SET forgotten = version WHERE aggregate IN ({deleted})")  # noqa: S608
        self._change("DELETE FROM records WHERE value IS NULL")

    def erase(self, aggregate: str) -> None:
        """Remove all there is of an aggregate."""
        for table in ("records", "journal", "timers", "outbox", "aggregates"):
            self._change(f"DELETE FROM {table} WHERE aggregate = ?", aggregate)  # noqa: S608

    def aggregates(self, prefix: str) -> list[str]:
        statement = "SELECT aggregate FROM aggregates WHERE substr(aggregate, 1, ?) = ? ORDER BY aggregate"
        return [name for (name,) in self._all(statement, len(prefix), prefix)]

    def stamps(self, prefix: str) -> dict[str, port.Stamp]:
        statement = "SELECT aggregate, version, journalled FROM aggregates WHERE substr(aggregate, 1, ?) = ?"
        return {name: port.Stamp(*head) for name, *head in self._all(statement, len(prefix), prefix)}

    def of_kinds(self, aggregates: Iterable[str], kinds: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        """The records of these kinds: aggregate, key and bytes."""
        names = orjson.dumps(list(aggregates)).decode()
        some = "json_each(?) AS a CROSS JOIN records AS r ON r.aggregate = a.value"
        chosen = f"SELECT r.aggregate, r.key, r.value FROM {some} AND r.key >= ? AND r.key <= ? AND r.value IS NOT NULL"  # noqa: S608
        for kind in kinds:
            for first, last in ((kind, kind), (f"{kind}/", f"{kind}/{LAST}")):
                yield from self.connection.execute(chosen, (names, first, last))

    def changed(self, aggregate: str, since: int) -> Iterator[tuple[str, bytes | None]]:
        """Records written after this version: key and bytes, or None for one that was deleted."""
        statement = "SELECT key, value FROM records WHERE aggregate = ? AND version > ?"
        return self.connection.execute(statement, (aggregate, since))

    def records(self, aggregate: str, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The records of these keys, as far as there are any."""
        chosen = "key IN (SELECT value FROM json_each(?))"
        statement = f"SELECT key, value FROM records WHERE aggregate = ? AND {chosen} AND value IS NOT NULL"  # noqa: S608
        return self.connection.execute(statement, (aggregate, orjson.dumps(list(keys)).decode()))

    def put_records(self, aggregate: str, version: int, values: Mapping[str, bytes | None]) -> None:
        """Write records by key as of this version; None deletes."""
        statement = "INSERT OR REPLACE INTO records (aggregate, key, value, version) VALUES (?, ?, ?, ?)"
        rows = [(aggregate, key, value, version) for key, value in values.items()]
        self.connection.executemany(statement, rows)

    # ------------------------------------------------------------ journal

    def add_entry(self, aggregate: str, number: int, now: float, entry: bytes) -> None:
        """Write the journal entry of this number."""
        self._change("INSERT INTO journal (aggregate, n, at, entry) VALUES (?, ?, ?, ?)", aggregate, number, now, entry)

    def shorten(self, aggregate: str, before: float, entries_max: int) -> None:
        """Forget an aggregate's oldest journal entries, up to `PRUNE_MAX`: those before this time, and over so many."""
        young = "SELECT n FROM journal WHERE aggregate = ?1 AND at >= ?2 ORDER BY n LIMIT 1"
        last = "SELECT journalled FROM aggregates WHERE aggregate = ?1"
        first = f"max(coalesce(({young}), ({last})), ({last}) - ?3)"
        old = f"SELECT n FROM journal WHERE aggregate = ?1 AND n < {first} ORDER BY n LIMIT ?4"  # noqa: S608
        statement = f"DELETE FROM journal WHERE aggregate = ?1 AND n IN ({old})"  # noqa: S608
        self._change(statement, aggregate, before, entries_max, PRUNE_MAX)

    def journal(self, aggregate: str, first: int, entries_max: int | None) -> list[bytes]:
        statement = "SELECT entry FROM journal WHERE aggregate = ? AND n >= ? ORDER BY n LIMIT ?"
        return [
            entry for (entry,) in self._all(statement, aggregate, first, -1 if entries_max is None else entries_max)
        ]

    # ------------------------------------------------------------ timers

    def set_timer(self, aggregate: str, name: str, due_at: float) -> None:
        """Set a timer; an earlier one of its name is gone, and stale wherever it is about to fire."""
        self.cancel_timer(aggregate, name)
        self._change("INSERT INTO timers (aggregate, name, due_at) VALUES (?, ?, ?)", aggregate, name, due_at)

    def cancel_timer(self, aggregate: str, name: str) -> None:
        """Remove a timer, if it is set."""
        self._change("DELETE FROM timers WHERE aggregate = ? AND name = ?", aggregate, name)

    def take_timer(self, serial: int) -> bool:
        """Remove exactly this timer; whether it still stood."""
        return self._change("DELETE FROM timers WHERE serial = ?", serial) == 1

    def due_timers(self, now: float, limit: int) -> list[Timer]:
        statement = "SELECT aggregate, name, due_at, serial FROM timers WHERE due_at <= ? ORDER BY due_at LIMIT ?"
        return [Timer(*row) for row in self._all(statement, now, limit)]

    def next_timer(self) -> float | None:
        ((due_at,),) = self._all("SELECT min(due_at) FROM timers")
        return None if due_at is None else float(due_at)

    # ------------------------------------------------------------ outbox

    def add_effect(self, effect: Publish | Perform, place: tuple[str, str, int], now: float, lease: Lease) -> OutboxRow:
        """Write an effect of `place` (aggregate, event id, index); with a lease, that is its first attempt."""
        columns = (
            "kind, effect, aggregate, event_id, effect_index, created_at, owner, claimed_until, attempts",
            "?, ?, ?, ?, ?, ?, ?, ?, ?",
        )
        statement = f"INSERT INTO outbox ({columns[0]}) VALUES ({columns[1]}) RETURNING {_ROW}"  # noqa: S608
        values = (kind_of(effect), encode_effect(effect), *place, now, *lease, int(lease != NOBODY))
        return outbox_row(*self.connection.execute(statement, values).fetchone())

    def is_claimable(self, kind: str, now: float) -> bool:
        """Whether an effect of this kind belongs to nobody."""
        return bool(self._all(_CLAIMABLE, kind, now, 1))

    def claim(self, kind: str, now: float, most: int, lease: Lease) -> list[OutboxRow]:
        """Take up to so many effects that belong to nobody, oldest first; one more attempt at each."""
        taken = "owner = ?, claimed_until = ?, attempts = attempts + 1"
        statement = f"UPDATE outbox SET {taken} WHERE seq IN ({_CLAIMABLE}) RETURNING {_ROW}"  # noqa: S608
        return [outbox_row(*row) for row in self._all(statement, *lease, kind, now, most)]

    def extend(self, seqs: Sequence[int], lease: Lease) -> None:
        statement = "UPDATE outbox SET claimed_until = ? WHERE seq = ? AND owner = ?"
        self.connection.executemany(statement, [(lease.until, seq, lease.owner) for seq in seqs])

    def failed(self, seq: int) -> None:
        self._change("UPDATE outbox SET failures = failures + 1 WHERE seq = ?", seq)

    def delete_effects(self, seqs: Iterable[int]) -> None:
        """Remove effects that were carried out."""
        self.connection.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq in seqs])

    def release(self, owner: str) -> None:
        freed = "owner = '', claimed_until = 0, attempts = attempts - 1"
        self._change(f"UPDATE outbox SET {freed} WHERE owner = ?", owner)  # noqa: S608

    def free(self, owner: str) -> None:
        """End the leases of one that ended, which may have been over what it carried out: its attempts count."""
        self._change("UPDATE outbox SET owner = '', claimed_until = 0 WHERE owner = ?", owner)

    def outbox_size(self, aggregate: str | None = None) -> int:
        chosen = "?1 IS NULL OR aggregate = ?1"
        ((size,),) = self._all(f"SELECT count(*) FROM outbox WHERE {chosen}", aggregate)  # noqa: S608
        return int(size)

    # ------------------------------------------------------------ processes

    def beat(self, owner: str, now: float) -> None:
        self._change("INSERT OR REPLACE INTO processes (owner, seen_at) VALUES (?, ?)", owner, now)
        self._change("DELETE FROM processes WHERE seen_at < ?", now - port.BEATS_KEPT_SECONDS)

    def beats(self) -> dict[str, float]:
        return dict(self._all("SELECT owner, seen_at FROM processes"))

    # ------------------------------------------------------------ secrets

    def put_secret(self, name: str, sealed: bytes) -> bytes:
        self._change("INSERT OR IGNORE INTO secrets (name, sealed) VALUES (?, ?)", name, sealed)
        ((kept,),) = self._all("SELECT sealed FROM secrets WHERE name = ?", name)
        return bytes(kept)

    def get_secret(self, name: str) -> bytes | None:
        rows = self._all("SELECT sealed FROM secrets WHERE name = ?", name)
        return rows[0][0] if rows else None

    def delete_secret(self, name: str) -> None:
        self._change("DELETE FROM secrets WHERE name = ?", name)

    def _all(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, parameters).fetchall()

    def _change(self, statement: str, *parameters: object) -> int:
        return self.connection.execute(statement, parameters).rowcount
