"""What makes a SQLite file a store: two numbers in its header, and its migrations (`nodes.store.migrations`).

The second number (`PRAGMA user_version`) is that of the migration that a release must know to go on with the file. A
file that is another program's, or of a release too young or too old, is not opened. What the bytes in a table mean is
changed by a migration that needs itself.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from nodes.store.errors import StoreOfAnotherFormat
from nodes.store.migrations import Migration, is_too_young, read

APPLICATION_ID: Final = int.from_bytes(b"SUBL", "big")
"""Tells a store from other programs' databases (`PRAGMA application_id`)."""
BUSY_SECONDS_MAX: Final = 30.0
"""How long to wait for another process's transaction."""
_MAKE: Final = "CREATE TABLE migrations (number INTEGER PRIMARY KEY, needs INTEGER NOT NULL)"


def shipped() -> Iterable[Traversable]:
    """The migrations of this release."""
    return (resources.files("nodes.store") / "migrations").iterdir()


def connect(path: Path | None, files: Iterable[Traversable] | None = None) -> sqlite3.Connection:
    """A connection to the store in the file `path`, made with mode 0600 when missing and brought up to date, or to one
    in memory when None; `files` are migrations instead of this release's.

    Raises:
        StoreOfAnotherFormat: the file is something else; it is left as it is.
        sqlite3.Error, OSError: it cannot be opened or made.
    """
    known = read(shipped() if files is None else files)
    if path is None:
        connection = _connection(":memory:")
        _fill(connection, known)
        return connection
    log = path.with_name(f"{path.name}-wal")
    orphaned = log.exists()  # asked before the next line: whoever makes the store now makes its log after it
    if not path.exists():
        if orphaned:
            raise _of_another_format(path, f"missing beside its log {log.name}")
        _make(path, known)
    _check(path, known)
    connection = _connection(f"{path.absolute().as_uri()}?mode=rw")
    connection.execute("PRAGMA synchronous = FULL")  # what is committed is on the disk
    try:
        _migrate(connection, path, known)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(path: Path, known: Mapping[int, Migration]) -> None:
    """Look at the header alone: an immutable connection locks and recovers nothing, and leaves no file beside it."""
    connection = _connection(f"{path.absolute().as_uri()}?mode=ro&immutable=1")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (needed,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise _of_another_format(path, "not a SQLite database") from None
    finally:
        connection.close()
    if application != APPLICATION_ID:
        raise _of_another_format(path, "a database of an earlier release or of another program")
    if needed > max(known):
        raise _too_young(path, needed, known)


def _migrate(connection: sqlite3.Connection, path: Path, known: Mapping[int, Migration]) -> None:
    """Carry out what the file has yet to see; raises StoreOfAnotherFormat where only its log says that it is young."""
    carried_out = _carried_out(connection)
    if is_too_young(carried_out, known):
        raise _too_young(path, max(carried_out.values()), known)
    for number in sorted(known.keys() - carried_out.keys()):
        _carry_out(connection, known[number])


def _carried_out(connection: sqlite3.Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT number, needs FROM migrations"))


def _carry_out(connection: sqlite3.Connection, migration: Migration) -> None:
    """All of it or nothing; of processes that start at once, one."""
    first = f"INSERT INTO migrations VALUES ({migration.number}, {migration.needs})"  # noqa: S608
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {first}; {migration.statements}")
        (needed,) = connection.execute("SELECT max(needs) FROM migrations").fetchone()
        connection.executescript(f"PRAGMA user_version = {needed}; COMMIT;")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if migration.number not in _carried_out(connection):
            raise


def _too_young(path: Path, needed: int, known: Mapping[int, Migration]) -> StoreOfAnotherFormat:
    what = f"a store that needs migration {needed} where this release has {max(known)}"
    return _of_another_format(path, what)


def _of_another_format(path: Path, what: str) -> StoreOfAnotherFormat:
    folder = path.absolute().parent
    return StoreOfAnotherFormat(
        path, what, f"move the folder {folder} away to start anew, or run the program that wrote it"
    )


def _make(path: Path, known: Mapping[int, Migration]) -> None:
    """A new store appears under its name whole or not at all, and never in place of one that is there.

    SQLite gives its -wal and -shm files the mode of the database file.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    os.close(handle)
    try:
        connection = _connection(name)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            _fill(connection, known)
        finally:
            connection.close()
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(name, path)
    finally:
        Path(name).unlink()


def _fill(connection: sqlite3.Connection, known: Mapping[int, Migration]) -> None:
    connection.executescript(f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; {_MAKE}; COMMIT;")
    for number in sorted(known):
        _carry_out(connection, known[number])


def _connection(database: str) -> sqlite3.Connection:
    """Without transactions of the module's own."""
    return sqlite3.connect(database, isolation_level=None, timeout=BUSY_SECONDS_MAX, uri=database.startswith("file:"))
