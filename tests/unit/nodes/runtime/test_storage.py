"""A full disk pauses a node: nothing is settled, lost or counted; one line says where, and how much is free."""

from __future__ import annotations

import asyncio
import errno
import io
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from nodes import whole
from nodes.cli.logs import configure_logs
from nodes.runtime.outbox import ACTIVITY_ATTEMPTS_MAX, Activity
from nodes.runtime.storage import Storage, StorageFailed, is_fault
from nodes.store.errors import BlobMissing, ServerFailed, StoreFailed
from nodes.store.sqlite import SqliteStore
from tests.support.toy_machine import WorkDone
from tests.support.world import Running, World, empty, message, reasons, tally, told, until

FAILURES = 300
"""More than a message may be retried, or an activity tried."""
SECONDS_MAX = 30.0


def no_room(path: str | None = None) -> OSError:
    return OSError(errno.ENOSPC, "No space left on device", path)


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        yield await World.open(stack, tmp_path)


class Filling:
    """Fails as a full disk does, so often, then works."""

    def __init__(self, error: BaseException, failures: int = FAILURES) -> None:
        self.error = error
        self.left = failures

    async def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.mark.parametrize(
    "error",
    [no_room(), OSError(errno.EDQUOT, "quota"), OSError(errno.EIO, "i/o"), StoreFailed("node.sqlite: disk is full")],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
async def test_work_is_done_again_until_there_is_room_and_one_line_says_why(
    error: BaseException, tmp_path: Path
) -> None:
    storage, seen = Storage(tmp_path, at_once), []

    async def work() -> str:
        seen.append(storage.ready)
        return await filling()

    filling = Filling(error)
    with capture_logs() as lines:
        assert await storage.persist(work) == "done"
    assert seen == [True] + [False] * FAILURES
    assert storage.ready
    assert [line["event"] for line in lines] == [
        "paused: what must be kept cannot be written",
        "it can be written again, going on",
    ]
    assert lines[0]["path"] == str(tmp_path)
    assert lines[0]["free_bytes"] > 0


async def test_a_server_that_fails_is_waited_for_and_no_disk_is_named(tmp_path: Path) -> None:
    with capture_logs() as lines:
        await Storage(tmp_path, at_once).persist(Filling(ServerFailed("PostgreSQL at db.example:5432/a11: gone")))
    assert (lines[0]["path"], lines[0]["free_bytes"]) == (None, None)
    assert lines[0]["reason"] == "PostgreSQL at db.example:5432/a11: gone"


@pytest.mark.parametrize("error", [BlobMissing("no blob"), OSError(errno.EMFILE, "many"), ValueError("a bug")])
async def test_what_no_room_would_mend_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        await Storage(None, at_once).persist(Filling(error))


async def test_a_node_is_ready_only_when_nothing_waits_for_its_disk() -> None:
    storage = Storage(None, at_once)
    first = asyncio.create_task(storage.persist(Filling(no_room(), 10**9)))
    second = asyncio.create_task(storage.persist(Filling(no_room(), 3)))
    await second
    assert not storage.ready
    first.cancel()
    await asyncio.wait([first])
    assert storage.ready


# ---------------------------------------------------------------- a whole process


async def fill(running: Running) -> Callable[[], Any]:
    """Let the store's file grow no more; what lets it grow again."""
    store = running.store
    assert isinstance(store, SqliteStore)

    def pages(connection: sqlite3.Connection, most: int | None = None) -> None:
        (now,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {most or now}").fetchone()

    await store._database.read(pages)
    return lambda: store._database.read(lambda connection: pages(connection, 10**6))


async def paused(running: Running) -> bool:
    return not running.runtime.ready


async def ready(running: Running) -> bool:
    return running.runtime.ready


async def test_events_wait_while_the_store_is_full_and_are_answered_afterwards(world: World) -> None:
    running = await world.start(storage=Storage(world.folder, at_once))
    await world.tell(message(told(0, "first")))
    await world.answered(1)
    with capture_logs() as lines:
        free = await fill(running)
        words = [f"{number} {'x' * 90}" for number in range(1, 41)]
        await world.tell(*(message(told(number, word)) for number, word in enumerate(words, 1)))
        await until(lambda: paused(running))
        await free()
        assert sorted(reasons(await world.answered(40))) == sorted(words)
        await until(lambda: ready(running))
    said = [line for line in lines if line["event"].startswith("paused")]
    assert "SQLITE_FULL" in said[0]["reason"]
    assert said[0]["path"] == str(world.folder)
    await running.end()
    assert world.server.depth("q.A11.dead") == 0


async def test_an_activity_that_finds_no_room_uses_up_no_attempts(world: World) -> None:
    calls = Filling(no_room("/data/jobs/1/parts"), ACTIVITY_ATTEMPTS_MAX * 3)

    async def work(params: dict[str, Any], aggregate: str) -> list[tuple[str, WorkDone]]:
        await calls()
        return [("work.done", WorkDone(number=1))]

    activities: dict[str, Activity] = {"work": work}
    running = await world.start(activities=activities, storage=Storage(world.folder, at_once))
    with capture_logs() as lines:
        await world.tell(message(told(1, "work")))
        await until(lambda: _worked(running))
    assert [line["path"] for line in lines if line["event"].startswith("paused")] == ["/data/jobs/1/parts"]
    await until(lambda: empty(running.store))


async def _worked(running: Running) -> bool:
    return "work.done" in (await tally(running.store)).seen


async def test_a_paused_node_ends_when_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.runtime.loop.STOP_SECONDS_MAX", 0.1)
    running = await world.start(storage=Storage(world.folder, at_once))
    await fill(running)
    await world.tell(*(message(told(number, "x" * 90)) for number in range(1, 65)))
    await until(lambda: paused(running))
    await running.end()


# ---------------------------------------------------------------- files and logs


def test_a_file_for_which_there_is_no_room_leaves_no_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(handle: int) -> None:
        raise no_room()

    monkeypatch.setattr("nodes.whole.os.fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        whole.write_whole(tmp_path / "part", b"rows")
    assert list(tmp_path.iterdir()) == []


def test_a_log_line_for_which_there_is_no_room_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise no_room()

    before = structlog.get_config()
    monkeypatch.setattr("sys.stderr", Full())
    try:
        configure_logs("info")
        structlog.get_logger("node").warning("a message comes again")
    finally:
        structlog.configure(**before)


def test_what_is_told_of_a_full_disk_names_the_file_and_the_room(tmp_path: Path) -> None:
    error = no_room(str(tmp_path / "table"))
    assert is_fault(error)
    said = str(StorageFailed.of(error, tmp_path))
    assert said.startswith(f"cannot write to {tmp_path}/table: No space left on device, ")
    assert "bytes are free there" in said
