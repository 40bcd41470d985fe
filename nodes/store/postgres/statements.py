"""What the store says to PostgreSQL. One string each; parameters are arrays where several rows are meant."""

from __future__ import annotations

from typing import Final

SECONDS_MAX: Final = 30
"""For a statement, and to wait for another process's lock."""
IDLE_SECONDS_MAX: Final = 10
"""Between two statements of a transaction: then the server ends it, so that a stopped process holds no locks."""

BEGIN: Final = (
    f"BEGIN; SET LOCAL lock_timeout = '{SECONDS_MAX}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS_MAX}s'; SET LOCAL synchronous_commit = on"
)
BEGIN_READ: Final = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS_MAX}s'"
)
BEGIN_TELL: Final = "BEGIN; SET LOCAL synchronous_commit = off"
"""The server's lock of all that tell is not held until the disk has it."""
NOTIFY: Final = "SELECT pg_notify($1, '')"

# Aggregates of any name can be locked, also before there is a row; all processes lock in one order.
LOCK: Final = """
SELECT pg_advisory_xact_lock(k) FROM (
    SELECT DISTINCT hashtextextended(a, 0) AS k FROM unnest($1::text[]) AS a ORDER BY 1 OFFSET 0
) AS keys
"""
HEADS: Final = "SELECT aggregate, version, journalled, last_hash, forgotten FROM aggregates WHERE aggregate = ANY($1)"
FOUND: Final = """
SELECT 'head', aggregate, version, journalled, last_hash, forgotten FROM aggregates WHERE aggregate = ANY($1)
UNION ALL SELECT 'handled', event_id, 0, 0, '', 0 FROM inbox WHERE event_id = ANY($2)
UNION ALL SELECT 'timer', aggregate, serial, 0, name, 0 FROM timers WHERE serial = ANY($3)
"""
"""Heads of aggregates, ids of events handled and timers that stand, in one answer."""
CHANGED: Final = """
SELECT r.aggregate, r.key, r.value FROM unnest($1::text[], $2::bigint[]) AS known (aggregate, version)
JOIN records AS r ON r.aggregate = known.aggregate AND r.version > known.version
"""
RECORDS: Final = "SELECT key, value FROM records WHERE aggregate = $1 AND key = ANY($2) AND value IS NOT NULL"

# All that a group of events writes. Each table is written once: what is deleted is never what is inserted.
WRITE: Final = """
WITH done AS (
    DELETE FROM outbox WHERE seq = ANY($1::bigint[])
), cancelled AS (
    DELETE FROM timers AS t USING unnest($2::text[], $3::text[]) AS gone (aggregate, name)
    WHERE t.aggregate = gone.aggregate AND t.name = gone.name
), handled AS (
    INSERT INTO inbox (event_id, seen_at) SELECT * FROM unnest($4::text[], $5::double precision[])
), heads AS (
    INSERT INTO aggregates (aggregate, version, journalled, last_hash, forgotten)
    SELECT * FROM unnest($6::text[], $7::bigint[], $8::bigint[], $9::text[], $10::bigint[])
    ON CONFLICT (aggregate) DO UPDATE SET
        version = excluded.version, journalled = excluded.journalled, last_hash = excluded.last_hash,
        forgotten = greatest(aggregates.forgotten, excluded.forgotten)
), written AS (
    INSERT INTO records (aggregate, key, value, version)
    SELECT * FROM unnest($11::text[], $12::text[], $13::bytea[], $14::bigint[])
    ON CONFLICT (aggregate, key) DO UPDATE SET value = excluded.value, version = excluded.version
), entries AS (
    INSERT INTO journal (aggregate, n, at, entry)
    SELECT * FROM unnest($15::text[], $16::bigint[], $17::double precision[], $18::bytea[])
), timed AS (
    INSERT INTO timers (aggregate, name, due_at) SELECT * FROM unnest($19::text[], $20::text[], $21::double precision[])
    ON CONFLICT (aggregate, name) DO UPDATE SET due_at = excluded.due_at, serial = DEFAULT
)
INSERT INTO outbox (kind, effect, aggregate, event_id, effect_index, created_at, owner, claimed_until, attempts)
SELECT kind, effect, aggregate, event_id, effect_index, created_at, owner, claimed_until, attempts
FROM unnest($22::text[], $23::bytea[], $24::text[], $25::text[], $26::int[], $27::double precision[], $28::text[],
            $29::double precision[], $30::int[]) WITH ORDINALITY
    AS made (kind, effect, aggregate, event_id, effect_index, created_at, owner, claimed_until, attempts, place)
ORDER BY place
RETURNING seq, event_id, effect_index
"""

