"""A store that is really paused: the page answers, shows its last picture, and says since when that is old."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
import pytest
from starlette.types import ASGIApp

from nodes.config import NodeConfig
from nodes.page.app import build
from nodes.page.reader import Reader
from nodes.renter.protocol.records import RECORD_TYPES
from nodes.store.opening import Place
from nodes.store.port import Store
from tests.support import postgres
from tests.support.asgi import asked
from tests.unit.nodes.page.test_page_live import GATE, HEADERS, config, put

SECONDS_MAX: Final = 60.0
"""Until something that comes is there."""
ANSWER_SECONDS_MAX: Final = 4.0
"""Of one page, here, while its store says nothing."""
CLOSE_SECONDS_MAX: Final = 10.0
LOCK: Final = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 8, 120)
print("locked", flush=True)
sys.stdin.read()
"""
"""Takes all locks of SQLite's write-ahead log, as a process does that recovers it (walIndexRecover in wal.c)."""


@dataclass(frozen=True)
class Scene:
    """A renter with a job and a page; `paused` stops the store while it lasts."""

    app: ASGIApp
    reader: Reader
    store: Store
    paused: Callable[[], AbstractContextManager[None]]
    live_until: float

    async def seen(self) -> str:
        """The first page, in bounded time."""
        begin = time.monotonic()
        answer = await asked(self.app, "/", headers=HEADERS)
        assert time.monotonic() - begin <= ANSWER_SECONDS_MAX
        assert (answer.status, "job-a" in answer.text) == (200, True)
        return answer.text

    async def until(self, words: str) -> str:
        """The page, once it says so."""
        async with asyncio.timeout(SECONDS_MAX):
            while words not in (text := await self.seen()):  # noqa: ASYNC110 - a page is asked
                await asyncio.sleep(0.02)
        return text


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process has the file for itself."""
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK, f"{file}-shm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"locked\n"
        yield
    finally:
        holder.communicate()


@contextmanager
def stopped(server: postgres.Server) -> Iterator[None]:
    """All of the server's processes are, as by SIGSTOP of a container."""
    assert server.process is not None
    whole = psutil.Process(server.process.pid)
    found = [whole.pid, *(each.pid for each in whole.children(recursive=True))]
    try:
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def scene(settings: NodeConfig, paused: Callable[[], AbstractContextManager[None]]) -> AsyncIterator[Scene]:
    place = Place(settings.data_dir, settings.store_url)
    store: Store = await place.open(settings.address, RECORD_TYPES)
    try:
        await put(store, "job-a")  # type: ignore[arg-type]
        await store.beat("p1", time.time())
        reader = Reader(settings, time.time, time.monotonic)
        app = build(reader, GATE, asyncio.Event())
        yield Scene(app, reader, store, paused, time.time())
    finally:
        await store.close()


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[Scene]:
    async with scene(config(folder, "renter"), partial(locked, folder / "node.sqlite")) as made:
        yield made


@asynccontextmanager
async def on_postgres(folder: Path) -> AsyncIterator[Scene]:
    with postgres.private() as server:
        settings = replace(config(folder, "renter"), store_url=server.url)
        async with scene(settings, partial(stopped, server)) as made:
            yield made


@pytest.mark.parametrize("made", [on_sqlite, on_postgres], ids=["sqlite locked by another", "postgresql stopped"])
async def test_a_paused_store_leaves_the_last_picture_and_it_is_said_since_when(
    made: Callable[[Path], AbstractAsyncContextManager[Scene]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("reader.LOOK_SECONDS", "gallery.LOOK_SECONDS"):
        monkeypatch.setattr(f"nodes.page.{name}", 0.02)
    monkeypatch.setattr("nodes.page.reader.LOOK_SECONDS_MAX", 0.3)
    monkeypatch.setattr("nodes.page.reader.CLOSE_SECONDS_MAX", 0.3)
    async with made(tmp_path) as there:
        await there.until("Live")
        with there.paused():
            began = time.time()
            text = await there.until("has not been readable since")
            moment = datetime.fromisoformat(text.partition('<time datetime="')[2].partition('"')[0])
            assert there.live_until - 0.1 <= moment.timestamp() <= began + 0.1
            assert f"{moment.astimezone(UTC):%H:%M:%S}" in text
            assert "no answer within 0.3 s" in text
            assert [await there.seen() for _ in range(3)] == [text] * 3
        await there.store.beat("p1", time.time())
        await there.until("Live")
        with there.paused():
            await there.until("has not been readable since")
            begin = time.monotonic()
            await there.reader.close()
            assert time.monotonic() - begin <= CLOSE_SECONDS_MAX
