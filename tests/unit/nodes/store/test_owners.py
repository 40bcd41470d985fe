"""What a process that ended had claimed, in a store on SQLite: free at once, and of nobody who lives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodes.machine import Perform, Publish
from nodes.store.owners import Owners
from nodes.store.port import Decision, Input, OutboxRow, View
from nodes.store.sqlite import SqliteStore

NOW = 1000.0
LEASE_SECONDS = 15.0
EFFECTS = (Publish(type="order.buy.placed", to="A11.hub", subject="job"), Perform(activity="encrypt"))
HOLDING = """
import subprocess, sys
from pathlib import Path
from nodes.store.owners import Owners
Owners(Path(sys.argv[1])).hold("p1")
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
print("held", flush=True)
input()
"""
"""Holds a lock and has a child, which inherits all that can be inherited."""


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, SqliteStore]]:
    """Of two processes."""
    first, second = [await SqliteStore.open(tmp_path / "node.sqlite", {}) for _ in range(2)]
    yield first, second
    await first.close()
    await second.close()


async def begin(store: SqliteStore, owner: str) -> None:
    """Effects that this one is about to carry out."""

    def decide(item: Input, view: View) -> Decision:
        return Decision(NOW, effects=EFFECTS)

    until = NOW + LEASE_SECONDS
    await store.apply([Input(f"event-{owner}", "job")], decide, owner=owner, lease_until=until, performs_max=9)


async def claimed(store: SqliteStore, owner: str) -> list[OutboxRow]:
    return await store.claim(owner, now=NOW + 1, lease_until=NOW + 16, publishes_max=9, performs_max=9)


@contextmanager
def process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One that holds the lock of p1."""
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "held\n"
        try:
            yield running
        finally:
            running.kill()


async def test_what_a_process_had_claimed_is_free_as_soon_as_it_ended(
    stores: tuple[SqliteStore, SqliteStore], tmp_path: Path
) -> None:
    (first, second), heard = stores, list[str]()
    second.listen(lambda: heard.append("heard"))
    await first.beat("p1", NOW)
    await begin(first, "p1")
    await second.beat("p2", NOW)
    assert await claimed(second, "p2") == []
    assert heard == []
    await first.close()
    await second.beat("p2", NOW)
    assert heard == ["heard"]
    assert [(row.effect, row.attempts) for row in await claimed(second, "p2")] == [(each, 2) for each in EFFECTS]
    assert [path.name for path in (tmp_path / "node.sqlite-owners").iterdir()] == ["p2"]


async def test_of_one_that_never_said_that_it_lives_the_lease_is_waited_for(
    stores: tuple[SqliteStore, SqliteStore],
) -> None:
    first, second = stores
    await begin(first, "p1")
    await first.close()
    await second.beat("p2", NOW)
    assert await claimed(second, "p2") == []


async def test_one_whose_lock_cannot_be_made_is_as_one_that_says_nothing(
    stores: tuple[SqliteStore, SqliteStore], tmp_path: Path
) -> None:
    first, second = stores
    (tmp_path / "node.sqlite-owners").touch()
    await first.beat("p1", NOW)
    await begin(first, "p1")
    await second.beat("p2", NOW)
    assert await claimed(second, "p2") == []
    assert await second.beats() == {"p1": NOW, "p2": NOW}


def test_a_lock_is_held_until_its_process_is_killed_whoever_its_children_are(tmp_path: Path) -> None:
    folder = tmp_path / "owners"
    mine = Owners(folder)
    with process(folder) as other:
        assert mine.ended() == []
        other.kill()
        other.wait()
        assert mine.ended() == ["p1"]
    mine.forget(["p1"])
    assert mine.ended() == []
    assert list(folder.iterdir()) == []


def test_nobody_takes_itself_for_ended_and_only_its_owner_reads_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "owners"
    one, other = Owners(folder), Owners(folder)
    one.hold("p1")
    one.hold("p1")
    assert (one.ended(), other.ended()) == ([], [])
    assert [path.stat().st_mode & 0o077 for path in (folder, folder / "p1")] == [0, 0]
    one.close()
    assert other.ended() == ["p1"]


def test_a_store_in_memory_has_no_others() -> None:
    owners = Owners(None)
    owners.hold("p1")
    assert owners.ended() == []
    owners.forget(["p1"])
    owners.close()
