"""What makes a SQLite file a store: two numbers in its header, and the tables of `schema.sql`.

A file is a store of this release or it is not opened. Formats are not converted: whoever changes the tables, or what
the bytes in them mean, raises `FORMAT`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from nodes.store.errors import StoreOfAnotherFormat

APPLICATION_ID: Final = int.from_bytes(b"SUBL", "big")
"""Tells a store from other programs' databases (`PRAGMA application_id`)."""
FORMAT: Final = 6
"""The format of tables and records (`PRAGMA user_version`)."""
BUSY_SECONDS_MAX: Final = 30.0
"""How long to wait for another process's transaction."""


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection to the store in the file `path`, made with mode 0600 when missing, or to one in memory when None.

    Raises:
        StoreOfAnotherFormat: the file is something else; it is left as it is.
        sqlite3.Error, OSError: it cannot be opened or made.
    """
    if path is None:
        connection = _connection(":memory:")
        _fill(connection)
        return connection
    log = path.with_name(f"{path.name}-wal")
    orphaned = log.exists()  # asked before the next line: whoever makes the store now makes its log after it
    if not path.exists():
        if orphaned:
            raise _of_another_format(path, f"missing beside its log {log.name}")
        _make(path)
    _check(path)
    connection = _connection(f"{path.absolute().as_uri()}?mode=rw")
    connection.execute("PRAGMA synchronous = FULL")  # what is committed is on the disk
    return connection


def _check(path: Path) -> None:
    """Look at the header alone: an immutable connection locks and recovers nothing, and leaves no file beside it."""
    connection = _connection(f"{path.absolute().as_uri()}?mode=ro&immutable=1")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (written,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise _of_another_format(path, "not a SQLite database") from None
    finally:
        connection.close()
    if application != APPLICATION_ID:
        raise _of_another_format(path, "a database of an earlier release or of another program")
    if written != FORMAT:
        raise _of_another_format(path, f"a store of format {written} where this release has format {FORMAT}")


def _of_another_format(path: Path, what: str) -> StoreOfAnotherFormat:
    folder = path.absolute().parent
    return StoreOfAnotherFormat(
        path, what, f"move the folder {folder} away to start anew, or run the program that wrote it"
    )


def _make(path: Path) -> None:
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
            _fill(connection)
        finally:
            connection.close()
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(name, path)
    finally:
        Path(name).unlink()


def _fill(connection: sqlite3.Connection) -> None:
    schema = (resources.files("nodes.store") / "schema.sql").read_text()
    numbers = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
    connection.executescript(f"BEGIN; {numbers} {schema} COMMIT;")


def _connection(database: str) -> sqlite3.Connection:
    """Without transactions of the module's own."""
    return sqlite3.connect(database, isolation_level=None, timeout=BUSY_SECONDS_MAX, uri=database.startswith("file:"))