_CLAIMABLE: Final = "FROM outbox WHERE kind = $1 AND claimed_until < $2"
IS_CLAIMABLE: Final = f"SELECT EXISTS (SELECT {_CLAIMABLE})"
CLAIM: Final = f"""
UPDATE outbox SET owner = $4, claimed_until = $5, attempts = attempts + 1
WHERE seq IN (SELECT seq {_CLAIMABLE} ORDER BY seq LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING seq, aggregate, event_id, effect_index, effect, created_at, attempts, failures
"""  # noqa: S608 - a constant
EXTEND: Final = "UPDATE outbox SET claimed_until = $3 WHERE seq = ANY($1) AND owner = $2"
FAILED: Final = "UPDATE outbox SET failures = failures + 1 WHERE seq = $1"
DONE: Final = "DELETE FROM outbox WHERE seq = ANY($1)"
RELEASE: Final = "UPDATE outbox SET owner = '', claimed_until = 0, attempts = attempts - 1 WHERE owner = $1"
OUTBOX_SIZE: Final = "SELECT count(*) FROM outbox WHERE $1::text IS NULL OR aggregate = $1"

DUE: Final = "SELECT aggregate, name, due_at, serial FROM timers WHERE due_at <= $1 ORDER BY due_at, serial LIMIT $2"
NEXT_TIMER: Final = "SELECT min(due_at) FROM timers"

FORGET_HANDLED: Final = """
DELETE FROM inbox WHERE event_id IN (SELECT event_id FROM inbox WHERE seen_at < $1 ORDER BY seen_at LIMIT $2)
"""
FORGET_DELETED: Final = """
WITH gone AS (DELETE FROM records WHERE value IS NULL RETURNING aggregate)
UPDATE aggregates SET forgotten = version WHERE aggregate IN (SELECT aggregate FROM gone)
"""
SHORTEN: Final = """
DELETE FROM journal WHERE aggregate = $1 AND n IN (
    SELECT n FROM journal WHERE aggregate = $1 AND n < greatest(
        coalesce(
            (SELECT n FROM journal WHERE aggregate = $1 AND at >= $2 ORDER BY n LIMIT 1),
            (SELECT journalled FROM aggregates WHERE aggregate = $1)
        ),
        (SELECT journalled FROM aggregates WHERE aggregate = $1) - $3
    ) ORDER BY n LIMIT $4
)
"""
ERASE: Final = tuple(
    f"DELETE FROM {table} WHERE aggregate = $1"  # noqa: S608 - constants
    for table in ("records", "journal", "timers", "outbox", "aggregates")
)
AGGREGATES: Final = """
SELECT aggregate FROM aggregates WHERE left(aggregate, length($1)) = $1 ORDER BY aggregate COLLATE "C"
"""
STAMPS: Final = "SELECT aggregate, version, journalled FROM aggregates WHERE left(aggregate, length($1)) = $1"
OF_KINDS: Final = """
SELECT aggregate, key, value FROM records
WHERE aggregate = ANY($1) AND split_part(key, '/', 1) = ANY($2) AND value IS NOT NULL
"""
JOURNAL: Final = "SELECT entry FROM journal WHERE aggregate = $1 AND n >= $2 ORDER BY n LIMIT $3"
BEAT: Final = """
WITH old AS (DELETE FROM processes WHERE seen_at < $3 AND owner <> $1)
INSERT INTO processes (owner, seen_at) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at
"""
BEATS: Final = "SELECT owner, seen_at FROM processes"

KEEP_SEALED: Final = "INSERT INTO secrets (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
SEALED: Final = "SELECT sealed FROM secrets WHERE name = $1"
DELETE_SEALED: Final = "DELETE FROM secrets WHERE name = $1"
