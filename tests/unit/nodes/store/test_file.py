"""A store's file is made whole, and what is not a store of this release is refused and left as it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.store.errors import StoreFailed, StoreOfAnotherFormat
from nodes.store.file import APPLICATION_ID, connect, shipped
from nodes.store.sqlite import SqliteStore

FIRST_FORMAT = """
CREATE TABLE inbox (event_id TEXT PRIMARY KEY, seen_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX inbox_by_age ON inbox (seen_at);
CREATE TABLE aggregates (
    aggregate TEXT PRIMARY KEY, version INTEGER NOT NULL, journalled INTEGER NOT NULL, last_hash TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE records (
    aggregate TEXT NOT NULL, key TEXT NOT NULL, value BLOB, version INTEGER NOT NULL, PRIMARY KEY (aggregate, key)
) WITHOUT ROWID;
CREATE INDEX records_by_version ON records (aggregate, version);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, aggregate TEXT NOT NULL, event_id TEXT NOT NULL,
    effect_index INTEGER NOT NULL, effect BLOB NOT NULL, created_at REAL NOT NULL, owner TEXT NOT NULL,
    claimed_until REAL NOT NULL, attempts INTEGER NOT NULL
);
CREATE INDEX outbox_by_claim ON outbox (kind, claimed_until);
CREATE INDEX outbox_by_owner ON outbox (owner);
CREATE TABLE timers (
    serial INTEGER PRIMARY KEY AUTOINCREMENT, aggregate TEXT NOT NULL, name TEXT NOT NULL, due_at REAL NOT NULL,
    UNIQUE (aggregate, name)
);
CREATE INDEX timers_by_due ON timers (due_at);
CREATE TABLE journal (
    aggregate TEXT NOT NULL, n INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (aggregate, n)
) WITHOUT ROWID;
CREATE TABLE secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO aggregates VALUES ('job-1', 1, 0, '');
INSERT INTO records VALUES ('job-1', 'job', x'80', 1);
"""
"""What the releases with numbered schemas wrote."""


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes, and when it was changed last."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def database(path: Path, script: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"PRAGMA journal_mode = WAL; {script}")
    connection.close()


def killed(path: Path, script: str) -> None:
    """As a killed process leaves it: everything it wrote is still in the log."""
    working = path.with_name("working")
    connection = sqlite3.connect(working, isolation_level=None)
    connection.executescript(f"PRAGMA journal_mode = WAL; {script}")
    for suffix in ("", "-wal"):
        path.with_name(path.name + suffix).write_bytes(working.with_name(working.name + suffix).read_bytes())
    connection.close()
    working.unlink()


SHIPPED = len(list(shipped()))
NEWER = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SHIPPED + 1}; CREATE TABLE future (x);"
TOO_YOUNG = f"a store that needs migration {SHIPPED + 1} where this release has {SHIPPED}"


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (lambda path: database(path, FIRST_FORMAT), "an earlier release or of another program"),
        (lambda path: killed(path, FIRST_FORMAT), "an earlier release or of another program"),
        (lambda path: database(path, "PRAGMA application_id = 252006674; CREATE TABLE t (x);"), "another program"),
        (lambda path: database(path, NEWER), TOO_YOUNG),
        (lambda path: path.write_text("notes, not a database\n"), "not a SQLite database"),
        (lambda path: path.write_bytes(os.urandom(9000)), "not a SQLite database"),
        (lambda path: path.touch(), "an earlier release or of another program"),
        (lambda path: path.with_name(f"{path.name}-wal").write_bytes(b"log"), "missing beside its log node.sqlite-wal"),
    ],
    ids=["earlier", "earlier, killed", "foreign", "newer", "text", "random", "empty", "log alone"],
)
async def test_what_is_not_a_store_of_this_release_is_refused_in_one_line_and_left_as_it_is(
    tmp_path: Path, write: Callable[[Path], object], what: str
) -> None:
    path = tmp_path / "node.sqlite"
    write(path)
    before = contents(tmp_path)
    with pytest.raises(StoreOfAnotherFormat) as refusal:
        await SqliteStore.open(path, {})
    assert contents(tmp_path) == before
    message = str(refusal.value)
    assert message.startswith(f"{path} is ")
    assert what in message
    assert f"move the folder {tmp_path} away to start anew" in message
    assert "\n" not in message


async def test_processes_that_start_at_once_share_one_new_store(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    stores = await asyncio.gather(*(SqliteStore.open(path, {}) for _ in range(8)))
    kept = await asyncio.gather(*(store.put_secret("key", b"%d" % n) for n, store in enumerate(stores)))
    assert len(set(kept)) == 1
    for store in stores:
        await store.close()
    assert list(contents(tmp_path)) == ["node.sqlite"]


def test_opening_a_store_keeps_the_locks_that_its_other_connections_hold(tmp_path: Path) -> None:
    """POSIX drops all of a process's locks on a file when any descriptor of it is closed."""
    path = tmp_path / "node.sqlite"
    first = connect(path)
    first.execute("INSERT INTO secrets VALUES ('key', x'00')")
    connect(path).close()
    other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM secrets'); c.close()"
    subprocess.run([sys.executable, "-c", other, str(path)], check=True, timeout=60)
    assert path.with_name("node.sqlite-wal").exists()
    assert first.execute("SELECT count(*) FROM secrets").fetchone() == (1,)
    first.close()


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere/node.sqlite")])
async def test_what_cannot_be_opened_fails_and_names_the_path(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "node.sqlite"
    make(path)
    with pytest.raises(StoreFailed, match=r"node\.sqlite"):
        await SqliteStore.open(path, {})


def following(folder: Path, needs: int) -> list[Path]:
    """Files of the next release's migrations: this one's, and one more."""
    folder.mkdir()
    for file in shipped():
        (folder / file.name).write_text(file.read_text())
    added = f"-- needs: {needs}\nALTER TABLE secrets ADD COLUMN made_at REAL;\nCREATE TABLE more (x INTEGER);\n"
    (folder / f"{SHIPPED + 1:04}_more.sql").write_text(added)
    return list(folder.iterdir())


async def test_a_release_goes_on_beside_the_next_one_and_may_be_started_again(tmp_path: Path) -> None:
    path, files = tmp_path / "node.sqlite", following(tmp_path / "next", needs=1)
    running = await SqliteStore.open(path, {})
    await running.put_secret("key", b"before")
    upgraded = [connect(path, files) for _ in range(2)]  # the second finds it done
    assert await running.put_secret("other", b"sealed") == b"sealed"
    again = await SqliteStore.open(path, {})
    assert await again.get_secret("key") == b"before"
    kept = upgraded[0].execute("SELECT name, made_at FROM secrets ORDER BY name").fetchall()
    assert kept == [("key", None), ("other", None)]
    assert upgraded[1].execute("SELECT number, needs FROM migrations ORDER BY number").fetchall() == [
        *((number, 1) for number in range(1, SHIPPED + 1)),
        (SHIPPED + 1, 1),
    ]
    for each in (running, again):
        await each.close()
    for connection in upgraded:
        connection.close()


@pytest.mark.parametrize("in_log", [True, False], ids=["in the log", "in the file"])
async def test_a_release_that_is_too_old_to_go_on_is_refused(tmp_path: Path, *, in_log: bool) -> None:
    path = tmp_path / "node.sqlite"
    connect(path).close()
    upgraded = connect(path, following(tmp_path / "next", needs=SHIPPED + 1))
    if not in_log:
        upgraded.close()
    with pytest.raises(StoreOfAnotherFormat, match=TOO_YOUNG):
        await SqliteStore.open(path, {})
    upgraded.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path, files = tmp_path / "node.sqlite", following(tmp_path / "next", needs=1)
    connect(path).close()
    last = tmp_path / "next" / f"{SHIPPED + 1:04}_more.sql"
    last.write_text(last.read_text() + "INSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        connect(path, files)
    store = connect(path)
    assert store.execute("SELECT count(*) FROM migrations").fetchone() == (SHIPPED,)
    assert store.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)
    store.close()
