"""What a PostgreSQL database is to a node, without changing anything in it: for `sublet check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodes.store.errors import ServerFailed
from nodes.store.postgres.database import failures, where
from nodes.store.postgres.driver import Connection, connect
from nodes.store.postgres.migrations import is_made, missing, numbers

_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_READ_ONLY: Final = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"
_SCHEMA: Final = "SELECT current_schema()"
_MAY_MAKE: Final = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
_BYTES: Final = "SELECT pg_database_size(current_database())"


@dataclass(frozen=True, slots=True)
class Examined:
    """A database that this node can use."""

    where: str
    bytes: int
    """That it takes. How many are left on its disk, a server tells no account like a node's."""
    made: bool
    """Whether the store is there already."""
    missing: int
    """Migrations that it has yet to see."""


async def examine(url: str, node: str) -> Examined:
    """Look at the database of this URL as `node` (its address) would use it.

    Raises:
        ServerFailed: the server cannot be reached or refuses, or the database cannot be written.
        StoreOfAnotherFormat: it is something else.
        BadConfig: asyncpg is not installed.
    """
    with failures(url):
        connection = await connect(url)
        try:
            await connection.execute(_BEGIN)
            return await _examined(connection, where(url), node)
        finally:
            await connection.close(timeout=1)


async def _examined(connection: Connection, at: str, node: str) -> Examined:
    if await connection.fetchval(_READ_ONLY):
        raise ServerFailed(f"PostgreSQL at {at} takes no writes: it is a standby, or read-only; name the one that does")
    if await connection.fetchval(_SCHEMA) is None:
        raise ServerFailed(f"PostgreSQL at {at} has no such schema for this account: make it, or set search_path")
    made = await is_made(connection, at)
    if not made and not await connection.fetchval(_MAY_MAKE):
        raise ServerFailed(f"PostgreSQL at {at} lets this account make no tables: grant it CREATE on its schema")
    left = await missing(connection, at, node, numbers()) if made else list(numbers())
    return Examined(at, int(await connection.fetchval(_BYTES)), made, len(left))
