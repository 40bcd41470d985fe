"""What makes a PostgreSQL database a node's store: its migrations (`nodes.store.migrations`), under a lock.

A database that is another node's, another program's, or of a release too young or too old to go on, is left as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from nodes.store.errors import StoreOfAnotherFormat
from nodes.store.migrations import Migration, is_too_young, read
from nodes.store.postgres.driver import Connection

LOCK: Final = int.from_bytes(b"SUBL", "big")
"""Of the advisory lock under which a store is made or migrated: one process at a time."""

_BEGIN: Final = f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})"
_KNOWN: Final = "SELECT to_regclass('sublet_migrations') IS NOT NULL"
_TABLES: Final = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
_MAKE: Final = """
CREATE TABLE sublet_node (address text PRIMARY KEY);
CREATE TABLE sublet_migrations (
    number integer PRIMARY KEY,
    needs integer NOT NULL,
    carried_out timestamptz NOT NULL DEFAULT now()
)
"""


def shipped() -> Iterable[Traversable]:
    """The files of this release."""
    return (resources.files("nodes.store.postgres") / "migrations").iterdir()


def numbers() -> Collection[int]:
    """Of the migrations of this release."""
    return read(shipped()).keys()


async def migrate(connection: Connection, where: str, node: str, files: Iterable[Traversable]) -> None:
    """Make or bring up to date the store of this node; `where` names the database in messages.

    Raises:
        StoreOfAnotherFormat: it is something else, which was left as it is.
        Exception: what the driver raises; then nothing was changed.
    """
    known = read(files)
    await connection.execute(_BEGIN)
    if not await is_made(connection, where):
        await connection.execute(_MAKE)
        await connection.execute("INSERT INTO sublet_node (address) VALUES ($1)", node)
    for number in await missing(connection, where, node, known):
        await _carry_out(connection, known[number])
    await connection.execute("COMMIT")


async def is_made(connection: Connection, where: str) -> bool:
    """Whether it is a node's store; otherwise it is empty.

    Raises:
        StoreOfAnotherFormat: it is another program's.
    """
    if await connection.fetchval(_KNOWN):
        return True
    if await connection.fetchval(_TABLES):
        raise StoreOfAnotherFormat(where, "a database with tables of another program", _INSTEAD, field="store")
    return False


async def missing(connection: Connection, where: str, node: str, known: Collection[int]) -> list[int]:
    """Which of the `known` migrations this node's store has yet to see, in order.

    Raises:
        StoreOfAnotherFormat: it is another node's, or of a release that this one cannot go on beside.
    """
    owner = await connection.fetchval("SELECT address FROM sublet_node")
    if owner != node:
        raise StoreOfAnotherFormat(where, f"the store of {owner}", _INSTEAD, field="store")
    rows = await connection.fetch("SELECT number, needs FROM sublet_migrations ORDER BY number")
    carried_out: dict[int, int] = dict(rows)
    if is_too_young(carried_out, known):
        what = f"a store of migration {max(carried_out)} where this release has {max(known)}"
        raise StoreOfAnotherFormat(where, what, _INSTEAD, field="store")
    return sorted(set(known) - carried_out.keys())


_INSTEAD: Final = "name another database to start anew, or run the program that made it"


async def _carry_out(connection: Connection, migration: Migration) -> None:
    await connection.execute(migration.statements)
    done = "INSERT INTO sublet_migrations (number, needs) VALUES ($1, $2)"
    await connection.execute(done, migration.number, migration.needs)
